//! What stands behind the ports, everything with a brand name: one file each.
#![forbid(unsafe_code)]

mod ahead;
pub mod directory;
pub mod limits;
pub mod locate;
pub mod resolve;
pub mod store;
