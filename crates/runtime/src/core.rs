//! One worker's machine and all that its outputs go to. The tasks of a worker share it; none holds it across a wait.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use node::port::adapter::{Directory, Resolver, Write, Writer};
use node::port::{AskId, Known};
use node::{Answer, Closed, Input, Machine, Output, Question, Tell, WriteId};
use sip::Owner;
use sip::transport::{Flow, ListenerId, StreamId, Transport};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::limits;
use crate::neighbours::{Letter, Neighbours};
use crate::outgoing::Accounts;
use crate::report::{Incident, Reporter};
use crate::settings::StreamSettings;
use crate::streams::{self, Stream, Wanted};
use crate::tap::{Direction, Tap, Tapped};
use crate::timer::Alarm;
use crate::tls::Tls;
use crate::udp::UdpPort;
use crate::update::Ready;
use crate::worker::Quit;

/// The machine with its surroundings.
pub(crate) struct Core<M> {
    /// Itself, for the tasks that it starts.
    pub(crate) me: Weak<RefCell<Self>>,
    pub(crate) machine: M,
    pub(crate) owner: Owner,
    pub(crate) around: Surroundings,
    /// What the machine is told as soon as the present drain is over.
    later: VecDeque<Later>,
    writes: Writes,
    accepted: u64,
    /// How many of its sockets are overloaded.
    overloaded: usize,
}

/// What a core is made of besides its machine.
pub(crate) struct Surroundings {
    pub(crate) udp: Vec<UdpPort>,
    pub(crate) streams: HashMap<StreamId, Rc<Stream>>,
    /// What waits to be written to them.
    pub(crate) accounts: Rc<Accounts>,
    /// The address of each listener.
    pub(crate) listeners: BTreeMap<ListenerId, SocketAddr>,
    pub(crate) stream_settings: StreamSettings,
    pub(crate) tls: Arc<Tls>,
    pub(crate) neighbours: Neighbours,
    pub(crate) letters_kept: Rc<Notify>,
    pub(crate) answers: UnboundedSender<(AskId, Answer)>,
    pub(crate) directory: Option<Arc<dyn Directory>>,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) store: Option<Box<dyn Writer>>,
    pub(crate) tap: Option<Tap>,
    pub(crate) alarm: Rc<Alarm>,
    pub(crate) reporter: Reporter,
    pub(crate) quit: Rc<Quit>,
    /// What streams read into. Never filled across a wait.
    pub(crate) buffer: Rc<RefCell<Box<[u8]>>>,
}

/// An input that arose while the machine was being drained.
enum Later {
    Answer(AskId, Answer),
    Closed(StreamId, Closed),
    Written(WriteId),
    Told(Tell),
    Forwarded(Flow, Arc<[String]>, Arc<[u8]>),
}

/// Writes on their way to the store.
#[derive(Default)]
struct Writes {
    waiting: Vec<Write>,
    /// How many may wait before they are folded again.
    fold_at: usize,
}

impl<M: Machine + 'static> Core<M> {
    pub(crate) fn new(me: Weak<RefCell<Self>>, machine: M, owner: Owner, around: Surroundings) -> Self {
        let writes = Writes { waiting: Vec::new(), fold_at: limits::WRITES_UNFOLDED };
        Self { me, machine, owner, around, later: VecDeque::new(), writes, accepted: 0, overloaded: 0 }
    }

    /// Hands one input to the machine and carries out all that it answers.
    pub(crate) fn input(&mut self, now: Instant, input: Input<'_>) {
        self.machine.handle(now, input);
        self.drain(now);
        while let Some(later) = self.later.pop_front() {
            match later {
                Later::Answer(id, answer) => self.machine.handle(now, Input::Answer { id, answer }),
                Later::Closed(id, why) => self.machine.handle(now, Input::StreamClosed { id, why }),
                Later::Written(up_to) => self.machine.handle(now, Input::Written { up_to }),
                Later::Told(tell) => self.machine.handle(now, Input::Told(tell)),
                Later::Forwarded(flow, peer_names, octets) => {
                    self.machine.handle(now, Input::Forwarded { flow, peer_names, octets: &octets });
                }
            }
            self.drain(now);
        }
    }

    /// From now on certificates, directory and configuration are these. Connections that stand keep what they were made with.
    pub(crate) fn update(&mut self, now: Instant, ready: &Ready) {
        self.around.tls = Arc::clone(&ready.tls);
        self.around.directory = ready.directory.clone();
        self.input(now, Input::Configure(Arc::clone(&ready.node)));
    }

    /// A datagram came in.
    pub(crate) fn datagram(&mut self, now: Instant, listener: ListenerId, remote: SocketAddr, octets: &[u8]) {
        if self.around.tap.is_some()
            && let Some(&local) = self.around.listeners.get(&listener)
        {
            self.show(now, Direction::Received, Transport::Udp, listener, (local, remote), octets);
        }
        self.input(now, Input::Datagram { listener, remote, octets });
    }

    /// One more socket is overloaded, or one less.
    pub(crate) fn overloaded(&mut self, now: Instant, overloaded: bool) {
        let before = self.overloaded;
        self.overloaded = if overloaded { before + 1 } else { before.saturating_sub(1) };
        if (before == 0) != (self.overloaded == 0) {
            self.input(now, Input::Overloaded(overloaded));
        }
    }

    /// A letter came from another worker.
    pub(crate) fn letter(&mut self, now: Instant, letter: Letter) {
        match letter {
            Letter::Told(tell) => self.input(now, Input::Told(tell)),
            Letter::Forwarded { flow, peer_names, octets } => {
                self.input(now, Input::Forwarded { flow, peer_names, octets: &octets });
            }
            Letter::Transmit { id, octets, from } => {
                if self.around.streams.contains_key(&id) {
                    self.onto_stream(now, id, &octets);
                } else {
                    self.send(now, from, Letter::Gone { id });
                }
            }
            Letter::Gone { id } => self.input(now, Input::StreamClosed { id, why: Closed::Gone }),
            Letter::Disconnect { id } => self.disconnect(id),
        }
    }

    /// Writes and sends what has gathered, after a batch of inputs. Nothing that goes out waits longer than that. What the
    /// machine left for later follows in portions, each of which leaves at once: whoever is told first does not wait for
    /// the last.
    pub(crate) fn flush(&mut self, mut now: Instant) {
        self.send_out(now);
        let mut next = self.next_timeout();
        for _ in 0..limits::PORTIONS {
            if next.is_none_or(|next| next > now) {
                break;
            }
            now = Instant::now();
            self.input(now, Input::Timeout);
            self.send_out(now);
            next = self.next_timeout();
        }
        self.around.alarm.set(now, next);
    }

    /// When the machine has something to do next, which may be past.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.machine.next_timeout().map(|(at, _)| at)
    }

    /// What is written is with the store before anything leaves.
    fn send_out(&mut self, now: Instant) {
        self.store(now);
        let around = &mut self.around;
        for port in &mut around.udp {
            port.flush(|remote, error| {
                around.reporter.incident(now, Incident::SendFailed { remote, cause: error.to_string() });
            });
        }
        around.neighbours.flush();
        if around.neighbours.keeps() {
            around.letters_kept.notify_one();
        }
    }

    /// Whether writes still wait for the store to take them.
    pub(crate) fn writes_wait(&self) -> bool {
        !self.writes.waiting.is_empty()
    }

    /// A number for a stream that is being accepted, unless there are too many streams, or too many with that address.
    pub(crate) fn next_accepted(&mut self, remote: IpAddr) -> Option<StreamId> {
        let at_most = self.around.stream_settings.at_most;
        let own = self.around.accounts.streams_of(remote);
        if self.around.streams.len() >= at_most || own >= at_most - at_most / 4 {
            return None;
        }
        self.accepted += 1;
        Some(StreamId::accepted(self.owner, self.accepted))
    }

    /// Shows a message to the tap, if there is one.
    pub(crate) fn show(
        &self,
        at: Instant,
        direction: Direction,
        transport: Transport,
        listener: ListenerId,
        (local, remote): (SocketAddr, SocketAddr),
        octets: &[u8],
    ) {
        if let Some(tap) = &self.around.tap
            && !octets.iter().all(|octet| matches!(octet, b'\r' | b'\n'))
        {
            let worker = self.owner.0;
            tap.show(&Tapped { direction, transport, listener, local, remote, octets, worker, at });
        }
    }

    /// Closes the streams on which nothing passes.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let settings = &self.around.stream_settings;
        for stream in self.around.streams.values() {
            if stream.is_idle(now, settings) {
                stream.disconnect();
            }
        }
        self.around.reporter.unmute(now);
        // What a full store or neighbour did not take has no other occasion when nothing happens.
        self.flush(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.machine.poll() {
            self.carry_out(now, output);
        }
        if self.around.store.is_none()
            && let Some(last) = self.writes.waiting.last()
        {
            self.later.push_back(Later::Written(last.id));
            self.writes.waiting.clear();
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output) {
        match output {
            Output::Transmit { flow, octets } => self.transmit(now, flow, octets),
            Output::Connect { id, transport, remote, server_name, identity, listener } => {
                self.connect(now, Wanted { id, transport, remote, server_name, identity, listener });
            }
            Output::Disconnect { id } if id.owner() != self.owner => {
                self.send(now, id.owner(), Letter::Disconnect { id });
            }
            Output::Disconnect { id } => self.disconnect(id),
            Output::Ask { id, question } => self.ask(id, question),
            Output::Write { id, key, value } => self.writes.waiting.push(Write { id, key, value }),
            Output::Tell { owner, tell } if owner == self.owner => self.later.push_back(Later::Told(tell)),
            Output::Tell { owner, tell } => self.send(now, owner, Letter::Told(tell)),
            Output::Forward { owner, flow, peer_names, octets } if owner == self.owner => {
                self.later.push_back(Later::Forwarded(flow, peer_names, octets));
            }
            Output::Forward { owner, flow, peer_names, octets } => {
                self.send(now, owner, Letter::Forwarded { flow, peer_names, octets });
            }
            Output::Report(report) => self.around.reporter.node(report),
            Output::Stopped => self.around.quit.stopped(),
        }
    }

    fn transmit(&mut self, now: Instant, flow: Flow, octets: Arc<[u8]>) {
        match flow {
            Flow::Udp { listener, remote } => {
                if self.around.tap.is_some()
                    && let Some(&local) = self.around.listeners.get(&listener)
                {
                    self.show(now, Direction::Sent, Transport::Udp, listener, (local, remote), &octets);
                }
                let port = self.around.udp.iter_mut().find(|port| port.listener == listener);
                let room = port.is_some_and(|port| port.queue(remote, octets));
                if !room {
                    self.around.reporter.incident(now, Incident::DatagramDropped { remote });
                }
            }
            Flow::Stream { id, .. } if id.owner() != self.owner => {
                self.send(now, id.owner(), Letter::Transmit { id, octets, from: self.owner });
            }
            Flow::Stream { id, .. } => self.onto_stream(now, id, &octets),
            // Carried inside the machine; it has no socket.
            Flow::Internal => {}
        }
    }

    /// A stream that is gone swallows what is sent to it: the machine has been told, or is about to be.
    fn onto_stream(&mut self, now: Instant, id: StreamId, octets: &[u8]) {
        let Some(stream) = self.around.streams.get(&id) else { return };
        let stream = Rc::clone(stream);
        self.show(now, Direction::Sent, stream.transport, stream.listener, stream.ends(), octets);
        if !stream.transmit(now, octets) {
            let (remote, transport) = (stream.remote, stream.transport);
            self.around.reporter.incident(now, Incident::StreamOverflow { remote, transport });
        }
    }

    fn disconnect(&mut self, id: StreamId) {
        if let Some(stream) = self.around.streams.get(&id) {
            stream.disconnect();
        }
    }

    fn connect(&mut self, now: Instant, wanted: Wanted) {
        if self.around.streams.len() >= self.around.stream_settings.at_most {
            let why = Closed::Refused("there are too many connections".into());
            return self.later.push_back(Later::Closed(wanted.id, why));
        }
        let local = self.around.listeners.get(&wanted.listener).copied();
        let stream = Rc::new(Stream::wanted(&wanted, local, &self.around.accounts, now));
        self.around.streams.insert(wanted.id, Rc::clone(&stream));
        if let Some(me) = self.me.upgrade() {
            self.around.quit.spawn(streams::open(me, stream, wanted));
        }
    }

    fn ask(&mut self, id: AskId, question: Question) {
        match question {
            Question::WhoIs(who) => {
                let known = self.around.directory.as_ref().map_or(Known::Nobody, |directory| directory.who_is(&who));
                self.later.push_back(Later::Answer(id, Answer::User(known)));
            }
            Question::Resolve(ref resolve) => {
                if let Ok(address) = resolve.host.parse::<IpAddr>() {
                    let answer = Answer::Places(vec![resolve.place(address)]);
                    return self.later.push_back(Later::Answer(id, answer));
                }
                let Some(resolver) = &self.around.resolver else {
                    let answer = Answer::Failed("names are not resolved here".into());
                    return self.later.push_back(Later::Answer(id, answer));
                };
                let answers = self.around.answers.clone();
                // A worker that is gone no longer wants to know.
                resolver.resolve(question, Box::new(move |answer| drop(answers.send((id, answer)))));
            }
        }
    }

    fn send(&mut self, now: Instant, owner: Owner, letter: Letter) {
        if !self.around.neighbours.send(owner.0, letter) {
            self.around.reporter.incident(now, Incident::LetterDropped { worker: owner.0 });
        }
    }

    /// Hands the store what waits. What it takes at once is acknowledged at once, so that the answer to it leaves together
    /// with all else; and what the machine then writes goes the same way.
    fn store(&mut self, now: Instant) {
        while let Some(up_to) = self.offer_writes(now) {
            self.input(now, Input::Written { up_to });
        }
    }

    fn offer_writes(&mut self, now: Instant) -> Option<WriteId> {
        if self.writes.waiting.is_empty() {
            return None;
        }
        let up_to = self.around.store.as_mut()?.write(&mut self.writes.waiting);
        let dropped = self.writes.bound();
        if dropped > 0 {
            self.around.reporter.incident(now, Incident::WritesDropped { count: dropped });
        }
        up_to
    }
}

impl Writes {
    /// Keeps what waits within its bound; answers how many writes were lost.
    fn bound(&mut self) -> usize {
        if self.waiting.len() <= self.fold_at {
            return 0;
        }
        self.fold();
        let lost = self.waiting.len().saturating_sub(limits::WRITES_WAITING);
        self.waiting.truncate(limits::WRITES_WAITING);
        self.fold_at = self.waiting.len().saturating_mul(2).max(limits::WRITES_UNFOLDED);
        lost
    }

    /// Drops every write that a later one to the same key makes void. Order and numbers stay.
    fn fold(&mut self) {
        let mut last: HashMap<&[u8], WriteId> = HashMap::with_capacity(self.waiting.len());
        for write in &self.waiting {
            last.insert(&write.key, write.id);
        }
        let keep: Vec<bool> = self.waiting.iter().map(|write| last.get(&*write.key) == Some(&write.id)).collect();
        let mut keep = keep.into_iter();
        self.waiting.retain(|_| keep.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: u64, key: &str, value: Option<&str>) -> Write {
        Write { id: WriteId(id), key: key.into(), value: value.map(Into::into) }
    }

    #[test]
    fn folding_keeps_the_last_write_to_each_key_in_order() {
        let waiting =
            vec![write(1, "a", Some("1")), write(2, "b", Some("2")), write(3, "a", Some("3")), write(4, "b", None)];
        let mut writes = Writes { waiting, fold_at: 0 };
        writes.fold();
        assert_eq!(writes.waiting, [write(3, "a", Some("3")), write(4, "b", None)]);
    }
}
