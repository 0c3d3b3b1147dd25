//! One subscription (RFC 6665 section 4.2): its dialog, its life, and the NOTIFY that is on its way.

use std::fmt;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::timer::TimerKey;
use sip::transport::Flow;
use sip::{Aor, Target};

use super::authorization::Standing;
use super::list::List;
use super::queue::Lane;
use super::rate::Rates;
use super::{Identity, View, limits};

/// How long the first three NOTIFYs after one that failed wait.
const RETRY: [Duration; 3] = [Duration::from_secs(32), Duration::from_secs(64), Duration::from_secs(128)];

/// How often the least pause after a refusal with Retry-After doubles, from a second on, while they are in a row.
const RETRY_AFTER_DOUBLES: u32 = 4;

/// A watcher's subscription to a presentity.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) package: usize,
    pub(super) presentity: Aor,
    pub(super) dialog: Dialog,
    /// The watcher's URI as its From has it, for reports, and for rules where a peer speaks for it.
    pub(super) watcher: Box<str>,
    /// Who the watcher has proved to be.
    pub(super) who: Identity,
    /// What it is granted.
    pub(super) standing: Standing,
    /// The `id` parameter of its Event.
    pub(super) event_id: Option<Box<str>>,
    /// The user part of the Contact that we gave it.
    pub(super) contact_user: Option<Box<str>>,
    /// The flow that reaches the watcher where its Contact does not.
    pub(super) flow: Option<Flow>,
    /// Whether that flow, a connection, got no answer, and its Contact is tried instead.
    pub(super) astray: bool,
    /// Whether its watcher has asked anew since the last NOTIFY left.
    pub(super) heard: bool,
    pub(super) expires_at: Instant,
    /// What the store knows of it; none of a fetch, which it never hears of.
    pub(super) kept: Option<Kept>,
    /// Its end; none for a fetch, which has no life.
    pub(super) expiry: Option<TimerKey>,
    pub(super) delivery: Delivery,
    /// Where its NOTIFYs wait.
    pub(super) lane: Lane,
    /// How often it is notified, where it asked for that.
    pub(super) rates: Option<Box<Rates>>,
    /// What it knows of the list that it watches, if it watches one.
    pub(super) list: Option<Box<List>>,
    /// When the last NOTIFY left.
    pub(super) notified_at: Option<Instant>,
    /// NOTIFYs that were sent so far.
    pub(super) notifies: u32,
    /// Documents that it was sent so far, where the package numbers them.
    pub(super) documents: u32,
    /// The moment of the presentity that its last NOTIFY shows.
    pub(super) shown: u32,
    /// The moment that it is known to have seen.
    pub(super) seen: u32,
    /// Timeouts since the last answer; a 408 is none of the watcher's.
    pub(super) timeouts: u32,
    /// NOTIFYs that failed, in whatever way, since the last that was taken.
    pub(super) failures: u32,
    /// Set once it is over and only its last NOTIFY is due.
    pub(super) over: Option<Reason>,
}

/// How the store knows a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Which of the subscriptions to the presentity.
    pub(super) number: u64,
    /// How often it was saved.
    pub(super) version: u32,
    /// The save that its next NOTIFY waits for.
    pub(super) saved: u64,
    /// The highest CSeq that the store will have given away.
    pub(super) reserved: u32,
    /// The seconds that its last SUBSCRIBE was granted, what that is known by, and when it was answered.
    pub(super) granted: u32,
    pub(super) mark: u64,
    pub(super) answered_at: Instant,
    /// Whether it is of an earlier run and its watcher has not been heard of since.
    pub(super) returning: bool,
    /// Whether the store has been told to forget it already.
    pub(super) forgotten: bool,
}

/// What is happening about NOTIFY; never are two on their way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delivery {
    /// The watcher has the newest state.
    Settled,
    /// A NOTIFY is in the queue.
    Queued,
    /// A NOTIFY is on its way, and what has happened since.
    Sent { number: u32, news: News },
    /// The way to the watcher ended with an earlier run: its next SUBSCRIBE is waited for.
    Unreachable,
    /// One has failed, or it is too early for the next; the newest state is sent when the timer comes.
    Waiting { retry: TimerKey },
}

/// What has happened while a NOTIFY is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    Nothing,
    /// The state is another one.
    Changed,
    /// Something that the watcher is told whatever its rate: it asked, or its subscription's own state is another one.
    Asked,
}

/// Why a subscription is over, as Subscription-State tells it (RFC 6665 section 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It ran out, was ended by its watcher, or was a fetch.
    Timeout,
    /// The server stops; the watcher may come back later.
    Probation,
    /// The rules no longer let it watch.
    Rejected,
    /// What it watches is no longer there.
    NoResource,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "terminated;reason=timeout",
            Self::Probation => "terminated;reason=probation;retry-after=10",
            Self::Rejected => "terminated;reason=rejected",
            Self::NoResource => "terminated;reason=noresource",
        })
    }
}

impl Subscription {
    /// A NOTIFY has failed: how long the next one waits.
    pub(super) fn pause_after(&mut self, code: Option<u16>, retry_after: Option<Duration>) -> Duration {
        match code {
            None => self.timeouts = self.timeouts.saturating_add(1),
            // Some proxy on the way has waited in vain.
            Some(408) => {}
            Some(_) => self.timeouts = 0,
        }
        let step = usize::try_from(self.failures).unwrap_or(usize::MAX).min(RETRY.len() - 1);
        // Whoever refuses each NOTIFY and asks for the next at once is not sent one after the other.
        let least = Duration::from_secs(1 << self.failures.min(RETRY_AFTER_DOUBLES));
        self.failures = self.failures.saturating_add(1);
        let pause = retry_after.map(|asked| asked.min(limits::RETRY_AFTER).max(least));
        let pause = pause.or(RETRY.get(step).copied()).unwrap_or(limits::RETRY_AFTER);
        pause.max(self.rates.as_ref().and_then(|rates| rates.shortest()).unwrap_or_default())
    }

    /// Its Subscription-State.
    pub(super) fn state(&self, now: Instant) -> String {
        match self.over {
            Some(reason) => reason.to_string(),
            None => {
                let left = self.expires_at.saturating_duration_since(now);
                let word = if self.standing == Standing::Pending { "pending" } else { "active" };
                let left = left.as_millis().div_ceil(1000);
                match &self.rates {
                    Some(rates) => format!("{word};expires={left}{rates}"),
                    None => format!("{word};expires={left}"),
                }
            }
        }
    }

    /// How its watcher is reached.
    pub(super) fn way(&self) -> Target {
        Target { uri: self.dialog.next_hop().into(), flow: self.flow.filter(|_| !self.astray) }
    }

    /// What it is shown; none where nothing true is.
    pub(super) fn view(&self) -> Option<View> {
        self.standing.view().filter(|_| self.over != Some(Reason::Rejected))
    }

    /// The watcher by the name that rules know.
    pub(super) fn watcher_aor(&self) -> Option<Aor> {
        self.who.user.clone().or_else(|| Aor::parse(&self.watcher))
    }

    /// Whether a request comes from the same watcher: a dialog's tags are no proof of that.
    pub(super) fn is_of(&self, who: &Identity) -> bool {
        self.who.user == who.user && self.who.peer == who.peer && self.who.internal == who.internal
    }
}
