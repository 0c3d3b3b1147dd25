//! Whole conversations of the calls and the registrar, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests say what must hold")]
#![allow(clippy::disallowed_methods, reason = "a virtual clock starts somewhere")]

mod inside;
mod races;
mod refusals;
mod registrar;
mod setup;
mod world;
