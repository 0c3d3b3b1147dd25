//! A world of one `Calls`: messages are made by hand, time is virtual, every output is seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use call::event::{CallEvent, Evidence, What};
use call::routing::{From, Route, To};
use call::{CallRequest, Calls, Input, Output, Settings, Source};
use sip::transaction::ServerKey;
use sip::transport::{Flow, ListenerId};
use sip::{KeyedState, Names, Owner, Random, Request, Response, Target};
use wire::sip::{Headers, Message, Method};

pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
pub(crate) const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 192.0.2.2\r\n";

/// A request of ours, as it left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) key: CallRequest,
    pub(crate) target: Target,
    pub(crate) request: Request,
}

/// Everything that followed from one input.
#[derive(Debug, Default)]
pub(crate) struct Followed(pub(crate) Vec<Output>);

pub(crate) struct World {
    pub(crate) calls: Calls,
    pub(crate) random: Random,
    pub(crate) now: Instant,
    transactions: u64,
}

/// The flow of a datagram from this port.
pub(crate) fn flow(port: u16) -> Flow {
    Flow::Udp { listener: ListenerId(0), remote: ([192, 0, 2, 1], port).into() }
}

/// The value of a header under construction.
pub(crate) fn header(headers: &Headers, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(headers.as_bytes()).into_owned();
    text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
}

fn message(start: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{start}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request of the caller: its tag is `alice`, its Call-ID `a`.
pub(crate) fn from_caller(method: &str, cseq: u32, to_tag: Option<&str>, extra: &[&str], body: &str) -> Vec<u8> {
    let to = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    let via = format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa{method}{cseq}");
    let to = format!("To: \"Bob\" <sip:200@sbc.example>{to}");
    let cseq = format!("CSeq: {cseq} {method}");
    let mut lines = vec![
        via.as_str(),
        "From: \"Alice\" <sip:100@inside.example>;tag=alice",
        to.as_str(),
        "Call-ID: a",
        cseq.as_str(),
        "Contact: <sip:100@192.0.2.1:5060>",
    ];
    lines.extend(extra);
    if !body.is_empty() && !extra.iter().any(|line| line.starts_with("Content-Type")) {
        lines.push("Content-Type: application/sdp");
    }
    message(&format!("{method} sip:200@sbc.example SIP/2.0"), &lines, body)
}

/// A request of the callee inside the dialog that our INVITE and this tag made.
pub(crate) fn from_callee(invite: &Request, tag: &str, method: &str, cseq: u32, extra: &[&str], body: &str) -> Vec<u8> {
    let via = format!("Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKb{method}{cseq}");
    let from = format!("From: {};tag={tag}", header(&invite.headers, "To").unwrap());
    let to = format!("To: {}", header(&invite.headers, "From").unwrap());
    let call_id = format!("Call-ID: {}", header(&invite.headers, "Call-ID").unwrap());
    let cseq = format!("CSeq: {cseq} {method}");
    let mut lines = vec![via.as_str(), from.as_str(), to.as_str(), call_id.as_str(), cseq.as_str()];
    lines.extend(extra);
    if !body.is_empty() {
        lines.push("Content-Type: application/sdp");
    }
    message(&format!("{method} sip:100@sbc.example SIP/2.0"), &lines, body)
}

/// A response to a request of ours.
pub(crate) fn response(to: &Request, code: u16, tag: &str, extra: &[&str], body: &str) -> Vec<u8> {
    let line = |name: &str| format!("{name}: {}", header(&to.headers, name).unwrap());
    let named = line("To");
    let named = if named.contains(";tag=") || tag.is_empty() { named } else { format!("{named};tag={tag}") };
    let (from, call_id, cseq) = (line("From"), line("Call-ID"), line("CSeq"));
    let mut lines = vec!["Via: SIP/2.0/UDP sbc.example;branch=z9hG4bKours", &from, &named, &call_id, &cseq];
    lines.extend(extra);
    if !body.is_empty() {
        lines.push("Content-Type: application/sdp");
    }
    message(&format!("SIP/2.0 {code} So"), &lines, body)
}

impl World {
    /// A world with these routes; `trunk` is a peer.
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut random = Random::from_number(7);
        let keyed = KeyedState::new(&mut random);
        let now = Instant::now();
        let peers = vec![(Arc::from("trunk"), "sip:trunk.example:5070".into())];
        let settings = Settings {
            domain: "sbc.example".into(),
            routes,
            peers,
            session: call::session::Settings::default(),
            beside: call::Beside::default(),
            legs: false,
        };
        Self { calls: Calls::new(settings, Names::new(Owner(3)), keyed, now), random, now, transactions: 0 }
    }

    /// A world in which every call goes to the trunk.
    pub(crate) fn to_trunk() -> Self {
        Self::new(vec![Route { from: From::Any, callee: None, to: To::Peer("trunk".into()) }])
    }

    /// A world in which every call goes to where the callee is registered.
    pub(crate) fn to_phones() -> Self {
        Self::new(vec![Route { from: From::Any, callee: None, to: To::Registered }])
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) -> Followed {
        self.calls.handle(self.now, &mut self.random, input);
        Followed(std::iter::from_fn(|| self.calls.poll()).collect())
    }

    pub(crate) fn request(&mut self, octets: &[u8]) -> (ServerKey, Followed) {
        self.transactions += 1;
        let key = ServerKey::from(self.transactions);
        let message = Message::parse(octets).unwrap();
        message.check().unwrap();
        let source = Source::Peer("pbx".into());
        (key, self.handle(Input::Request { key, flow: flow(5060), source, message: &message }))
    }

    pub(crate) fn ack(&mut self, octets: &[u8]) -> Followed {
        self.handle(Input::Ack { message: &Message::parse(octets).unwrap() })
    }

    pub(crate) fn respond(&mut self, sent: &Sent, code: u16, tag: &str, extra: &[&str], body: &str) -> Followed {
        let octets = response(&sent.request, code, tag, extra, body);
        let message = Message::parse(&octets).unwrap();
        message.check().unwrap();
        self.handle(Input::Response { key: sent.key, message: &message, flow: flow(5070) })
    }

    /// The callee answers with 200, a Contact and a body.
    pub(crate) fn accept(&mut self, sent: &Sent, tag: &str) -> Followed {
        self.respond(sent, 200, tag, &["Contact: <sip:200@192.0.2.2:5060>"], ANSWER)
    }

    pub(crate) fn later(&mut self, after: Duration) -> Followed {
        self.now += after;
        self.handle(Input::Timeout)
    }

    /// An INVITE with an offer towards the trunk: its transaction and our INVITE.
    pub(crate) fn ring(&mut self) -> (ServerKey, Sent) {
        let (key, followed) = self.request(&from_caller("INVITE", 1, None, &[], SDP));
        (key, followed.sent(Method::Invite))
    }

    /// An answered and acknowledged call.
    pub(crate) fn up(&mut self) -> Up {
        let (invite, sent) = self.ring();
        let followed = self.accept(&sent, "bob");
        let tag = followed.response(invite).to_tag.clone().unwrap();
        let saved = followed.saved();
        let acknowledged = self.ack(&from_caller("ACK", 1, Some(&tag), &[], ""));
        assert!(acknowledged.acknowledges(invite));
        Up { sent, tag: tag.into(), record: saved.unwrap() }
    }
}

/// An answered call: our INVITE to the callee, our tag towards the caller, the record.
pub(crate) struct Up {
    pub(crate) sent: Sent,
    pub(crate) tag: String,
    pub(crate) record: call::CallRecord,
}

impl Followed {
    pub(crate) fn all_sent(&self, method: Method) -> Vec<Sent> {
        let of = |output: &Output| match output {
            Output::Send { key, target, request } if request.method == method => {
                Some(Sent { key: *key, target: target.clone(), request: request.clone() })
            }
            _ => None,
        };
        self.0.iter().filter_map(of).collect()
    }

    /// The one request with this method.
    pub(crate) fn sent(&self, method: Method) -> Sent {
        let sent = self.all_sent(method);
        assert_eq!(sent.len(), 1, "one {method:?} in {:?}", self.0);
        sent.into_iter().next().unwrap()
    }

    pub(crate) fn responses(&self, to: ServerKey) -> Vec<&Response> {
        let of = |output| match output {
            &Output::Respond { key, ref response } if key == to => Some(response),
            _ => None,
        };
        self.0.iter().filter_map(of).collect()
    }

    /// The one response to this request.
    pub(crate) fn response(&self, to: ServerKey) -> &Response {
        let responses = self.responses(to);
        assert_eq!(responses.len(), 1, "one response in {:?}", self.0);
        responses[0]
    }

    pub(crate) fn acks(&self) -> Vec<(&Request, u64)> {
        let of = |output| match output {
            &Output::Ack { ref request, keep, .. } => Some((request, keep)),
            _ => None,
        };
        self.0.iter().filter_map(of).collect()
    }

    pub(crate) fn acks_again(&self) -> Vec<u64> {
        self.0
            .iter()
            .filter_map(|output| if let Output::AckAgain { keep } = output { Some(*keep) } else { None })
            .collect()
    }

    pub(crate) fn cancels(&self) -> Vec<CallRequest> {
        self.0.iter().filter_map(|output| if let Output::Cancel { key } = output { Some(*key) } else { None }).collect()
    }

    pub(crate) fn acknowledges(&self, invite: ServerKey) -> bool {
        self.0.iter().any(|output| matches!(output, Output::Acknowledged { key } if *key == invite))
    }

    pub(crate) fn events(&self) -> Vec<&CallEvent> {
        self.0.iter().filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None }).collect()
    }

    pub(crate) fn answers(&self) -> usize {
        self.events().iter().filter(|event| event.what == What::Answered).count()
    }

    /// How calls ended.
    pub(crate) fn ends(&self) -> Vec<Evidence> {
        let of = |event: &&CallEvent| if let What::Ended { evidence } = event.what { Some(evidence) } else { None };
        self.events().iter().filter_map(of).collect()
    }

    pub(crate) fn saved(&self) -> Option<call::CallRecord> {
        self.0
            .iter()
            .rev()
            .find_map(|output| if let Output::Save(record) = output { Some(record.clone()) } else { None })
    }

    pub(crate) fn forgets(&self, wanted: &str) -> bool {
        self.0.iter().any(|output| matches!(output, Output::Forget { id } if **id == *wanted))
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}
