//! The transaction layer in virtual time: what it sends, when, where, and whom it tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod connections;
mod matching;
mod merged;
mod response_way;
mod slow;
mod world;
