//! What busy lamps are told of a call: each of its legs, as a dialog of the user whose phone is at the other end of it.

use std::collections::VecDeque;

use call::event::{CallKey, Evidence, Leg, LegEvent, Party};
use presence::server::CallDialog;
use sip::Aor;
use wire::dialog_info::{Direction, Event, Participant, State};

use crate::on_the_phone::{Output, Role, Seat};

/// Legs of one call that are told apart; a call has fewer.
const LEGS: u64 = 64;

/// The legs of one call.
#[derive(Debug)]
pub(crate) struct Legs {
    /// Who each party is, as the signalling names it.
    caller: Participant,
    callee: Participant,
    all: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    leg: Leg,
    dialog: CallDialog,
    /// Whether there is something new to tell.
    is_new: bool,
}

impl Legs {
    /// A call between these two of which no leg is known yet.
    pub(crate) fn new(caller: &Party, callee: &Party) -> Self {
        Self { caller: named(caller), callee: named(callee), all: Vec::new() }
    }

    /// Takes how a leg stands. Whose it is.
    pub(crate) fn take(&mut self, event: &LegEvent) -> Role {
        let (role, direction) = match event.leg {
            Leg::Caller => (Role::Caller, Direction::Initiator),
            Leg::Callee(_) => (Role::Callee, Direction::Recipient),
        };
        let is_known = self.all.iter().any(|known| known.leg == event.leg);
        if !is_known && event.state < State::Terminated {
            self.all.push(Known { leg: event.leg, dialog: CallDialog::new(direction), is_new: true });
        }
        if let Some(known) = self.all.iter_mut().find(|known| known.leg == event.leg) {
            let CallDialog { dialog, private } = &mut known.dialog;
            known.is_new |= dialog.state != event.state;
            dialog.call_id = Some(event.call_id.to_string());
            dialog.remote_tag = Some(event.our_tag.to_string());
            dialog.local_tag = event.phones_tag.as_ref().map(ToString::to_string).or(dialog.local_tag.take());
            (dialog.state, dialog.event, dialog.code) = (event.state, event.event, event.code);
            *private |= event.private;
        }
        role
    }

    /// One phone has answered: the others have stopped ringing.
    pub(crate) fn answered(&mut self) {
        let others = self.all.iter_mut().filter(|known| known.leg != Leg::Caller);
        for other in others.filter(|known| known.dialog.dialog.state < State::Confirmed) {
            other.end(Event::Cancelled, None);
        }
    }

    /// The call is over, and every leg with it.
    pub(crate) fn ended(&mut self, evidence: Evidence) {
        for known in &mut self.all {
            let is_caller = known.leg == Leg::Caller;
            let (event, code) = match evidence {
                Evidence::CallerHungUp if is_caller => (Event::LocalBye, None),
                Evidence::CalleeHungUp if !is_caller => (Event::LocalBye, None),
                Evidence::CallerHungUp | Evidence::CalleeHungUp => (Event::RemoteBye, None),
                Evidence::Cancelled => (Event::Cancelled, Some(487)),
                Evidence::Refused(code) => (Event::Rejected, Some(code)),
                Evidence::NoAnswer | Evidence::NoAck | Evidence::Unreachable | Evidence::SessionExpired => {
                    (Event::Timeout, None)
                }
                Evidence::DialogGone(_) | Evidence::TooLong | Evidence::Stopping => (Event::Error, None),
            };
            known.end(event, code);
        }
    }

    /// Tells what is new of one party's legs, if it is known who sits there. What is over is told once, and forgotten.
    pub(crate) fn tell(&mut self, call: CallKey, role: Role, seat: &Seat, other: &Seat, told: &mut VecDeque<Output>) {
        let party = match role {
            Role::Caller => &self.callee,
            Role::Callee => &self.caller,
        };
        if let Some((user, _)) = &seat.user {
            for known in self.all.iter_mut().filter(|known| known.role() == role && known.is_new) {
                known.is_new = false;
                known.dialog.dialog.remote = shown(party, other);
                told.push_back(known.told(call, user.clone(), known.dialog.clone()));
            }
        }
        self.all.retain(|known| known.role() != role || known.dialog.dialog.state < State::Terminated);
    }

    /// Somebody else sits there than was thought, or nobody: whoever did hears that it is over, and the next hears all.
    pub(crate) fn moved(&mut self, call: CallKey, role: Role, before: Option<&Aor>, told: &mut VecDeque<Output>) {
        for known in self.all.iter_mut().filter(|known| known.role() == role) {
            known.is_new = true;
            if let Some(user) = before {
                let mut dialog = known.dialog.clone();
                dialog.dialog.state = State::Terminated;
                told.push_back(known.told(call, user.clone(), dialog));
            }
        }
    }
}

impl Known {
    fn role(&self) -> Role {
        if self.leg == Leg::Caller { Role::Caller } else { Role::Callee }
    }

    fn end(&mut self, event: Event, code: Option<u16>) {
        let dialog = &mut self.dialog.dialog;
        (dialog.state, dialog.event, dialog.code) = (State::Terminated, Some(event), code);
        self.is_new = true;
    }

    fn told(&self, call: CallKey, user: Aor, dialog: CallDialog) -> Output {
        let place = match self.leg {
            Leg::Caller => 0,
            Leg::Callee(place) => u64::try_from(place).unwrap_or(LEGS).saturating_add(1).min(LEGS - 1),
        };
        let leg = call.0.wrapping_mul(LEGS).wrapping_add(place);
        let last = dialog.dialog.state == State::Terminated;
        Output::Dialog { user, leg, dialog: Box::new(dialog), last }
    }
}

/// A party as the signalling names it.
fn named(party: &Party) -> Participant {
    let aor = party.user.as_ref().or(party.aor.as_ref());
    let uri = aor.map_or_else(|| party.uri.to_string(), ToString::to_string);
    let display = party.display.as_ref().map(ToString::to_string);
    Participant { identity: Some(uri.clone()), display, target: Some(uri), params: Vec::new() }
}

/// A party as the other one's watchers see it: as the user who sits there, where the directory knows one.
fn shown(party: &Participant, seat: &Seat) -> Participant {
    let Some((aor, name)) = &seat.user else { return party.clone() };
    let (uri, display) = (aor.to_string(), name.clone().or_else(|| party.display.clone()));
    Participant { identity: Some(uri.clone()), display, target: Some(uri), params: Vec::new() }
}
