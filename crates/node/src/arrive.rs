//! How a message arrives: framed, checked, handed to its owner, classified, and brought to the room it is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use call::Source;
use presence::server::Identity;
use sip::digest::Verdict;
use sip::transaction::{self, ClientKey, ServerKey};
use sip::transport::Flow;
use sip::{Aor, Response};
use wire::sip::{HeaderName, Message, Method, Unframeable};

use crate::configuration::Peer;
use crate::contract::Output;
use crate::depart::Turned;
use crate::node::{Arrived, Node, Purpose};
use crate::report::Report;

/// Who sent a request.
enum Sender<'a> {
    /// This very node.
    Ourselves,
    /// A configured peer.
    Peer(&'a Peer),
    /// Somebody who must prove who they are.
    Unknown,
}

impl Node {
    /// One whole message arrived.
    pub(crate) fn octets(
        &mut self,
        now: Instant,
        flow: Flow,
        peer_names: &Arc<[String]>,
        octets: &[u8],
        forwarded: bool,
    ) {
        let message = match Message::parse(octets) {
            Ok(message) => message,
            Err(Unframeable::KeepAlive) => return,
            Err(why) => return self.report(Report::Unframeable { from: flow.remote(), why }),
        };
        if !forwarded && flow != Flow::Internal {
            let owner = self.ownership.of(&message, |aor| self.canonical(aor));
            if owner != self.owner {
                let (peer_names, octets) = (Arc::clone(peer_names), octets.into());
                return self.outputs.push_back(Output::Forward { owner, flow, peer_names, octets });
            }
        }
        if let Err(fault) = message.check() {
            self.report(Report::Malformed { from: flow.remote(), fault });
            let response = Response { reason: Some(fault.reason.into()), ..Response::new(fault.status) };
            if let Some((flow, octets)) = self.transactions.stateless(&message, flow, &response) {
                self.transmit(flow, octets);
            }
            return;
        }
        let sent_by = self.flows.sent_by(&flow).cloned();
        let input = transaction::Input::Received { flow, sent_by: sent_by.as_ref(), message: &message };
        self.transactions.handle(now, &mut self.random, input);
        self.drain_transactions(now, Some(&Arrived { flow, peer_names, message: &message }));
        self.settle(now);
    }

    /// What the transaction layer made of what was just handed to it.
    pub(crate) fn drain_transactions(&mut self, now: Instant, arrived: Option<&Arrived<'_>>) -> bool {
        let mut any = false;
        while let Some(output) = self.transactions.poll() {
            any = true;
            match (output, arrived) {
                (transaction::Output::Transmit { flow, octets }, _) => self.transmit(flow, octets),
                (transaction::Output::Request { key }, Some(arrived)) => self.request(now, key, arrived),
                (transaction::Output::Ack, Some(arrived)) => {
                    self.calls.handle(now, &mut self.random, call::Input::Ack { message: arrived.message });
                }
                (transaction::Output::Cancelled { invite }, _) => {
                    self.calls.handle(now, &mut self.random, call::Input::Cancelled { invite });
                }
                (transaction::Output::Response { key }, Some(arrived)) => {
                    if self.is_turned_away(now, key, arrived.message) {
                        continue;
                    }
                    if let Some(purpose) = self.clients.get(&key).copied() {
                        self.response(now, purpose, arrived);
                    }
                }
                (transaction::Output::StrayResponse, Some(arrived)) => {
                    let input = presence::publisher::Input::Late { message: arrived.message };
                    self.publisher.handle(now, &mut self.random, input);
                }
                (transaction::Output::Failed { key, cause }, _) => {
                    if self.try_elsewhere(now, key, Turned::Failed(cause)) {
                        continue;
                    }
                    if let Some(purpose) = self.clients.get(&key).copied() {
                        self.failed(now, purpose, cause);
                    }
                }
                (transaction::Output::AckMissing { key }, _) => {
                    self.calls.handle(now, &mut self.random, call::Input::AckMissing { key });
                }
                (transaction::Output::Over { key }, _) => {
                    self.elsewhere.remove(&key);
                    if let Some(Purpose::Call(call)) = self.clients.remove(&key) {
                        self.call_requests.remove(&call);
                    }
                }
                // A message that nobody handed in: nothing to do it to.
                (_, None) => {}
            }
        }
        any
    }

    /// Whether an answer is a 503 of a place that has others beside it: then the request goes there (RFC 3263 section 4.3).
    fn is_turned_away(&mut self, now: Instant, key: ClientKey, message: &Message<'_>) -> bool {
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return false };
        if code == 503 {
            let lasts = message.retry_after().map(|seconds| Duration::from_secs(u64::from(seconds.min(3600))));
            return self.try_elsewhere(now, key, Turned::Away(lasts));
        }
        if let Some(elsewhere) = self.elsewhere.remove(&key) {
            self.flows.is_well(elsewhere.tried());
        }
        false
    }

    fn response(&mut self, now: Instant, purpose: Purpose, arrived: &Arrived<'_>) {
        let message = arrived.message;
        match purpose {
            Purpose::Call(key) => {
                let input = call::Input::Response { key, message, flow: arrived.flow };
                self.calls.handle(now, &mut self.random, input);
            }
            Purpose::Publish { key, server } => {
                self.server_answered(now, server);
                let input = presence::publisher::Input::Answer { key, message };
                self.publisher.handle(now, &mut self.random, input);
            }
            Purpose::Reach { server } => self.server_answered(now, server),
            Purpose::Notify(key) => {
                if let Some(server) = &mut self.presence_server {
                    server.handle(now, &mut self.random, presence::server::Input::NotifyAnswered { key, message });
                }
            }
        }
    }

    /// A request of ours got no answer.
    pub(crate) fn failed(&mut self, now: Instant, purpose: Purpose, cause: transaction::Failure) {
        match purpose {
            Purpose::Call(key) => {
                self.calls.handle(now, &mut self.random, call::Input::Failed { key, cause });
            }
            Purpose::Reach { server } => self.reach.failed(now, server, cause),
            Purpose::Publish { key, server } => {
                self.reach.failed(now, server, cause);
                self.publisher.handle(now, &mut self.random, presence::publisher::Input::Failed { key, cause });
            }
            Purpose::Notify(key) => {
                if let Some(server) = &mut self.presence_server {
                    server.handle(now, &mut self.random, presence::server::Input::NotifyFailed { key });
                }
            }
        }
    }

    fn request(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>) {
        let message = arrived.message;
        if arrived.flow != Flow::Internal && self.turns_away(now, key, message) {
            return;
        }
        match message.method() {
            Method::Register => self.register(now, key, arrived),
            Method::Publish if self.presence_server.is_some() => self.publish(now, key, arrived),
            Method::Subscribe if self.presence_server.is_some() => self.subscribe(now, key, arrived),
            Method::Invite if message.to_tag().is_none() => self.invite(now, key, arrived),
            _ => {
                let input = call::Input::Request { key, flow: arrived.flow, source: Source::Nobody, message };
                self.calls.handle(now, &mut self.random, input);
            }
        }
    }

    fn invite(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>) {
        let source = match self.sender(arrived) {
            Sender::Ourselves => Source::Nobody,
            Sender::Peer(peer) => Source::Peer(Arc::clone(&peer.name)),
            Sender::Unknown => match self.prove(now, key, arrived, true) {
                Some(user) => Source::User(user),
                None => return,
            },
        };
        let input = call::Input::Request { key, flow: arrived.flow, source, message: arrived.message };
        self.calls.handle(now, &mut self.random, input);
    }

    fn register(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>) {
        let Some(user) = self.prove(now, key, arrived, false) else { return };
        let claimed = arrived.message.to().ok().and_then(|to| Aor::from_uri(&to.uri)).map(|aor| self.canonical(aor));
        if claimed.as_ref() != Some(&user) {
            return self.refuse(key, arrived, 403, &user);
        }
        let input = call::registrar::Input::Register { key, message: arrived.message, flow: arrived.flow, user };
        self.registrar.handle(now, input);
    }

    fn publish(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>) {
        let who = match self.sender(arrived) {
            Sender::Ourselves => Identity { internal: true, ..Identity::default() },
            Sender::Peer(peer) if peer.publisher => peer.identity(),
            _ => match self.prove(now, key, arrived, false) {
                Some(user) => Identity { user: Some(user), ..Identity::default() },
                None => return,
            },
        };
        let presentity = self.presentity(arrived);
        if let Some(server) = &mut self.presence_server {
            let (message, who) = (arrived.message, &who);
            let input = presence::server::Input::Publish { key, message, presentity, who };
            server.handle(now, &mut self.random, input);
        }
    }

    fn subscribe(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>) {
        let who = match self.sender(arrived) {
            Sender::Ourselves => Identity { internal: true, ..Identity::default() },
            Sender::Peer(peer) => peer.identity(),
            Sender::Unknown => match self.prove(now, key, arrived, false) {
                Some(user) => Identity { user: Some(user), ..Identity::default() },
                None => return,
            },
        };
        let presentity = self.presentity(arrived);
        let place = presentity.as_ref().map_or(0, |presentity| self.ownership.place(presentity));
        if let Some(server) = &mut self.presence_server {
            let (message, flow, who) = (arrived.message, arrived.flow, &who);
            let input = presence::server::Input::Subscribe { key, message, flow, presentity, who, place };
            server.handle(now, &mut self.random, input);
        }
    }

    /// Whose presence a request is about: the user whom its Request-URI names, by whichever of their names, and by our address
    /// where it stands for the domain.
    fn presentity(&self, arrived: &Arrived<'_>) -> Option<Aor> {
        arrived.message.uri().and_then(|uri| Aor::from_uri(&uri)).map(|aor| self.canonical(aor))
    }

    /// A peer is known by a name that its certificate proves, or by its address.
    fn sender(&self, arrived: &Arrived<'_>) -> Sender<'_> {
        if arrived.flow == Flow::Internal {
            return Sender::Ourselves;
        }
        let remote = arrived.flow.remote().map(|remote| remote.ip());
        let proved = |peer: &&Peer| {
            let mut names = peer.certificate_names.iter();
            names.any(|name| arrived.peer_names.iter().any(|proved| proved.eq_ignore_ascii_case(name)))
        };
        let peers = &self.configuration.peers;
        let found = peers.iter().find(proved).or_else(|| {
            let by_address = |peer: &&Peer| {
                peer.certificate_names.is_empty() && remote.is_some_and(|ip| peer.addresses.contains(&ip))
            };
            peers.iter().find(by_address)
        });
        found.map_or(Sender::Unknown, Sender::Peer)
    }

    /// The user who sent a request, by digest; `None` once it has been challenged or refused.
    fn prove(&mut self, now: Instant, key: ServerKey, arrived: &Arrived<'_>, proxy: bool) -> Option<Aor> {
        let users = &self.configuration.users;
        let password = |name: &str| users.of_name(name).and_then(|user| user.password.as_deref().map(str::to_owned));
        let verdict = self.digest.verify(now, arrived.message, proxy, password);
        let stale = match verdict {
            Verdict::Proved(name) => {
                return users.of_name(&name).map(|user| user.aor.clone());
            }
            Verdict::Missing => false,
            Verdict::Stale => true,
            Verdict::Wrong(claims) => {
                let (from, method) = (arrived.flow.remote(), arrived.message.method().as_str());
                self.report(Report::NotAuthenticated { from, method, claims });
                false
            }
        };
        let (code, header) =
            if proxy { (407, HeaderName::ProxyAuthenticate) } else { (401, HeaderName::WwwAuthenticate) };
        let mut response = Response::new(code);
        for challenge in self.digest.challenge(now, &mut self.random, stale) {
            response.headers.push(header, challenge);
        }
        // Who has not proved to be anybody takes up no room.
        self.transactions.handle(now, &mut self.random, transaction::Input::TurnAway { key, response });
        None
    }

    fn refuse(&mut self, key: ServerKey, arrived: &Arrived<'_>, code: u16, user: &Aor) {
        let (from, method): (Option<SocketAddr>, _) = (arrived.flow.remote(), arrived.message.method().as_str());
        self.report(Report::NotAuthenticated { from, method, claims: user.to_string() });
        self.responses.push_back((key, Response::new(code)));
    }
}
