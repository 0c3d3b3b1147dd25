//! What goes into a node and what comes out: the contract between the deterministic core and whoever drives it.
//!
//! The law: every [`Input`] is followed by [`Machine::poll`] until it answers `None`, and outputs are carried out in
//! the order in which they came. Time moves only with the `now` of an input.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use presence::server::list::{Followed, Following};
use sip::transport::{Flow, ListenerId, StreamId, Transport};
use sip::{Aor, Owner};

use crate::configuration::{Configuration, IdentityId};
use crate::port::{Answer, AskId, Question};
use crate::records::Records;
use crate::report::Report;

/// One thing that happened in the world.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived at one of our UDP listeners.
    Datagram {
        /// The listener that received it.
        listener: ListenerId,
        /// Its source address.
        remote: SocketAddr,
        /// The payload, whole.
        octets: &'a [u8],
    },
    /// A stream was accepted, or one that we asked for with [`Output::Connect`] stands.
    StreamOpened {
        /// The stream.
        id: StreamId,
        /// The listener that accepted it; for a stream of our own, the listener whose name goes into Via and Contact.
        listener: ListenerId,
        /// TCP or TLS.
        transport: Transport,
        /// The other end.
        remote: SocketAddr,
        /// The subject alternative names of the certificate that the other end proved, empty where it proved none.
        peer_names: Vec<String>,
    },
    /// Octets arrived on a stream, decrypted where it is TLS, cut anywhere.
    StreamOctets {
        /// The stream.
        id: StreamId,
        /// What arrived.
        octets: &'a [u8],
    },
    /// A stream is gone, or never came to be.
    StreamClosed {
        /// The stream.
        id: StreamId,
        /// Why.
        why: Closed,
    },
    /// The answer to an [`Output::Ask`].
    Answer {
        /// The question's number.
        id: AskId,
        /// The answer.
        answer: Answer,
    },
    /// The store handed every write up to this one to the operating system.
    Written {
        /// The last of them.
        up_to: WriteId,
    },
    /// Another node of this process, or of the cluster, tells us of a change to what we own.
    Told(Tell),
    /// Another node received a whole message that this one owns.
    Forwarded {
        /// Where it came from, and where answers go.
        flow: Flow,
        /// The names that the other end of a stream has proved.
        peer_names: Arc<[String]>,
        /// The message.
        octets: &'a [u8],
    },
    /// From now on this is the configuration, as far as a running node can change it: users, peers, routes, and how calls and
    /// registrations live. Who is on the phone is asked again, so that users who have left are cleared.
    Configure(Arc<Configuration>),
    /// Whether more has been arriving, for longer than a burst lasts, than can be done in time. While it is so, new calls,
    /// subscriptions and publications are turned away with 503.
    Overloaded(bool),
    /// Stop in order: take everything back that was published, then answer [`Output::Stopped`].
    Stop,
    /// The time of [`Machine::next_timeout`] has come. Harmless when early.
    Timeout,
}

/// One thing that the world is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Send these octets on this flow. For a stream that is still being opened they wait, within a bound.
    Transmit {
        /// Where.
        flow: Flow,
        /// One whole message, or a keep-alive.
        octets: Arc<[u8]>,
    },
    /// Open a stream; [`Input::StreamOpened`] or [`Input::StreamClosed`] answers.
    Connect {
        /// The number that the node gives it.
        id: StreamId,
        /// TCP or TLS.
        transport: Transport,
        /// Where to.
        remote: SocketAddr,
        /// The name that the server's certificate must bear; its address where there is none.
        server_name: Option<String>,
        /// Whose certificate and trust to use; the listener's where there is none.
        identity: Option<IdentityId>,
        /// The listener whose name goes into Via and Contact.
        listener: ListenerId,
    },
    /// Close a stream once what waits for it has been written.
    Disconnect {
        /// The stream.
        id: StreamId,
    },
    /// Ask a port; [`Input::Answer`] brings the answer.
    Ask {
        /// The question's number.
        id: AskId,
        /// The question.
        question: Question,
    },
    /// Put a record into the store. Writes are batched freely, their order is kept, and [`Input::Written`] follows.
    Write {
        /// The write's number; ascending.
        id: WriteId,
        /// The record's key.
        key: Vec<u8>,
        /// The record, or `None` to delete it.
        value: Option<Vec<u8>>,
    },
    /// Tell the owner of something about a change.
    Tell {
        /// The owner.
        owner: Owner,
        /// The change.
        tell: Tell,
    },
    /// Hand a whole message to the node that owns it.
    Forward {
        /// The owner.
        owner: Owner,
        /// Where the message came from.
        flow: Flow,
        /// The names that the other end of a stream has proved.
        peer_names: Arc<[String]>,
        /// The message.
        octets: Arc<[u8]>,
    },
    /// Something that a person or a counter wants to know.
    Report(Report),
    /// The orderly stop is complete.
    Stopped,
}

/// A change that concerns something another node owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// A user's answered call began or ended.
    Hook {
        /// The user.
        user: Aor,
        /// Their name, for documents.
        display_name: Option<String>,
        /// A number for the call that is unique in this process.
        call: u64,
        /// Whether the call is up.
        up: bool,
    },
    /// A dialog of a user began, has come further, or is over.
    Dialog {
        /// The user.
        user: Aor,
        /// A number for the leg that is unique in this process.
        leg: u64,
        /// The dialog.
        dialog: Box<presence::server::CallDialog>,
        /// Whether it is over.
        last: bool,
    },
    /// Where is this address-of-record registered? Answered by [`Tell::Located`].
    Locate {
        /// Who asks.
        asker: Owner,
        /// The asker's number for the question.
        question: u64,
        /// The address-of-record.
        aor: Aor,
    },
    /// The answer to [`Tell::Locate`].
    Located {
        /// The asker's number for the question.
        question: u64,
        /// The bindings, best first.
        bindings: Vec<call::registrar::Binding>,
    },
    /// Somebody watches a list of the asker's: what of these presentities may be seen? Answered by [`Tell::Followed`], now and
    /// whenever it changes.
    Follow {
        /// Who asks.
        asker: Owner,
        /// Which list, and for whom.
        following: Arc<Following>,
        /// The presentities, by their places in the list.
        members: Vec<(u32, Aor)>,
        /// How long.
        lasts: Duration,
    },
    /// A list of the asker's is watched no longer.
    Unfollow {
        /// Who asked.
        asker: Owner,
        /// The list, by the asker's number.
        list: u64,
    },
    /// What may be seen of members of a list.
    Followed {
        /// The list, by the asker's number.
        list: u64,
        /// Which question this answers.
        asked: u32,
        /// What is known, by the places in the list.
        news: Vec<(u32, Followed)>,
    },
}

/// Why a stream is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The other end closed it.
    ByPeer,
    /// We asked for it, or are stopping.
    ByUs,
    /// No connection could be made, in the system's words.
    Refused(String),
    /// The TLS handshake failed, with its cause and whose fault it is.
    Handshake(String),
    /// Reading or writing failed, in the system's words.
    Failed(String),
    /// More waited to be written than the bound allows.
    Overflow,
    /// Another owner's stream, of which nothing more is known than that it is gone.
    Gone,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByPeer => f.write_str("the other end closed it"),
            Self::ByUs => f.write_str("we closed it"),
            Self::Refused(why) => write!(f, "it could not be made: {why}"),
            Self::Handshake(why) => write!(f, "the TLS handshake failed: {why}"),
            Self::Failed(why) => write!(f, "it broke: {why}"),
            Self::Overflow => f.write_str("more waited to be written than the bound allows"),
            Self::Gone => f.write_str("it was gone already"),
        }
    }
}

/// The number of a write; ascending within one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Wall time at a known instant: the store's records carry wall time, the machines only instants.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// The instant.
    pub at: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z at that instant.
    pub unix_ms: u64,
}

impl Wall {
    /// The wall time of `now`, in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self, now: Instant) -> u64 {
        let since = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.unix_ms.saturating_add(since)
    }

    /// The instant of a wall time that may have passed; `None` where it was before instants began.
    #[must_use]
    pub fn instant_before(&self, unix_ms: u64) -> Option<Instant> {
        match self.unix_ms.checked_sub(unix_ms) {
            Some(ago) => self.at.checked_sub(Duration::from_millis(ago)),
            None => Some(self.instant(unix_ms)),
        }
    }

    /// The instant of a wall time; what lies before the known instant is that instant.
    #[must_use]
    pub fn instant(&self, unix_ms: u64) -> Instant {
        let ahead = Duration::from_millis(unix_ms.saturating_sub(self.unix_ms));
        self.at.checked_add(ahead).unwrap_or(self.at)
    }
}

/// What a node is started with, besides its configuration.
#[derive(Debug)]
pub struct Boot {
    /// Which of the nodes of this process this one is.
    pub owner: Owner,
    /// How many there are.
    pub owners: u16,
    /// Wall time at the start.
    pub wall: Wall,
    /// The node's own seed; unguessable in production.
    pub seed: [u8; 32],
    /// The seed that all nodes of this process share: the key by which owners are found, unless the store has one.
    pub shared_seed: [u8; 32],
    /// The address that each listener is bound to.
    pub listeners: Vec<(ListenerId, SocketAddr)>,
    /// Everything the store holds; the node takes what is its own.
    pub records: Records,
}

/// When a machine wants to be woken, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A transaction's timer.
    Transaction,
    /// A call's or a registration's timer.
    Call,
    /// A publication's refresh or retry.
    Publisher,
    /// The presence server's expiry or a NOTIFY's retry.
    PresenceServer,
    /// The node's own housekeeping.
    Node,
}

/// A sans-IO machine that a runtime or a simulator drives.
pub trait Machine {
    /// One thing happened.
    fn handle(&mut self, now: Instant, input: Input<'_>);
    /// What to do next; drained to `None` before the next input.
    fn poll(&mut self) -> Option<Output>;
    /// When to come back with [`Input::Timeout`] at the latest, and why.
    fn next_timeout(&self) -> Option<(Instant, Wake)>;
}
