//! What a node is told once, at its start: listeners, peers, routes, users, presence servers.

/// The number of a certificate with its key and trust; the runtime knows the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(pub u16);
