//! A watcher (RFC 6665): it subscribes to people's presence and dialogs, and shows what it was told last. A model of its own,
//! so that it shares no mistake with ours.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::digest::{self, Challenged, Credentials, Preference};
use sip::transaction::{self, ClientKey, Transactions};
use sip::transport::{Flow, SentBy, StreamId};
use sip::{Aor, ContactUser, KeyedState, Names, Owner, Random, Request, Response};
use wire::sip::{HeaderName, Message, Method};

use crate::notified::{self, Package, SubscriptionState};
use crate::subscription::{Complaint, Excuse, Heard, Subscription, Watched};

/// How a watcher is set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) aor: Aor,
    pub(crate) password: String,
    /// How it reaches the server at first.
    pub(crate) server: Flow,
    pub(crate) sent_by: SentBy,
}

/// The watcher.
#[derive(Debug)]
pub(crate) struct Watcher {
    settings: Settings,
    random: Random,
    names: Names,
    transactions: Transactions,
    pub(crate) watched: Vec<Watched>,
    asked: BTreeMap<ClientKey, usize>,
    outputs: VecDeque<(Flow, Arc<[u8]>)>,
    pub(crate) complaints: Vec<Complaint>,
    next: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(settings: Settings, mut random: Random, now: Instant) -> Self {
        let names = Names::new(Owner(0));
        let keyed = KeyedState::new(&mut random);
        Self {
            transactions: Transactions::new(transaction::Timers::default(), names, keyed, now),
            settings,
            random,
            names,
            watched: Vec::new(),
            asked: BTreeMap::new(),
            outputs: VecDeque::new(),
            complaints: Vec::new(),
            next: None,
        }
    }

    /// From soon on it watches this user.
    pub(crate) fn watch(&mut self, now: Instant, user: Aor, package: Package, expires: u32) {
        let Settings { aor, password, .. } = &self.settings;
        let credentials = Credentials { username: aor.user().to_owned(), password: password.clone() };
        let again_at = Some(now + self.random.between(Duration::ZERO, Duration::from_secs(3)));
        self.watched.push(Watched {
            user,
            package,
            wanted: true,
            expires,
            again_at,
            subscription: None,
            authentication: digest::Client::new(credentials, Preference::Strongest),
        });
        self.plan();
    }

    /// It wants to watch somebody no longer, or again.
    pub(crate) fn want(&mut self, now: Instant, place: usize, wanted: bool) {
        let Some(watched) = self.watched.get_mut(place) else { return };
        watched.wanted = wanted;
        match &watched.subscription {
            None => watched.again_at = wanted.then_some(now),
            Some(subscription) if !wanted && subscription.dialog.is_some() => self.ask(now, place, 0),
            // What is still being asked for is ended once it stands.
            Some(_) => {}
        }
        self.drain(now, None);
        self.plan();
    }

    pub(crate) fn received(&mut self, now: Instant, flow: Flow, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        if let Err(fault) = message.check() {
            self.complain(now, Excuse::Nothing, format!("a message with a fault: {fault}"));
            return;
        }
        let sent_by = self.settings.sent_by.clone();
        let input = transaction::Input::Received { flow, sent_by: Some(&sent_by), message: &message };
        self.transactions.handle(now, &mut self.random, input);
        self.drain(now, Some(&message));
        self.drain(now, None);
        self.plan();
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.transactions.handle(now, &mut self.random, transaction::Input::Timeout);
        self.drain(now, None);
        for place in 0..self.watched.len() {
            self.due(now, place);
        }
        self.drain(now, None);
        self.plan();
    }

    pub(crate) fn poll(&mut self) -> Option<(Flow, Arc<[u8]>)> {
        self.outputs.pop_front()
    }

    /// Its address-of-record.
    pub(crate) fn aor(&self) -> &Aor {
        &self.settings.aor
    }

    /// From now on its requests go this way.
    pub(crate) fn speaks_on(&mut self, flow: Flow) {
        self.settings.server = flow;
    }

    /// A connection is gone: what it asked for there got no answer, and what it missed it asks for soon.
    pub(crate) fn disconnected(&mut self, now: Instant, id: StreamId) {
        let input = transaction::Input::FlowFailed { id, cause: transaction::Failure::Transport };
        self.transactions.handle(now, &mut self.random, input);
        for watched in &mut self.watched {
            let standing = watched.subscription.as_mut().filter(|known| known.refresh_at.is_some());
            if let Some(known) = standing.filter(|known| known.asked.is_none() && !known.ending) {
                known.refresh_at = Some(now + self.random.between(Duration::ZERO, Duration::from_secs(3)));
            }
        }
        self.drain(now, None);
        self.plan();
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn plan(&mut self) {
        let of = |watched: &Watched| {
            let timers = watched.subscription.as_ref().map(|known| [known.lapses_at, known.refresh_at]);
            timers.into_iter().flatten().chain([watched.again_at]).flatten().min()
        };
        self.next = self.watched.iter().filter_map(of).chain(self.transactions.next_timeout()).min();
    }

    fn complain(&mut self, since: Instant, excuse: Excuse, what: String) {
        self.complaints.push(Complaint { what, since, excuse });
    }

    /// What time brings to one of those whom it watches.
    fn due(&mut self, now: Instant, place: usize) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Some(watched) = self.watched.get_mut(place) else { return };
        if watched.again_at.take_if(|at| *at <= now).is_some() && watched.wanted && watched.subscription.is_none() {
            return self.subscribe(now, place);
        }
        let Some(known) = &mut watched.subscription else { return };
        if is_due(known.lapses_at) {
            if known.ending {
                let (user, since) = (watched.user.clone(), known.asked_at);
                let what = format!("a subscription to {user} was ended, and no last NOTIFY came");
                self.complain(since, Excuse::Crash, what);
            }
            return self.is_gone(now, place, Duration::ZERO);
        }
        if known.refresh_at.take_if(|at| *at <= now).is_some() && known.asked.is_none() {
            let expires = watched.expires;
            self.ask(now, place, expires);
        }
    }

    /// Its subscription is no more; where it is wanted, the next comes after so long.
    fn is_gone(&mut self, now: Instant, place: usize, pause: Duration) {
        let Some(watched) = self.watched.get_mut(place) else { return };
        watched.subscription = None;
        watched.again_at = watched.wanted.then_some(now + pause);
        if watched.wanted && pause.is_zero() {
            watched.again_at = None;
            self.subscribe(now, place);
        }
    }

    fn subscribe(&mut self, now: Instant, place: usize) {
        let (call_id, tag) = (self.names.call_id(&mut self.random), self.names.tag(&mut self.random));
        let Some(watched) = self.watched.get_mut(place) else { return };
        watched.subscription = Some(Subscription {
            call_id,
            tag,
            cseq: 0,
            dialog: None,
            asked: None,
            asked_at: now,
            granted_by: None,
            ending: false,
            kept_until: None,
            lapses_at: None,
            refresh_at: None,
            heard: None,
        });
        let expires = watched.expires;
        self.ask(now, place, expires);
    }

    /// Sends SUBSCRIBE: the first, a refresh, or with 0 the end.
    fn ask(&mut self, now: Instant, place: usize, expires: u32) {
        let Some(watched) = self.watched.get_mut(place) else { return };
        let Some(known) = &mut watched.subscription else { return };
        let mut request = match &mut known.dialog {
            Some(dialog) => dialog.request(Method::Subscribe),
            None => {
                known.cseq += 1;
                let mut request = Request::new(Method::Subscribe, watched.user.as_str());
                let headers = &mut request.headers;
                headers.push_fmt(HeaderName::From, format_args!("<{}>;tag={}", self.settings.aor, known.tag));
                headers.push_fmt(HeaderName::To, format_args!("<{}>", watched.user));
                headers.push(HeaderName::CallId, &known.call_id);
                headers.push_fmt(HeaderName::CSeq, format_args!("{} SUBSCRIBE", known.cseq));
                request
            }
        };
        request.contact = Some(ContactUser::of(self.settings.aor.user()));
        request.headers.push(HeaderName::Event, watched.package.name());
        request.headers.push(HeaderName::Accept, watched.package.accept());
        if watched.package == Package::ListPresence {
            request.headers.push(HeaderName::Supported, "eventlist");
        }
        request.headers.push_fmt(HeaderName::Expires, format_args!("{expires}"));
        let target = request.uri.clone();
        for (name, value) in watched.authentication.authorize(&mut self.random, "SUBSCRIBE", &target) {
            request.headers.push(name, value);
        }
        let key = self.transactions.reserve();
        if let Some(old) = known.asked.replace(key) {
            self.asked.remove(&old);
        }
        known.asked_at = now;
        known.ending = expires == 0;
        if known.ending {
            known.refresh_at = None;
            // By datagrams it is repeated for so long, and then its last NOTIFY.
            let patience = if self.settings.server.is_reliable() { 30 } else { 70 };
            known.lapses_at = Some(now + Duration::from_secs(patience));
        }
        self.asked.insert(key, place);
        let (flow, sent_by) = (self.settings.server, self.settings.sent_by.clone());
        let input = transaction::Input::Send { key, flow, sent_by: Some(&sent_by), request };
        self.transactions.handle(now, &mut self.random, input);
    }

    fn drain(&mut self, now: Instant, message: Option<&Message<'_>>) {
        while let Some(output) = self.transactions.poll() {
            match (output, message) {
                (transaction::Output::Transmit { flow, octets }, _) => self.outputs.push_back((flow, octets)),
                (transaction::Output::Request { key }, Some(message)) => {
                    let response = Response::new(self.notified(now, message));
                    self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
                }
                (transaction::Output::Response { key }, Some(message)) => self.answered(now, key, message),
                (transaction::Output::Failed { key, .. }, _) => {
                    if let Some(place) = self.place_of(key) {
                        self.is_gone(now, place, Duration::ZERO);
                    }
                }
                (transaction::Output::Over { key }, _) => drop(self.asked.remove(&key)),
                _ => {}
            }
        }
    }

    /// Whose subscription awaits the answer to this request.
    fn place_of(&self, key: ClientKey) -> Option<usize> {
        let place = *self.asked.get(&key)?;
        let known = self.watched.get(place)?.subscription.as_ref()?;
        (known.asked == Some(key)).then_some(place)
    }

    fn answered(&mut self, now: Instant, key: ClientKey, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return };
        let Some(place) = self.place_of(key) else { return };
        let Some(watched) = self.watched.get_mut(place) else { return };
        let Some(known) = &mut watched.subscription else { return };
        known.asked = None;
        match code {
            200..300 => {
                if known.dialog.is_none() {
                    known.dialog = Dialog::uac(message, message).ok();
                }
                if known.ending {
                    return;
                }
                let granted = Duration::from_secs(message.expires().ok().flatten().unwrap_or(0).into());
                known.granted_by = Some(known.asked_at);
                known.kept_until = Some(known.asked_at + granted);
                known.lapses_at = Some(now + granted);
                let early = granted * 6 / 10 + self.random.between(Duration::ZERO, granted / 4);
                known.refresh_at = Some(now + early);
                if !watched.wanted {
                    self.ask(now, place, 0);
                }
            }
            401 if matches!(watched.authentication.challenged(message), Challenged::Retry | Challenged::Stale) => {
                let expires = if known.ending { 0 } else { watched.expires };
                self.ask(now, place, expires);
            }
            423 => {
                let asked = watched.expires;
                watched.expires = message.min_expires().unwrap_or(0).max(asked + 1);
                self.is_gone(now, place, Duration::ZERO);
            }
            // Its dialog is gone; or it was refused, which may pass.
            481 => self.is_gone(now, place, Duration::ZERO),
            _ => {
                watched.authentication.forget();
                let pause = self.random.between(Duration::from_secs(10), Duration::from_secs(20));
                self.is_gone(now, place, pause);
            }
        }
    }

    /// Takes a NOTIFY; the status that answers it.
    fn notified(&mut self, now: Instant, message: &Message<'_>) -> u16 {
        if message.method() != Method::Notify {
            return 405;
        }
        let is_it = |known: &Subscription| {
            message.call_id() == Ok(known.call_id.as_str()) && message.to_tag() == Some(known.tag.as_str())
        };
        let place = self.watched.iter().position(|watched| watched.subscription.as_ref().is_some_and(is_it));
        let found = place.and_then(|place| Some((place, self.watched.get_mut(place)?)));
        let Some((place, watched)) = found else { return 481 };
        let Some(known) = &mut watched.subscription else { return 481 };
        let (Some(from_tag), Ok(cseq)) = (message.from_tag(), message.cseq()) else { return 400 };
        if known.dialog.as_ref().is_some_and(|dialog| *dialog.id.remote_tag != *from_tag) {
            return 481;
        }
        // A NOTIFY may overtake the answer that names its dialog.
        let before = known.heard.as_ref().filter(|heard| heard.from_tag == from_tag);
        if before.is_some_and(|heard| heard.cseq >= cseq.number) {
            return 500;
        }
        let (since, kept_until, ending) = (known.known_since(), known.kept_until, known.ending);
        let package = watched.package;
        let read = match notified::read(message, package, &watched.user, watched.expires) {
            Ok(read) => read,
            Err(fault) => {
                self.complain(now, Excuse::Nothing, fault);
                return 400;
            }
        };
        let version = before.and_then(|heard| heard.version);
        // The last one says nothing of those on a list.
        let is_partial = !read.is_full && !matches!(read.state, SubscriptionState::Terminated { .. });
        let mut shown = before.filter(|_| !read.is_full).map(|heard| heard.shown.clone()).unwrap_or_default();
        shown.retain(|user, _| !read.shown.contains_key(user));
        shown.extend(read.shown.into_iter().filter_map(|(user, on_the_phone)| Some((user, on_the_phone?))));
        known.heard = Some(Heard { from_tag: from_tag.to_owned(), cseq: cseq.number, version: read.version, shown });
        if let (Some(before), Some(version)) = (version, read.version)
            && (version <= before || is_partial && version > before + 1)
        {
            let what = format!("a document with version {version} after {before}, whole: {}", read.is_full);
            self.complain(since, Excuse::Amnesia, what);
        }
        match read.state {
            SubscriptionState::Active => {}
            SubscriptionState::Pending => {
                self.complain(now, Excuse::Nothing, "a subscription is pending".to_owned());
            }
            SubscriptionState::Terminated { reason } => {
                let is_early = kept_until.is_some_and(|until| now + Duration::from_secs(1) < until);
                if !ending && (is_early || reason != "timeout") {
                    let what = format!("a subscription was terminated, reason {reason}, while it was granted");
                    let excuse = if reason == "rejected" { Excuse::Left } else { Excuse::Amnesia };
                    self.complain(since, excuse, what);
                }
                let is_rejected = reason == "rejected";
                let pause = if is_rejected { Duration::from_secs(15) } else { Duration::ZERO };
                self.is_gone(now, place, pause);
            }
        }
        200
    }
}
