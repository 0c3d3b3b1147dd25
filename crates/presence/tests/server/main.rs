//! The presence server in virtual time: one module per RFC section, one sentence per test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

mod authorization;
mod bounds;
mod composition;
mod dialog;
mod durability;
mod field;
mod hard_state;
mod lists;
mod message_summary;
mod rates;
mod returning;
mod rfc3903_section_6;
mod rfc6665_section_4_2;
mod store;
mod supersede;
mod walk;
mod winfo;
mod world;
