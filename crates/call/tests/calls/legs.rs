//! Each step of each leg, as busy lamps want it: with the names by which the phone at its end knows the dialog.

use call::event::{CallEvent, Leg, LegEvent, What};
use wire::dialog_info::{Event, State};

use crate::world::{ANSWER, DESK, MOBILE, OFFER, PBX, TRUNK, World, header};

fn legs(world: &World) -> Vec<LegEvent> {
    let leg = |event: &'_ CallEvent| if let What::Leg(leg) = &event.what { Some(leg.as_ref().clone()) } else { None };
    world.events.iter().filter_map(leg).collect()
}

fn steps(world: &World, of: Leg) -> Vec<State> {
    legs(world).into_iter().filter(|leg| leg.leg == of).map(|leg| leg.state).collect()
}

/// The tag of a header.
fn tag(value: &str) -> String {
    value.split(";tag=").nth(1).expect("a tag").to_owned()
}

#[test]
fn both_legs_of_a_call_go_from_trying_to_confirmed_under_their_own_names() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "theirs", "");
    let ringing = world.expect(PBX, "180");
    world.responds(TRUNK, &offered, "200 OK", "theirs", ANSWER);
    assert_eq!(steps(&world, Leg::Caller), [State::Trying, State::Early, State::Confirmed]);
    assert_eq!(steps(&world, Leg::Callee(0)), [State::Trying, State::Early, State::Confirmed]);
    for leg in legs(&world) {
        let (call_id, ours, phones) = match leg.leg {
            Leg::Caller => (header(&invite, "Call-ID"), tag(&header(&ringing, "To")), tag(&header(&invite, "From"))),
            Leg::Callee(_) => (header(&offered, "Call-ID"), tag(&header(&offered, "From")), "theirs".to_owned()),
        };
        assert_eq!((&*leg.call_id, &*leg.our_tag), (call_id.as_str(), ours.as_str()));
        let knows = leg.leg == Leg::Caller || leg.state > State::Trying;
        assert_eq!(leg.phones_tag.as_deref(), knows.then_some(phones.as_str()), "{leg:?}");
        assert!(!leg.private);
    }
}

#[test]
fn a_phone_that_refuses_while_another_rings_is_told() {
    let mut world = World::new();
    world.register(DESK, "");
    world.register(MOBILE, "");
    world.invites(TRUNK, "sip:bob@example.com", OFFER);
    let (desk, mobile) = (world.expect(DESK, "INVITE"), world.expect(MOBILE, "INVITE"));
    world.responds(DESK, &desk, "180 Ringing", "d", "");
    world.responds(MOBILE, &mobile, "486 Busy Here", "m", "");
    let refused = legs(&world).into_iter().find(|leg| leg.state == State::Terminated).expect("a refusal");
    assert_eq!((refused.event, refused.code), (Some(Event::Rejected), Some(486)));
    assert_eq!(&*refused.call_id, header(&mobile, "Call-ID"));
    assert_eq!(steps(&world, Leg::Caller), [State::Trying, State::Early]);
}

#[test]
fn nothing_is_told_of_a_leg_once_its_call_is_over() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "theirs", "");
    world.cancels(PBX, &invite);
    world.responds(TRUNK, &offered, "487 Request Terminated", "theirs", "");
    let ended = world.events.iter().position(|event| matches!(event.what, What::Ended { .. })).expect("an end");
    assert_eq!(ended + 1, world.events.len(), "{:?}", world.events);
}

#[test]
fn whoever_asks_not_to_be_shown_is_heard() {
    for (privacy, private) in [("id", true), ("critical;ID", true), ("user;critical", true), ("none", false)] {
        let mut world = World::new();
        world.invites_with(PBX, "sip:bob@example.com", &format!("Privacy: {privacy}\r\n"), OFFER);
        assert!(legs(&world).iter().all(|leg| leg.private == private), "{privacy}");
    }
}
