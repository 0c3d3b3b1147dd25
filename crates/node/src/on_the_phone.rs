//! The product on one page: from the calls that are answered and ended to who is on the phone.
//!
//! A call is offered: both parties are looked up, beside the call. It is answered: each party that the directory maps
//! to a user goes off the hook. It ends: they go back on. A look-up that comes late changes nothing but the moment.

use std::collections::VecDeque;

use call::event::{CallEvent, CallKey, What};
use sip::{Aor, KeyedMap, KeyedState};

use crate::configuration::Presence;
use crate::port::{Known, Who};

/// Which of the two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
}

/// What follows from a call's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Which user is this party? [`OnThePhone::known`] takes the answer.
    WhoIs {
        /// The call.
        call: CallKey,
        /// The party.
        role: Role,
        /// How the signalling names it.
        who: Who,
    },
    /// An answered call of this user began or ended.
    Hook {
        /// The user.
        user: Aor,
        /// Their name, for documents.
        display_name: Option<String>,
        /// A number for this call and role.
        call: u64,
        /// Whether it is up.
        up: bool,
    },
    /// Several users claim this party; nothing is published for it.
    Ambiguous {
        /// How the signalling names it.
        who: Who,
        /// Who claims it.
        users: Vec<Aor>,
    },
}

/// The calls under way and who is in them.
#[derive(Debug)]
pub struct OnThePhone {
    calls: KeyedMap<CallKey, Call>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Call {
    caller: Seat,
    callee: Seat,
    answered: bool,
}

/// Where one party sits: its user becomes known once, and goes off the hook at most once.
#[derive(Debug)]
enum Seat {
    /// Not asked: its peer reports this presence itself.
    NotOurs,
    /// Asked; the answer is under way.
    Asked(Who),
    /// The directory names nobody, or nobody to publish for.
    Nobody,
    /// A user of ours.
    User { aor: Aor, display_name: Option<String> },
}

impl OnThePhone {
    /// No calls yet.
    #[must_use]
    pub fn new(keyed: KeyedState) -> Self {
        Self { calls: KeyedMap::with_hasher(keyed), outputs: VecDeque::new() }
    }

    /// Something happened to a call. Of an offered one `parties` says, for the caller and the callee, whose presence the
    /// calls of their peer show, and what to ask the directory for.
    pub fn handle(&mut self, event: &CallEvent, parties: Option<[(Presence, Who); 2]>) {
        match &event.what {
            What::Offered { .. } => {
                let Some([(of_caller, caller), (of_callee, callee)]) = parties else { return };
                let seat = |role: Role, who: Who| {
                    if of_caller.shows(role) && of_callee.shows(role) { Seat::Asked(who) } else { Seat::NotOurs }
                };
                let call =
                    Call { caller: seat(Role::Caller, caller), callee: seat(Role::Callee, callee), answered: false };
                for (role, seat) in [(Role::Caller, &call.caller), (Role::Callee, &call.callee)] {
                    if let Seat::Asked(who) = seat {
                        self.outputs.push_back(Output::WhoIs { call: event.call, role, who: who.clone() });
                    }
                }
                self.calls.insert(event.call, call);
            }
            What::Answered => {
                if let Some(call) = self.calls.get_mut(&event.call)
                    && !call.answered
                {
                    call.answered = true;
                    self.outputs.extend(hook(event.call, Role::Caller, &call.caller, true));
                    self.outputs.extend(hook(event.call, Role::Callee, &call.callee, true));
                }
            }
            What::Ended { .. } => {
                if let Some(call) = self.calls.remove(&event.call)
                    && call.answered
                {
                    self.outputs.extend(hook(event.call, Role::Caller, &call.caller, false));
                    self.outputs.extend(hook(event.call, Role::Callee, &call.callee, false));
                }
            }
        }
    }

    /// The directory's answer for one party; an answer for a call that is over is late, and harmless.
    pub fn known(&mut self, key: CallKey, role: Role, known: Known) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let seat = match role {
            Role::Caller => &mut call.caller,
            Role::Callee => &mut call.callee,
        };
        let Seat::Asked(who) = seat else { return };
        *seat = match known {
            Known::User { aor, display_name, publish: true } => Seat::User { aor, display_name },
            Known::User { publish: false, .. } | Known::Nobody => Seat::Nobody,
            Known::Ambiguous(users) => {
                self.outputs.push_back(Output::Ambiguous { who: who.clone(), users });
                Seat::Nobody
            }
        };
        if call.answered {
            self.outputs.extend(hook(key, role, seat, true));
        }
    }

    /// What follows; drained to `None` after each input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether no call is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

/// A user who calls themselves is in the call twice: each role counts by itself.
fn hook(call: CallKey, role: Role, seat: &Seat, up: bool) -> Option<Output> {
    let Seat::User { aor, display_name } = seat else { return None };
    let call = call.0.wrapping_mul(2).wrapping_add(u64::from(role == Role::Callee));
    Some(Output::Hook { user: aor.clone(), display_name: display_name.clone(), call, up })
}
