//! The INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).

use std::time::Duration;

use super::machine::{Effects, Failure, Timer, Timers, linger};

/// How long a final response may be retransmitted to us over UDP; the RFC asks for at least 32 s.
const LINGER: Duration = Duration::from_secs(32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientInvite {
    /// Sent, no answer yet.
    Calling { interval: Duration },
    /// A provisional response came.
    Proceeding,
    /// A 2xx came; further ones are passed on.
    Accepted,
    /// Another final response came; further ones are acknowledged.
    Completed,
}

impl ClientInvite {
    pub(super) fn start(timers: &Timers, reliable: bool) -> (Self, Effects) {
        let effects = Effects::transmit().set(Timer::B, timers.patience());
        let effects = if reliable { effects } else { effects.set(Timer::A, timers.t1) };
        (Self::Calling { interval: timers.t1 }, effects)
    }

    pub(super) fn response(&mut self, code: u16, timers: &Timers, reliable: bool) -> Effects {
        match (*self, code) {
            (Self::Calling { .. }, 100..200) => {
                *self = Self::Proceeding;
                Effects::pass().quiet()
            }
            // Once it is given up, Timer B runs again: ringing on does not stop it (section 9.1).
            (Self::Proceeding, 100..200) => Effects::pass(),
            (Self::Calling { .. } | Self::Proceeding, 200..300) => {
                *self = Self::Accepted;
                Effects::pass().quiet().set(Timer::M, timers.patience())
            }
            (Self::Calling { .. } | Self::Proceeding, _) => {
                *self = Self::Completed;
                linger(Effects::pass().quiet().acknowledge(), Timer::D, LINGER, reliable)
            }
            (Self::Accepted, 200..300) => Effects::pass(),
            (Self::Completed, 300..) => Effects::none().acknowledge(),
            (Self::Accepted | Self::Completed, _) => Effects::none(),
        }
    }

    pub(super) fn timer(&mut self, timer: Timer) -> Effects {
        match (&mut *self, timer) {
            (Self::Calling { interval }, Timer::A) => {
                *interval *= 2;
                Effects::transmit().set(Timer::A, *interval)
            }
            (Self::Calling { .. }, Timer::B) => Effects::fail(Failure::TimedOut),
            (Self::Accepted, Timer::M) | (Self::Completed, Timer::D) => Effects::over(),
            _ => Effects::none(),
        }
    }

    /// The flow broke.
    pub(super) fn broken(self, cause: Failure) -> Effects {
        match self {
            Self::Calling { .. } | Self::Proceeding => Effects::fail(cause),
            Self::Accepted | Self::Completed => Effects::none(),
        }
    }
}
