//! User agents, sans-IO: a phone and a watcher, for the demo and for the simulator.
#![forbid(unsafe_code)]

pub mod phone;
pub mod watcher;
