//! Whole conversations: callers and callees around the calls of a node, through real transactions, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should say where")]
#![allow(clippy::disallowed_methods, reason = "a virtual clock starts somewhere")]

mod cancel;
mod dialogs;
mod ending;
mod forking;
mod legs;
mod refusal;
mod registrar;
mod session;
mod setup;
mod world;
