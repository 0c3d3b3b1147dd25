//! The flows of a node: streams and what has arrived on them, and which flow a request takes to an address.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::transport::{Flow, ListenerId, SentBy, StreamId, Transport};
use sip::{KeyedMap, KeyedState, Owner};
use wire::sip::Framer;

use crate::configuration::{Bound, IdentityId};
use crate::limits;
use crate::port::Place;

/// Where a request goes next: one address over one transport, under one identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    /// The name that the server's certificate must bear.
    pub(crate) server_name: Option<String>,
    pub(crate) identity: Option<IdentityId>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) flow: Flow,
    pub(crate) framer: Framer,
    pub(crate) peer_names: Arc<[String]>,
    /// The hop that it was opened for.
    hop: Option<Hop>,
    /// Whether the connection stands, and not only an attempt.
    open: bool,
}

/// A stream that is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) flow: Flow,
    /// Whether it ever stood, so that something may have left on it.
    pub(crate) stood: bool,
}

/// All flows of one node.
#[derive(Debug)]
pub(crate) struct Flows {
    owner: Owner,
    bound: Vec<Bound>,
    sent_by: Vec<SentBy>,
    streams: KeyedMap<StreamId, Stream>,
    hops: KeyedMap<Hop, StreamId>,
    /// Addresses that failed, and until when others are tried before them.
    ailing: KeyedMap<SocketAddr, Instant>,
    /// Streams of other owners that are gone, as far as those have told: what came on one may still be answered here.
    gone: BTreeSet<StreamId>,
    /// Addresses that take datagrams only, as far as we have found, and until when that is believed.
    without_tcp: KeyedMap<SocketAddr, Instant>,
    opened: u64,
}

/// What a request needs to leave.
#[derive(Debug)]
pub(crate) enum Departure {
    /// This flow stands.
    Ready(Flow),
    /// This flow is being opened: connect first.
    Connect { flow: Flow, id: StreamId, listener: ListenerId },
    /// No listener has this transport.
    NoListener,
    /// Too many streams.
    Full,
}

impl Flows {
    pub(crate) fn new(owner: Owner, bound: Vec<Bound>, keyed: KeyedState) -> Self {
        let sent_by = bound.iter().map(advertised).collect();
        Self {
            owner,
            bound,
            sent_by,
            streams: KeyedMap::with_hasher(keyed),
            hops: KeyedMap::with_hasher(keyed),
            ailing: KeyedMap::with_hasher(keyed),
            gone: BTreeSet::new(),
            without_tcp: KeyedMap::with_hasher(keyed),
            opened: 0,
        }
    }

    /// The name that Via and Contact show on this flow.
    pub(crate) fn sent_by(&self, flow: &Flow) -> Option<&SentBy> {
        let listener = match flow {
            Flow::Udp { listener, .. } | Flow::Stream { listener, .. } => *listener,
            Flow::Internal => return None,
        };
        let place = self.bound.iter().position(|bound| bound.listener.id == listener)?;
        self.sent_by.get(place)
    }

    pub(crate) fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&id)
    }

    /// Whether octets sent on this flow have a chance to arrive.
    pub(crate) fn stands(&self, flow: &Flow) -> bool {
        match flow {
            Flow::Udp { .. } | Flow::Internal => true,
            // A stream of another owner is not in our table: who owns it says so when it is gone.
            Flow::Stream { id, .. } if id.owner() != self.owner => !self.gone.contains(id),
            Flow::Stream { id, .. } => self.streams.contains_key(id),
        }
    }

    /// Whether this is a stream whose connection is still being opened.
    pub(crate) fn is_opening(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| !stream.open)
    }

    /// The flow to a hop: one that stands, or one to be opened.
    pub(crate) fn depart(&mut self, hop: &Hop) -> Departure {
        let Some(bound) = self.listener(hop.transport, &hop.remote) else { return Departure::NoListener };
        let listener = bound.listener.id;
        if hop.transport == Transport::Udp {
            return Departure::Ready(Flow::Udp { listener, remote: hop.remote });
        }
        if let Some(stream) = self.hops.get(hop).and_then(|id| self.streams.get(id)) {
            return Departure::Ready(stream.flow);
        }
        if self.streams.len() >= limits::STREAMS {
            return Departure::Full;
        }
        self.opened += 1;
        let id = StreamId::opened(self.owner, self.opened);
        let flow = Flow::Stream { id, transport: hop.transport, listener, remote: hop.remote };
        self.hops.insert(hop.clone(), id);
        let stream =
            Stream { flow, framer: Framer::new(), peer_names: Arc::from([]), hop: Some(hop.clone()), open: false };
        self.streams.insert(id, stream);
        Departure::Connect { flow, id, listener }
    }

    /// The transports that we listen on, in the order of the configuration.
    pub(crate) fn transports(&self) -> Vec<Transport> {
        let mut all: Vec<Transport> = Vec::new();
        for bound in &self.bound {
            if !all.contains(&bound.listener.transport) {
                all.push(bound.listener.transport);
            }
        }
        all
    }

    /// No TCP connection could be made to an address that is known by UDP.
    pub(crate) fn takes_no_tcp(&mut self, now: Instant, address: SocketAddr) {
        if self.without_tcp.len() >= limits::AILING {
            self.without_tcp.retain(|_, until| *until > now);
        }
        if self.without_tcp.len() < limits::AILING {
            self.without_tcp.insert(address, now + limits::WITHOUT_TCP);
        }
    }

    /// Whether a request too large for a datagram has a chance over TCP.
    pub(crate) fn may_take_tcp(&self, now: Instant, address: SocketAddr) -> bool {
        self.without_tcp.get(&address).is_none_or(|until| *until <= now)
    }

    /// An address failed: for so long others are tried before it.
    pub(crate) fn ails(&mut self, now: Instant, address: SocketAddr, lasts: Duration) {
        if self.ailing.len() >= limits::AILING {
            self.ailing.retain(|_, until| *until > now);
        }
        if self.ailing.len() < limits::AILING {
            self.ailing.insert(address, now + lasts);
        }
    }

    /// An address has answered.
    pub(crate) fn is_well(&mut self, address: SocketAddr) {
        // Mostly there is none, and every answer asks.
        if !self.ailing.is_empty() {
            self.ailing.remove(&address);
        }
    }

    /// Puts the addresses that failed behind the others; among each the order stays.
    pub(crate) fn order(&self, now: Instant, places: &mut [Place]) {
        places.sort_by_key(|place| self.ailing.get(&place.address).is_some_and(|until| *until > now));
    }

    /// A stream stands: one that was accepted, or one that we asked for.
    pub(crate) fn opened(&mut self, id: StreamId, flow: Flow, peer_names: Vec<String>) {
        let peer_names: Arc<[String]> = peer_names.into();
        match self.streams.get_mut(&id) {
            Some(stream) => (stream.peer_names, stream.open) = (peer_names, true),
            None => {
                self.streams.insert(id, Stream { flow, framer: Framer::new(), peer_names, hop: None, open: true });
            }
        }
    }

    /// A stream is gone; what it was, for whoever waits for an answer on it.
    pub(crate) fn closed(&mut self, id: StreamId) -> Option<Gone> {
        if id.owner() != self.owner {
            // The lowest numbers of an owner are its oldest.
            if self.gone.len() >= limits::GONE {
                self.gone.pop_first();
            }
            self.gone.insert(id);
        }
        let stream = self.streams.remove(&id)?;
        if let Some(hop) = stream.hop
            && self.hops.get(&hop) == Some(&id)
        {
            self.hops.remove(&hop);
        }
        Some(Gone { flow: stream.flow, stood: stream.open })
    }

    /// The identity that a connection over this transport shows by default.
    pub(crate) fn identity(&self, listener: ListenerId) -> Option<IdentityId> {
        self.bound.iter().find(|bound| bound.listener.id == listener)?.listener.identity
    }

    /// Whether this is an address of ours.
    pub(crate) fn is_ours(&self, host: &str, port: Option<u16>) -> bool {
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        self.bound.iter().zip(&self.sent_by).any(|(bound, sent_by)| {
            let ours = port.is_none() || port == Some(bound.address.port());
            let (name, _) = split_port(&sent_by.host_port);
            ours && (name.eq_ignore_ascii_case(host) || address == Some(bound.address.ip()))
        })
    }

    /// The listener that a request to this address leaves through: same transport, same address family, the same
    /// network (loopback or not) where there is a choice.
    fn listener(&self, transport: Transport, remote: &SocketAddr) -> Option<&Bound> {
        let fits =
            |bound: &&Bound| bound.listener.transport == transport && bound.address.is_ipv4() == remote.is_ipv4();
        let near = |bound: &&Bound| {
            bound.address.ip().is_unspecified() || bound.address.ip().is_loopback() == remote.ip().is_loopback()
        };
        let mut all = self.bound.iter().filter(fits);
        all.clone().find(near).or_else(|| all.next())
    }
}

/// The name of a listener for Via and Contact: what is advertised, with the bound port where none is given.
fn advertised(bound: &Bound) -> SentBy {
    let port = bound.address.port();
    let host_port = match &bound.listener.advertise {
        Some(name) if split_port(name).1.is_some() => name.clone(),
        Some(name) => format!("{name}:{port}"),
        None => bound.address.to_string(),
    };
    SentBy { transport: bound.listener.transport, host_port: host_port.into(), alias: false }
}

/// Splits `host:port`, leaving brackets of an IPv6 reference in place.
pub(crate) fn split_port(host_port: &str) -> (&str, Option<u16>) {
    let after = host_port.rfind(']').map_or(0, |end| end + 1);
    match host_port
        .get(after..)
        .and_then(|rest| rest.rfind(':'))
        .and_then(|colon| host_port.split_at_checked(after + colon))
    {
        Some((host, port)) => (host, port.get(1..).and_then(|port| port.parse().ok())),
        None => (host_port, None),
    }
}
