//! Busy lamps: what a watcher of the package `dialog` sees of the calls through a node.

use call::event::{CallEvent, CallKey, Evidence, Leg, LegEvent, Party, What};
use node::configuration::Presence;
use node::on_the_phone::{OnThePhone, Output, Role};
use node::port::{Known, Who};
use sip::{Aor, KeyedState, Random};
use wire::dialog_info::{self, Dialog, Direction, Event, State};

use crate::world::{CALLEE, CALLER, SERVER, World, header};

/// Somebody at the presence server's address watches this user's dialogs.
pub(crate) fn watch(world: &mut World, who: &str, watcher: &str, call: &str) {
    assert_eq!(asks(world, who, watcher, call), "200");
}

/// The same, with the code of the answer.
fn asks(world: &mut World, who: &str, watcher: &str, call: &str) -> String {
    let text = format!(
        "SUBSCRIBE {who} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <{watcher}>;tag=w\r\nTo: <{who}>\r\nCall-ID: {call}\r\nCSeq: 1 SUBSCRIBE\r\n\
         Contact: <sip:watcher@{CALLER}>\r\nEvent: dialog\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"
    );
    world.receive(CALLER, &text);
    let answers: Vec<String> = world.take_from(CALLER, "SIP/2.0");
    let mut answers = answers.iter().filter(|answer| header(answer, "Call-ID") == call);
    answers.next().and_then(|answer| answer.split(' ').nth(1)).expect("a code").to_owned()
}

pub(crate) const JOHN: &str = "sip:john.doe@sfb.example";
pub(crate) const JANE: &str = "sip:jane.roe@sfb.example";
const MAX: &str = "sip:max@sfb.example";
const EVE: &str = "sip:eve@sfb.example";

/// The dialogs of each NOTIFY of a watcher, answered as they come.
pub(crate) fn lamps(world: &mut World, call: &str) -> Vec<Dialog> {
    let mut all = Vec::new();
    loop {
        let notifies: Vec<String> = world.take_from(CALLER, "NOTIFY");
        if notifies.is_empty() {
            return all;
        }
        for notify in notifies {
            world.answer_as(CALLER, &notify, "200 OK", "");
            let body = notify.split_once("\r\n\r\n").expect("a body").1;
            if header(&notify, "Call-ID") == call {
                all.extend(dialog_info::read(body.as_bytes()).expect("a dialog document").dialogs);
            }
        }
    }
}

pub(crate) fn states(dialogs: &[Dialog]) -> Vec<State> {
    dialogs.iter().map(|dialog| dialog.state).collect()
}

#[test]
fn rules_hold_by_whichever_name_of_a_user_they_are_written() {
    let mut world = World::with_lamps();
    for (who, watcher, code) in [
        (JANE, "sip:kim@sfb.example", "403"),
        ("sip:1057@sfb.example", "sip:kim@sfb.example", "403"),
        (JANE, "sip:lee@sfb.example", "403"),
        (JOHN, "sip:1057@sfb.example", "403"),
        (JOHN, "sip:kim@sfb.example", "200"),
        (JANE, EVE, "200"),
    ] {
        assert_eq!(
            asks(&mut world, who, watcher, &format!("{who} {watcher}").replace([' ', ':', '@'], "-")),
            code,
            "{who} {watcher}"
        );
    }
}

#[test]
fn both_parties_lamps_follow_a_call() {
    for (who, direction) in [(JOHN, Direction::Initiator), (JANE, Direction::Recipient)] {
        let mut world = World::with_lamps();
        watch(&mut world, who, EVE, "lamp");
        assert_eq!(lamps(&mut world, "lamp"), []);
        world.invite();
        let mut seen = lamps(&mut world, "lamp");
        let invite = world.take_from(CALLEE, "INVITE").remove(0);
        world.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        seen.extend(lamps(&mut world, "lamp"));
        world.answer_call(&invite);
        seen.extend(lamps(&mut world, "lamp"));
        assert_eq!(states(&seen), [State::Trying, State::Early, State::Confirmed], "{who}");
        world.hang_up();
        seen.extend(lamps(&mut world, "lamp"));
        assert_eq!(seen.last().map(|dialog| dialog.state), Some(State::Terminated), "{who}");
        for dialog in &seen {
            assert_eq!((dialog.direction, dialog.id.as_str()), (Some(direction), seen[0].id.as_str()));
            assert_eq!((&dialog.call_id, &dialog.remote.identity), (&None, &None), "a stranger to the group");
        }
    }
}

#[test]
fn a_pickup_group_sees_the_names_by_which_the_phone_knows_the_call() {
    let mut world = World::with_lamps();
    watch(&mut world, JOHN, MAX, "lamp");
    lamps(&mut world, "lamp");
    world.call();
    let seen = lamps(&mut world, "lamp").pop().expect("a dialog");
    assert_eq!(seen.call_id.as_deref(), Some("secret-call-id"));
    assert_eq!(seen.local_tag.as_deref(), Some("his"));
    assert!(seen.remote_tag.is_some());
    assert_eq!(seen.remote.identity.as_deref(), Some(JANE));
    assert_eq!(seen.remote.display.as_deref(), Some("Jane Roe"));
    world.hang_up();
    let over = lamps(&mut world, "lamp").pop().expect("the end");
    assert_eq!((over.state, over.event), (State::Terminated, Some(Event::LocalBye)));
}

#[test]
fn a_call_that_is_cancelled_or_refused_was_early_and_is_over() {
    for refused in [false, true] {
        let mut world = World::with_lamps();
        watch(&mut world, JOHN, MAX, "lamp");
        lamps(&mut world, "lamp");
        world.invite();
        lamps(&mut world, "lamp");
        let invite = world.take_from(CALLEE, "INVITE").remove(0);
        world.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        assert_eq!(states(&lamps(&mut world, "lamp")), [State::Early]);
        if refused {
            world.answer_as(CALLEE, &invite, "486 Busy Here", "");
        } else {
            world.cancel();
        }
        let over = lamps(&mut world, "lamp").pop().expect("the end");
        let (event, code) = if refused { (Event::Rejected, 486) } else { (Event::Cancelled, 487) };
        assert_eq!((over.state, over.event, over.code), (State::Terminated, Some(event), Some(code)));
        assert!(world.take_from(SERVER, "PUBLISH").is_empty(), "nothing was published");
    }
}

#[test]
fn whoever_comes_during_a_call_sees_it_and_nobody_sees_it_after() {
    let mut world = World::with_lamps();
    world.call();
    watch(&mut world, JOHN, EVE, "lamp");
    assert_eq!(states(&lamps(&mut world, "lamp")), [State::Confirmed]);
    world.hang_up();
    assert_eq!(states(&lamps(&mut world, "lamp")), [State::Terminated]);
    watch(&mut world, JOHN, EVE, "later");
    assert_eq!(lamps(&mut world, "later"), []);
}

#[test]
fn after_a_crash_no_lamp_is_lit() {
    let mut world = World::with_lamps();
    world.call();
    world.crash();
    watch(&mut world, JOHN, EVE, "lamp");
    assert_eq!(lamps(&mut world, "lamp"), []);
}

#[test]
fn a_user_is_watched_by_whichever_of_their_names_and_numbers_and_by_our_address_in_place_of_the_domain() {
    let names = ["sip:1057@sfb.example", "sip:jane.roe@192.0.2.1", "sip:1057@192.0.2.1"];
    let numbers = ["sip:+4989123457@sfb.example", "sip:+49-89-1234.57@sfb.example;user=phone", "sip:57@192.0.2.1"];
    for name in names.into_iter().chain(numbers) {
        let mut world = World::with_lamps();
        watch(&mut world, name, EVE, "lamp");
        lamps(&mut world, "lamp");
        world.call();
        assert_eq!(lamps(&mut world, "lamp").pop().map(|dialog| dialog.state), Some(State::Confirmed), "{name}");
    }
}

/// The calls alone, without a node around them.
struct Phones(OnThePhone);

const CALL: CallKey = CallKey(9);

impl Phones {
    fn new() -> Self {
        Self(OnThePhone::new(KeyedState::new(&mut Random::from_seed([3; 32]))))
    }

    fn happens(&mut self, what: What) -> Vec<(String, u64, State, Option<Event>, bool)> {
        let who = |text: &str| (Presence::Both, Who::Aor(Aor::parse(text).unwrap()));
        let parties = matches!(what, What::Offered { .. }).then(|| [who(JOHN), who(JANE)]);
        self.0.handle(&CallEvent { call: CALL, what }, parties);
        self.told()
    }

    fn known(&mut self, role: Role, user: &str) -> Vec<(String, u64, State, Option<Event>, bool)> {
        let aor = Aor::parse(user).unwrap();
        self.0.known(CALL, role, Known::User { aor, display_name: None, publish: true });
        self.told()
    }

    fn told(&mut self) -> Vec<(String, u64, State, Option<Event>, bool)> {
        let mut told = Vec::new();
        while let Some(output) = self.0.poll() {
            if let Output::Dialog { user, leg, dialog, last } = output {
                told.push((user.to_string(), leg, dialog.dialog.state, dialog.dialog.event, last));
            }
        }
        told
    }
}

fn offered() -> What {
    let party = |text: &str| Party { uri: text.into(), aor: Aor::parse(text), display: None, user: None, peer: None };
    What::Offered { caller: party(JOHN), callee: party(JANE) }
}

fn leg(leg: Leg, state: State) -> What {
    let call_id = format!("{leg:?}").into();
    let (our_tag, phones_tag) = ("ours".into(), Some("theirs".into()));
    What::Leg(Box::new(LegEvent { leg, call_id, our_tag, phones_tag, state, event: None, code: None, private: false }))
}

#[test]
fn of_two_phones_that_ring_the_one_that_is_not_answered_stops() {
    let mut phones = Phones::new();
    phones.happens(offered());
    phones.known(Role::Callee, JANE);
    let mut legs = Vec::new();
    for place in 0..2 {
        phones.happens(leg(Leg::Callee(place), State::Trying));
        let told = phones.happens(leg(Leg::Callee(place), State::Early));
        assert_eq!(told.len(), 1);
        legs.push(told[0].1);
    }
    assert_ne!(legs[0], legs[1], "each phone has a dialog of its own");
    let told = phones.happens(leg(Leg::Callee(1), State::Confirmed));
    assert_eq!(told, [(JANE.to_owned(), legs[1], State::Confirmed, None, false)]);
    let told = phones.happens(What::Answered);
    assert_eq!(told, [(JANE.to_owned(), legs[0], State::Terminated, Some(Event::Cancelled), true)]);
    assert_eq!(phones.happens(leg(Leg::Callee(0), State::Terminated)), [], "that is known already");
    let told = phones.happens(What::Ended { evidence: Evidence::CalleeHungUp });
    assert_eq!(told, [(JANE.to_owned(), legs[1], State::Terminated, Some(Event::LocalBye), true)]);
}

#[test]
fn a_look_up_that_comes_late_tells_how_things_are_by_then() {
    let mut phones = Phones::new();
    phones.happens(offered());
    assert_eq!(phones.happens(leg(Leg::Caller, State::Trying)), []);
    assert_eq!(phones.happens(leg(Leg::Caller, State::Early)), []);
    let told = phones.known(Role::Caller, JOHN);
    assert_eq!(told.iter().map(|told| (told.0.as_str(), told.2)).collect::<Vec<_>>(), [(JOHN, State::Early)]);
    phones.happens(What::Ended { evidence: Evidence::Cancelled });
    assert_eq!(phones.known(Role::Callee, JANE), [], "too late for a call that is over");
}

#[test]
fn whoever_turns_out_to_sit_elsewhere_hears_that_it_is_over_and_the_other_hears_all() {
    let mut phones = Phones::new();
    phones.happens(offered());
    phones.happens(leg(Leg::Caller, State::Trying));
    phones.happens(leg(Leg::Caller, State::Confirmed));
    phones.known(Role::Caller, JOHN);
    let told = phones.known(Role::Caller, MAX);
    let seen: Vec<_> = told.iter().map(|(user, _, state, _, last)| (user.as_str(), *state, *last)).collect();
    assert_eq!(seen, [(JOHN, State::Terminated, true), (MAX, State::Confirmed, false)]);
    assert_eq!(told[0].1, told[1].1, "it is one leg");
}
