//! The SIP protocol engine: transactions, dialogs, digest, timers and names, without a clock or a socket.
#![forbid(unsafe_code)]

mod aor;
pub mod dialog;
pub mod digest;
pub mod levels;
pub mod limits;
mod message;
mod names;
mod numbered;
mod random;
mod tables;
pub mod timer;
pub mod transaction;
pub mod transport;

pub use aor::Aor;
pub use message::{Body, ContactUser, Request, Response, Target};
pub use names::{Names, Owner};
pub use random::Random;
pub use tables::{KeyedMap, KeyedState, NumberHasher, NumberMap, NumberState, Table};
