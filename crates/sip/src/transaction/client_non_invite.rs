//! The non-INVITE client transaction (RFC 3261 section 17.1.2).

use std::time::Duration;

use super::machine::{Effects, Failure, Timer, Timers, linger};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientNonInvite {
    /// Sent, no answer yet.
    Trying { interval: Duration },
    /// A provisional response came.
    Proceeding,
    /// The final response came; further ones are absorbed.
    Completed,
}

impl ClientNonInvite {
    pub(super) fn start(timers: &Timers, reliable: bool) -> (Self, Effects) {
        let effects = Effects::transmit().set(Timer::F, timers.patience());
        let effects = if reliable { effects } else { effects.set(Timer::E, timers.t1) };
        (Self::Trying { interval: timers.t1 }, effects)
    }

    pub(super) fn response(&mut self, code: u16, timers: &Timers, reliable: bool) -> Effects {
        match (*self, code) {
            (Self::Completed, _) => Effects::none(),
            (_, 100..200) => {
                *self = Self::Proceeding;
                Effects::pass()
            }
            _ => {
                *self = Self::Completed;
                linger(Effects::pass().quiet(), Timer::K, timers.t4, reliable)
            }
        }
    }

    pub(super) fn timer(&mut self, timer: Timer, timers: &Timers) -> Effects {
        match (&mut *self, timer) {
            (Self::Trying { interval }, Timer::E) => {
                *interval = (*interval * 2).min(timers.t2);
                Effects::transmit().set(Timer::E, *interval)
            }
            (Self::Proceeding, Timer::E) => Effects::transmit().set(Timer::E, timers.t2),
            (Self::Trying { .. } | Self::Proceeding, Timer::F) => Effects::fail(Failure::TimedOut),
            (Self::Completed, Timer::K) => Effects::over(),
            _ => Effects::none(),
        }
    }

    /// The flow broke.
    pub(super) fn broken(self, cause: Failure) -> Effects {
        match self {
            Self::Trying { .. } | Self::Proceeding => Effects::fail(cause),
            Self::Completed => Effects::none(),
        }
    }
}
