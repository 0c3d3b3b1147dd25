//! Transports, listeners, streams and flows: where octets come from and go to, without a socket.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Owner;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream over TLS.
    Tls,
}

impl Transport {
    /// As Via writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As the transport parameter of a URI writes it.
    #[must_use]
    pub fn uri_param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The transport that a URI or a configuration names, in any letter case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// The port where none is named.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// Whether what is sent arrives, or its loss is told.
    #[must_use]
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

/// The number of a listener; the same in every node of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenerId(pub u16);

/// The number of a stream; it names the worker that holds its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u64);

impl StreamId {
    const OPENED: u64 = 1 << 47;
    const NUMBER: u64 = Self::OPENED - 1;

    /// A stream that this owner's worker accepted.
    #[must_use]
    pub fn accepted(owner: Owner, number: u64) -> Self {
        Self(u64::from(owner.0) << 48 | number & Self::NUMBER)
    }

    /// A stream that this owner's node asked for.
    #[must_use]
    pub fn opened(owner: Owner, number: u64) -> Self {
        Self(u64::from(owner.0) << 48 | Self::OPENED | number & Self::NUMBER)
    }

    /// Whose worker holds its socket.
    #[must_use]
    pub fn owner(self) -> Owner {
        Owner(u16::try_from(self.0 >> 48).unwrap_or(0))
    }
}

/// Where octets came from, and where answers to them go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flow {
    /// A UDP listener of ours and an address.
    Udp {
        /// The listener.
        listener: ListenerId,
        /// The address.
        remote: SocketAddr,
    },
    /// A stream.
    Stream {
        /// The stream.
        id: StreamId,
        /// TCP or TLS.
        transport: Transport,
        /// The listener that accepted it, or whose name it bears.
        listener: ListenerId,
        /// The other end.
        remote: SocketAddr,
    },
    /// From this very node to itself.
    Internal,
}

impl Flow {
    /// Its transport; the inner flow counts as TLS: reliable, and nobody listens.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Stream { transport, .. } => *transport,
            Self::Internal => Transport::Tls,
        }
    }

    /// Whether retransmissions are left to the transport.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.transport().is_reliable()
    }

    /// The other end; `None` for the inner flow.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp { remote, .. } | Self::Stream { remote, .. } => Some(*remote),
            Self::Internal => None,
        }
    }
}

/// What we write into Via and Contact on a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBy {
    /// The transport.
    pub transport: Transport,
    /// Host and port.
    pub host_port: Arc<str>,
    /// Whether to offer the connection for requests to us (RFC 5923); only with mutual TLS.
    pub alias: bool,
}
