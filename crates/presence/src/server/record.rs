//! What outlives a restart: publications, subscriptions, and answers that may be asked for once more.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sip::Aor;
use sip::dialog::Dialog;
use sip::transport::Flow;

use super::Identity;
use super::list::Resource;

/// What the store is to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A publication whose content has just been received.
    Publication {
        /// Whose publication it is.
        presentity: Aor,
        /// Which of the presentity's; unique among them for ever.
        number: u64,
        /// What it says.
        content: Content,
        /// How long.
        life: Life,
    },
    /// A publication that was only extended: all but its life is as it was.
    Extended {
        /// Whose publication it is.
        presentity: Aor,
        /// Which of the presentity's.
        number: u64,
        /// How long it lives now.
        life: Life,
    },
    /// An answer to a PUBLISH that left nothing else behind.
    Answer {
        /// Where it is kept; the answer that was there before is too old to be asked for.
        slot: u32,
        /// The answer.
        answer: Answer,
    },
    /// A subscription, whole.
    Subscription {
        /// Whom it watches.
        presentity: Aor,
        /// Which of the subscriptions to the presentity; unique among them for ever.
        number: u64,
        /// What never changes about it.
        watcher: Box<Watcher>,
        /// What does.
        progress: Box<Progress>,
    },
    /// A subscription that was refreshed, or whose numbers go on.
    Refreshed {
        /// Whom it watches.
        presentity: Aor,
        /// Which of the subscriptions to the presentity.
        number: u64,
        /// What may have changed about it.
        progress: Box<Progress>,
    },
}

/// What the store is to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// A publication.
    Publication {
        /// Whose publication it was.
        presentity: Aor,
        /// Which of the presentity's.
        number: u64,
        /// Whether [`Record::Extended`] was ever saved of it.
        extended: bool,
    },
    /// A subscription.
    Subscription {
        /// Whom it watched.
        presentity: Aor,
        /// Which of the subscriptions to the presentity.
        number: u64,
        /// Whether [`Record::Refreshed`] was ever saved of it.
        refreshed: bool,
    },
}

/// What a publication says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The name of its event package.
    pub package: Cow<'static, str>,
    /// Ascending in the order in which contents were received.
    pub received: u64,
    /// Of which running publisher it is, if that may supersede itself.
    pub origin: Option<Box<Origin>>,
    /// The body.
    pub body: Arc<[u8]>,
}

/// A publisher that keeps its instance across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The configured peer; none for this very node.
    pub peer: Option<Arc<str>>,
    /// The `+sip.instance` of its Contact.
    pub instance: Box<str>,
}

impl Origin {
    /// This very node, which publishes of its own calls.
    pub(super) fn own() -> Self {
        Self { peer: None, instance: Box::default() }
    }

    pub(super) fn is_own(&self) -> bool {
        self.peer.is_none()
    }
}

/// How long a publication lives, and by which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its newest entity-tag.
    pub entity_tag: EntityTag,
    /// How often it was refreshed or modified; of two records the one with more is the newer.
    pub version: u32,
    /// When it runs out.
    pub expires_at: Instant,
    /// The seconds that were granted.
    pub granted: u32,
    /// What the request that last touched it is known by, should it come again.
    pub mark: u64,
}

/// An answer that is given once more to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the request is known by.
    pub mark: u64,
    /// The entity-tag of the answer; of a SUBSCRIBE the tag in To.
    pub entity_tag: EntityTag,
    /// The seconds that were granted.
    pub granted: u32,
    /// When the request was answered.
    pub at: Instant,
}

/// What never changes about a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The name of the event package.
    pub package: Cow<'static, str>,
    /// The dialog, as it was at the beginning.
    pub dialog: Dialog,
    /// The watcher's URI as its From has it.
    pub uri: Box<str>,
    /// Who the watcher has proved to be.
    pub who: Identity,
    /// The `id` parameter of its Event.
    pub event_id: Option<Box<str>>,
    /// The user part of the Contact that we gave it.
    pub contact_user: Option<Box<str>>,
    /// The list that it watches, if it watches one.
    pub list: Option<WatchedList>,
}

/// A list that somebody watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedList {
    /// It stands in the configuration.
    Configured,
    /// The watcher has sent it.
    Sent(Arc<[Resource]>),
}

/// What changes about a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How often it was saved; of two records the one with more is the newer.
    pub version: u32,
    /// When it runs out.
    pub expires_at: Instant,
    /// The seconds that were granted.
    pub granted: u32,
    /// What the SUBSCRIBE that was answered last is known by, should it come again.
    pub mark: u64,
    /// When that was.
    pub answered_at: Instant,
    /// No NOTIFY has had a CSeq above this one, and no document a version.
    pub reserved: u32,
    /// The CSeq of the watcher's last request.
    pub remote_cseq: Option<u32>,
    /// Where requests to the watcher go.
    pub remote_target: Box<str>,
    /// The flow that reaches the watcher where its Contact does not.
    pub flow: Option<Flow>,
    /// The `max-rate` and the `min-rate` that it asked for.
    pub rates: [Option<Box<str>>; 2],
    /// The list that its watcher has sent since, where it is another than at the beginning.
    pub list: Option<Arc<[Resource]>>,
}

/// An entity-tag of ours, or another of our names, in place: there are as many of them as publications.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    length: u8,
    octets: [u8; EntityTag::LONGEST],
}

impl EntityTag {
    /// The longest that we make: a letter, five digits, a dot and twenty of chance.
    const LONGEST: usize = 27;

    /// The tag with this text; `None` where it is longer than ours are.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut octets = [0; Self::LONGEST];
        octets.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { length: u8::try_from(text.len()).ok()?, octets })
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let octets = self.octets.get(..usize::from(self.length)).unwrap_or_default();
        str::from_utf8(octets).unwrap_or_default()
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
