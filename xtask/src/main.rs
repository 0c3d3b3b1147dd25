//! `cargo xtask test`: everything that must hold before a change lands, on a fresh machine too.
#![forbid(unsafe_code)]

mod fuzz;

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The Debian packages of the peers that the tests start, and of the tools that judge.
const PACKAGES: [&str; 14] = [
    "kamailio",
    "kamailio-presence-modules",
    "kamailio-sqlite-modules",
    "kamailio-tls-modules",
    "kamailio-xml-modules",
    "sip-tester",
    "baresip",
    "linphone-cli",
    "sqlite3",
    "dnsmasq-base",
    "libxml2-utils",
    "openssl",
    "strace",
    "valgrind",
];

/// The version of cargo-deny that is installed where there is none.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// One thing to be done, and what it is for.
struct Step {
    name: &'static str,
    run: fn() -> Result<(), String>,
}

/// In this order; one that fails does not keep the others from running, except the first.
const STEPS: [Step; 12] = [
    Step { name: "peers", run: peers },
    Step { name: "format", run: || cargo(&["fmt", "--all", "--check"], &[]) },
    Step { name: "clippy", run: || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]) },
    Step { name: "build", run: build },
    Step { name: "tests", run: || cargo(&["test", "--workspace", "--no-fail-fast"], &[]) },
    Step { name: "conformance", run: conformance },
    Step { name: "known failures", run: known_failures },
    Step { name: "simulator", run: simulator },
    Step { name: "instructions", run: || instructions(&[]) },
    Step {
        name: "documentation",
        run: || cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
    },
    Step { name: "dependencies", run: dependencies },
    Step { name: "lock file", run: lock_file },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => test(),
        ["death"] => death("10"),
        ["death", "--times", times] => death(times),
        ["siege"] => siege("20000"),
        ["siege", "--times", times] => siege(times),
        ["soak"] => soak("20"),
        ["soak", "--minutes", minutes] => soak(minutes),
        ["beside", more @ ..] => beside(more),
        ["instructions", more @ ..] => ended(peers().and_then(|()| instructions(more))),
        ["fuzz", more @ ..] => fuzz::command(more),
        _ => {
            eprintln!(
                "usage: cargo xtask test | death [--times N] | siege [--times N] | soak [--minutes N] | beside [publish] [notify] [calls] | instructions [--accept] | {}",
                fuzz::USAGE
            );
            ExitCode::from(2)
        }
    }
}

/// Kills a node in its calls, so many times; the count and the slowest clearing are printed.
fn death(times: &str) -> ExitCode {
    repeated("death", "at_whatever_instant_of_a_call_it_dies_nobody_stays_on_the_phone", ("OFFHOOK_DEATHS", times))
}

/// Besieges a node with so many hostile and unfinished transactions; its memory before, meanwhile and after is printed.
fn siege(times: &str) -> ExitCode {
    repeated("siege", "after_a_siege_the_memory_is_back_where_it_was", ("OFFHOOK_SIEGE", times))
}

/// Measures Offhook beside Kamailio; bench/README.md says what and how.
fn beside(more: &[&str]) -> ExitCode {
    let build = ["build", "--release", "--package", "offhook", "--package", "bench"];
    let mut measure = vec!["run", "--quiet", "--release", "--package", "bench", "--", "beside"];
    measure.extend(more);
    ended(peers().and_then(|()| cargo(&build, &[])).and_then(|()| cargo(&measure, &[])))
}

/// Counts the instructions of what the core does, beside what they were. The program is the one that the tests have built:
/// of the whole workspace, since its features make the code what it is, and incremental as by default, since that decides
/// what is translated together.
fn instructions(more: &[&str]) -> Result<(), String> {
    cargo(&["build", "--quiet", "--workspace", "--bin", "bench"], &[("CARGO_INCREMENTAL", "1")])?;
    let mut count = vec!["instructions"];
    count.extend(more);
    run(Command::new(beside_this("bench")?).args(count))
}

/// Mixed load with faults on the presence server for so many minutes; a line for each check is printed.
fn soak(minutes: &str) -> ExitCode {
    repeated("soak", "whatever_happens_every_watcher_sees_what_the_bookkeeper_knows", ("OFFHOOK_SOAK", minutes))
}

/// Runs one test that a variable tells how often, and shows what it prints.
fn repeated(file: &str, test: &str, times: (&str, &str)) -> ExitCode {
    let outcome =
        build().and_then(|()| cargo(&["test", "-p", "tests", "--test", file, test, "--", "--nocapture"], &[times]));
    ended(outcome)
}

/// A program that was built together with this one.
fn beside_this(name: &str) -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    Ok(this.with_file_name(name))
}

/// What became of a command that is asked for by itself.
fn ended(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn test() -> ExitCode {
    let begin = Instant::now();
    let mut results: Vec<(&str, Duration, Result<(), String>)> = Vec::new();
    for step in &STEPS {
        println!("\n=== {} ===", step.name);
        let began = Instant::now();
        let result = (step.run)();
        let took = began.elapsed();
        match &result {
            Ok(()) => println!("=== {}: ok, {:.1} s ===", step.name, took.as_secs_f64()),
            Err(why) => println!("=== {}: FAILED after {:.1} s: {why} ===", step.name, took.as_secs_f64()),
        }
        let stop = result.is_err() && step.name == "peers";
        results.push((step.name, took, result));
        if stop {
            break;
        }
    }
    println!("\n=== summary ===");
    let mut failed = 0;
    for (name, took, result) in &results {
        let verdict = match result {
            Ok(()) => "ok".to_owned(),
            Err(why) => format!("FAILED: {why}"),
        };
        println!("{name:<16} {:>7.1} s  {verdict}", took.as_secs_f64());
        failed += usize::from(result.is_err());
    }
    let passed = results.len() - failed;
    println!("{:<16} {:>7.1} s  {passed} passed, {failed} failed", "together", begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Installs what is missing, so that a fresh machine needs only Rust. What cannot be installed is a failure.
fn peers() -> Result<(), String> {
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("all there: {}", PACKAGES.join(", "));
        return Ok(());
    }
    println!("to be installed by apt: {}", missing.join(", "));
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)?;
    match missing.into_iter().find(|package| !is_installed(package)) {
        None => Ok(()),
        Some(package) => Err(format!("{package} is still not installed")),
    }
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root {
        command.args(["-n", "env"]);
    }
    run(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments))
}

/// Everything that the next steps run, so that their time is their own. The tests with real peers start the program
/// that lies beside them.
fn build() -> Result<(), String> {
    cargo(&["test", "--workspace", "--no-run"], &[])
}

/// The rules of the RFCs, which the tests have tried at Offhook, at Kamailio: what it breaks is exactly what the tables say.
fn conformance() -> Result<(), String> {
    cargo(&["test", "-p", "tests", "--test", "rfc3903", "--test", "rfc6665"], &[("OFFHOOK_PEER", "kamailio")])
}

/// Seeded worlds in virtual time, and builds that are broken on purpose, each of which it must find.
fn simulator() -> Result<(), String> {
    cargo(&["run", "--quiet", "--package", "sim", "--", "--seeds", "1000"], &[])?;
    cargo(&["run", "--quiet", "--package", "sim", "--", "--mutants"], &[])
}

/// Tests that are known to fail say why beside them; one that passes must lose its mark.
fn known_failures() -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast", "--tests", "--", "--ignored"]).stderr(Stdio::null());
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let with = |end: &str| -> Vec<&str> {
        text.lines().filter(|line| line.starts_with("test ") && line.ends_with(end)).collect()
    };
    for line in with("... FAILED") {
        println!("still failing, as known: {line}");
    }
    match with("... ok").as_slice() {
        [] => Ok(()),
        passing => Err(format!("these pass now, remove their #[ignore]: {passing:?}")),
    }
}

fn dependencies() -> Result<(), String> {
    if !Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        cargo(&["install", CARGO_DENY, "--locked", "--quiet"], &[])?;
    }
    cargo(&["deny", "--workspace", "check", "bans", "licenses", "sources"], &[])
}

/// The lock file is the one that the manifests ask for.
fn lock_file() -> Result<(), String> {
    run(Command::new("cargo").args(["metadata", "--locked", "--format-version", "1"]).stdout(Stdio::null()))
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    run(Command::new("cargo").args(arguments).envs(environment.iter().copied()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    let status = command.status().map_err(|error| format!("`{line}` does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}
