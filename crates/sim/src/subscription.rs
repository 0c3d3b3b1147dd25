//! A subscription as its watcher knows it, and what may be complained of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::transaction::ClientKey;
use sip::{Aor, digest};

use crate::notified::Package;

/// Somebody whom it watches by one package.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) user: Aor,
    pub(crate) package: Package,
    pub(crate) wanted: bool,
    /// What it asks for, in seconds.
    pub(crate) expires: u32,
    /// When it subscribes, where it does not yet.
    pub(crate) again_at: Option<Instant>,
    pub(crate) subscription: Option<Subscription>,
    pub(crate) authentication: digest::Client,
}

/// A subscription, as the subscriber sees it.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) asked: Option<ClientKey>,
    /// When the SUBSCRIBE left that is awaited or was answered last.
    pub(crate) asked_at: Instant,
    /// When the SUBSCRIBE left that was granted last.
    pub(crate) granted_by: Option<Instant>,
    /// It was ended by its watcher: only the last NOTIFY is awaited.
    pub(crate) ending: bool,
    /// Until when the notifier keeps it at least, as far as it was granted.
    pub(crate) kept_until: Option<Instant>,
    pub(crate) lapses_at: Option<Instant>,
    pub(crate) refresh_at: Option<Instant>,
    pub(crate) heard: Option<Heard>,
}

impl Subscription {
    /// Since when the notifier must know of it: what is asked for and not yet answered may not have reached it.
    pub(crate) fn known_since(&self) -> Instant {
        self.granted_by.unwrap_or(self.asked_at)
    }
}

/// The newest NOTIFY.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from_tag: String,
    pub(crate) cseq: u32,
    pub(crate) version: Option<u32>,
    /// Who was shown on the phone, or not, last.
    pub(crate) shown: BTreeMap<String, bool>,
}

/// Something that the notifier must not do.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    /// Since when the watcher has relied on the contrary.
    pub(crate) since: Instant,
    /// What since then excuses it.
    pub(crate) excuse: Excuse,
}

/// What excuses a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// Nothing.
    Nothing,
    /// The store has lost something, or the clock has jumped.
    Amnesia,
    /// The same, or the watcher is no user any more.
    Left,
    /// A crash: what is said once may have been on its way.
    Crash,
}

impl Watched {
    /// Whether a subscription stands, as far as its watcher knows.
    pub(crate) fn alive(&self, now: Instant) -> Option<&Subscription> {
        self.subscription.as_ref().filter(|subscription| {
            !subscription.ending && subscription.lapses_at.is_some_and(|at| at > now) && subscription.heard.is_some()
        })
    }

    /// Whether a subscription has just been asked for.
    pub(crate) fn has_just_asked(&self, now: Instant) -> bool {
        self.subscription.as_ref().is_some_and(|known| now < known.asked_at + Duration::from_secs(1))
    }

    /// Whether nothing of a subscription is left.
    pub(crate) fn is_over(&self) -> bool {
        self.subscription.is_none()
    }

    /// What a NOTIFY or an answer has begun.
    pub(crate) fn begun(&self) -> Option<&Subscription> {
        self.subscription.as_ref().filter(|subscription| subscription.dialog.is_some() || subscription.heard.is_some())
    }

    /// Who is shown on the phone, or not: nobody where nothing is known.
    pub(crate) fn shows(&self) -> impl Iterator<Item = (&str, bool)> {
        let heard = self.subscription.as_ref().and_then(|subscription| subscription.heard.as_ref());
        heard.into_iter().flat_map(|heard| heard.shown.iter().map(|(user, on_the_phone)| (&**user, *on_the_phone)))
    }
}
