//! Somebody beside the nodes who publishes at their presence server (RFC 3903): an assistant who says by hand that a desk is
//! taken, and often forgets to take it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::transaction::{self, ClientKey, Transactions};
use sip::transport::{Flow, SentBy};
use sip::{Aor, ContactUser, KeyedState, Names, Owner, Random, Request};
use wire::pidf;
use wire::sip::{HeaderName, Message, Method};

/// How exactly a publication runs out.
const EXACTLY: Duration = Duration::from_secs(3);

/// The event publication agent.
#[derive(Debug)]
pub(crate) struct Press {
    pub(crate) desk: Aor,
    server: Flow,
    sent_by: SentBy,
    random: Random,
    names: Names,
    transactions: Transactions,
    outputs: VecDeque<Arc<[u8]>>,
    flight: Option<Flight>,
    held: Option<Held>,
    /// Until when something may live of which it does not know.
    doubtful_until: Option<Instant>,
    pub(crate) broken: Vec<String>,
}

#[derive(Debug)]
struct Flight {
    key: ClientKey,
    sent_at: Instant,
    expires: u64,
}

/// What lives at the presence server: at least until the one moment, and no longer than until the other.
#[derive(Debug)]
struct Held {
    tag: String,
    least: Instant,
    most: Instant,
}

impl Press {
    pub(crate) fn new(desk: Aor, server: Flow, sent_by: SentBy, mut random: Random, now: Instant) -> Self {
        let keyed = KeyedState::new(&mut random);
        let names = Names::new(Owner(0));
        Self {
            desk,
            server,
            sent_by,
            names,
            transactions: Transactions::new(transaction::Timers::default(), names, keyed, now),
            random,
            outputs: VecDeque::new(),
            flight: None,
            held: None,
            doubtful_until: None,
            broken: Vec::new(),
        }
    }

    /// Publishes, extends, or takes back; mostly the publication is left to run out.
    pub(crate) fn act(&mut self, now: Instant, share: u64) {
        if self.flight.is_some() {
            return;
        }
        let held = self.held.as_ref().filter(|held| held.least > now).map(|held| held.tag.clone());
        let expires = match (&held, share % 3) {
            (Some(_), 0) => 0,
            _ => 60 + share % 2 * 60,
        };
        let desk = self.desk.as_str();
        let mut request = Request::new(Method::Publish, desk);
        request.contact = Some(ContactUser::of("assistant"));
        let (tag, call_id) = (self.names.tag(&mut self.random), self.names.call_id(&mut self.random));
        let headers = &mut request.headers;
        headers.push_fmt(HeaderName::From, format_args!("<{desk}>;tag={tag}"));
        headers.push_fmt(HeaderName::To, format_args!("<{desk}>"));
        headers.push(HeaderName::CallId, call_id);
        headers.push(HeaderName::CSeq, "1 PUBLISH");
        headers.push(HeaderName::Event, "presence");
        headers.push_fmt(HeaderName::Expires, format_args!("{expires}"));
        match held {
            Some(tag) => drop(headers.push(HeaderName::SipIfMatch, tag)),
            None => {
                headers.push(HeaderName::ContentType, "application/pidf+xml");
                request.body = pidf::on_the_phone(pidf::Spelling::Rfc4480, desk, None, "desk").into();
            }
        }
        let key = self.transactions.reserve();
        self.flight = Some(Flight { key, sent_at: now, expires });
        let (flow, sent_by) = (self.server, self.sent_by.clone());
        let input = transaction::Input::Send { key, flow, sent_by: Some(&sent_by), request };
        self.transactions.handle(now, &mut self.random, input);
        self.drain(now, None);
    }

    pub(crate) fn received(&mut self, now: Instant, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        let (flow, sent_by) = (self.server, self.sent_by.clone());
        let input = transaction::Input::Received { flow, sent_by: Some(&sent_by), message: &message };
        self.transactions.handle(now, &mut self.random, input);
        self.drain(now, Some(&message));
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.transactions.handle(now, &mut self.random, transaction::Input::Timeout);
        self.drain(now, None);
    }

    pub(crate) fn poll(&mut self) -> Option<Arc<[u8]>> {
        self.outputs.pop_front()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.transactions.next_timeout()
    }

    /// What it holds may be gone, or live longer than it knows.
    pub(crate) fn doubt(&mut self, now: Instant) {
        let longest = now + Duration::from_secs(125);
        self.doubtful_until = Some(longest);
        self.held = None;
    }

    /// Whether the desk is taken; nothing where nobody can say.
    pub(crate) fn is_taken(&self, now: Instant) -> Option<bool> {
        if self.flight.is_some() || self.doubtful_until.is_some_and(|until| until > now) {
            return None;
        }
        match &self.held {
            None => Some(false),
            Some(held) if held.least > now + EXACTLY => Some(true),
            Some(held) if held.most + EXACTLY < now => Some(false),
            Some(_) => None,
        }
    }

    fn drain(&mut self, now: Instant, message: Option<&Message<'_>>) {
        while let Some(output) = self.transactions.poll() {
            match (output, message) {
                (transaction::Output::Transmit { octets, .. }, _) => self.outputs.push_back(octets),
                (transaction::Output::Response { key }, Some(message)) => self.answered(now, key, message),
                (transaction::Output::Failed { key, .. }, _) => self.failed(now, key),
                _ => {}
            }
        }
    }

    fn failed(&mut self, now: Instant, key: ClientKey) {
        if self.flight.take_if(|flight| flight.key == key).is_some() {
            self.doubt(now);
        }
    }

    fn answered(&mut self, now: Instant, key: ClientKey, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return };
        let Some(flight) = self.flight.take_if(|flight| flight.key == key) else { return };
        match code {
            200..300 if flight.expires == 0 => self.held = None,
            200..300 => {
                let granted = Duration::from_secs(message.expires().ok().flatten().unwrap_or(0).into());
                let tag = message.header(HeaderName::SipETag).map(|tag| String::from_utf8_lossy(tag).into_owned());
                let (least, most) = (flight.sent_at + granted, now + granted);
                self.held = tag.map(|tag| Held { tag, least, most });
            }
            412 => {
                // It may have run out while this one was on its way.
                let is_early = self.held.take().is_some_and(|held| held.least > now);
                if is_early && self.doubtful_until.is_none_or(|until| until <= now) {
                    self.broken.push("a publication that lives is not known any more (412)".to_owned());
                }
            }
            _ => {
                self.broken.push(format!("a PUBLISH was answered {code}"));
                self.doubt(now);
            }
        }
    }
}
