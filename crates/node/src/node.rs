//! The node: it wires the rooms together and decides nothing that a room could decide.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use call::event::CallKey;
use call::registrar::Registrar;
use call::{CallRequest, Calls};
use presence::publisher::{PublishKey, Publisher};
use presence::server::{NotifyKey, PresenceServer, Settings};
use sip::digest;
use sip::transaction::{self, ClientKey, Failure, ServerKey, Transactions};
use sip::transport::{Flow, StreamId};
use sip::{Aor, KeyedMap, KeyedState, Names, NumberMap, Owner, Random, Response};
use wire::sip::{Framed, Message};

use crate::configuration::{Bound, Configuration, PresenceServer as Server};
use crate::contract::{Boot, Input, Machine, Output, Wake, Wall, WriteId};
use crate::cut_off::CutOff;
use crate::depart::{Elsewhere, Parked};
use crate::flows::Flows;
use crate::limits;
use crate::on_the_phone::{OnThePhone, Role};
use crate::overload::Overload;
use crate::ownership::Ownership;
use crate::port::{AskId, Place};
use crate::reach::Reach;
use crate::record::{self, Restored};
use crate::records::Records;
use crate::report::Report;
use crate::returning::Returning;

/// Who awaits the answer to a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Call(CallRequest),
    Publish {
        key: PublishKey,
        server: usize,
    },
    /// An OPTIONS to a presence server.
    Reach {
        server: usize,
    },
    Notify(NotifyKey),
}

/// A message that has just arrived.
pub(crate) struct Arrived<'a> {
    pub(crate) flow: Flow,
    /// What the other end of a stream has proved to be.
    pub(crate) peer_names: &'a Arc<[String]>,
    pub(crate) message: &'a Message<'a>,
}

/// A deliberate fault of one of the rooms, so that tests can show that they would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Of the publisher.
    Publisher(presence::publisher::Mutant),
    /// Of the calls.
    Call(call::Mutant),
    /// Of the transactions.
    Transaction(transaction::Mutant),
    /// Of the presence server.
    PresenceServer(presence::server::Mutant),
    /// A new configuration does not ask again who is on the phone.
    UsersStay,
}

/// How much a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls, those that end included.
    pub calls: usize,
    /// Publications that live, or may live, at presence servers.
    pub publications: usize,
    /// Transactions, client and server.
    pub transactions: usize,
}

/// The whole session border controller, or one core's share of it.
#[derive(Debug)]
pub struct Node {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) owner: Owner,
    pub(crate) ownership: Ownership,
    pub(crate) random: Random,
    pub(crate) wall: Wall,
    pub(crate) flows: Flows,
    pub(crate) transactions: Transactions,
    pub(crate) calls: Calls,
    pub(crate) registrar: Registrar,
    pub(crate) publisher: Publisher,
    pub(crate) reach: Reach,
    pub(crate) presence_server: Option<PresenceServer>,
    pub(crate) on_the_phone: OnThePhone,
    pub(crate) digest: digest::Server,
    pub(crate) clients: NumberMap<Purpose, ClientKey>,
    pub(crate) call_requests: NumberMap<ClientKey, CallRequest>,
    /// ACKs that calls keep, to send them again.
    pub(crate) acks: NumberMap<(Flow, Arc<[u8]>)>,
    pub(crate) parked: BTreeMap<AskId, Parked>,
    /// Where else the requests that are under way may go.
    pub(crate) elsewhere: NumberMap<Elsewhere, ClientKey>,
    /// Where a user's publication at a presence server was put.
    pub(crate) stuck: KeyedMap<(Aor, usize), Place>,
    pub(crate) questions: BTreeMap<AskId, (CallKey, Role)>,
    /// Writes of the publisher that are under way, with its own numbers.
    pub(crate) saves: VecDeque<(WriteId, u64)>,
    /// Writes of the presence server that are under way, with its own numbers.
    pub(crate) server_saves: VecDeque<(WriteId, u64)>,
    /// Requests that could not leave; their senders hear of it after they have been drained.
    pub(crate) undeliverable: VecDeque<Purpose>,
    /// Messages from this node to itself.
    pub(crate) inner: VecDeque<Arc<[u8]>>,
    /// Answers that need no room.
    pub(crate) responses: VecDeque<(ServerKey, Response)>,
    /// Responses whose connection is gone.
    pub(crate) cut_off: VecDeque<(Flow, Arc<[u8]>)>,
    /// Those that have taken another connection, which does not stand yet.
    pub(crate) reconnecting: Vec<(StreamId, CutOff)>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) asked: u64,
    pub(crate) written: u64,
    pub(crate) stop_by: Option<Instant>,
    /// The deliberate fault of the node itself.
    users_stay: bool,
    pub(crate) overload: Overload,
}

impl Node {
    /// A node that takes up what an earlier run left over.
    #[must_use]
    pub fn new(now: Instant, configuration: Arc<Configuration>, boot: Boot) -> Self {
        Self::broken(now, configuration, boot, None)
    }

    /// The same, with a deliberate fault from its first moment on.
    #[must_use]
    pub fn broken(now: Instant, configuration: Arc<Configuration>, boot: Boot, mutant: Option<Mutant>) -> Self {
        let mut random = Random::from_seed(boot.seed);
        let kept = boot.records.get(record::OWNERSHIP).and_then(|seed| seed.try_into().ok());
        let shared_seed: [u8; 32] = kept.unwrap_or(boot.shared_seed);
        let mut shared = Random::from_seed(shared_seed);
        let ownership = Ownership::new(KeyedState::new(&mut shared), boot.owners);
        let lasting = KeyedState::new(&mut shared);
        let keyed = KeyedState::new(&mut random);
        let names = Names::new(boot.owner);
        let address = |listener: &crate::configuration::Listener| {
            let bound = boot.listeners.iter().find(|(id, _)| *id == listener.id);
            bound.map(|(_, address)| Bound { listener: listener.clone(), address: *address })
        };
        let bound = configuration.listeners.iter().filter_map(address).collect();
        let realm = configuration.domains.first().map_or("offhook", String::as_str);
        let instance = instance(&mut shared);
        let servers = configuration.presence_servers.iter().map(|server| publisher_server(server, &instance)).collect();
        let presence_server = configuration.presence_server_here.as_ref().map(|here| {
            let settings = Settings { rules: configuration.rules(here), ..here.settings() };
            let mut server = PresenceServer::new(settings, names, lasting, now);
            server.provision(&here.hard_states);
            server
        });
        let mut node = Self {
            flows: Flows::new(boot.owner, bound, keyed),
            transactions: Transactions::new(transaction::Timers::default(), names, keyed, now),
            calls: Calls::new(configuration.calls(), names, keyed, now),
            registrar: Registrar::new(configuration.registrar.clone(), keyed, now),
            publisher: Publisher::new(servers, names, keyed, now),
            reach: Reach::new(configuration.presence_servers.iter().map(|server| server.keepalive)),
            presence_server,
            on_the_phone: OnThePhone::new(keyed),
            digest: digest::Server::new(realm, configuration.digest.algorithms(), &mut random, now),
            clients: NumberMap::default(),
            call_requests: NumberMap::default(),
            acks: NumberMap::default(),
            parked: BTreeMap::new(),
            elsewhere: NumberMap::default(),
            stuck: KeyedMap::with_hasher(keyed),
            questions: BTreeMap::new(),
            saves: VecDeque::new(),
            server_saves: VecDeque::new(),
            undeliverable: VecDeque::new(),
            inner: VecDeque::new(),
            responses: VecDeque::new(),
            cut_off: VecDeque::new(),
            reconnecting: Vec::new(),
            outputs: VecDeque::new(),
            asked: 0,
            written: 0,
            stop_by: None,
            users_stay: false,
            overload: Overload::default(),
            owner: boot.owner,
            ownership,
            wall: boot.wall,
            configuration,
            random,
        };
        match mutant {
            Some(Mutant::Publisher(mutant)) => node.publisher.mutate(mutant),
            Some(Mutant::Call(mutant)) => node.calls.mutate(mutant),
            Some(Mutant::Transaction(mutant)) => node.transactions.mutate(mutant),
            Some(Mutant::PresenceServer(mutant)) => {
                if let Some(server) = &mut node.presence_server {
                    server.mutate(mutant);
                }
            }
            Some(Mutant::UsersStay) => node.users_stay = true,
            None => {}
        }
        if kept.is_none() && node.presence_server.is_some() && node.owner == Owner(0) {
            node.write(record::OWNERSHIP.to_vec(), Some(shared_seed.to_vec()));
        }
        let records = boot.records;
        node.restore(now, &records);
        node
    }

    /// Whether nothing is left to do: no call, no publication, no transaction.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.load() == Load::default() && self.on_the_phone.is_empty()
    }

    /// How much it holds.
    #[must_use]
    pub fn load(&self) -> Load {
        Load { calls: self.calls.len(), publications: self.publisher.len(), transactions: self.transactions.len() }
    }

    /// Both legs of every call of the earlier run get their BYE first, so that nobody goes on talking unseen; then what
    /// was published is taken back.
    fn restore(&mut self, now: Instant, records: &Records) {
        let mut publications = Vec::new();
        let mut state = Returning::default();
        for (key, value) in records.iter().filter(|(key, _)| *key != record::OWNERSHIP) {
            if record::server::is_one(key) {
                if !self.returns(now, &mut state, key, value) {
                    self.lost(key);
                }
                continue;
            }
            match record::restore(key, value, &self.wall) {
                Some(Restored::Call(record)) if self.ownership.of_tag(&record.id) == self.owner => {
                    self.calls.handle(now, &mut self.random, call::Input::Restore(record));
                }
                Some(Restored::Publication(record)) if self.ownership.of_aor(&record.user) == self.owner => {
                    publications.push(record);
                }
                Some(_) => {}
                None => self.lost(key),
            }
        }
        self.all_returned(now, state);
        self.settle(now);
        for record in publications {
            self.publisher.handle(now, &mut self.random, presence::publisher::Input::Restore(record));
        }
        self.settle(now);
    }

    /// A record that cannot be read is reported, and forgotten.
    fn lost(&mut self, key: &[u8]) {
        if self.ownership.of_key(key) == self.owner {
            self.report(Report::RecordLost { key: String::from_utf8_lossy(key).into_owned() });
            self.write(key.to_vec(), None);
        }
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }

    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> WriteId {
        self.written += 1;
        let id = WriteId(self.written);
        self.outputs.push_back(Output::Write { id, key, value });
        id
    }

    /// The address-of-record that a user is kept under.
    pub(crate) fn canonical(&self, aor: Aor) -> Aor {
        let aor = match self.configuration.domains.first() {
            Some(domain) if self.flows.is_ours(aor.host(), None) => {
                Aor::parse(&format!("sip:{}@{domain}", aor.user())).unwrap_or(aor)
            }
            _ => aor,
        };
        let known = self.configuration.user(&aor).map(|user| user.aor.clone());
        known.unwrap_or(aor)
    }

    /// Octets of a stream: whatever whole messages they complete.
    fn stream(&mut self, now: Instant, id: StreamId, octets: &[u8]) {
        let Some(stream) = self.flows.stream(id) else { return };
        let (flow, peer_names) = (stream.flow, Arc::clone(&stream.peer_names));
        stream.framer.push(octets);
        loop {
            let Some(stream) = self.flows.stream(id) else { return };
            match stream.framer.cut() {
                Ok(Some(Framed::Message(message))) => self.octets(now, flow, &peer_names, &message, false),
                Ok(Some(Framed::Ping)) => {
                    self.outputs.push_back(Output::Transmit { flow, octets: Arc::from(*b"\r\n") });
                }
                Ok(Some(Framed::Pong)) => {}
                Ok(None) => return,
                Err(why) => {
                    // Whoever wrote it hears what is wrong, as far as it can be read; then nothing on this stream can be.
                    let fault = stream.framer.pending().to_vec();
                    self.report(Report::Unframeable { from: flow.remote(), why });
                    self.refuse_unframed(flow, &fault);
                    self.outputs.push_back(Output::Disconnect { id });
                    return;
                }
            }
        }
    }

    /// Answers a request of which only the head can be read (RFC 3261 section 18.3).
    fn refuse_unframed(&mut self, flow: Flow, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        let Err(fault) = message.check() else { return };
        let response = Response { reason: Some(fault.reason.into()), ..Response::new(fault.status) };
        if let Some((flow, octets)) = self.transactions.stateless(&message, flow, &response) {
            self.transmit(flow, octets);
        }
    }

    fn closed(&mut self, now: Instant, id: StreamId, why: crate::contract::Closed) {
        let gone = self.flows.closed(id);
        let remote = gone.and_then(|gone| gone.flow.remote());
        // Of another owner's stream nobody knows how far it came.
        let cause = if gone.is_none_or(|gone| gone.stood) { Failure::Transport } else { Failure::Unreached };
        if let Some(remote) = remote {
            self.reach.closed(now, remote);
            self.ask_servers(now);
        }
        // Of another owner's stream that one has told.
        if id.owner() == self.owner {
            self.report(Report::StreamClosed { remote, why });
        }
        self.transactions.handle(now, &mut self.random, transaction::Input::FlowFailed { id, cause });
        self.not_reconnected(now, id);
    }

    /// Takes over users, peers, routes, who may watch whom, and how calls and registrations live. Whatever a running node
    /// cannot change stays: listeners, domains, presence servers.
    fn configure(&mut self, now: Instant, new: &Configuration) {
        self.configuration = Arc::new(Configuration {
            users: new.users.clone(),
            peers: new.peers.clone(),
            routes: new.routes.clone(),
            session: new.session,
            registrar: new.registrar.clone(),
            digest: new.digest,
            presence_server_here: self.configuration.presence_server_here.clone().map(|here| here.with(new)),
            ..(*self.configuration).clone()
        });
        let configuration = &self.configuration;
        self.calls.configure(configuration.calls());
        let stays = |user: &Aor| configuration.users.of_aor(user).is_some_and(|user| user.password.is_some());
        self.registrar.configure(configuration.registrar.clone(), stays);
        self.digest.offer(configuration.digest.algorithms());
        if let (Some(server), Some(here)) = (&mut self.presence_server, &configuration.presence_server_here) {
            server.configure(configuration.rules(here), Arc::clone(&here.lists), |who| configuration.who_is(who));
            server.provision(&here.hard_states);
        }
        self.questions.clear();
        if !self.users_stay {
            self.on_the_phone.ask_again();
        }
        self.publisher.handle(now, &mut self.random, presence::publisher::Input::Reconsider);
    }

    fn stop(&mut self, now: Instant) {
        if self.stop_by.is_some() {
            return;
        }
        self.stop_by = Some(now + limits::STOP);
        self.calls.handle(now, &mut self.random, call::Input::Stop);
        self.settle(now);
        self.report(Report::Stopping { left: self.publisher.unsettled() });
        self.publisher.handle(now, &mut self.random, presence::publisher::Input::Stop);
        self.settle(now);
        if let Some(server) = &mut self.presence_server {
            server.handle(now, &mut self.random, presence::server::Input::Stop);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.transactions.handle(now, &mut self.random, transaction::Input::Timeout);
        self.calls.handle(now, &mut self.random, call::Input::Timeout);
        self.registrar.handle(now, call::registrar::Input::Timeout);
        self.publisher.handle(now, &mut self.random, presence::publisher::Input::Timeout);
        self.ask_servers(now);
        if let Some(server) = &mut self.presence_server {
            server.handle(now, &mut self.random, presence::server::Input::Timeout);
        }
        if self.stop_by.is_some_and(|by| by <= now) {
            self.stop_by = None;
            self.report(Report::Stopping { left: self.publisher.unsettled() });
            self.outputs.push_back(Output::Stopped);
        }
    }
}

/// A name for this node that is the same after a restart where there is a store (RFC 5626 section 4.1).
fn instance(shared: &mut Random) -> Box<str> {
    // A random UUID (RFC 9562 section 5.4): version 4, variant 10.
    let (high, low) = (shared.u64() & !0xf000 | 0x4000, shared.u64() >> 2 | 1 << 63);
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("urn:uuid:{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff).into()
}

/// What the publisher is told of a presence server.
fn publisher_server(server: &Server, instance: &str) -> presence::publisher::Server {
    presence::publisher::Server { instance: server.supersedes.then(|| instance.into()), ..server.server.clone() }
}

impl Machine for Node {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { listener, remote, octets } => {
                self.octets(now, Flow::Udp { listener, remote }, &Arc::default(), octets, false);
            }
            Input::StreamOpened { id, listener, transport, remote, peer_names } => {
                self.flows.opened(id, Flow::Stream { id, transport, listener, remote }, peer_names);
                self.reconnected(id);
            }
            Input::StreamOctets { id, octets } => self.stream(now, id, octets),
            Input::StreamClosed { id, why } => self.closed(now, id, why),
            Input::Answer { id, answer } => self.answered(now, id, answer),
            Input::Written { up_to } => self.written_up_to(now, up_to),
            Input::Told(tell) => self.told(now, tell),
            Input::Forwarded { flow, peer_names, octets } => self.octets(now, flow, &peer_names, octets, true),
            Input::Configure(configuration) => self.configure(now, &configuration),
            Input::Overloaded(pressed) => self.pressed(pressed),
            Input::Stop => self.stop(now),
            Input::Timeout => self.timeout(now),
        }
        self.settle(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<(Instant, Wake)> {
        let server = self.presence_server.as_ref().and_then(PresenceServer::next_timeout);
        [
            (self.transactions.next_timeout(), Wake::Transaction),
            (self.calls.next_timeout(), Wake::Call),
            (self.registrar.next_timeout(), Wake::Call),
            (self.publisher.next_timeout(), Wake::Publisher),
            (server, Wake::PresenceServer),
            (self.reach.next_timeout(), Wake::Node),
            (self.stop_by, Wake::Node),
        ]
        .into_iter()
        .filter_map(|(at, wake)| at.map(|at| (at, wake)))
        .min()
    }
}
