//! What an event package is to the presence server: a value, of which the engine knows nothing else.

use std::any::Any;

use sip::Aor;

use super::Identity;

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
    /// Composes what watchers are sent from the live publications, given in the order in which their content was
    /// received; with none, the hard state.
    pub compose: fn(&Aor, &[Live<'_, EventState>]) -> Vec<u8>,
    /// Whether this watcher may watch this presentity.
    pub watching: fn(&Identity, &Aor) -> Watching,
}

/// What a package made of a published body.
pub type EventState = Box<dyn Any + Send>;

/// A publication that has not run out.
#[derive(Debug)]
pub struct Live<'a, S: ?Sized> {
    /// Its number: ascending in the order of initial publication, and kept through every change of its content.
    pub number: u64,
    /// What it says.
    pub state: &'a S,
}

/// Whether a watcher may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// It may.
    Allowed,
    /// It may not: 403.
    Forbidden,
}

/// Why a published body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is not what its Content-Type says: 400, with these words.
    Malformed(&'static str),
    /// It is beyond a bound: 413.
    TooLarge,
}
