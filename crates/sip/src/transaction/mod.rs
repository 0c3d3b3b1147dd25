//! The transaction layer: four machines for each kind of transaction, matching, and the timers of all of them
//! (RFC 3261 section 17, RFC 6026, RFC 4320).

mod client_invite;
mod client_non_invite;
mod echo;
mod machine;
mod matching;
mod server_invite;
mod server_non_invite;
mod slow;

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Instant;

use wire::sip::{HeaderName, Headers, Message, Method, print};

use crate::limits;
use crate::message::{Request, Response};
use crate::numbered::{Numbered, place_of};
use crate::timer::{TimerKey, Wheel};
use crate::transport::{Flow, SentBy, StreamId};
use crate::{KeyedMap, KeyedState, Names, NumberMap, Random};
use client_invite::ClientInvite;
use client_non_invite::ClientNonInvite;
use echo::{Echo, push_contact, way_back};
use machine::Effects;
pub use machine::{Failure, Timer, Timers};
use matching::{ServerName, follow_up, server_name};
use server_invite::ServerInvite;
use server_non_invite::ServerNonInvite;

/// The handle of a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey(u64);

impl From<u64> for ServerKey {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// The handle of a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(u64);

impl From<u64> for ClientKey {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// A deliberate fault, so that tests can show that they would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Nothing is sent a second time.
    NoRetransmission,
    /// Nobody hears that a request got no answer.
    NeverTimesOut,
    /// Finished transactions stay.
    NeverOver,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message arrived and passed [`Message::check`].
    Received {
        /// How it came.
        flow: Flow,
        /// What we write into Via and Contact on that flow; `None` on the inner flow.
        sent_by: Option<&'a SentBy>,
        /// The message.
        message: &'a Message<'a>,
    },
    /// The transaction user sends a request.
    Send {
        /// The key from [`Transactions::reserve`].
        key: ClientKey,
        /// How it goes.
        flow: Flow,
        /// What we write into Via and Contact on that flow; `None` on the inner flow.
        sent_by: Option<&'a SentBy>,
        /// The request.
        request: Request,
    },
    /// The transaction user gives up an INVITE: CANCEL goes out once a provisional response has come.
    Cancel {
        /// The INVITE.
        key: ClientKey,
    },
    /// The transaction user responds.
    Respond {
        /// The request's transaction.
        key: ServerKey,
        /// The response.
        response: Response,
    },
    /// The transaction user has nothing to do with a request: this is the response, and nothing of it is kept (RFC 3261 section
    /// 8.2.7). When it comes again, it is another request. To an INVITE it is a response as any other: who has been told that
    /// it is being tried does not send it again.
    TurnAway {
        /// The request's transaction.
        key: ServerKey,
        /// The response.
        response: Response,
    },
    /// The dialog knows the ACK of a 2xx: it need not be sent again.
    Acknowledged {
        /// The INVITE's transaction.
        key: ServerKey,
    },
    /// A stream is gone.
    FlowFailed {
        /// The stream.
        id: StreamId,
        /// What that is to the requests on it: [`Failure::Unreached`] where it never stood.
        cause: Failure,
    },
    /// The time of [`Transactions::next_timeout`] has come. Harmless when early.
    Timeout,
}

/// One thing that follows.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit {
        /// How.
        flow: Flow,
        /// The message.
        octets: Arc<[u8]>,
    },
    /// A new request for the transaction user: the message just handed in.
    Request {
        /// Its transaction.
        key: ServerKey,
    },
    /// An ACK for a 2xx, or one that belongs to nothing: the message just handed in.
    Ack,
    /// The caller gave up this INVITE, and its CANCEL has been answered; the transaction user now answers 487.
    Cancelled {
        /// The INVITE's transaction.
        invite: ServerKey,
    },
    /// A response for the transaction user: the message just handed in. Of an INVITE each 2xx, retransmitted ones too.
    Response {
        /// The request's transaction.
        key: ClientKey,
    },
    /// A response that belongs to no transaction: the message just handed in.
    StrayResponse,
    /// A request got no answer.
    Failed {
        /// Its transaction.
        key: ClientKey,
        /// Why.
        cause: Failure,
    },
    /// A 2xx to an INVITE was sent for 64 times T1 and no ACK came.
    AckMissing {
        /// The INVITE's transaction.
        key: ServerKey,
    },
    /// A client transaction is over; its key means nothing any more.
    Over {
        /// The transaction.
        key: ClientKey,
    },
}

#[derive(Debug)]
struct Client {
    flow: Flow,
    /// The request; none once nothing of it can be needed.
    octets: Option<Arc<[u8]>>,
    branch: Box<str>,
    machine: ClientMachine,
    timers: Set,
    /// CANCEL is wanted; it goes out with the first provisional response.
    cancel: Cancel,
    /// A CANCEL's own transaction: nobody hears of it.
    silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    Wanted,
    Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientMachine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

#[derive(Debug)]
struct Server {
    flow: Flow,
    /// What it takes to print a response; none once there will be no other.
    answering: Option<Box<Answering>>,
    name: ServerName,
    /// What a second way here would make it known by.
    mark: Option<u64>,
    /// The newest response.
    octets: Option<Arc<[u8]>>,
    machine: ServerMachine,
    timers: Set,
}

#[derive(Debug)]
struct Answering {
    sent_by: Option<SentBy>,
    echo: Echo,
    tag: Box<str>,
}

impl Server {
    fn is_unanswered(&self) -> bool {
        self.machine == ServerMachine::NonInvite(ServerNonInvite::Trying)
    }

    /// Prints a response. After the final one to a request other than INVITE the transaction lingers, and has nothing else to
    /// say: thousands of them do so at a time.
    fn print(&mut self, response: &Response) {
        let Some(Answering { sent_by, echo, tag }) = self.answering.as_deref() else { return };
        self.octets = Some(echo.print(response, tag, sent_by.as_ref()));
        self.answering.take_if(|_| self.machine == ServerMachine::NonInvite(ServerNonInvite::Completed));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerMachine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

/// The timers that run for one transaction: never more than two.
type Set = [Option<(Timer, TimerKey)>; 2];

#[derive(Clone, Copy, Debug)]
enum Due {
    Client(u64, Timer),
    Server(u64, Timer),
}

/// The transaction layer of one node.
#[derive(Debug)]
pub struct Transactions {
    timers: Timers,
    names: Names,
    clients: Numbered<Client>,
    servers: Numbered<Server>,
    /// The CANCELs by their branches, which are those of their INVITEs.
    cancels: KeyedMap<Box<str>, u64>,
    by_name: NumberMap<u64, ServerName>,
    /// Requests outside any dialog that are ongoing or were accepted, by what is the same on every way they may take.
    by_mark: NumberMap<u64>,
    keyed: KeyedState,
    on_stream: BTreeSet<(StreamId, u64)>,
    /// Requests other than INVITE as they came, and when 100 says that we have one which has no answer yet.
    unanswered: VecDeque<(Instant, u64)>,
    wheel: Wheel<Due>,
    outputs: VecDeque<Output>,
    mutant: Option<Mutant>,
}

impl Transactions {
    /// A layer without transactions.
    #[must_use]
    pub fn new(timers: Timers, names: Names, keyed: KeyedState, now: Instant) -> Self {
        Self {
            timers,
            names,
            clients: Numbered::new(),
            servers: Numbered::new(),
            cancels: KeyedMap::with_hasher(keyed),
            by_name: NumberMap::default(),
            by_mark: NumberMap::default(),
            keyed,
            on_stream: BTreeSet::new(),
            unanswered: VecDeque::new(),
            wheel: Wheel::new(now),
            outputs: VecDeque::new(),
            mutant: None,
        }
    }

    /// Breaks it on purpose.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// What a deliberate fault makes of a timer's effects.
    fn mutated(&self, effects: Effects) -> Effects {
        match self.mutant {
            Some(Mutant::NoRetransmission) => Effects { transmit: false, ..effects },
            Some(Mutant::NeverTimesOut) if effects.failed.is_some() => Effects::none(),
            Some(Mutant::NeverOver) => Effects { over: false, ..effects },
            _ => effects,
        }
    }

    /// A key for a request that is about to be sent.
    pub fn reserve(&mut self) -> ClientKey {
        ClientKey(self.clients.reserve())
    }

    /// Gives a key back for a request that was not sent.
    pub fn release(&mut self, key: ClientKey) {
        self.clients.remove(key.0);
    }

    /// How many transactions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One thing happened; drain [`Transactions::poll`] after it.
    pub fn handle(&mut self, now: Instant, random: &mut Random, input: Input<'_>) {
        match input {
            Input::Received { flow, sent_by, message } => match message.status() {
                Some(status) => self.response(now, message, status.code),
                None => self.request(now, random, flow, sent_by, message),
            },
            Input::Send { key, flow, sent_by, request } => self.send(now, random, key, flow, sent_by, &request),
            Input::Cancel { key } => self.give_up(now, key.0),
            Input::Respond { key, response } => self.respond(now, key.0, &response),
            Input::TurnAway { key, response } => self.turn_away(now, key.0, &response),
            Input::Acknowledged { key } => {
                if let Some(Server { machine: ServerMachine::Invite(machine), timers, .. }) =
                    self.servers.get_mut(key.0)
                {
                    machine.acknowledged();
                    for place in timers {
                        if let Some((_, key)) = place.take_if(|(timer, _)| *timer == Timer::Answer) {
                            self.wheel.cancel(key);
                        }
                    }
                }
            }
            Input::FlowFailed { id, cause } => self.flow_failed(now, id, cause),
            Input::Timeout => self.timeout(now),
        }
        self.say_trying(now);
    }

    /// What follows; drained to `None` after each input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let slow = self.unanswered.front().map(|(due, _)| *due);
        self.wheel.next().into_iter().chain(slow).min()
    }

    /// Prints the ACK of a 2xx: a request of its own, under a branch of its own, which the dialog keeps and sends again
    /// for each 2xx that comes again (RFC 3261 section 13.2.2.4).
    pub fn ack(&self, random: &mut Random, flow: &Flow, sent_by: Option<&SentBy>, request: &Request) -> Arc<[u8]> {
        self.print(&self.names.branch(0, random), flow, sent_by, request)
    }

    /// Answers a request without a transaction (RFC 3261 section 8.2.7): the flow and the octets. An ACK gets no answer.
    #[must_use]
    pub fn stateless(&self, message: &Message<'_>, flow: Flow, response: &Response) -> Option<(Flow, Arc<[u8]>)> {
        if !message.is_request() || message.method() == Method::Ack {
            return None;
        }
        let tag = self.stateless_tag(server_name(self.keyed, message, message.method()));
        Some((way_back(message, flow), Echo::of(message, &flow).print(response, &tag, None)))
    }

    /// The tag of answers of which nothing is kept: the same whenever the same request comes (RFC 3261 section 8.2.7).
    fn stateless_tag(&self, name: ServerName) -> String {
        let mut seed = [0; 32];
        let octets = [name.0, name.1].map(u64::to_be_bytes);
        seed.iter_mut().zip(octets.as_flattened()).for_each(|(place, octet)| *place = *octet);
        self.names.tag(&mut Random::from_seed(seed))
    }

    fn send(
        &mut self,
        now: Instant,
        random: &mut Random,
        key: ClientKey,
        flow: Flow,
        sent_by: Option<&SentBy>,
        request: &Request,
    ) {
        let branch = self.names.branch(place_of(key.0), random);
        let octets = self.print(&branch, &flow, sent_by, request);
        let reliable = flow.is_reliable();
        let (machine, effects) = match request.method {
            Method::Invite => {
                let (machine, effects) = ClientInvite::start(&self.timers, reliable);
                (ClientMachine::Invite(machine), effects)
            }
            _ => {
                let (machine, effects) = ClientNonInvite::start(&self.timers, reliable);
                (ClientMachine::NonInvite(machine), effects)
            }
        };
        self.start(
            now,
            key.0,
            Client {
                flow,
                octets: Some(octets),
                branch: branch.into(),
                machine,
                timers: [None; 2],
                cancel: Cancel::No,
                silent: false,
            },
            effects,
        );
    }

    fn start(&mut self, now: Instant, key: u64, client: Client, effects: Effects) {
        let flow = client.flow;
        if !self.clients.fill(key, client) {
            return;
        }
        if let Flow::Stream { id, .. } = flow {
            self.on_stream.insert((id, key));
        }
        self.apply_client(now, key, effects, None);
    }

    /// Prints a request: Via, Max-Forwards, what the transaction user wrote, Contact.
    fn print(&self, branch: &str, flow: &Flow, sent_by: Option<&SentBy>, request: &Request) -> Arc<[u8]> {
        let host_port = sent_by.map_or("internal.invalid", |sent_by| &*sent_by.host_port);
        let alias = if sent_by.is_some_and(|sent_by| sent_by.alias) { ";alias" } else { "" };
        let rport = if flow.is_reliable() { "" } else { ";rport" };
        let transport = flow.transport().as_str();
        let mut head = Headers::with_capacity(160);
        let via = ["SIP/2.0/", transport, " ", host_port, ";branch=", branch, rport, alias];
        head.push_parts(HeaderName::Via, &via);
        head.push_count(HeaderName::MaxForwards, u32::from(request.max_forwards), &[]);
        let mut tail = Headers::new();
        if let Some(contact) = &request.contact {
            push_contact(&mut tail, contact, sent_by);
        }
        let mut octets = Vec::with_capacity(640 + request.body.len());
        let blocks = [head.as_bytes(), request.headers.as_bytes(), tail.as_bytes()];
        print::request(&mut octets, request.method.as_str(), &request.uri, &blocks, &request.body);
        octets.into()
    }

    fn response(&mut self, now: Instant, message: &Message<'_>, code: u16) {
        let branch = message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
        let key = match message.method() {
            Method::Cancel => self.cancels.get(branch).copied(),
            _ => self.client_of(branch),
        };
        let Some(key) = key else {
            self.outputs.push_back(Output::StrayResponse);
            return;
        };
        let Some(client) = self.clients.get_mut(key) else { return };
        let reliable = client.flow.is_reliable();
        let effects = match &mut client.machine {
            ClientMachine::Invite(machine) if message.method() == Method::Invite => {
                machine.response(code, &self.timers, reliable)
            }
            ClientMachine::NonInvite(machine) if message.method() != Method::Invite => {
                // After the final response it lingers, to take what comes again, and sends nothing.
                client.octets.take_if(|_| code >= 200);
                machine.response(code, &self.timers, reliable)
            }
            _ => return self.outputs.push_back(Output::StrayResponse),
        };
        let wanted = client.cancel == Cancel::Wanted && code < 200;
        self.apply_client(now, key, effects, Some(message));
        if wanted {
            self.cancel(now, key);
        }
    }

    /// The transaction that a response belongs to, unless it answers a CANCEL.
    fn client_of(&self, branch: &str) -> Option<u64> {
        let (key, client) = self.clients.at(Names::place_of_branch(branch)?)?;
        (*client.branch == *branch && !client.silent).then_some(key)
    }

    fn apply_client(&mut self, now: Instant, key: u64, effects: Effects, response: Option<&Message<'_>>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if effects.quiet {
            stop(&mut self.wheel, &mut client.timers);
        }
        set(&mut self.wheel, &mut client.timers, now, effects.set, |timer| Due::Client(key, timer));
        if effects.transmit
            && let Some(octets) = client.octets.clone()
        {
            self.outputs.push_back(Output::Transmit { flow: client.flow, octets });
        }
        if effects.acknowledge
            && let Some((invite, response)) = client.octets.as_ref().zip(response)
            && let Some(octets) = follow_up(invite, "ACK", response.header(HeaderName::To))
        {
            self.outputs.push_back(Output::Transmit { flow: client.flow, octets });
        }
        let silent = client.silent;
        if effects.pass && !silent {
            self.outputs.push_back(Output::Response { key: ClientKey(key) });
        }
        if let Some(cause) = effects.failed
            && !silent
        {
            self.outputs.push_back(Output::Failed { key: ClientKey(key), cause });
        }
        if effects.over {
            stop(&mut self.wheel, &mut client.timers);
            if let Some(client) = self.clients.remove(key) {
                if silent {
                    self.cancels.remove(&client.branch);
                }
                if let Flow::Stream { id, .. } = client.flow {
                    self.on_stream.remove(&(id, key));
                }
            }
            if !silent {
                self.outputs.push_back(Output::Over { key: ClientKey(key) });
            }
        }
    }

    /// The transaction user gives up an INVITE.
    fn give_up(&mut self, now: Instant, key: u64) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.machine {
            ClientMachine::Invite(ClientInvite::Calling { .. }) if client.cancel == Cancel::No => {
                client.cancel = Cancel::Wanted;
            }
            ClientMachine::Invite(ClientInvite::Proceeding) if client.cancel != Cancel::Sent => self.cancel(now, key),
            _ => {}
        }
    }

    /// Sends CANCEL: a transaction of its own under the branch of the INVITE (RFC 3261 section 9.1). If no final
    /// response follows, the INVITE is over after 64 times T1.
    fn cancel(&mut self, now: Instant, key: u64) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.cancel == Cancel::Sent {
            return;
        }
        client.cancel = Cancel::Sent;
        let Some(invite) = &client.octets else { return };
        let Some(octets) = follow_up(invite, "CANCEL", None) else { return };
        let (flow, branch) = (client.flow, client.branch.clone());
        let patience = [Some((Timer::B, self.timers.patience())), None];
        set(&mut self.wheel, &mut client.timers, now, patience, |timer| Due::Client(key, timer));
        let own = self.clients.reserve();
        self.cancels.insert(branch.clone(), own);
        let (machine, effects) = ClientNonInvite::start(&self.timers, flow.is_reliable());
        let machine = ClientMachine::NonInvite(machine);
        let octets = Some(octets);
        let client = Client { flow, octets, branch, machine, timers: [None; 2], cancel: Cancel::No, silent: true };
        self.start(now, own, client, effects);
    }

    fn request(
        &mut self,
        now: Instant,
        random: &mut Random,
        flow: Flow,
        sent_by: Option<&SentBy>,
        message: &Message<'_>,
    ) {
        let method = message.method();
        let name = server_name(self.keyed, message, if method == Method::Ack { Method::Invite } else { method });
        let known = self.by_name.get(&name).copied();
        if method == Method::Ack {
            let ours = known.filter(|key| self.servers.get_mut(*key).is_some());
            match ours {
                Some(key) => self.matched_ack(now, key),
                None => self.outputs.push_back(Output::Ack),
            }
            return;
        }
        if let Some(key) = known {
            let effects = match self.servers.get_mut(key).map(|server| server.machine) {
                Some(ServerMachine::Invite(machine)) => machine.again(),
                Some(ServerMachine::NonInvite(machine)) => machine.again(),
                None => return,
            };
            return self.apply_server(now, key, effects);
        }
        if self.len() >= limits::TRANSACTIONS {
            let mut response = Response::new(503);
            response.headers.push(HeaderName::RetryAfter, "10");
            let answer = self.stateless(message, flow, &response);
            self.outputs.extend(answer.map(|(flow, octets)| Output::Transmit { flow, octets }));
            return;
        }
        let tag = self.names.tag(random);
        let machine = match method {
            Method::Invite => ServerMachine::Invite(ServerInvite::Proceeding),
            _ => ServerMachine::NonInvite(ServerNonInvite::Trying),
        };
        let mark = self.mark(message);
        let merged = mark.is_some_and(|mark| self.by_mark.contains_key(&mark));
        let key = self.servers.reserve();
        self.by_name.insert(name, key);
        if let Some(mark) = mark.filter(|_| !merged) {
            self.by_mark.insert(mark, key);
        }
        self.servers.fill(
            key,
            Server {
                flow: way_back(message, flow),
                answering: Some(Box::new(Answering {
                    sent_by: sent_by.cloned(),
                    echo: Echo::of(message, &flow),
                    tag: tag.into(),
                })),
                name,
                mark: mark.filter(|_| !merged),
                octets: None,
                machine,
                timers: [None; 2],
            },
        );
        match method {
            _ if merged => self.respond(now, key, &Response::new(482)),
            Method::Invite => {
                self.respond(now, key, &Response::new(100));
                self.outputs.push_back(Output::Request { key: ServerKey(key) });
            }
            Method::Cancel => self.cancelled(now, key, message),
            _ => {
                self.await_answer(now, key);
                self.outputs.push_back(Output::Request { key: ServerKey(key) });
            }
        }
    }

    /// What is the same in a request that came on two ways (RFC 3261 section 8.2.2.2), under a keyed hash. The Request-URI
    /// belongs to it: a forking proxy may send the branches of two users under one Call-ID.
    fn mark(&self, message: &Message<'_>) -> Option<u64> {
        if message.to_tag().is_some() || message.method() == Method::Cancel {
            return None;
        }
        let line = message.request()?;
        let cseq = message.cseq().ok()?.number;
        Some(self.keyed.hash_one((message.call_id().ok()?, message.from_tag(), cseq, line.token, line.uri)))
    }

    fn matched_ack(&mut self, now: Instant, key: u64) {
        let Some(server) = self.servers.get_mut(key) else { return };
        let reliable = server.flow.is_reliable();
        let ServerMachine::Invite(machine) = &mut server.machine else { return };
        let effects = machine.ack(&self.timers, reliable);
        if effects.pass {
            self.outputs.push_back(Output::Ack);
        }
        self.apply_server(now, key, effects);
    }

    /// A CANCEL came: it is answered here, whatever becomes of the INVITE (RFC 3261 section 9.2).
    fn cancelled(&mut self, now: Instant, key: u64, message: &Message<'_>) {
        let invite = self.by_name.get(&server_name(self.keyed, message, Method::Invite)).copied();
        let found = invite.and_then(|invite| self.servers.get_mut(invite).map(|server| (invite, server)));
        let Some((invite, server)) = found else { return self.respond(now, key, &Response::new(481)) };
        let pending = server.machine == ServerMachine::Invite(ServerInvite::Proceeding);
        self.respond(now, key, &Response::new(200));
        if pending {
            self.outputs.push_back(Output::Cancelled { invite: ServerKey(invite) });
        }
    }

    fn respond(&mut self, now: Instant, key: u64, response: &Response) {
        let Some(server) = self.servers.get_mut(key) else { return };
        let reliable = server.flow.is_reliable();
        let effects = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.respond(response.code, &self.timers, reliable),
            ServerMachine::NonInvite(machine) => machine.respond(response.code, &self.timers, reliable),
        };
        let Some(effects) = effects else { return };
        server.print(response);
        // What was refused may be tried anew, as it is after a challenge.
        if let Some(mark) = server.mark.take_if(|_| response.code >= 300) {
            self.by_mark.remove(&mark);
        }
        self.apply_server(now, key, effects);
    }

    fn turn_away(&mut self, now: Instant, key: u64, response: &Response) {
        let Some(Server { name, machine, .. }) = self.servers.get_mut(key) else { return };
        if let ServerMachine::Invite(_) = machine {
            return self.respond(now, key, response);
        }
        let name = *name;
        let tag = self.stateless_tag(name);
        if let Some(answering) = self.servers.get_mut(key).and_then(|server| server.answering.as_mut()) {
            answering.tag = tag.into();
        }
        self.respond(now, key, response);
        self.apply_server(now, key, Effects { over: true, ..Effects::default() });
    }

    fn apply_server(&mut self, now: Instant, key: u64, effects: Effects) {
        let Some(server) = self.servers.get_mut(key) else { return };
        if effects.quiet {
            stop(&mut self.wheel, &mut server.timers);
        }
        set(&mut self.wheel, &mut server.timers, now, effects.set, |timer| Due::Server(key, timer));
        if effects.transmit
            && let Some(octets) = &server.octets
        {
            self.outputs.push_back(Output::Transmit { flow: server.flow, octets: Arc::clone(octets) });
        }
        if effects.ack_missing {
            self.outputs.push_back(Output::AckMissing { key: ServerKey(key) });
        }
        if effects.over {
            stop(&mut self.wheel, &mut server.timers);
            if let Some(server) = self.servers.remove(key) {
                self.by_name.remove(&server.name);
                if let Some(mark) = server.mark {
                    self.by_mark.remove(&mark);
                }
            }
        }
    }

    fn flow_failed(&mut self, now: Instant, id: StreamId, cause: Failure) {
        let keys: Vec<u64> = self.on_stream.range((id, 0)..=(id, u64::MAX)).map(|(_, key)| *key).collect();
        for key in keys {
            let effects = match self.clients.get_mut(key).map(|client| client.machine) {
                Some(ClientMachine::Invite(machine)) => machine.broken(cause),
                Some(ClientMachine::NonInvite(machine)) => machine.broken(cause),
                None => continue,
            };
            self.apply_client(now, key, effects, None);
        }
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(due) = self.wheel.expire(now) {
            match due {
                Due::Client(key, timer) => {
                    let Some(client) = self.clients.get_mut(key) else { continue };
                    forget(&mut client.timers, timer);
                    let cancelled = client.cancel == Cancel::Sent && timer == Timer::B;
                    let effects = match &mut client.machine {
                        ClientMachine::Invite(ClientInvite::Proceeding) if cancelled => {
                            Effects::fail(Failure::TimedOut)
                        }
                        ClientMachine::Invite(machine) => machine.timer(timer),
                        ClientMachine::NonInvite(machine) => machine.timer(timer, &self.timers),
                    };
                    self.apply_client(now, key, self.mutated(effects), None);
                }
                Due::Server(key, timer) => {
                    let Some(server) = self.servers.get_mut(key) else { continue };
                    forget(&mut server.timers, timer);
                    let effects = match &mut server.machine {
                        ServerMachine::Invite(machine) => machine.timer(timer, &self.timers),
                        ServerMachine::NonInvite(machine) => machine.timer(timer),
                    };
                    self.apply_server(now, key, self.mutated(effects));
                }
            }
        }
    }
}

fn set(
    wheel: &mut Wheel<Due>,
    timers: &mut Set,
    now: Instant,
    wanted: [Option<(Timer, std::time::Duration)>; 2],
    due: impl Fn(Timer) -> Due,
) {
    for (timer, after) in wanted.into_iter().flatten() {
        let key = wheel.schedule(now + after, due(timer));
        match timers.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some((timer, key)),
            // Three timers never run at once; the wheel would drop one whose transaction is gone anyway.
            None => debug_assert!(false, "a third timer {timer:?}"),
        }
    }
}

fn stop(wheel: &mut Wheel<Due>, timers: &mut Set) {
    for (_, key) in timers.iter_mut().filter_map(Option::take) {
        wheel.cancel(key);
    }
}

fn forget(timers: &mut Set, timer: Timer) {
    for place in timers {
        if place.is_some_and(|(running, _)| running == timer) {
            *place = None;
        }
    }
}
