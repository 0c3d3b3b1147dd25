//! What the four transaction machines have in common: their timers, their clocks' settings, and what they ask for.

use std::time::Duration;

/// The base intervals (RFC 3261 section 17.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The estimated round trip.
    pub t1: Duration,
    /// The longest interval between retransmissions.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// 64 times T1: how long a transaction tries.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// When a client over UDP has come down to one retransmission each T2: a request other than INVITE that has no answer
    /// by then gets 100, and none before (RFC 4320 section 4.1).
    #[must_use]
    pub fn slow(&self) -> Duration {
        let (mut interval, mut after) = (self.t1, self.t1);
        while interval * 2 < self.t2 && !interval.is_zero() {
            interval *= 2;
            after += interval;
        }
        after
    }
}

/// The timers of RFC 3261 table 4 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The INVITE is sent again, over UDP.
    A,
    /// The INVITE got no answer at all.
    B,
    /// No more final responses to the INVITE come that need our ACK.
    D,
    /// The request is sent again, over UDP.
    E,
    /// The request got no final answer.
    F,
    /// The final response to the INVITE is sent again.
    G,
    /// The ACK to the final response did not come.
    H,
    /// No more ACKs come.
    I,
    /// No more retransmissions of the request come.
    J,
    /// No more retransmissions of the response come.
    K,
    /// The server's side of an accepted INVITE is over.
    L,
    /// The client's side of an accepted INVITE is over.
    M,
    /// The 2xx to an INVITE is sent again until its ACK comes (RFC 3261 section 13.3.1.4).
    Answer,
}

/// Why a client transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time.
    TimedOut,
    /// The transport broke before the answer: the request may have arrived.
    Transport,
    /// No connection could be made, or no way was found: the request has not left.
    Unreached,
}

/// What a machine asks for after one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Send the stored message: the request of a client, the newest response of a server.
    pub(super) transmit: bool,
    /// Acknowledge the final response that was just received.
    pub(super) acknowledge: bool,
    /// Hand the message that was just received to the transaction user.
    pub(super) pass: bool,
    /// Stop every timer that runs; done before setting new ones.
    pub(super) quiet: bool,
    /// Set these timers.
    pub(super) set: [Option<(Timer, Duration)>; 2],
    /// Tell the transaction user that it failed.
    pub(super) failed: Option<Failure>,
    /// Tell the transaction user that no ACK came.
    pub(super) ack_missing: bool,
    /// The transaction is over.
    pub(super) over: bool,
}

impl Effects {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn transmit() -> Self {
        Self { transmit: true, ..Self::default() }
    }

    pub(super) fn pass() -> Self {
        Self { pass: true, ..Self::default() }
    }

    pub(super) fn over() -> Self {
        Self { over: true, ..Self::default() }
    }

    pub(super) fn and(self, other: Self) -> Self {
        let mut set = self.set;
        for one in other.set.into_iter().flatten() {
            if let Some(place) = set.iter_mut().find(|place| place.is_none()) {
                *place = Some(one);
            }
        }
        Self {
            transmit: self.transmit || other.transmit,
            acknowledge: self.acknowledge || other.acknowledge,
            pass: self.pass || other.pass,
            quiet: self.quiet || other.quiet,
            set,
            failed: self.failed.or(other.failed),
            ack_missing: self.ack_missing || other.ack_missing,
            over: self.over || other.over,
        }
    }

    pub(super) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    pub(super) fn acknowledge(self) -> Self {
        Self { acknowledge: true, ..self }
    }

    pub(super) fn set(self, timer: Timer, after: Duration) -> Self {
        self.and(Self { set: [Some((timer, after)), None], ..Self::default() })
    }

    pub(super) fn fail(failure: Failure) -> Self {
        Self { failed: Some(failure), over: true, quiet: true, ..Self::default() }
    }
}

/// A transaction that has nothing to wait for on a reliable transport ends at once.
pub(super) fn linger(effects: Effects, timer: Timer, after: Duration, reliable: bool) -> Effects {
    if reliable { Effects { over: true, ..effects } } else { effects.set(timer, after) }
}
