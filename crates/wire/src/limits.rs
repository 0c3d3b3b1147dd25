//! Every bound on what is read from the network.

/// The longest SIP message, in octets: what a datagram can hold.
pub const MESSAGE: usize = 65_535;

/// Header lines in one message.
pub const HEADERS: usize = 128;

/// The longest name of a header, in octets.
pub const HEADER_NAME: usize = 255;

/// The head of a message on a stream, up to the empty line, in octets.
pub const HEAD: usize = 32_768;

/// The longest presence document that is read, in octets.
pub const DOCUMENT: usize = 65_536;

/// How deep a presence document may nest.
pub const DEPTH: usize = 32;

/// Nodes in one presence document.
pub const NODES: u32 = 4_096;

/// Attributes and namespace declarations of one element of a presence document.
pub const ATTRIBUTES: usize = 64;

/// Dialogs in one dialog document: those that a presence server tells, and those it tells to be over.
pub const DIALOGS: usize = 80;

/// Parameters of one target in a dialog document.
pub const TARGET_PARAMS: usize = 8;

/// Watchers in one watcher information document.
pub const WATCHERS: usize = 1_000;
