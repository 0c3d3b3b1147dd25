//! The session border controller that keeps presence true, as one program: configuration, command line, ladders.
#![forbid(unsafe_code)]

pub mod command;
pub mod configuration;
pub mod demo;
pub mod ladder;
mod reload;
pub mod run;
mod service;
