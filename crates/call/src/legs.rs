//! Each step of each leg, told for busy lamps: the dialog as the phone at its other end knows it.

use wire::dialog_info::{Event, State};
use wire::sip::{HeaderName, Message};

use crate::CallRequest;
use crate::calls::{Branch, Call, Calls, Phase};
use crate::event::{Leg, LegEvent, What};

impl Calls {
    /// The caller's leg has come this far.
    pub(crate) fn caller_leg(&mut self, key: u64, state: State) {
        let Some(call) = self.calls.get(&key).filter(|call| self.tells(call)) else { return };
        let id = &call.caller.dialog.id;
        let told = LegEvent {
            leg: Leg::Caller,
            call_id: id.call_id.clone(),
            our_tag: id.local_tag.clone(),
            phones_tag: Some(id.remote_tag.clone()),
            state,
            event: None,
            code: None,
            private: call.offer.private,
        };
        self.event(key, What::Leg(Box::new(told)));
    }

    /// The leg of a branch has come this far.
    pub(crate) fn branch_leg(&mut self, key: u64, request: CallRequest, tag: Option<&str>, state: State) {
        if let Some(told) = self.of_branch(key, request, tag, state) {
            self.event(key, What::Leg(Box::new(told)));
        }
    }

    /// The phone of a branch has refused.
    pub(crate) fn branch_refused(&mut self, key: u64, request: CallRequest, tag: Option<&str>, code: u16) {
        if let Some(told) = self.of_branch(key, request, tag, State::Terminated) {
            let event = if code == 487 { Event::Cancelled } else { Event::Rejected };
            let told = LegEvent { event: Some(event), code: Some(code), ..told };
            self.event(key, What::Leg(Box::new(told)));
        }
    }

    /// The call is answered: both legs are up.
    pub(crate) fn legs_up(&mut self, key: u64, request: CallRequest, answer: &Message<'_>) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.offer.private |= is_private(answer);
        }
        self.branch_leg(key, request, answer.to_tag(), State::Confirmed);
        self.caller_leg(key, State::Confirmed);
    }

    /// Whether anybody wants to know; and of a call that is over nothing more is told.
    fn tells(&self, call: &Call) -> bool {
        self.settings.legs && call.phase != Phase::Over
    }

    fn of_branch(&self, key: u64, request: CallRequest, tag: Option<&str>, state: State) -> Option<LegEvent> {
        let call = self.calls.get(&key).filter(|call| self.tells(call))?;
        let place = call.branches.iter().position(|branch| branch.request == request)?;
        let Branch { call_id, local_tag, .. } = call.branches.get(place)?;
        Some(LegEvent {
            leg: Leg::Callee(place),
            call_id: call_id.clone(),
            our_tag: local_tag.clone(),
            phones_tag: tag.map(Into::into),
            state,
            event: None,
            code: None,
            private: call.offer.private,
        })
    }
}

/// Whether a message asks that whoever sent it is not shown (RFC 3323 section 4.2, RFC 3325 section 9.3).
pub(crate) fn is_private(message: &Message<'_>) -> bool {
    let asks = |value: &[u8]| {
        let words = value.split(|octet| matches!(octet, b';' | b',' | b' ' | b'\t'));
        words
            .into_iter()
            .any(|word| [&b"id"[..], b"user", b"header"].iter().any(|private| word.eq_ignore_ascii_case(private)))
    };
    message.headers().filter(|header| header.name == HeaderName::Privacy).any(|header| asks(header.value))
}
