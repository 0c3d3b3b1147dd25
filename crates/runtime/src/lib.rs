//! The thin shell: sockets, clock and the one loop around each node. Nothing is decided here.
//!
//! One thread per core, each with sockets and a [`node::Machine`] of its own, none of them waiting for another. A worker
//! takes what its sockets have ready as one batch, hands it to its machine input by input, drains the machine after each,
//! and sends what came out as one batch.
#![deny(unsafe_code)]

mod allocator;
mod core;
mod gauge;
pub mod limits;
mod neighbours;
mod outgoing;
mod report;
mod settings;
mod sockets;
mod start;
mod streams;
mod tap;
mod timer;
mod tls;
mod udp;
mod update;
mod worker;

pub use allocator::Allocator;
pub use report::{Incident, Reported, What};
pub use settings::{ClientCertificates, IdentitySettings, ListenerSettings, Pem, Settings, StreamSettings};
pub use start::{Handle, Progress, Runtime, StartError, StopOutcome};
pub use tap::{Direction, Tap, Tapped};
pub use tls::certificate_names;
pub use update::Update;
