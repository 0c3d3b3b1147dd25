//! A connection that is lost in each state of each machine (RFC 3261 sections 17.1.4 and 17.2.4).

use std::time::Duration;

use sip::transaction::Failure;
use sip::transport::StreamId;
use wire::sip::Method;

use crate::world::{World, request, response, tcp, udp};

const LOST: StreamId = StreamId(5);
const VIA: &str = "SIP/2.0/TCP 192.0.2.7:5066;branch=z9hG4bKt";

#[test]
fn a_request_without_a_final_answer_fails_at_once() {
    for method in [Method::Invite, Method::Publish] {
        for provisional in [false, true] {
            let mut world = World::new();
            let (key, text) = world.send(tcp(), method);
            if provisional {
                world.receive(tcp(), &response(&text, 100));
            }
            world.break_stream(LOST);
            assert_eq!(world.failed, [(key, Failure::Transport)], "{method:?}, {provisional}");
            assert_eq!(world.over, [key]);
            assert!(world.layer.is_empty());
        }
    }
}

#[test]
fn a_request_with_its_final_answer_does_not_fail_any_more() {
    for (method, code) in [(Method::Invite, 200), (Method::Invite, 486), (Method::Publish, 200)] {
        let mut world = World::new();
        let (_, text) = world.send(tcp(), method);
        world.receive(tcp(), &response(&text, code));
        world.break_stream(LOST);
        assert!(world.failed.is_empty(), "{method:?} {code}");
        world.wait(Duration::from_secs(40));
        assert!(world.failed.is_empty() && world.layer.is_empty(), "{method:?} {code}");
    }
}

#[test]
fn an_invite_that_is_being_cancelled_fails_once() {
    let mut world = World::new();
    let (key, text) = world.send(tcp(), Method::Invite);
    world.receive(tcp(), &response(&text, 180));
    world.cancel(key);
    world.break_stream(LOST);
    assert_eq!(world.failed, [(key, Failure::Transport)]);
    assert!(world.layer.is_empty());
}

#[test]
fn requests_on_other_ways_go_on() {
    let mut world = World::new();
    let (_, text) = world.send(udp(), Method::Publish);
    world.break_stream(LOST);
    world.break_stream(StreamId(6));
    assert!(world.failed.is_empty());
    world.receive(udp(), &response(&text, 200));
    assert_eq!(world.responses, 1);
}

/// The answer is still owed; where it goes then is for the node (RFC 3261 section 18.2.2).
#[test]
fn a_request_of_theirs_is_answered_all_the_same() {
    for (method, code) in [("INVITE", 486), ("INVITE", 200), ("OPTIONS", 200)] {
        let mut world = World::new();
        world.receive(tcp(), &request(method, VIA, ""));
        world.take();
        world.break_stream(LOST);
        world.respond(world.requests[0], code);
        assert!(world.take()[0].starts_with(&format!("SIP/2.0 {code} ")), "{method} {code}");
    }
}

#[test]
fn an_accepted_invite_whose_caller_is_gone_is_told_as_unacknowledged() {
    let mut world = World::new();
    world.receive(tcp(), &request("INVITE", VIA, ""));
    world.respond(world.requests[0], 200);
    world.break_stream(LOST);
    assert!(!world.wait(Duration::from_secs(40)).is_empty(), "it is sent again, over a new connection");
    assert_eq!(world.ack_missing, 1);
    assert!(world.layer.is_empty());
}
