//! Instructions of each piece of work, counted by valgrind and compared with what they were: no clock, so no noise.

mod table;
mod work;
mod world;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use table::{Made, Table};
use work::{ITEMS, Item};

/// Counts, prints, and compares with the table; or writes it.
pub(crate) fn run(accept: bool) -> Result<(), String> {
    let now = Table { made: made()?, counts: counted()? };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    if !cfg!(debug_assertions) {
        // The table is of the profile that the tests have built anyway.
        print!("{now}");
        return if accept {
            Err("the table is of the other profile: cargo xtask instructions --accept".into())
        } else {
            Ok(())
        };
    }
    if accept {
        print!("{now}");
        return fs::write(&path, now.to_string()).map_err(|error| format!("{}: {error}", path.display()));
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let expected = Table::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    let verdict = expected.compare(&now);
    print!("{}", verdict.lines);
    verdict.outcome
}

/// Does one piece of work so many times.
pub(crate) fn once(name: &str, times: u32) -> Result<(), String> {
    let item = ITEMS.iter().find(|item| item.name == name).ok_or_else(|| format!("there is no {name}"))?;
    item.run(times)
}

fn counted() -> Result<Vec<(String, u64)>, String> {
    ITEMS.iter().map(|item| Ok((item.name.to_owned(), count(item)?))).collect()
}

/// Instructions of one operation: two runs that differ in nothing but how often they do it.
fn count(item: &Item) -> Result<u64, String> {
    let (few, many) = item.times;
    let children = [few, many].map(|times| under_valgrind(item, times));
    let [few_took, many_took] = children.map(|child| child.and_then(|child| instructions(child, item.name)));
    Ok(many_took?.saturating_sub(few_took?) / u64::from(many - few))
}

/// A run that knows neither where the program is nor what the environment says: both lie in memory, and what lies there decides
/// how far the allocator has to look.
fn under_valgrind(item: &Item, times: u32) -> Result<Child, String> {
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let (folder, name) = itself.parent().zip(itself.file_name()).ok_or("a program without a folder")?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(Path::new(".").join(name));
    command.args(["once", item.name, &times.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.spawn().map_err(|error| format!("valgrind does not start (Debian: valgrind): {error}"))
}

/// What valgrind says at the end: `==PID== I   refs:      19,938,180`.
fn instructions(child: Child, name: &str) -> Result<u64, String> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr);
    let refs =
        told.lines().find_map(|line| line.split_once("refs:").filter(|(before, _)| before.trim_end().ends_with('I')));
    let number = refs.and_then(|(_, number)| number.trim().replace(',', "").parse().ok());
    match number {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("{name} under valgrind: {}\n{told}", output.status)),
    }
}

/// What the counts depend on beside the code.
fn made() -> Result<Made, String> {
    let compiler = told_by("rustc", &["-vV"])?;
    let line = |start: &str| {
        let found = compiler.lines().find_map(|line| line.strip_prefix(start));
        found.map(|rest| rest.trim().to_owned()).ok_or_else(|| format!("rustc -vV says no {start}"))
    };
    let (libc, vectors) = (told_by("getconf", &["GNU_LIBC_VERSION"])?, if has_avx2() { "AVX2" } else { "no AVX2" });
    Ok(Made { compiler: line("rustc ")?, target: line("host:")?, machine: format!("{libc}, {vectors}") })
}

/// Under valgrind every processor that has it looks the same.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn told_by(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
