//! What is wrong with a configuration file: where, in the file's own line, and what cures it.

use std::fmt::{self, Write as _};
use std::ops::Range;

use strsim::osa_distance;

/// How many faults are shown at once: a table of users may have the same one in each row.
const SHOWN: usize = 20;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The octets that are at fault, counted through all files.
    pub span: Range<usize>,
    /// What is wrong.
    pub words: String,
    /// What to do about it, shown behind the caret.
    pub cure: String,
    /// Another place that has to do with it, and why.
    pub also: Option<(Range<usize>, String)>,
}

impl Fault {
    /// A fault at this place.
    #[must_use]
    pub fn new(span: Range<usize>, words: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { span, words: words.into(), cure: cure.into(), also: None }
    }

    /// Shows another place too.
    #[must_use]
    pub fn with(mut self, span: Range<usize>, words: impl Into<String>) -> Self {
        self.also = Some((span, words.into()));
        self
    }
}

/// A file that says something of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, as it was given.
    pub name: String,
    /// Its text, empty where it could not be read.
    pub text: String,
}

/// Every fault of a configuration, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The files. Spans count through all of them, one octet between each and the next.
    pub sources: Vec<Source>,
    /// What is wrong, in the order of the files.
    pub faults: Vec<Fault>,
}

impl Faults {
    /// Each fault in one line, for the log.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().filter_map(|fault| {
            let (source, span) = self.source(&fault.span)?;
            let Place { line, column, .. } = Place::of(&source.text, &span);
            Some(format!("{}:{line}:{column}: {}: {}", source.name, fault.words, fault.cure))
        })
    }

    /// The file that a span lies in, and where in it.
    fn source(&self, span: &Range<usize>) -> Option<(&Source, Range<usize>)> {
        let mut base = 0;
        for source in &self.sources {
            if span.start <= base + source.text.len() {
                return Some((source, span.start - base..span.end.saturating_sub(base)));
            }
            base += source.text.len() + 1;
        }
        None
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, fault: &Fault) -> fmt::Result {
        let Some((source, span)) = self.source(&fault.span) else { return writeln!(f, "{}", fault.words) };
        if source.text.is_empty() {
            writeln!(f, "{}: {}", source.name, fault.words)?;
            return writeln!(f, "  {}", fault.cure);
        }
        let place = Place::of(&source.text, &span);
        writeln!(f, "{}:{}:{}: {}", source.name, place.line, place.column, fault.words)?;
        place.show(f, &fault.cure)?;
        let Some((other, words)) = &fault.also else { return Ok(()) };
        let Some((elsewhere, span)) = self.source(other) else { return Ok(()) };
        let place = Place::of(&elsewhere.text, &span);
        if elsewhere.name != source.name {
            writeln!(f, "{}:{}:{}:", elsewhere.name, place.line, place.column)?;
        }
        place.show(f, words)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().take(SHOWN).enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            self.show(f, fault)?;
        }
        match self.faults.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// A place in a text, as a person counts: lines and columns from 1.
struct Place<'a> {
    line: usize,
    column: usize,
    source: &'a str,
    /// What stands before the place in its line.
    before: &'a str,
    /// How many characters of the line are at fault.
    width: usize,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = text.split_at(start);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let end = start + after.find('\n').unwrap_or(after.len());
        let at_fault = text.get(start..span.end.clamp(start, end)).unwrap_or_default();
        let before = text.get(begin..start).unwrap_or_default();
        Self {
            line,
            column: before.chars().count() + 1,
            source: text.get(begin..end).unwrap_or_default().trim_end(),
            before,
            width: at_fault.chars().count().max(1),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, words: &str) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands below what it means.
        let indent: String = self.before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "  {number} | {}", self.source)?;
        writeln!(f, "  {margin} | {indent}{} {words}", "^".repeat(self.width))
    }
}

/// Which of `known` was probably meant.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    let near = |candidate: &&str| osa_distance(&lower, candidate) <= (lower.len().max(candidate.len()) / 3).max(1);
    known.into_iter().filter(near).min_by_key(|candidate| osa_distance(&lower, candidate))
}

/// Words as a person lists them: `a, b or c`.
pub(super) fn or(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        assert_eq!(meant("adress", ["address", "advertise"]), Some("address"));
        assert_eq!(meant("Transport", ["transport"]), Some("transport"));
        assert_eq!(meant("colour", ["address", "advertise"]), None);
    }

    #[test]
    fn the_caret_stands_below_what_is_at_fault_behind_tabs_and_umlauts() {
        let text = "a = 1\n\tname = \"Jürgen\" # b\r\nc = 2\n".to_owned();
        let at = text.find('#').unwrap();
        let sources = vec![Source { name: "f".into(), text }];
        let faults = Faults { sources, faults: vec![Fault::new(at..at + 3, "no", "yes")] };
        let shown = "f:2:18: no\n  2 | \tname = \"Jürgen\" # b\n    | \t                ^^^ yes\n";
        assert_eq!(faults.to_string(), shown);
    }

    #[test]
    fn one_slip_of_a_finger_is_one_step() {
        for slip in ["Name", "nmae", "nam", "nqme", "naame"] {
            assert_eq!(meant(slip, ["uri", "name"]), Some("name"), "{slip}");
        }
        assert_eq!(meant("room", ["uri", "name"]), None);
    }

    #[test]
    fn a_fault_of_the_second_file_shows_the_place_in_the_first() {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let sources = vec![source("one", "abc\n"), source("two", "def\nghi\n")];
        let fault = Fault::new(9..12, "no", "yes").with(1..2, "the first");
        let faults = Faults { sources, faults: vec![fault] };
        let shown = "two:2:1: no\n  2 | ghi\n    | ^^^ yes\none:1:2:\n  1 | abc\n    |  ^ the first\n";
        assert_eq!(faults.to_string(), shown);
        assert_eq!(faults.lines().collect::<Vec<_>>(), ["two:2:1: no: yes"]);
    }
}
