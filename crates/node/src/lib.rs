//! The whole session border controller as one deterministic machine: bytes and answers in, bytes and questions out.
#![forbid(unsafe_code)]

mod arrive;
pub mod configuration;
pub mod contract;
mod cut_off;
mod depart;
mod flows;
mod lamps;
pub mod limits;
mod lists;
mod node;
pub mod numbers;
pub mod on_the_phone;
mod overload;
mod ownership;
pub mod port;
mod reach;
mod record;
mod records;
pub mod report;
mod returning;
mod rooms;

pub use contract::{Boot, Closed, Input, Machine, Output, Tell, Wake, Wall, WriteId};
pub use node::{Load, Mutant, Node};
pub use on_the_phone::Role;
pub use port::{Answer, AskId, Question};
pub use record::FORM;
pub use records::Records;
pub use report::Report;
