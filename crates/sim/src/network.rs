//! What lies between the nodes, the phones and the presence servers: datagrams that are lost, doubled and late, and streams
//! that break.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::{Closed, Input};
use sip::Random;
use sip::transport::{Flow, StreamId, Transport};
use ua::phone::{self, Phone};
use wire::sip::{Framed, Framer};

use crate::cast::Event;
use crate::lines::Reach;
use crate::setting::{self, TCP, UDP, phone_address, press_address, server_address, watcher_address};
use crate::swarm::{Feature, stream};
use crate::world::World;

/// One direction between two of them; each draws its own randomness, so that traffic on one changes nothing on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    FromPhone(usize),
    ToPhone(usize),
    ToServer(usize),
    FromServer(usize),
    FromWatcher(usize),
    ToWatcher(usize),
    FromPress,
    ToPress,
    Directory,
    Disk,
}

/// The longest that a message takes.
const USUAL: Duration = Duration::from_millis(20);

/// The same, of one that is delayed.
const SLOW: Duration = Duration::from_secs(3);

impl Link {
    fn number(self) -> u64 {
        match self {
            Self::FromPhone(phone) => 0x100 + phone as u64,
            Self::ToPhone(phone) => 0x200 + phone as u64,
            Self::ToServer(server) => 0x300 + server as u64,
            Self::FromServer(server) => 0x400 + server as u64,
            Self::Directory => 0x500,
            Self::Disk => 0x600,
            Self::FromPress => 0x900,
            Self::ToPress => 0x901,
            Self::FromWatcher(watcher) => 0x700 + watcher as u64,
            Self::ToWatcher(watcher) => 0x800 + watcher as u64,
        }
    }
}

/// A stream to a presence server. What is sent keeps its order.
pub(crate) struct Wire {
    owner: usize,
    server: usize,
    /// When it stands.
    opens_at: Instant,
    is_open: bool,
    /// When the last octets of each direction arrive.
    there_at: Instant,
    back_at: Instant,
    framer: Framer,
}

impl World {
    /// The randomness of the next thing on a link.
    pub(crate) fn next_on(&mut self, link: Link) -> Random {
        let carried = self.carried.entry(link).or_default();
        *carried += 1;
        stream(self.play.seed, link.number(), *carried)
    }

    /// Puts a datagram on the network: it may be lost, doubled, or late.
    pub(crate) fn carry(&mut self, link: Link, event: impl Fn() -> Event) {
        let mut random = self.next_on(link);
        let (lost, twice) = (random.chance(100), random.chance(50));
        if !self.calm && lost && self.has(Feature::Loss) {
            return;
        }
        let copies = if !self.calm && twice && self.has(Feature::Duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let after = self.latency(&mut random);
            self.schedule(self.now + after, event());
        }
    }

    pub(crate) fn latency(&self, random: &mut Random) -> Duration {
        let slow = random.chance(50) && !self.calm && self.has(Feature::Delays);
        random.between(Duration::from_millis(1), if slow { SLOW } else { USUAL })
    }

    /// The longest that a message may take in this history.
    pub(crate) fn longest_latency(&self) -> Duration {
        if self.has(Feature::Delays) { SLOW } else { USUAL }
    }

    /// A node sends something.
    pub(crate) fn leaves_node(&mut self, owner: usize, flow: Flow, octets: &Arc<[u8]>) {
        let Some(remote) = flow.remote() else { return };
        if let Some(watcher) = self.watcher_at(remote) {
            return match flow {
                Flow::Stream { id, .. } => self.leaves_on_line(owner, id, octets),
                _ => self.leaves_for_watcher(watcher, octets),
            };
        }
        if remote == press_address() {
            return self.carry(Link::ToPress, || Event::ToPress { octets: Arc::clone(octets) });
        }
        let server = (0..self.servers.len()).find(|server| server_address(*server) == remote);
        let phone = (0..self.people.len()).find(|phone| phone_address(*phone) == remote);
        let life = self.life;
        match (server, phone, flow) {
            (Some(server), _, Flow::Stream { id, .. }) => {
                self.sees_leaving(server, octets, Some(id));
                self.onto_stream(id, octets);
            }
            (Some(server), _, _) => {
                self.sees_leaving(server, octets, None);
                self.carry(Link::ToServer(server), || Event::ToServer { server, octets: Arc::clone(octets), life });
            }
            (None, Some(phone), _) => {
                self.carry(Link::ToPhone(phone), || Event::ToPhone { phone, octets: Arc::clone(octets) });
            }
            (None, None, _) => self.broken(format!("a message leaves for {remote}, where nobody is")),
        }
    }

    fn sees_leaving(&mut self, server: usize, octets: &[u8], stream: Option<StreamId>) {
        if let Some(fault) = self.truth.leaves(self.now, server, octets, stream) {
            self.broken(fault);
        }
    }

    pub(crate) fn arrives_at_node(&mut self, from: SocketAddr, octets: &[u8], life: usize, is_late: bool) {
        if let Some(server) = (0..self.servers.len()).find(|server| server_address(*server) == from) {
            self.sees_arriving(server, octets, life, is_late);
        }
        // The system spreads datagrams over the sockets by their source; the owner may be another.
        let owner = from.to_string().bytes().map(usize::from).sum::<usize>() % self.nodes.len();
        self.at_node(owner, Input::Datagram { listener: UDP, remote: from, octets });
    }

    fn sees_arriving(&mut self, server: usize, octets: &[u8], life: usize, is_late: bool) {
        // An answer to a process that has died meanwhile tells its successor nothing.
        if life == self.life
            && let Some(known) = self.servers.get_mut(server)
        {
            known.model.was_delivered(octets, is_late);
            self.truth.arrives(self.now, server, octets);
        }
    }

    pub(crate) fn arrives_at_phone(&mut self, number: usize, octets: &[u8]) {
        if !self.reaches(number) {
            return;
        }
        if let Some(person) = self.people.get_mut(number) {
            person.phone.handle(self.now, phone::Input::Received { flow: setting::here(), octets });
        }
        self.drain_phone(number);
    }

    /// Whether a phone can be reached.
    pub(crate) fn reaches(&self, number: usize) -> bool {
        let until = self.people.get(number).and_then(|person| person.cut_off_until);
        until.is_none_or(|until| until <= self.now)
    }

    pub(crate) fn drain_phone(&mut self, number: usize) {
        while let Some(output) = self.people.get_mut(number).and_then(|person| person.phone.poll()) {
            match output {
                phone::Output::Transmit { octets, .. } => {
                    let (from, life) = (phone_address(number), self.life);
                    if self.reaches(number) {
                        let octets = || Arc::clone(&octets);
                        self.carry(Link::FromPhone(number), || Event::ToNode {
                            from,
                            octets: octets(),
                            life,
                            is_late: false,
                        });
                    }
                }
                phone::Output::Event(event) => {
                    self.outcome.answered += usize::from(event == phone::Event::Answered);
                    self.note(|| format!("phone {number}: {event:?}"));
                    if self.is_first {
                        self.outcome.noticed.push((self.now - self.start, number, event));
                    }
                }
            }
        }
        let now = self.now;
        if let Some(person) = self.people.get_mut(number) {
            let is_up = Phone::calls(&person.phone) > 0;
            person.up_since = if is_up { person.up_since.or(Some(now)) } else { None };
        }
        self.note_engagement(number);
    }

    /// A request reaches a server, which answers the way it came.
    pub(crate) fn arrives_at_server(&mut self, server: usize, octets: &[u8], life: usize, on: Option<StreamId>) {
        let now = self.now;
        let Some(known) = self.servers.get_mut(server) else { return };
        if self.play.silent || known.silent_until.is_some_and(|until| until > now) {
            return;
        }
        self.outcome.published += usize::from(octets.starts_with(b"PUBLISH"));
        let answers_lost = known.answers_lost_until.is_some_and(|until| until > now);
        let answer = match known.refuses_until.is_some_and(|until| until > now) {
            true => known.model.refuse(octets),
            false => known.model.answer(now, octets),
        };
        let Some(answer) = answer else { return };
        let answer: Arc<[u8]> = answer.into();
        self.note(|| format!("server {server} gets {}", first_lines(octets)));
        self.note(|| format!("server {server} says {}", first_lines(&answer)));
        if answers_lost {
            return;
        }
        let mut random = self.next_on(Link::FromServer(server));
        let late = random.chance(150) && !self.calm && self.has(Feature::LateAnswers);
        let after = random.between(Duration::from_secs(30), Duration::from_secs(90));
        let from = server_address(server);
        match (on, late) {
            (Some(id), _) => self.back_on_stream(id, &answer, late.then_some(after)),
            (None, true) => {
                self.schedule(now + after, Event::ToNode { from, octets: answer, life, is_late: true });
            }
            (None, false) => {
                let octets = || Arc::clone(&answer);
                self.carry(Link::FromServer(server), || Event::ToNode { from, octets: octets(), life, is_late: false });
            }
        }
    }

    fn watcher_at(&self, remote: SocketAddr) -> Option<usize> {
        (0..self.watchers.len()).find(|watcher| watcher_address(*watcher).ip() == remote.ip())
    }

    /// A node wants a stream.
    pub(crate) fn connects(&mut self, owner: usize, id: StreamId, remote: SocketAddr) {
        if let Some(number) = self.watcher_at(remote) {
            // What is too large for a datagram is first tried over TCP, which not all watchers have.
            let listens = self.watchers.get(number).is_some_and(|watcher| watcher.reach == Reach::Listening);
            if listens && self.hears(number) {
                return self.connects_to_watcher(id, number);
            }
            return self.schedule(self.now + USUAL, Event::NobodyThere { owner, id, life: self.life });
        }
        let Some(server) = (0..self.servers.len()).find(|server| server_address(*server) == remote) else {
            self.broken(format!("a stream is wanted to {remote}, where nobody is"));
            return;
        };
        let after = {
            let mut random = self.next_on(Link::ToServer(server));
            self.latency(&mut random)
        };
        let silent = self.servers.get(server).and_then(|known| known.silent_until).filter(|until| *until > self.now);
        let at = self.now + after;
        let wire =
            Wire { owner, server, opens_at: at, is_open: false, there_at: at, back_at: at, framer: Framer::new() };
        self.streams.insert(id, wire);
        let life = self.life;
        let event = if silent.is_some() { Event::Refused { id, life } } else { Event::Opened { id, life } };
        self.schedule(at, event);
    }

    /// Nobody listens where a node wants a stream to.
    pub(crate) fn finds_nobody(&mut self, owner: usize, id: StreamId, life: usize) {
        if life == self.life {
            self.at_node(owner, Input::StreamClosed { id, why: Closed::Refused("nobody listens there".to_owned()) });
        }
    }

    pub(crate) fn opened(&mut self, id: StreamId) {
        let Some(wire) = self.streams.get_mut(&id) else { return };
        wire.is_open = true;
        let (owner, remote) = (wire.owner, server_address(wire.server));
        let input =
            Input::StreamOpened { id, listener: TCP, transport: Transport::Tcp, remote, peer_names: Vec::new() };
        self.at_node(owner, input);
    }

    /// A stream breaks; what was on its way is lost.
    pub(crate) fn breaks(&mut self, id: StreamId, why: Closed) {
        let Some(wire) = self.streams.remove(&id) else { return };
        self.note(|| format!("a stream to server {}: {why}", wire.server));
        self.truth.broke(id);
        self.at_node(wire.owner, Input::StreamClosed { id, why });
    }

    fn onto_stream(&mut self, id: StreamId, octets: &Arc<[u8]>) {
        let Some(server) = self.streams.get(&id).map(|wire| wire.server) else { return };
        let after = {
            let mut random = self.next_on(Link::ToServer(server));
            self.latency(&mut random)
        };
        let now = self.now;
        let Some(wire) = self.streams.get_mut(&id) else { return };
        wire.there_at = wire.there_at.max(wire.opens_at).max(now + after);
        let at = wire.there_at;
        self.schedule(at, Event::OnStream { id, octets: Arc::clone(octets), life: self.life });
    }

    pub(crate) fn arrives_on_stream(&mut self, id: StreamId, octets: &[u8]) {
        let Some(wire) = self.streams.get_mut(&id) else { return };
        wire.framer.push(octets);
        let server = wire.server;
        let mut whole = Vec::new();
        while let Ok(Some(framed)) = wire.framer.cut() {
            whole.extend(match framed {
                Framed::Message(message) => Some(message),
                Framed::Ping | Framed::Pong => None,
            });
        }
        for message in whole {
            self.arrives_at_server(server, &message, self.life, Some(id));
        }
    }

    /// An answer on its way back; one that is late does not hold up what comes after it, as it would in life.
    fn back_on_stream(&mut self, id: StreamId, octets: &Arc<[u8]>, late: Option<Duration>) {
        let now = self.now;
        let Some(wire) = self.streams.get_mut(&id) else { return };
        let at = match late {
            Some(after) => now + after,
            None => {
                wire.back_at = wire.back_at.max(now + Duration::from_millis(5));
                wire.back_at
            }
        };
        self.schedule(
            at,
            Event::FromStream { id, octets: Arc::clone(octets), life: self.life, is_late: late.is_some() },
        );
    }

    pub(crate) fn arrives_from_stream(&mut self, id: StreamId, octets: &[u8], is_late: bool) {
        let Some((owner, server)) = self.streams.get(&id).map(|wire| (wire.owner, wire.server)) else { return };
        self.sees_arriving(server, octets, self.life, is_late);
        self.at_node_in_pieces(owner, id, octets);
    }

    /// Octets arrive on a stream, cut somewhere, as streams are.
    pub(crate) fn at_node_in_pieces(&mut self, owner: usize, id: StreamId, octets: &[u8]) {
        let (one, other) = octets.split_at(octets.len() / 3);
        self.at_node(owner, Input::StreamOctets { id, octets: one });
        self.at_node(owner, Input::StreamOctets { id, octets: other });
    }

    /// All streams to a server break at once.
    pub(crate) fn reset(&mut self, server: usize) {
        let broken = self.streams.iter().filter(|(_, wire)| wire.server == server && wire.is_open);
        for id in broken.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.breaks(id, Closed::ByPeer);
        }
    }
}

fn first_lines(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let wanted = |line: &&str| line.starts_with("SIP-") || line.starts_with("Expires") || line.starts_with("PUBLISH");
    let wanted = |line: &&str| wanted(line) || line.starts_with("SIP/2.0") || line.starts_with("To:");
    text.lines().filter(wanted).collect::<Vec<_>>().join(" | ")
}
