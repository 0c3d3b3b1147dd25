//! A node, a clock that moves when told, and peers made of text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, Peer, Presence, PresenceServer, PresenceServerHere, User, Users};
use node::numbers::Plan;
use node::port::{AskId, Known, Place, Who};
use node::{Answer, Boot, Input, Machine, Node, Output, Question, Records, Wall};
use presence::server::authorization::{Action, Pattern, Rule};
use sip::transport::{Flow, ListenerId, StreamId, Transport};
use sip::{Aor, Owner};

pub(crate) const CALLER: &str = "192.0.2.10:5060";
pub(crate) const CALLEE: &str = "192.0.2.20:5060";
pub(crate) const SERVER: &str = "192.0.2.30:5060";
/// Second addresses of the two.
pub(crate) const CALLEE_TOO: &str = "192.0.2.21:5060";
pub(crate) const SERVER_TOO: &str = "192.0.2.31:5060";
const HERE: &str = "192.0.2.1:5060";

/// A message that left the node.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) to: &'static str,
    pub(crate) text: String,
    /// The stream that it went over.
    pub(crate) stream: Option<StreamId>,
    taken: bool,
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it has reported.
    pub(crate) reports: Vec<String>,
    /// Hosts whose addresses the node has asked for.
    pub(crate) asked: Vec<(AskId, String)>,
    /// Streams that it has asked for.
    pub(crate) connected: Vec<StreamId>,
    configuration: Arc<Configuration>,
    caller_to: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_callee_at(CALLEE)
    }

    /// Jane's side is at this host.
    pub(crate) fn with_callee_at(host: &str) -> Self {
        Self::with(host, SERVER, &[Transport::Udp])
    }

    /// Jane's side and the presence server are at these hosts, and we listen on these transports.
    pub(crate) fn with(host: &str, server_host: &str, transports: &[Transport]) -> Self {
        Self::built(host, server_host, transports, None, None)
    }

    /// The presence server is asked every 30 s whether it is there; requests go to it over this transport.
    pub(crate) fn asking(transport: Transport) -> Self {
        let server_host = format!("{SERVER};transport={}", transport.uri_param());
        Self::built(CALLEE, &server_host, &[Transport::Udp, transport], Some(Duration::from_secs(30)), None)
    }

    /// The presence server inside has busy lamps; Max is in John's pickup group. Kim and Lee may not watch Jane, by other names of
    /// hers, nor Jane John.
    pub(crate) fn with_lamps() -> Self {
        let pattern = |text| Pattern::parse(text).expect("a pattern");
        let (presentity, watcher) = (pattern("sip:john.doe@sfb.example"), pattern("sip:max@sfb.example"));
        let group = Rule { presentity, watcher, action: Action::Allow, details: true };
        let rule = |presentity: &'static str, watcher| {
            let (presentity, watcher) = (pattern(presentity), pattern(watcher));
            Rule { presentity, watcher, action: Action::Block, details: false }
        };
        let blocked = [
            rule("sip:1057@sfb.example", "sip:kim@sfb.example"),
            rule("sip:+49891234-57@sfb.example", "sip:lee@sfb.example"),
            rule("sip:john.doe@sfb.example", "sip:jane.roe@sfb.example"),
        ];
        let here = PresenceServerHere {
            domains: vec!["sfb.example".to_owned()],
            min_expires: 60,
            max_expires: 3600,
            notify_interval: Duration::ZERO,
            rules: Arc::new([group].into_iter().chain(blocked).collect()),
            packages: vec!["dialog".to_owned()],
            hard_states: Arc::default(),
            lists: Arc::default(),
            outlives: false,
        };
        let world = Self::new();
        let aor = |text| Aor::parse(text).expect("an address-of-record");
        let jane = User {
            aor: aor("sip:jane.roe@sfb.example"),
            aliases: vec![aor("sip:1057@sfb.example")],
            numbers: vec!["+49 89 1234-57".to_owned()],
            password: None,
        };
        let plan = Plan { extensions_of: Some("+49 89 1234".to_owned()), extension_digits: 2, ..Plan::default() };
        let users = Users::dialled(vec![jane], plan);
        let configuration = Configuration { presence_server_here: Some(here), users, ..(*world.configuration).clone() };
        Self::run(Arc::new(configuration))
    }

    /// Our listeners show this name in Via and Contact.
    pub(crate) fn advertising(name: &str) -> Self {
        Self::built(CALLEE, SERVER, &[Transport::Udp], None, Some(name))
    }

    fn built(
        host: &str,
        server_host: &str,
        transports: &[Transport],
        keepalive: Option<Duration>,
        advertise: Option<&str>,
    ) -> Self {
        let peer = |name: &str, address: &str| Peer {
            name: name.into(),
            uri: format!("sip:{address}").into(),
            addresses: address.parse::<SocketAddr>().map(|address| address.ip()).into_iter().collect(),
            certificate_names: Vec::new(),
            presence: Presence::Both,
            publisher: false,
            domains: None,
        };
        let server = presence::publisher::Server {
            spelling: presence::document::Spelling::Skype,
            ..presence::publisher::Server::new("skype")
        };
        let configuration = Arc::new(Configuration {
            domains: vec!["sfb.example".to_owned()],
            listeners: (0..)
                .zip(transports)
                .map(|(id, transport)| Listener {
                    id: ListenerId(id),
                    transport: *transport,
                    advertise: advertise.map(str::to_owned),
                    identity: None,
                })
                .collect(),
            peers: vec![peer("here", CALLER), peer("there", host)],
            routes: vec![call::routing::Route {
                from: call::routing::From::Any,
                callee: None,
                to: call::routing::To::Peer("there".into()),
            }],
            presence_servers: vec![PresenceServer {
                server,
                uri: Some(format!("sip:{server_host}").into()),
                local_name: None,
                shared_state: false,
                supersedes: keepalive.is_some(),
                keepalive,
                identity: None,
            }],
            ..Configuration::default()
        });
        Self::run(configuration)
    }

    fn run(configuration: Arc<Configuration>) -> Self {
        let now = Instant::now();
        let node = Node::new(now, Arc::clone(&configuration), boot(now, 1, Records::default()));
        let mut world = Self {
            node,
            now,
            seen: Vec::new(),
            store: BTreeMap::new(),
            reports: Vec::new(),
            asked: Vec::new(),
            connected: Vec::new(),
            configuration,
            caller_to: String::new(),
        };
        world.drain();
        world
    }

    /// Dies without a word, and starts again with what the store holds.
    pub(crate) fn crash(&mut self) {
        let records = self.store.clone().into_iter().collect();
        self.node = Node::new(self.now, Arc::clone(&self.configuration), boot(self.now, 2, records));
        self.drain();
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut replies = Vec::new();
        let mut written = None;
        while let Some(output) = self.node.poll() {
            match output {
                Output::Transmit { flow, octets } => {
                    let remote = flow.remote().expect("a remote").to_string();
                    let to = [CALLER, CALLEE, SERVER, CALLEE_TOO, SERVER_TOO]
                        .into_iter()
                        .find(|known| **known == remote)
                        .expect("a known peer");
                    let text = String::from_utf8(octets.to_vec()).expect("text");
                    let stream = match flow {
                        Flow::Stream { id, .. } => Some(id),
                        Flow::Udp { .. } | Flow::Internal => None,
                    };
                    self.seen.push(Seen { to, text, stream, taken: false });
                }
                Output::Ask { id, question: Question::WhoIs(who) } => replies.push((id, known(&who))),
                Output::Ask { id, question: Question::Resolve(resolve) } => self.asked.push((id, resolve.host)),
                Output::Connect { id, .. } => self.connected.push(id),
                Output::Report(report) => self.reports.push(report.to_string()),
                Output::Write { id, key, value } => {
                    match value {
                        Some(value) => drop(self.store.insert(key, value)),
                        None => drop(self.store.remove(&key)),
                    }
                    written = Some(id);
                }
                _ => {}
            }
        }
        for (id, known) in replies {
            self.handle(Input::Answer { id, answer: Answer::User(known) });
        }
        if let Some(up_to) = written {
            self.handle(Input::Written { up_to });
        }
    }

    pub(crate) fn receive(&mut self, from: &str, text: &str) {
        let input = Input::Datagram { listener: ListenerId(0), remote: from.parse().unwrap(), octets: text.as_bytes() };
        self.handle(input);
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.node.next_timeout().filter(|(at, _)| *at <= end) {
            self.now = at.max(self.now);
            self.handle(Input::Timeout);
            self.stay_alive();
        }
        self.now = end;
        self.handle(Input::Timeout);
        self.stay_alive();
    }

    /// Both sides say that they are still in the call when they are asked.
    fn stay_alive(&mut self) {
        for side in [CALLER, CALLEE] {
            for asked in self.take_from(side, "OPTIONS") {
                self.answer_as(side, &asked, "200 OK", "");
            }
        }
    }

    /// Messages with this first word that nobody has taken yet, without their retransmissions.
    pub(crate) fn take(&mut self, word: &str) -> Vec<String> {
        let mut taken: Vec<String> = Vec::new();
        for seen in self.seen.iter_mut().filter(|seen| !seen.taken && seen.text.starts_with(word)) {
            seen.taken = true;
            if !taken.contains(&seen.text) {
                taken.push(seen.text.clone());
            }
        }
        taken
    }

    pub(crate) fn take_from(&mut self, to: &str, word: &str) -> Vec<String> {
        let mut taken: Vec<String> = Vec::new();
        for seen in self.seen.iter_mut().filter(|seen| seen.to == to && !seen.taken && seen.text.starts_with(word)) {
            seen.taken = true;
            if !taken.contains(&seen.text) {
                taken.push(seen.text.clone());
            }
        }
        taken
    }

    /// The presence server answers.
    pub(crate) fn answer(&mut self, request: &str, status: &str, headers: &str) {
        self.answer_as(SERVER, request, status, headers);
    }

    pub(crate) fn answer_as(&mut self, who: &str, request: &str, status: &str, headers: &str) {
        let tag = if status.starts_with("100") { "" } else { ";tag=theirs" };
        let to = header(request, "To");
        let tag = if to.contains(";tag=") { "" } else { tag };
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            header(request, "Via"),
            header(request, "From"),
            header(request, "Call-ID"),
            header(request, "CSeq")
        );
        self.receive(who, &text);
    }

    fn caller_sends(&mut self, method: &str, cseq: u32, branch: &str, to_tag: &str) {
        self.caller_sends_with(method, cseq, branch, to_tag, "secret-call-id", "v=0\r\n");
    }

    fn caller_sends_with(&mut self, method: &str, cseq: u32, branch: &str, to_tag: &str, call_id: &str, body: &str) {
        let text = format!(
            "{method} sip:+4989123456@{HERE} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: \"John Doe\" <sip:john.doe@sfb.example>;tag=his\r\nTo: <sip:+4989123456@sfb.example>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:john@{CALLER}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.receive(CALLER, &text);
    }

    /// Another call of John's.
    pub(crate) fn invite_again(&mut self, number: u32) {
        self.invite_again_with_body(number, "v=0\r\n");
    }

    pub(crate) fn invite_again_with_body(&mut self, number: u32, body: &str) {
        self.caller_sends_with("INVITE", 1, &format!("i{number}"), "", &format!("call-{number}"), body);
    }

    pub(crate) fn invite_with_body(&mut self, body: &str) {
        self.caller_sends_with("INVITE", 1, "i", "", "secret-call-id", body);
    }

    pub(crate) fn invite(&mut self) {
        self.caller_sends("INVITE", 1, "i", "");
    }

    pub(crate) fn cancel(&mut self) {
        self.caller_sends("CANCEL", 1, "i", "");
    }

    /// John calls Jane, and she answers.
    pub(crate) fn call(&mut self) {
        self.invite();
        let invite = self.take_from(CALLEE, "INVITE").remove(0);
        self.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        self.answer_call(&invite);
    }

    /// Jane answers.
    pub(crate) fn answer_call(&mut self, invite: &str) {
        self.answer_as(CALLEE, invite, "200 OK", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        let ok = self.take_from(CALLER, "SIP/2.0 200").remove(0);
        self.caller_to = header(&ok, "To").split_once(';').map(|(_, tag)| format!(";{tag}")).expect("a tag");
        let to = self.caller_to.clone();
        self.caller_sends("ACK", 1, "a", &to);
        assert_eq!(self.take_from(CALLEE, "ACK").len(), 1);
    }

    /// John hangs up, and Jane's side confirms.
    pub(crate) fn hang_up(&mut self) {
        let to = self.caller_to.clone();
        self.caller_sends("BYE", 2, "b", &to);
        assert_eq!(self.take_from(CALLER, "SIP/2.0 200").len(), 1);
        let bye = self.take_from(CALLEE, "BYE").remove(0);
        self.answer_as(CALLEE, &bye, "200 OK", "");
    }
}

fn boot(now: Instant, seed: u8, records: Records) -> Boot {
    Boot {
        owner: Owner(0),
        owners: 1,
        wall: Wall { at: now, unix_ms: 1_795_000_000_000 },
        seed: [seed; 32],
        shared_seed: [9; 32],
        listeners: vec![(ListenerId(0), HERE.parse().unwrap()), (ListenerId(1), HERE.parse().unwrap())],
        records,
    }
}

/// John and Jane, by address and by number.
fn known(who: &Who) -> Known {
    let (aor, name) = match who {
        Who::Aor(aor) if aor.user() == "john.doe" => ("sip:john.doe@sfb.example", "John Doe"),
        Who::Aor(aor) if aor.user() == "+4989123456" => ("sip:jane.roe@sfb.example", "Jane Roe"),
        Who::Number(number) if number == "+4989123456" => ("sip:jane.roe@sfb.example", "Jane Roe"),
        _ => return Known::Nobody,
    };
    Known::User { aor: Aor::parse(aor).unwrap(), display_name: Some(name.to_owned()), publish: true }
}

/// The value of a header.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

/// An address over UDP.
pub(crate) fn place(address: &str) -> Place {
    Place { transport: Transport::Udp, address: address.parse().unwrap() }
}
