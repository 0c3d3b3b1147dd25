//! Bugs that others in the field have had between calls and lamps, each by its public thread, and that a node does not have.

use std::time::Duration;

use wire::dialog_info::State;

use crate::lamps::{JANE, JOHN, lamps, states, watch};
use crate::world::{CALLEE, CALLER, SERVER, World, header};

fn ringing(world: &mut World) -> String {
    world.invite();
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    world.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
    invite
}

/// The lifetime of a lamp's record came from the timer of the ringing: it ran out before the answer or the end was told,
/// and `early` stayed behind. <https://github.com/OpenSIPS/opensips/issues/3802>
#[test]
fn opensips_3802_a_lamp_follows_a_call_however_long_it_rings_and_lasts() {
    let mut world = World::with_lamps();
    for (who, call) in [(JOHN, "johns"), (JANE, "janes")] {
        watch(&mut world, who, "sip:eve@sfb.example", call);
        lamps(&mut world, call);
    }
    let invite = ringing(&mut world);
    lamps(&mut world, "none");
    world.wait(Duration::from_secs(170));
    assert!(lamps(&mut world, "janes").is_empty(), "it rings");
    world.answer_call(&invite);
    assert_eq!(states(&lamps(&mut world, "johns")).last(), Some(&State::Confirmed));
    for _ in 0..8 {
        world.wait(Duration::from_secs(50));
        assert!(lamps(&mut world, "johns").is_empty(), "nothing has changed");
    }
    world.hang_up();
    assert_eq!(states(&lamps(&mut world, "johns")), [State::Terminated]);
    watch(&mut world, JANE, "sip:eve@sfb.example", "later");
    assert!(lamps(&mut world, "later").is_empty(), "nothing is left behind");
}

/// Every failed call published `Expires: 0` for a record that there was not.
/// <https://github.com/OpenSIPS/opensips/issues/142>
#[test]
fn opensips_142_a_call_that_fails_publishes_nothing() {
    for status in ["486 Busy Here", "603 Decline", "404 Not Found", "500 Server Internal Error"] {
        let mut world = World::new();
        let invite = ringing(&mut world);
        world.answer_as(CALLEE, &invite, status, "");
        world.wait(Duration::from_secs(3600));
        assert!(world.take_from(SERVER, "PUBLISH").is_empty(), "{status}");
    }
}

/// After the hang-up presence was still up, or stuck at ringing.
/// <https://github.com/kamailio/kamailio/issues/2540>
#[test]
fn kamailio_2540_after_the_end_of_a_call_nothing_is_left_of_it() {
    for answered in [true, false] {
        let mut world = World::with_lamps();
        watch(&mut world, JANE, "sip:eve@sfb.example", "lamp");
        lamps(&mut world, "lamp");
        if answered {
            world.call();
            world.hang_up();
        } else {
            let invite = ringing(&mut world);
            world.cancel();
            world.answer_as(CALLEE, &invite, "487 Request Terminated", "");
        }
        assert_eq!(states(&lamps(&mut world, "lamp")).last(), Some(&State::Terminated), "answered: {answered}");
        world.wait(Duration::from_secs(500));
        assert!(lamps(&mut world, "lamp").is_empty(), "and it does not come back");
        world.take_from(CALLER, "SIP/2.0 200");
        watch(&mut world, JANE, "sip:eve@sfb.example", "later");
        assert!(lamps(&mut world, "later").is_empty());
    }
}

/// At the end of a call `early` was sent once more, and the lamp stayed lit.
/// <https://github.com/signalwire/freeswitch/issues/156>
#[test]
fn freeswitch_156_what_a_lamp_is_told_last_is_the_end() {
    for who in [JOHN, JANE] {
        let mut world = World::with_lamps();
        watch(&mut world, who, "sip:eve@sfb.example", "lamp");
        lamps(&mut world, "lamp");
        let invite = ringing(&mut world);
        world.answer_call(&invite);
        // A ringing that was overtaken by the answer comes only now.
        world.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        world.hang_up();
        world.answer_as(CALLEE, &invite, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        let seen = states(&lamps(&mut world, "lamp"));
        assert!(seen.is_sorted(), "{who}: states only move forward: {seen:?}");
        assert_eq!(seen.last(), Some(&State::Terminated), "{who}: {seen:?}");
        world.wait(Duration::from_secs(60));
        assert!(lamps(&mut world, "lamp").is_empty());
    }
}

/// Of one offer to a user's two phones the loser's CANCEL marked the user free, while they talked on the other.
/// <https://github.com/kamailio/kamailio/issues/2906>, and of two calls of one user <https://github.com/OpenSIPS/opensips/issues/94>
#[test]
fn kamailio_2906_the_end_of_one_call_leaves_who_talks_in_another_busy() {
    let mut world = World::with_lamps();
    watch(&mut world, JANE, "sip:eve@sfb.example", "lamp");
    lamps(&mut world, "lamp");
    world.call();
    lamps(&mut world, "lamp");
    // A second call rings at Jane's and is refused there.
    world.invite_again(2);
    let second = world.take_from(CALLEE, "INVITE").remove(0);
    world.answer_as(CALLEE, &second, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
    world.answer_as(CALLEE, &second, "486 Busy Here", "");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);
    lamps(&mut world, "lamp");
    watch(&mut world, JANE, "sip:eve@sfb.example", "later");
    assert_eq!(states(&lamps(&mut world, "later")), [State::Confirmed]);
    assert!(header(&second, "Call-ID") != "secret-call-id");
}
