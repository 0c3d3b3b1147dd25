//! `cargo xtask test`: everything that must hold before a change lands, on a fresh machine too.
#![forbid(unsafe_code)]

use std::env;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The real peers that the tests start: the program that shows a package is there, and the Debian package.
const PEERS: [(&str, &str); 3] = [("valgrind", "valgrind"), ("strace", "strace"), ("xmllint", "libxml2-utils")];

/// One thing to be done, and what it is for.
struct Step {
    name: &'static str,
    run: fn() -> Result<(), String>,
}

const STEPS: [Step; 6] = [
    Step { name: "format", run: || cargo(&["fmt", "--all", "--check"], &[]) },
    Step { name: "clippy", run: || cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[]) },
    Step { name: "tests", run: || cargo(&["test", "--workspace", "--quiet"], &[]) },
    Step { name: "documentation", run: || cargo(&["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")]) },
    Step { name: "dependencies", run: dependencies },
    Step { name: "lock file", run: || cargo(&["metadata", "--locked", "--format-version", "1", "--quiet"], &[]) },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => test(),
        _ => {
            eprintln!("usage: cargo xtask test");
            ExitCode::from(2)
        }
    }
}

fn test() -> ExitCode {
    if let Err(why) = install() {
        eprintln!("the peers that the tests need cannot be installed: {why}");
        return ExitCode::FAILURE;
    }
    let mut results: Vec<(&str, Duration, Result<(), String>)> = Vec::new();
    for step in &STEPS {
        println!("\n== {} ==", step.name);
        let began = Instant::now();
        let result = (step.run)();
        results.push((step.name, began.elapsed(), result));
    }
    println!("\n== summary ==");
    let mut failed = 0;
    for (name, took, result) in &results {
        let verdict = match result {
            Ok(()) => "ok".to_owned(),
            Err(why) => format!("FAILED: {why}"),
        };
        println!("{name:<16} {:>6.1} s  {verdict}", took.as_secs_f64());
        failed += usize::from(result.is_err());
    }
    println!("{} passed, {failed} failed", results.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Installs what is missing, so that a fresh machine needs only Rust.
fn install() -> Result<(), String> {
    let missing: Vec<&str> = PEERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("== installing {} ==", missing.join(", "));
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(missing);
    apt(&install)
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(std::path::PathBuf::from);
    env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
    if !root {
        command.args(["-n", "apt-get"]);
    }
    run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn dependencies() -> Result<(), String> {
    if !Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        cargo(&["install", "cargo-deny", "--locked", "--quiet"], &[])?;
    }
    cargo(&["deny", "--workspace", "check", "bans", "licenses", "sources"], &[])
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(arguments).envs(environment.iter().copied());
    if arguments.first() == Some(&"metadata") {
        command.stdout(std::process::Stdio::null());
    }
    run(&mut command)
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
