//! What keeps presence: the publisher (event publication agent), the documents, and the presence server (compositor and notifier).
#![forbid(unsafe_code)]

pub mod document;
pub mod publisher;
pub mod server;
