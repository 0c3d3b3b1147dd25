//! All calls of one node: the tables by which a message finds its call, and what starts no call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use sip::dialog::Dialog;
use sip::timer::{TimerKey, Wheel};
use sip::transaction::ServerKey;
use sip::transport::Flow;
use sip::{ContactUser, KeyedMap, KeyedState, Names, NumberMap, Random, Request, Response, Target};
use wire::sip::{HeaderName, Headers, Message, Method, Scheme, Uri};

use crate::event::{CallEvent, CallKey, Evidence, Party, What};
use crate::session::Session;
use crate::{CallRecord, CallRequest, Input, LegRecord, Mutant, Output, Report, Settings, cross, limits};

/// Which leg of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// One leg: its dialog, and what is under way on it.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) dialog: Dialog,
    pub(crate) flow: Option<Flow>,
    /// Our Contact on this leg.
    pub(crate) contact: ContactUser,
    /// The INVITE of the other side that we answered last: its number and transaction.
    pub(crate) answered: Option<(u32, ServerKey)>,
    /// The 2xx to our INVITE with this number still waits for its ACK.
    pub(crate) unacknowledged: Option<u32>,
    /// The ACK of our INVITE with this number, kept.
    pub(crate) ack: Option<(u32, u64)>,
    /// An INVITE of ours or theirs is under way on this leg.
    pub(crate) busy: bool,
    /// It is hung up once its ACK has come, or will not come any more (RFC 3261 section 15).
    pub(crate) bye_owed: bool,
    /// Its session timer.
    pub(crate) session: Session,
}

impl Leg {
    /// A leg on which nothing is under way.
    pub(crate) fn new(dialog: Dialog, flow: Option<Flow>, contact: ContactUser, session: Session) -> Self {
        Self {
            dialog,
            flow,
            contact,
            answered: None,
            unacknowledged: None,
            ack: None,
            busy: false,
            bye_owed: false,
            session,
        }
    }
}

/// Where one INVITE goes.
#[derive(Clone, Debug)]
pub(crate) struct Contacted {
    /// The Request-URI.
    pub(crate) uri: Box<str>,
    /// The Path of a registration.
    pub(crate) path: Vec<Box<str>>,
    /// The URI of the next hop.
    pub(crate) hop: Box<str>,
    /// The flow to prefer.
    pub(crate) flow: Option<Flow>,
}

/// One INVITE to one contact.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) request: CallRequest,
    pub(crate) local_tag: Box<str>,
    pub(crate) call_id: Box<str>,
    /// The number of the INVITE: another one has followed where the first asked for too brief a session.
    pub(crate) number: u32,
    pub(crate) to: Contacted,
    pub(crate) contact: ContactUser,
    /// The final status, once there is one.
    pub(crate) outcome: Option<u16>,
    /// Dialogs that a 2xx made and that were ended at once, by the other side's tag, with their ACKs.
    pub(crate) ended: Vec<(Box<str>, u64)>,
}

/// How far a call has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The registrar is asked.
    Locating,
    /// Branches ring.
    Ringing,
    /// Answered.
    Up,
    /// Over; branches may still have something to say.
    Over,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) phase: Phase,
    pub(crate) id: Box<str>,
    pub(crate) invite: ServerKey,
    pub(crate) caller: Leg,
    pub(crate) callee: Option<Leg>,
    pub(crate) branches: Vec<Branch>,
    pub(crate) offer: Offer,
    pub(crate) timer: Option<TimerKey>,
    /// Requests passed from one leg to the other whose entries still stand.
    pub(crate) passed: Vec<CallRequest>,
    /// The INVITE among them that has no final response yet.
    pub(crate) open_invite: Option<CallRequest>,
    /// When the last 2xx to an INVITE of ours came.
    pub(crate) accepted_at: Option<Instant>,
}

/// What the caller's INVITE brought along.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) headers: Headers,
    pub(crate) body: Arc<[u8]>,
    pub(crate) max_forwards: u8,
    /// It was for a SIPS URI: no hop may be in the clear.
    pub(crate) secure: bool,
    pub(crate) from_user: Box<str>,
    pub(crate) display: Option<Box<str>>,
    pub(crate) callee_user: Box<str>,
    pub(crate) callee_display: Option<Box<str>>,
    /// The number of the INVITE.
    pub(crate) number: u32,
    /// Whether a party has asked not to be shown.
    pub(crate) private: bool,
}

/// What a request of ours is for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// The INVITE of a branch.
    Invite { call: u64 },
    /// A request passed on inside a dialog: its own number, that of the request it came from, and who waits, if anybody
    /// still does.
    Passed { call: u64, to: Side, method: Method, number: u32, asked: u32, waits: Option<ServerKey> },
    /// A request of our own that refreshes the session of a leg.
    Refresh { call: u64, side: Side, method: Method, number: u32 },
    /// A BYE: nobody waits.
    Bye,
    /// The BYE of a call that we end: its record stays until it is answered.
    LastBye { id: Box<str> },
    /// A BYE of an earlier run's call.
    Leftover { tag: Box<str> },
}

#[derive(Clone, Debug)]
pub(crate) enum Due {
    NoAnswer(u64),
    Drop(u64),
    TooLong(u64),
    Session(u64, Side),
    /// A leg of an earlier run's call gets its last BYE, and is forgotten; by our tag.
    Ghost(Box<str>),
}

/// All calls of one node.
#[derive(Debug)]
pub struct Calls {
    pub(crate) settings: Settings,
    names: Names,
    pub(crate) calls: NumberMap<Box<Call>>,
    /// By our own tag: the call and the leg.
    pub(crate) by_tag: KeyedMap<Box<str>, (u64, Side)>,
    pub(crate) by_invite: NumberMap<u64, ServerKey>,
    pub(crate) requests: NumberMap<Asked, CallRequest>,
    /// Legs of earlier runs that still wait for the answer to their BYE, by record.
    leftovers: KeyedMap<Box<str>, usize>,
    /// Legs of earlier runs by our own tag, as long as a 2xx of that run may still be under way: whoever acknowledges one
    /// has not heard the BYE that overtook it.
    ghosts: KeyedMap<Box<str>, (Leg, Box<str>)>,
    pub(crate) wheel: Wheel<Due>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) numbered: u64,
    stopping: bool,
    mutant: Option<Mutant>,
    /// The time of the newest input.
    pub(crate) now: Instant,
}

impl Calls {
    /// No calls.
    #[must_use]
    pub fn new(settings: Settings, names: Names, keyed: KeyedState, now: Instant) -> Self {
        Self {
            settings,
            names,
            calls: NumberMap::default(),
            by_tag: KeyedMap::with_hasher(keyed),
            by_invite: NumberMap::default(),
            requests: NumberMap::default(),
            leftovers: KeyedMap::with_hasher(keyed),
            ghosts: KeyedMap::with_hasher(keyed),
            wheel: Wheel::new(now),
            outputs: VecDeque::new(),
            numbered: 0,
            stopping: false,
            mutant: None,
            now,
        }
    }

    /// Breaks it on purpose.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    pub(crate) fn is_broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The names that are made here.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many calls there are, those that end included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing is left: no call, no request, no tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.by_tag.is_empty() && self.by_invite.is_empty() && self.requests.is_empty()
    }

    /// From now on these are the settings; calls under way keep what was negotiated.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// One thing happened; drain [`Calls::poll`] after it.
    pub fn handle(&mut self, now: Instant, random: &mut Random, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Request { key, flow, source, message } => match (message.method(), message.to_tag()) {
                (Method::Invite, None) if self.stopping => self.refuse(key, message, 503, "we stop"),
                (Method::Invite, None) => self.invite(now, random, key, flow, &source, message),
                (_, Some(_)) => self.inside(key, message),
                (_, None) => self.outside(key, message),
            },
            Input::Ack { message } => self.acknowledged(message),
            Input::Cancelled { invite } => self.cancelled(invite),
            Input::Response { key, message, flow } => self.response(key, message, flow),
            Input::Failed { key, cause } => self.failed(key, cause),
            Input::AckMissing { key } => self.ack_missing(key),
            Input::Located { question, bindings } => self.located(random, question, bindings),
            Input::Restore(record) => self.restore(*record),
            Input::Stop => self.stop(),
            Input::Timeout => {
                while let Some(due) = self.wheel.expire(now) {
                    match due {
                        Due::NoAnswer(call) => self.no_answer(call),
                        Due::TooLong(call) => self.too_long(call),
                        Due::Session(call, side) => {
                            if let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) {
                                leg.session.due = None;
                            }
                            self.tend(call, side);
                        }
                        Due::Ghost(tag) => {
                            self.hang_up_once_more(&tag);
                            self.leftover_settled(&tag);
                        }
                        Due::Drop(call) => {
                            if let Some(call) = self.calls.get_mut(&call) {
                                call.timer = None;
                            }
                            self.remove_if_done(call);
                        }
                    }
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

    pub(crate) fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    pub(crate) fn respond(&mut self, key: ServerKey, response: Response) {
        self.outputs.push_back(Output::Respond { key, response });
    }

    /// The methods that this node takes outside dialogs.
    fn allowed(&self) -> String {
        let beside = self.settings.beside.methods.iter();
        beside.fold(cross::ALLOW.to_owned(), |all, method| all + ", " + method)
    }

    /// Answers a request that becomes no call.
    pub(crate) fn refuse(&mut self, key: ServerKey, message: &Message<'_>, code: u16, why: &'static str) {
        let mut response = Response::new(code);
        match code {
            405 | 501 => drop(response.headers.push(HeaderName::Allow, self.allowed())),
            415 => drop(response.headers.push(HeaderName::Accept, "application/sdp")),
            422 => {
                let least = self.settings.session.min_expires.as_secs();
                response.headers.push_fmt(HeaderName::MinSe, format_args!("{least}"));
            }
            503 => drop(response.headers.push(HeaderName::RetryAfter, "10")),
            480 => {
                response.headers.push_fmt(HeaderName::Warning, format_args!("399 {} \"{why}\"", self.settings.domain));
            }
            420 => {
                let required =
                    message.option_tags(HeaderName::Require).filter(|tag| !tag.eq_ignore_ascii_case("timer"));
                for tag in required.chain(message.option_tags(HeaderName::ProxyRequire)) {
                    response.headers.push(HeaderName::Unsupported, tag);
                }
            }
            _ => {}
        }
        let uri = message.request().map(|line| String::from_utf8_lossy(line.uri).into_owned()).unwrap_or_default();
        let method = message.method().as_str();
        self.outputs.push_back(Output::Report(Report::Refused { method, uri: uri.into(), code, why }));
        self.respond(key, response);
    }

    /// Sends a request of ours.
    pub(crate) fn send(&mut self, asked: Asked, target: Target, request: Request) -> CallRequest {
        let key = CallRequest(self.number());
        self.requests.insert(key, asked);
        self.outputs.push_back(Output::Send { key, target, request });
        key
    }

    /// A request outside any dialog that is no INVITE.
    fn outside(&mut self, key: ServerKey, message: &Message<'_>) {
        let scheme = message.uri().map(|uri| uri.scheme());
        match message.method() {
            Method::Unknown => self.refuse(key, message, 501, "the method is unknown"),
            _ if matches!(scheme, None | Some(Scheme::Other)) => {
                self.refuse(key, message, 416, "the scheme is unknown");
            }
            _ if requires(message) => self.refuse(key, message, 420, "it requires what we do not have"),
            Method::Options => {
                let mut response = capabilities(&self.allowed());
                let events = &self.settings.beside.events;
                if !events.is_empty() {
                    // RFC 3903 section 7, RFC 6665 section 4.4.4.
                    response.headers.push(HeaderName::AllowEvents, events.join(", "));
                }
                self.respond(key, response);
            }
            Method::Bye | Method::Update | Method::Info | Method::Prack | Method::Notify => {
                self.refuse(key, message, 481, "it belongs to no dialog");
            }
            _ => self.refuse(key, message, 405, "the method is not for us"),
        }
    }

    /// A call of an earlier run: both legs are hung up, so that nobody goes on talking unseen.
    fn restore(&mut self, record: CallRecord) {
        if self.is_broken(Mutant::LeftoversForgotten) {
            return;
        }
        let CallRecord { id, legs } = record;
        self.leftovers.insert(id.clone(), legs.len());
        self.outputs.push_back(Output::Report(Report::HungUpAfterRestart { id: id.clone() }));
        for leg in legs {
            let mut dialog = leg.dialog;
            dialog.local_cseq = dialog.local_cseq.saturating_add(limits::CSEQ_SLACK);
            let request = dialog.request(Method::Bye);
            let target = Target { uri: dialog.next_hop().into(), flow: leg.flow };
            let tag = dialog.id.local_tag.clone();
            self.send(Asked::Leftover { tag: tag.clone() }, target, request);
            self.wheel.schedule(self.now + limits::GHOST, Due::Ghost(tag.clone()));
            let session = Session::new(&self.settings.session, self.now);
            let ghost = (Leg::new(dialog, leg.flow, ContactUser::default(), session), id.clone());
            // No two legs have one tag, unless a record is damaged: the first is not waited for then.
            if let Some((_, id)) = self.ghosts.insert(tag, ghost) {
                self.confirmed(id);
            }
        }
    }

    /// An ACK that belongs to no call: where it acknowledges a 2xx of an earlier run, that side believes in a call that
    /// has ended, and gets its BYE again.
    pub(crate) fn ghost(&mut self, message: &Message<'_>) {
        let Some(tag) = message.to_tag() else { return };
        let Some((leg, _)) = self.ghosts.get(tag) else { return };
        let fits = message.call_id() == Ok(&*leg.dialog.id.call_id)
            && message.from_tag().unwrap_or_default() == &*leg.dialog.id.remote_tag;
        if fits {
            self.hang_up_once_more(tag);
        }
    }

    /// A leg of an earlier run that has not confirmed its BYE gets another one.
    fn hang_up_once_more(&mut self, tag: &str) {
        let Some((leg, _)) = self.ghosts.get_mut(tag) else { return };
        let (request, target) = (leg.dialog.request(Method::Bye), target(leg));
        self.send(Asked::Bye, target, request);
    }

    /// One leg of an earlier run's call is settled: that side has confirmed its BYE, or cannot believe in the call any more.
    /// With the second one the record goes.
    pub(crate) fn leftover_settled(&mut self, tag: &str) {
        if let Some((_, id)) = self.ghosts.remove(tag) {
            self.confirmed(id);
        }
    }

    /// One side of a call that is over has confirmed its BYE, or never will; with the last one the record goes.
    pub(crate) fn confirmed(&mut self, id: Box<str>) {
        let Some(left) = self.leftovers.get_mut(&id) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.leftovers.remove(&id);
            self.drop_record(id);
        }
    }

    fn drop_record(&mut self, id: Box<str>) {
        if !self.is_broken(Mutant::RecordNotForgotten) {
            self.outputs.push_back(Output::Forget { id });
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        let mut keys: Vec<u64> = self.calls.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            match self.calls.get(&key).map(|call| &call.phase) {
                Some(Phase::Up) => self.hang_up(key, Evidence::Stopping, true, true),
                Some(Phase::Locating | Phase::Ringing) => self.give_up(key, 503, Evidence::Stopping),
                _ => {}
            }
        }
    }

    /// Ends an answered call: BYE to the legs that need one.
    pub(crate) fn hang_up(&mut self, key: u64, evidence: Evidence, bye_caller: bool, bye_callee: bool) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.phase != Phase::Up {
            return;
        }
        call.phase = Phase::Over;
        let timers = [call.timer.take(), call.caller.session.due.take()];
        let callee = call.callee.as_mut().and_then(|leg| leg.session.due.take());
        for timer in timers.into_iter().chain([callee]).flatten() {
            self.wheel.cancel(timer);
        }
        let mut sends = Vec::new();
        let mut owed = 0;
        let passes = self.mutant != Some(Mutant::ByeNotPassed);
        let legs = [(Some(&mut call.caller), bye_caller && passes), (call.callee.as_mut(), bye_callee && passes)];
        for leg in legs.into_iter().filter_map(|(leg, bye)| leg.filter(|_| bye)) {
            // What was answered must be acknowledged before it can be ended.
            if leg.answered.is_some() && evidence != Evidence::NoAck {
                leg.bye_owed = true;
                owed += 1;
                continue;
            }
            if let Some(number) = leg.unacknowledged.take() {
                sends.push((false, target(leg), leg.dialog.ack(number)));
            }
            let request = leg.dialog.request(Method::Bye);
            sends.push((true, target(leg), request));
        }
        let (id, passed) = (call.id.clone(), call.passed.clone());
        // An INVITE inside the call that nobody answers any more would keep it for ever.
        self.outputs.extend(call.open_invite.map(|key| Output::Cancel { key }));
        self.release(&passed);
        owed += sends.iter().filter(|(bye, _, _)| *bye).count();
        // The record stays until each side has confirmed its BYE: should we die meanwhile, they get it again.
        if owed == 0 {
            self.drop_record(id.clone());
        } else {
            self.leftovers.insert(id.clone(), owed);
        }
        for (bye, target, request) in sends {
            if bye {
                self.send(Asked::LastBye { id: id.clone() }, target, request);
            } else {
                let keep = self.number();
                self.outputs.push_back(Output::Ack { target, request, keep });
                self.outputs.push_back(Output::AckForget { keep });
            }
        }
        self.ended(key, evidence);
        self.remove_if_done(key);
    }

    /// Requests that still wait for the other side's answer hear that the call is over (RFC 3261 section 15.1.2).
    fn release(&mut self, passed: &[CallRequest]) {
        for request in passed {
            if let Some(Asked::Passed { waits, .. }) = self.requests.get_mut(request)
                && let Some(key) = waits.take()
            {
                self.respond(key, Response::new(487));
            }
        }
    }

    /// Hangs up a leg whose BYE had to wait for its ACK.
    pub(crate) fn pay_bye(&mut self, key: u64, side: Side) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.phase == Phase::Over) else { return };
        let id = call.id.clone();
        if let Some(leg) = call.leg(side).filter(|leg| leg.bye_owed) {
            leg.bye_owed = false;
            let (target, request) = (target(leg), leg.dialog.request(Method::Bye));
            self.send(Asked::LastBye { id }, target, request);
        }
        self.remove_if_done(key);
    }

    pub(crate) fn event(&mut self, call: u64, what: What) {
        if what == What::Answered && self.is_broken(Mutant::AnswerNotTold) {
            return;
        }
        self.outputs.push_back(Output::Event(CallEvent { call: CallKey(call), what }));
    }

    pub(crate) fn ended(&mut self, call: u64, evidence: Evidence) {
        self.outputs.push_back(Output::Report(Report::Ended { call: CallKey(call), evidence }));
        if self.is_broken(Mutant::EndNotTold) {
            return;
        }
        self.event(call, What::Ended { evidence });
    }

    /// Writes down what a BYE on both legs needs.
    pub(crate) fn save(&mut self, key: u64) {
        if self.is_broken(Mutant::RecordNotSaved) {
            return;
        }
        let Some(call) = self.calls.get(&key).filter(|call| call.phase == Phase::Up) else { return };
        let Some(callee) = &call.callee else { return };
        let legs = [&call.caller, callee].map(|leg| LegRecord::new(leg.dialog.clone(), leg.flow)).into();
        self.outputs.push_back(Output::Save(CallRecord { id: call.id.clone(), legs }));
    }

    /// Writes down what the BYE to a callee needs whose 2xx came when nobody waited for it any more; the record's name.
    pub(crate) fn save_late(&mut self, dialog: Dialog, flow: Option<Flow>) -> Box<str> {
        let id: Box<str> = dialog.id.local_tag.clone();
        // Several forks behind us have our tag in common: the record goes with the last BYE, and is of the last dialog.
        *self.leftovers.get_or_default(id.clone()) += 1;
        if !self.is_broken(Mutant::RecordNotSaved) {
            let legs = vec![LegRecord::new(dialog, flow)];
            self.outputs.push_back(Output::Save(CallRecord { id: id.clone(), legs }));
        }
        id
    }

    /// Drops a call that is over once no branch of it can say anything any more.
    pub(crate) fn remove_if_done(&mut self, key: u64) {
        let Some(call) = self.calls.get(&key) else { return };
        let owed = |leg: &Leg| leg.bye_owed;
        let open = call.branches.iter().any(|branch| branch.outcome.is_none())
            || call.open_invite.is_some()
            || owed(&call.caller)
            || call.callee.as_ref().is_some_and(owed);
        if call.phase != Phase::Over || open {
            return;
        }
        if let Some(until) = call.accepted_at.map(|at| at + limits::ACCEPTED).filter(|until| *until > self.now) {
            let timer = self.wheel.schedule(until, Due::Drop(key));
            let old = self.calls.get_mut(&key).and_then(|call| call.timer.replace(timer));
            if let Some(old) = old {
                self.wheel.cancel(old);
            }
            return;
        }
        let Some(mut call) = self.calls.remove(&key) else { return };
        for request in &call.passed {
            self.requests.remove(request);
        }
        if let Some(timer) = call.timer.take() {
            self.wheel.cancel(timer);
        }
        self.by_invite.remove(&call.invite);
        for leg in std::iter::once(&call.caller).chain(&call.callee) {
            self.by_tag.remove(&leg.dialog.id.local_tag);
            self.outputs.extend(leg.ack.map(|(_, keep)| Output::AckForget { keep }));
        }
        for branch in &call.branches {
            self.requests.remove(&branch.request);
            self.outputs.extend(branch.ended.iter().map(|(_, keep)| Output::AckForget { keep: *keep }));
        }
    }
}

/// Where the requests of a leg go.
pub(crate) fn target(leg: &Leg) -> Target {
    Target { uri: leg.dialog.next_hop().into(), flow: leg.flow }
}

/// Whether a request requires an extension that we do not have: session timers are the one we have.
pub(crate) fn requires(message: &Message<'_>) -> bool {
    let unknown = |tag: &str| !tag.eq_ignore_ascii_case("timer");
    message.option_tags(HeaderName::Require).any(unknown)
        || message.option_tags(HeaderName::ProxyRequire).next().is_some()
}

/// What OPTIONS is answered with.
pub(crate) fn capabilities(allowed: &str) -> Response {
    let mut response = Response::new(200);
    response.headers.push(HeaderName::Allow, allowed);
    response.headers.push(HeaderName::Accept, "application/sdp");
    response.headers.push(HeaderName::Supported, "path, timer");
    response
}

/// The flow that requests of a dialog prefer: a stream always; over UDP the way a phone came, unless proxies stand
/// between.
pub(crate) fn preferred(flow: Flow, is_phone: bool, dialog: &Dialog) -> Option<Flow> {
    match flow {
        Flow::Udp { .. } => (is_phone && dialog.route_set.is_empty()).then_some(flow),
        Flow::Stream { .. } | Flow::Internal => Some(flow),
    }
}

/// A party of a call.
pub(crate) fn party(uri: &Uri<'_>, display: Option<Box<str>>, user: Option<sip::Aor>, peer: Option<Arc<str>>) -> Party {
    Party { uri: uri.as_str().into(), aor: sip::Aor::from_uri(uri), display, user, peer }
}
