//! Who asked to watch and left before anybody decided: remembered until somebody does, or they are back (RFC 3857 section 4.7.1).

use std::collections::BTreeMap;

use sip::Aor;
use wire::watcher_info::{Event, Status, Watcher};

use super::authorization::Standing;
use super::{EventPackage, Identity, PresenceServer, limits};

/// Those who wait, by whom they would watch and by the number that their subscription had.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<(Aor, u64), Waits>);

/// One of them.
#[derive(Debug)]
struct Waits {
    /// The package that they would watch.
    package: usize,
    who: Identity,
    named: Option<Aor>,
    watcher: Watcher,
}

impl PresenceServer {
    /// A subscription is over of which nobody had decided.
    pub(super) fn waits(
        &mut self,
        id: u64,
        package: usize,
        presentity: &Aor,
        (who, named): (Identity, Option<Aor>),
        watcher: Watcher,
    ) {
        let of_package = self.settings.packages.get(package).map(|package| package.name);
        if !self.settings.packages.iter().any(|known| known.watches.is_some() && known.watches == of_package) {
            return;
        }
        let waiting = &mut self.waiting;
        waiting.leave(presentity, |waits| waits.package == package && waits.watcher.uri == watcher.uri);
        let of_presentity = waiting.of(presentity).count();
        if of_presentity >= limits::WAITING_PER_PRESENTITY {
            // The first has waited for longest.
            let mut is_first = true;
            waiting.leave(presentity, |_| std::mem::take(&mut is_first));
        }
        if waiting.0.len() < limits::WAITING {
            let watcher = Watcher { status: Status::Waiting, event: Event::Timeout, ..watcher };
            waiting.0.insert((presentity.clone(), id), Waits { package, who, named, watcher });
        }
    }

    /// Who waits to watch a presentity and is not back. Those of whom somebody has decided are told once.
    pub(super) fn waiting_for(
        &mut self,
        package: usize,
        presentity: &Aor,
        is_back: impl Fn(&str) -> bool,
    ) -> Vec<(u64, Watcher)> {
        self.waiting.leave(presentity, |waits| waits.package == package && is_back(&waits.watcher.uri));
        let told = self.waiting.of(presentity).filter(|(_, waits)| waits.package == package);
        let told = told.map(|(id, waits)| (id, waits.watcher.clone())).collect();
        self.waiting.leave(presentity, |waits| waits.package == package && waits.watcher.status == Status::Terminated);
        told
    }

    /// Other rules, and other people: of some who wait there is a decision now.
    pub(super) fn waiting_configured(&mut self, who: impl Fn(&Identity) -> Option<Identity>) {
        let packages: Vec<EventPackage> = self.settings.packages.clone();
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut decided = Vec::new();
        for ((presentity, _), waits) in &mut waiting.0 {
            let Some(package) = packages.get(waits.package) else { continue };
            let standing =
                who(&waits.who).and_then(|who| self.standing(package, presentity, &who, waits.named.as_ref()));
            if standing != Some(Standing::Pending) {
                waits.watcher.status = Status::Terminated;
                waits.watcher.event = if standing.is_some() { Event::Approved } else { Event::Rejected };
                decided.push((waits.package, presentity.clone()));
            }
        }
        self.waiting = waiting;
        for (package, presentity) in decided {
            self.watchers_changed(package, &presentity);
        }
    }
}

impl Waiting {
    fn of(&self, presentity: &Aor) -> impl Iterator<Item = (u64, &Waits)> {
        let range = (presentity.clone(), 0)..=(presentity.clone(), u64::MAX);
        self.0.range(range).map(|((_, id), waits)| (*id, waits))
    }

    fn leave(&mut self, presentity: &Aor, mut leaves: impl FnMut(&Waits) -> bool) {
        let gone: Vec<u64> = self.of(presentity).filter(|(_, waits)| leaves(waits)).map(|(id, _)| id).collect();
        for id in gone {
            self.0.remove(&(presentity.clone(), id));
        }
    }
}
