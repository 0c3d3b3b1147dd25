//! The world around the calls: user agents that speak in text, a network without delay, and a clock that is moved by hand.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use call::event::{CallEvent, CallKey, Evidence, What};
use call::registrar::{self, Binding, Registrar};
use call::routing::{From, Route, To};
use call::{Beside, CallRecord, CallRequest, Calls, Input, Output, Report, Settings, Source, session};
use sip::transaction::{self, ClientKey, Failure, Timers, Transactions};
use sip::transport::{Flow, ListenerId, SentBy, StreamId, Transport};
use sip::{Aor, KeyedState, Names, Owner, Random, Target};
use wire::sip::{Message, Method, Uri};

/// The caller: a peer.
pub(crate) const PBX: &str = "192.0.2.10:5060";
/// The callee: a peer.
pub(crate) const TRUNK: &str = "192.0.2.20:5060";
/// Two peers behind TLS; what the first one calls goes to the second, and where the number begins with `clear` to the trunk.
pub(crate) const VAULT: &str = "192.0.2.40:5061";
pub(crate) const SAFE: &str = "192.0.2.50:5061";
/// Two phones of one user.
pub(crate) const DESK: &str = "192.0.2.31:5060";
pub(crate) const MOBILE: &str = "192.0.2.32:5060";

pub(crate) const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub(crate) const ANSWER: &str =
    "v=0\r\no=- 2 2 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

/// One side's view of a dialog: enough to write requests inside it.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) me: &'static str,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) call_id: String,
    pub(crate) target: String,
    pub(crate) cseq: u32,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) calls: Calls,
    settings: Settings,
    transactions: Transactions,
    random: Random,
    clients: BTreeMap<ClientKey, CallRequest>,
    requests: BTreeMap<CallRequest, ClientKey>,
    acks: BTreeMap<u64, (Flow, Arc<[u8]>)>,
    unsendable: VecDeque<CallRequest>,
    /// What each address has received and not looked at.
    inboxes: BTreeMap<SocketAddr, VecDeque<String>>,
    pub(crate) registrar: Registrar,
    /// Addresses that cannot be reached: requests to them fail at once.
    pub(crate) cut: Vec<SocketAddr>,
    pub(crate) events: Vec<CallEvent>,
    pub(crate) records: BTreeMap<Box<str>, CallRecord>,
    pub(crate) reports: Vec<Report>,
    /// Everything that was sent, for who reads a failure.
    ladder: Vec<String>,
    branches: u32,
}

impl World {
    /// Calls of the PBX go to the trunk, calls of the trunk to whoever is registered.
    pub(crate) fn new() -> Self {
        let route = |from: &str, to: To| Route { from: From::Peer(from.into()), callee: None, to };
        let clear = Route { callee: Some("^clear".parse().unwrap()), ..route("vault", To::Peer("trunk".into())) };
        let routes = vec![
            route("pbx", To::Peer("trunk".into())),
            route("trunk", To::Registered),
            clear,
            route("vault", To::Peer("safe".into())),
        ];
        Self::with(routes, Instant::now())
    }

    /// The same with other lengths of sessions.
    pub(crate) fn with_sessions(session: session::Settings) -> Self {
        let mut world = Self::new();
        world.calls = Calls::new(
            Settings { session, ..world.settings.clone() },
            Names::new(Owner(0)),
            KeyedState::new(&mut world.random),
            world.now,
        );
        world
    }

    fn with(routes: Vec<Route>, now: Instant) -> Self {
        let mut random = Random::from_number(7);
        let keyed = KeyedState::new(&mut random);
        let names = Names::new(Owner(0));
        let peer = |name: &str, uri: String| (name.into(), uri.into());
        let peers = vec![
            peer("pbx", format!("sip:{PBX}")),
            peer("trunk", format!("sip:{TRUNK}")),
            peer("safe", format!("sip:{SAFE};transport=tls")),
        ];
        let session = session::Settings::default();
        let (beside, legs) = (Beside::default(), true);
        let settings = Settings { domain: "example.com".into(), routes, peers, session, beside, legs };
        Self {
            now,
            calls: Calls::new(settings.clone(), names, keyed, now),
            settings,
            transactions: Transactions::new(Timers::default(), names, keyed, now),
            registrar: Registrar::new(registrar::Settings::default(), keyed, now),
            random,
            clients: BTreeMap::new(),
            requests: BTreeMap::new(),
            acks: BTreeMap::new(),
            unsendable: VecDeque::new(),
            inboxes: BTreeMap::new(),
            cut: Vec::new(),
            events: Vec::new(),
            records: BTreeMap::new(),
            reports: Vec::new(),
            ladder: Vec::new(),
            branches: 0,
        }
    }

    /// The process dies and starts again: only what was saved is left.
    pub(crate) fn restart(&mut self) {
        let mut next = Self::with(Vec::new(), self.now);
        next.random = Random::from_number(8);
        for record in std::mem::take(&mut self.records).into_values() {
            next.records.insert(record.id.clone(), record.clone());
            next.calls.handle(next.now, &mut next.random, Input::Restore(Box::new(record)));
        }
        next.settle(None);
        *self = next;
    }

    /// Registers a phone of bob's.
    pub(crate) fn register(&mut self, phone: &'static str, more: &str) {
        let cseq = self.fresh();
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {phone};branch=z9hG4bKr{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: reg-{phone}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:bob@{phone}>\r\n{more}Content-Length: 0\r\n\r\n"
        );
        let response = self.registers(phone, &text);
        assert_eq!(response.code, 200, "{text}");
    }

    /// Hands a REGISTER of bob's to the registrar.
    pub(crate) fn registers(&mut self, phone: &str, text: &str) -> sip::Response {
        let message = Message::parse(text.as_bytes()).unwrap();
        message.check().unwrap();
        let user = Aor::parse("sip:bob@example.com").unwrap();
        let input = registrar::Input::Register { key: 1.into(), message: &message, flow: flow(phone), user };
        self.registrar.handle(self.now, input);
        let Some(registrar::Output::Respond { response, .. }) = self.registrar.poll() else { panic!("no answer") };
        response
    }

    /// A message of a user agent arrives.
    pub(crate) fn says(&mut self, from: &str, text: &str) {
        self.ladder.push(format!("{from} -> {}", first_line(text)));
        let message = Message::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text}"));
        message.check().unwrap_or_else(|fault| panic!("{fault}: {text}"));
        let input = transaction::Input::Received { flow: flow(from), sent_by: Some(&sent_by()), message: &message };
        self.transactions.handle(self.now, &mut self.random, input);
        self.settle(Some((flow(from), &message)));
    }

    /// Time passes, with everything that is due on the way.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.transactions.next_timeout().into_iter().chain(self.calls.next_timeout()).min();
            match next {
                Some(at) if at <= end => {
                    self.now = at.max(self.now);
                    self.transactions.handle(self.now, &mut self.random, transaction::Input::Timeout);
                    self.settle(None);
                    self.calls.handle(self.now, &mut self.random, Input::Timeout);
                    self.settle(None);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(crate) fn stop(&mut self) {
        self.calls.handle(self.now, &mut self.random, Input::Stop);
        self.settle(None);
    }

    /// The next message that an address has received; 100 Trying is passed over.
    pub(crate) fn hears(&mut self, at: &str) -> String {
        let inbox = self.inboxes.entry(at.parse().unwrap()).or_default();
        while let Some(text) = inbox.pop_front() {
            if !text.starts_with("SIP/2.0 100") {
                return text;
            }
        }
        panic!("{at} has heard nothing more\n{}", self.ladder.join("\n"));
    }

    /// The next message, if there is one and it begins so.
    pub(crate) fn heard(&mut self, at: &str, start: &str) -> Option<String> {
        let inbox = self.inboxes.entry(at.parse().unwrap()).or_default();
        inbox.pop_front_if(|text| text.starts_with(start))
    }

    /// The next message, which must begin so.
    pub(crate) fn expect(&mut self, at: &str, start: &str) -> String {
        let text = self.hears(at);
        let start = if start.starts_with(|c: char| c.is_ascii_digit()) {
            format!("SIP/2.0 {start}")
        } else {
            format!("{start} ")
        };
        assert!(text.starts_with(&start), "{at} expected {start} and heard\n{text}\n{}", self.ladder.join("\n"));
        text
    }

    /// Nothing has come that was not looked at.
    pub(crate) fn silence(&mut self, at: &str) {
        let inbox = self.inboxes.entry(at.parse().unwrap()).or_default();
        inbox.retain(|text| !text.starts_with("SIP/2.0 100"));
        let heard: Vec<_> = inbox.iter().map(|text| first_line(text)).collect();
        assert!(heard.is_empty(), "{at} has heard {heard:?}\n{}", self.ladder.join("\n"));
    }

    /// What has come is thrown away.
    pub(crate) fn forget(&mut self, at: &str) {
        self.inboxes.remove(&at.parse().unwrap());
    }

    /// A branch that was not used before.
    pub(crate) fn fresh(&mut self) -> u32 {
        self.branches += 1;
        self.branches
    }

    /// The events of the one call there was.
    pub(crate) fn answered(&self) -> usize {
        self.events.iter().filter(|event| event.what == What::Answered).count()
    }

    /// How the calls ended.
    pub(crate) fn ended(&self) -> Vec<Evidence> {
        let ended = |event: &CallEvent| if let What::Ended { evidence } = event.what { Some(evidence) } else { None };
        self.events.iter().filter_map(ended).collect()
    }

    /// After all has settled, nothing is left, and every call that was offered has ended exactly once.
    pub(crate) fn over(&mut self) {
        self.wait(Duration::from_secs(300));
        let mut counts: BTreeMap<CallKey, [usize; 3]> = BTreeMap::new();
        for event in &self.events {
            let count = counts.entry(event.call).or_default();
            match event.what {
                What::Offered { .. } => count[0] += 1,
                What::Answered => count[1] += 1,
                What::Ended { .. } => count[2] += 1,
                What::Leg(_) => {}
            }
        }
        for (call, [offered, answered, ended]) in counts {
            assert_eq!((offered, ended), (1, 1), "{call:?}");
            assert!(answered <= 1, "{call:?}");
        }
        assert!(self.records.is_empty(), "records are left: {:?}", self.records.keys());
        assert!(self.calls.is_empty(), "something of a call is left: {:?}\n{}", self.calls, self.ladder.join("\n"));
        assert_eq!(self.calls.next_timeout(), None, "a timer is left");
        assert!(self.acks.is_empty(), "ACKs are left: {:?}", self.acks.keys());
        assert!(self.transactions.is_empty(), "transactions are left");
    }

    fn settle(&mut self, mut arrived: Option<(Flow, &Message<'_>)>) {
        loop {
            let mut any = false;
            while let Some(output) = self.transactions.poll() {
                any = true;
                self.follow_transactions(output, arrived);
            }
            arrived = None;
            while let Some(output) = self.calls.poll() {
                any = true;
                self.follow_calls(output);
            }
            while let Some(key) = self.unsendable.pop_front() {
                any = true;
                self.calls.handle(self.now, &mut self.random, Input::Failed { key, cause: Failure::Transport });
            }
            if !any {
                return;
            }
        }
    }

    fn follow_transactions(&mut self, output: transaction::Output, arrived: Option<(Flow, &Message<'_>)>) {
        use transaction::Output as T;
        let (now, random) = (self.now, &mut self.random);
        match (output, arrived) {
            (T::Transmit { flow, octets }, _) => self.deliver(flow, &octets),
            (T::Request { key }, Some((flow, message))) => {
                let source = match flow.remote() {
                    Some(remote) if message.method() == Method::Invite && message.to_tag().is_none() => {
                        match remote.to_string().as_str() {
                            PBX => Source::Peer("pbx".into()),
                            TRUNK => Source::Peer("trunk".into()),
                            VAULT => Source::Peer("vault".into()),
                            _ => Source::User(Aor::parse("sip:bob@example.com").unwrap()),
                        }
                    }
                    _ => Source::Nobody,
                };
                self.calls.handle(now, random, Input::Request { key, flow, source, message });
            }
            (T::Ack, Some((_, message))) => self.calls.handle(now, random, Input::Ack { message }),
            (T::Cancelled { invite }, _) => self.calls.handle(now, random, Input::Cancelled { invite }),
            (T::Response { key }, Some((flow, message))) => {
                if let Some(key) = self.clients.get(&key).copied() {
                    self.calls.handle(now, random, Input::Response { key, message, flow });
                }
            }
            (T::Failed { key, cause }, _) => {
                if let Some(key) = self.clients.get(&key).copied() {
                    self.calls.handle(now, random, Input::Failed { key, cause });
                }
            }
            (T::AckMissing { key }, _) => self.calls.handle(now, random, Input::AckMissing { key }),
            (T::Over { key }, _) => {
                if let Some(call) = self.clients.remove(&key) {
                    self.requests.remove(&call);
                }
            }
            (T::StrayResponse, _) => {}
            (_, None) => panic!("a message that nobody handed in"),
        }
    }

    fn follow_calls(&mut self, output: Output) {
        let (now, random) = (self.now, &mut self.random);
        match output {
            Output::Send { key, target, request } => {
                let flow = way(&target);
                if flow.remote().is_some_and(|remote| self.cut.contains(&remote)) {
                    return self.unsendable.push_back(key);
                }
                let client = self.transactions.reserve();
                self.clients.insert(client, key);
                self.requests.insert(key, client);
                let input = transaction::Input::Send { key: client, flow, sent_by: Some(&sent_by()), request };
                self.transactions.handle(now, random, input);
            }
            Output::Cancel { key } => {
                if let Some(key) = self.requests.get(&key).copied() {
                    self.transactions.handle(now, random, transaction::Input::Cancel { key });
                }
            }
            Output::Respond { key, response } => {
                self.transactions.handle(now, random, transaction::Input::Respond { key, response });
            }
            Output::Acknowledged { key } => {
                self.transactions.handle(now, random, transaction::Input::Acknowledged { key });
            }
            Output::Ack { target, request, keep } => {
                let flow = way(&target);
                let octets = self.transactions.ack(random, &flow, Some(&sent_by()), &request);
                self.acks.insert(keep, (flow, Arc::clone(&octets)));
                self.deliver(flow, &octets);
            }
            Output::AckAgain { keep } => {
                let (flow, octets) = self.acks.get(&keep).cloned().expect("an ACK that is kept");
                self.deliver(flow, &octets);
            }
            Output::AckForget { keep } => assert!(self.acks.remove(&keep).is_some(), "an ACK that is kept"),
            Output::Locate { question, aor } => {
                let bindings: Vec<Binding> = self.registrar.bindings(now, &aor);
                self.calls.handle(now, random, Input::Located { question, bindings });
            }
            Output::Event(event) => self.events.push(event),
            Output::Save(record) => drop(self.records.insert(record.id.clone(), record)),
            Output::Forget { id } => drop(self.records.remove(&id)),
            Output::Report(report) => self.reports.push(report),
        }
    }

    fn deliver(&mut self, flow: Flow, octets: &[u8]) {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        let remote = flow.remote().unwrap();
        self.ladder.push(format!("          us -> {remote}: {}", first_line(&text)));
        Message::parse(octets).unwrap().check().unwrap_or_else(|fault| panic!("we sent a fault: {fault}\n{text}"));
        self.inboxes.entry(remote).or_default().push_back(text);
    }
}

/// What a user agent writes.
impl World {
    /// An INVITE that starts a call.
    pub(crate) fn invites(&mut self, me: &'static str, callee: &str, body: &str) -> String {
        self.invites_with(me, callee, "", body)
    }

    /// The same with headers of its own.
    pub(crate) fn invites_with(&mut self, me: &'static str, callee: &str, headers: &str, body: &str) -> String {
        let fresh = self.fresh();
        let text = format!(
            "INVITE {callee} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKi{fresh}\r\nMax-Forwards: 70\r\n\
             From: \"Alice\" <sip:alice@pbx.invalid>;tag=caller{fresh}\r\nTo: <{callee}>\r\nCall-ID: call{fresh}@pbx.invalid\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:alice@{me}>\r\n{headers}{}",
            end(body)
        );
        self.says(me, &text);
        text
    }

    /// A response to a request, with a tag in To where there is none and a Contact.
    pub(crate) fn responds(&mut self, me: &str, request: &str, status: &str, tag: &str, body: &str) {
        let contact = format!("Contact: <sip:callee@{me}>\r\n");
        self.responds_with(me, request, status, tag, &contact, body);
    }

    pub(crate) fn responds_with(
        &mut self,
        me: &str,
        request: &str,
        status: &str,
        tag: &str,
        headers: &str,
        body: &str,
    ) {
        let text = response(request, status, tag, headers, body);
        self.says(me, &text);
    }

    /// A request inside a dialog.
    pub(crate) fn asks(&mut self, talk: &mut Talk, method: &str, body: &str) -> String {
        talk.cseq += 1;
        let number = talk.cseq;
        self.asks_as(talk, method, number, "", body)
    }

    /// The same with a number and headers of its own: an ACK has that of its INVITE.
    pub(crate) fn asks_as(&mut self, talk: &Talk, method: &str, number: u32, headers: &str, body: &str) -> String {
        let (fresh, me) = (self.fresh(), talk.me);
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKd{fresh}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:moved@{me}>\r\n{headers}{}",
            talk.target,
            talk.local,
            talk.remote,
            talk.call_id,
            end(body)
        );
        self.says(me, &text);
        text
    }

    /// A CANCEL for an INVITE.
    pub(crate) fn cancels(&mut self, me: &str, invite: &str) {
        let lines = ["Via", "From", "To", "Call-ID"].map(|name| format!("{name}: {}\r\n", header(invite, name)));
        let uri = invite.split(' ').nth(1).unwrap();
        let number = header(invite, "CSeq").replace("INVITE", "CANCEL");
        let text = format!(
            "CANCEL {uri} SIP/2.0\r\n{}CSeq: {number}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            lines.concat()
        );
        self.says(me, &text);
    }

    /// A call from the PBX through us to the trunk that stands: both sides' view of it.
    pub(crate) fn call(&mut self) -> (Talk, Talk) {
        self.call_with("", "")
    }

    /// The same, with headers of the caller's in the INVITE and of the callee's in the 200.
    pub(crate) fn call_with(&mut self, callers: &str, callees: &str) -> (Talk, Talk) {
        let invite = self.invites_with(PBX, "sip:bob@example.com", callers, OFFER);
        let offered = self.expect(TRUNK, "INVITE");
        let callees = format!("Contact: <sip:callee@{TRUNK}>\r\n{callees}");
        self.responds_with(TRUNK, &offered, "200 OK", "callee", &callees, ANSWER);
        let answer = self.expect(PBX, "200");
        self.expect(TRUNK, "ACK");
        let caller = caller(PBX, &invite, &answer);
        let callee = callee(TRUNK, &offered, "callee");
        self.asks_as(&caller, "ACK", 1, "", "");
        self.silence(PBX);
        self.silence(TRUNK);
        (caller, callee)
    }

    /// One side hangs up, and the other one answers its BYE.
    pub(crate) fn hangs_up(&mut self, talk: &mut Talk, other: &str) {
        self.asks(talk, "BYE", "");
        self.expect(talk.me, "200");
        let bye = self.expect(other, "BYE");
        self.responds(other, &bye, "200 OK", "", "");
    }
}

/// The caller's view of the dialog that a response has made.
pub(crate) fn caller(me: &'static str, invite: &str, response: &str) -> Talk {
    Talk {
        me,
        local: header(invite, "From"),
        remote: header(response, "To"),
        call_id: header(invite, "Call-ID"),
        target: uri(&header(response, "Contact")),
        cseq: 1,
    }
}

/// The callee's view of the dialog that its response has made.
pub(crate) fn callee(me: &'static str, invite: &str, tag: &str) -> Talk {
    Talk {
        me,
        local: format!("{};tag={tag}", header(invite, "To")),
        remote: header(invite, "From"),
        call_id: header(invite, "Call-ID"),
        target: uri(&header(invite, "Contact")),
        cseq: 100,
    }
}

/// A response to a request.
pub(crate) fn response(request: &str, status: &str, tag: &str, headers: &str, body: &str) -> String {
    let to = header(request, "To");
    let to = if to.contains("tag=") || tag.is_empty() { to } else { format!("{to};tag={tag}") };
    let lines = ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(request, name)));
    format!("SIP/2.0 {status}\r\n{}To: {to}\r\n{headers}{}", lines.concat(), end(body))
}

/// The value of a header.
pub(crate) fn header(text: &str, name: &str) -> String {
    headers(text, name).into_iter().next().unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// The values of all headers with this name.
pub(crate) fn headers(text: &str, name: &str) -> Vec<String> {
    let head = text.split("\r\n\r\n").next().unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).collect()
}

/// The body.
pub(crate) fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

fn uri(contact: &str) -> String {
    contact.split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned()
}

fn end(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn first_line(text: &str) -> String {
    let cseq = headers(text, "CSeq").into_iter().next().unwrap_or_default();
    format!("{} [{cseq}]", text.lines().next().unwrap_or_default())
}

/// UDP; to port 5061 a stream of TLS.
fn flow(remote: &str) -> Flow {
    let remote: SocketAddr = remote.parse().unwrap();
    if remote.port() == 5061 {
        let id = StreamId::opened(Owner(0), u64::from(remote.ip().is_ipv4()));
        return Flow::Stream { id, transport: Transport::Tls, listener: ListenerId(0), remote };
    }
    Flow::Udp { listener: ListenerId(0), remote }
}

fn sent_by() -> SentBy {
    SentBy { transport: Transport::Udp, host_port: "192.0.2.1:5060".into(), alias: false }
}

/// The flow to a target: the one that stands, or that to the address in its URI.
fn way(target: &Target) -> Flow {
    target.flow.unwrap_or_else(|| {
        let uri = Uri::parse(target.uri.as_bytes()).unwrap();
        flow(&format!("{}:{}", uri.host_str(), uri.port().unwrap_or(5060)))
    })
}
