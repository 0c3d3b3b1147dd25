//! How a request leaves: from the URI of its next hop to a flow, and to another place where one fails (RFC 3263).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::transaction::{self, ClientKey, Failure};
use sip::transport::{Flow, SentBy, Transport};
use sip::{Aor, Request, Target};
use wire::sip::{Host, Method, Scheme, Uri};

use crate::configuration::IdentityId;
use crate::contract::Output;
use crate::cut_off::CutOff;
use crate::flows::{Departure, Hop, split_port};
use crate::limits;
use crate::node::{Node, Purpose};
use crate::port::{AskId, Place, Question, Resolve};
use crate::report::Report;

/// How a request wants to leave, beyond its target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The certificate to show.
    pub(crate) identity: Option<IdentityId>,
    /// The name in Via and Contact.
    pub(crate) local_name: Option<String>,
    /// What must be sent to the place that the last of its kind went to: a presence server's state is where it was put.
    pub(crate) stick: Option<Stick>,
}

/// Requests that belong together, and whether this one may choose the place for all.
#[derive(Clone, Debug)]
pub(crate) struct Stick {
    pub(crate) user: Aor,
    pub(crate) server: usize,
    pub(crate) chooses: bool,
}

/// A request that waits for its host to be resolved.
#[derive(Debug)]
pub(crate) struct Parked {
    what: Leaving,
    server_name: String,
    manner: Manner,
}

/// Where else a request that is under way may go, should it fail (RFC 3263 section 4.3).
#[derive(Debug)]
pub(crate) struct Elsewhere {
    tried: SocketAddr,
    places: VecDeque<Way>,
    request: Request,
    server_name: Option<String>,
    manner: Manner,
}

/// One way to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    place: Place,
    /// Whether it is taken over UDP however large the request is, as TCP has failed.
    as_it_is: bool,
}

impl From<Place> for Way {
    fn from(place: Place) -> Self {
        Self { place, as_it_is: false }
    }
}

impl Elsewhere {
    /// Where it is now.
    pub(crate) fn tried(&self) -> SocketAddr {
        self.tried
    }
}

/// Why a request has to go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// 503, with its Retry-After.
    Away(Option<Duration>),
    /// No answer at all.
    Failed(Failure),
}

/// What leaves: a request under a transaction, an ACK without one, or a response whose connection is gone.
#[derive(Debug)]
pub(crate) enum Leaving {
    Request { key: ClientKey, purpose: Purpose, request: Request },
    Ack { keep: u64, request: Request },
    Response(CutOff),
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
        let key = self.expect_answer(purpose);
        self.leave(now, Leaving::Request { key, purpose, request }, target, manner);
    }

    fn expect_answer(&mut self, purpose: Purpose) -> ClientKey {
        let key = self.transactions.reserve();
        self.clients.insert(key, purpose);
        if let Purpose::Call(call) = purpose {
            self.call_requests.insert(call, key);
        }
        key
    }

    /// Sends the ACK of a 2xx and keeps it.
    pub(crate) fn acknowledge(&mut self, now: Instant, keep: u64, target: &Target, request: Request) {
        self.leave(now, Leaving::Ack { keep, request }, target, Manner::default());
    }

    pub(crate) fn leave(&mut self, now: Instant, what: Leaving, target: &Target, manner: Manner) {
        if let Some(flow) = target.flow.filter(|flow| self.flows.stands(flow)) {
            return self.take(now, what, flow, &manner);
        }
        let Ok(uri) = Uri::parse(target.uri.as_bytes()) else {
            return self.cannot_leave(&what, &target.uri, "its URI is bad");
        };
        let (Scheme::Sip | Scheme::Sips, Ok(transport)) = (uri.scheme(), transport(&uri)) else {
            return self.cannot_leave(&what, &target.uri, "its transport is unknown");
        };
        let secure = uri.scheme() == Scheme::Sips;
        let mut resolve = Resolve { host: String::new(), port: uri.port(), transport, secure, ours: Vec::new() };
        match uri.host() {
            Host::Address(ip) => {
                let place = resolve.place(ip);
                self.try_places(now, what, None, VecDeque::from([place.into()]), &manner);
            }
            Host::Name(name) if self.parked.len() < limits::UNRESOLVED => {
                name.clone_into(&mut resolve.host);
                resolve.ours = self.flows.transports();
                self.asked += 1;
                let id = AskId(self.asked);
                self.outputs.push_back(Output::Ask { id, question: Question::Resolve(resolve) });
                self.parked.insert(id, Parked { what, server_name: name.to_owned(), manner });
            }
            Host::Name(_) => self.cannot_leave(&what, &target.uri, "too many wait for a name"),
            Host::None => self.cannot_leave(&what, &target.uri, "its URI has no host"),
        }
    }

    /// The places of a host have come.
    pub(crate) fn resolved(&mut self, now: Instant, id: AskId, places: &[Place]) {
        let Some(Parked { what, server_name, manner }) = self.parked.remove(&id) else { return };
        if places.is_empty() {
            return self.cannot_leave(&what, &server_name, "the name has no address");
        }
        let mut places: Vec<Place> = places.iter().take(limits::PLACES).copied().collect();
        self.flows.order(now, &mut places);
        if let Some(stick) = &manner.stick {
            let stuck = self.stuck.get(&(stick.user.clone(), stick.server)).copied();
            if let Some(place) = stuck.filter(|place| !stick.chooses && places.contains(place)) {
                places = vec![place];
            }
        }
        self.try_places(now, what, Some(server_name), places.into_iter().map(Way::from).collect(), &manner);
    }

    /// Takes back a request that still waits for its host; its sender hears that it could not leave. Whether it was there.
    pub(crate) fn take_back(&mut self, wanted: ClientKey) -> bool {
        self.elsewhere.remove(&wanted);
        let waits = |parked: &Parked| matches!(&parked.what, Leaving::Request { key, .. } if *key == wanted);
        let Some(id) = self.parked.iter().find(|(_, parked)| waits(parked)).map(|(id, _)| *id) else { return false };
        if let Some(Parked { what: Leaving::Request { key, purpose, .. }, .. }) = self.parked.remove(&id) {
            self.transactions.release(key);
            self.clients.remove(&key);
            self.undeliverable.push_back(purpose);
        }
        true
    }

    /// A request failed where it went, or was turned away with 503. Whether it goes elsewhere now.
    pub(crate) fn try_elsewhere(&mut self, now: Instant, key: ClientKey, why: Turned) -> bool {
        let Some(elsewhere) = self.elsewhere.remove(&key) else { return false };
        let Elsewhere { tried, mut places, request, server_name, manner } = elsewhere;
        let lasts = match why {
            Turned::Away(Some(lasts)) => lasts.max(limits::AILS),
            Turned::Away(None) | Turned::Failed(_) => limits::AILS,
        };
        match places.front() {
            Some(way) if way.as_it_is && why == Turned::Failed(Failure::Unreached) => {
                self.flows.takes_no_tcp(now, tried);
            }
            _ => self.flows.ails(now, tried, lasts),
        }
        if why == Turned::Failed(Failure::TimedOut) {
            // A place that was silent for so long is not asked again at once.
            places.retain(|way| way.place.address != tried);
        }
        // What has become of a PUBLISH that left and got no answer is for the publisher to find out.
        let may_have_left = matches!(why, Turned::Failed(Failure::TimedOut | Failure::Transport));
        let is_unsure = request.method == Method::Publish && may_have_left;
        if places.is_empty() || is_unsure {
            return false;
        }
        let Some(purpose) = self.clients.remove(&key) else { return false };
        let key = self.expect_answer(purpose);
        self.try_places(now, Leaving::Request { key, purpose, request }, server_name, places, &manner);
        true
    }

    /// Sends to the first place that can be sent to at all, and keeps the others for a failure.
    pub(crate) fn try_places(
        &mut self,
        now: Instant,
        what: Leaving,
        server_name: Option<String>,
        mut places: VecDeque<Way>,
        manner: &Manner,
    ) {
        let mut why = "no place is left";
        let mut asked = None;
        while let Some(way) = places.pop_front() {
            asked = Some(way.place);
            let transport = if way.as_it_is { way.place.transport } else { self.fitting(now, &what, way.place) };
            let remote = way.place.address;
            if transport != way.place.transport {
                // Should TCP fail, UDP it is (RFC 3261 section 18.1.1).
                places.push_front(Way { as_it_is: true, ..way });
            }
            let hop = Hop { transport, remote, server_name: server_name.clone(), identity: manner.identity };
            let flow = match self.flows.depart(&hop) {
                Departure::Ready(flow) => {
                    // A stream that stood idle may be dead without our knowing: the same place once more, anew.
                    if flow.is_reliable() && places.len() < limits::PLACES {
                        places.push_front(Way { place: Place { transport, ..way.place }, ..way });
                    }
                    flow
                }
                Departure::Connect { flow, id, listener } => {
                    let identity = hop.identity.or_else(|| self.flows.identity(listener));
                    let server_name = hop.server_name.clone();
                    self.outputs.push_back(Output::Connect { id, transport, remote, server_name, identity, listener });
                    flow
                }
                Departure::NoListener => {
                    why = "no listener has its transport";
                    continue;
                }
                Departure::Full => {
                    why = "too many connections";
                    continue;
                }
            };
            if let Leaving::Request { key, request, purpose } = &what {
                if let Purpose::Publish { server, .. } | Purpose::Reach { server } = purpose {
                    self.reach.went_to(*server, remote);
                }
                if let Some(Stick { user, server, .. }) = manner.stick.clone() {
                    self.stuck.insert((user, server), way.place);
                }
                // One that stands in the DNS alone has nowhere else to go; what it did is remembered all the same.
                if server_name.is_some() || !places.is_empty() {
                    let (request, manner) = (request.clone(), manner.clone());
                    let elsewhere = Elsewhere { tried: remote, places, request, server_name, manner };
                    self.elsewhere.insert(*key, elsewhere);
                }
            }
            return self.take(now, what, flow, manner);
        }
        let asked = asked.map(|place| place.address.to_string()).unwrap_or_default();
        self.cannot_leave(&what, &asked, why);
    }

    /// UDP, unless the request is too large for a datagram and TCP is to be had (RFC 3261 section 18.1.1). An ACK goes as it
    /// is: nothing would tell us that it did not arrive.
    fn fitting(&self, now: Instant, what: &Leaving, place: Place) -> Transport {
        let Leaving::Request { request, .. } = what else { return place.transport };
        // What the transaction layer adds, Via and Contact with long names, is well within 300 octets.
        let large = request.headers.as_bytes().len() + request.body.len() + request.uri.len() + 300 > limits::DATAGRAM;
        let can =
            large && self.flows.transports().contains(&Transport::Tcp) && self.flows.may_take_tcp(now, place.address);
        if place.transport == Transport::Udp && can { Transport::Tcp } else { place.transport }
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
            Leaving::Response(cut_off) => self.returned(flow, cut_off),
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
            Flow::Stream { .. } if !self.flows.stands(&flow) => self.cut_off(flow, octets),
            _ => self.outputs.push_back(Output::Transmit { flow, octets }),
        }
    }
}

/// The transport that a URI names, if it names one; an error where we do not know it.
fn transport(uri: &Uri<'_>) -> Result<Option<Transport>, ()> {
    match uri.transport() {
        // SIPS over TCP is TLS.
        Some(name) if uri.scheme() == Scheme::Sips && name.eq_ignore_ascii_case("tcp") => Ok(Some(Transport::Tls)),
        Some(name) => Transport::parse(name).map(Some).ok_or(()),
        None => Ok(None),
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
