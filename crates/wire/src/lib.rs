//! Bytes to values and back: SIP messages and presence documents, without state.
#![forbid(unsafe_code)]

pub mod limits;
pub mod pidf;
pub mod sip;
