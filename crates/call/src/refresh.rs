//! Keeping watch over the calls that stand: each leg's session is refreshed in time, and a call that shows no life is ended.

use sip::Response;
use sip::transaction::{Failure, ServerKey};
use wire::sip::{HeaderName, Message, Method};

use crate::calls::{Asked, Calls, Due, Phase, Side, target};
use crate::event::Evidence;
use crate::session::Step;
use crate::{CallRequest, Mutant, cross, limits};

impl Calls {
    /// Whether a call is answered and not over.
    pub(crate) fn is_up(&self, call: u64) -> bool {
        self.calls.get(&call).is_some_and(|call| call.phase == Phase::Up)
    }

    /// A call has been answered, or a session in it has begun anew: both legs are looked after from now on.
    pub(crate) fn watch(&mut self, key: u64) {
        let longest = self.settings.session.longest;
        if let Some(call) = self.calls.get_mut(&key).filter(|call| call.phase == Phase::Up && call.timer.is_none()) {
            call.timer = longest.map(|longest| self.wheel.schedule(self.now + longest, Due::TooLong(key)));
        }
        self.tend(key, Side::Caller);
        self.tend(key, Side::Callee);
    }

    /// Does what is due on a leg.
    pub(crate) fn tend(&mut self, key: u64, side: Side) {
        if self.is_broken(Mutant::SessionsForgotten) {
            return;
        }
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.phase == Phase::Up) else { return };
        let Some(leg) = call.leg(side) else { return };
        if let Some(timer) = leg.session.due.take() {
            self.wheel.cancel(timer);
        }
        let is_busy = leg.busy || leg.answered.is_some() || leg.unacknowledged.is_some();
        let at = match leg.session.step(self.now) {
            Step::Wait(at) => at,
            // Two INVITEs would cross.
            Step::Refresh(Method::Invite) if is_busy => self.now + limits::REFRESH_AGAIN,
            Step::Refresh(method) => return self.refresh(key, side, method),
            Step::Expired => return self.hang_up(key, Evidence::SessionExpired, true, true),
        };
        leg.session.due = Some(self.wheel.schedule(at, Due::Session(key, side)));
    }

    fn refresh(&mut self, key: u64, side: Side, method: Method) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if method == Method::Invite {
            for side in [Side::Caller, Side::Callee] {
                if let Some(leg) = call.leg(side) {
                    leg.busy = true;
                }
            }
        }
        let Some(leg) = call.leg(side) else { return };
        let mut request = leg.dialog.request(method);
        let number = leg.dialog.local_cseq;
        if method == Method::Options {
            request.headers.push(HeaderName::Accept, "application/sdp");
        } else {
            request.contact = Some(leg.contact.clone());
            request.headers.push(HeaderName::Allow, cross::ALLOW);
            leg.session.request(&mut request.headers);
        }
        if let Some((headers, body)) = leg.session.description().filter(|_| method == Method::Invite) {
            request.headers.extend(headers);
            request.body = body.clone();
        }
        leg.session.begin();
        let target = target(leg);
        let sent = self.send(Asked::Refresh { call: key, side, method, number }, target, request);
        if let Some(call) = self.calls.get_mut(&key) {
            call.passed.push(sent);
            if method == Method::Invite {
                call.open_invite = Some(sent);
            }
        }
        self.save(key);
        self.tend(key, side);
    }

    /// The other side has answered a refresh. Whatever it says shows that it is there, but for 408 and 481
    /// (RFC 3261 section 12.2.1.2).
    pub(crate) fn refreshed(
        &mut self,
        key: CallRequest,
        (call, side): (u64, Side),
        method: Method,
        number: u32,
        message: &Message<'_>,
        code: u16,
    ) {
        let accepted = method == Method::Invite && (200..300).contains(&code);
        if code < 200 || (accepted && self.repeated(call, side, number)) {
            return;
        }
        self.settled(call, key, method, code);
        if !accepted {
            self.requests.remove(&key);
        }
        if !self.is_up(call) {
            return self.late(call, side, method, number, code);
        }
        if method == Method::Invite {
            self.idle(call);
        }
        let (now, pause) = (self.now, self.now + limits::REFRESH_AGAIN);
        let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) else { return };
        leg.session.settle(now);
        let mut moved = false;
        match code {
            200..300 if method == Method::Options => leg.session.alive(now),
            200..300 => {
                leg.session.granted(message, now);
                moved = leg.dialog.refresh_target(message).unwrap_or(false);
                leg.unacknowledged = accepted.then_some(number).or(leg.unacknowledged);
            }
            408 | 481 => return self.hang_up(call, Evidence::DialogGone(code), true, true),
            422 if leg.session.lengthen(message) => {}
            405 | 501 if method == Method::Update => leg.session.takes_no_update(),
            491 | 500..600 => leg.session.settle(pause),
            _ => leg.session.alive(now),
        }
        if accepted {
            self.acknowledge(call, side, None);
        }
        if moved {
            self.save(call);
        }
        self.tend(call, side);
    }

    /// A refresh got no answer. A connection that is gone is no end: the other side may still be there.
    pub(crate) fn not_refreshed(&mut self, key: CallRequest, call: u64, side: Side, method: Method, cause: Failure) {
        self.settled(call, key, method, 408);
        self.requests.remove(&key);
        if !self.is_up(call) {
            return self.remove_if_done(call);
        }
        if method == Method::Invite {
            self.idle(call);
        }
        if cause == Failure::TimedOut {
            return self.hang_up(call, Evidence::Unreachable, true, true);
        }
        let pause = self.now + limits::REFRESH_AGAIN;
        if let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) {
            leg.session.settle(pause);
        }
        self.tend(call, side);
    }

    /// One side refreshes its session, and offers nothing new.
    pub(crate) fn update(&mut self, key: ServerKey, call: u64, side: Side, message: &Message<'_>) {
        let mut response = Response::new(200);
        if let Some(leg) = self.calls.get_mut(&call).and_then(|call| call.leg(side)) {
            response.contact = Some(leg.contact.clone());
            response.headers.push(HeaderName::Allow, cross::ALLOW);
            leg.session.propose(message);
            leg.session.accept(&self.settings.session, self.now, &mut response.headers);
        }
        self.respond(key, response);
        self.tend(call, side);
    }

    /// A leg wants longer sessions; whether there is anything to try.
    pub(crate) fn lengthen(&mut self, call: u64, side: Side, refused: &Message<'_>) -> bool {
        self.calls.get_mut(&call).and_then(|call| call.leg(side)).is_some_and(|leg| leg.session.lengthen(refused))
    }

    /// A call has lasted longer than any may.
    pub(crate) fn too_long(&mut self, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.timer = None;
        }
        self.hang_up(key, Evidence::TooLong, true, true);
    }
}
