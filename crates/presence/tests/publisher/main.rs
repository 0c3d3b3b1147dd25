//! The publisher in virtual time, against each line of its table: what it sends at which moment, and what each answer makes it do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

mod answers;
mod failures;
mod field;
mod moments;
mod survival;
mod walk;
mod world;
