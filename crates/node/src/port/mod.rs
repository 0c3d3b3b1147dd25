//! The ports: questions that the node puts to the world and the answers it takes, never waiting for them.

pub mod adapter;

use std::net::SocketAddr;

use sip::Aor;
use sip::transport::Transport;

/// The number of a question; unique within one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What the node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which addresses has this host (RFC 3263)?
    Resolve {
        /// The name, without brackets or port.
        host: String,
        /// The port of the URI, if it names one.
        port: Option<u16>,
        /// The transport that the URI or the configuration asks for.
        transport: Transport,
    },
    /// Which user is this party of a call? The directory's question.
    WhoIs(Who),
}

/// A party, as the signalling names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// An address-of-record.
    Aor(Aor),
    /// The user part of a URI that may be a number, as written.
    Number(String),
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The addresses, best first; empty when there are none.
    Addresses(Vec<SocketAddr>),
    /// The directory's answer.
    User(Known),
    /// The port could not answer; its words.
    Failed(String),
}

/// What the directory knows about a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Exactly one user.
    User {
        /// Their SIP URI, normalised.
        aor: Aor,
        /// Their name, for documents.
        display_name: Option<String>,
        /// Whether their presence is published at all.
        publish: bool,
    },
    /// Nobody of ours.
    Nobody,
    /// Several users claim it; nothing is published and it is reported.
    Ambiguous(Vec<Aor>),
}
