//! One request that comes on two ways is refused the second time (RFC 3261 section 8.2.2.2).

use crate::world::{World, request, udp};

fn way(number: u32) -> String {
    request("INVITE", &format!("SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKway{number}"), "")
}

#[test]
fn the_second_way_gets_482_while_the_first_is_ongoing() {
    let mut world = World::new();
    world.receive(udp(), &way(1));
    world.take();
    world.receive(udp(), &way(2));
    assert!(world.take().iter().any(|text| text.starts_with("SIP/2.0 482 ")));
    assert_eq!(world.requests.len(), 1, "the transaction user hears of one");
}

#[test]
fn after_a_refusal_it_may_come_again_as_it_does_after_a_challenge() {
    let mut world = World::new();
    world.receive(udp(), &way(1));
    world.respond(world.requests[0], 407);
    world.receive(udp(), &way(2));
    assert_eq!(world.requests.len(), 2);
}

#[test]
fn another_request_uri_is_another_request_as_a_forking_proxy_sends_them() {
    let mut world = World::new();
    world.receive(udp(), &way(1));
    world.receive(udp(), &way(2).replace("sip:here@sfb.example SIP", "sip:too@sfb.example SIP"));
    assert_eq!(world.requests.len(), 2);
}

#[test]
fn within_a_dialog_nothing_is_merged() {
    let mut world = World::new();
    let within = |number| way(number).replace("To: <sip:here@sfb.example>", "To: <sip:here@sfb.example>;tag=ours");
    world.receive(udp(), &within(1));
    world.receive(udp(), &within(2));
    assert_eq!(world.requests.len(), 2);
}

#[test]
fn another_number_or_caller_or_method_is_another_request() {
    let mut world = World::new();
    world.receive(udp(), &way(1));
    world.receive(udp(), &way(2).replace("CSeq: 7", "CSeq: 8"));
    world.receive(udp(), &way(3).replace("tag=theirs", "tag=others"));
    world.receive(udp(), &way(4).replace("INVITE", "OPTIONS"));
    assert_eq!(world.requests.len(), 4);
}
