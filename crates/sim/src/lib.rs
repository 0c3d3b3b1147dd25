//! A seeded world around a node: phones, watchers, presence servers that misbehave, a network that loses, and an oracle.
#![forbid(unsafe_code)]

mod cast;
mod fates;
mod lines;
mod lookout;
mod mutant;
mod network;
mod nodes;
mod notified;
mod oracle;
mod press;
mod related;
mod setting;
mod shrink;
mod stand_in;
mod subscription;
mod swarm;
mod truth;
mod watcher;
mod watching;
mod world;

pub use mutant::{MUTANTS, Mutant, Store};
pub use shrink::shortest;
pub use swarm::Feature;
pub use world::{Outcome, Play, run};
