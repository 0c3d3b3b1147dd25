//! Who owns a message: every call and every presentity has exactly one node, and whoever receives a message can tell which.
//!
//! Names that we made (branches, tags, Call-IDs) say it themselves. What carries no name of ours belongs to a keyed hash:
//! of Call-ID and From tag for calls, of the address-of-record for REGISTER, PUBLISH and SUBSCRIBE.

use std::hash::{BuildHasher, Hash, Hasher};

use sip::{Aor, KeyedState, Names, Owner};
use wire::sip::{Message, Method, Uri};

/// The rule by which owners are found; the same in every node of a process.
#[derive(Clone, Debug)]
pub(crate) struct Ownership {
    key: KeyedState,
    owners: u16,
}

impl Ownership {
    /// A rule for so many owners; the key is shared by all of them and unknown to peers.
    #[must_use]
    pub(crate) fn new(key: KeyedState, owners: u16) -> Self {
        Self { key, owners: owners.max(1) }
    }

    /// The owner of a message, request or response. `canonical` turns an address-of-record into the one that its user is
    /// kept under.
    #[must_use]
    pub(crate) fn of(&self, message: &Message<'_>, canonical: impl Fn(Aor) -> Aor) -> Owner {
        if self.owners == 1 {
            return Owner(0);
        }
        let named = self.named(message).filter(|owner| owner.0 < self.owners);
        named.unwrap_or_else(|| self.hashed(message, canonical))
    }

    /// The owner of everything about an address-of-record: bindings, publications, subscriptions.
    #[must_use]
    pub(crate) fn of_aor(&self, aor: &Aor) -> Owner {
        self.at(self.place(aor))
    }

    /// The place of an address-of-record: the same however many owners share all places.
    #[must_use]
    pub(crate) fn place(&self, aor: &Aor) -> u16 {
        u16::try_from(self.key.hash_one(aor.as_str()) & u64::from(u16::MAX)).unwrap_or(0)
    }

    fn at(&self, place: u16) -> Owner {
        Owner(place % self.owners)
    }

    /// The owner of a call of an earlier run, by a tag that was made for it: whatever still comes inside its dialogs goes
    /// to the same owner.
    pub(crate) fn of_tag(&self, tag: &str) -> Owner {
        Names::owner_of_tag(tag).filter(|owner| owner.0 < self.owners).unwrap_or_else(|| self.of_key(tag.as_bytes()))
    }

    /// The owner of a record that names nobody: every node finds the same.
    #[must_use]
    pub(crate) fn of_key(&self, key: &[u8]) -> Owner {
        self.pick(|hasher| key.hash(hasher))
    }

    /// Every owner there is.
    pub(crate) fn all(&self) -> impl Iterator<Item = Owner> + use<> {
        (0..self.owners).map(Owner)
    }

    fn named(&self, message: &Message<'_>) -> Option<Owner> {
        match message.request() {
            None => message.via().ok()?.branch().and_then(Names::owner_of_branch),
            Some(_) => {
                let tag = message.to_tag()?;
                Names::owner_of_tag(tag).or_else(|| Names::place_of_tag(tag).map(|place| self.at(place)))
            }
        }
    }

    fn hashed(&self, message: &Message<'_>, canonical: impl Fn(Aor) -> Aor) -> Owner {
        match message.method() {
            Method::Register => self.by_uri(message.to().ok().map(|to| to.uri), canonical),
            Method::Publish | Method::Subscribe => self.by_uri(message.uri(), canonical),
            _ => self.pick(|hasher| {
                message.call_id().unwrap_or_default().hash(hasher);
                message.from_tag().unwrap_or_default().hash(hasher);
            }),
        }
    }

    fn by_uri(&self, uri: Option<Uri<'_>>, canonical: impl Fn(Aor) -> Aor) -> Owner {
        uri.and_then(|uri| Aor::from_uri(&uri)).map_or(Owner(0), |aor| self.of_aor(&canonical(aor)))
    }

    fn pick(&self, feed: impl FnOnce(&mut <KeyedState as BuildHasher>::Hasher)) -> Owner {
        let mut hasher = self.key.build_hasher();
        feed(&mut hasher);
        let place = hasher.finish() % u64::from(self.owners);
        Owner(u16::try_from(place).unwrap_or(0))
    }
}
