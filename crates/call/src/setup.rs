//! From the INVITE to the answer: routes, branches, the first 2xx, and the races with CANCEL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::dialog::Dialog;
use sip::transaction::ServerKey;
use sip::transport::{Flow, Transport};
use sip::{Aor, ContactUser, Random, Request, Response, Target};
use wire::dialog_info::State;
use wire::sip::{HeaderName, Headers, Message, Method, Scheme, Uri, print};

use crate::calls::{Asked, Branch, Call, Calls, Contacted, Due, Leg, Offer, Phase, Side, party, preferred, requires};
use crate::event::{Evidence, What};
use crate::registrar::Binding;
use crate::routing::{To, first_match};
use crate::session::{self, Session};
use crate::{CallRequest, Output, Source, cross, legs, limits};

impl Calls {
    /// An INVITE that starts a call.
    pub(crate) fn invite(
        &mut self,
        now: Instant,
        random: &mut Random,
        key: ServerKey,
        flow: Flow,
        source: &Source,
        message: &Message<'_>,
    ) {
        let Some(uri) = message.uri().filter(|uri| uri.scheme() != Scheme::Other) else {
            return self.refuse(key, message, 416, "the scheme is unknown");
        };
        if let Some((code, why)) = unfit(message) {
            return self.refuse(key, message, code, why);
        }
        let secure = uri.scheme() == Scheme::Sips;
        if secure && flow.transport() != Transport::Tls {
            return self.refuse(key, message, 480, NOT_SECURE);
        }
        if session::too_brief(&self.settings.session, message) {
            return self.refuse(key, message, 422, "its session is too brief");
        }
        if self.calls.len() >= limits::CALLS {
            return self.refuse(key, message, 503, "too many calls");
        }
        let callee_user = uri.user().unwrap_or_default();
        let route = first_match(&self.settings.routes, source, callee_user).map(|route| route.to.clone());
        let to = match route {
            Some(To::Peer(name)) => self.settings.peers.iter().find(|(peer, _)| *peer == name).cloned().map(Some),
            Some(To::Registered) => Some(None),
            None => None,
        };
        let (Some(to), Ok(from)) = (to, message.from()) else {
            return self.refuse(key, message, 404, "no route matches");
        };
        let tag = self.names().tag(random);
        let dialog = match Dialog::uas(message, &tag) {
            Ok(dialog) => dialog,
            Err(fault) => return self.refuse(key, message, fault.status, fault.reason),
        };
        let (user, peer) = match source {
            Source::User(user) => (Some(user.clone()), None),
            Source::Peer(name) => (None, Some(Arc::clone(name))),
            Source::Nobody => (None, None),
        };
        let is_phone = user.is_some();
        let display: Option<Box<str>> = from.display_name().map(|name| name.as_ref().into());
        let callee_display: Option<Box<str>> =
            message.to().ok().and_then(|to| to.display_name().map(|name| name.as_ref().into()));
        let caller = party(&from.uri, display.clone(), user, peer);
        let callee = party(&uri, callee_display.clone(), None, to.as_ref().map(|(name, _)| Arc::clone(name)));
        let mut headers = Headers::with_capacity(64);
        cross::copy(message, &mut headers);
        let max_forwards = message.max_forwards().ok().flatten().unwrap_or(70);
        let offer = Offer {
            headers,
            body: message.body().into(),
            max_forwards: u8::try_from(max_forwards.saturating_sub(1)).unwrap_or(70),
            secure,
            from_user: from.uri.user().unwrap_or("anonymous").into(),
            display,
            callee_user: callee_user.into(),
            callee_display,
            number: dialog.remote_cseq.unwrap_or_default(),
            private: legs::is_private(message),
        };
        let call = self.number();
        let flow = preferred(flow, is_phone, &dialog);
        let contact = ContactUser { secure, ..ContactUser::of(callee_user) };
        let session = Session::of_caller(&self.settings.session, message, now);
        let leg = Leg::new(dialog, flow, contact, session);
        self.by_tag.insert(tag.as_str().into(), (call, Side::Caller));
        self.by_invite.insert(key, call);
        let phase = Phase::Locating;
        let timer = Some(self.wheel.schedule(now + limits::RINGING, Due::NoAnswer(call)));
        let (id, branches) = (tag.into(), Vec::new());
        let (passed, open_invite, accepted_at) = (Vec::new(), None, None);
        let offered = Call {
            phase,
            id,
            invite: key,
            caller: leg,
            callee: None,
            branches,
            offer,
            timer,
            passed,
            open_invite,
            accepted_at,
        };
        self.calls.insert(call, Box::new(offered));
        let aor = Aor::from_uri(&uri);
        self.event(call, What::Offered { caller, callee });
        self.caller_leg(call, State::Trying);
        match (to, aor) {
            (Some((_, peer)), _) => {
                let target = addressed(&peer, callee_user);
                self.ring(random, call, vec![Contacted { uri: target, path: Vec::new(), hop: peer, flow: None }]);
            }
            (None, Some(aor)) => self.outputs.push_back(Output::Locate { question: call, aor }),
            (None, None) => self.give_up(call, 404, Evidence::Refused(404)),
        }
    }

    /// The registrar has answered where the callee is.
    pub(crate) fn located(&mut self, random: &mut Random, question: u64, bindings: Vec<Binding>) {
        if self.calls.get(&question).is_none_or(|call| call.phase != Phase::Locating) {
            return;
        }
        if bindings.is_empty() {
            return self.give_up(question, 480, Evidence::Refused(480));
        }
        let contacts = bindings.into_iter().take(limits::FORKS).map(|binding| {
            let hop = binding.path.first().unwrap_or(&binding.contact).clone();
            let flow = binding.path.is_empty().then_some(binding.flow);
            Contacted { uri: binding.contact, path: binding.path, hop, flow }
        });
        self.ring(random, question, contacts.collect());
    }

    /// Sends an INVITE to each contact.
    fn ring(&mut self, random: &mut Random, key: u64, mut contacts: Vec<Contacted>) {
        if self.calls.get(&key).is_some_and(|call| call.offer.secure) {
            contacts.retain(|to| is_secure(&to.hop, to.flow));
            if contacts.is_empty() {
                return self.give_up(key, 480, Evidence::Refused(480));
            }
        }
        let expires = self.settings.session.expires;
        for to in contacts {
            let (local_tag, call_id) = (self.names().tag(random).into(), self.names().call_id(random).into());
            let Some(call) = self.calls.get_mut(&key) else { return };
            call.phase = Phase::Ringing;
            let contact = ContactUser { secure: call.offer.secure, ..ContactUser::of(call.offer.from_user.clone()) };
            let (request, outcome, ended) = (CallRequest(0), None, Vec::new());
            let mut branch = Branch { request, local_tag, call_id, number: 1, to, contact, outcome, ended };
            branch.request = self.send_invite(key, &branch, expires);
            let branch_request = branch.request;
            if let Some(call) = self.calls.get_mut(&key) {
                call.branches.push(branch);
            }
            self.branch_leg(key, branch_request, None, State::Trying);
        }
    }

    /// Sends the INVITE of a branch.
    fn send_invite(&mut self, key: u64, branch: &Branch, expires: Duration) -> CallRequest {
        let min = self.settings.session.min_expires.max(expires.min(limits::LONGEST_SESSION));
        let min = if expires > self.settings.session.expires { min } else { self.settings.session.min_expires };
        let Branch { to: Contacted { uri, path, hop, flow }, local_tag, .. } = branch;
        let mut request = Request::new(Method::Invite, uri.clone());
        if let Some(offer) = self.calls.get(&key).map(|call| &call.offer) {
            let domain = &self.settings.domain;
            request.max_forwards = offer.max_forwards;
            request.contact = Some(branch.contact.clone());
            let display = offer.display.as_deref().map(|name| format!("{} ", print::quoted(name))).unwrap_or_default();
            let headers = &mut request.headers;
            headers.push_fmt(
                HeaderName::From,
                format_args!("{display}<sip:{}@{domain}>;tag={local_tag}", offer.from_user),
            );
            let host = Uri::parse(uri.as_bytes()).map_or_else(|_| domain.to_string(), |uri| uri.host_str().to_owned());
            let display = offer.callee_display.as_deref().map(|name| format!("{} ", print::quoted(name)));
            let display = display.unwrap_or_default();
            headers.push_fmt(HeaderName::To, format_args!("{display}<sip:{}@{host}>", offer.callee_user));
            for hop in path {
                headers.push_fmt(HeaderName::Route, format_args!("<{hop}>"));
            }
            headers.push(HeaderName::CallId, branch.call_id.as_bytes());
            headers.push_fmt(HeaderName::CSeq, format_args!("{} INVITE", branch.number));
            headers.push(HeaderName::Allow, cross::ALLOW);
            session::ask(expires, min, headers);
            headers.extend(&offer.headers);
            request.body = Arc::clone(&offer.body);
        }
        self.send(Asked::Invite { call: key }, Target { uri: hop.clone(), flow: *flow }, request)
    }

    /// The callee's side wants longer sessions: the INVITE goes again, once (RFC 4028 section 7.4). Whether it did.
    fn lengthened(&mut self, key: u64, request: CallRequest, message: &Message<'_>) -> bool {
        let Some(expires) = session::wanted(message, self.settings.session.expires) else { return false };
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.phase == Phase::Ringing) else { return false };
        let place = call.branches.iter().position(|branch| branch.request == request && branch.number == 1);
        let Some(place) = place else { return false };
        let mut branch = call.branches.remove(place);
        self.requests.remove(&request);
        branch.number += 1;
        branch.request = self.send_invite(key, &branch, expires);
        if let Some(call) = self.calls.get_mut(&key) {
            call.branches.insert(place, branch);
        }
        true
    }

    /// A response to the INVITE of a branch.
    pub(crate) fn branch_response(
        &mut self,
        key: u64,
        request: CallRequest,
        message: &Message<'_>,
        code: u16,
        flow: Flow,
    ) {
        if code == 422 && self.lengthened(key, request, message) {
            return;
        }
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(branch) = call.branches.iter_mut().find(|branch| branch.request == request) else { return };
        if (200..300).contains(&code) {
            call.accepted_at = Some(self.now);
        }
        match code {
            100 => {}
            101..200 => {
                if call.phase == Phase::Ringing {
                    let response = passed_on(message, code, call);
                    let invite = call.invite;
                    self.respond(invite, response);
                    let tag = message.to_tag();
                    self.branch_leg(key, request, tag, if tag.is_some() { State::Early } else { State::Proceeding });
                    self.caller_leg(key, State::Early);
                }
            }
            200..300 if call.phase == Phase::Ringing => {
                branch.outcome = Some(code);
                self.answered(key, request, message, code, flow);
            }
            200..300 => self.answered_again(key, request, message, flow),
            _ => {
                branch.outcome = Some(code);
                self.branch_refused(key, request, message.to_tag(), code);
                let Some(call) = self.calls.get(&key) else { return };
                // A 6xx speaks for the user: the other phones need not ring on (RFC 3261 section 16.7).
                if code >= 600 {
                    let open = call.branches.iter().filter(|branch| branch.outcome.is_none());
                    self.outputs.extend(open.map(|branch| Output::Cancel { key: branch.request }));
                }
                self.branch_failed(key);
            }
        }
    }

    /// The first 2xx wins the call.
    fn answered(&mut self, key: u64, request: CallRequest, message: &Message<'_>, code: u16, flow: Flow) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let dialog = match Dialog::uac(message, message) {
            Ok(dialog) => dialog,
            // A 2xx without Contact makes no dialog that could be used or ended.
            Err(_) => {
                if let Some(branch) = call.branches.iter_mut().find(|branch| branch.request == request) {
                    branch.outcome = Some(502);
                }
                return self.branch_failed(key);
            }
        };
        call.phase = Phase::Up;
        if let Some(timer) = call.timer.take() {
            self.wheel.cancel(timer);
        }
        let Some(branch) = call.branches.iter().find(|branch| branch.request == request) else { return };
        let flow = branch.to.flow.or_else(|| preferred(flow, false, &dialog));
        let mut session = Session::of_callee(&self.settings.session, message, self.now);
        session.describe(&call.offer.headers, &call.offer.body);
        let leg =
            Leg { unacknowledged: Some(branch.number), ..Leg::new(dialog, flow, branch.contact.clone(), session) };
        self.by_tag.insert(branch.local_tag.clone(), (key, Side::Callee));
        call.callee = Some(leg);
        let (invite, early_offer) = (call.invite, !call.offer.body.is_empty());
        call.caller.answered = Some((call.offer.number, invite));
        let mut response = passed_on(message, code, call);
        let session = &mut call.caller.session;
        session.accept(&self.settings.session, self.now, &mut response.headers);
        session.describe(&response.headers, &response.body);
        let losers: Vec<CallRequest> =
            call.branches.iter().filter(|branch| branch.outcome.is_none()).map(|branch| branch.request).collect();
        self.respond(invite, response);
        self.outputs.extend(losers.into_iter().map(|key| Output::Cancel { key }));
        self.legs_up(key, request, message);
        self.event(key, What::Answered);
        if early_offer {
            // The offer was in our INVITE, so the ACK has nothing to wait for.
            self.acknowledge(key, Side::Callee, None);
        }
        self.save(key);
        self.watch(key);
    }

    /// A 2xx that did not win: the winner's again, of a branch that lost, of a fork behind us, or after CANCEL.
    fn answered_again(&mut self, key: u64, request: CallRequest, message: &Message<'_>, flow: Flow) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let remote_tag = message.to_tag().unwrap_or_default();
        if let Some(callee) = &call.callee
            && *callee.dialog.id.remote_tag == *remote_tag
            && message.call_id().is_ok_and(|call_id| call_id == &*callee.dialog.id.call_id)
        {
            let again = callee
                .ack
                .filter(|(number, _)| message.cseq().is_ok_and(|cseq| cseq.number == *number))
                .map(|(_, keep)| Output::AckAgain { keep });
            return self.outputs.extend(again);
        }
        let Some(branch) = call.branches.iter_mut().find(|branch| branch.request == request) else { return };
        branch.outcome = branch.outcome.or(Some(487));
        if let Some((_, keep)) = branch.ended.iter().find(|(tag, _)| **tag == *remote_tag) {
            let keep = *keep;
            return self.outputs.push_back(Output::AckAgain { keep });
        }
        let (branch_flow, number) = (branch.to.flow, branch.number);
        if let Ok(mut dialog) = Dialog::uac(message, message) {
            let flow = branch_flow.or_else(|| preferred(flow, false, &dialog));
            let target = Target { uri: dialog.next_hop().into(), flow };
            let (ack, bye) = (dialog.ack(number), dialog.request(Method::Bye));
            let keep = self.number();
            // Should we die before that BYE arrives, this side would believe in its call for ever.
            let id = self.save_late(dialog, flow);
            self.outputs.push_back(Output::Ack { target: target.clone(), request: ack, keep });
            self.send(Asked::LastBye { id }, target, bye);
            let branch =
                self.calls.get_mut(&key).and_then(|call| call.branches.iter_mut().find(|b| b.request == request));
            match branch {
                Some(branch) if branch.ended.len() < limits::FORKS => branch.ended.push((remote_tag.into(), keep)),
                _ => self.outputs.push_back(Output::AckForget { keep }),
            }
        }
        self.remove_if_done(key);
    }

    /// A branch has failed; when all have, the caller hears of the best failure (RFC 3261 section 16.7).
    pub(crate) fn branch_failed(&mut self, key: u64) {
        let Some(call) = self.calls.get(&key) else { return };
        if call.phase == Phase::Ringing && call.branches.iter().all(|branch| branch.outcome.is_some()) {
            let outcomes = call.branches.iter().filter_map(|branch| branch.outcome);
            let best = outcomes.min_by_key(|code| (*code < 600, *code / 100, *code)).unwrap_or(480);
            return self.give_up(key, cross::reported(best), Evidence::Refused(best));
        }
        self.remove_if_done(key);
    }

    /// Ends a call that was not answered: the caller gets this status, the branches CANCEL.
    pub(crate) fn give_up(&mut self, key: u64, code: u16, evidence: Evidence) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if !matches!(call.phase, Phase::Locating | Phase::Ringing) {
            return;
        }
        call.phase = Phase::Over;
        let tag = call.caller.dialog.id.local_tag.clone();
        let invite = call.invite;
        let open: Vec<CallRequest> =
            call.branches.iter().filter(|branch| branch.outcome.is_none()).map(|branch| branch.request).collect();
        let mut response = Response { to_tag: Some(tag), ..Response::new(code) };
        if code == 503 {
            response.headers.push(HeaderName::RetryAfter, "10");
        }
        if call.offer.secure && call.branches.is_empty() {
            response
                .headers
                .push_fmt(HeaderName::Warning, format_args!("399 {} \"{NOT_SECURE}\"", self.settings.domain));
        }
        self.respond(invite, response);
        self.outputs.extend(open.into_iter().map(|key| Output::Cancel { key }));
        self.ended(key, evidence);
        self.remove_if_done(key);
    }

    /// The caller gave up; or a side gave up its INVITE inside the call, which the other side then hears of.
    pub(crate) fn cancelled(&mut self, invite: ServerKey) {
        if let Some(key) = self.by_invite.get(&invite).copied() {
            return self.give_up(key, 487, Evidence::Cancelled);
        }
        let is_it = |asked: &Asked| matches!(asked, Asked::Passed { method: Method::Invite, waits: Some(waits), .. } if *waits == invite);
        let found = self.requests.iter().find(|(_, asked)| is_it(asked)).map(|(key, _)| *key);
        self.outputs.extend(found.map(|key| Output::Cancel { key }));
    }

    pub(crate) fn no_answer(&mut self, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.timer = None;
        }
        self.give_up(key, 480, Evidence::NoAnswer);
    }
}

/// What a `sips:` call is told that cannot come or leave so.
pub(crate) const NOT_SECURE: &str = "sips, and a hop is not TLS";

/// Whether requests that go to this URI, or by this flow, leave over TLS.
fn is_secure(hop: &str, flow: Option<Flow>) -> bool {
    match (flow, Uri::parse(hop.as_bytes())) {
        (Some(flow), _) => flow.transport() == Transport::Tls,
        (None, Ok(uri)) => {
            uri.scheme() == Scheme::Sips || uri.transport().is_some_and(|name| name.eq_ignore_ascii_case("tls"))
        }
        (None, Err(_)) => false,
    }
}

/// Why an INVITE cannot become a call, with the status it earns.
fn unfit(message: &Message<'_>) -> Option<(u16, &'static str)> {
    if message.max_forwards() == Ok(Some(0)) {
        return Some((483, "it has passed too many hops"));
    }
    if requires(message) {
        return Some((420, "it requires what we do not have"));
    }
    let known = |media: wire::sip::MediaType<'_>| {
        let kind = media.essence.split('/').next().unwrap_or_default();
        media.is("application/sdp") || kind.eq_ignore_ascii_case("multipart")
    };
    if !message.body().is_empty() && !message.content_type().is_some_and(known) {
        return Some((415, "the body is no session description"));
    }
    (!message.accepts("application/sdp")).then_some((406, "it takes no session description"))
}

/// A response of the callee's side as the caller gets it.
fn passed_on(message: &Message<'_>, code: u16, call: &Call) -> Response {
    let mut response = Response::new(code);
    response.to_tag = Some(call.caller.dialog.id.local_tag.clone());
    response.contact = Some(call.caller.contact.clone());
    if code >= 200 {
        response.headers.push(HeaderName::Allow, cross::ALLOW);
    }
    cross::copy(message, &mut response.headers);
    response.body = message.body().into();
    response
}

/// The URI of a peer with the callee's user part.
fn addressed(peer: &str, user: &str) -> Box<str> {
    let Ok(uri) = Uri::parse(peer.as_bytes()) else { return peer.into() };
    let scheme = if uri.scheme() == Scheme::Sips { "sips" } else { "sip" };
    let at = if user.is_empty() { "" } else { "@" };
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let transport = uri.transport().map(|name| format!(";transport={name}")).unwrap_or_default();
    format!("{scheme}:{user}{at}{}{port}{transport}", uri.host_str()).into()
}
