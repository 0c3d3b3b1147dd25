//! What must hold whatever arrives: one final answer for each request, one end for each call, PUBLISH in four shapes only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use call::event::CallKey;
use node::Report;
use wire::limits;
use wire::sip::{HeaderName, Message, Method, Unframeable};

/// How long a request that comes again surely meets its transaction.
const SAME: Duration = Duration::from_secs(30);

/// How long an INVITE surely does so that was acknowledged (Timer I, RFC 3261 section 17.2.1).
const ACKNOWLEDGED: Duration = Duration::from_secs(4);

/// Requests of the script, by branch and method.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The node began with records that somebody made up: what it says of the calls in them may be as wrong.
    is_told_lies: bool,
    requests: BTreeMap<(String, Vec<u8>), Request>,
    ended: BTreeSet<CallKey>,
}

#[derive(Debug)]
struct Request {
    octets: Vec<u8>,
    /// Until when it surely meets its transaction when it comes again.
    same_until: Instant,
    /// It was sent once more as another one, or so late that it may be taken for a new one: anything may answer.
    is_doubtful: bool,
    /// It is one that gets its answer at once, whatever anybody else does.
    is_due: bool,
    status: Option<u16>,
}

impl Oracle {
    pub(super) fn new(is_told_lies: bool) -> Self {
        Self { is_told_lies, ..Self::default() }
    }

    /// The script sends octets. On a stream they may be swallowed by what came before them, and nothing is due for them.
    pub(super) fn sends(&mut self, now: Instant, octets: &[u8], in_a_datagram: bool) {
        let Ok(message) = Message::parse(octets) else { return };
        let Some(line) = message.request() else { return };
        let branch = message.via().ok().and_then(|via| via.branch().map(str::to_owned));
        let Some(branch) = branch else { return };
        if message.method() == Method::Ack {
            if let Some(invite) = self.requests.get_mut(&(branch, b"INVITE".to_vec())) {
                invite.same_until = invite.same_until.min(now + ACKNOWLEDGED);
            }
            return;
        }
        let is_good = message.check().is_ok() && branch.starts_with("z9hG4bK");
        if !is_good {
            // Its answer names the method of its CSeq, whatever that is.
            let same = self.requests.iter_mut().filter(|((known, _), _)| *known == branch);
            same.for_each(|(_, request)| (request.is_doubtful, request.is_due) = (true, false));
        }
        let new = Request {
            octets: octets.to_vec(),
            same_until: now + SAME,
            is_doubtful: !is_good,
            is_due: is_good && in_a_datagram && matches!(message.method(), Method::Register | Method::Publish),
            status: None,
        };
        let name = (branch, line.token.to_owned());
        // Over a stream nothing is repeated, so a transaction is over with its answer (Timer J, RFC 3261 section 17.2.2).
        let is_new_again = !in_a_datagram && self.requests.contains_key(&name);
        let place = self.requests.entry(name).or_insert(new);
        if is_new_again || place.octets != octets || now > place.same_until || !is_good {
            place.is_doubtful = true;
            place.is_due = false;
        }
    }

    /// The node sends octets.
    pub(super) fn sees(&mut self, octets: &[u8]) {
        // A keep-alive; and an answer that echoes more than any datagram can carry, which goes nowhere.
        if octets == b"\r\n" || octets.len() > limits::MESSAGE {
            return;
        }
        let message = Message::parse(octets);
        // All Vias of a request are echoed, and what an answer must have besides is more than a message may have.
        if matches!(message, Err(Unframeable::TooManyHeaders)) {
            return;
        }
        assert!(message.is_ok(), "what it sends is no message: {}", String::from_utf8_lossy(octets));
        let Ok(message) = message else { return };
        match message.status() {
            Some(status) => self.answered(&message, status.code),
            None if self.is_told_lies => {}
            None => asks(&message, octets),
        }
    }

    fn answered(&mut self, message: &Message<'_>, code: u16) {
        let branch = message.via().ok().and_then(|via| via.branch().map(str::to_owned));
        let (Some(branch), Ok(cseq)) = (branch, message.cseq()) else { return };
        let Some(request) = self.requests.get_mut(&(branch, cseq.token.to_owned())) else { return };
        if code < 200 || request.is_doubtful {
            return;
        }
        let first = *request.status.get_or_insert(code);
        assert_eq!(first, code, "answered twice: {}", String::from_utf8_lossy(&request.octets));
    }

    pub(super) fn reported(&mut self, report: &Report) {
        if let Report::Call(call::Report::Ended { call, .. }) = report {
            assert!(self.ended.insert(*call), "call {} ends twice", call.0);
        }
    }

    /// The node has died: its successor knows of no answer.
    pub(super) fn forget(&mut self) {
        self.requests.clear();
        self.ended.clear();
    }

    /// Whoever asked what is answered at once has been answered.
    pub(super) fn at_the_end(&self) {
        for request in self.requests.values().filter(|request| request.is_due) {
            assert!(request.status.is_some(), "never answered: {}", String::from_utf8_lossy(&request.octets));
        }
    }
}

/// A request of the node's own is whole, and a PUBLISH has one of the four shapes of RFC 3903.
fn asks(message: &Message<'_>, octets: &[u8]) {
    let text = || String::from_utf8_lossy(octets);
    assert_eq!(message.check(), Ok(()), "its request is bad: {}", text());
    if message.method() != Method::Publish {
        return;
    }
    let tag = message.header(HeaderName::SipIfMatch).is_some();
    let expires = message.expires().ok().flatten();
    let is_shaped = match (tag, message.body().is_empty(), expires) {
        (false, false, Some(1..)) | (true, _, Some(1..)) | (true, true, Some(0)) => true,
        (_, _, _) => false,
    };
    assert!(is_shaped, "a PUBLISH of no known shape: {}", text());
}
