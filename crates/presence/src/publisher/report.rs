//! What the publisher reports: who was refused by whom, what may stick and until when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sip::Aor;

/// Something that a person or a counter wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A user is shown on the phone.
    Published {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
    },
    /// A user is no longer shown on the phone by us.
    Removed {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
    },
    /// The server refuses this user.
    UserRefused {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
        /// The status code.
        code: u16,
        /// The reason phrase, Warning and ms-diagnostics.
        why: String,
    },
    /// The server takes no presence at all; reported once, not for each user.
    ServerRefused {
        /// The presence server.
        server: Arc<str>,
        /// The status code.
        code: u16,
        /// The reason phrase, Warning and ms-diagnostics.
        why: String,
    },
    /// The server had forgotten a publication; it is published anew if the call still lasts.
    Forgotten {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
    },
    /// A PUBLISH got no answer, or a passing failure; it is tried again.
    Trouble {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
        /// What happened.
        why: String,
        /// When it is tried again.
        again: Duration,
    },
    /// Something of ours may live at the server whose entity-tag never reached us; it runs out by itself.
    MayStick {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
        /// For how long at most.
        at_most: Duration,
    },
    /// A 2xx without SIP-ETag: what was published can be neither refreshed nor removed.
    NoEntityTag {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
    },
    /// The server grants so little time that it must be asked very often.
    ShortGrant {
        /// The user.
        user: Aor,
        /// The presence server.
        server: Arc<str>,
        /// What it grants.
        granted: Duration,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published { user, server } => write!(f, "{user} is on the phone at {server}"),
            Self::Removed { user, server } => write!(f, "{user} is off the phone at {server}"),
            Self::UserRefused { user, server, code, why } => write!(f, "{server} refuses {user}: {code} {why}"),
            Self::ServerRefused { server, code, why } => write!(f, "{server} takes no presence: {code} {why}"),
            Self::Forgotten { user, server } => write!(f, "{server} has forgotten the publication of {user}"),
            Self::Trouble { user, server, why, again } => {
                write!(f, "PUBLISH of {user} to {server} failed: {why}; again in {:.1} s", again.as_secs_f64())
            }
            Self::MayStick { user, server, at_most } => write!(
                f,
                "a PUBLISH of {user} to {server} had no answer, so its entity-tag is unknown; if it arrived, it runs out in {} s at most",
                at_most.as_secs()
            ),
            Self::NoEntityTag { user, server } => {
                write!(f, "{server} answered a PUBLISH of {user} without SIP-ETag: it cannot be refreshed or removed")
            }
            Self::ShortGrant { user, server, granted } => {
                write!(f, "{server} grants {user} only {} s", granted.as_secs())
            }
        }
    }
}
