//! The tap: sees every SIP message that passes a socket, for ladders and captures.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip::transport::{ListenerId, Transport};

/// Someone who looks at every message. Called on the worker's thread: it must be quick and never wait.
#[derive(Clone)]
pub struct Tap(Arc<dyn Fn(&Tapped<'_>) + Send + Sync>);

impl Tap {
    /// A tap that calls this for every message.
    pub fn new(look: impl Fn(&Tapped<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// Shows it a message.
    pub(crate) fn show(&self, tapped: &Tapped<'_>) {
        (self.0)(tapped);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// One message at a socket.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<'a> {
    /// Whether it came or goes.
    pub direction: Direction,
    /// UDP, TCP or TLS; of the last the text is in clear here.
    pub transport: Transport,
    /// The listener whose socket it is, or whose name a connection of ours bears.
    pub listener: ListenerId,
    /// Our address.
    pub local: SocketAddr,
    /// The other end's address.
    pub remote: SocketAddr,
    /// The message, whole.
    pub octets: &'a [u8],
    /// The worker.
    pub worker: u16,
    /// When the worker took it from the socket, or gave it to the socket's queue.
    pub at: Instant,
}

/// Whether a message came or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It was received.
    Received,
    /// It is being sent.
    Sent,
}
