//! The bookkeeper: what must be shown of each presentity, from nothing but what was asked and what was acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// By how much two clocks and a datagram on its way may differ.
const DOUBT: Duration = Duration::from_secs(2);

/// The number of a publication.
pub(crate) type Number = u64;

/// What can be known of a presentity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    OnThePhone,
    Not,
    /// An answer is missing, or a publication is just running out.
    Doubtful,
}

/// One publication, from its first PUBLISH until it can no longer live.
#[derive(Clone, Debug)]
struct Publication {
    user: usize,
    /// What it says for certain; none while a PUBLISH that would change it has no answer.
    says: Option<bool>,
    tag: Option<String>,
    /// It lives at least until then, and at most until then; none while the first answer is missing.
    until: Option<(Instant, Instant)>,
    changed: Instant,
}

/// All publications that may live.
pub(crate) struct Bookkeeper {
    publications: BTreeMap<Number, Publication>,
    numbered: Number,
}

impl Bookkeeper {
    pub(crate) fn new() -> Self {
        Self { publications: BTreeMap::new(), numbered: 0 }
    }

    /// A first PUBLISH leaves.
    pub(crate) fn begins(&mut self, user: usize, now: Instant) -> Number {
        self.numbered += 1;
        let publication = Publication { user, says: None, tag: None, until: None, changed: now };
        self.publications.insert(self.numbered, publication);
        self.numbered
    }

    /// A later PUBLISH leaves, which may come to nothing or not: until its answer nobody knows.
    pub(crate) fn doubts(&mut self, number: Number, now: Instant) {
        if let Some(publication) = self.publications.get_mut(&number) {
            publication.says = None;
            publication.changed = now;
        }
    }

    /// A PUBLISH is acknowledged: it says this from now on, for so long, under this tag.
    pub(crate) fn acknowledged(
        &mut self,
        number: Number,
        says: bool,
        tag: &str,
        sent: Instant,
        now: Instant,
        granted: u64,
    ) {
        let granted = Duration::from_secs(granted);
        if let Some(publication) = self.publications.get_mut(&number) {
            publication.says = Some(says);
            publication.tag = Some(tag.to_owned());
            publication.until = Some((sent + granted, now + granted));
            publication.changed = now;
        }
    }

    /// A removal is acknowledged.
    pub(crate) fn removed(&mut self, number: Number) {
        self.publications.remove(&number);
    }

    /// A PUBLISH got no answer at all: it may live under a tag that nobody knows, for as long as it asked for.
    pub(crate) fn unanswered(&mut self, number: Number, now: Instant, asked: u64) {
        if let Some(publication) = self.publications.get_mut(&number) {
            publication.says = None;
            publication.tag = None;
            let asked = now + Duration::from_secs(asked);
            publication.until = Some((now, publication.until.map_or(asked, |(_, most)| most.max(asked))));
            publication.changed = now;
        }
    }

    /// 412 to a PUBLISH under a tag that was acknowledged; whether that is a loss.
    pub(crate) fn is_lost(&self, number: Number, now: Instant) -> bool {
        self.publications.get(&number).is_some_and(|publication| publication.lives(now))
    }

    /// The publications with a tag, of which one may be touched.
    pub(crate) fn tagged(&self, now: Instant) -> Vec<(Number, usize, String)> {
        let tagged = self.publications.iter().filter(|(_, publication)| publication.lives(now));
        tagged.filter_map(|(number, p)| Some((*number, p.user, p.tag.clone()?))).collect()
    }

    /// How many of a user may live.
    pub(crate) fn count(&self, user: usize) -> usize {
        self.publications.values().filter(|publication| publication.user == user).count()
    }

    /// How many may live at all.
    pub(crate) fn len(&self) -> usize {
        self.publications.len()
    }

    /// What must be shown of a user, and since when that has been so at the latest.
    pub(crate) fn known(&self, user: usize, now: Instant) -> Known {
        let all = || self.publications.values().filter(|publication| publication.user == user);
        let certain = |p: &&Publication| p.says == Some(true) && p.lives(now) && now > p.changed + DOUBT;
        let possible = |p: &&Publication| p.says != Some(false);
        match (all().any(|p| certain(&p)), all().any(|p| possible(&p))) {
            (true, _) => Known::OnThePhone,
            (false, false) => Known::Not,
            (false, true) => Known::Doubtful,
        }
    }

    /// Drops what can no longer live.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.publications.retain(|_, publication| publication.until.is_none_or(|(_, most)| most + DOUBT > now));
    }
}

impl Publication {
    /// Whether it lives for certain.
    fn lives(&self, now: Instant) -> bool {
        self.until.is_some_and(|(least, _)| now + DOUBT < least)
    }
}
