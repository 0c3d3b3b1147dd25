//! The non-INVITE server transaction (RFC 3261 section 17.2.2, RFC 4320).

use super::machine::{Effects, Timer, Timers, linger};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerNonInvite {
    /// No response yet: retransmissions are absorbed.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent.
    Completed,
}

impl ServerNonInvite {
    /// The transaction user responds; `None` when it has done so finally.
    pub(super) fn respond(&mut self, code: u16, timers: &Timers, reliable: bool) -> Option<Effects> {
        match (*self, code) {
            (Self::Completed, _) => None,
            (_, 100..200) => {
                *self = Self::Proceeding;
                Some(Effects::transmit())
            }
            // A 408 would only add to the load that made it late (RFC 4320 section 4.2).
            (_, 408) => Some(Effects::over()),
            _ => {
                *self = Self::Completed;
                Some(linger(Effects::transmit(), Timer::J, timers.patience(), reliable))
            }
        }
    }

    /// The request came again.
    pub(super) fn again(self) -> Effects {
        match self {
            Self::Trying => Effects::none(),
            Self::Proceeding | Self::Completed => Effects::transmit(),
        }
    }

    pub(super) fn timer(self, timer: Timer) -> Effects {
        match (self, timer) {
            (Self::Completed, Timer::J) => Effects::over(),
            _ => Effects::none(),
        }
    }
}
