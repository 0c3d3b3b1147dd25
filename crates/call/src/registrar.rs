//! The registrar: which contacts an address-of-record is reached at (RFC 3261 section 10.3).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::timer::{TimerKey, Wheel};
use sip::transaction::ServerKey;
use sip::transport::Flow;
use sip::{Aor, KeyedMap, KeyedState, Response};
use wire::sip::{Contact, Fault, HeaderName, Message, NameAddr};

use crate::limits;

/// How phones register.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shortest time that is granted; less is answered 423.
    pub min_expires: Duration,
    /// The longest time that is granted.
    pub max_expires: Duration,
    /// The time that is granted where none is asked for.
    pub default_expires: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(3600),
            default_expires: Duration::from_secs(3600),
        }
    }
}

/// One contact of an address-of-record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Contact URI.
    pub contact: Box<str>,
    /// The flow it was registered on: the way to a phone behind a NAT.
    pub flow: Flow,
    /// When it ends.
    pub expires_at: Instant,
    /// Its preference in thousandths.
    pub q: u16,
    /// The proxies on the way to it (RFC 3327).
    pub path: Vec<Box<str>>,
    call_id: Box<str>,
    cseq: u32,
    timer: TimerKey,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A REGISTER of an authenticated user.
    Register {
        /// Its transaction.
        key: ServerKey,
        /// The request, checked.
        message: &'a Message<'a>,
        /// How it came.
        flow: Flow,
        /// Whose bindings it is about.
        user: Aor,
    },
    /// The time of [`Registrar::next_timeout`] has come. Harmless when early.
    Timeout,
}

/// One thing that follows.
#[derive(Debug)]
pub enum Output {
    /// Answer a REGISTER.
    Respond {
        /// Its transaction.
        key: ServerKey,
        /// The answer.
        response: Response,
    },
}

/// All bindings of one node.
#[derive(Debug)]
pub struct Registrar {
    settings: Settings,
    bindings: KeyedMap<Aor, Vec<Binding>>,
    wheel: Wheel<Aor>,
    outputs: VecDeque<Output>,
}

/// What one Contact asks for.
struct Wish<'a> {
    address: NameAddr<'a>,
    expires: Duration,
}

impl Registrar {
    /// Nobody is registered.
    #[must_use]
    pub fn new(settings: Settings, keyed: KeyedState, now: Instant) -> Self {
        Self { settings, bindings: KeyedMap::with_hasher(keyed), wheel: Wheel::new(now), outputs: VecDeque::new() }
    }

    /// From now on these are the settings; bindings of users of whom `stays` says no are gone.
    pub fn configure(&mut self, settings: Settings, stays: impl Fn(&Aor) -> bool) {
        self.settings = settings;
        let wheel = &mut self.wheel;
        self.bindings.retain(|user, bindings| {
            let stays = stays(user);
            if !stays {
                bindings.iter().for_each(|binding| drop(wheel.cancel(binding.timer)));
            }
            stays
        });
    }

    /// One thing happened; drain [`Registrar::poll`] after it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Register { key, message, flow, user } => {
                let response = match self.register(now, message, flow, &user) {
                    Ok(response) => response,
                    Err(response) => *response,
                };
                self.outputs.push_back(Output::Respond { key, response });
            }
            Input::Timeout => {
                while let Some(user) = self.wheel.expire(now) {
                    self.expire(now, &user);
                }
            }
        }
    }

    /// What follows; drained to `None` after each input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// The bindings of an address-of-record, best first.
    #[must_use]
    pub fn bindings(&self, now: Instant, user: &Aor) -> Vec<Binding> {
        let live = |binding: &&Binding| binding.expires_at > now;
        let mut bindings: Vec<Binding> = self.bindings.get(user).into_iter().flatten().filter(live).cloned().collect();
        bindings.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        bindings
    }

    fn expire(&mut self, now: Instant, user: &Aor) {
        let Some(bindings) = self.bindings.get_mut(user) else { return };
        bindings.retain(|binding| binding.expires_at > now);
        if bindings.is_empty() {
            self.bindings.remove(user);
        }
    }

    fn register(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
        user: &Aor,
    ) -> Result<Response, Box<Response>> {
        let fault = |fault: Fault| refusal(fault.status, Some(fault.reason));
        self.expire(now, user);
        let (call_id, cseq) = (message.call_id().map_err(fault)?, message.cseq().map_err(fault)?.number);
        let held = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        // A request that was overtaken by a later one of the same phone must not undo it.
        let overtaken = |binding: &Binding| &*binding.call_id == call_id && binding.cseq >= cseq;
        let mut wishes = Vec::new();
        let mut all = false;
        for contact in message.contacts() {
            match contact.map_err(fault)? {
                Contact::Star => all = true,
                Contact::Address(address) => wishes.push(self.wish(message, address)?),
            }
        }
        if all {
            if !wishes.is_empty() || message.expires() != Ok(Some(0)) {
                return Err(refusal(400, Some("Contact * Needs Expires 0")));
            }
            if held.iter().any(overtaken) {
                return Err(refusal(500, None));
            }
            for old in self.bindings.remove(user).into_iter().flatten() {
                self.wheel.cancel(old.timer);
            }
            return Ok(self.listing(now, user));
        }
        let same = |binding: &Binding, wish: &Wish<'_>| &*binding.contact == wish.address.uri.as_str();
        if wishes.iter().any(|wish| held.iter().any(|binding| same(binding, wish) && overtaken(binding))) {
            return Err(refusal(500, None));
        }
        let fresh = wishes.iter().filter(|wish| !held.iter().any(|binding| same(binding, wish))).count();
        if held.len() + fresh > limits::BINDINGS || (held.is_empty() && self.bindings.len() >= limits::REGISTERED) {
            return Err(refusal(403, Some("Too Many Bindings")));
        }
        let path: Vec<Box<str>> = message
            .values(HeaderName::Path)
            .filter_map(|value| NameAddr::parse(value).ok())
            .map(|path| path.uri.as_str().into())
            .collect();
        for wish in wishes {
            let bindings = self.bindings.get_or_default(user.clone());
            for old in bindings.extract_if(.., |binding| same(binding, &wish)) {
                self.wheel.cancel(old.timer);
            }
            if wish.expires.is_zero() {
                continue;
            }
            let expires_at = now + wish.expires;
            let q = wish.address.params.value("q").and_then(thousandths).unwrap_or(1000);
            let (contact, path, call_id) = (wish.address.uri.as_str().into(), path.clone(), call_id.into());
            let timer = self.wheel.schedule(expires_at, user.clone());
            bindings.push(Binding { contact, flow, expires_at, q, path, call_id, cseq, timer });
        }
        self.expire(now, user);
        Ok(self.listing(now, user))
    }

    /// How long one Contact is wanted: its own parameter, the header, or the default (section 10.2.1.1).
    fn wish<'a>(&self, message: &Message<'a>, address: NameAddr<'a>) -> Result<Wish<'a>, Box<Response>> {
        let own = address.params.value("expires").and_then(|seconds| seconds.parse::<u32>().ok());
        let asked = own.or(message.expires().ok().flatten()).map(|seconds| Duration::from_secs(u64::from(seconds)));
        let expires = asked.unwrap_or(self.settings.default_expires);
        if !expires.is_zero() && expires < self.settings.min_expires {
            let mut response = refusal(423, None);
            let least = self.settings.min_expires.as_secs();
            response.headers.push_fmt(HeaderName::MinExpires, format_args!("{least}"));
            return Err(response);
        }
        Ok(Wish { address, expires: expires.min(self.settings.max_expires) })
    }

    fn listing(&self, now: Instant, user: &Aor) -> Response {
        let mut response = Response::new(200);
        for binding in self.bindings(now, user) {
            let left = binding.expires_at.saturating_duration_since(now).as_millis().div_ceil(1000);
            let contact = format_args!("<{}>;expires={left}", binding.contact);
            response.headers.push_fmt(HeaderName::Contact, contact);
        }
        response.body = Arc::from([]);
        response
    }
}

fn refusal(code: u16, reason: Option<&str>) -> Box<Response> {
    Box::new(Response { reason: reason.map(Into::into), ..Response::new(code) })
}

/// `0.5` as 500.
fn thousandths(q: &str) -> Option<u16> {
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    let digits = format!("{part:0<3}");
    let value = whole.parse::<u16>().ok()?.checked_mul(1000)?.checked_add(digits.get(..3)?.parse().ok()?)?;
    (value <= 1000).then_some(value)
}
