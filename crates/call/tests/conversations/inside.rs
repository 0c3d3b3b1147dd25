//! Inside a call: what passes from one side to the other, and what ends it.

use std::time::Duration;

use call::Input;
use call::event::Evidence;
use sip::transaction::Failure;
use wire::sip::Method;

use crate::world::{ANSWER, SDP, World, from_callee, from_caller, header};

const MOVED: &str = "Contact: <sip:100@192.0.2.77:5060>";

#[test]
fn a_re_invite_passes_with_its_body_and_its_answer_comes_back() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &["Max-Forwards: 9"], SDP));
    let sent = passed.sent(Method::Invite);
    assert_eq!(&sent.request.body[..], SDP.as_bytes());
    assert_eq!((sent.request.max_forwards, sent.request.contact.is_some()), (8, true));
    assert_eq!(&*sent.request.uri, "sip:200@192.0.2.2:5060");
    assert_eq!(header(&sent.request.headers, "CSeq").as_deref(), Some("2 INVITE"));
    let answered = world.accept(&sent, "");
    let response = answered.response(key);
    assert_eq!((response.code, &response.body[..], response.contact.is_some()), (200, ANSWER.as_bytes(), true));
    let acked = world.ack(&from_caller("ACK", 2, Some(&up.tag), &[], ""));
    assert!(acked.acknowledges(key));
    let ack = acked.acks()[0];
    assert_eq!(header(&ack.0.headers, "CSeq").as_deref(), Some("2 ACK"));
    assert_eq!(world.accept(&sent, "").acks_again(), [ack.1]);
}

#[test]
fn the_callee_may_ask_too() {
    let mut world = World::to_trunk();
    let up = world.up();
    let extra = ["Contact: <sip:200@192.0.2.99>"];
    let (key, passed) = world.request(&from_callee(&up.sent.request, "bob", "INVITE", 1, &extra, SDP));
    let sent = passed.sent(Method::Invite);
    assert_eq!(&*sent.request.uri, "sip:100@192.0.2.1:5060");
    assert!(header(&sent.request.headers, "To").unwrap().ends_with(";tag=alice"));
    assert_eq!(world.respond(&sent, 488, "", &[], "").response(key).code, 488);
    let (_, ended) = world.request(&from_caller("BYE", 2, Some(&up.tag), &[], ""));
    assert_eq!(&*ended.sent(Method::Bye).request.uri, "sip:200@192.0.2.99", "the target was refreshed");
}

#[test]
fn an_offer_that_comes_late_in_a_re_invite_goes_out_in_its_ack() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], ""));
    let answered = world.accept(&passed.sent(Method::Invite), "");
    assert_eq!((answered.response(key).code, answered.acks().len()), (200, 0));
    let acked = world.ack(&from_caller("ACK", 2, Some(&up.tag), &[], SDP));
    assert_eq!(&acked.acks()[0].0.body[..], SDP.as_bytes());
}

#[test]
fn offers_that_cross_get_491() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], SDP));
    let extra = ["Contact: <sip:200@192.0.2.2>"];
    let (crossing, glare) = world.request(&from_callee(&up.sent.request, "bob", "INVITE", 1, &extra, SDP));
    assert_eq!(glare.response(crossing).code, 491);
    let back = world.respond(&passed.sent(Method::Invite), 491, "", &[], "");
    assert_eq!(back.response(key).code, 491);
    assert!(glare.and(back).ends().is_empty());
    let (again, passed) = world.request(&from_caller("INVITE", 3, Some(&up.tag), &[], SDP));
    assert_eq!(world.accept(&passed.sent(Method::Invite), "").response(again).code, 200);
}

#[test]
fn update_info_and_message_pass_and_so_do_their_answers() {
    for (method, known) in [("UPDATE", Method::Update), ("INFO", Method::Info), ("MESSAGE", Method::Message)] {
        let mut world = World::to_trunk();
        let up = world.up();
        let octets = from_caller(method, 2, Some(&up.tag), &["Content-Type: application/dtmf-relay"], "Signal=5\r\n");
        let (key, passed) = world.request(&octets);
        let sent = passed.sent(known);
        assert_eq!(&sent.request.body[..], b"Signal=5\r\n");
        assert_eq!(header(&sent.request.headers, "Content-Type").as_deref(), Some("application/dtmf-relay"));
        assert!(world.respond(&sent, 100, "", &[], "").responses(key).is_empty());
        assert_eq!(world.respond(&sent, 202, "", &[], "").response(key).code, 202);
    }
}

#[test]
fn a_side_that_no_longer_knows_the_call_ends_it() {
    for code in [481, 408] {
        let mut world = World::to_trunk();
        let up = world.up();
        let (key, passed) = world.request(&from_caller("INFO", 2, Some(&up.tag), &[], ""));
        let ended = world.respond(&passed.sent(Method::Info), code, "", &[], "");
        assert_eq!(ended.response(key).code, code);
        assert_eq!(ended.ends(), [Evidence::DialogGone(code)]);
        let byes = ended.all_sent(Method::Bye);
        assert_eq!(byes.len(), if code == 408 { 2 } else { 1 }, "whether that side may still believe in the call");
        assert!(byes.iter().any(|bye| header(&bye.request.headers, "To").unwrap().ends_with(";tag=alice")));
    }
}

#[test]
fn a_side_that_says_nothing_ends_the_call() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], SDP));
    let silent = Input::Failed { key: passed.sent(Method::Invite).key, cause: Failure::TimedOut };
    let ended = world.handle(silent);
    assert_eq!((ended.response(key).code, ended.ends().len()), (408, 1));
    assert_eq!(ended.all_sent(Method::Bye).len(), 2, "who did not hear the INVITE may hear that it is over");
}

#[test]
fn a_refused_request_that_the_call_outlives_ends_nothing() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INFO", 2, Some(&up.tag), &[], ""));
    let refused = world.respond(&passed.sent(Method::Info), 415, "", &[], "");
    assert_eq!((refused.response(key).code, refused.ends().len()), (415, 0));
}

#[test]
fn a_request_that_is_out_of_order_gets_500_and_one_of_another_call_481() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (old, followed) = world.request(&from_caller("INFO", 1, Some(&up.tag), &[], ""));
    assert_eq!(followed.response(old).code, 500);
    let octets = from_caller("INFO", 2, Some(&up.tag), &[], "");
    let foreign = String::from_utf8(octets).unwrap().replace("Call-ID: a\r", "Call-ID: z\r");
    let (key, followed) = world.request(foreign.as_bytes());
    assert_eq!(followed.response(key).code, 481);
}

#[test]
fn a_new_contact_moves_the_target_and_the_record() {
    let mut world = World::to_trunk();
    let up = world.up();
    let octets = from_caller("UPDATE", 2, Some(&up.tag), &[], "");
    let moved = String::from_utf8(octets).unwrap().replace("Contact: <sip:100@192.0.2.1:5060>", MOVED);
    let (_, followed) = world.request(moved.as_bytes());
    let record = followed.saved().unwrap();
    assert_eq!(record.id, up.record.id);
    assert_eq!(&*record.legs[0].dialog.remote_target, "sip:100@192.0.2.77:5060");
    let (_, ended) = world.request(&from_callee(&up.sent.request, "bob", "BYE", 1, &[], ""));
    assert_eq!(&*ended.sent(Method::Bye).request.uri, "sip:100@192.0.2.77:5060");
    assert_eq!(ended.ends(), [Evidence::CalleeHungUp]);
}

#[test]
fn the_route_set_of_a_side_is_followed_and_never_crosses() {
    let mut world = World::to_trunk();
    let extra = ["Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>"];
    let (invite, followed) = world.request(&from_caller("INVITE", 1, None, &extra, SDP));
    let sent = followed.sent(Method::Invite);
    let answer = ["Contact: <sip:200@192.0.2.2>", "Record-Route: <sip:q1.example;lr>, <sip:q2.example;lr>"];
    let answered = world.respond(&sent, 200, "bob", &answer, ANSWER);
    assert_eq!(header(&answered.response(invite).headers, "Record-Route"), None);
    let tag = answered.response(invite).to_tag.clone().unwrap();
    world.ack(&from_caller("ACK", 1, Some(&tag), &[], ""));
    let ended = world.handle(Input::Stop);
    let byes = ended.all_sent(Method::Bye);
    let routes: Vec<_> = byes.iter().map(|bye| (&*bye.target.uri, header(&bye.request.headers, "Route"))).collect();
    let (first, next) = (Some("<sip:p2.example;lr>".to_owned()), Some("<sip:q2.example;lr>".to_owned()));
    assert_eq!(routes, [("sip:p2.example;lr", first), ("sip:q2.example;lr", next)]);
}

#[test]
fn an_ended_call_leaves_nothing_behind() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (_, ended) = world.request(&from_caller("BYE", 2, Some(&up.tag), &[], ""));
    world.respond(&ended.sent(Method::Bye), 481, "", &[], "");
    world.later(Duration::from_secs(40));
    assert!(world.calls.is_empty());
    let (late, followed) = world.request(&from_caller("INFO", 3, Some(&up.tag), &[], ""));
    assert_eq!(followed.response(late).code, 481);
}

#[test]
fn a_call_with_a_re_invite_leaves_nothing_behind_either() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (_, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], SDP));
    world.accept(&passed.sent(Method::Invite), "");
    world.ack(&from_caller("ACK", 2, Some(&up.tag), &[], ""));
    let (_, ended) = world.request(&from_caller("BYE", 3, Some(&up.tag), &[], ""));
    world.respond(&ended.sent(Method::Bye), 200, "", &[], "");
    world.later(Duration::from_secs(40));
    assert!(world.calls.is_empty());
}

#[test]
fn an_early_request_does_not_hide_the_ack() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let tag = world.respond(&sent, 180, "bob", &[], "").response(invite).to_tag.clone().unwrap();
    world.request(&from_caller("OPTIONS", 2, Some(&tag), &[], ""));
    world.accept(&sent, "bob");
    assert!(world.ack(&from_caller("ACK", 1, Some(&tag), &[], "")).acknowledges(invite));
}

#[test]
fn a_request_beside_a_re_invite_does_not_hide_its_ack() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], SDP));
    world.request(&from_caller("INFO", 3, Some(&up.tag), &[], ""));
    world.accept(&passed.sent(Method::Invite), "");
    assert!(world.ack(&from_caller("ACK", 2, Some(&up.tag), &[], "")).acknowledges(key));
}

#[test]
fn a_re_invite_that_is_open_when_the_call_ends_gets_its_answer_all_the_same() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, passed) = world.request(&from_caller("INVITE", 2, Some(&up.tag), &[], SDP));
    let (_, ended) = world.request(&from_caller("BYE", 3, Some(&up.tag), &[], ""));
    let late = world.accept(&passed.sent(Method::Invite), "");
    assert_eq!(late.acks().len(), 1);
    assert_eq!(ended.and(late).response(key).code, 487);
}

#[test]
fn an_offer_before_the_ack_gets_491() {
    let mut world = World::to_trunk();
    let (_, sent) = world.ring();
    world.accept(&sent, "bob");
    let extra = ["Contact: <sip:200@192.0.2.2>"];
    let (early, followed) = world.request(&from_callee(&sent.request, "bob", "INVITE", 1, &extra, SDP));
    assert_eq!(followed.response(early).code, 491);
}

#[test]
fn a_request_inside_a_call_may_pass_too_many_hops() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (key, followed) = world.request(&from_caller("INFO", 2, Some(&up.tag), &["Max-Forwards: 0"], ""));
    assert_eq!(followed.response(key).code, 483);
}
