//! The event package `presence` (RFC 3856).

mod compose;
mod published;
pub(crate) mod rpid;
mod text;

use published::Published;

use super::package::{BodyFault, Composing, EventPackage, EventState, Live, colleagues};

/// The event package `presence`.
pub(super) const PRESENCE: EventPackage = EventPackage {
    name: "presence",
    media_type: "application/pidf+xml",
    default_expires: 3600,
    published: true,
    read,
    detailed: false,
    compose,
    remember: None,
    numbered: None,
    watches: None,
    watching: colleagues,
};

fn read(body: &[u8]) -> Result<EventState, BodyFault> {
    Ok(Box::new(published::read(body)?))
}

fn compose(composing: &Composing<'_>) -> Vec<u8> {
    let live: Vec<Live<'_, Published>> = composing.live.iter().filter_map(Live::of).collect();
    compose::compose(composing.presentity.as_str(), &live)
}
