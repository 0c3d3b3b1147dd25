//! What lies beside a presentity's publications: what the node itself tells of it, and what a package remembers from one document
//! to the next, so that whatever ends is told once to everyone who knew it.

use std::sync::Arc;

use sip::Aor;

use super::compositor::Compositor;
use super::package::{Composing, EventPackage, EventState, Live, Named, View};
use super::presentity::Presentity;
use super::{PresenceServer, limits};

/// What lies beside the publications of one presentity in one package.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What the node has told, by the number of its source, and whether those were the last words.
    told: Vec<(u64, EventState, bool)>,
    /// What the package remembers, while somebody watches.
    memory: Option<EventState>,
    /// How often that was brought up to date.
    moment: u32,
    /// The last moment at which something ended.
    ended: u32,
    /// Documents of this moment that also tell what has ended after an earlier one.
    partings: Vec<(View, u32, Arc<[u8]>)>,
}

impl Ledger {
    pub(super) fn memory(&self) -> Option<&EventState> {
        self.memory.as_ref()
    }

    pub(super) fn told(&self) -> impl Iterator<Item = Live<'_, EventState>> {
        self.told.iter().map(|(number, state, _)| Live { number: *number | TOLD, state })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && self.memory.is_none()
    }

    /// Takes what the node tells of one source.
    fn tell(&mut self, source: u64, state: EventState, last: bool) {
        if let Some(told) = self.told.iter_mut().find(|(number, ..)| *number == source) {
            *told = (source, state, last);
        } else if self.told.len() < limits::TOLD_PER_PRESENTITY {
            self.told.push((source, state, last));
        }
    }

    /// Whoever has said the last words is not heard of again.
    fn said(&mut self) {
        self.told.retain(|(.., last)| !*last);
    }
}

/// What has come of bringing up to date what a package remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    /// Nothing was remembered before: nobody has been told anything either.
    pub(super) is_first: bool,
    /// Something has ended, which those who knew it must be told.
    pub(super) has_ended: bool,
}

impl Presentity {
    /// Brings up to date what the package remembers. `others` is what lives elsewhere in the server.
    pub(super) fn remember(
        &mut self,
        package: &EventPackage,
        named: Named<'_>,
        others: &[(u64, EventState)],
    ) -> Remembered {
        let Some(remember) = package.remember else { return Remembered::default() };
        self.read(package);
        let mut ledger = self.ledger.take().unwrap_or_default();
        let mut memory = ledger.memory.take();
        let is_first = memory.is_none();
        ledger.moment = ledger.moment.wrapping_add(1);
        ledger.partings.clear();
        let others = others.iter().map(|(number, state)| Live { number: *number, state });
        let live: Vec<Live<'_, EventState>> = ledger.told().chain(others).chain(self.live()).collect();
        let has_ended = remember(named, &mut memory, &live, ledger.moment);
        if has_ended {
            ledger.ended = ledger.moment;
        }
        ledger.memory = memory;
        ledger.said();
        self.ledger = Some(ledger);
        Remembered { is_first, has_ended }
    }

    /// The last watcher has gone: what is remembered for watchers alone is let go.
    pub(super) fn forget(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            (ledger.memory, ledger.partings) = (None, Vec::new());
            ledger.said();
        }
        self.ledger.take_if(|ledger| ledger.is_empty());
    }

    /// This moment, and the document for a watcher that knows what there was at the moment `seen`, if it is another one than for
    /// those that know all.
    fn parting(&mut self, package: &EventPackage, aor: &Aor, view: View, seen: u32) -> (u32, Option<Arc<[u8]>>) {
        let Some(ledger) = &mut self.ledger else { return (KNOWS_ALL, None) };
        if ledger.ended <= seen {
            return (ledger.moment, None);
        }
        if let Some((.., document)) = ledger.partings.iter().find(|(of, since, _)| (*of, *since) == (view, seen)) {
            return (ledger.moment, Some(Arc::clone(document)));
        }
        let composing = Composing { presentity: aor, live: &[], view, memory: ledger.memory.as_ref(), since: seen };
        let document: Arc<[u8]> = (package.compose)(&composing).into();
        if ledger.partings.len() < limits::PARTINGS {
            ledger.partings.push((view, seen, Arc::clone(&document)));
        }
        (ledger.moment, Some(document))
    }
}

/// Told apart from the numbers of publications.
const TOLD: u64 = 1 << 63;

/// What a watcher has seen for whom nothing has ended yet.
pub(super) const KNOWS_ALL: u32 = u32::MAX;

impl PresenceServer {
    /// The node tells of something that lives until the last words are said.
    pub(super) fn tell(&mut self, package: &str, aor: &Aor, source: u64, state: EventState, last: bool) {
        let index = self.settings.packages.iter().position(|known| known.name == package);
        let Some(index) = index.filter(|_| self.serves(aor.host())) else { return };
        let presentity =
            if last { self.compositor.known_mut(index, aor) } else { self.compositor.presentity_mut(index, aor) };
        if let Some(presentity) = presentity {
            presentity.ledger.get_or_insert_default().tell(source, state, last);
            self.compositor.change(index, aor);
        }
    }

    /// The body of a subscription's next NOTIFY.
    pub(super) fn next_document(&mut self, id: u64) -> Option<Arc<[u8]>> {
        let subscription = self.notifier.subscription_mut(id)?;
        let package = self.settings.packages.get(subscription.package)?;
        let (index, aor, view) = (subscription.package, &subscription.presentity, subscription.view());
        let (shown, mut document) = self.compositor.shown(package, index, aor, view, subscription.seen);
        subscription.shown = shown;
        if let Some(numbered) = package.numbered {
            document = numbered(&document, subscription.documents).into();
            subscription.documents = subscription.documents.wrapping_add(1);
        }
        Some(document)
    }
}

impl Compositor {
    /// What a watcher is sent that has last seen this moment of what ends, and the moment that it sees then. Who is shown nothing
    /// true is not told later what has ended meanwhile.
    pub(super) fn shown(
        &mut self,
        package: &EventPackage,
        index: usize,
        aor: &Aor,
        view: Option<View>,
        seen: u32,
    ) -> (u32, Arc<[u8]>) {
        let document = self.document(package, index, aor, view);
        let presentity = self.known_mut(index, aor).filter(|_| package.remember.is_some());
        let (Some(view), Some(presentity)) = (view, presentity) else { return (KNOWS_ALL, document) };
        let (moment, parting) = presentity.parting(package, aor, package.view(view), seen);
        (moment, parting.unwrap_or(document))
    }
}
