//! A seeded world around a node: phones, a presence server that misbehaves, a network that loses, and an oracle.
#![forbid(unsafe_code)]

mod stand_in;
mod world;

pub use presence::publisher::Mutant;
pub use world::{Outcome, run};
