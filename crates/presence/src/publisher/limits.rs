//! Every bound of the publisher.

use std::time::Duration;

/// Calls of one user that are counted; beyond it the user stays on the phone until all of these have ended.
pub const CALLS_PER_USER: usize = 1_000;

/// Publications of one node.
pub const PUBLICATIONS: usize = 1_000_000;

/// Entity-tags that came late and wait to be removed, for one publication.
pub const ORPHANS: usize = 16;

/// The longest pause between two attempts.
pub const BACK_OFF: Duration = Duration::from_secs(60);

/// The pause after a first failure.
pub const FIRST_BACK_OFF: Duration = Duration::from_secs(1);

/// How long a refusal of a user or a server holds.
pub const REFUSED: Duration = Duration::from_secs(300);

/// The shortest time between two fresh initials after 412.
pub const AFTER_412: Duration = Duration::from_secs(10);

/// A grant below this is reported.
pub const SHORT_GRANT: Duration = Duration::from_secs(10);

/// How long before its end a grant is refreshed at the latest, where it is long enough.
pub const MARGIN: Duration = Duration::from_secs(32);

/// Attempts with credentials or a longer interval that one PUBLISH gets.
pub const RETRIES: u8 = 4;

/// Removals after a restart that leave at once; the others follow one by one.
pub const AT_ONCE: usize = 1_000;

/// The pace of the others.
pub const PACE: Duration = Duration::from_millis(5);

/// How long a PUBLISH is repeated, so that its last copy may arrive that late (Timer F, RFC 3261 section 17.1.2.2).
pub const TRANSACTION: Duration = Duration::from_secs(32);

/// How long after its record a PUBLISH may still arrive: as long as two transactions, for the first may be challenged, or turned
/// away to another address, at its very end.
pub const ON_ITS_WAY: Duration = Duration::from_secs(2 * TRANSACTION.as_secs());
