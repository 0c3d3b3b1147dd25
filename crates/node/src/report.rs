//! The catalogue of everything a node reports: logs, metrics, records and ladders are printed from here.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use sip::Aor;
use wire::sip::{Fault, Unframeable};

use crate::contract::Closed;
use crate::port::Who;

/// How much a report matters to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Of use to who follows one message.
    Trace,
    /// The normal course of things.
    Notice,
    /// Somebody did something wrong, and it was dealt with.
    Warning,
    /// Something that was promised may not be kept.
    Alarm,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Octets that are no SIP message were dropped.
    Unframeable {
        /// Who sent them.
        from: Option<SocketAddr>,
        /// What is wrong.
        why: Unframeable,
    },
    /// A message with a fault was answered with its status, or dropped if it is a response.
    Malformed {
        /// Who sent it.
        from: Option<SocketAddr>,
        /// What is wrong.
        fault: Fault,
    },
    /// A request was refused because its sender is unknown or not who it claims to be.
    NotAuthenticated {
        /// Who sent it.
        from: Option<SocketAddr>,
        /// The method.
        method: &'static str,
        /// Who it claims to be.
        claims: String,
    },
    /// A stream is gone.
    StreamClosed {
        /// The other end.
        remote: Option<SocketAddr>,
        /// Why.
        why: Closed,
    },
    /// A request could not leave.
    Undeliverable {
        /// Where it should go.
        uri: Box<str>,
        /// Why not.
        why: &'static str,
    },
    /// Several users claim a party of a call; nothing is published for it.
    Ambiguous {
        /// How the signalling names it.
        who: Who,
        /// Who claims it.
        users: Vec<Aor>,
    },
    /// A record of the store cannot be read; it was dropped.
    RecordLost {
        /// Its key.
        key: String,
    },
    /// A presence server that was silent answers again; what it may have forgotten is published anew.
    ServerIsBack {
        /// Its name.
        server: Arc<str>,
    },
    /// New work is turned away from now on: there is more than can be done.
    Overloaded {
        /// The transactions that are open.
        transactions: usize,
    },
    /// New work is taken again.
    Relieved {
        /// How many requests were turned away.
        turned_away: u64,
    },
    /// The orderly stop waits for so many publications.
    Stopping {
        /// How many are left.
        left: usize,
    },
    /// From the calls.
    Call(call::Report),
    /// From the publisher.
    Publisher(presence::publisher::Report),
    /// From the presence server.
    PresenceServer(presence::server::Report),
}

impl Report {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        use presence::publisher::Report as P;
        match self {
            Self::Unframeable { .. } => Severity::Trace,
            Self::Call(_) | Self::PresenceServer(_) | Self::ServerIsBack { .. } | Self::Stopping { .. } => {
                Severity::Notice
            }
            Self::Publisher(P::Published { .. } | P::Removed { .. }) => Severity::Notice,
            Self::Publisher(P::MayStick { .. } | P::NoEntityTag { .. } | P::ServerRefused { .. }) => Severity::Alarm,
            Self::RecordLost { .. } | Self::Overloaded { .. } => Severity::Alarm,
            _ => Severity::Warning,
        }
    }
}

/// The address, or that there is none.
struct From(Option<SocketAddr>);

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("this node"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unframeable { from, why } => write!(f, "dropped octets from {}: {why}", From(*from)),
            Self::Malformed { from, fault } => write!(f, "{} sent a message with a fault: {fault}", From(*from)),
            Self::NotAuthenticated { from, method, claims } => {
                write!(f, "{method} from {} refused: it does not prove to be {claims}", From(*from))
            }
            Self::StreamClosed { remote, why } => write!(f, "the connection with {} is gone: {why}", From(*remote)),
            Self::Undeliverable { uri, why } => write!(f, "a request to {uri} could not leave: {why}"),
            Self::Ambiguous { who, users } => write!(f, "{who:?} is claimed by several users: {users:?}"),
            Self::RecordLost { key } => write!(f, "the record {key} cannot be read"),
            Self::ServerIsBack { server } => {
                write!(f, "{server} answers again; what is published there is published anew")
            }
            Self::Overloaded { transactions } => {
                write!(
                    f,
                    "overloaded, with {transactions} transactions open: new calls, subscriptions and publications get 503"
                )
            }
            Self::Relieved { turned_away } => {
                write!(f, "no longer overloaded; {turned_away} requests were turned away")
            }
            Self::Stopping { left } => write!(f, "stopping: {left} publications left"),
            Self::Call(report) => write!(f, "{report}"),
            Self::Publisher(report) => write!(f, "{report}"),
            Self::PresenceServer(report) => write!(f, "{report}"),
        }
    }
}
