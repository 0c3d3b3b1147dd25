//! What calls tell the rest of the house: offered, answered, ended, and where somebody wants it each step of each leg.

use std::fmt;
use std::sync::Arc;

use sip::Aor;
use wire::dialog_info::{self, State};

/// Our handle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

/// Something happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    /// The call.
    pub call: CallKey,
    /// What happened.
    pub what: What,
}

/// What happened to a call. Every call that was offered ends exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An INVITE came and has somewhere to go.
    Offered {
        /// Who calls.
        caller: Party,
        /// Who is called.
        callee: Party,
    },
    /// One leg has come further; told where [`crate::Settings::legs`] asks for it. No leg's end is told that follows from the
    /// end of the call, or from the answer of another phone.
    Leg(Box<LegEvent>),
    /// The 2xx of the branch that won came.
    Answered,
    /// It is over.
    Ended {
        /// What shows it.
        evidence: Evidence,
    },
}

/// How one leg stands: the dialog between us and one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegEvent {
    /// Which one.
    pub leg: Leg,
    /// Its Call-ID.
    pub call_id: Box<str>,
    /// The tag that we gave it.
    pub our_tag: Box<str>,
    /// The phone's tag, once it has one.
    pub phones_tag: Option<Box<str>>,
    /// How far it has come, as the phone sees it.
    pub state: State,
    /// What ended it.
    pub event: Option<dialog_info::Event>,
    /// The status with which the phone ended it.
    pub code: Option<u16>,
    /// Whether a party has asked not to be shown (RFC 3323).
    pub private: bool,
}

/// Which leg of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// The caller's.
    Caller,
    /// One of the callee's, of whom each phone has its own; by its place among them.
    Callee(usize),
}

/// One side of a call, as the signalling names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The URI: From of the caller, the Request-URI for the callee.
    pub uri: Box<str>,
    /// The address-of-record in it.
    pub aor: Option<Aor>,
    /// The name shown with it.
    pub display: Option<Box<str>>,
    /// The user who has proved to be this party.
    pub user: Option<Aor>,
    /// The peer through which it is reached.
    pub peer: Option<Arc<str>>,
}

/// What shows that a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The caller sent BYE.
    CallerHungUp,
    /// The callee sent BYE.
    CalleeHungUp,
    /// The caller gave up before the answer.
    Cancelled,
    /// The callee's side refused, with this status.
    Refused(u16),
    /// Nobody answered in time.
    NoAnswer,
    /// A request inside the dialog was answered so: the other side knows no such call.
    DialogGone(u16),
    /// A request inside the dialog got no answer.
    Unreachable,
    /// The caller never acknowledged the answer.
    NoAck,
    /// Nobody refreshed the session in time.
    SessionExpired,
    /// It lasted longer than any call may.
    TooLong,
    /// We stop.
    Stopping,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallerHungUp => f.write_str("the caller hung up"),
            Self::CalleeHungUp => f.write_str("the callee hung up"),
            Self::Cancelled => f.write_str("the caller gave up"),
            Self::Refused(code) => write!(f, "the callee's side refused with {code}"),
            Self::NoAnswer => f.write_str("nobody answered"),
            Self::DialogGone(code) => write!(f, "a request inside the dialog was answered {code}"),
            Self::Unreachable => f.write_str("a request inside the dialog got no answer"),
            Self::NoAck => f.write_str("the caller never acknowledged the answer"),
            Self::SessionExpired => f.write_str("nobody refreshed the session"),
            Self::TooLong => f.write_str("it lasted longer than any call may"),
            Self::Stopping => f.write_str("we stop"),
        }
    }
}
