//! A node as a whole, with whatever stands around it: octets, answers, streams and time come from a script.

mod oracle;
mod script;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use node::configuration as of_node;
use node::port::{AskId, Known, Place, Who};
use node::{Answer, Boot, Closed, Input, Machine, Node, Output, Question, Wall};
use offhook::configuration::{Configuration, Surroundings};
use sip::digest::Credentials;
use sip::transport::{Flow, ListenerId, StreamId, Transport};
use sip::{Aor, Owner};
use wire::sip::{Message, Method};

use oracle::Oracle;
pub(crate) use script::{after, run};

/// What the node is told.
const CONFIGURATION: &str = r#"
domain = "fuzz.example"
[[listen]]
transport = "udp"
address = "192.0.2.1:5060"
[[listen]]
transport = "tcp"
address = "192.0.2.1:5060"
[[peer]]
name = "pbx"
addresses = ["sip:192.0.2.9:5060"]
publisher = true
[[peer]]
name = "named"
addresses = ["sip:trunk.example"]
[[route]]
from = "pbx"
callee = '^9'
to = "named"
[[route]]
from = "registered"
callee = '^8'
to = "pbx"
[[route]]
to = "registered"
[[presence_server]]
name = "far"
uri = "sip:192.0.2.30:5060"
follow_redirects = true
[[presence_server]]
name = "stream"
uri = "sip:192.0.2.31:5060;transport=tcp"
[presence_server_here]
[[watch_rule]]
presentity = "*"
watcher = "sip:pbx@fuzz.example"
action = "allow"
details = true
[[user]]
uri = "sip:alice@fuzz.example"
numbers = ["1001"]
password_env = "SECRET"
[[user]]
uri = "sip:bob@fuzz.example"
numbers = ["1002"]
password_env = "SECRET"
"#;

/// Outputs that one input may bring at the most.
const OUTPUTS: usize = 20_000;

/// Messages of the node that the script can answer.
const REMEMBERED: usize = 24;

/// A node and its surroundings.
pub(crate) struct Border {
    node: Node,
    now: Instant,
    /// Counted, so that every life has its own randomness.
    lives: u64,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    written: Option<node::WriteId>,
    /// What was sent since somebody looked.
    sent: Vec<Vec<u8>>,
    /// The newest messages of the node, and where they went.
    seen: VecDeque<(Flow, Vec<u8>)>,
    asked: Vec<(AskId, Question)>,
    streams: BTreeMap<StreamId, bool>,
    accepted: u64,
    stopping: bool,
    oracle: Oracle,
}

impl Border {
    /// The address of the peer that may call and publish.
    pub(crate) const PBX: &'static str = "192.0.2.9:5060";

    pub(crate) fn new() -> Self {
        Self::with_records(Vec::new())
    }

    pub(crate) fn with_records(records: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let now = Instant::now();
        let is_told_lies = !records.is_empty();
        let mut border = Self {
            node: node(now, 0, records.clone()),
            now,
            lives: 0,
            store: records.into_iter().collect(),
            written: None,
            sent: Vec::new(),
            seen: VecDeque::new(),
            asked: Vec::new(),
            streams: BTreeMap::new(),
            accepted: 0,
            stopping: false,
            oracle: Oracle::new(is_told_lies),
        };
        border.drain();
        border
    }

    /// What was sent since the last time.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn datagram(&mut self, from: &str, octets: &[u8]) {
        let remote: SocketAddr = from.parse().expect("an address");
        self.oracle.sends(self.now, octets, true);
        self.handle(Input::Datagram { listener: ListenerId(0), remote, octets });
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.node.poll() {
            count += 1;
            assert!(count <= OUTPUTS, "one input brings more than {OUTPUTS} outputs");
            match output {
                Output::Transmit { flow, octets } => {
                    self.oracle.sees(&octets);
                    self.seen.push_back((flow, octets.to_vec()));
                    if self.seen.len() > REMEMBERED {
                        self.seen.pop_front();
                    }
                    self.sent.push(octets.to_vec());
                }
                Output::Connect { id, .. } => drop(self.streams.insert(id, false)),
                Output::Disconnect { id } => drop(self.streams.remove(&id)),
                Output::Ask { id, question } => self.asked.push((id, question)),
                Output::Write { id, key, value } => {
                    assert!(self.written.is_none_or(|last| last < id), "the numbers of writes go down");
                    self.written = Some(id);
                    match value {
                        Some(value) => drop(self.store.insert(key, value)),
                        None => drop(self.store.remove(&key)),
                    }
                }
                Output::Tell { .. } | Output::Forward { .. } => unreachable!("there is one owner"),
                Output::Report(report) => {
                    let _ = (report.severity(), report.to_string());
                    self.oracle.reported(&report);
                }
                Output::Stopped => {
                    assert!(self.stopping, "it stops, and nobody said so");
                    self.stopping = false;
                }
            }
        }
    }

    /// Answers every question that is open, as the world would.
    pub(crate) fn answer_everything(&mut self) {
        while let Some((id, question)) = self.asked.pop() {
            let answer = match question {
                Question::Resolve(resolve) => {
                    let address = SocketAddr::from(([192, 0, 2, 40], 5060));
                    Answer::Places(vec![Place { transport: resolve.transport.unwrap_or(Transport::Udp), address }])
                }
                Question::WhoIs(who) => Answer::User(known(&who)),
            };
            self.handle(Input::Answer { id, answer });
        }
        if let Some(up_to) = self.written {
            self.handle(Input::Written { up_to });
        }
    }

    /// Lets time pass; every timeout is met at its moment.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut steps = 0_u32;
        while let Some((at, wake)) = self.node.next_timeout().filter(|(at, _)| *at <= end) {
            // As often as that nothing has to be done at one moment.
            steps = if at > self.now { 0 } else { steps + 1 };
            assert!(steps < 10_000, "it wants to be woken again and again: {wake:?}");
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    /// Answers what waits to be answered, NOTIFY requests with 200, and lets some seconds pass.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10 {
            self.answer_everything();
            while let Some((flow, octets)) = self.seen.pop_front() {
                let Ok(message) = Message::parse(&octets) else { continue };
                if message.is_request() && message.method() == Method::Notify {
                    let answer = script::response(&message, 200, "", b"");
                    self.arrives(flow, &answer);
                }
            }
            self.wait(Duration::from_secs(1));
        }
    }

    /// Octets arrive on a flow, as whatever it is.
    fn arrives(&mut self, flow: Flow, octets: &[u8]) {
        self.oracle.sends(self.now, octets, matches!(flow, Flow::Udp { .. }));
        match flow {
            Flow::Udp { listener, remote } => self.handle(Input::Datagram { listener, remote, octets }),
            Flow::Stream { id, .. } => self.handle(Input::StreamOctets { id, octets }),
            Flow::Internal => {}
        }
    }

    /// `kill -9`, and a start with what the store holds.
    fn crash(&mut self) {
        self.lives += 1;
        let records = self.store.clone().into_iter().collect();
        self.node = node(self.now, self.lives, records);
        self.written = None;
        self.asked.clear();
        self.streams.clear();
        self.stopping = false;
        self.oracle.forget();
        self.drain();
    }

    /// Nobody answers any more: within so many hours nothing may be left.
    pub(crate) fn finish(mut self, hours: u64) {
        let end = self.now + Duration::from_secs(hours * 3600);
        while self.now < end {
            self.answer_everything();
            for (id, _) in std::mem::take(&mut self.streams) {
                self.handle(Input::StreamClosed { id, why: Closed::ByPeer });
            }
            if self.node.is_idle() && self.asked.is_empty() {
                // Whoever of an earlier run could not be hung up is waited for a while longer.
                self.wait(Duration::from_secs(60));
                // A NOTIFY that failed may have been sent again meanwhile.
                if self.node.is_idle() {
                    break;
                }
            }
            self.wait(Duration::from_secs(600));
        }
        assert!(self.node.is_idle(), "not idle after {hours} h alone: {:?}", self.node.load());
        let left: Vec<_> = self.store.keys().filter(|key| key.starts_with(b"call/") || is_publication(key)).collect();
        assert!(left.is_empty(), "records of nothing are left: {:?}", String::from_utf8_lossy(left[0]));
        self.oracle.at_the_end();
    }
}

/// The publisher's records bear the name of a presence server.
fn is_publication(key: &[u8]) -> bool {
    key.starts_with(b"publication/") && (key.ends_with(b" far") || key.ends_with(b" stream"))
}

fn known(who: &Who) -> Known {
    let user = |name: &str| {
        let aor = Aor::parse(&format!("sip:{name}@fuzz.example")).expect("a URI");
        Known::User { aor, display_name: Some("A \"B\" <C>".to_owned()), publish: true }
    };
    match who {
        Who::Aor(aor) => Known::User { aor: aor.clone(), display_name: None, publish: true },
        Who::Number(number) if number.ends_with('1') => user("alice"),
        Who::Number(number) if number.ends_with('2') => user("bob"),
        Who::Number(number) if number.ends_with('3') => Known::Ambiguous(
            ["a", "b"].iter().filter_map(|name| Aor::parse(&format!("sip:{name}@fuzz.example"))).collect(),
        ),
        Who::Number(_) => Known::Nobody,
    }
}

/// The configuration, read once.
fn configuration() -> Arc<of_node::Configuration> {
    static READ: OnceLock<Arc<of_node::Configuration>> = OnceLock::new();
    let read = || {
        let surroundings = Surroundings {
            environment: [("SECRET".to_owned(), "secret".to_owned())].into(),
            ..Surroundings::default()
        };
        let read = Configuration::parse("fuzz.toml", CONFIGURATION, &surroundings);
        let mut told = read.map(|read| read.node()).unwrap_or_else(|faults| unreachable!("{faults}"));
        for server in &mut told.presence_servers {
            let password = "secret".to_owned();
            server.server.credentials = Some(Credentials { username: "sbc".to_owned(), password });
        }
        Arc::new(told)
    };
    Arc::clone(READ.get_or_init(read))
}

fn node(now: Instant, life: u64, records: Vec<(Vec<u8>, Vec<u8>)>) -> Node {
    let here = SocketAddr::from(([192, 0, 2, 1], 5060));
    let boot = Boot {
        owner: Owner(0),
        owners: 1,
        wall: Wall { at: now, unix_ms: 1_795_000_000_000 },
        seed: [u8::try_from(life % 256).unwrap_or(0); 32],
        shared_seed: [7; 32],
        listeners: vec![(ListenerId(0), here), (ListenerId(1), here)],
        records: records.into_iter().collect(),
    };
    Node::new(now, configuration(), boot)
}
