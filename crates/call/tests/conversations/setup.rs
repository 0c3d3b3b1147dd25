//! From the INVITE to the answer.

use std::time::Duration;

use call::event::{Evidence, What};
use call::{CallRequest, Input};
use sip::transaction::Failure;
use wire::sip::Method;

use crate::world::{ANSWER, SDP, World, from_caller, header};

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

#[test]
fn nothing_of_the_callers_side_shows_on_the_callees() {
    let mut world = World::to_trunk();
    let extra = [
        "Subject: lunch",
        "User-Agent: Secret/1.0",
        "P-Asserted-Identity: <sip:100@inside.example>",
        "Record-Route: <sip:192.0.2.9;lr>",
        "Max-Forwards: 30",
    ];
    let (_, followed) = world.request(&from_caller("INVITE", 41, None, &extra, SDP));
    let sent = followed.sent(Method::Invite);
    let headers = String::from_utf8_lossy(sent.request.headers.as_bytes()).into_owned();
    for secret in ["inside.example", "192.0.2", "Secret", "alice", "Call-ID: a\r", "41"] {
        assert!(!headers.contains(secret), "{secret} in {headers}");
    }
    assert!(header(&sent.request.headers, "From").unwrap().starts_with("\"Alice\" <sip:100@sbc.example>;tag="));
    assert!(header(&sent.request.headers, "To").unwrap().contains("<sip:200@trunk.example"));
    assert_eq!(header(&sent.request.headers, "Subject").as_deref(), Some("lunch"));
    assert_eq!(header(&sent.request.headers, "Content-Type").as_deref(), Some("application/sdp"));
    assert_eq!(text(&sent.request.body), SDP);
    assert_eq!(&*sent.request.uri, "sip:200@trunk.example:5070");
    assert_eq!(&*sent.target.uri, "sip:trunk.example:5070");
    assert_eq!(sent.request.max_forwards, 29);
}

#[test]
fn a_call_is_offered_rings_is_answered_and_ends_once() {
    let mut world = World::to_trunk();
    let (invite, followed) = world.request(&from_caller("INVITE", 1, None, &[], SDP));
    let offered = followed.events();
    assert!(matches!(&offered[..], [event] if matches!(&event.what, What::Offered { caller, callee }
        if caller.peer.as_deref() == Some("pbx") && callee.peer.as_deref() == Some("trunk"))));
    let sent = followed.sent(Method::Invite);
    let ringing = world.respond(&sent, 180, "bob", &[], "");
    let tag = ringing.response(invite).to_tag.clone().unwrap();
    let progress = world.respond(&sent, 183, "other", &[], ANSWER);
    assert_eq!(progress.response(invite).to_tag.as_ref(), Some(&tag));
    assert_eq!(text(&progress.response(invite).body), ANSWER);
    assert!(world.respond(&sent, 100, "", &[], "").0.is_empty());
    let answered = world.accept(&sent, "bob");
    assert_eq!((answered.response(invite).code, answered.answers()), (200, 1));
    assert_eq!(answered.response(invite).to_tag.as_ref(), Some(&tag));
    assert_eq!(text(&answered.response(invite).body), ANSWER);
    let acked = world.ack(&from_caller("ACK", 1, Some(&tag), &[], ""));
    assert!(acked.acknowledges(invite));
    assert_eq!(answered.acks().len() + acked.acks().len(), 1);
    let (bye, ended) = world.request(&from_caller("BYE", 2, Some(&tag), &[], ""));
    assert_eq!(ended.response(bye).code, 200);
    assert_eq!(ended.ends(), [Evidence::CallerHungUp]);
    let ours = ended.sent(Method::Bye);
    assert_eq!(&*ours.request.uri, "sip:200@192.0.2.2:5060");
    assert!(header(&ours.request.headers, "To").unwrap().ends_with(";tag=bob"));
    let id = answered.saved().unwrap().id;
    assert!(!ended.forgets(&id), "the callee has not confirmed");
    let confirmed = world.respond(&ours, 200, "", &[], "");
    assert!(confirmed.forgets(&id) && confirmed.ends().is_empty());
    world.later(Duration::from_secs(40));
    assert!(world.calls.is_empty());
}

#[test]
fn an_offer_that_comes_late_goes_out_in_the_ack() {
    let mut world = World::to_trunk();
    let (invite, followed) = world.request(&from_caller("INVITE", 1, None, &[], ""));
    let sent = followed.sent(Method::Invite);
    assert!(sent.request.body.is_empty());
    let answered = world.accept(&sent, "bob");
    assert!(answered.acks().is_empty(), "the ACK waits for the caller's answer");
    let tag = answered.response(invite).to_tag.clone().unwrap();
    let acked = world.ack(&from_caller("ACK", 1, Some(&tag), &[], SDP));
    let acks = acked.acks();
    assert_eq!(acks.len(), 1);
    assert_eq!(text(&acks[0].0.body), SDP);
    assert_eq!(header(&acks[0].0.headers, "Content-Type").as_deref(), Some("application/sdp"));
    let keep = acks[0].1;
    assert_eq!(world.accept(&sent, "bob").acks_again(), [keep]);
}

#[test]
fn a_refusal_reaches_the_caller_and_ends_the_call() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let refused = world.respond(&sent, 486, "bob", &[], "");
    assert_eq!(refused.response(invite).code, 486);
    assert_eq!(refused.ends(), [Evidence::Refused(486)]);
    assert!(world.calls.is_empty());
}

#[test]
fn a_challenge_or_an_overload_of_the_callees_side_is_not_the_callers() {
    for (code, reported) in [(401, 480), (407, 480), (302, 480), (503, 500)] {
        let mut world = World::to_trunk();
        let (invite, sent) = world.ring();
        assert_eq!(world.respond(&sent, code, "bob", &[], "").response(invite).code, reported);
    }
}

#[test]
fn a_peer_that_says_nothing_earns_the_caller_408() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let failed = world.handle(Input::Failed { key: sent.key, cause: Failure::TimedOut });
    assert_eq!(failed.response(invite).code, 408);
    assert_eq!(failed.ends().len(), 1);
    assert!(world.calls.is_empty());
}

#[test]
fn a_call_that_nobody_answers_ends_after_three_minutes() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    world.respond(&sent, 180, "bob", &[], "");
    assert!(world.later(Duration::from_secs(179)).ends().is_empty());
    let ended = world.later(Duration::from_secs(2));
    assert_eq!(ended.ends(), [Evidence::NoAnswer]);
    assert_eq!(ended.cancels(), [sent.key]);
    assert!([408, 480].contains(&ended.response(invite).code));
    world.respond(&sent, 487, "bob", &[], "");
    assert!(world.calls.is_empty());
}

#[test]
fn an_answer_of_an_unknown_request_changes_nothing() {
    let mut world = World::to_trunk();
    let (_, mut sent) = world.ring();
    sent.key = CallRequest(9999);
    assert!(world.accept(&sent, "bob").0.is_empty());
}

#[test]
fn a_2xx_that_makes_no_dialog_is_no_answer() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let followed = world.respond(&sent, 200, "bob", &[], ANSWER);
    assert!(followed.response(invite).code >= 400, "the caller hears {}", followed.response(invite).code);
    assert_eq!(followed.answers(), 0);
}

#[test]
fn the_callees_display_name_crosses() {
    let mut world = World::to_trunk();
    let (_, sent) = world.ring();
    assert_eq!(header(&sent.request.headers, "To").as_deref(), Some("\"Bob\" <sip:200@trunk.example>"));
}
