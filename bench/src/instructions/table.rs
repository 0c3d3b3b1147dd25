//! What was counted once, beside what is counted now.

use std::fmt::{self, Write as _};

/// By how many thousandths a count may differ.
const BOUND: u64 = 10;

/// Counts, and what they depend on beside the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) made: Made,
    pub(crate) counts: Vec<(String, u64)>,
}

/// Who translated the code, for what, and what of the machine shows: whose memory allocator and copying, which vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) compiler: String,
    pub(crate) target: String,
    pub(crate) machine: String,
}

/// What a comparison says.
pub(crate) struct Verdict {
    pub(crate) lines: String,
    pub(crate) outcome: Result<(), String>,
}

impl Table {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self { made: Made::default(), counts: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("not `name: value`: {line}"))?;
            let value = value.trim();
            match name {
                "compiler" => value.clone_into(&mut table.made.compiler),
                "target" => value.clone_into(&mut table.made.target),
                "machine" => value.clone_into(&mut table.made.machine),
                _ => {
                    let count = value.parse().map_err(|_| format!("not a number: {line}"))?;
                    table.counts.push((name.to_owned(), count));
                }
            }
        }
        Ok(table)
    }

    /// Compares what is counted now with this table. More is a regression; less must be written down, or the next one has room to hide in.
    pub(crate) fn compare(&self, now: &Self) -> Verdict {
        let mut lines = format!("{:<36} {:>10} {:>10} {:>9}\n", "instructions of one", "expected", "now", "change");
        let (mut grown, mut shrunk, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, count) in &now.counts {
            let Some((_, expected)) = self.counts.iter().find(|(known, _)| known == name) else {
                let _ = writeln!(lines, "{name:<36} {:>10} {count:>10}", "-");
                changed.push(name.as_str());
                continue;
            };
            let thousandths = count.abs_diff(*expected) * 1000 / expected.max(&1);
            let sign = if count < expected { '-' } else { '+' };
            let change = format!("{sign}{}.{} %", thousandths / 10, thousandths % 10);
            let _ = writeln!(lines, "{name:<36} {expected:>10} {count:>10} {change:>9}");
            match thousandths > BOUND {
                true if count > expected => grown.push(name.as_str()),
                true => shrunk.push(name.as_str()),
                false => {}
            }
        }
        let known = |name: &str| now.counts.iter().any(|(counted, _)| counted == name);
        changed.extend(self.counts.iter().map(|(name, _)| name.as_str()).filter(|name| !known(name)));
        Verdict { outcome: self.judged(now, &mut lines, &grown, &shrunk, &changed), lines }
    }

    fn judged(
        &self,
        now: &Self,
        lines: &mut String,
        grown: &[&str],
        shrunk: &[&str],
        changed: &[&str],
    ) -> Result<(), String> {
        const ACCEPT: &str = "`cargo xtask instructions --accept`, and say in the commit why";
        if self.made.target != now.made.target {
            let _ = writeln!(lines, "NOT JUDGED: the table is of {}, this is {}", self.made.target, now.made.target);
            return Ok(());
        }
        if self.made.compiler != now.made.compiler {
            let (theirs, ours) = (&self.made.compiler, &now.made.compiler);
            return Err(format!(
                "the table is of rustc {theirs}, this is {ours}: if rust-toolchain.toml says so, {ACCEPT}"
            ));
        }
        let mut faults = String::new();
        let percent = BOUND / 10;
        for (names, what) in [
            (grown, format!("more than {percent} % more: find what costs it, or {ACCEPT}")),
            (shrunk, format!("more than {percent} % less: well done; {ACCEPT}")),
            (changed, format!("not in the table, or only there: {ACCEPT}")),
        ] {
            if !names.is_empty() {
                let _ = write!(faults, "\n{}: {what}", names.join("; "));
            }
        }
        if !faults.is_empty() && self.made.machine != now.made.machine {
            let _ = write!(
                faults,
                "\nthe table was made with {}, this is {}: that alone can be it",
                self.made.machine, now.made.machine
            );
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions of one operation; written by `cargo xtask instructions --accept`, never by hand.")?;
        let Made { compiler, target, machine } = &self.made;
        writeln!(f, "compiler: {compiler}\ntarget: {target}\nmachine: {machine}\n")?;
        for (name, count) in &self.counts {
            writeln!(f, "{:<36} {count:>10}", format!("{name}:"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: &[(&str, u64)]) -> Table {
        let made = Made { compiler: "1.95.0".into(), target: "x86_64".into(), machine: "glibc 2.36, AVX2".into() };
        Table { made, counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect() }
    }

    fn fault(expected: &Table, now: &Table) -> String {
        expected.compare(now).outcome.expect_err("a fault")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let table = table(&[("PUBLISH initial, and its expiry", 160_328), ("call", 498_837)]);
        assert_eq!(Table::parse(&table.to_string()), Ok(table));
        assert!(Table::parse("call 498837").is_err());
        assert!(Table::parse("call: many").is_err());
    }

    #[test]
    fn more_and_less_than_the_bound_are_both_faults() {
        let expected = table(&[("call", 100_000), ("refresh", 100_000)]);
        assert_eq!(expected.compare(&table(&[("call", 101_000), ("refresh", 99_000)])).outcome, Ok(()));
        let more = fault(&expected, &table(&[("call", 101_100), ("refresh", 100_000)]));
        assert!(more.contains("call: more than") && !more.contains("refresh"), "{more}");
        let less = fault(&expected, &table(&[("call", 100_000), ("refresh", 98_900)]));
        assert!(less.contains("refresh: more than 1 % less") && less.contains("--accept"), "{less}");
    }

    #[test]
    fn work_that_is_new_or_gone_must_be_written_down() {
        let expected = table(&[("call", 100_000), ("gone", 1)]);
        let fault = fault(&expected, &table(&[("call", 100_000), ("new", 1)]));
        assert!(fault.contains("new; gone: not in the table"), "{fault}");
    }

    #[test]
    fn another_compiler_needs_another_table_and_another_target_is_not_judged() {
        let expected = table(&[("call", 100_000)]);
        let mut now = expected.clone();
        now.made.compiler = "1.96.0".into();
        assert!(fault(&expected, &now).contains("rust-toolchain.toml"));
        let mut now = table(&[("call", 300_000)]);
        now.made.target = "aarch64".into();
        let verdict = expected.compare(&now);
        assert_eq!(verdict.outcome, Ok(()));
        assert!(verdict.lines.contains("NOT JUDGED"), "{}", verdict.lines);
    }

    #[test]
    fn another_machine_is_only_named_where_something_is_off() {
        let expected = table(&[("call", 100_000)]);
        let mut now = expected.clone();
        now.made.machine = "glibc 2.41, AVX2".into();
        assert_eq!(expected.compare(&now).outcome, Ok(()));
        now.counts = table(&[("call", 150_000)]).counts;
        assert!(fault(&expected, &now).contains("glibc 2.41, AVX2"));
    }
}
