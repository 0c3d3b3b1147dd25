//! A watcher: it subscribes to the presence of somebody and remembers what it is told (RFC 6665, RFC 3856).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::digest::{self, Challenged, Credentials, Preference};
use sip::transaction::{self, ClientKey, Transactions};
use sip::transport::{Flow, SentBy};
use sip::{Aor, ContactUser, KeyedState, Names, Owner, Random, Request, Response};
use wire::pidf;
use wire::sip::{HeaderName, Message, Method};

/// How a watcher is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who watches.
    pub aor: Aor,
    /// What it proves itself with.
    pub password: String,
    /// Whom it watches.
    pub presentity: Aor,
    /// Where its requests go.
    pub server: Flow,
    /// What it writes into Via and Contact.
    pub sent_by: SentBy,
    /// How long it asks for.
    pub expires: Duration,
}

/// What a watcher notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The subscription stands.
    Subscribed,
    /// It was refused, with this status; 0 when nobody answered.
    Refused(u16),
    /// The presentity's state, as the newest NOTIFY says it.
    State {
        /// Whether it is on the phone.
        on_the_phone: bool,
        /// Whether it is open for communication.
        open: bool,
    },
    /// The server ended the subscription.
    Terminated,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A message arrived.
    Received {
        /// How.
        flow: Flow,
        /// The message.
        octets: &'a [u8],
    },
    /// Subscribe, or subscribe anew.
    Subscribe,
    /// The time of [`Watcher::next_timeout`] has come.
    Timeout,
}

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit {
        /// How.
        flow: Flow,
        /// The message.
        octets: Arc<[u8]>,
    },
    /// Something it notices.
    Event(Event),
}

/// A watcher.
#[derive(Debug)]
pub struct Watcher {
    settings: Settings,
    random: Random,
    names: Names,
    transactions: Transactions,
    outputs: VecDeque<Output>,
    authentication: digest::Client,
    call_id: String,
    tag: String,
    cseq: u32,
    dialog: Option<Dialog>,
    refresh_at: Option<Instant>,
    asked: Option<ClientKey>,
}

impl Watcher {
    /// A watcher that has not subscribed yet.
    #[must_use]
    pub fn new(settings: Settings, mut random: Random, now: Instant) -> Self {
        let names = Names::new(Owner(0));
        let keyed = KeyedState::new(&mut random);
        let credentials = Credentials { username: settings.aor.user().to_owned(), password: settings.password.clone() };
        Self {
            transactions: Transactions::new(transaction::Timers::default(), names, keyed, now),
            call_id: names.call_id(&mut random),
            tag: names.tag(&mut random),
            cseq: 0,
            authentication: digest::Client::new(credentials, Preference::Strongest),
            settings,
            random,
            names,
            outputs: VecDeque::new(),
            dialog: None,
            refresh_at: None,
            asked: None,
        }
    }

    /// One thing happened; drain [`Watcher::poll`] after it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Received { flow, octets } => {
                if let Ok(message) = Message::parse(octets)
                    && message.check().is_ok()
                {
                    let sent_by = self.settings.sent_by.clone();
                    let input = transaction::Input::Received { flow, sent_by: Some(&sent_by), message: &message };
                    self.transactions.handle(now, &mut self.random, input);
                    self.drain(now, Some(&message));
                }
            }
            Input::Subscribe => {
                self.dialog = None;
                self.call_id = self.names.call_id(&mut self.random);
                self.tag = self.names.tag(&mut self.random);
                self.cseq = 0;
                self.subscribe(now);
            }
            Input::Timeout => {
                self.transactions.handle(now, &mut self.random, transaction::Input::Timeout);
                if self.refresh_at.is_some_and(|at| at <= now) {
                    self.refresh_at = None;
                    self.subscribe(now);
                }
            }
        }
        self.drain(now, None);
    }

    /// What to do; drained to `None` after each input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.transactions.next_timeout().into_iter().chain(self.refresh_at).min()
    }

    fn subscribe(&mut self, now: Instant) {
        let uri = self.settings.presentity.as_str().to_owned();
        let mut request = match &mut self.dialog {
            Some(dialog) => dialog.request(Method::Subscribe),
            None => {
                self.cseq += 1;
                let mut request = Request::new(Method::Subscribe, uri.as_str());
                let headers = &mut request.headers;
                headers.push_fmt(HeaderName::From, format_args!("<{}>;tag={}", self.settings.aor, self.tag));
                headers.push_fmt(HeaderName::To, format_args!("<{uri}>"));
                headers.push(HeaderName::CallId, &self.call_id);
                headers.push_fmt(HeaderName::CSeq, format_args!("{} SUBSCRIBE", self.cseq));
                request
            }
        };
        request.contact = Some(ContactUser { user: Some(self.settings.aor.user().into()), ..ContactUser::default() });
        request.headers.push(HeaderName::Event, "presence");
        request.headers.push(HeaderName::Accept, "application/pidf+xml");
        request.headers.push_fmt(HeaderName::Expires, format_args!("{}", self.settings.expires.as_secs()));
        let target = request.uri.clone();
        for (name, value) in self.authentication.authorize(&mut self.random, "SUBSCRIBE", &target) {
            request.headers.push(name, value);
        }
        let key = self.transactions.reserve();
        self.asked = Some(key);
        let (flow, sent_by) = (self.settings.server, self.settings.sent_by.clone());
        let input = transaction::Input::Send { key, flow, sent_by: Some(&sent_by), request };
        self.transactions.handle(now, &mut self.random, input);
    }

    fn drain(&mut self, now: Instant, message: Option<&Message<'_>>) {
        while let Some(output) = self.transactions.poll() {
            match (output, message) {
                (transaction::Output::Transmit { flow, octets }, _) => {
                    self.outputs.push_back(Output::Transmit { flow, octets });
                }
                (transaction::Output::Request { key }, Some(message)) => {
                    let response = Response::new(self.notified(message));
                    self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
                }
                (transaction::Output::Response { key }, Some(message)) if self.asked == Some(key) => {
                    self.answered(now, message);
                }
                (transaction::Output::Failed { key, .. }, _) if self.asked == Some(key) => {
                    self.outputs.push_back(Output::Event(Event::Refused(0)));
                }
                _ => {}
            }
        }
    }

    fn answered(&mut self, now: Instant, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code) else { return };
        match code {
            100..200 => {}
            200..300 => {
                if self.dialog.is_none() {
                    self.dialog = Dialog::uac(message, message).ok();
                    self.outputs.push_back(Output::Event(Event::Subscribed));
                }
                let granted = message
                    .expires()
                    .ok()
                    .flatten()
                    .map_or(self.settings.expires, |seconds| Duration::from_secs(u64::from(seconds)));
                self.refresh_at = (!granted.is_zero()).then(|| now + granted * 3 / 4);
            }
            401 | 407 => match self.authentication.challenged(message) {
                Challenged::Retry | Challenged::Stale => self.subscribe(now),
                _ => self.outputs.push_back(Output::Event(Event::Refused(code))),
            },
            _ => {
                self.dialog = None;
                self.outputs.push_back(Output::Event(Event::Refused(code)));
            }
        }
    }

    /// Takes a NOTIFY; the status that answers it.
    fn notified(&mut self, message: &Message<'_>) -> u16 {
        if message.method() != Method::Notify {
            return 405;
        }
        if message.call_id() != Ok(self.call_id.as_str()) || message.to_tag() != Some(self.tag.as_str()) {
            return 481;
        }
        // A NOTIFY may overtake the 200 that makes the dialog.
        if let Some(dialog) = &mut self.dialog
            && let Err(fault) = dialog.accept(message)
        {
            return fault.status;
        }
        if let Ok(reading) = pidf::read(message.body()) {
            let (on_the_phone, open) = (reading.is_on_the_phone(), reading.open == Some(true));
            self.outputs.push_back(Output::Event(Event::State { on_the_phone, open }));
        }
        let state = message.header(HeaderName::SubscriptionState).unwrap_or_default();
        if state.get(..10).is_some_and(|word| word.eq_ignore_ascii_case(b"terminated")) {
            self.dialog = None;
            self.refresh_at = None;
            self.outputs.push_back(Output::Event(Event::Terminated));
        }
        200
    }
}
