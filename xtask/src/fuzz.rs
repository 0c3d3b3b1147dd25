//! `cargo xtask fuzz`: each fuzz target for some minutes, beginning with what the repository keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

pub(crate) const USAGE: &str = "fuzz [--minutes N] [TARGET ...]";

/// The version that is installed where there is none.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";

/// The targets; the crate `fuzz` has what they do, and the folders of `tests/material` that they read besides.
const TARGETS: [(&str, &[&str]); 8] = [
    ("message", TORTURE),
    ("framing", TORTURE),
    ("headers", &[]),
    ("document", &["pidf"]),
    ("package", &[]),
    ("configuration", &[]),
    ("records", &[]),
    ("border", TORTURE),
];

const TORTURE: &[&str] = &["torture/rfc4475", "torture/rfc5118", "torture/rfc5118-fixed", "torture/extra"];

/// What libFuzzer may need for one input, in seconds and megabytes; more is a fault of ours.
const LIMITS: [&str; 3] = ["-timeout=5", "-rss_limit_mb=2048", "-max_len=65536"];

/// Runs the targets that are named, or all.
pub(crate) fn command(arguments: &[&str]) -> ExitCode {
    let (minutes, names) = match arguments {
        ["--minutes", minutes, names @ ..] => (minutes.parse().ok(), names),
        names => (Some(10), names),
    };
    let chosen: Vec<_> = TARGETS.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
    let unknown = names.iter().any(|name| TARGETS.iter().all(|(known, _)| known != name));
    let Some(minutes) = minutes.filter(|_| !unknown) else {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: cargo xtask {USAGE}; the targets are {}", known.join(", "));
        return ExitCode::from(2);
    };
    crate::ended(prepare().and_then(|()| all(&chosen, minutes)))
}

fn prepare() -> Result<(), String> {
    let known = Command::new("cargo").args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        crate::cargo(&["install", CARGO_FUZZ, "--locked", "--quiet"], &[])?;
    }
    Ok(())
}

fn all(targets: &[(&str, &[&str])], minutes: u64) -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, material) in targets {
        println!("=== {name}: {minutes} min ===");
        let result = one(name, material, minutes * 60);
        println!("=== {name}: {} ===", if result.is_ok() { "nothing found" } else { "FOUND SOMETHING" });
        failed.extend(result.err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// What makes a target break lands in `fuzz/found`, from where the normal tests replay it. What only widens its coverage
/// stays in `target`.
fn one(name: &str, material: &[&str], seconds: u64) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let grown = root.join("target/fuzz/corpus").join(name);
    let found = root.join("fuzz/found").join(name);
    for folder in [&grown, &found] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut corpus: Vec<PathBuf> = vec![grown, root.join("fuzz/corpus").join(name)];
    corpus.extend(material.iter().map(|folder| root.join("tests/material").join(folder)));
    let mut command = Command::new("cargo");
    // libFuzzer's instrumentation needs an option of rustc that is not stable yet. Without a sanitizer: the code under
    // test is safe, and so it runs many times faster.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(&root);
    command.args(["fuzz", "run", "--fuzz-dir", "fuzz/drivers", "--sanitizer", "none", "--target-dir"]);
    command.arg(root.join("target/fuzz/build")).arg(name).args(corpus);
    command.arg("--").args(LIMITS).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", found.display())).args(["-print_final_stats=1", "-verbosity=0"]);
    let outcome = crate::run(&mut command);
    // A folder that stayed empty is not worth keeping; whether it is, the next line says by failing.
    let _ = fs::remove_dir(&found);
    outcome
}
