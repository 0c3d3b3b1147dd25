//! The whole session border controller as one deterministic machine: bytes and answers in, bytes and questions out.
#![forbid(unsafe_code)]

pub mod configuration;
pub mod contract;
pub mod port;
pub mod report;

pub use contract::{Boot, Closed, Input, Machine, Output, Tell, Wake, Wall, WriteId};
pub use port::{Answer, AskId, Question};
pub use report::Report;
