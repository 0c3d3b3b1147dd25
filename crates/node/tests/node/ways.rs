//! The ways that requests take: to the next address where one fails, over TCP where they are large, back to where state is.

use std::time::Duration;

use crate::world::{CALLEE, CALLEE_TOO, CALLER, SERVER, SERVER_TOO, World, header, place};
use node::{Answer, Closed, Input};
use sip::transport::Transport;

/// The name that was asked for last has these addresses.
fn found(world: &mut World, host: &str, addresses: &[&str]) {
    let (id, asked) = world.asked.remove(0);
    assert_eq!(asked, host);
    let places = addresses.iter().map(|address| place(address)).collect();
    world.handle(Input::Answer { id, answer: Answer::Places(places) });
}

fn called() -> World {
    let mut world = World::with_callee_at("pbx.sfb.example");
    world.invite();
    found(&mut world, "pbx.sfb.example", &[CALLEE, CALLEE_TOO]);
    world
}

#[test]
fn a_callee_s_address_that_is_overloaded_is_left_for_the_next_and_the_caller_hears_nothing_of_it() {
    let mut world = called();
    let first = world.take_from(CALLEE, "INVITE").remove(0);
    assert!(world.take_from(CALLEE_TOO, "INVITE").is_empty());
    world.answer_as(CALLEE, &first, "503 Service Unavailable", "");
    assert_eq!(world.take_from(CALLEE, "ACK").len(), 1);
    let second = world.take_from(CALLEE_TOO, "INVITE").remove(0);
    assert_eq!(header(&first, "Call-ID"), header(&second, "Call-ID"));
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    world.answer_as(CALLEE_TOO, &second, "180 Ringing", &format!("Contact: <sip:jane@{CALLEE_TOO}>\r\n"));
    assert!(world.take_from(CALLER, "SIP/2.0 503").is_empty());
    assert_eq!(world.take_from(CALLER, "SIP/2.0 180").len(), 1);
}

#[test]
fn a_callee_s_address_that_is_silent_is_left_for_the_next_and_tried_last_for_a_while() {
    let mut world = called();
    assert_eq!(world.take_from(CALLEE, "INVITE").len(), 1);
    world.wait(Duration::from_secs(32));
    // The first one came again and again meanwhile.
    world.take_from(CALLEE, "INVITE");
    let second = world.take_from(CALLEE_TOO, "INVITE").remove(0);
    world.answer_as(CALLEE_TOO, &second, "486 Busy Here", "");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);

    world.invite_again(2);
    found(&mut world, "pbx.sfb.example", &[CALLEE, CALLEE_TOO]);
    assert!(world.take_from(CALLEE, "INVITE").is_empty());
    let invite = world.take_from(CALLEE_TOO, "INVITE").remove(0);
    world.answer_as(CALLEE_TOO, &invite, "486 Busy Here", "");

    world.wait(Duration::from_secs(61));
    world.invite_again(3);
    found(&mut world, "pbx.sfb.example", &[CALLEE, CALLEE_TOO]);
    assert_eq!(world.take_from(CALLEE, "INVITE").len(), 1, "it is tried first again");
}

#[test]
fn a_call_that_was_given_up_tries_no_other_address() {
    let mut world = called();
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    world.answer_as(CALLEE, &invite, "100 Trying", "");
    world.cancel();
    assert_eq!(world.take_from(CALLEE, "CANCEL").len(), 1);
    world.answer_as(CALLEE, &invite, "503 Service Unavailable", "");
    world.wait(Duration::from_secs(70));
    assert!(world.take_from(CALLEE_TOO, "INVITE").is_empty());
}

#[test]
fn the_last_address_s_refusal_is_the_caller_s() {
    let mut world = called();
    for at in [CALLEE, CALLEE_TOO] {
        let invite = world.take_from(at, "INVITE").remove(0);
        world.answer_as(at, &invite, "503 Service Unavailable", "");
    }
    assert_eq!(world.take_from(CALLER, "SIP/2.0 500").len(), 1);
}

/// John and Jane talk, and each PUBLISH has asked for the server's addresses.
fn published() -> (World, Vec<String>) {
    let mut world = World::with(CALLEE, "presence.sfb.example", &[Transport::Udp]);
    world.call();
    for _ in 0..2 {
        found(&mut world, "presence.sfb.example", &[SERVER, SERVER_TOO]);
    }
    let publishes = world.take_from(SERVER, "PUBLISH");
    assert_eq!(publishes.len(), 2);
    (world, publishes)
}

#[test]
fn a_publication_is_refreshed_and_removed_where_it_was_put() {
    let (mut world, publishes) = published();
    // The first address is overloaded, so both go to the second.
    for publish in &publishes {
        world.answer(publish, "503 Service Unavailable", "");
    }
    let again = world.take_from(SERVER_TOO, "PUBLISH");
    assert_eq!(again.len(), 2);
    for publish in &again {
        world.answer_as(SERVER_TOO, publish, "200 OK", "SIP-ETag: a\r\nExpires: 600\r\n");
    }
    world.wait(Duration::from_secs(510));
    for _ in 0..2 {
        found(&mut world, "presence.sfb.example", &[SERVER, SERVER_TOO]);
    }
    assert!(world.take_from(SERVER, "PUBLISH").is_empty());
    let refreshes = world.take_from(SERVER_TOO, "PUBLISH");
    assert_eq!(refreshes.len(), 2);
    for refresh in &refreshes {
        assert_eq!(header(refresh, "SIP-If-Match"), "a");
        // It turns the refresh away: nobody else has this state, so nobody else is asked.
        world.answer_as(SERVER_TOO, refresh, "503 Service Unavailable", "");
    }
    assert!(world.take_from(SERVER, "PUBLISH").is_empty());
}

#[test]
fn a_publish_that_gets_no_answer_is_the_publisher_s_to_repeat_and_goes_to_the_other_address() {
    let (mut world, _) = published();
    world.wait(Duration::from_secs(34));
    for _ in 0..2 {
        found(&mut world, "presence.sfb.example", &[SERVER, SERVER_TOO]);
    }
    let again = world.take_from(SERVER_TOO, "PUBLISH");
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|publish| !publish.contains("SIP-If-Match")));
}

#[test]
fn a_request_too_large_for_a_datagram_goes_over_tcp_where_that_is_to_be_had() {
    for (transports, via) in
        [(&[Transport::Udp][..], "SIP/2.0/UDP"), (&[Transport::Udp, Transport::Tcp], "SIP/2.0/TCP")]
    {
        let mut world = World::with(CALLEE, SERVER, transports);
        world.invite_with_body(&"a=x\r\n".repeat(300));
        let invite = world.take_from(CALLEE, "INVITE").remove(0);
        assert!(header(&invite, "Via").starts_with(via), "{invite}");
    }
    let mut world = World::with(CALLEE, SERVER, &[Transport::Udp, Transport::Tcp]);
    world.invite();
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    assert!(header(&invite, "Via").starts_with("SIP/2.0/UDP"));
}

#[test]
fn what_is_advertised_stands_in_via_and_contact_towards_both_sides() {
    for (name, shown) in [("sbc.sfb.example", "sbc.sfb.example:5060"), ("203.0.113.1:5080", "203.0.113.1:5080")] {
        let mut world = World::advertising(name);
        world.invite();
        let invite = world.take_from(CALLEE, "INVITE").remove(0);
        assert!(header(&invite, "Via").starts_with(&format!("SIP/2.0/UDP {shown};branch=")), "{invite}");
        assert!(header(&invite, "Contact").contains(&format!("@{shown}>")), "{invite}");
        world.answer_as(CALLEE, &invite, "200 OK", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
        let ok = world.take_from(CALLER, "SIP/2.0 200").remove(0);
        assert!(header(&ok, "Contact").contains(shown), "{ok}");
        assert!(!invite.contains("192.0.2.1:") && !ok.contains("192.0.2.1:"), "the bound address shows nowhere");
    }
}

/// The connection that was asked for last cannot be made.
fn refuse(world: &mut World) {
    let id = world.connected.pop().expect("a connection");
    world.handle(Input::StreamClosed { id, why: Closed::Refused("connection refused".into()) });
}

#[test]
fn a_request_too_large_for_a_datagram_goes_as_one_all_the_same_where_there_is_no_tcp() {
    let large = "a=x\r\n".repeat(300);
    let mut world = World::with(CALLEE, SERVER, &[Transport::Udp, Transport::Tcp]);
    world.invite_with_body(&large);
    let over_tcp = world.take_from(CALLEE, "INVITE").remove(0);
    assert!(header(&over_tcp, "Via").starts_with("SIP/2.0/TCP"));
    refuse(&mut world);
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    assert!(header(&invite, "Via").starts_with("SIP/2.0/UDP"), "{invite}");
    assert_eq!(header(&invite, "Call-ID"), header(&over_tcp, "Call-ID"));
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);
    // For a while nobody tries that again.
    world.invite_again_with_body(2, &large);
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    assert!(header(&invite, "Via").starts_with("SIP/2.0/UDP"), "{invite}");
    assert!(world.connected.is_empty());
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    world.wait(Duration::from_secs(601));
    world.invite_again_with_body(3, &large);
    assert_eq!(world.connected.len(), 1);
}

#[test]
fn a_publish_that_has_not_left_is_sent_again_at_the_next_attempt_and_nothing_is_taken_to_live() {
    let mut world = World::asking(Transport::Tcp);
    world.call();
    assert_eq!(world.take_from(SERVER, "PUBLISH").len(), 2);
    while !world.connected.is_empty() {
        refuse(&mut world);
    }
    world.hang_up();
    assert_eq!(world.node.load().publications, 0, "nothing was published");
    assert!(world.store.keys().all(|key| !key.starts_with(b"publication")));
}
