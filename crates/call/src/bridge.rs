//! Inside a call: what one side asks passes to the other, and its answer passes back.

use std::sync::Arc;

use sip::Response;
use sip::transaction::{Failure, ServerKey};
use sip::transport::Flow;
use wire::sip::{HeaderName, Message, Method};

use crate::calls::{Asked, Call, Calls, Leg, Phase, Side, capabilities, requires, target};
use crate::event::Evidence;
use crate::{CallRequest, Output, cross, session};

impl Call {
    pub(crate) fn leg(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Caller => Some(&mut self.caller),
            Side::Callee => self.callee.as_mut(),
        }
    }
}

impl Calls {
    /// A request inside a dialog.
    pub(crate) fn inside(&mut self, key: ServerKey, message: &Message<'_>) {
        let Some((call, side)) = self.dialog_of(message) else {
            return self.refuse(key, message, 481, "it belongs to no dialog");
        };
        let over = |call: &Call| call.phase == Phase::Over && message.method() != Method::Bye;
        let Some(leg) = self.calls.get_mut(&call).filter(|call| !over(call)).and_then(|call| call.leg(side)) else {
            return self.refuse(key, message, 481, "it belongs to no dialog");
        };
        let target_before = leg.dialog.remote_target.clone();
        if let Err(fault) = leg.dialog.accept(message) {
            return self.refuse(key, message, fault.status, fault.reason);
        }
        let moved = leg.dialog.remote_target != target_before;
        match message.method() {
            Method::Bye => self.bye(key, call, side),
            _ if requires(message) => self.refuse(key, message, 420, "it requires what we do not have"),
            Method::Options => self.respond(key, capabilities(cross::ALLOW)),
            _ if message.max_forwards() == Ok(Some(0)) => self.refuse(key, message, 483, "it has passed too many hops"),
            Method::Invite | Method::Update if session::too_brief(&self.settings.session, message) => {
                self.refuse(key, message, 422, "its session is too brief");
            }
            // Nothing but a refresh of this leg: the other one has its own.
            Method::Update if message.body().is_empty() && self.is_up(call) => self.update(key, call, side, message),
            Method::Invite => self.pass_invite(key, call, side, message),
            method if cross::passes(method) => self.pass(key, call, side, message),
            Method::Unknown => self.refuse(key, message, 501, "the method is unknown"),
            Method::Notify | Method::Prack => self.refuse(key, message, 481, "it belongs to no usage"),
            _ => self.refuse(key, message, 405, "the method does not pass"),
        }
        if moved {
            self.save(call);
        }
    }

    /// The call and the leg that a request names: by our tag, and the other names must fit.
    fn dialog_of(&mut self, message: &Message<'_>) -> Option<(u64, Side)> {
        let (call, side) = self.by_tag.get(message.to_tag()?).copied()?;
        let leg = self.calls.get_mut(&call)?.leg(side)?;
        let fits = *leg.dialog.id.call_id == *message.call_id().ok()?
            && *leg.dialog.id.remote_tag == *message.from_tag().unwrap_or_default();
        fits.then_some((call, side))
    }

    fn bye(&mut self, key: ServerKey, call: u64, side: Side) {
        self.respond(key, Response::new(200));
        let mut settled = None;
        if let Some(known) = self.calls.get_mut(&call) {
            let id = known.id.clone();
            if let Some(leg) = known.leg(side) {
                // Who hangs up has heard the answer, and needs no BYE any more.
                settled = std::mem::take(&mut leg.bye_owed).then_some(id);
                let heard = leg.answered.take();
                self.outputs.extend(heard.map(|(_, key)| Output::Acknowledged { key }));
            }
        }
        if let Some(id) = settled {
            self.confirmed(id);
        }
        match (self.calls.get(&call).map(|call| &call.phase), side) {
            (Some(Phase::Up), Side::Caller) => self.hang_up(call, Evidence::CallerHungUp, false, true),
            (Some(Phase::Up), Side::Callee) => self.hang_up(call, Evidence::CalleeHungUp, true, false),
            (Some(Phase::Locating | Phase::Ringing), _) => self.give_up(call, 487, Evidence::Cancelled),
            _ => self.remove_if_done(call),
        }
    }

    /// A new offer inside the call. Where two cross, each gets 491 (RFC 3261 section 14).
    fn pass_invite(&mut self, key: ServerKey, call: u64, side: Side, message: &Message<'_>) {
        let up = self.calls.get_mut(&call).filter(|call| call.phase == Phase::Up);
        let busy = |leg: &Leg| leg.busy || leg.answered.is_some() || leg.unacknowledged.is_some();
        let Some(busy) = up.map(|call| busy(&call.caller) || call.callee.as_ref().is_some_and(busy)) else {
            return self.refuse(key, message, 481, "the call is over");
        };
        if busy {
            return self.refuse(key, message, 491, "another INVITE is under way");
        }
        if let Some(call) = self.calls.get_mut(&call) {
            for side in [Side::Caller, Side::Callee] {
                if let Some(leg) = call.leg(side) {
                    leg.busy = true;
                }
            }
        }
        self.pass(key, call, side, message);
    }

    /// Passes a request to the other leg.
    fn pass(&mut self, key: ServerKey, call: u64, side: Side, message: &Message<'_>) {
        let other = side.other();
        let leg = self.calls.get_mut(&call).filter(|call| call.phase == Phase::Up).and_then(|call| call.leg(other));
        let Some(leg) = leg else {
            let early = self.calls.get(&call).is_some_and(|call| call.phase != Phase::Over);
            let (code, why) = if early { (491, "the call is not answered yet") } else { (481, "the call is over") };
            return self.refuse(key, message, code, why);
        };
        let method = message.method();
        let mut request = leg.dialog.request(method);
        let number = leg.dialog.local_cseq;
        if matches!(method, Method::Invite | Method::Update) {
            request.contact = Some(leg.contact.clone());
            request.headers.push(HeaderName::Allow, cross::ALLOW);
            leg.session.request(&mut request.headers);
        }
        cross::copy(message, &mut request.headers);
        let left = message.max_forwards().ok().flatten().unwrap_or(70).saturating_sub(1);
        request.max_forwards = u8::try_from(left).unwrap_or(70);
        request.body = message.body().into();
        if matches!(method, Method::Invite | Method::Update) {
            leg.session.describe(&request.headers, &request.body);
        }
        let target = target(leg);
        let asked = message.cseq().map_or(0, |cseq| cseq.number);
        let sent =
            self.send(Asked::Passed { call, to: other, method, number, asked, waits: Some(key) }, target, request);
        if let Some(call) = self.calls.get_mut(&call) {
            if let Some(leg) = call.leg(side).filter(|_| matches!(method, Method::Invite | Method::Update)) {
                leg.session.propose(message);
            }
            call.passed.push(sent);
            if method == Method::Invite {
                call.open_invite = Some(sent);
            }
        }
        self.save(call);
    }

    /// A response to a request of ours.
    pub(crate) fn response(&mut self, key: CallRequest, message: &Message<'_>, flow: Flow) {
        let Some(code) = message.status().map(|status| status.code) else { return };
        match self.requests.get(&key).cloned() {
            Some(Asked::Invite { call }) => self.branch_response(call, key, message, code, flow),
            Some(Asked::Passed { call, to, method, number, asked, waits }) => {
                if method == Method::Invite && (200..300).contains(&code) && self.repeated(call, to, number) {
                    return;
                }
                if code >= 200 {
                    self.settled(call, key, method, code);
                }
                let Some(waits) = waits else { return self.late(call, to, method, number, code) };
                if code >= 200 && (method != Method::Invite || code >= 300) {
                    self.requests.remove(&key);
                }
                self.passed(call, to, method, (number, asked), waits, message, code);
            }
            Some(Asked::Refresh { call, side, method, number }) => {
                self.refreshed(key, (call, side), method, number, message, code);
            }
            Some(Asked::Bye) if code >= 200 => drop(self.requests.remove(&key)),
            Some(Asked::LastBye { id }) if code >= 200 => {
                self.requests.remove(&key);
                self.confirmed(id);
            }
            Some(Asked::Leftover { tag }) if code >= 200 => {
                self.requests.remove(&key);
                // Any other answer may mean that our BYE has overtaken a 2xx.
                if code < 300 {
                    self.leftover_settled(&tag);
                }
            }
            _ => {}
        }
    }

    /// A passed request has its final response; of an INVITE the entry stays, for a 2xx may come again.
    pub(crate) fn settled(&mut self, call: u64, key: CallRequest, method: Method, code: u16) {
        if let Some(Asked::Passed { waits, .. }) = self.requests.get_mut(&key) {
            *waits = None;
        }
        let Some(call) = self.calls.get_mut(&call) else { return };
        if call.open_invite == Some(key) {
            call.open_invite = None;
        }
        match method == Method::Invite && code < 300 {
            true => call.accepted_at = Some(self.now),
            false => call.passed.retain(|passed| *passed != key),
        }
    }

    /// An answer that nobody waits for any more, for the call is over; a 2xx to an INVITE is acknowledged all the same.
    pub(crate) fn late(&mut self, call: u64, to: Side, method: Method, number: u32, code: u16) {
        if method == Method::Invite && (200..300).contains(&code) {
            let leg = self.calls.get_mut(&call).filter(|call| call.phase == Phase::Over).and_then(|call| call.leg(to));
            if let Some(leg) = leg {
                leg.unacknowledged = Some(number);
                self.acknowledge(call, to, None);
            }
        }
        self.remove_if_done(call);
    }

    /// Whether this 2xx to a re-INVITE has been acknowledged before; then its ACK goes out again.
    pub(crate) fn repeated(&mut self, call: u64, to: Side, number: u32) -> bool {
        let ack = self.calls.get_mut(&call).and_then(|call| call.leg(to)).and_then(|leg| leg.ack);
        let again = ack.filter(|(known, _)| *known == number).map(|(_, keep)| Output::AckAgain { keep });
        let repeated = again.is_some();
        self.outputs.extend(again);
        repeated
    }

    /// The other side has answered what was passed to it.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of one entry of the table of requests")]
    fn passed(
        &mut self,
        call: u64,
        to: Side,
        method: Method,
        (number, asked): (u32, u32),
        waits: ServerKey,
        message: &Message<'_>,
        code: u16,
    ) {
        if code < 200 {
            return;
        }
        let is_invite = method == Method::Invite;
        if is_invite {
            self.idle(call);
        }
        let mut response = Response::new(if code < 300 { code } else { cross::reported(code) });
        cross::copy(message, &mut response.headers);
        response.body = message.body().into();
        if code < 300 && matches!(method, Method::Invite | Method::Update) {
            let Some(known) = self.calls.get_mut(&call) else { return };
            if let Some(leg) = known.leg(to) {
                // A bad Contact leaves the old target, which has worked so far.
                let _ = leg.dialog.refresh_target(message);
                leg.session.granted(message, self.now);
                leg.unacknowledged = is_invite.then_some(number).or(leg.unacknowledged);
            }
            if let Some(leg) = known.leg(to.other()) {
                response.contact = Some(leg.contact.clone());
                response.headers.push(HeaderName::Allow, cross::ALLOW);
                leg.session.accept(&self.settings.session, self.now, &mut response.headers);
                leg.session.describe(&response.headers, &response.body);
                if is_invite {
                    leg.answered = Some((asked, waits));
                }
            }
            self.save(call);
            self.watch(call);
        }
        if code == 422 && self.lengthen(call, to, message) {
            // The session that was too brief is of our making: who asked repeats what it asked.
            response = Response::new(491);
        }
        self.respond(waits, response);
        if matches!(code, 408 | 481) {
            // Who answers 481 has no dialog to end. A 408 says nothing of it (RFC 3261 section 12.2.1.2).
            let is_silent = code == 408;
            let (caller, callee) = (is_silent || to == Side::Callee, is_silent || to == Side::Caller);
            self.hang_up(call, Evidence::DialogGone(code), caller, callee);
        }
    }

    pub(crate) fn idle(&mut self, call: u64) {
        let Some(call) = self.calls.get_mut(&call) else { return };
        for side in [Side::Caller, Side::Callee] {
            if let Some(leg) = call.leg(side) {
                leg.busy = false;
            }
        }
    }

    /// An ACK of a 2xx: our 2xx need not go out again, and the other leg's waits for what this one brings.
    pub(crate) fn acknowledged(&mut self, message: &Message<'_>) {
        let Some((call, side)) = self.dialog_of(message) else { return self.ghost(message) };
        let Ok(cseq) = message.cseq() else { return };
        let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) else { return };
        if let Some((_, key)) = leg.answered.filter(|(number, _)| *number == cseq.number) {
            leg.answered = None;
            self.outputs.push_back(Output::Acknowledged { key });
            // An ACK that comes again must not acknowledge the next INVITE without what its own ACK will bring.
            self.acknowledge(call, side.other(), Some(message));
        }
        self.pay_bye(call, side);
    }

    /// Sends the ACK that a leg's 2xx waits for, with the body that the other side's ACK brought.
    pub(crate) fn acknowledge(&mut self, call: u64, side: Side, from: Option<&Message<'_>>) {
        let leg = self.calls.get_mut(&call).and_then(|call| call.leg(side));
        let Some(leg) = leg else { return };
        let Some(number) = leg.unacknowledged.take() else { return };
        let mut request = leg.dialog.ack(number);
        if let Some(message) = from {
            cross::copy(message, &mut request.headers);
            request.body = Arc::from(message.body());
            leg.session.describe(&request.headers, &request.body);
        }
        let target = target(leg);
        let old = leg.ack.take();
        self.numbered += 1;
        let keep = self.numbered;
        if let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) {
            leg.ack = Some((number, keep));
        }
        self.outputs.extend(old.map(|(_, keep)| Output::AckForget { keep }));
        self.outputs.push_back(Output::Ack { target, request, keep });
    }

    /// A request of ours got no answer.
    pub(crate) fn failed(&mut self, key: CallRequest, cause: Failure) {
        match self.requests.get(&key).cloned() {
            Some(Asked::Invite { call }) => {
                let branch =
                    self.calls.get_mut(&call).and_then(|call| call.branches.iter_mut().find(|b| b.request == key));
                if let Some(branch) = branch {
                    branch.outcome = branch.outcome.or(Some(408));
                }
                self.branch_refused(call, key, None, 408);
                self.branch_failed(call);
            }
            Some(Asked::Passed { call, method, waits, .. }) => {
                self.settled(call, key, method, 408);
                self.requests.remove(&key);
                let Some(waits) = waits else { return self.remove_if_done(call) };
                if method == Method::Invite {
                    self.idle(call);
                }
                let code = match (cause, method) {
                    (Failure::Transport | Failure::Unreached, _) => 500,
                    (Failure::TimedOut, Method::Invite) => 408,
                    (Failure::TimedOut, _) => 504,
                };
                self.respond(waits, Response::new(code));
                // A connection that is gone is no end: the other side may still be there.
                if cause != Failure::TimedOut {
                    return;
                }
                // Whoever did not hear us may hear the BYE, and must not go on in a call that is over.
                self.hang_up(call, Evidence::Unreachable, true, true);
            }
            Some(Asked::Refresh { call, side, method, .. }) => self.not_refreshed(key, call, side, method, cause),
            Some(Asked::Bye | Asked::Leftover { .. }) => drop(self.requests.remove(&key)),
            Some(Asked::LastBye { id }) => {
                self.requests.remove(&key);
                self.confirmed(id);
            }
            None => {}
        }
    }

    /// The caller never acknowledged the answer: the call is ended on both sides.
    pub(crate) fn ack_missing(&mut self, key: ServerKey) {
        let answered = |leg: &Leg| leg.answered.is_some_and(|(_, own)| own == key);
        let found = match self.by_invite.get(&key) {
            Some(call) => Some(*call),
            None => self.calls.iter().find_map(|(id, call)| {
                (answered(&call.caller) || call.callee.as_ref().is_some_and(answered)).then_some(*id)
            }),
        };
        if let Some(call) = found {
            for side in [Side::Caller, Side::Callee] {
                if let Some(leg) = self
                    .calls
                    .get_mut(&call)
                    .and_then(|call| call.leg(side))
                    .filter(|leg| leg.answered.is_some_and(|(_, own)| own == key))
                {
                    leg.answered = None;
                    self.pay_bye(call, side);
                }
            }
            self.hang_up(call, Evidence::NoAck, true, true);
        }
    }
}
