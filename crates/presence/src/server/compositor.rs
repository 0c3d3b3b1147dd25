//! The event state compositor (RFC 3903): the table of presentities, what runs out there, and who learns of a change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Aor, KeyedMap, KeyedState};

use super::calendar::{Calendar, NEVER};
use super::presentity::{Presentity, Publication};
use super::record::{Answer, Content, Forgotten, Life, Origin};
use super::refusal::{Refusal, Subject};
use super::shares::{Share, Shares, Source};
use super::{BodyFault, EventPackage, Mutant, Named, PresenceServer, Report, View, limits};

/// The event state of every presentity, for every package.
#[derive(Debug)]
pub(super) struct Compositor {
    /// A table per package. What lies in a table has one word there, so that its empty places cost little.
    pub(super) presentities: Vec<KeyedMap<Aor, Box<Presentity>>>,
    /// What is provisioned, for each package.
    hard: Vec<BTreeMap<Aor, Arc<[u8]>>>,
    /// The presentities whose document may have changed and whose watchers must learn of it.
    pub(super) changed: VecDeque<(usize, Aor)>,
    /// When a publication of a presentity may run out: one entry for each that has any.
    pub(super) calendar: Calendar<(u8, Aor)>,
    /// How many publications and contents there ever were.
    numbered: u64,
    /// Who has how many of them.
    pub(super) shares: Shares,
    /// By which names are made.
    keyed: KeyedState,
}

/// How many entries of the calendar are looked at for each that is left behind.
const SWEPT: usize = 4;

impl PresenceServer {
    /// Takes back a publication of an earlier run. Those of one presentity come in the order of their content.
    pub(super) fn take_back(&mut self, presentity: &Aor, number: u64, content: Content, life: &Life) {
        let now = self.now;
        let package = self.settings.packages.iter().position(|package| package.name == content.package);
        let answered_at = life.expires_at.checked_sub(Duration::from_secs(life.granted.into()));
        // A clock that was set back must not make anything live longer than it was granted.
        let expires_at = life.expires_at.min(now + Duration::from_secs(life.granted.into()));
        self.compositor.numbered = self.compositor.numbered.max(number + 1).max(content.received + 1);
        // What this node published of its own calls has ended with them.
        let is_over = expires_at <= now || content.origin.as_ref().is_some_and(|origin| origin.is_own());
        let is_over = is_over || self.is_broken(Mutant::PublicationsForgotten);
        let kept = package.filter(|_| !is_over && self.serves(presentity.host()));
        let expires = self.compositor.calendar.tick(expires_at);
        let octets = content.body.len();
        let place = kept.and_then(|package| Some((package, self.compositor.presentity_mut(package, presentity)?)));
        let Some((package, place)) = place else {
            self.unsave(Forgotten::Publication { presentity: presentity.clone(), number, extended: true });
            return;
        };
        place.add(Publication {
            number,
            expires,
            body: content.body,
            state: None,
            origin: content.origin,
            version: life.version,
            entity_tag: life.entity_tag,
            source: Source::default(),
            extended: true,
        });
        let is_due_earlier = place.comes_due(expires);
        self.compositor.shares.add(Source::default(), octets);
        if is_due_earlier {
            self.compositor.enter(package, presentity, expires);
        }
        if let Some(at) = answered_at {
            let (mark, entity_tag, granted) = (life.mark, life.entity_tag, life.granted);
            self.saves.restore(now, Answer { mark, entity_tag, granted, at });
        }
    }

    /// The time of every publication that is over.
    pub(super) fn expire_publications(&mut self) {
        while let Some((tick, (index, aor))) = self.compositor.calendar.take(self.now) {
            let package = usize::from(index);
            let over = self.compositor.expired(package, &aor, tick);
            if !over.is_empty() && !self.is_broken(Mutant::ExpiryNotTold) {
                self.compositor.change(package, &aor);
            }
            for (number, extended) in over {
                let name = self.package(package).map_or("", |p| p.name);
                self.report(Report::PublicationExpired { presentity: aor.clone(), package: name });
                self.unsave(Forgotten::Publication { presentity: aor.clone(), number, extended });
            }
        }
    }

    /// When the next publication may run out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.compositor.calendar.next()
    }

    /// Composes what has changed, and lets the watchers know where the document is another one.
    pub(super) fn announce(&mut self) {
        let is_mute = self.is_broken(Mutant::ChangeNotTold);
        let keyed = self.compositor.keyed;
        let is_mute_to_lists = self.is_broken(Mutant::MembersNotTold);
        while let Some((index, aor)) = self.compositor.changed.pop_front() {
            let Some(package) = self.package(index) else { continue };
            let others = self.watchers_of(&package, &aor);
            let Some(presentity) = self.compositor.presentities.get_mut(index).and_then(|t| t.get_mut(&aor)) else {
                continue;
            };
            presentity.stale = false;
            if presentity.subscriptions.is_empty() {
                presentity.unwatched();
                self.compositor.tidy(index, &aor);
                continue;
            }
            let remembered = presentity.remember(&package, Named { presentity: &aor, keyed }, &others);
            for view in package.views() {
                let is_another = presentity.recompose(&package, &aor, *view) && !remembered.is_first;
                if (is_another || remembered.has_ended) && !is_mute {
                    for subscription in &presentity.subscriptions {
                        let is_one = self.notifier.document_changed(*subscription, &package, *view, &mut self.timers);
                        if !is_one && !is_mute_to_lists {
                            self.followers.document_changed(*subscription, &package, *view);
                        }
                    }
                }
            }
            presentity.composed_for_all();
        }
    }
}

impl Compositor {
    pub(super) fn new(packages: usize, share: Share, keyed: KeyedState, now: Instant) -> Self {
        Self {
            presentities: (0..packages).map(|_| KeyedMap::with_hasher(keyed)).collect(),
            hard: vec![BTreeMap::new(); packages],
            changed: VecDeque::new(),
            calendar: Calendar::new(now),
            numbered: 1,
            shares: Shares::new(share),
            keyed,
        }
    }

    /// Other hard states of a package; where one differs, its watchers will learn of it.
    pub(super) fn provision(&mut self, package: usize, hard: BTreeMap<Aor, Arc<[u8]>>) {
        let Some(place) = self.hard.get_mut(package) else { return };
        let old = std::mem::replace(place, hard);
        let new = place.clone();
        let differs: BTreeSet<&Aor> = old.keys().chain(new.keys()).filter(|aor| old.get(aor) != new.get(aor)).collect();
        for aor in differs {
            if let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) {
                presentity.hard = new.get(aor).cloned();
                self.change(package, aor);
            }
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered - 1
    }

    pub(super) fn publications(&self) -> usize {
        self.shares.publications()
    }

    /// A presentity's entry, made where there is none yet; none, where the table is full.
    pub(super) fn presentity_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        let table = self.presentities.get_mut(package)?;
        if table.len() >= limits::PRESENTITIES && !table.contains_key(aor) {
            return None;
        }
        let hard = self.hard.get(package).filter(|hard| !hard.is_empty());
        let made = || Box::new(Presentity::provisioned(hard.and_then(|hard| hard.get(aor)).cloned()));
        Some(table.get_or_insert_with(aor.clone(), made))
    }

    /// What a watcher is sent: the cached document, composed now where there is none. Without a view it is that of a
    /// presentity that nobody ever heard of.
    pub(super) fn document(
        &mut self,
        package: &EventPackage,
        index: usize,
        aor: &Aor,
        view: Option<View>,
    ) -> Arc<[u8]> {
        let presentity = self.presentities.get_mut(index).and_then(|table| table.get_mut(aor));
        let (Some(view), Some(presentity)) = (view.map(|view| package.view(view)), presentity) else {
            return Presentity::default().compose(package, aor, View::Plain).into();
        };
        presentity.document(package, aor, view)
    }

    /// The document as it would be now, without keeping it.
    pub(super) fn composed(&self, package: &EventPackage, index: usize, aor: &Aor) -> Arc<[u8]> {
        let presentity = self.presentities.get(index).and_then(|table| table.get(aor));
        let view = package.view(View::Detailed);
        let hard = self.hard.get(index).and_then(|hard| hard.get(aor)).cloned();
        let nobody = Presentity::provisioned(hard);
        presentity.map_or(&nobody, Box::as_ref).would_be(package, aor, view).into()
    }

    /// Forgets a subscription, and the presentity if nothing else is known of it.
    pub(super) fn unsubscribed(&mut self, package: usize, aor: &Aor, subscription: u64) {
        if let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) {
            presentity.subscriptions.remove(&subscription);
            if presentity.subscriptions.is_empty() {
                presentity.unwatched();
            }
        }
        self.tidy(package, aor);
    }

    fn tidy(&mut self, package: usize, aor: &Aor) {
        let Some(table) = self.presentities.get_mut(package) else { return };
        if table.get(aor).is_some_and(|presentity| presentity.is_over()) {
            table.remove(aor);
            // Its entry in the calendar is left behind. For each of those some others are looked at, so that there are never
            // many, however often somebody publishes and removes.
            let tables = &self.presentities;
            self.calendar.sweep(SWEPT, |tick, (package, aor)| {
                let table = tables.get(usize::from(*package));
                table.and_then(|table| table.get(aor)).is_none_or(|presentity| presentity.due != tick)
            });
        }
    }

    /// A presentity's entry, if there is one.
    pub(super) fn known_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        self.presentities.get_mut(package)?.get_mut(aor).map(Box::as_mut)
    }

    pub(super) fn change(&mut self, package: usize, aor: &Aor) {
        let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) else { return };
        if presentity.stale {
            return;
        }
        if presentity.is_watched() {
            presentity.stale = true;
            self.changed.push_back((package, aor.clone()));
        } else {
            // Most are watched by nobody: there is nothing to compose.
            presentity.unwatched();
            self.tidy(package, aor);
        }
    }

    pub(super) fn publications_of(&self, package: usize, aor: &Aor) -> &[Publication] {
        let presentity = self.presentities.get(package).and_then(|table| table.get(aor));
        presentity.map_or(&[], |p| p.publications.as_slice())
    }

    pub(super) fn publication_mut(&mut self, subject: &Subject, position: usize) -> Option<&mut Publication> {
        self.presentities.get_mut(subject.package)?.get_mut(&subject.presentity)?.publications.get_mut(position)
    }

    /// Whether a body finds room beside the publications that stay.
    pub(super) fn room(
        &self,
        subject: &Subject,
        body: &[u8],
        stays: impl Fn(&Publication) -> bool,
    ) -> Result<(), Refusal> {
        let publications = self.publications_of(subject.package, &subject.presentity);
        let (count, size) =
            publications.iter().filter(|p| stays(p)).fold((0, 0), |(n, sum), p| (n + 1, sum + p.body.len()));
        if count >= limits::PUBLICATIONS_PER_PRESENTITY {
            return Err(Refusal::full("too many publications for one presentity"));
        }
        if size + body.len() > limits::BODIES_PER_PRESENTITY {
            return Err(BodyFault::TooLarge.into());
        }
        Ok(())
    }

    pub(super) fn position(&self, subject: &Subject, tag: &str) -> Option<usize> {
        self.publications_of(subject.package, &subject.presentity).iter().position(|p| p.entity_tag.as_str() == tag)
    }

    pub(super) fn is_watched(&self, subject: &Subject) -> bool {
        let table = self.presentities.get(subject.package);
        table.and_then(|table| table.get(&subject.presentity)).is_some_and(|p| p.is_watched())
    }

    /// Enters a presentity in the calendar.
    pub(super) fn enter(&mut self, package: usize, aor: &Aor, tick: u64) {
        self.calendar.enter(tick, (u8::try_from(package).unwrap_or(u8::MAX), aor.clone()));
    }

    /// Takes out what has run out of a presentity at this tick: numbers, and whether each has a record of its life.
    fn expired(&mut self, package: usize, aor: &Aor, tick: u64) -> Vec<(u64, bool)> {
        let mut over = Vec::new();
        let table = self.presentities.get_mut(package);
        let Some(presentity) = table.and_then(|table| table.get_mut(aor)).filter(|p| p.due == tick) else {
            return over;
        };
        let shares = &mut self.shares;
        presentity.publications.retain(|publication| {
            let lives = publication.expires > tick;
            if !lives {
                shares.remove(publication.source, publication.body.len());
                over.push((publication.number, publication.extended));
            }
            lives
        });
        let next = presentity.publications.iter().map(|publication| publication.expires).min();
        presentity.due = next.unwrap_or(NEVER);
        if let Some(next) = next {
            self.calendar.enter(next, (u8::try_from(package).unwrap_or(u8::MAX), aor.clone()));
        }
        over
    }

    pub(super) fn of_origin(&self, subject: &Subject, origin: Option<&Origin>) -> Option<usize> {
        let mut publications = self.publications_of(subject.package, &subject.presentity).iter();
        publications.position(|p| p.origin.is_some() && p.origin.as_deref() == origin)
    }

    pub(super) fn received_last(&mut self, subject: &Subject, position: usize) {
        if let Some(presentity) =
            self.presentities.get_mut(subject.package).and_then(|table| table.get_mut(&subject.presentity))
            && let Some(later) = presentity.publications.get_mut(position..)
        {
            later.rotate_left(1);
        }
    }

    pub(super) fn remove(&mut self, package: usize, aor: &Aor, position: usize) -> Option<Publication> {
        let presentity = self.presentities.get_mut(package)?.get_mut(aor)?;
        if position >= presentity.publications.len() {
            return None;
        }
        let removed = presentity.publications.remove(position);
        presentity.publications.shrink_to_fit();
        self.shares.remove(removed.source, removed.body.len());
        self.change(package, aor);
        Some(removed)
    }
}
