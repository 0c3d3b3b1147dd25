//! Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3), old branches included, and ACK.

use std::time::Duration;

use sip::transaction::Failure;
use wire::sip::Method;

use crate::world::{World, header, request, response, udp};

const NEW: &str = "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKnew";

#[test]
fn a_request_that_comes_again_is_answered_again_and_told_once() {
    for via in [NEW, "SIP/2.0/UDP 192.0.2.7:5066;branch=1", "SIP/2.0/UDP 192.0.2.7:5066"] {
        let mut world = World::new();
        world.receive(udp(), &request("OPTIONS", via, ""));
        world.respond(world.requests[0], 200);
        let first = world.take();
        world.receive(udp(), &request("OPTIONS", via, ""));
        assert_eq!(world.take(), first, "{via}");
        assert_eq!(world.requests.len(), 1, "{via}");
    }
}

#[test]
fn the_same_branch_of_another_sender_is_another_transaction() {
    let mut world = World::new();
    world.receive(udp(), &request("OPTIONS", NEW, ""));
    let other = NEW.replace("192.0.2.7:5066", "192.0.2.7:5067");
    world.receive(udp(), &request("OPTIONS", &other, "").replace("tag=theirs", "tag=others"));
    assert_eq!(world.requests.len(), 2);
}

#[test]
fn of_old_branches_call_id_tag_number_uri_and_via_all_count() {
    let via = "SIP/2.0/UDP 192.0.2.7:5066;branch=1";
    let first = request("OPTIONS", via, "");
    for (from, to) in [
        ("Call-ID: theirs", "Call-ID: others"),
        ("tag=theirs", "tag=others"),
        ("CSeq: 7", "CSeq: 8"),
        ("sip:here@sfb.example SIP", "sip:too@sfb.example SIP"),
        ("branch=1", "branch=2"),
    ] {
        let mut world = World::new();
        world.receive(udp(), &first);
        world.respond(world.requests[0], 404);
        world.receive(udp(), &first.replace(from, to));
        assert_eq!(world.requests.len(), 2, "{to}");
    }
}

#[test]
fn the_ack_of_a_refusal_finds_its_invite_by_new_and_by_old_branches() {
    for via in [NEW, "SIP/2.0/UDP 192.0.2.7:5066;branch=1", "SIP/2.0/UDP 192.0.2.7:5066"] {
        let mut world = World::new();
        world.receive(udp(), &request("INVITE", via, ""));
        world.respond(world.requests[0], 486);
        let refusal = world.take().pop().unwrap();
        let to = format!("To: {}", header(&refusal, "To").unwrap());
        world.receive(udp(), &request("ACK", via, "").replace("To: <sip:here@sfb.example>", &to));
        assert!(world.wait(Duration::from_secs(40)).is_empty(), "it stops the retransmissions: {via}");
        assert_eq!(world.acks, 0, "nobody else hears of it: {via}");
        assert!(world.layer.is_empty());
    }
}

#[test]
fn a_refusal_is_sent_again_until_its_ack_and_given_up_after_64_t1() {
    let mut world = World::new();
    world.receive(udp(), &request("INVITE", NEW, ""));
    world.respond(world.requests[0], 486);
    world.take();
    let times: Vec<u64> = world.wait(Duration::from_secs(60)).iter().map(|(at, _)| at.as_millis() as u64).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(world.layer.is_empty());
}

/// RFC 3261 section 8.2.7: whoever answers without a transaction forgets; the ACK that follows must harm nobody.
#[test]
fn the_ack_of_a_stateless_answer_is_told_and_never_answered() {
    let mut world = World::new();
    world.receive(udp(), &request("ACK", NEW, ""));
    assert_eq!((world.acks, world.take().len(), world.requests.len()), (1, 0, 0));
    assert!(world.layer.is_empty());
}

#[test]
fn the_ack_of_a_2xx_is_the_dialogs() {
    let mut world = World::new();
    world.receive(udp(), &request("INVITE", NEW, ""));
    world.respond(world.requests[0], 200);
    world.receive(udp(), &request("ACK", "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKack", ""));
    assert_eq!(world.acks, 1);
    // Old user agents send it under the INVITE's branch.
    world.receive(udp(), &request("ACK", NEW, ""));
    assert_eq!(world.acks, 2);
}

#[test]
fn a_cancel_finds_its_invite_by_new_and_by_old_branches_and_else_gets_481() {
    for via in [NEW, "SIP/2.0/UDP 192.0.2.7:5066;branch=1"] {
        let mut world = World::new();
        world.receive(udp(), &request("INVITE", via, ""));
        world.take();
        world.receive(udp(), &request("CANCEL", via, ""));
        assert!(world.take()[0].starts_with("SIP/2.0 200 "), "{via}");
        assert_eq!(world.cancelled, world.requests, "{via}");
    }
    let mut world = World::new();
    world.receive(udp(), &request("CANCEL", NEW, ""));
    assert!(world.take()[0].starts_with("SIP/2.0 481 "));
}

#[test]
fn an_answer_needs_the_branch_and_the_method_of_its_request() {
    let mut world = World::new();
    let (_, invite) = world.send(udp(), Method::Invite);
    world.receive(udp(), &response(&invite, 180).replace("z9hG4bK", "z9hG4bKx"));
    world.receive(udp(), &response(&invite, 180).replace("1 INVITE", "1 OPTIONS"));
    assert_eq!((world.responses, world.strays), (0, 2));
    world.receive(udp(), &response(&invite, 180));
    assert_eq!(world.responses, 1);
}

#[test]
fn a_cancel_waits_for_the_first_provisional_answer() {
    let mut world = World::new();
    let (key, invite) = world.send(udp(), Method::Invite);
    world.cancel(key);
    assert!(world.take().is_empty());
    world.receive(udp(), &response(&invite, 100));
    let cancel = world.take().remove(0);
    assert!(cancel.starts_with("CANCEL sip:there@192.0.2.7 "), "{cancel}");
    assert_eq!(header(&cancel, "Via"), header(&invite, "Via"));
    assert_eq!(header(&cancel, "CSeq"), Some("1 CANCEL"));
    assert_eq!(header(&cancel, "Contact"), None);
}

#[test]
fn requests_are_sent_again_at_the_times_of_the_rfc_and_fail_after_64_t1() {
    let times = |method| {
        let mut world = World::new();
        world.send(udp(), method);
        let log = world.wait(Duration::from_secs(60));
        assert_eq!(world.failed.iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), [Failure::TimedOut]);
        log.into_iter().map(|(at, _)| at.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(times(Method::Invite), [500, 1500, 3500, 7500, 15_500, 31_500]);
    let other = [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times(Method::Publish), other);
}
