//! What the fuzzers have found, and what they begin with, goes through the same functions in every test run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};

#[test]
fn everything_that_was_ever_found_holds() {
    let mut failed = Vec::new();
    for target in TARGETS {
        for file in inputs(&target) {
            let input = fs::read(&file).unwrap();
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
                failed.push(format!("{}: {}", target.name, file.display()));
            }
        }
    }
    assert!(failed.is_empty(), "these broke a promise:\n{}", failed.join("\n"));
}

#[test]
fn every_target_has_a_corpus_and_a_driver() {
    for target in TARGETS {
        assert!(!inputs(&target).is_empty(), "fuzz/corpus/{} is empty", target.name);
        let driver = here().join("drivers/fuzz_targets").join(target.name).with_extension("rs");
        let text = fs::read_to_string(&driver).unwrap_or_else(|error| panic!("{}: {error}", driver.display()));
        assert!(text.contains(&format!("{:?}", target.name)), "{} runs another target", driver.display());
    }
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The corpus of a target, what was found for it, and the material that it reads besides.
fn inputs(target: &Target) -> Vec<PathBuf> {
    let own = ["corpus", "found"].map(|folder| here().join(folder).join(target.name));
    let material = target.material.iter().map(|folder| here().join("../tests/material").join(folder));
    own.into_iter().chain(material).flat_map(|folder| files(&folder)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file() && !is_text(path)).collect();
    files.sort();
    files
}

/// The word about a folder is no input.
fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md" || extension == "tsv")
}

#[test]
fn what_a_script_leaves_in_the_store_can_be_taken_up() {
    let border = TARGETS.into_iter().find(|target| target.name == "border").unwrap();
    for file in inputs(&border) {
        let script = fs::read(&file).unwrap();
        for end in (0..=script.len().min(200)).rev().step_by(7) {
            fuzz::run("records", &fuzz::records_after(&script[..end]));
        }
    }
}
