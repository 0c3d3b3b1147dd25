//! The product on one page: from the calls that are answered and ended to who is on the phone.
//!
//! A call is offered: both parties are looked up, beside the call. It is answered: each party that the directory maps
//! to a user goes off the hook. It ends: they go back on. A look-up that comes late changes nothing but the moment.

use std::collections::VecDeque;

use call::event::{CallEvent, CallKey, What};
use presence::server::CallDialog;
use sip::{Aor, KeyedMap, KeyedState};

use crate::configuration::Presence;
use crate::lamps::Legs;
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
    /// A dialog of this user began, has come further, or is over.
    Dialog {
        /// The user.
        user: Aor,
        /// A number for this leg of the call.
        leg: u64,
        /// The dialog.
        dialog: Box<CallDialog>,
        /// Whether it is over.
        last: bool,
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
    /// Parties to be looked up when there is room for a question.
    waiting: VecDeque<(CallKey, Role)>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Call {
    caller: Seat,
    callee: Seat,
    answered: bool,
    /// What busy lamps show of it.
    legs: Legs,
}

/// Where one party sits.
#[derive(Debug)]
pub(crate) struct Seat {
    /// What to ask the directory for; nothing where the party's peer reports this presence itself.
    who: Option<Who>,
    /// The user who sits there, once the directory has said so.
    pub(crate) user: Option<(Aor, Option<String>)>,
}

impl Call {
    /// What watchers of this party's dialogs are told.
    fn lamps(&mut self, key: CallKey, role: Role, told: &mut VecDeque<Output>) {
        let (seat, other) = match role {
            Role::Caller => (&self.caller, &self.callee),
            Role::Callee => (&self.callee, &self.caller),
        };
        self.legs.tell(key, role, seat, other, told);
    }

    fn seat(&mut self, role: Role) -> &mut Seat {
        match role {
            Role::Caller => &mut self.caller,
            Role::Callee => &mut self.callee,
        }
    }
}

impl OnThePhone {
    /// No calls yet.
    #[must_use]
    pub fn new(keyed: KeyedState) -> Self {
        Self { calls: KeyedMap::with_hasher(keyed), waiting: VecDeque::new(), outputs: VecDeque::new() }
    }

    /// Something happened to a call. Of an offered one `parties` says, for the caller and the callee, whose presence the
    /// calls of their peer show, and what to ask the directory for.
    pub fn handle(&mut self, event: &CallEvent, parties: Option<[(Presence, Who); 2]>) {
        match &event.what {
            What::Offered { caller: calls, callee: called } => {
                let Some([(of_caller, caller), (of_callee, callee)]) = parties else { return };
                let seat = |role: Role, who: Who| {
                    let ours = of_caller.shows(role) && of_callee.shows(role);
                    Seat { who: ours.then_some(who), user: None }
                };
                let (caller, callee) = (seat(Role::Caller, caller), seat(Role::Callee, callee));
                let call = Call { caller, callee, answered: false, legs: Legs::new(calls, called) };
                for (role, seat) in [(Role::Caller, &call.caller), (Role::Callee, &call.callee)] {
                    if seat.who.is_some() {
                        self.waiting.push_back((event.call, role));
                    }
                }
                self.calls.insert(event.call, call);
            }
            What::Leg(leg) => {
                if let Some(call) = self.calls.get_mut(&event.call) {
                    let role = call.legs.take(leg);
                    call.lamps(event.call, role, &mut self.outputs);
                }
            }
            What::Answered => {
                if let Some(call) = self.calls.get_mut(&event.call)
                    && !call.answered
                {
                    call.answered = true;
                    call.legs.answered();
                    call.lamps(event.call, Role::Callee, &mut self.outputs);
                    self.outputs.extend(hook(event.call, Role::Caller, &call.caller, true));
                    self.outputs.extend(hook(event.call, Role::Callee, &call.callee, true));
                }
            }
            What::Ended { evidence } => {
                let Some(mut call) = self.calls.remove(&event.call) else { return };
                call.legs.ended(*evidence);
                call.lamps(event.call, Role::Caller, &mut self.outputs);
                call.lamps(event.call, Role::Callee, &mut self.outputs);
                if call.answered {
                    self.outputs.extend(hook(event.call, Role::Caller, &call.caller, false));
                    self.outputs.extend(hook(event.call, Role::Callee, &call.callee, false));
                }
            }
        }
    }

    /// The directory has changed: every party is looked up again. Until the answer comes all stays as it is.
    pub fn ask_again(&mut self) {
        self.waiting.clear();
        for (key, call) in self.calls.iter() {
            let asked = [(Role::Caller, &call.caller), (Role::Callee, &call.callee)];
            let asked = asked.into_iter().filter(|(_, seat)| seat.who.is_some());
            self.waiting.extend(asked.map(|(role, _)| (*key, role)));
        }
    }

    /// The next question to the directory; called while there is room for one.
    pub fn next_question(&mut self) -> Option<(CallKey, Role, Who)> {
        while let Some((key, role)) = self.waiting.pop_front() {
            // Of a call that is over nobody asks any more.
            if let Some(who) = self.calls.get_mut(&key).and_then(|call| call.seat(role).who.clone()) {
                return Some((key, role, who));
            }
        }
        None
    }

    /// The directory's answer for one party; an answer for a call that is over is late, and harmless. Whom an earlier answer
    /// named and this one does not goes back on the hook.
    pub fn known(&mut self, key: CallKey, role: Role, known: Known) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let answered = call.answered;
        let seat = call.seat(role);
        let user = match known {
            Known::User { aor, display_name, publish: true } => Some((aor, display_name)),
            Known::User { publish: false, .. } | Known::Nobody => None,
            Known::Ambiguous(users) => {
                self.outputs.extend(seat.who.clone().map(|who| Output::Ambiguous { who, users }));
                None
            }
        };
        if seat.user == user {
            return;
        }
        let aor = |user: &Option<(Aor, _)>| user.as_ref().map(|(aor, _)| aor.clone());
        // Who only has another name stays on the phone.
        let is_another = aor(&seat.user) != aor(&user);
        if answered && is_another {
            self.outputs.extend(hook(key, role, seat, false));
        }
        let before = std::mem::replace(&mut seat.user, user);
        if answered {
            self.outputs.extend(hook(key, role, seat, true));
        }
        if is_another {
            call.legs.moved(key, role, before.as_ref().map(|(aor, _)| aor), &mut self.outputs);
            call.lamps(key, role, &mut self.outputs);
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
    let (aor, display_name) = seat.user.as_ref()?;
    let call = call.0.wrapping_mul(2).wrapping_add(u64::from(role == Role::Callee));
    Some(Output::Hook { user: aor.clone(), display_name: display_name.clone(), call, up })
}
