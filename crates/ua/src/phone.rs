//! A phone: it registers, calls, answers, holds and hangs up, or vanishes; time and randomness come from outside.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::{Dialog, DialogId};
use sip::digest::{self, Challenged, Credentials, Preference};
use sip::transaction::{self, ClientKey, Failure, ServerKey, Transactions};
use sip::transport::{Flow, SentBy};
use sip::{Aor, ContactUser, KeyedState, Names, Owner, Random, Request, Response};
use wire::sip::{HeaderName, Message, Method};

/// How a phone is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose phone it is.
    pub aor: Aor,
    /// The name it shows.
    pub display_name: String,
    /// What it proves itself with.
    pub password: String,
    /// Where its requests go: its outbound proxy.
    pub server: Flow,
    /// What it writes into Via and Contact.
    pub sent_by: SentBy,
    /// How long it asks to be registered.
    pub expires: Duration,
    /// How long it rings before it answers; `None` never answers by itself.
    pub answers_after: Option<Duration>,
}

/// What a person does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Register with the server.
    Register,
    /// Call a SIP URI.
    Call(String),
    /// Answer the call that rings.
    Answer,
    /// Reject the call that rings, with this status.
    Reject(u16),
    /// End every call: BYE, or CANCEL while it rings.
    HangUp,
    /// Put the call on hold.
    Hold,
    /// Take it back.
    Resume,
}

/// What a person notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Registered.
    Registered,
    /// The registration was refused, with this status; 0 when nobody answered.
    NotRegistered(u16),
    /// It rings.
    Incoming,
    /// The other side rings.
    Ringing,
    /// A call stands.
    Answered,
    /// The call could not be made, with this status; 0 when nobody answered.
    Failed(u16),
    /// A call that stood is over.
    Ended,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message arrived.
    Received {
        /// How.
        flow: Flow,
        /// The message.
        octets: &'a [u8],
    },
    /// A person does something.
    Command(Command),
    /// The time of [`Phone::next_timeout`] has come.
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
    /// Something a person notices.
    Event(Event),
}

/// The session description of every offer and answer; no media flows.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

/// A phone.
#[derive(Debug)]
pub struct Phone {
    settings: Settings,
    random: Random,
    names: Names,
    transactions: Transactions,
    outputs: VecDeque<Output>,
    asked: BTreeMap<ClientKey, Asked>,
    lines: BTreeMap<u32, Line>,
    next_line: u32,
    authentication: digest::Client,
    registration: (String, String, u32),
}

/// What an answer is awaited for.
#[derive(Clone, Debug)]
enum Asked {
    Register,
    Invite(u32),
    /// A re-INVITE.
    Again(u32),
    /// Nobody minds the answer.
    Bye,
}

/// One call.
#[derive(Debug)]
enum Line {
    /// We called, and wait.
    Calling { key: ClientKey, request: Request, cseq: u32, gave_up: bool },
    /// It rings here.
    Ringing { key: ServerKey, dialog: Box<Dialog>, answer_at: Option<Instant> },
    /// It stands.
    Up {
        dialog: Box<Dialog>,
        /// The INVITE that we answered and whose ACK has not come, with its CSeq.
        invite: Option<(u32, ServerKey)>,
        ack: Option<Arc<[u8]>>,
        /// Hung up, but BYE must wait for the ACK (RFC 3261 section 15).
        leaving: bool,
    },
}

impl Phone {
    /// A phone that has done nothing yet.
    #[must_use]
    pub fn new(settings: Settings, mut random: Random, now: Instant) -> Self {
        let names = Names::new(Owner(0));
        let keyed = KeyedState::new(&mut random);
        let credentials = Credentials { username: settings.aor.user().to_owned(), password: settings.password.clone() };
        Self {
            transactions: Transactions::new(transaction::Timers::default(), names, keyed, now),
            registration: (names.call_id(&mut random), names.tag(&mut random), 0),
            authentication: digest::Client::new(credentials, Preference::Strongest),
            settings,
            random,
            names,
            outputs: VecDeque::new(),
            asked: BTreeMap::new(),
            lines: BTreeMap::new(),
            next_line: 0,
        }
    }

    /// How many calls stand.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.standing().count()
    }

    /// The calls that stand, by their numbers, each of which is given once in the phone's life.
    pub fn standing(&self) -> impl Iterator<Item = u32> {
        let stands = |(_, line): &(&u32, &Line)| matches!(line, Line::Up { leaving: false, .. });
        self.lines.iter().filter(stands).map(|(number, _)| *number)
    }

    /// How many calls were made and not yet answered, as far as is known here, or hung up and not yet over.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        let is_unsettled = |line: &&Line| matches!(line, Line::Calling { .. } | Line::Up { leaving: true, .. });
        self.lines.values().filter(is_unsettled).count()
    }

    /// How many calls there are, those that ring included.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// One thing happened; drain [`Phone::poll`] after it.
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
            Input::Command(command) => self.command(now, command),
            Input::Timeout => {
                self.transactions.handle(now, &mut self.random, transaction::Input::Timeout);
                self.drain(now, None);
                self.answer_due(now);
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
        let ringing = self.lines.values().filter_map(|line| match line {
            Line::Ringing { answer_at, .. } => *answer_at,
            _ => None,
        });
        ringing.chain(self.transactions.next_timeout()).min()
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Register => self.register(now),
            Command::Call(uri) => self.call(now, &uri),
            Command::Answer => {
                for line in self.ringing() {
                    self.answer(now, line);
                }
            }
            Command::Reject(code) => {
                for line in self.ringing() {
                    if let Some(Line::Ringing { key, .. }) = self.lines.remove(&line) {
                        self.respond(now, key, Response::new(code));
                    }
                }
            }
            Command::HangUp => self.hang_up(now),
            Command::Hold => self.hold(now, true),
            Command::Resume => self.hold(now, false),
        }
    }

    fn ringing(&self) -> Vec<u32> {
        self.lines.iter().filter(|(_, line)| matches!(line, Line::Ringing { .. })).map(|(number, _)| *number).collect()
    }

    fn send(&mut self, now: Instant, asked: Asked, request: Request) -> ClientKey {
        let key = self.transactions.reserve();
        self.asked.insert(key, asked);
        let (flow, sent_by) = (self.settings.server, self.settings.sent_by.clone());
        let input = transaction::Input::Send { key, flow, sent_by: Some(&sent_by), request };
        self.transactions.handle(now, &mut self.random, input);
        key
    }

    fn respond(&mut self, now: Instant, key: ServerKey, response: Response) {
        self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
    }

    fn contact(&self) -> Option<ContactUser> {
        Some(ContactUser { user: Some(self.settings.aor.user().into()), ..ContactUser::default() })
    }

    fn register(&mut self, now: Instant) {
        self.registration.2 += 1;
        let aor = self.settings.aor.clone();
        let uri = format!("sip:{}", aor.host());
        let mut request = Request::new(Method::Register, uri.as_str());
        request.contact = self.contact();
        let (call_id, tag, cseq) = self.registration.clone();
        let headers = &mut request.headers;
        headers.push_fmt(HeaderName::From, format_args!("<{aor}>;tag={tag}"));
        headers.push_fmt(HeaderName::To, format_args!("<{aor}>"));
        headers.push(HeaderName::CallId, call_id);
        headers.push_fmt(HeaderName::CSeq, format_args!("{cseq} REGISTER"));
        headers.push_fmt(HeaderName::Expires, format_args!("{}", self.settings.expires.as_secs()));
        for (name, value) in self.authentication.authorize(&mut self.random, "REGISTER", &uri) {
            headers.push(name, value);
        }
        self.send(now, Asked::Register, request);
    }

    fn call(&mut self, now: Instant, uri: &str) {
        let (tag, call_id) = (self.names.tag(&mut self.random), self.names.call_id(&mut self.random));
        let mut request = Request::new(Method::Invite, uri);
        request.contact = self.contact();
        let (name, aor) = (wire::sip::print::quoted(&self.settings.display_name), &self.settings.aor);
        request.headers.push_fmt(HeaderName::From, format_args!("{name} <{aor}>;tag={tag}"));
        request.headers.push_fmt(HeaderName::To, format_args!("<{uri}>"));
        request.headers.push(HeaderName::CallId, call_id);
        request.headers.push(HeaderName::ContentType, "application/sdp");
        request.body = SDP.as_bytes().into();
        let number = self.next_line;
        self.next_line += 1;
        self.invite(now, number, request, 1, false);
    }

    /// Sends the INVITE of a line, for the first time or with credentials.
    fn invite(&mut self, now: Instant, number: u32, request: Request, cseq: u32, gave_up: bool) {
        let mut whole = request.clone();
        whole.headers.push_fmt(HeaderName::CSeq, format_args!("{cseq} INVITE"));
        for (name, value) in self.authentication.authorize(&mut self.random, "INVITE", &request.uri) {
            whole.headers.push(name, value);
        }
        let key = self.send(now, Asked::Invite(number), whole);
        self.lines.insert(number, Line::Calling { key, request, cseq, gave_up });
    }

    fn hang_up(&mut self, now: Instant) {
        for number in self.lines.keys().copied().collect::<Vec<_>>() {
            match self.lines.get_mut(&number) {
                Some(Line::Calling { key, gave_up, .. }) => {
                    *gave_up = true;
                    let key = *key;
                    self.transactions.handle(now, &mut self.random, transaction::Input::Cancel { key });
                }
                Some(Line::Ringing { .. }) => {
                    if let Some(Line::Ringing { key, .. }) = self.lines.remove(&number) {
                        self.respond(now, key, Response::new(486));
                    }
                }
                Some(Line::Up { dialog, invite, leaving, .. }) => {
                    let already = std::mem::replace(leaving, true);
                    if invite.is_none() {
                        let request = dialog.request(Method::Bye);
                        self.send(now, Asked::Bye, request);
                        self.lines.remove(&number);
                    }
                    if !already {
                        self.outputs.push_back(Output::Event(Event::Ended));
                    }
                }
                None => {}
            }
        }
    }

    /// Sends the BYE of calls that were hung up before their ACK came.
    fn hang_up_left(&mut self, now: Instant) {
        for number in self.lines.keys().copied().collect::<Vec<_>>() {
            if let Some(Line::Up { dialog, invite: None, leaving: true, .. }) = self.lines.get_mut(&number) {
                let request = dialog.request(Method::Bye);
                self.send(now, Asked::Bye, request);
                self.lines.remove(&number);
            }
        }
    }

    fn hold(&mut self, now: Instant, hold: bool) {
        for number in self.lines.keys().copied().collect::<Vec<_>>() {
            let Some(Line::Up { dialog, invite: None, leaving: false, .. }) = self.lines.get_mut(&number) else {
                continue;
            };
            let mut request = dialog.request(Method::Invite);
            let direction = if hold { "a=sendonly\r\n" } else { "a=sendrecv\r\n" };
            request.headers.push(HeaderName::ContentType, "application/sdp");
            request.body = format!("{SDP}{direction}").as_bytes().into();
            request.contact = self.contact();
            self.send(now, Asked::Again(number), request);
        }
    }

    fn answer_due(&mut self, now: Instant) {
        let due = |line: &Line| matches!(line, Line::Ringing { answer_at: Some(at), .. } if *at <= now);
        for number in self.lines.iter().filter(|(_, line)| due(line)).map(|(number, _)| *number).collect::<Vec<_>>() {
            self.answer(now, number);
        }
    }

    fn answer(&mut self, now: Instant, number: u32) {
        let Some(Line::Ringing { key, dialog, .. }) = self.lines.remove(&number) else { return };
        let mut response = Response::new(200);
        response.to_tag = Some(dialog.id.local_tag.clone());
        response.contact = self.contact();
        response.headers.push(HeaderName::ContentType, "application/sdp");
        response.body = SDP.as_bytes().into();
        let invite = dialog.remote_cseq.map(|cseq| (cseq, key));
        self.lines.insert(number, Line::Up { dialog, invite, ack: None, leaving: false });
        self.respond(now, key, response);
        self.outputs.push_back(Output::Event(Event::Answered));
    }

    fn drain(&mut self, now: Instant, message: Option<&Message<'_>>) {
        while let Some(output) = self.transactions.poll() {
            match (output, message) {
                (transaction::Output::Transmit { flow, octets }, _) => {
                    self.outputs.push_back(Output::Transmit { flow, octets });
                }
                (transaction::Output::Request { key }, Some(message)) => self.request(now, key, message),
                (transaction::Output::Ack, Some(message)) => {
                    let mut left = false;
                    // An ACK that comes late must not be taken for that of the next INVITE.
                    let number = message.cseq().ok().map(|cseq| cseq.number);
                    if let Some(Line::Up { invite, leaving, .. }) = self.line_of(message)
                        && let Some((_, key)) = invite.take_if(|(asked, _)| Some(*asked) == number)
                    {
                        left = *leaving;
                        self.transactions.handle(now, &mut self.random, transaction::Input::Acknowledged { key });
                    }
                    if left {
                        self.hang_up_left(now);
                    }
                }
                (transaction::Output::Cancelled { invite }, _) => {
                    let rings = |line: &Line| matches!(line, Line::Ringing { key, .. } if *key == invite);
                    if let Some(number) = self.lines.iter().find(|(_, line)| rings(line)).map(|(number, _)| *number) {
                        self.lines.remove(&number);
                        self.respond(now, invite, Response::new(487));
                    }
                }
                (transaction::Output::Response { key }, Some(message)) => self.response(now, key, message),
                (transaction::Output::Failed { key, cause }, _) => self.failed(key, cause),
                (transaction::Output::Over { key }, _) => drop(self.asked.remove(&key)),
                (transaction::Output::AckMissing { key }, _) => {
                    let lost =
                        |line: &Line| matches!(line, Line::Up { invite: Some((_, invite)), .. } if *invite == key);
                    if let Some(number) = self.lines.iter().find(|(_, line)| lost(line)).map(|(number, _)| *number)
                        && let Some(Line::Up { mut dialog, .. }) = self.lines.remove(&number)
                    {
                        let request = dialog.request(Method::Bye);
                        self.send(now, Asked::Bye, request);
                        self.outputs.push_back(Output::Event(Event::Ended));
                    }
                }
                _ => {}
            }
        }
    }

    /// The call that a request inside a dialog belongs to, by all three of its marks (RFC 3261 section 12.2.2).
    fn line_of(&mut self, message: &Message<'_>) -> Option<&mut Line> {
        let (call_id, own, theirs) = (message.call_id().ok()?, message.to_tag()?, message.from_tag()?);
        let is_it = |id: &DialogId| &*id.call_id == call_id && &*id.local_tag == own && &*id.remote_tag == theirs;
        self.lines.values_mut().find(|line| matches!(line, Line::Up { dialog, .. } if is_it(&dialog.id)))
    }

    fn request(&mut self, now: Instant, key: ServerKey, message: &Message<'_>) {
        if message.method() == Method::Invite && message.to_tag().is_none() {
            return self.incoming(now, key, message);
        }
        let contact = self.contact();
        let Some(Line::Up { dialog, invite, leaving, .. }) = self.line_of(message) else {
            let is_outside = message.method() == Method::Options && message.to_tag().is_none();
            let code = if is_outside { 200 } else { 481 };
            return self.respond(now, key, Response::new(code));
        };
        if let Err(fault) = dialog.accept(message) {
            return self.respond(now, key, Response::new(fault.status));
        }
        match message.method() {
            Method::Bye => {
                let (local_tag, left) = (dialog.id.local_tag.clone(), *leaving);
                self.lines
                    .retain(|_, line| !matches!(line, Line::Up { dialog, .. } if dialog.id.local_tag == local_tag));
                self.respond(now, key, Response::new(200));
                if !left {
                    self.outputs.push_back(Output::Event(Event::Ended));
                }
            }
            Method::Invite | Method::Update => {
                if message.method() == Method::Invite {
                    *invite = dialog.remote_cseq.map(|cseq| (cseq, key));
                }
                let mut response = Response::new(200);
                response.contact = contact;
                response.headers.push(HeaderName::ContentType, "application/sdp");
                response.body = SDP.as_bytes().into();
                self.respond(now, key, response);
            }
            _ => self.respond(now, key, Response::new(200)),
        }
    }

    fn incoming(&mut self, now: Instant, key: ServerKey, message: &Message<'_>) {
        let tag = self.names.tag(&mut self.random);
        let Ok(dialog) = Dialog::uas(message, &tag) else { return self.respond(now, key, Response::new(400)) };
        let number = self.next_line;
        self.next_line += 1;
        let answer_at = self.settings.answers_after.map(|after| now + after);
        self.lines.insert(number, Line::Ringing { key, dialog: Box::new(dialog), answer_at });
        let response = Response { to_tag: Some(tag.into()), contact: self.contact(), ..Response::new(180) };
        self.respond(now, key, response);
        self.outputs.push_back(Output::Event(Event::Incoming));
        self.answer_due(now);
    }

    fn response(&mut self, now: Instant, key: ClientKey, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code) else { return };
        match self.asked.get(&key).cloned() {
            Some(Asked::Register) => match code {
                100..200 => {}
                200..300 => self.outputs.push_back(Output::Event(Event::Registered)),
                401 | 407 if self.challenged(message) => self.register(now),
                _ => self.outputs.push_back(Output::Event(Event::NotRegistered(code))),
            },
            Some(Asked::Invite(number)) => self.invited(now, number, message, code),
            Some(Asked::Again(number)) if (200..300).contains(&code) => {
                if let Some(Line::Up { dialog, ack, .. }) = self.lines.get_mut(&number)
                    && let Ok(cseq) = message.cseq()
                {
                    let request = dialog.ack(cseq.number);
                    let (flow, sent_by) = (self.settings.server, &self.settings.sent_by);
                    let octets = self.transactions.ack(&mut self.random, &flow, Some(sent_by), &request);
                    *ack = Some(Arc::clone(&octets));
                    self.outputs.push_back(Output::Transmit { flow, octets });
                }
            }
            Some(Asked::Again(number)) if matches!(code, 408 | 481) => {
                self.lines.remove(&number);
                self.outputs.push_back(Output::Event(Event::Ended));
            }
            _ => {}
        }
    }

    /// Whether it is worth trying again.
    fn challenged(&mut self, message: &Message<'_>) -> bool {
        matches!(self.authentication.challenged(message), Challenged::Retry | Challenged::Stale)
    }

    fn invited(&mut self, now: Instant, number: u32, message: &Message<'_>, code: u16) {
        let (flow, sent_by) = (self.settings.server, self.settings.sent_by.clone());
        match (code, self.lines.remove(&number)) {
            (180..200, Some(line @ Line::Calling { .. })) => {
                self.lines.insert(number, line);
                self.outputs.push_back(Output::Event(Event::Ringing));
            }
            (200..300, Some(Line::Calling { gave_up, .. })) => {
                let Ok(mut dialog) = Dialog::uac(message, message) else { return };
                let ack = dialog.ack(dialog.local_cseq);
                let octets = self.transactions.ack(&mut self.random, &flow, Some(&sent_by), &ack);
                self.outputs.push_back(Output::Transmit { flow, octets: Arc::clone(&octets) });
                if gave_up {
                    let request = dialog.request(Method::Bye);
                    self.send(now, Asked::Bye, request);
                    return self.outputs.push_back(Output::Event(Event::Failed(487)));
                }
                let line = Line::Up { dialog: Box::new(dialog), invite: None, ack: Some(octets), leaving: false };
                self.lines.insert(number, line);
                self.outputs.push_back(Output::Event(Event::Answered));
            }
            // The 2xx came again: so does its ACK.
            (200..300, Some(line @ Line::Up { .. })) => {
                if let Line::Up { ack: Some(octets), .. } = &line {
                    self.outputs.push_back(Output::Transmit { flow, octets: Arc::clone(octets) });
                }
                self.lines.insert(number, line);
            }
            (401 | 407, Some(Line::Calling { request, cseq, gave_up, .. })) if !gave_up && self.challenged(message) => {
                self.invite(now, number, request, cseq + 1, gave_up);
            }
            (300.., Some(Line::Calling { .. })) => self.outputs.push_back(Output::Event(Event::Failed(code))),
            (_, Some(line)) => drop(self.lines.insert(number, line)),
            (_, None) => {}
        }
    }

    fn failed(&mut self, key: ClientKey, _cause: Failure) {
        match self.asked.remove(&key) {
            Some(Asked::Register) => self.outputs.push_back(Output::Event(Event::NotRegistered(0))),
            Some(Asked::Invite(number)) => {
                self.lines.remove(&number);
                self.outputs.push_back(Output::Event(Event::Failed(0)));
            }
            Some(Asked::Again(number)) => {
                self.lines.remove(&number);
                self.outputs.push_back(Output::Event(Event::Ended));
            }
            Some(Asked::Bye) | None => {}
        }
    }
}
