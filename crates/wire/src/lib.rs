//! Bytes to values and back: SIP messages and the documents of presence, without state.
#![forbid(unsafe_code)]

pub mod dialog_info;
pub mod limits;
pub mod pidf;
pub mod sip;
pub mod watcher_info;
mod xml;

pub use xml::DocumentFault;
