//! Every bound of a node that is not of one room alone.

use std::time::Duration;

/// Streams open at once, accepted and opened, for one node.
pub const STREAMS: usize = 100_000;

/// Requests that wait for a host name to be resolved.
pub const UNRESOLVED: usize = 10_000;

/// Responses that look for another way to who waits for them, at once.
pub const CUT_OFF: usize = 10_000;

/// Streams of other owners of which it is remembered that they are gone.
pub const GONE: usize = 10_000;

/// Addresses that are remembered because they failed.
pub const AILING: usize = 10_000;

/// How long an address that failed is tried after the others, unless its Retry-After says more.
pub const AILS: Duration = Duration::from_secs(60);

/// How long it is believed of an address that it takes no TCP.
pub const WITHOUT_TCP: Duration = Duration::from_secs(600);

/// Addresses that one request tries.
pub const PLACES: usize = 8;

/// The largest request that goes over UDP where TCP is to be had (RFC 3261 section 18.1.1).
pub const DATAGRAM: usize = 1_300;

/// Questions to the directory under way.
pub const QUESTIONS: usize = 100_000;

/// Malformed messages reported one by one in a second; beyond that they are counted.
pub const FAULTS_REPORTED: u32 = 10;

/// For so long a server has answered nothing at all when it counts as silent: just below Timer F (RFC 3261 section 17.1.2.2).
pub const SILENCE: Duration = Duration::from_secs(31);

/// How soon after a failure a presence server is asked again, at the latest.
pub const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long after a closed connection the next one is no sign of a restart.
pub const CLOSED_COUNTS: Duration = Duration::from_secs(300);

/// How long an orderly stop may take.
pub const STOP: Duration = Duration::from_secs(10);

/// Transactions beyond which new calls, subscriptions and publications are turned away: the rest is for what is there.
pub const MANY_TRANSACTIONS: usize = sip::limits::TRANSACTIONS / 5 * 4;

/// Transactions below which new work is taken again.
pub const FEW_TRANSACTIONS: usize = sip::limits::TRANSACTIONS / 5 * 3;

/// The seconds of the shortest Retry-After for who is turned away.
pub const OVERLOAD_RETRY_AFTER: u32 = 5;

/// The seconds by which such a Retry-After may be longer.
pub const OVERLOAD_RETRY_SPREAD: u32 = 10;
