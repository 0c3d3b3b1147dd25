//! A machine small enough to see through: it answers OPTIONS, and does as a message tells it.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use node::configuration::IdentityId;
use node::port::AskId;
use node::{Boot, Closed, Input, Machine, Output, Question, Wake, WriteId};
use runtime::{ListenerSettings, Settings};
use sip::Owner;
use sip::transport::{Flow, ListenerId, StreamId, Transport};

/// What the toy has seen, for the test to look at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Message { worker: u16, octets: String },
    Opened { id: StreamId, peer_names: Vec<String> },
    Closed { id: StreamId, why: Closed },
    Answer(node::Answer),
    Written(WriteId),
    Timeout(Instant),
}

/// Where a toy connects to when it is told so.
#[derive(Clone)]
pub(crate) struct Goal {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    pub(crate) server_name: Option<String>,
    pub(crate) identity: Option<IdentityId>,
    pub(crate) listener: ListenerId,
    /// Sent at once, before the connection stands.
    pub(crate) octets: Vec<u8>,
}

#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) connect: Option<Goal>,
    pub(crate) ask: Option<Question>,
    pub(crate) write: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) wake_after: Option<Duration>,
    /// Every message is handed to this worker first.
    pub(crate) forward_to: Option<u16>,
    /// Panics when a message says so.
    pub(crate) fragile: bool,
}

pub(crate) struct Toy {
    owner: Owner,
    script: Script,
    seen: Sender<Seen>,
    outputs: VecDeque<Output>,
    wake: Option<Instant>,
    began: bool,
    streams: Vec<(StreamId, Flow)>,
}

impl Toy {
    pub(crate) fn new(boot: &Boot, script: Script, seen: Sender<Seen>) -> Self {
        let owner = boot.owner;
        Self { owner, script, seen, outputs: VecDeque::new(), wake: None, began: false, streams: Vec::new() }
    }

    fn see(&self, seen: Seen) {
        let _ = self.seen.send(seen);
    }

    fn begin(&mut self, now: Instant) {
        self.began = true;
        self.wake = self.script.wake_after.map(|after| now + after);
        if let Some(Goal { transport, remote, server_name, identity, listener, octets }) = self.script.connect.take() {
            let id = StreamId::opened(self.owner, 1);
            self.outputs.push_back(Output::Connect { id, transport, remote, server_name, identity, listener });
            let flow = Flow::Stream { id, transport, listener, remote };
            self.outputs.push_back(Output::Transmit { flow, octets: octets.into() });
        }
        if let Some(question) = self.script.ask.take() {
            self.outputs.push_back(Output::Ask { id: AskId(1), question });
        }
        for (number, (key, value)) in (1..).zip(self.script.write.drain(..)) {
            self.outputs.push_back(Output::Write { id: WriteId(number), key, value });
        }
    }

    fn message(&mut self, flow: Flow, octets: &[u8], forwarded: bool) {
        if let (Some(worker), false) = (self.script.forward_to, forwarded) {
            let (owner, peer_names) = (Owner(worker), Arc::from([]));
            return self.outputs.push_back(Output::Forward { owner, flow, peer_names, octets: octets.into() });
        }
        let text = String::from_utf8_lossy(octets).into_owned();
        assert!(!(self.script.fragile && text.starts_with("PANIC")), "as told");
        if let (true, Flow::Stream { id, .. }) = (text.starts_with("BYE"), flow) {
            self.outputs.push_back(Output::Disconnect { id });
        }
        if text.starts_with("OPTIONS") {
            let number = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("0 OPTIONS");
            let answer = format!("SIP/2.0 200 OK\r\nCSeq: {number}\r\nContent-Length: 0\r\n\r\n");
            self.outputs.push_back(Output::Transmit { flow, octets: answer.into_bytes().into() });
        }
        self.see(Seen::Message { worker: self.owner.0, octets: text });
    }
}

impl Machine for Toy {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        if !self.began {
            self.begin(now);
        }
        match input {
            Input::Datagram { listener, remote, octets } => {
                self.message(Flow::Udp { listener, remote }, octets, false);
            }
            Input::Forwarded { flow, octets, .. } => self.message(flow, octets, true),
            Input::StreamOpened { id, listener, transport, remote, peer_names } => {
                self.streams.push((id, Flow::Stream { id, transport, listener, remote }));
                self.see(Seen::Opened { id, peer_names });
            }
            Input::StreamOctets { id, octets } => {
                if let Some((_, flow)) = self.streams.iter().find(|(stream, _)| *stream == id) {
                    self.message(*flow, octets, false);
                }
            }
            Input::StreamClosed { id, why } => self.see(Seen::Closed { id, why }),
            Input::Answer { answer, .. } => self.see(Seen::Answer(answer)),
            Input::Written { up_to } => self.see(Seen::Written(up_to)),
            Input::Told(_) | Input::Configure(_) | Input::Overloaded(_) => {}
            Input::Stop => self.outputs.push_back(Output::Stopped),
            Input::Timeout => {
                if self.wake.is_some_and(|at| at <= now) {
                    self.wake = None;
                    self.see(Seen::Timeout(now));
                }
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<(Instant, Wake)> {
        self.wake.map(|at| (at, Wake::Node))
    }
}

pub(crate) const FIRST: ListenerId = ListenerId(1);

pub(crate) fn listener(transport: Transport, identity: Option<IdentityId>) -> ListenerSettings {
    ListenerSettings { id: FIRST, transport, address: SocketAddr::from(([127, 0, 0, 1], 0)), identity }
}

/// One listener of this transport at a port that the system picks.
pub(crate) fn settings(transport: Transport, workers: u16) -> Settings {
    Settings { workers: Some(workers), listeners: vec![listener(transport, None)], ..Settings::default() }
}

pub(crate) fn options(number: u32) -> String {
    format!("OPTIONS sip:offhook SIP/2.0\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n")
}

pub(crate) fn ok(number: u32) -> String {
    format!("SIP/2.0 200 OK\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n")
}
