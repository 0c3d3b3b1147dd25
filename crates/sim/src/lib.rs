//! A seeded world around a node: phones, presence servers that misbehave, a network that loses, and an oracle.
#![forbid(unsafe_code)]

mod fates;
mod mutant;
mod network;
mod nodes;
mod oracle;
mod setting;
mod shrink;
mod stand_in;
mod swarm;
mod truth;
mod world;

pub use mutant::{MUTANTS, Mutant, Store};
pub use shrink::shortest;
pub use swarm::Feature;
pub use world::{Outcome, Play, run};
