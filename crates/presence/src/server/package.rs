//! What an event package is to the presence server: a value, of which the engine knows nothing else.

use std::any::Any;

use sip::{Aor, KeyedState};

use super::Identity;
use super::dialog::DIALOG;
use super::message_summary::MESSAGE_SUMMARY;
use super::presence::PRESENCE;
use super::winfo::PRESENCE_WINFO;

/// Every event package there is, in the order of Allow-Events: a new one is a file of its own and a line here.
pub const PACKAGES: [EventPackage; 4] = [PRESENCE, PRESENCE_WINFO, DIALOG, MESSAGE_SUMMARY];

/// An event package (RFC 6665 section 5, RFC 3903 section 10): a new one is a new value of this, in a file of its own.
#[derive(Clone, Copy, Debug)]
pub struct EventPackage {
    /// Its name in Event and Allow-Events.
    pub name: &'static str,
    /// The type of the bodies that are published and notified.
    pub media_type: &'static str,
    /// Seconds that a subscription or a publication lasts that asks for no time.
    pub default_expires: u32,
    /// Whether its state may be published (RFC 3903).
    pub published: bool,
    /// Reads a published body.
    pub read: fn(&[u8]) -> Result<EventState, BodyFault>,
    /// Whether what a watcher is sent depends on its view; where it does not, everyone's is [`View::Plain`].
    pub detailed: bool,
    /// Composes what watchers are sent.
    pub compose: fn(&Composing<'_>) -> Vec<u8>,
    /// Brings up to date what is remembered of a presentity between one document and the next, at a moment; answers whether
    /// something has ended, which those are told once who have seen an earlier moment. None where documents say only what is.
    pub remember: Option<Remember>,
    /// Writes into a document its number within its subscription, from 0; none where documents have none.
    pub numbered: Option<Numbered>,
    /// The package whose subscriptions are the state of this one (RFC 3857); none where its state is told or published.
    pub watches: Option<&'static str>,
    /// Whether this watcher, by who it has proved to be and by the name that rules know, may watch this presentity, before any rule
    /// of the configuration.
    pub watching: fn(&Identity, Option<&Aor>, &Aor) -> Watching,
}

/// The names of packages that can be published, or of all, as Allow-Events has them.
pub(super) fn listed(packages: &[EventPackage], published: bool) -> String {
    let listed = packages.iter().filter(|package| package.published || !published);
    listed.map(|package| package.name).collect::<Vec<_>>().join(", ")
}

impl EventPackage {
    /// The views that its documents differ by.
    pub(super) fn views(&self) -> &'static [View] {
        if self.detailed { &[View::Plain, View::Detailed] } else { &[View::Plain] }
    }

    /// Which of its documents a watcher of this view is sent.
    pub(super) fn view(&self, view: View) -> View {
        if self.detailed { view } else { View::Plain }
    }
}

/// Takes whose it is, what was remembered so far, what lives now and the number of the moment.
pub type Remember = fn(Named<'_>, &mut Option<EventState>, &[Live<'_, EventState>], u32) -> bool;

/// A presentity, and the secret by which names are made of what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Whose state it is.
    pub presentity: &'a Aor,
    /// The secret, the same in every run.
    pub keyed: KeyedState,
}

/// Takes a document and its number.
pub type Numbered = fn(&[u8], u32) -> Vec<u8>;

/// What a package made of a published body.
pub type EventState = Box<dyn Any + Send>;

/// What a document is composed from.
#[derive(Clone, Copy, Debug)]
pub struct Composing<'a> {
    /// Whose state it is.
    pub presentity: &'a Aor,
    /// The live publications, in the order in which their content was received; with none, the document is the hard state,
    /// which is also what a watcher is sent that may see nothing true.
    pub live: &'a [Live<'a, EventState>],
    /// For whom it is.
    pub view: View,
    /// What is remembered, for packages that remember.
    pub memory: Option<&'a EventState>,
    /// What ended after this moment is told, too.
    pub since: u32,
}

/// A publication that has not run out.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a, S: ?Sized> {
    /// Its number: ascending in the order of initial publication, and kept through every change of its content.
    pub number: u64,
    /// What it says.
    pub state: &'a S,
}

impl<'a> Live<'a, EventState> {
    /// The same, as the state that the package read.
    #[must_use]
    pub fn of<S: 'static>(&self) -> Option<Live<'a, S>> {
        Some(Live { number: self.number, state: self.state.downcast_ref::<S>()? })
    }
}

/// How much of a presentity's state a watcher sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// What everyone sees who may watch.
    Plain,
    /// Also with whom: the other party, Call-ID and tags of a dialog.
    Detailed,
}

/// Whether a watcher may watch, as the package sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// It may, where no rule says otherwise.
    Allowed,
    /// It may not, where no rule says otherwise: 403.
    Forbidden,
    /// It may and sees everything, whatever the rules say.
    Always,
    /// It may not, whatever the rules say: 403.
    Never,
}

/// Why a published body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is not what its Content-Type says: 400, with these words.
    Malformed(&'static str),
    /// It is beyond a bound: 413.
    TooLarge,
}

/// Only the presentity itself may watch, whatever the rules say: the user who has proved it, or whom a peer names that speaks for
/// them.
pub(super) fn oneself(who: &Identity, watcher: Option<&Aor>, presentity: &Aor) -> Watching {
    let is_it = who.user.as_ref() == Some(presentity);
    let is_named = who.speaks_for(presentity.host()) && watcher == Some(presentity);
    if is_it || is_named || who.internal { Watching::Always } else { Watching::Never }
}

/// Everyone of the presentity's domain who is authenticated may watch, and whom the configuration trusts; the presentity
/// itself always.
pub(super) fn colleagues(who: &Identity, _: Option<&Aor>, presentity: &Aor) -> Watching {
    if who.user.as_ref() == Some(presentity) {
        return Watching::Always;
    }
    let same_domain = who.user.as_ref().is_some_and(|user| user.host() == presentity.host());
    if same_domain || who.speaks_for(presentity.host()) { Watching::Allowed } else { Watching::Forbidden }
}
