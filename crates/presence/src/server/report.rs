//! What the presence server reports: who was refused or lost, and why.

use std::fmt;
use std::sync::Arc;

use sip::Aor;

use super::Identity;

/// Something that a person or a counter wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A PUBLISH was answered with something else than 2xx.
    PublishRefused {
        /// Its Request-URI, as sent, shortened to a bound.
        uri: Box<str>,
        /// Who sent it.
        by: Box<str>,
        /// The status code.
        code: u16,
        /// Why, in a few words.
        why: &'static str,
    },
    /// A SUBSCRIBE was answered with something else than 2xx.
    SubscribeRefused {
        /// Its Request-URI, as sent, shortened to a bound.
        uri: Box<str>,
        /// Who sent it.
        by: Box<str>,
        /// The status code.
        code: u16,
        /// Why, in a few words.
        why: &'static str,
    },
    /// A publisher that was restarted published anew, and what it had published before was deleted.
    Superseded {
        /// The presentity.
        presentity: Aor,
        /// The publisher.
        peer: Option<Arc<str>>,
    },
    /// A publication ran out without being refreshed.
    PublicationExpired {
        /// The presentity.
        presentity: Aor,
        /// The event package.
        package: &'static str,
    },
    /// A subscription ran out without being refreshed.
    SubscriptionExpired {
        /// The presentity.
        presentity: Aor,
        /// The watcher's URI.
        watcher: Box<str>,
    },
    /// A subscription was removed because its watcher did not take the NOTIFYs.
    SubscriptionLost {
        /// The presentity.
        presentity: Aor,
        /// The watcher's URI.
        watcher: Box<str>,
        /// The status code of its last answer; none where there was no answer.
        code: Option<u16>,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublishRefused { uri, by, code, why } => {
                write!(f, "PUBLISH for {uri} by {by} refused with {code}: {why}")
            }
            Self::SubscribeRefused { uri, by, code, why } => {
                write!(f, "SUBSCRIBE to {uri} by {by} refused with {code}: {why}")
            }
            Self::Superseded { presentity, peer } => {
                let peer = peer.as_deref().unwrap_or("this node's publisher");
                write!(f, "{peer} published {presentity} anew after a restart; its older publication is deleted")
            }
            Self::PublicationExpired { presentity, package } => {
                write!(f, "a publication of {package} for {presentity} ran out without a refresh")
            }
            Self::SubscriptionExpired { presentity, watcher } => {
                write!(f, "the subscription of {watcher} to {presentity} ran out without a refresh")
            }
            Self::SubscriptionLost { presentity, watcher, code: Some(code) } => {
                write!(f, "{watcher} answered a NOTIFY about {presentity} with {code}: its subscription is removed")
            }
            Self::SubscriptionLost { presentity, watcher, code: None } => {
                write!(f, "{watcher} answers no NOTIFY about {presentity}: its subscription is removed")
            }
        }
    }
}

/// Who sent a request, in words for a report.
pub(super) fn name_of(who: &Identity) -> Box<str> {
    match (&who.user, &who.peer) {
        (Some(user), _) => user.as_str().into(),
        (None, Some(peer)) => peer.as_ref().into(),
        (None, None) if who.internal => "this node".into(),
        (None, None) => "someone unauthenticated".into(),
    }
}
