//! One presentity's state in one package: its publications, its watchers, and the documents that are composed for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use sip::Aor;

use super::calendar::NEVER;
use super::ledger::{KNOWS_ALL, Ledger};
use super::record::{EntityTag, Origin};
use super::shares::Source;
use super::{Composing, EventPackage, EventState, Live, View};

/// One presentity's state in one package.
#[derive(Debug)]
pub(super) struct Presentity {
    /// Live publications, in the order in which their content was received.
    pub(super) publications: Vec<Publication>,
    /// The tick of its entry in the calendar.
    pub(super) due: u64,
    /// Whether it waits in [`Compositor::changed`].
    pub(super) stale: bool,
    /// The numbers of the subscriptions to it.
    pub(super) subscriptions: BTreeSet<u64>,
    /// What its watchers were sent last; none while nobody watches.
    documents: Option<Box<Documents>>,
    /// What lies beside the publications.
    pub(super) ledger: Option<Box<Ledger>>,
    /// What is provisioned for the time when there are none.
    pub(super) hard: Option<Arc<[u8]>>,
}

impl Default for Presentity {
    fn default() -> Self {
        Self {
            publications: Vec::new(),
            due: NEVER,
            stale: false,
            subscriptions: BTreeSet::new(),
            documents: None,
            ledger: None,
            hard: None,
        }
    }
}

/// The documents of one presentity, by view.
#[derive(Debug, Default)]
struct Documents {
    plain: Option<Arc<[u8]>>,
    detailed: Option<Arc<[u8]>>,
}

impl Documents {
    fn of(&mut self, view: View) -> &mut Option<Arc<[u8]>> {
        match view {
            View::Plain => &mut self.plain,
            View::Detailed => &mut self.detailed,
        }
    }
}

/// A publication (RFC 3903 section 2): one piece of event state with a life of its own. There are a million of them: what can
/// be had from the body is not kept beside it.
pub(super) struct Publication {
    pub(super) number: u64,
    /// The tick at which it runs out.
    pub(super) expires: u64,
    /// What it says, as it was received.
    pub(super) body: Arc<[u8]>,
    /// What the package read in the body, while somebody watches.
    pub(super) state: Option<EventState>,
    /// Of which running publisher it is, if that may supersede itself.
    pub(super) origin: Option<Box<Origin>>,
    /// How often it was refreshed or modified.
    pub(super) version: u32,
    pub(super) entity_tag: EntityTag,
    /// Who is counted for it.
    pub(super) source: Source,
    /// Whether the store has a record of its life beside that of its content.
    pub(super) extended: bool,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("number", &self.number).field("entity_tag", &self.entity_tag).finish()
    }
}

impl Presentity {
    /// One of whom nothing is known but what is provisioned.
    pub(super) fn provisioned(hard: Option<Arc<[u8]>>) -> Self {
        Self { hard, ..Self::default() }
    }

    /// Most have one publication: no room is made for more.
    pub(super) fn add(&mut self, publication: Publication) {
        self.publications.reserve_exact(1);
        self.publications.push(publication);
    }

    /// A publication runs out at this tick. Whether that is earlier than the calendar knows; what is entered for earlier is put
    /// back when it comes too early.
    pub(super) fn comes_due(&mut self, tick: u64) -> bool {
        let is_earlier = tick < self.due;
        self.due = self.due.min(tick);
        is_earlier
    }

    pub(super) fn is_watched(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Reads what is not read yet. It is kept as long as somebody watches.
    pub(super) fn read(&mut self, package: &EventPackage) {
        for publication in &mut self.publications {
            if publication.state.is_none() {
                publication.state = (package.read)(&publication.body).ok();
            }
        }
    }

    /// Everything that is due has been composed. What a lone publication says is looked at again only once it is another, and
    /// then it comes read.
    pub(super) fn composed_for_all(&mut self) {
        if let [publication] = self.publications.as_mut_slice() {
            publication.state = None;
        }
    }

    /// Composes the document of a view again, where there is one. Whether it may be another than its watchers know.
    pub(super) fn recompose(&mut self, package: &EventPackage, aor: &Aor, view: View) -> bool {
        let old = self.documents.as_mut().and_then(|documents| documents.of(view).take());
        let Some(old) = old else { return true };
        let document = self.compose(package, aor, view);
        let is_another = *old != *document;
        *self.documents.get_or_insert_default().of(view) = Some(if is_another { document.into() } else { old });
        is_another
    }

    pub(super) fn compose(&mut self, package: &EventPackage, aor: &Aor, view: View) -> Vec<u8> {
        self.read(package);
        let (known, hard) = (&*self, self.hard_state(package));
        let hard = hard.iter().map(|state| Live { number: 0, state });
        known.composed(package, aor, view, known.live().chain(hard))
    }

    /// What is provisioned, where nothing is published.
    fn hard_state(&self, package: &EventPackage) -> Option<EventState> {
        let hard = self.hard.as_ref().filter(|_| self.publications.is_empty())?;
        (package.read)(hard).ok()
    }

    fn composed<'a>(
        &'a self,
        package: &EventPackage,
        aor: &Aor,
        view: View,
        live: impl Iterator<Item = Live<'a, EventState>>,
    ) -> Vec<u8> {
        let told = self.ledger.iter().flat_map(|ledger| ledger.told());
        let live: Vec<Live<'_, EventState>> = told.chain(live).collect();
        let memory = self.ledger.as_ref().and_then(|ledger| ledger.memory());
        (package.compose)(&Composing { presentity: aor, live: &live, view, memory, since: KNOWS_ALL })
    }

    /// What a watcher would be sent, composed without keeping anything.
    pub(super) fn would_be(&self, package: &EventPackage, aor: &Aor, view: View) -> Vec<u8> {
        let read = |publication: &Publication| Some((publication.number, (package.read)(&publication.body).ok()?));
        let hard = self.hard_state(package).map(|state| (0, state));
        let states: Vec<(u64, EventState)> = self.publications.iter().filter_map(read).chain(hard).collect();
        self.composed(package, aor, view, states.iter().map(|(number, state)| Live { number: *number, state }))
    }

    /// The live publications, as far as they are read.
    pub(super) fn live(&self) -> impl Iterator<Item = Live<'_, EventState>> {
        self.publications.iter().filter_map(|p| Some(Live { number: p.number, state: p.state.as_ref()? }))
    }

    /// The last watcher has gone: what was kept for watchers alone is let go.
    pub(super) fn unwatched(&mut self) {
        self.documents = None;
        for publication in &mut self.publications {
            publication.state = None;
        }
        self.forget();
    }

    /// Whether nothing is known of it any more.
    pub(super) fn is_over(&self) -> bool {
        let alone = self.publications.is_empty() && self.subscriptions.is_empty();
        alone && !self.stale && self.ledger.as_ref().is_none_or(|ledger| ledger.is_empty())
    }

    /// The document of a view: the one that watchers were sent last, composed now where there is none.
    pub(super) fn document(&mut self, package: &EventPackage, aor: &Aor, view: View) -> Arc<[u8]> {
        if let Some(document) = self.documents.get_or_insert_default().of(view) {
            return Arc::clone(document);
        }
        let document: Arc<[u8]> = self.compose(package, aor, view).into();
        *self.documents.get_or_insert_default().of(view) = Some(Arc::clone(&document));
        self.composed_for_all();
        document
    }
}
