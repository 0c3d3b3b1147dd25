//! A seeded world around a node: phones, a presence server that misbehaves, a network that loses, and an oracle.
#![forbid(unsafe_code)]

mod mutant;
mod stand_in;
mod world;

pub use mutant::{MUTANTS, Mutant, Store};
pub use world::{Outcome, run};
