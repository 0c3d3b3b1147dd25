//! Every bound of the calls.

use std::time::Duration;

/// Calls of one node; beyond it new ones get 503 with Retry-After.
pub const CALLS: usize = 100_000;

/// Contacts that one call rings at once.
pub const FORKS: usize = 16;

/// How long a call may ring, the look-up of the callee included.
pub const RINGING: Duration = Duration::from_secs(180);

/// How long an INVITE that got a 2xx is remembered, to acknowledge one that comes again or from a fork (RFC 6026,
/// Timer M).
pub const ACCEPTED: Duration = Duration::from_secs(33);

/// What is added to the CSeq of a BYE after a restart: more than the requests that may have left unrecorded.
pub const CSEQ_SLACK: u32 = 100;

/// The longest session that the other side may make us ask for (422).
pub const LONGEST_SESSION: Duration = Duration::from_secs(7200);

/// The briefest session that a 2xx may give us, whatever it says.
pub const BRIEFEST_SESSION: Duration = Duration::from_secs(20);

/// How long before its end a session that the other side refreshes is given up, where a third of it is not less.
pub const BEFORE_THE_END: Duration = Duration::from_secs(32);

/// The pause after a refresh that came at a bad moment, or found no connection.
pub const REFRESH_AGAIN: Duration = Duration::from_secs(5);

/// Bindings of one address-of-record.
pub const BINDINGS: usize = 16;

/// Addresses-of-record with bindings.
pub const REGISTERED: usize = 1_000_000;

/// How long after a restart a 2xx of the earlier run may still be acknowledged: 64 times T1 and what it takes to arrive.
pub const GHOST: Duration = Duration::from_secs(40);
