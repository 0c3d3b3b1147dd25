//! The event package `presence` (RFC 3856).

mod compose;
mod published;
pub(crate) mod rpid;

use published::Published;
use sip::Aor;

use super::Identity;
use super::package::{BodyFault, Composing, EventPackage, EventState, Live, Watching};

/// The event package `presence`.
pub(super) const PRESENCE: EventPackage = EventPackage {
    name: "presence",
    media_type: "application/pidf+xml",
    default_expires: 3600,
    published: true,
    read,
    detailed: false,
    compose,
    watching,
};

fn read(body: &[u8]) -> Result<EventState, BodyFault> {
    Ok(Box::new(published::read(body)?))
}

fn compose(composing: &Composing<'_>) -> Vec<u8> {
    let live: Vec<Live<'_, Published>> = composing.live.iter().filter_map(Live::of).collect();
    compose::compose(composing.presentity.as_str(), &live)
}

/// Everyone of the presentity's domain who is authenticated may watch, and whom the configuration trusts; the presentity
/// itself always.
fn watching(watcher: &Identity, presentity: &Aor) -> Watching {
    if watcher.user.as_ref() == Some(presentity) {
        return Watching::Always;
    }
    let same_domain = watcher.user.as_ref().is_some_and(|user| user.host() == presentity.host());
    if same_domain || watcher.speaks_for(presentity.host()) { Watching::Allowed } else { Watching::Forbidden }
}
