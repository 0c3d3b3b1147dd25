//! What outlives a restart: publications, subscriptions, and answers that may be asked for once more.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sip::Aor;

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
    /// The configured peer.
    pub peer: Option<Arc<str>>,
    /// The `+sip.instance` of its Contact.
    pub instance: Box<str>,
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
    /// The entity-tag of the answer.
    pub entity_tag: EntityTag,
    /// The seconds that were granted.
    pub granted: u32,
    /// When the request was answered.
    pub at: Instant,
}

/// An entity-tag of ours, in place: there are as many of them as publications.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    length: u8,
    octets: [u8; EntityTag::LONGEST],
}

impl EntityTag {
    /// The longest that we make: five digits of an owner, a dot and twenty of chance.
    const LONGEST: usize = 26;

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
