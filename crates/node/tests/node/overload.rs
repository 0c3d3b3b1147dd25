//! Under more than it can do, a node turns new work away and goes on with what is there.

use std::time::Duration;

use node::Input;

use crate::world::{CALLEE, CALLER, World, header};

#[test]
fn new_calls_get_503_with_a_retry_after_while_the_node_is_overloaded() {
    let mut world = World::new();
    world.handle(Input::Overloaded(true));
    world.invite();
    let refusal = world.take_from(CALLER, "SIP/2.0 503").remove(0);
    let after: u32 = header(&refusal, "Retry-After").parse().unwrap();
    assert!((5..15).contains(&after));
    assert!(world.take_from(CALLEE, "INVITE").is_empty());
    world.handle(Input::Overloaded(false));
    world.invite_again(2);
    assert_eq!(world.take_from(CALLEE, "INVITE").len(), 1);
}

#[test]
fn a_call_that_is_up_ends_as_ever_while_the_node_is_overloaded() {
    let mut world = World::new();
    world.call();
    world.handle(Input::Overloaded(true));
    world.hang_up();
}

#[test]
fn what_the_node_itself_publishes_goes_on_while_it_is_overloaded() {
    let mut world = World::new();
    world.call();
    for publish in world.take("PUBLISH") {
        world.answer(&publish, "200 OK", "SIP-ETag: a\r\nExpires: 600\r\n");
    }
    world.handle(Input::Overloaded(true));
    world.hang_up();
    assert_eq!(world.take("PUBLISH").len(), 2);
}

fn subscribe(number: u32) -> String {
    format!(
        "SUBSCRIBE sip:jane.roe@sfb.example SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKs{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:john.doe@sfb.example>;tag=his\r\nTo: <sip:jane.roe@sfb.example>\r\n\
         Call-ID: s{number}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:john@{CALLER}>\r\nEvent: dialog\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn nothing_is_kept_of_what_is_turned_away() {
    let mut world = World::with_lamps();
    world.handle(Input::Overloaded(true));
    let before = world.node.load().transactions;
    for number in (0..100).chain([7]) {
        world.receive(CALLER, &subscribe(number));
    }
    let refusals = world.take_from(CALLER, "SIP/2.0 503");
    assert_eq!(refusals.len(), 101);
    assert_eq!(world.node.load().transactions, before, "the room is for what is there");
    // RFC 3261 section 8.2.7: the same request has the same tag.
    assert_eq!(header(&refusals[100], "To"), header(&refusals[7], "To"));
    assert_ne!(header(&refusals[8], "To"), header(&refusals[7], "To"));
    // When it comes again as it was, there may be time for it.
    world.handle(Input::Overloaded(false));
    world.receive(CALLER, &subscribe(7));
    assert_eq!(world.take_from(CALLER, "SIP/2.0 200").len(), 1);
}

/// Its caller has been told that it is being tried, and does not send it again.
#[test]
fn an_invite_that_is_turned_away_hears_so_until_it_says_that_it_has() {
    let mut world = World::new();
    world.handle(Input::Overloaded(true));
    world.invite();
    assert_eq!(world.take_from(CALLER, "SIP/2.0 503").len(), 1);
    world.wait(Duration::from_millis(600));
    assert_eq!(world.take_from(CALLER, "SIP/2.0 503").len(), 1);
}

#[test]
fn who_has_to_prove_who_it_is_takes_up_no_room() {
    let mut world = World::with_lamps();
    let before = world.node.load().transactions;
    for number in 0..100 {
        // This peer is no publisher.
        world.receive(CALLER, &subscribe(number).replace("SUBSCRIBE", "PUBLISH"));
    }
    assert_eq!(world.take_from(CALLER, "SIP/2.0 401").len(), 100);
    assert_eq!(world.node.load().transactions, before);
}
