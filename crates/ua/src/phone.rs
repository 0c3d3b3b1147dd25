//! A phone: it registers, calls, answers, holds and hangs up, or vanishes; time and randomness come from outside.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::digest;
use sip::transaction::{self, ClientKey, Failure, ServerKey, Transactions};
use sip::transport::{Flow, SentBy};
use sip::{Aor, ContactUser, Names, Random, Request, Response};
use wire::sip::{HeaderName, Headers, Message, Method};

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

/// A phone.
pub struct Phone {
    settings: Settings,
    random: Random,
    names: Names,
    transactions: Transactions,
    outputs: VecDeque<Output>,
    asked: BTreeMap<ClientKey, Asked>,
    lines: BTreeMap<u32, Line>,
    next_line: u32,
    registration: Registration,
}

/// What an answer is awaited for.
#[derive(Debug)]
enum Asked {
    Register,
    Invite(u32),
    InDialog(u32),
    /// Nobody minds the answer.
    Bye,
}

#[derive(Debug)]
struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
    credentials: Option<digest::Client>,
}

#[derive(Debug)]
enum Line {
    /// We called, and wait.
    Calling { key: ClientKey, request: Request, credentials: Option<digest::Client>, hung_up: bool },
    /// It rings here.
    Ringing { key: ServerKey, dialog: Box<Dialog>, answer_at: Option<Instant>, offer: bool },
    /// A call stands; the ACK is kept for 2xx that come again.
    Up { dialog: Box<Dialog>, ack: Option<Arc<[u8]>>, invite: Option<ServerKey> },
}

impl Phone {
    /// A phone that has done nothing yet.
    #[must_use]
    pub fn new(settings: Settings, mut random: Random, now: Instant) -> Self {
        let names = Names::new(sip::Owner(0));
        let registration = Registration {
            call_id: names.call_id(&mut random),
            tag: names.tag(&mut random),
            cseq: 0,
            credentials: None,
        };
        let keyed = random.keyed();
        Self {
            transactions: Transactions::new(transaction::Timers::default(), names.clone(), keyed, now),
            settings,
            random,
            names,
            outputs: VecDeque::new(),
            asked: BTreeMap::new(),
            lines: BTreeMap::new(),
            next_line: 0,
            registration,
        }
    }

    /// How many calls stand.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lines.values().filter(|line| matches!(line, Line::Up { .. })).count()
    }

    /// One thing happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Received { flow, octets } => self.received(now, flow, octets),
            Input::Command(command) => self.command(now, command),
            Input::Timeout => {
                self.transactions.handle(now, transaction::Input::Timeout, &mut self.random);
                self.drain(now, None);
                self.answer_due(now);
            }
        }
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
}
