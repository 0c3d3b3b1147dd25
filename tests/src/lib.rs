//! The test ground: real peers on loopback (Kamailio, SIPp, baresip, linphone), each started and ended by its process id.
//!
//! Every test claims a loopback network of its own ([`Network`]), so that tests run side by side and every party keeps
//! the port that a reader expects. Waiting is polling with a deadline ([`until`]): real peers live in real time.
// A harness reports by panicking: what fails here fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

pub mod agent;
mod baresip;
pub mod conformance;
pub mod conversation;
mod document;
mod folder;
mod kamailio;
mod linphone;
mod network;
mod offhook;
pub mod office;
mod running;
mod sipp;
mod stand_in;
mod tls;
mod xmllint;

pub use baresip::Baresip;
pub use document::Seen;
pub use folder::{Folder, material, repository};
pub use kamailio::{Authentication, Kamailio, Presentity};
pub use linphone::Linphone;
pub use network::{Network, SIP, SIPS};
pub use offhook::{Offhook, STORE_IN_MEMORY};
pub use running::{Running, until};
pub use sipp::{Logged, Sipp, Transport};
pub use stand_in::{Act, Came, StandIn};
pub use tls::{Authority, Identity};
pub use xmllint::{canonical, schema_faults};
