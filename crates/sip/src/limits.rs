//! Every bound of the protocol engine.

/// Transactions of one node, client and server together; beyond it new requests are answered 503.
pub const TRANSACTIONS: usize = 1_000_000;

/// Routes in one route set.
pub const ROUTES: usize = 32;

/// Nonces of which the count is kept, to refuse replays.
pub const NONCES: usize = 100_000;
