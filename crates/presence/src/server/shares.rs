//! How much of the room each peer takes up, so that one that runs wild leaves some for the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::refusal::Refusal;
use super::{Identity, limits};

/// What one peer may have here at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Live publications.
    pub publications: usize,
    /// Octets of their bodies.
    pub octets: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            publications: limits::PUBLICATIONS_PER_PEER,
            octets: limits::BODIES_PER_PEER,
            subscriptions: limits::SUBSCRIPTIONS_PER_PEER,
        }
    }
}

/// Of which peer a publication is: of none if it is a user's, this very node's, or an earlier run's that nobody has refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source(u16);

const TOO_MANY: &str = "too many publications";
const TOO_MANY_OF_ONE: &str = "too many publications of one peer";

/// The publications of all and of each.
#[derive(Debug)]
pub(super) struct Shares {
    share: Share,
    all: Kept,
    peers: BTreeMap<Arc<str>, Source>,
    kept: Vec<Kept>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    publications: usize,
    octets: usize,
}

impl Kept {
    fn add(&mut self, octets: usize) {
        self.publications += 1;
        self.octets += octets;
    }

    fn remove(&mut self, octets: usize) {
        self.publications = self.publications.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
    }

    /// Whether so much more is no more than the most there may be, of publications and of octets.
    fn admits(self, publications: usize, octets: usize, most: (usize, usize)) -> bool {
        self.publications + publications <= most.0 && self.octets + octets <= most.1
    }
}

impl Shares {
    pub(super) fn new(share: Share) -> Self {
        Self { share, all: Kept::default(), peers: BTreeMap::new(), kept: vec![Kept::default()] }
    }

    /// How many publications there are.
    pub(super) fn publications(&self) -> usize {
        self.all.publications
    }

    /// Who a publication is counted for. There are as many peers as were ever configured.
    pub(super) fn source(&mut self, who: &Identity) -> Source {
        let Some(peer) = &who.peer else { return Source::default() };
        if let Some(known) = self.peers.get(peer) {
            return *known;
        }
        let Ok(number) = u16::try_from(self.kept.len()) else { return Source::default() };
        self.kept.push(Kept::default());
        self.peers.insert(Arc::clone(peer), Source(number));
        Source(number)
    }

    /// Whether there is room for another publication of so many octets, in the place of those that it supersedes.
    pub(super) fn room(
        &self,
        source: Source,
        octets: usize,
        superseded: impl Iterator<Item = (Source, usize)>,
    ) -> Result<(), Refusal> {
        let (mut all, mut own) = (self.all, self.of(source));
        for (of, octets) in superseded {
            all.remove(octets);
            if let Some(own) = own.as_mut().filter(|_| of == source) {
                own.remove(octets);
            }
        }
        let Share { publications, octets: most, .. } = self.share;
        if !all.admits(1, octets, (limits::PUBLICATIONS, limits::BODIES)) {
            return Err(Refusal::overloaded(TOO_MANY));
        }
        if own.is_some_and(|own| !own.admits(1, octets, (publications, most))) {
            return Err(Refusal::full(TOO_MANY_OF_ONE));
        }
        Ok(())
    }

    /// Whether there is room for a publication to become so many octets longer.
    pub(super) fn room_to_grow(&self, source: Source, octets: usize) -> Result<(), Refusal> {
        if octets == 0 {
            return Ok(());
        }
        if !self.all.admits(0, octets, (usize::MAX, limits::BODIES)) {
            return Err(Refusal::overloaded(TOO_MANY));
        }
        if self.of(source).is_some_and(|own| !own.admits(0, octets, (usize::MAX, self.share.octets))) {
            return Err(Refusal::full(TOO_MANY_OF_ONE));
        }
        Ok(())
    }

    /// What a peer has here; none of who is no peer.
    fn of(&self, source: Source) -> Option<Kept> {
        self.kept.get(usize::from(source.0)).filter(|_| source != Source::default()).copied()
    }

    /// There is another publication.
    pub(super) fn add(&mut self, source: Source, octets: usize) {
        self.all.add(octets);
        if let Some(kept) = self.kept.get_mut(usize::from(source.0)) {
            kept.add(octets);
        }
    }

    /// A publication of so many octets is now another's.
    pub(super) fn passed_on(&mut self, from: &mut Source, to: Source, octets: usize) {
        if *from != to {
            self.remove(*from, octets);
            self.add(to, octets);
            *from = to;
        }
    }

    /// A publication is no more.
    pub(super) fn remove(&mut self, source: Source, octets: usize) {
        self.all.remove(octets);
        if let Some(kept) = self.kept.get_mut(usize::from(source.0)) {
            kept.remove(octets);
        }
    }
}
