//! The ports: questions that the node puts to the world and the answers it takes, never waiting for them.

pub mod adapter;

use std::net::{IpAddr, SocketAddr};

use sip::Aor;
use sip::transport::Transport;

/// The number of a question; unique within one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What the node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where are requests for this host to be sent (RFC 3263 section 4)?
    Resolve(Resolve),
    /// Which user is this party of a call? The directory's question.
    WhoIs(Who),
}

/// The host of a URI, and what the URI says about the way there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resolve {
    /// The name, without brackets or port.
    pub host: String,
    /// The port, if the URI names one.
    pub port: Option<u16>,
    /// The transport, if the URI names one.
    pub transport: Option<Transport>,
    /// Whether it is a SIPS URI: over TLS only.
    pub secure: bool,
    /// The transports that we have, in the order of our liking.
    pub ours: Vec<Transport>,
}

impl Resolve {
    /// The transport where neither the URI nor the DNS names one (RFC 3263 section 4.1).
    #[must_use]
    pub fn usual_transport(&self) -> Transport {
        self.transport.unwrap_or(if self.secure { Transport::Tls } else { Transport::Udp })
    }

    /// A place at an address, with the port and the transport that the URI names or that are usual.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Place {
        let transport = self.usual_transport();
        let port = self.port.unwrap_or(transport.default_port());
        Place { transport, address: SocketAddr::new(address, port) }
    }
}

/// Where a request may go: an address, and the transport to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The transport.
    pub transport: Transport,
    /// The address.
    pub address: SocketAddr,
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
    /// The places, best first; empty when there are none.
    Places(Vec<Place>),
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
