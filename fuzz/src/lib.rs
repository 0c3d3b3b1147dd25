//! What every input must survive: one function for each thing that reads what others write, with its oracle.
//!
//! A function panics where a promise is broken, and returns otherwise. `drivers` hands it what libFuzzer makes up;
//! `tests/replay.rs` hands it what the repository keeps.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "an oracle's verdict is a panic")]

mod border;
mod configuration;
mod document;
mod framing;
mod headers;
mod message;
mod package;
mod records;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its driver, and of its folder in the corpus.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Folders of `tests/material` whose files are inputs too.
    pub material: &'static [&'static str],
}

const TORTURE: &[&str] = &["torture/rfc4475", "torture/rfc5118", "torture/rfc5118-fixed", "torture/extra"];

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "message", run: message::run, material: TORTURE },
    Target { name: "framing", run: framing::run, material: TORTURE },
    Target { name: "headers", run: headers::run, material: &[] },
    Target { name: "document", run: document::run, material: &["pidf"] },
    Target { name: "package", run: package::run, material: &[] },
    Target { name: "configuration", run: configuration::run, material: &[] },
    Target { name: "records", run: records::run, material: &[] },
    Target { name: "border", run: border::run, material: TORTURE },
];

/// Runs the target of this name.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}

/// What the store holds after a script of the target `border`, as an input of the target `records`.
#[must_use]
pub fn records_after(script: &[u8]) -> Vec<u8> {
    records::input_of(&border::after(script))
}
