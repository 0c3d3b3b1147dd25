//! The INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).

use std::time::Duration;

use super::machine::{Effects, Timer, Timers, linger};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerInvite {
    /// No final response yet.
    Proceeding,
    /// A 2xx was sent; it is sent again until its ACK comes.
    Accepted { interval: Duration, acknowledged: bool },
    /// Another final response was sent; it is sent again until its ACK comes.
    Completed { interval: Duration },
    /// The ACK to it came.
    Confirmed,
}

impl ServerInvite {
    /// The transaction user responds; `None` when it has done so finally.
    pub(super) fn respond(&mut self, code: u16, timers: &Timers, reliable: bool) -> Option<Effects> {
        if *self != Self::Proceeding {
            return None;
        }
        Some(match code {
            100..200 => Effects::transmit(),
            200..300 => {
                *self = Self::Accepted { interval: timers.t1, acknowledged: false };
                // On every transport: between us and the caller may lie a hop over UDP.
                Effects::transmit().set(Timer::L, timers.patience()).set(Timer::Answer, timers.t1)
            }
            _ => {
                *self = Self::Completed { interval: timers.t1 };
                let effects = Effects::transmit().set(Timer::H, timers.patience());
                if reliable { effects } else { effects.set(Timer::G, timers.t1) }
            }
        })
    }

    /// The INVITE came again.
    pub(super) fn again(self) -> Effects {
        match self {
            Self::Proceeding | Self::Completed { .. } => Effects::transmit(),
            Self::Accepted { .. } | Self::Confirmed => Effects::none(),
        }
    }

    /// An ACK with the branch of the INVITE came.
    pub(super) fn ack(&mut self, timers: &Timers, reliable: bool) -> Effects {
        match self {
            Self::Completed { .. } => {
                *self = Self::Confirmed;
                linger(Effects::none().quiet(), Timer::I, timers.t4, reliable)
            }
            // Old user agents acknowledge a 2xx under the INVITE's branch.
            Self::Accepted { .. } => Effects::pass(),
            Self::Proceeding | Self::Confirmed => Effects::none(),
        }
    }

    /// The dialog knows the ACK of the 2xx.
    pub(super) fn acknowledged(&mut self) {
        if let Self::Accepted { acknowledged, .. } = self {
            *acknowledged = true;
        }
    }

    pub(super) fn timer(&mut self, timer: Timer, timers: &Timers) -> Effects {
        match (&mut *self, timer) {
            (Self::Accepted { interval, acknowledged: false }, Timer::Answer) => {
                *interval = (*interval * 2).min(timers.t2);
                Effects::transmit().set(Timer::Answer, *interval)
            }
            (Self::Accepted { acknowledged, .. }, Timer::L) => {
                Effects { ack_missing: !*acknowledged, ..Effects::over().quiet() }
            }
            (Self::Completed { interval }, Timer::G) => {
                *interval = (*interval * 2).min(timers.t2);
                Effects::transmit().set(Timer::G, *interval)
            }
            (Self::Completed { .. }, Timer::H) => Effects::over().quiet(),
            (Self::Confirmed, Timer::I) => Effects::over(),
            _ => Effects::none(),
        }
    }
}
