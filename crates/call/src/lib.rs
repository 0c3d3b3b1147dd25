//! The back-to-back user agent: two dialogs for each call, and nothing of one side shows on the other (RFC 7092).
#![forbid(unsafe_code)]

mod bridge;
mod calls;
mod cross;
pub mod event;
mod legs;
pub mod limits;
mod mutant;
mod record;
mod refresh;
pub mod registrar;
mod report;
pub mod routing;
pub mod session;
mod setup;

use std::sync::Arc;

use sip::transaction::{Failure, ServerKey};
use sip::transport::Flow;
use sip::{Aor, Request, Response, Target};
use wire::sip::Message;

pub use calls::Calls;
pub use mutant::Mutant;
pub use record::{CallRecord, LegRecord};
pub use report::Report;

/// What the calls are told once, at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our domain: the host in From towards every other side.
    pub domain: Box<str>,
    /// Where calls go; the first match counts.
    pub routes: Vec<routing::Route>,
    /// The URI of each peer.
    pub peers: Vec<(Arc<str>, Box<str>)>,
    /// How long calls live without a refresh, and at all.
    pub session: session::Settings,
    /// What the node takes beside calls.
    pub beside: Beside,
    /// Whether each step of each leg is told.
    pub legs: bool,
}

/// What the node takes beside calls: OPTIONS tells of it.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Its methods.
    pub methods: Vec<&'static str>,
    /// The event packages of its presence server.
    pub events: Vec<&'static str>,
}

/// The handle of a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRequest(pub u64);

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A configured peer.
    Peer(Arc<str>),
    /// A user who has proved it.
    User(Aor),
    /// Nobody that was asked to prove it: requests inside dialogs, and those that start no call.
    Nobody,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A request arrived, other than ACK and CANCEL.
    Request {
        /// Its transaction.
        key: ServerKey,
        /// How it came.
        flow: Flow,
        /// Who sent it.
        source: Source,
        /// The request, checked.
        message: &'a Message<'a>,
    },
    /// An ACK of a 2xx arrived.
    Ack {
        /// The ACK.
        message: &'a Message<'a>,
    },
    /// The caller gave up an INVITE; its CANCEL has been answered.
    Cancelled {
        /// The INVITE's transaction.
        invite: ServerKey,
    },
    /// A response to a request of ours.
    Response {
        /// The request.
        key: CallRequest,
        /// The response.
        message: &'a Message<'a>,
        /// How it came.
        flow: Flow,
    },
    /// A request of ours got no answer.
    Failed {
        /// The request.
        key: CallRequest,
        /// Why.
        cause: Failure,
    },
    /// A 2xx of ours was never acknowledged.
    AckMissing {
        /// The INVITE's transaction.
        key: ServerKey,
    },
    /// Where a user is registered.
    Located {
        /// The question's number.
        question: u64,
        /// The bindings, best first.
        bindings: Vec<registrar::Binding>,
    },
    /// A call of an earlier run: both legs get their BYE.
    Restore(Box<CallRecord>),
    /// End every call.
    Stop,
    /// The time of [`Calls::next_timeout`] has come. Harmless when early.
    Timeout,
}

/// One thing that follows.
#[derive(Debug)]
pub enum Output {
    /// Send a request.
    Send {
        /// Its handle.
        key: CallRequest,
        /// Where to.
        target: Target,
        /// The request.
        request: Request,
    },
    /// Give up an INVITE of ours.
    Cancel {
        /// The INVITE.
        key: CallRequest,
    },
    /// Answer a request.
    Respond {
        /// Its transaction.
        key: ServerKey,
        /// The answer.
        response: Response,
    },
    /// The ACK of a 2xx of ours has come.
    Acknowledged {
        /// The INVITE's transaction.
        key: ServerKey,
    },
    /// Send the ACK of a 2xx and keep it.
    Ack {
        /// Where to.
        target: Target,
        /// The ACK.
        request: Request,
        /// The number it is kept under.
        keep: u64,
    },
    /// Send a kept ACK again.
    AckAgain {
        /// Its number.
        keep: u64,
    },
    /// Drop a kept ACK.
    AckForget {
        /// Its number.
        keep: u64,
    },
    /// Where is this user registered?
    Locate {
        /// The question's number.
        question: u64,
        /// The user.
        aor: Aor,
    },
    /// Something happened to a call.
    Event(event::CallEvent),
    /// Keep what a BYE on both legs needs.
    Save(CallRecord),
    /// Drop that record.
    Forget {
        /// Its id.
        id: Box<str>,
    },
    /// Something that a person or a counter wants to know.
    Report(Report),
}
