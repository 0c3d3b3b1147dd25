//! Every bound of a node that is not of one room alone.

use std::time::Duration;

/// Streams open at once, accepted and opened, for one node.
pub const STREAMS: usize = 100_000;

/// Requests that wait for a host name to be resolved.
pub const UNRESOLVED: usize = 10_000;

/// Questions to the directory under way.
pub const QUESTIONS: usize = 100_000;

/// Malformed messages reported one by one in a second; beyond that they are counted.
pub const FAULTS_REPORTED: u32 = 10;

/// How long an orderly stop may take.
pub const STOP: Duration = Duration::from_secs(10);
