//! A publisher with a clock of its own, a store that can be held up, and everything that came out of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use presence::publisher::{Input, Output, PublishKey, Publisher, Record, Report, Server};
use sip::digest::Credentials;
use sip::transaction::Failure;
use sip::{Aor, KeyedState, Names, Owner, Random, Request};
use wire::sip::Message;

/// The user of most tests.
pub(crate) const JOHN: &str = "sip:john.doe@sfb.example";

/// Another one.
pub(crate) const JANE: &str = "sip:jane.roe@sfb.example";

/// A publisher and its surroundings.
pub(crate) struct World {
    pub(crate) publisher: Publisher,
    pub(crate) reports: Vec<Report>,
    /// What the store was told to keep, in order.
    pub(crate) saved: Vec<Record>,
    /// Whose records were dropped.
    pub(crate) forgotten: Vec<Aor>,
    pub(crate) stopped: bool,
    pub(crate) now: Instant,
    random: Random,
    pub(crate) start: Instant,
    sent: VecDeque<Sent>,
    unwritten: Option<u64>,
    slow_store: bool,
}

/// A PUBLISH that left.
pub(crate) struct Sent {
    pub(crate) key: PublishKey,
    pub(crate) server: usize,
    pub(crate) instead: Option<Box<str>>,
    /// Since the beginning of the world.
    pub(crate) at: Duration,
    pub(crate) request: Request,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(vec![Server::new("skype")])
    }

    /// John's call was answered and published under the tag `a`.
    pub(crate) fn published() -> Self {
        let mut world = Self::new();
        world.answered(1);
        let initial = world.sent();
        world.accept(&initial, "a");
        world
    }

    /// One server that may challenge us, and our answer to it.
    pub(crate) fn with_password() -> Self {
        let credentials = Credentials { username: "offhook".into(), password: "secret".into() };
        Self::with(vec![Server { credentials: Some(credentials), ..Server::new("skype") }])
    }

    #[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
    pub(crate) fn with(servers: Vec<Server>) -> Self {
        let start = Instant::now();
        let mut random = Random::from_seed([11; 32]);
        let keyed = KeyedState::new(&mut random);
        Self {
            publisher: Publisher::new(servers, Names::new(Owner(1)), keyed, start),
            reports: Vec::new(),
            saved: Vec::new(),
            forgotten: Vec::new(),
            stopped: false,
            now: start,
            random,
            start,
            sent: VecDeque::new(),
            unwritten: None,
            slow_store: false,
        }
    }

    /// From now on nothing is written until [`World::write`].
    pub(crate) fn hold_the_store(&mut self) {
        self.slow_store = true;
    }

    /// All that waits is written.
    pub(crate) fn write(&mut self) {
        if let Some(up_to) = self.unwritten.take() {
            self.give(Input::Written { up_to });
        }
    }

    /// A call of John is answered.
    pub(crate) fn answered(&mut self, call: u64) {
        self.hook(JOHN, call, true);
    }

    /// A call of John ends.
    pub(crate) fn ended(&mut self, call: u64) {
        self.hook(JOHN, call, false);
    }

    pub(crate) fn hook(&mut self, user: &str, call: u64, up: bool) {
        let user = Aor::parse(user).expect("an AoR");
        self.give(Input::Hook { user, display_name: Some("John \"J\" Doe".to_owned()), call, up });
    }

    /// A response to a PUBLISH.
    pub(crate) fn answer(&mut self, sent: &Sent, code: u16, headers: &[&str]) {
        let text = sent.response(code, headers);
        let message = Message::parse(text.as_bytes()).expect("a message");
        self.give(Input::Answer { key: sent.key, message: &message });
    }

    /// 200 with this entity-tag and the time that was asked for.
    pub(crate) fn accept(&mut self, sent: &Sent, tag: &str) {
        self.answer(sent, 200, &[&format!("SIP-ETag: {tag}"), &format!("Expires: {}", sent.expires())]);
    }

    /// A response that comes after its transaction is gone.
    pub(crate) fn late(&mut self, sent: &Sent, code: u16, headers: &[&str]) {
        let text = sent.response(code, headers);
        let message = Message::parse(text.as_bytes()).expect("a message");
        self.give(Input::Late { message: &message });
    }

    /// A PUBLISH gets no answer: the transaction gives up after 32 seconds.
    pub(crate) fn lose(&mut self, sent: &Sent) {
        self.wait(Duration::from_secs(32));
        self.give(Input::Failed { key: sent.key, cause: Failure::TimedOut });
    }

    /// The connection breaks before the answer.
    pub(crate) fn break_off(&mut self, sent: &Sent) {
        self.give(Input::Failed { key: sent.key, cause: Failure::Transport });
    }

    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.publisher.handle(self.now, &mut self.random, input);
        self.drain();
    }

    /// The one PUBLISH that has left and was not looked at yet.
    #[track_caller]
    pub(crate) fn sent(&mut self) -> Sent {
        let sent = self.sent.pop_front().expect("a PUBLISH");
        assert!(self.sent.is_empty(), "one PUBLISH, not two");
        sent
    }

    /// The oldest PUBLISH that has left and was not looked at yet.
    pub(crate) fn next(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// Whether a PUBLISH has left that was not looked at yet.
    pub(crate) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Nothing more has left.
    #[track_caller]
    pub(crate) fn silent(&self) {
        assert!(self.sent.is_empty(), "nothing is sent, but {:?} was", self.sent.front().map(Sent::text));
    }

    /// Lets time pass, to each timeout on the way.
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.until(self.now + duration);
    }

    /// Lets time pass until the next PUBLISH leaves, `at_most` that long; how long it took.
    #[track_caller]
    pub(crate) fn wait_for_publish(&mut self, at_most: Duration) -> (Sent, Duration) {
        self.silent();
        let (before, end) = (self.now, self.now + at_most);
        while self.sent.is_empty() {
            let next = self.publisher.next_timeout().filter(|at| *at <= end).expect("a PUBLISH in time");
            self.until(next.max(self.now));
        }
        (self.sent(), self.now - before)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.random.u64() >> 33) % n
    }

    fn until(&mut self, end: Instant) {
        while let Some(at) = self.publisher.next_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.give(Input::Timeout);
        }
        self.now = end;
        self.give(Input::Timeout);
    }

    fn drain(&mut self) {
        while let Some(output) = self.publisher.poll() {
            match output {
                Output::Send { key, server, instead, request } => {
                    let at = self.now - self.start;
                    self.sent.push_back(Sent { key, server, instead, at, request });
                }
                Output::Save { number, record } => {
                    self.saved.push(record);
                    self.unwritten = Some(number);
                }
                Output::Forget { user, .. } => self.forgotten.push(user),
                Output::Report(report) => self.reports.push(report),
                Output::Stopped => self.stopped = true,
            }
        }
        if !self.slow_store {
            self.write();
        }
    }
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.text().split("\r\n").find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(crate) fn expires(&self) -> u32 {
        self.header("Expires").expect("Expires").parse().expect("a number")
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.header("CSeq").and_then(|cseq| cseq.strip_suffix(" PUBLISH")?.parse().ok()).expect("CSeq")
    }

    pub(crate) fn tag(&self) -> Option<String> {
        self.header("SIP-If-Match")
    }

    /// It begins a publication: a document, no entity-tag.
    #[track_caller]
    pub(crate) fn is_initial(&self) {
        assert_eq!((self.tag(), self.request.body.is_empty()), (None, false));
        assert_ne!(self.expires(), 0);
    }

    /// It prolongs what this entity-tag names.
    #[track_caller]
    pub(crate) fn refreshes(&self, tag: &str) {
        assert_eq!((self.tag().as_deref(), self.request.body.is_empty()), (Some(tag), true));
        assert_ne!(self.expires(), 0);
    }

    /// It takes back what this entity-tag names.
    #[track_caller]
    pub(crate) fn removes(&self, tag: &str) {
        assert_eq!((self.tag().as_deref(), self.request.body.is_empty()), (Some(tag), true));
        assert_eq!(self.expires(), 0);
    }

    /// The headers, as they will be printed.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.request.headers.as_bytes()).into_owned()
    }

    fn response(&self, code: u16, headers: &[&str]) -> String {
        let echoed =
            ["From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", self.header(name).expect(name)));
        let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        format!(
            "SIP/2.0 {code} Answer\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n{}{lines}Content-Length: 0\r\n\r\n",
            echoed.concat()
        )
    }
}

/// Seconds.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
