//! From the INVITE to the answer.

use std::time::Duration;

use call::event::{Evidence, What};

use crate::world::{ANSWER, OFFER, PBX, TRUNK, World, body, callee, caller, header, headers};

#[test]
fn a_call_is_offered_answered_and_ended() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    assert_eq!(world.answered(), 1);
    assert_eq!(world.records.len(), 1);
    world.hangs_up(&mut caller, TRUNK);
    assert_eq!(world.ended(), [Evidence::CallerHungUp]);
    world.over();
}

#[test]
fn the_parties_are_named_as_the_signalling_names_them() {
    let mut world = World::new();
    world.call();
    let What::Offered { caller, callee } = &world.events[0].what else { panic!("{:?}", world.events) };
    assert_eq!((&*caller.uri, caller.peer.as_deref()), ("sip:alice@pbx.invalid", Some("pbx")));
    assert_eq!((&*callee.uri, callee.peer.as_deref()), ("sip:bob@example.com", Some("trunk")));
}

#[test]
fn nothing_of_the_callers_side_shows_on_the_callees() {
    let mut world = World::new();
    let own = "Record-Route: <sip:proxy.pbx.invalid;lr>\r\nRoute: <sip:192.0.2.1;lr>\r\nUser-Agent: secret/1\r\nSupported: 100rel\r\n\
               Allow: PRACK\r\nSubject: lunch\r\nX-Inner: secret\r\nServer: secret\r\nSession-Expires: 90\r\n";
    let invite = world.invites_with(PBX, "sip:bob@example.com", own, OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    // Our own session timer shows, theirs does not.
    assert_eq!(headers(&offered, "Session-Expires"), ["600;refresher=uac"]);
    for inner in ["pbx.invalid", "secret", "100rel", "PRACK", "Record-Route", &header(&invite, "Call-ID")] {
        assert!(!offered.split("\r\n\r\n").next().unwrap().contains(inner), "{inner} shows in\n{offered}");
    }
    assert!(offered.contains("Subject: lunch"));
    assert_eq!(headers(&offered, "Via").len(), 1);
    assert!(header(&offered, "From").starts_with("\"Alice\" <sip:alice@example.com>;tag="));
    assert_eq!(header(&offered, "Max-Forwards"), "69");
    assert_eq!(body(&offered), OFFER);
}

#[test]
fn nothing_of_the_callees_side_shows_on_the_callers() {
    let mut world = World::new();
    world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    let own = "Contact: <sip:bob@10.9.8.7>\r\nServer: secret/2\r\nWarning: 399 inner.trunk.invalid \"x\"\r\n";
    world.responds_with(TRUNK, &offered, "183 Session Progress", "early", own, ANSWER);
    let early = world.expect(PBX, "183");
    world.responds_with(TRUNK, &offered, "200 OK", "early", own, ANSWER);
    let answer = world.expect(PBX, "200");
    for text in [&early, &answer] {
        for inner in ["10.9.8.7", "trunk.invalid", "secret", "early"] {
            assert!(!text.split("\r\n\r\n").next().unwrap().contains(inner), "{inner} shows in\n{text}");
        }
        assert_eq!(body(text), ANSWER);
    }
    assert_eq!(header(&early, "To"), header(&answer, "To"));
}

#[test]
fn the_callees_route_set_is_kept_on_its_side() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    let own = format!("Contact: <sip:bob@10.9.8.7>\r\nRecord-Route: <sip:inner.invalid;lr>, <sip:{TRUNK};lr>\r\n");
    world.responds_with(TRUNK, &offered, "200 OK", "callee", &own, ANSWER);
    let ack = world.expect(TRUNK, "ACK");
    assert!(ack.starts_with("ACK sip:bob@10.9.8.7 SIP/2.0"));
    assert_eq!(headers(&ack, "Route").join(", "), format!("<sip:{TRUNK};lr>, <sip:inner.invalid;lr>"));
    let answer = world.expect(PBX, "200");
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_late_offer_is_answered_by_the_ack() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", "");
    let offered = world.expect(TRUNK, "INVITE");
    assert_eq!(body(&offered), "");
    world.responds(TRUNK, &offered, "200 OK", "callee", OFFER);
    let answer = world.expect(PBX, "200");
    assert_eq!(body(&answer), OFFER);
    world.silence(TRUNK);
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", ANSWER);
    let ack = world.expect(TRUNK, "ACK");
    assert_eq!((body(&ack), &*header(&ack, "Content-Type")), (ANSWER, "application/sdp"));
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_2xx_that_comes_again_gets_the_same_ack_again() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    let answer = world.expect(PBX, "200");
    let ack = world.expect(TRUNK, "ACK");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    assert_eq!(world.expect(TRUNK, "ACK"), ack);
    assert_eq!(world.answered(), 1);
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn our_2xx_goes_out_again_until_its_ack_comes() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    let answer = world.expect(PBX, "200");
    world.wait(Duration::from_millis(1600));
    assert_eq!(world.expect(PBX, "200"), answer);
    assert_eq!(world.expect(PBX, "200"), answer);
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.wait(Duration::from_secs(20));
    world.silence(PBX);
    world.forget(TRUNK);
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_caller_that_never_acknowledges_is_hung_up_and_so_is_the_callee() {
    for offer in [OFFER, ""] {
        let mut world = World::new();
        world.invites(PBX, "sip:bob@example.com", offer);
        let offered = world.expect(TRUNK, "INVITE");
        world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
        world.forget(PBX);
        world.wait(Duration::from_secs(31));
        assert!(world.ended().is_empty());
        world.forget(PBX);
        world.wait(Duration::from_secs(2));
        world.expect(TRUNK, "ACK");
        world.expect(TRUNK, "BYE");
        // The last of the answers that go out again may come first.
        let heard = world.hears(PBX);
        if heard.starts_with("SIP/2.0 200") {
            world.expect(PBX, "BYE");
        } else {
            assert!(heard.starts_with("BYE "), "{heard}");
        }
        assert_eq!(world.ended(), [Evidence::NoAck]);
        world.over();
    }
}

#[test]
fn a_second_user_agent_that_answers_behind_the_peer_is_acknowledged_and_hung_up() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "first", ANSWER);
    let answer = world.expect(PBX, "200");
    world.expect(TRUNK, "ACK");
    world.responds(TRUNK, &offered, "200 OK", "second", ANSWER);
    let ack = world.expect(TRUNK, "ACK");
    assert!(header(&ack, "To").ends_with(";tag=second"));
    let bye = world.expect(TRUNK, "BYE");
    assert!(header(&bye, "To").ends_with(";tag=second"));
    world.responds(TRUNK, &bye, "200 OK", "", "");
    world.silence(PBX);
    assert!(world.ended().is_empty());
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_call_that_nobody_answers_ends_after_a_while() {
    let mut world = World::new();
    world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    world.expect(PBX, "180");
    world.wait(Duration::from_secs(181));
    assert!(world.hears(PBX).starts_with("SIP/2.0 4"));
    let cancel = world.expect(TRUNK, "CANCEL");
    world.responds(TRUNK, &cancel, "200 OK", "callee", "");
    world.responds(TRUNK, &offered, "487 Request Terminated", "callee", "");
    assert_eq!(world.ended(), [Evidence::NoAnswer]);
    world.over();
}

#[test]
fn a_peer_that_does_not_answer_at_all_is_a_408() {
    let mut world = World::new();
    world.invites(PBX, "sip:bob@example.com", OFFER);
    world.wait(Duration::from_secs(33));
    world.expect(PBX, "408");
    assert_eq!(world.answered(), 0);
    world.over();
}

#[test]
fn a_peer_that_cannot_be_reached_is_a_failure_at_once() {
    let mut world = World::new();
    world.cut.push(TRUNK.parse().unwrap());
    world.invites(PBX, "sip:bob@example.com", OFFER);
    let refused = world.hears(PBX);
    assert!(refused.starts_with("SIP/2.0 4") || refused.starts_with("SIP/2.0 5"), "{refused}");
    world.over();
}

#[test]
fn a_refusal_passes_and_what_concerns_only_us_does_not() {
    for (theirs, ours) in [
        ("486 Busy Here", "486"),
        ("603 Decline", "603"),
        ("503 Service Unavailable", "500"),
        ("302 Moved", "480"),
        ("407 Who", "480"),
    ] {
        let mut world = World::new();
        world.invites(PBX, "sip:bob@example.com", OFFER);
        let offered = world.expect(TRUNK, "INVITE");
        world.responds(TRUNK, &offered, theirs, "callee", "");
        world.expect(TRUNK, "ACK");
        world.expect(PBX, ours);
        assert_eq!(world.ended().len(), 1);
        world.over();
    }
}

#[test]
fn a_call_that_stands_can_be_ended_by_the_callee() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    let answer = world.expect(PBX, "200");
    world.expect(TRUNK, "ACK");
    world.asks_as(&caller(PBX, &invite, &answer), "ACK", 1, "", "");
    let mut callee = callee(TRUNK, &offered, "callee");
    world.hangs_up(&mut callee, PBX);
    assert_eq!(world.ended(), [Evidence::CalleeHungUp]);
    world.over();
}
