//! How a request leaves: from the URI of its next hop to a flow (RFC 3261 section 8.1.2, the part of RFC 3263 that needs
//! no more than addresses).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip::transaction::{self, ClientKey};
use sip::transport::{Flow, SentBy, Transport};
use sip::{Request, Target};
use wire::sip::{Host, Scheme, Uri};

use crate::configuration::IdentityId;
use crate::contract::Output;
use crate::flows::{Departure, Hop, split_port};
use crate::limits;
use crate::node::{Node, Purpose};
use crate::port::{AskId, Question};
use crate::report::Report;

/// How a request wants to leave, beyond its target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The certificate to show.
    pub(crate) identity: Option<IdentityId>,
    /// The name in Via and Contact.
    pub(crate) local_name: Option<String>,
}

/// A request that waits for its host to be resolved.
#[derive(Debug)]
pub(crate) struct Parked {
    what: Leaving,
    transport: Transport,
    server_name: String,
    manner: Manner,
}

/// What leaves: a request under a transaction, or an ACK without one.
#[derive(Debug)]
pub(crate) enum Leaving {
    Request { key: ClientKey, purpose: Purpose, request: Request },
    Ack { keep: u64, request: Request },
}

impl Node {
    /// Sends a request; whoever awaits its answer hears of it, whatever happens.
    pub(crate) fn dispatch(
        &mut self,
        now: Instant,
        purpose: Purpose,
        target: &Target,
        request: Request,
        manner: Manner,
    ) {
        let key = self.transactions.reserve();
        self.clients.insert(key, purpose);
        if let Purpose::Call(call) = purpose {
            self.call_requests.insert(call, key);
        }
        self.leave(now, Leaving::Request { key, purpose, request }, target, manner);
    }

    /// Sends the ACK of a 2xx and keeps it.
    pub(crate) fn acknowledge(&mut self, now: Instant, keep: u64, target: &Target, request: Request) {
        self.leave(now, Leaving::Ack { keep, request }, target, Manner::default());
    }

    fn leave(&mut self, now: Instant, what: Leaving, target: &Target, manner: Manner) {
        if let Some(flow) = target.flow.filter(|flow| self.flows.stands(flow)) {
            return self.take(now, what, flow, &manner);
        }
        let Ok(uri) = Uri::parse(target.uri.as_bytes()) else {
            return self.cannot_leave(&what, &target.uri, "its URI is bad");
        };
        let Some(transport) = transport(&uri) else {
            return self.cannot_leave(&what, &target.uri, "its transport is unknown");
        };
        match uri.host() {
            Host::Address(ip) => {
                let remote = SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()));
                self.depart_to(
                    now,
                    what,
                    &Hop { transport, remote, server_name: None, identity: manner.identity },
                    &manner,
                );
            }
            Host::Name(name) if self.parked.len() < limits::UNRESOLVED => {
                self.asked += 1;
                let id = AskId(self.asked);
                let question = Question::Resolve { host: name.to_owned(), port: uri.port(), transport };
                self.outputs.push_back(Output::Ask { id, question });
                self.parked.insert(id, Parked { what, transport, server_name: name.to_owned(), manner });
            }
            Host::Name(_) => self.cannot_leave(&what, &target.uri, "too many wait for a name"),
            Host::None => self.cannot_leave(&what, &target.uri, "its URI has no host"),
        }
    }

    /// The addresses of a host have come.
    pub(crate) fn resolved(&mut self, now: Instant, id: AskId, addresses: &[SocketAddr]) {
        let Some(parked) = self.parked.remove(&id) else { return };
        let Some(remote) = addresses.first() else {
            return self.cannot_leave(&parked.what, &parked.server_name, "the name has no address");
        };
        let Parked { what, transport, server_name, manner } = parked;
        let hop = Hop { transport, remote: *remote, server_name: Some(server_name), identity: manner.identity };
        self.depart_to(now, what, &hop, &manner);
    }

    /// Takes back a request that still waits for its host; its sender hears that it could not leave. Whether it was there.
    pub(crate) fn take_back(&mut self, wanted: ClientKey) -> bool {
        let waits = |parked: &Parked| matches!(&parked.what, Leaving::Request { key, .. } if *key == wanted);
        let Some(id) = self.parked.iter().find(|(_, parked)| waits(parked)).map(|(id, _)| *id) else { return false };
        if let Some(Parked { what: Leaving::Request { key, purpose, .. }, .. }) = self.parked.remove(&id) {
            self.transactions.release(key);
            self.clients.remove(&key);
            self.undeliverable.push_back(purpose);
        }
        true
    }

    fn depart_to(&mut self, now: Instant, what: Leaving, hop: &Hop, manner: &Manner) {
        match self.flows.depart(hop) {
            Departure::Ready(flow) => self.take(now, what, flow, manner),
            Departure::Connect { flow, id, listener } => {
                let identity = hop.identity.or_else(|| self.flows.identity(listener));
                self.outputs.push_back(Output::Connect {
                    id,
                    transport: hop.transport,
                    remote: hop.remote,
                    server_name: hop.server_name.clone(),
                    identity,
                    listener,
                });
                self.take(now, what, flow, manner);
            }
            Departure::NoListener => self.cannot_leave(&what, &hop.remote.to_string(), "no listener has its transport"),
            Departure::Full => self.cannot_leave(&what, &hop.remote.to_string(), "too many connections"),
        }
    }

    fn take(&mut self, now: Instant, what: Leaving, flow: Flow, manner: &Manner) {
        let sent_by = self.flows.sent_by(&flow).map(|usual| named(usual, manner));
        match what {
            Leaving::Request { key, request, .. } => {
                let input = transaction::Input::Send { key, flow, sent_by: sent_by.as_ref(), request };
                self.transactions.handle(now, &mut self.random, input);
            }
            Leaving::Ack { keep, request } => {
                let octets = self.transactions.ack(&mut self.random, &flow, sent_by.as_ref(), &request);
                self.acks.insert(keep, (flow, Arc::clone(&octets)));
                self.transmit(flow, octets);
            }
        }
    }

    fn cannot_leave(&mut self, what: &Leaving, uri: &str, why: &'static str) {
        self.report(Report::Undeliverable { uri: uri.into(), why });
        if let Leaving::Request { key, purpose, .. } = what {
            self.transactions.release(*key);
            self.clients.remove(key);
            self.undeliverable.push_back(*purpose);
        }
    }

    /// Sends octets; those to this very node go round inside.
    pub(crate) fn transmit(&mut self, flow: Flow, octets: Arc<[u8]>) {
        match flow {
            Flow::Internal => self.inner.push_back(octets),
            _ => self.outputs.push_back(Output::Transmit { flow, octets }),
        }
    }
}

/// The transport that a URI asks for (RFC 3263 section 4.1, without NAPTR).
fn transport(uri: &Uri<'_>) -> Option<Transport> {
    match (uri.scheme(), uri.transport()) {
        (Scheme::Sips, _) => Some(Transport::Tls),
        (Scheme::Sip, Some(name)) => Transport::parse(name),
        (Scheme::Sip, None) => Some(Transport::Udp),
        (Scheme::Tel | Scheme::Other, _) => None,
    }
}

/// The name in Via and Contact: the flow's own, or the one that the other side knows us by. The connection is offered
/// for requests to us only where it is one of mutual TLS (RFC 5923).
fn named(usual: &SentBy, manner: &Manner) -> SentBy {
    let host_port = match &manner.local_name {
        Some(name) if split_port(name).1.is_none() => match split_port(&usual.host_port).1 {
            Some(port) => format!("{name}:{port}").into(),
            None => name.as_str().into(),
        },
        Some(name) => name.as_str().into(),
        None => Arc::clone(&usual.host_port),
    };
    SentBy {
        transport: usual.transport,
        host_port,
        alias: usual.transport == Transport::Tls && manner.identity.is_some(),
    }
}
