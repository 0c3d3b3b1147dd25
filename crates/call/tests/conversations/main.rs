//! Whole conversations of the calls and the registrar, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod races;
mod setup;
mod world;
