//! A transaction layer, a clock that moves when told, and everything that came out of it.

use std::time::{Duration, Instant};

use sip::transaction::{ClientKey, Failure, Input, Output, ServerKey, Timers, Transactions};
use sip::transport::{Flow, ListenerId, SentBy, StreamId, Transport};
use sip::{ContactUser, KeyedState, Names, Owner, Random, Request, Response};
use wire::sip::{HeaderName, Message, Method};

/// The other side, over UDP.
pub(crate) const REMOTE: &str = "192.0.2.7:5066";

pub(crate) struct World {
    pub(crate) layer: Transactions,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<(Flow, String)>,
    pub(crate) requests: Vec<ServerKey>,
    pub(crate) acks: usize,
    pub(crate) cancelled: Vec<ServerKey>,
    pub(crate) responses: usize,
    pub(crate) strays: usize,
    pub(crate) failed: Vec<(ClientKey, Failure)>,
    pub(crate) over: Vec<ClientKey>,
    pub(crate) ack_missing: usize,
    random: Random,
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let mut random = Random::from_seed([3; 32]);
        let keyed = KeyedState::new(&mut random);
        Self {
            layer: Transactions::new(Timers::default(), Names::new(Owner(0)), keyed, now),
            now,
            sent: Vec::new(),
            requests: Vec::new(),
            acks: 0,
            cancelled: Vec::new(),
            responses: 0,
            strays: 0,
            failed: Vec::new(),
            over: Vec::new(),
            ack_missing: 0,
            random,
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.layer.handle(self.now, &mut self.random, input);
        while let Some(output) = self.layer.poll() {
            match output {
                Output::Transmit { flow, octets } => {
                    self.sent.push((flow, String::from_utf8(octets.to_vec()).expect("text")));
                }
                Output::Request { key } => self.requests.push(key),
                Output::Ack => self.acks += 1,
                Output::Cancelled { invite } => self.cancelled.push(invite),
                Output::Response { .. } => self.responses += 1,
                Output::StrayResponse => self.strays += 1,
                Output::Failed { key, cause } => self.failed.push((key, cause)),
                Output::AckMissing { .. } => self.ack_missing += 1,
                Output::Over { key } => self.over.push(key),
            }
        }
    }

    pub(crate) fn receive(&mut self, flow: Flow, text: &str) {
        let message = Message::parse(text.as_bytes()).expect("a message");
        let sent_by = sent_by(flow);
        self.handle(Input::Received { flow, sent_by: Some(&sent_by), message: &message });
    }

    pub(crate) fn respond(&mut self, key: ServerKey, code: u16) {
        self.handle(Input::Respond { key, response: Response::new(code) });
    }

    /// Sends a request of this method, and gives its text.
    pub(crate) fn send(&mut self, flow: Flow, method: Method) -> (ClientKey, String) {
        let key = self.layer.reserve();
        let mut request = Request::new(method, "sip:there@192.0.2.7");
        request.contact = Some(ContactUser::of("here"));
        request.headers.push(HeaderName::From, "<sip:here@sfb.example>;tag=ours");
        request.headers.push(HeaderName::To, "<sip:there@sfb.example>");
        request.headers.push(HeaderName::CallId, "call-of-ours");
        request.headers.push(HeaderName::CSeq, format!("1 {}", method.as_str()));
        let sent_by = sent_by(flow);
        self.handle(Input::Send { key, flow, sent_by: Some(&sent_by), request });
        (key, self.sent.pop().expect("it is sent").1)
    }

    pub(crate) fn cancel(&mut self, key: ClientKey) {
        self.handle(Input::Cancel { key });
    }

    pub(crate) fn break_stream(&mut self, id: StreamId) {
        self.handle(Input::FlowFailed { id, cause: Failure::Transport });
    }

    /// Lets time pass to each timeout on the way, and gives what was sent with the time since the beginning.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<(Duration, String)> {
        let (begin, end) = (self.now, self.now + duration);
        let mut log = Vec::new();
        while let Some(at) = self.layer.next_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let before = self.sent.len();
            self.handle(Input::Timeout);
            log.extend(self.sent.drain(before..).map(|(_, text)| (self.now - begin, text)));
        }
        self.now = end;
        log
    }

    /// What was sent since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, text)| text).collect()
    }
}

pub(crate) fn udp() -> Flow {
    Flow::Udp { listener: ListenerId(0), remote: REMOTE.parse().unwrap() }
}

pub(crate) fn tcp() -> Flow {
    Flow::Stream {
        id: StreamId(5),
        transport: Transport::Tcp,
        listener: ListenerId(0),
        remote: REMOTE.parse().unwrap(),
    }
}

fn sent_by(flow: Flow) -> SentBy {
    SentBy { transport: flow.transport(), host_port: "sbc.sfb.example:5060".into(), alias: false }
}

/// A request with this topmost Via.
pub(crate) fn request(method: &str, via: &str, more: &str) -> String {
    format!(
        "{method} sip:here@sfb.example SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:there@sfb.example>;tag=theirs\r\n\
         To: <sip:here@sfb.example>\r\nCall-ID: theirs\r\nCSeq: 7 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// The answer to a request of ours.
pub(crate) fn response(to: &str, code: u16) -> String {
    let message = Message::parse(to.as_bytes()).unwrap();
    let value = |name| String::from_utf8_lossy(message.header(name).unwrap()).into_owned();
    format!(
        "SIP/2.0 {code} Answer\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=t\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        value(HeaderName::Via),
        value(HeaderName::From),
        value(HeaderName::To),
        value(HeaderName::CallId),
        value(HeaderName::CSeq),
    )
}

pub(crate) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
