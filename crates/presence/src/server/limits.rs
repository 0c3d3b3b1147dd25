//! Every bound of the presence server.

use std::time::Duration;

/// Presentities of one event package with state of any kind: a publication or a subscription.
pub const PRESENTITIES: usize = 2_000_000;

/// Live publications of one presentity in one event package.
pub const PUBLICATIONS_PER_PRESENTITY: usize = 32;

/// Subscriptions to one presentity in one event package.
pub const SUBSCRIPTIONS_PER_PRESENTITY: usize = 2_000;

/// Subscriptions of one user to one presentity, their own and through lists, once half of its room is taken: the other half is for others.
pub const SUBSCRIPTIONS_OF_ONE_TO_ONE: usize = 100;

/// Subscriptions of the whole server.
pub const SUBSCRIPTIONS: usize = 2_000_000;

/// Octets of a PUBLISH body.
pub const BODY: usize = 16 * 1024;

/// Octets of the bodies of all live publications of one presentity, so that the composed document fits into a message.
pub const BODIES_PER_PRESENTITY: usize = 40 * 1024;

/// How many octets are written at most for each octet of a published document: a namespace may have to be declared anew.
pub const WRITTEN_LARGER: usize = 4;

/// Octets that are written beyond that, so that short documents have room.
pub const WRITTEN_ROOM: usize = 1024;

/// Octets of one piece of a published document, after which no more is copied.
pub const PIECE: usize = 80 * 1024;

/// Octets of a composed document, so that it fits into a message; where there would be more, only what matters most is told.
pub const COMPOSED: usize = 60 * 1024;

/// XML nodes (elements and texts) of a published document.
pub const NODES: u32 = 4_096;

/// Depth of nested elements in a published document.
pub const DEPTH: usize = 16;

/// Tuples of one published document.
pub const TUPLES: usize = 32;

/// Devices of one published document.
pub const DEVICES: usize = 16;

/// Parts of a person, or extensions of a document, that one publication may bring.
pub const PARTS: usize = 64;

/// Activities outside the vocabulary of RFC 4480 that one publication may bring, and that a composed document carries.
pub const OTHER_ACTIVITIES: usize = 16;

/// Octets of a published id that is kept as it is; longer ones are rewritten.
pub const ID: usize = 64;

/// Octets of an Event `id` parameter, a `+sip.instance` and an entity-tag that a peer sends.
pub const TOKEN: usize = 256;

/// The longest Retry-After that a failed NOTIFY is allowed to ask for.
pub const RETRY_AFTER: Duration = Duration::from_secs(600);

/// The Retry-After that is sent where a bound is reached.
pub const FULL_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Things that the node itself may tell of one presentity in one event package at a time. Of those beyond it nobody learns, even when
/// others have ended: it is more than one user ever has.
pub const TOLD_PER_PRESENTITY: usize = 1_024;

/// Documents that are kept at a time for watchers that know an earlier moment than the others.
pub const PARTINGS: usize = 8;

/// Dialogs, or watchers, that have ended and are remembered for watchers that do not know it yet.
pub const ENDED: usize = 16;

/// Dialogs of one presentity that are told at a time; what is said of more is not heard.
pub const DIALOGS: usize = 64;

/// Watchers in one document, so that it fits into a message.
pub const WATCHERS: usize = 250;

/// Octets of a name, a tag or a URI in a dialog document; longer ones are left out.
pub const DIALOG_TEXT: usize = 256;

/// Octets of a dialog document, so that it fits into a message.
pub const DIALOG_DOCUMENT: usize = 40 * 1024;

/// Those who asked to watch one presentity, left before anybody decided, and are remembered.
pub const WAITING_PER_PRESENTITY: usize = 64;

/// The same, for the whole server.
pub const WAITING: usize = 100_000;

/// Live publications of the whole server.
pub const PUBLICATIONS: usize = 2_000_000;

/// Octets of the bodies of all live publications.
pub const BODIES: usize = 4 << 30;

/// Live publications of one peer, whoever they are for; others find room beside them.
pub const PUBLICATIONS_PER_PEER: usize = PUBLICATIONS / 4 * 3;

/// Octets of the bodies of one peer's live publications.
pub const BODIES_PER_PEER: usize = BODIES / 4 * 3;

/// Subscriptions of one peer, whoever watches through it.
pub const SUBSCRIPTIONS_PER_PEER: usize = SUBSCRIPTIONS / 4 * 3;

/// Subscriptions of one user.
pub const SUBSCRIPTIONS_PER_WATCHER: usize = 2_000;

/// Lanes in which NOTIFYs wait, so that those of one presentity do not hold up another's.
pub const LANES: usize = 1_024;

/// Places of a lane that stay reserved once it is empty.
pub const LANE_KEPT: usize = 64;

/// NOTIFYs that leave at one moment. The next are composed while those are on their way, and who is told first does not wait for the last.
pub const NOTIFIES_AT_ONCE: u32 = 16;

/// NOTIFYs that leave after each input, however many left at the same moment.
pub const NOTIFIES_PER_INPUT: u32 = 4;

/// The longest time between two NOTIFYs that a `max-rate` may ask for.
pub const MAX_RATE_INTERVAL: Duration = Duration::from_secs(3600);

/// The shortest time between two NOTIFYs without news that a `min-rate` may ask for.
pub const MIN_RATE_INTERVAL: Duration = Duration::from_secs(5);

/// The numbers for NOTIFYs that a subscription reserves in the store at once.
pub const RESERVED: u32 = 256;

/// NOTIFYs a second that tell the watchers of an earlier run how things are now.
pub const RETURNING_PER_SECOND: u32 = 2_000;

/// How often some of those leave.
pub const RETURNING: Duration = Duration::from_millis(50);

/// Answers and NOTIFYs that wait for the store; beyond it new requests are turned away.
pub const HELD: usize = 100_000;

/// Answers that the store keeps of requests that left nothing else behind.
pub const ANSWERS_SAVED: u32 = 65_536;

/// Answers of an earlier run that are kept for requests that come again.
pub const ANSWERS: usize = 1_000_000;

/// Resources of one list.
pub const LIST: usize = 1_000;

/// Octets of what names all resources of a list, so that it fits into a message.
pub const LIST_OCTETS: usize = 54 * 1024;

/// Octets that a NOTIFY about a list is filled up to, so that it fits into a message.
pub const LIST_NOTIFY: usize = 48 * 1024;

/// XML nodes of a list in a request.
pub const LIST_NODES: u32 = 16_384;

/// Octets of a URI in a list.
pub const LIST_URI: usize = 256;

/// Octets of a name in a list; longer ones are left out.
pub const LIST_NAME: usize = 128;

/// Members of all lists that one user watches.
pub const MEMBERS_PER_WATCHER: usize = 10_000;

/// Members of lists, of all watchers.
pub const FOLLOWERS: usize = 2_000_000;

/// How much longer than the subscription to their list members are followed, should its owner not say that it is over.
pub const FOLLOWED_LONGER: Duration = Duration::from_secs(60);

/// How long a fetch of a list waits for members that are not known yet.
pub const FETCH_PATIENCE: Duration = Duration::from_millis(500);

/// How long members are followed for a fetch.
pub const FETCHED: Duration = Duration::from_secs(60);
