//! Busy lamps: what a watcher of the package `dialog` sees of the calls through a node.

use wire::dialog_info::{self, Dialog, Direction, Event, State};

use crate::world::{CALLEE, CALLER, SERVER, World, header};

/// Somebody at the presence server's address watches this user's dialogs.
pub(crate) fn watch(world: &mut World, who: &str, watcher: &str, call: &str) {
    let text = format!(
        "SUBSCRIBE {who} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <{watcher}>;tag=w\r\nTo: <{who}>\r\nCall-ID: {call}\r\nCSeq: 1 SUBSCRIBE\r\n\
         Contact: <sip:watcher@{CALLER}>\r\nEvent: dialog\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"
    );
    world.receive(CALLER, &text);
    assert_eq!(world.take_from(CALLER, "SIP/2.0 200").len(), 1);
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
fn a_user_is_watched_by_whichever_of_their_names_and_by_our_address_in_place_of_the_domain() {
    for name in ["sip:1057@sfb.example", "sip:jane.roe@192.0.2.1", "sip:1057@192.0.2.1"] {
        let mut world = World::with_lamps();
        watch(&mut world, name, EVE, "lamp");
        lamps(&mut world, "lamp");
        world.call();
        assert_eq!(lamps(&mut world, "lamp").pop().map(|dialog| dialog.state), Some(State::Confirmed), "{name}");
    }
}
