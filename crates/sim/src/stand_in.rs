//! A presence server to publish to: a model of RFC 3903 of its own, so that it shares no mistake with ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wire::sip::{HeaderName, Message, Method};

/// One publication it holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) tag: String,
    pub(crate) until: Instant,
}

/// The presence server.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    number: usize,
    held: BTreeMap<String, Vec<Held>>,
    /// What it grants at most.
    grants: u64,
    tags: u64,
    /// Answers it has given, by branch, to be idempotent under retransmission.
    answers: BTreeMap<String, Vec<u8>>,
    /// Broken rules that only it can see.
    pub(crate) broken: Vec<String>,
    /// Tags whose 200 has reached the node.
    pub(crate) delivered: BTreeSet<String>,
    /// Those of them that came when the node had given up waiting.
    pub(crate) late: BTreeSet<String>,
}

impl StandIn {
    /// The server with this number; it grants at most so many seconds.
    pub(crate) fn new(number: usize, grants: u64) -> Self {
        Self { number, grants, ..Self::default() }
    }

    /// The longest that it takes until a publication is refreshed.
    pub(crate) fn refreshed_within(&self) -> Duration {
        Duration::from_secs(self.grants.min(600)) * 85 / 100
    }

    /// Forgets everything, as a restart does.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// What lives for a user.
    pub(crate) fn live(&self, user: &str, now: Instant) -> Vec<&Held> {
        self.held.get(user).into_iter().flatten().filter(|held| held.until > now).collect()
    }

    /// How many publications live.
    pub(crate) fn alive(&self, now: Instant) -> usize {
        self.held.values().flatten().filter(|held| held.until > now).count()
    }

    /// When the next publication runs out.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.held.values().flatten().map(|held| held.until).min()
    }

    /// Lets go of what has run out, and says what that was.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(String, Held)> {
        let mut over = Vec::new();
        for (user, held) in &mut self.held {
            over.extend(held.iter().filter(|held| held.until <= now).map(|held| (user.clone(), held.clone())));
            held.retain(|held| held.until > now);
        }
        over
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, now: Instant, octets: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(octets).ok()?;
        if let Err(fault) = message.check() {
            self.broken.push(format!("a PUBLISH with a fault: {fault}"));
            return None;
        }
        let branch = message.via().ok()?.branch()?.to_owned();
        if let Some(answer) = self.answers.get(&branch) {
            return Some(answer.clone());
        }
        if message.method() == Method::Options {
            return respond(&message, "200 OK", "");
        }
        let user = message.to().ok()?.uri.as_str().to_owned();
        let expires = message.expires().ok()??;
        let if_match = message.header(HeaderName::SipIfMatch).map(|tag| String::from_utf8_lossy(tag).into_owned());
        match (&if_match, message.body().is_empty(), expires) {
            (None, true, _) => self.broken.push(format!("a PUBLISH of {user} with neither tag nor body")),
            (None, false, 0) => self.broken.push(format!("an initial PUBLISH of {user} that expires at once")),
            (Some(_), false, 0) => self.broken.push(format!("a removal of {user} with a body")),
            _ => {}
        }
        let held = self.held.entry(user).or_default();
        held.retain(|held| held.until > now);
        let place = if_match.as_ref().map(|tag| held.iter().position(|held| held.tag == *tag));
        let granted = u64::from(expires).min(self.grants);
        let (status, extra) = match place {
            Some(None) => ("412 Conditional Request Failed", String::new()),
            Some(Some(place)) if expires == 0 => {
                held.remove(place);
                ("200 OK", "Expires: 0\r\n".to_owned())
            }
            found => {
                self.tags += 1;
                // No tag is part of another, of whatever server.
                let tag = format!("tag-{}-{:06}", self.number, self.tags);
                let new = Held { tag: tag.clone(), until: now + Duration::from_secs(granted) };
                match found.flatten() {
                    Some(place) => drop(held.get_mut(place).map(|held| *held = new)),
                    None => held.push(new),
                }
                ("200 OK", format!("SIP-ETag: {tag}\r\nExpires: {granted}\r\n"))
            }
        };
        let answer = respond(&message, status, &extra)?;
        self.answers.insert(branch, answer.clone());
        Some(answer)
    }

    /// Refuses a request for now, each with one of four answers in turn; one that was answered before gets that answer again.
    pub(crate) fn refuse(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(octets).ok()?;
        let branch = message.via().ok()?.branch()?.to_owned();
        if let Some(answer) = self.answers.get(&branch) {
            return Some(answer.clone());
        }
        let turns = [
            ("500 Server Internal Error", ""),
            ("503 Service Unavailable", "Retry-After: 15\r\n"),
            ("408 Request Timeout", ""),
            ("503 Service Unavailable", ""),
        ];
        let (status, extra) = turns.get(self.answers.len() % turns.len()).copied()?;
        let answer = respond(&message, status, extra)?;
        self.answers.insert(branch, answer.clone());
        Some(answer)
    }

    /// A 200 has reached the node: from now on it can take that publication back.
    pub(crate) fn was_delivered(&mut self, octets: &[u8], is_late: bool) {
        let tag =
            Message::parse(octets).ok().and_then(|message| message.header(HeaderName::SipETag).map(<[u8]>::to_vec));
        let tag = tag.and_then(|tag| String::from_utf8(tag).ok());
        self.late.extend(tag.clone().filter(|_| is_late));
        self.delivered.extend(tag);
    }
}

fn respond(request: &Message<'_>, status: &str, extra: &str) -> Option<Vec<u8>> {
    let value = |name| request.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let text = format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=server\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}Content-Length: 0\r\n\r\n",
        value(HeaderName::Via)?,
        value(HeaderName::From)?,
        value(HeaderName::To)?,
        value(HeaderName::CallId)?,
        value(HeaderName::CSeq)?
    );
    Some(text.into_bytes())
}
