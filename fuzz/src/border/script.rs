//! The script: octets become what phones, peers, servers, strangers, ports and time do to a node.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use node::port::Place;
use node::{Answer, Closed, Input};
use sip::Owner;
use sip::Random;
use sip::digest::{Client, Credentials, Preference};
use sip::transport::{Flow, ListenerId, StreamId, Transport};
use wire::sip::{HeaderName, Message, Method};

use super::{Border, configuration};

/// Steps of one script at the most.
const STEPS: usize = 400;

/// Who may send: the peer, the presence server, two phones, a stranger, and over IPv6.
const SOURCES: [&str; 5] =
    [Border::PBX, "192.0.2.30:5060", "198.51.100.7:5060", "198.51.100.8:40000", "203.0.113.66:5060"];

const METHODS: [&str; 14] = [
    "INVITE",
    "REGISTER",
    "PUBLISH",
    "SUBSCRIBE",
    "OPTIONS",
    "BYE",
    "CANCEL",
    "ACK",
    "UPDATE",
    "INFO",
    "REFER",
    "NOTIFY",
    "MESSAGE",
    "PRACK",
];

const USERS: [&str; 6] = ["alice", "bob", "1001", "91234", "nobody", "81"];

const CODES: [u16; 26] = [
    100, 180, 183, 200, 202, 302, 400, 401, 403, 404, 407, 408, 412, 415, 422, 423, 480, 481, 486, 487, 489, 491, 500,
    503, 600, 603,
];

/// Headers that a message may bring besides.
const EXTRA: [&str; 24] = [
    "Expires: 600",
    "Expires: 0",
    "Expires: 1",
    "SIP-ETag: t1",
    "SIP-ETag: t2",
    "SIP-If-Match: t1",
    "Min-Expires: 900",
    "Retry-After: 5",
    "Event: presence",
    "Event: dialog",
    "Content-Type: application/pidf+xml",
    "Content-Type: application/sdp",
    "Session-Expires: 90;refresher=uac",
    "Session-Expires: 1800;refresher=uas",
    "Min-SE: 600",
    "Require: timer",
    "Supported: timer, 100rel",
    "Require: foo",
    "Record-Route: <sip:192.0.2.77;lr>",
    "Max-Forwards: 0",
    "WWW-Authenticate: Digest realm=\"far\", nonce=\"n\", qop=\"auth\"",
    "Subscription-State: terminated;reason=noresource",
    "Contact: *",
    "Contact: <sip:moved@192.0.2.50:5060>",
];

const PIDF: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@fuzz.example\"><tuple id=\"a\">\
                    <status><basic>open</basic></status></tuple></presence>";

/// Runs a script, then leaves the node alone and looks at what is left.
pub(crate) fn run(octets: &[u8]) {
    played(octets).finish(48);
}

/// What the store holds after a script.
pub(crate) fn after(octets: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    played(octets).store.into_iter().collect()
}

fn played(octets: &[u8]) -> Border {
    let mut border = Border::new();
    let mut script = Script { rest: octets };
    for _ in 0..STEPS {
        let Some(what) = script.octet() else { break };
        step(&mut border, &mut script, what);
    }
    border
}

fn step(border: &mut Border, script: &mut Script<'_>, what: u8) {
    match what {
        // As it stands, up to a length; the material of the torture tests is one datagram.
        b'A'..=b'Z' => whole(border, script, what),
        0..=24 => request(border, script),
        25..=39 => inside(border, script),
        91..=120 => reply(border, script),
        121..=128 => border.answer_everything(),
        129..=134 => odd_answer(border, script),
        135..=150 => wait(border, script),
        151..=165 => stream(border, script),
        166 => border.crash(),
        167 => {
            border.stopping = true;
            border.handle(Input::Stop);
        }
        168 => border.handle(Input::Configure(configuration())),
        169..=180 => again(border, script),
        _ => border.settle_a_moment(),
    }
}

impl Border {
    fn settle_a_moment(&mut self) {
        self.answer_everything();
        self.wait(Duration::from_millis(100));
    }
}

/// The octets of a script, taken one after the other.
struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next octet, or 0 where the script has ended.
    fn number(&mut self) -> usize {
        self.octet().map_or(0, usize::from)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let place = self.number().checked_rem(all.len())?;
        all.get(place).copied()
    }

    fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Changes a few octets of a message, where the script wants it.
    fn mutate(&mut self, octets: &mut Vec<u8>) {
        let changes = self.number();
        if changes < 200 {
            return;
        }
        for _ in 0..changes - 199 {
            let (Some(high), Some(low), Some(with)) = (self.octet(), self.octet(), self.octet()) else { return };
            let place = usize::from(u16::from_be_bytes([high, low]));
            let Some(place) = place.checked_rem(octets.len()) else { return };
            match with % 4 {
                0 => drop(octets.remove(place)),
                1 => octets.insert(place, with),
                2 => {
                    let end = (place + usize::from(with)).min(octets.len());
                    let twice = octets.get(place..end).unwrap_or_default().to_vec();
                    octets.splice(place..place, twice);
                }
                _ => octets.iter_mut().skip(place).take(1).for_each(|octet| *octet = with),
            }
        }
    }
}

/// A message as it stands in the script: to its end, or to a length where the letter is none that begins a request.
fn whole(border: &mut Border, script: &mut Script<'_>, first: u8) {
    let length = if first == b'Z' { script.number() * 8 } else { usize::MAX };
    let source = if first == b'Z' { script.pick(&SOURCES) } else { Some(Border::PBX) };
    let mut octets = if first == b'Z' { Vec::new() } else { vec![first] };
    octets.extend_from_slice(script.octets(length));
    border.datagram(source.unwrap_or(Border::PBX), &octets);
}

/// A request outside of what the node has sent.
fn request(border: &mut Border, script: &mut Script<'_>) {
    let method = script.pick(&METHODS).unwrap_or("INVITE");
    let source = script.pick(&SOURCES).unwrap_or(Border::PBX);
    let (from, to) = (script.pick(&USERS).unwrap_or("alice"), script.pick(&USERS).unwrap_or("bob"));
    let (dialog, number, flags) = (script.number() % 8, script.number() % 4 + 1, script.number());
    let mut text = format!(
        "{method} sip:{to}@fuzz.example SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{dialog}-{number}{}\r\n\
         From: <sip:{from}@fuzz.example>;tag=f{dialog}\r\nTo: <sip:{to}@fuzz.example>{}\r\nCall-ID: c{dialog}\r\n\
         CSeq: {number} {method}\r\n",
        if flags & 1 == 0 { "" } else { ";rport" },
        if flags & 2 == 0 { "" } else { ";tag=mine" },
    );
    if flags & 4 == 0 {
        let _ = write!(text, "Contact: <sip:{from}@{source}>\r\n");
    }
    if flags & 8 != 0 {
        proof(border, &mut text, method, &format!("sip:{to}@fuzz.example"), from);
    }
    let body = extra(script, &mut text, flags >> 4 & 3);
    let mut octets = finished(text, body);
    script.mutate(&mut octets);
    border.datagram(source, &octets);
}

/// Credentials for the newest challenge that the node has sent.
fn proof(border: &Border, text: &mut String, method: &str, uri: &str, user: &str) {
    let credentials = Credentials { username: user.to_owned(), password: "secret".to_owned() };
    let mut client = Client::new(credentials, Preference::Strongest);
    for (_, octets) in border.seen.iter().rev() {
        let Ok(message) = Message::parse(octets) else { continue };
        if message.status().is_some_and(|status| matches!(status.code, 401 | 407)) {
            client.challenged(&message);
            break;
        }
    }
    for (name, value) in client.authorize(&mut Random::from_number(5), method, uri) {
        let _ = write!(text, "{}: {value}\r\n", name.as_str());
    }
}

/// Headers besides, and the body.
fn extra(script: &mut Script<'_>, text: &mut String, kind: usize) -> &'static str {
    for _ in 0..script.number() % 5 {
        let _ = write!(text, "{}\r\n", script.pick(&EXTRA).unwrap_or_default());
    }
    let (kind, body) = match kind {
        0 => return "",
        1 => ("application/sdp", "v=0\r\n"),
        2 => ("application/pidf+xml", PIDF),
        _ => return PIDF,
    };
    let _ = write!(text, "Content-Type: {kind}\r\n");
    body
}

fn finished(mut text: String, body: &str) -> Vec<u8> {
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

/// A request inside a dialog that a message of the node has begun, or its ACK.
fn inside(border: &mut Border, script: &mut Script<'_>) {
    let Some((flow, octets)) = remembered(border, script) else { return };
    let Ok(message) = Message::parse(&octets) else { return };
    let method = script.pick(&METHODS).unwrap_or("BYE");
    let (number, flags) = (script.number(), script.number());
    let value = |name| String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned();
    let (from, to) = match message.is_request() {
        // Of a request of the node we are the other side, with the tag of our answers.
        true => (format!("{};tag=ours{}", value(HeaderName::To), number % 2), value(HeaderName::From)),
        false => (value(HeaderName::From), value(HeaderName::To)),
    };
    let target = message.contact().and_then(Result::ok).and_then(|contact| match contact {
        wire::sip::Contact::Address(address) => Some(address.uri.as_str().to_owned()),
        wire::sip::Contact::Star => None,
    });
    let cseq = message.cseq().map_or(1, |cseq| cseq.number);
    let number = if method == "ACK" { u64::from(cseq) } else { u64::from(cseq) + number as u64 % 5 };
    let via = if flow.transport() == Transport::Udp { "UDP" } else { "TCP" };
    let remote = flow.remote().map(|remote| remote.to_string()).unwrap_or_default();
    let mut text = format!(
        "{method} {} SIP/2.0\r\nVia: SIP/2.0/{via} {remote};branch=z9hG4bKi{number}{method}{}\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:ours@{remote}>\r\n",
        target.unwrap_or_else(|| "sip:192.0.2.1:5060".to_owned()),
        flags % 8,
        value(HeaderName::CallId),
    );
    let body = extra(script, &mut text, flags >> 4 & 3);
    let mut octets = finished(text, body);
    script.mutate(&mut octets);
    border.arrives(flow, &octets);
}

/// An answer to one of the newest requests of the node.
fn reply(border: &mut Border, script: &mut Script<'_>) {
    let Some((flow, octets)) = remembered(border, script) else { return };
    let Ok(message) = Message::parse(&octets) else { return };
    if !message.is_request() || message.method() == Method::Ack {
        return;
    }
    let code = script.pick(&CODES).unwrap_or(200);
    let flags = script.number();
    let mut headers = String::new();
    if flags & 1 == 0 {
        let _ =
            write!(headers, "Contact: <sip:ours@{}>\r\n", flow.remote().map(|to| to.to_string()).unwrap_or_default());
    }
    if message.method() == Method::Publish && flags & 2 == 0 {
        let _ = write!(headers, "SIP-ETag: e{flags}\r\nExpires: 600\r\n");
    }
    let body = extra(script, &mut headers, flags >> 4 & 3);
    let mut answer = response(&message, code, &headers, body.as_bytes());
    script.mutate(&mut answer);
    border.arrives(flow, &answer);
}

/// A response to a request of the node.
pub(super) fn response(request: &Message<'_>, code: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {code} So\r\n");
    for header in request.headers() {
        let value = String::from_utf8_lossy(header.value);
        match header.name {
            HeaderName::To if request.to_tag().is_none() && code > 100 => {
                let _ = write!(text, "To: {value};tag=ours{}\r\n", code % 2);
            }
            HeaderName::Via | HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq => {
                let _ = write!(text, "{}: {value}\r\n", header.name.as_str());
            }
            _ => {}
        }
    }
    let _ = write!(text, "{headers}Content-Length: {}\r\n\r\n", body.len());
    [text.as_bytes(), body].concat()
}

fn remembered(border: &Border, script: &mut Script<'_>) -> Option<(Flow, Vec<u8>)> {
    let place = script.number().checked_rem(border.seen.len())?;
    // The newest is the one that is mostly meant.
    border.seen.iter().rev().nth(place).cloned()
}

/// What the node sent comes back to it, as it is.
fn again(border: &mut Border, script: &mut Script<'_>) {
    let Some((flow, mut octets)) = remembered(border, script) else { return };
    script.mutate(&mut octets);
    border.arrives(flow, &octets);
}

/// An answer to a question: none, several, wrong, or to one that nobody asked.
fn odd_answer(border: &mut Border, script: &mut Script<'_>) {
    let number = script.number();
    let id = match border.asked.len() {
        0 => node::AskId(number as u64),
        open => border.asked.remove(number % open).0,
    };
    let place = |last: u8, transport| Place { transport, address: ([192, 0, 2, last], 5060).into() };
    let answer = match script.number() % 5 {
        0 => Answer::Failed("no such name".to_owned()),
        1 => Answer::Places(Vec::new()),
        2 => Answer::Places((0..40).map(|last| place(last, Transport::Tcp)).collect()),
        3 => Answer::Places(vec![place(40, Transport::Udp), place(41, Transport::Tls), place(42, Transport::Tcp)]),
        _ => Answer::User(super::Known::Nobody),
    };
    border.handle(Input::Answer { id, answer });
}

fn wait(border: &mut Border, script: &mut Script<'_>) {
    let length = script.number() as u64;
    match length {
        0..=99 => border.wait(Duration::from_millis(length * 20)),
        100..=199 => border.wait(Duration::from_secs(length - 99)),
        // A clock that goes back, and a timeout that comes early.
        200..=209 => {
            border.now -= Duration::from_millis(length);
            border.handle(Input::Timeout);
            border.now += Duration::from_millis(length);
        }
        _ => border.wait(Duration::from_secs((length - 209) * 30)),
    }
}

fn stream(border: &mut Border, script: &mut Script<'_>) {
    let choice = script.number();
    let place = (choice >> 3).checked_rem(border.streams.len()).unwrap_or(0);
    let known = border.streams.iter().nth(place).map(|(id, is_open)| (*id, *is_open));
    match (choice & 7, known) {
        (0, _) if border.streams.len() < 50 => {
            border.accepted += 1;
            let id = StreamId::accepted(Owner(0), border.accepted);
            let remote = script.pick(&SOURCES).and_then(|source| source.parse().ok());
            let Some(remote) = remote else { return };
            border.streams.insert(id, true);
            let (listener, transport) = (ListenerId(1), Transport::Tcp);
            border.handle(Input::StreamOpened { id, listener, transport, remote, peer_names: Vec::new() });
        }
        (1, Some((id, false))) => {
            border.streams.insert(id, true);
            let remote = ([192, 0, 2, 31], 5060).into();
            let (listener, transport) = (ListenerId(1), Transport::Tcp);
            let peer_names = vec!["far.example".to_owned()];
            border.handle(Input::StreamOpened { id, listener, transport, remote, peer_names });
        }
        (2, Some((id, _))) => {
            border.streams.remove(&id);
            border.handle(Input::StreamClosed { id, why: Closed::ByPeer });
        }
        (3, Some((id, false))) => {
            border.streams.remove(&id);
            border.handle(Input::StreamClosed { id, why: Closed::Refused("refused".to_owned()) });
        }
        (4, Some((id, true))) => {
            let count = script.number();
            let octets = script.octets(count).to_vec();
            border.handle(Input::StreamOctets { id, octets: &octets });
        }
        (_, Some((id, true))) => {
            // A whole request, in two pieces.
            let mut text = "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKo\r\nFrom: <sip:a@b>;tag=1\r\n\
                            To: <sip:192.0.2.1>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n"
                .to_owned();
            let body = extra(script, &mut text, choice >> 4 & 3);
            let mut octets = finished(text, body);
            script.mutate(&mut octets);
            let (one, other) = octets.split_at(script.number().min(octets.len()));
            border.handle(Input::StreamOctets { id, octets: one });
            border.handle(Input::StreamOctets { id, octets: other });
        }
        _ => border.handle(Input::Forwarded {
            flow: Flow::Udp { listener: ListenerId(0), remote: ([192, 0, 2, 9], 5060).into() },
            peer_names: Arc::from([]),
            octets: script.octets(choice),
        }),
    }
}
