//! Requests inside a call that stands: re-INVITE, UPDATE, INFO, MESSAGE, OPTIONS.

use std::time::Duration;

use call::event::Evidence;

use crate::world::{ANSWER, OFFER, PBX, TRUNK, World, body, header, headers};

#[test]
fn a_re_invite_of_the_caller_passes_and_so_does_its_answer() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "INVITE", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    assert_eq!(body(&offered), OFFER);
    assert_eq!(header(&offered, "Max-Forwards"), "69");
    assert!(!offered.contains("moved"), "the caller's Contact crosses:\n{offered}");
    world.responds(TRUNK, &offered, "200 OK", "", ANSWER);
    assert_eq!(body(&world.expect(PBX, "200")), ANSWER);
    world.asks_as(&caller, "ACK", caller.cseq, "", "");
    world.expect(TRUNK, "ACK");
    world.silence(TRUNK);
    world.hangs_up(&mut caller, TRUNK);
    assert_eq!(world.answered(), 1);
}

#[test]
fn a_re_invite_of_the_callee_with_a_late_offer_passes() {
    let mut world = World::new();
    let (_, mut callee) = world.call();
    world.asks(&mut callee, "INVITE", "");
    let offered = world.expect(PBX, "INVITE");
    world.responds(PBX, &offered, "200 OK", "", OFFER);
    assert_eq!(body(&world.expect(TRUNK, "200")), OFFER);
    world.silence(PBX);
    world.asks_as(&callee, "ACK", callee.cseq, "", ANSWER);
    assert_eq!(body(&world.expect(PBX, "ACK")), ANSWER);
}

#[test]
fn an_ack_that_comes_again_does_not_acknowledge_the_next_invite() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "INVITE", "");
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "", OFFER);
    world.expect(PBX, "200");
    world.asks_as(&caller, "ACK", 1, "", "");
    world.silence(TRUNK);
    world.asks_as(&caller, "ACK", caller.cseq, "", ANSWER);
    assert_eq!(body(&world.expect(TRUNK, "ACK")), ANSWER);
}

#[test]
fn two_re_invites_that_cross_get_491_each() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call();
    world.asks(&mut caller, "INVITE", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.asks(&mut callee, "INVITE", ANSWER);
    world.expect(TRUNK, "491");
    world.asks_as(&callee, "ACK", callee.cseq, "", "");
    world.responds(TRUNK, &offered, "491 Request Pending", "", "");
    world.expect(TRUNK, "ACK");
    world.expect(PBX, "491");
    assert!(world.ended().is_empty());
    world.asks(&mut callee, "INVITE", ANSWER);
    world.expect(PBX, "INVITE");
}

#[test]
fn a_re_invite_that_is_refused_leaves_the_session_as_it_was() {
    for refusal in ["488 Not Acceptable Here", "500 Server Internal Error", "403 Forbidden"] {
        let mut world = World::new();
        let (mut caller, _) = world.call();
        world.asks(&mut caller, "INVITE", OFFER);
        let offered = world.expect(TRUNK, "INVITE");
        world.responds(TRUNK, &offered, refusal, "", "");
        world.expect(TRUNK, "ACK");
        world.expect(PBX, &refusal[..3]);
        assert!(world.ended().is_empty());
        world.hangs_up(&mut caller, TRUNK);
        world.over();
    }
}

#[test]
fn a_side_that_no_longer_knows_the_call_ends_it() {
    for (refusal, method) in [("481 Gone", "INVITE"), ("481 Gone", "INFO"), ("408 Timeout", "UPDATE")] {
        let mut world = World::new();
        let (mut caller, _) = world.call();
        world.asks(&mut caller, method, OFFER);
        let offered = world.expect(TRUNK, method);
        world.responds(TRUNK, &offered, refusal, "", "");
        assert_eq!(world.ended(), [Evidence::DialogGone(refusal[..3].parse().unwrap())]);
        let mut heard = world.hears(PBX);
        if heard.starts_with("SIP/2.0") {
            heard = world.hears(PBX);
        }
        assert!(heard.starts_with("BYE "), "{heard}");
        world.over();
    }
}

#[test]
fn a_side_that_falls_silent_ends_the_call() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "INFO", "x");
    world.wait(Duration::from_secs(33));
    assert_eq!(world.ended(), [Evidence::Unreachable]);
    world.over();
}

#[test]
fn a_connection_that_is_gone_is_no_end() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.cut.push(TRUNK.parse().unwrap());
    world.asks(&mut caller, "INFO", "x");
    assert!(world.ended().is_empty(), "{:?}", world.ended());
}

#[test]
fn info_message_and_update_pass_both_ways() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call();
    for method in ["INFO", "MESSAGE", "UPDATE"] {
        for (talk, other) in [(&mut caller, TRUNK), (&mut callee, PBX)] {
            world.asks(talk, method, OFFER);
            let passed = world.expect(other, method);
            assert_eq!(body(&passed), OFFER);
            world.responds(other, &passed, "200 OK", "", ANSWER);
            assert_eq!(body(&world.expect(talk.me, "200")), ANSWER);
        }
    }
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_number_that_is_not_higher_is_refused() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "INFO", "x");
    let passed = world.expect(TRUNK, "INFO");
    world.responds(TRUNK, &passed, "200 OK", "", "");
    world.expect(PBX, "200");
    world.asks_as(&caller, "INFO", 1, "", "x");
    world.expect(PBX, "500");
    world.silence(TRUNK);
}

#[test]
fn a_side_that_moves_is_followed_and_the_record_says_where() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call();
    world.asks(&mut caller, "UPDATE", OFFER);
    let passed = world.expect(TRUNK, "UPDATE");
    world.responds(TRUNK, &passed, "200 OK", "", ANSWER);
    world.expect(PBX, "200");
    let record = world.records.values().next().unwrap();
    assert_eq!(&*record.legs[0].dialog.remote_target, format!("sip:moved@{PBX}"));
    world.asks(&mut callee, "BYE", "");
    assert!(world.expect(PBX, "BYE").starts_with(&format!("BYE sip:moved@{PBX} SIP/2.0")));
}

#[test]
fn options_inside_a_call_is_answered_here() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "OPTIONS", "");
    let answer = world.expect(PBX, "200");
    assert!(header(&answer, "Allow").contains("UPDATE"));
    assert_eq!(header(&answer, "Accept"), "application/sdp");
    world.silence(TRUNK);
}

#[test]
fn what_does_not_pass_is_refused_clearly() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    for (method, refusals) in [
        ("REFER", ["405", "501"]),
        ("SUBSCRIBE", ["405", "489"]),
        ("NOTIFY", ["481", "489"]),
        ("FROBNICATE", ["405", "501"]),
    ] {
        world.asks(&mut caller, method, "");
        let answer = world.hears(PBX);
        assert!(refusals.iter().any(|code| answer.starts_with(&format!("SIP/2.0 {code}"))), "{method}: {answer}");
        world.silence(TRUNK);
    }
    assert!(world.ended().is_empty());
}

#[test]
fn a_challenge_or_overload_inside_a_call_does_not_pass() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    for refusal in ["407 Who", "503 Service Unavailable"] {
        world.asks(&mut caller, "INFO", "x");
        let passed = world.expect(TRUNK, "INFO");
        world.responds(TRUNK, &passed, refusal, "", "");
        let heard = world.hears(PBX);
        assert!(!heard.starts_with(&format!("SIP/2.0 {}", &refusal[..3])), "{heard}");
    }
}

#[test]
fn an_update_before_the_answer_does_not_say_that_the_dialog_is_gone() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "183 Session Progress", "callee", ANSWER);
    let early = world.expect(PBX, "183");
    let mut caller = crate::world::caller(PBX, &invite, &early);
    world.asks(&mut caller, "UPDATE", OFFER);
    let heard = world.hears(PBX);
    assert!(heard.starts_with("SIP/2.0 491") || heard.starts_with("SIP/2.0 500"), "{heard}");
}

#[test]
fn what_is_under_way_when_the_call_ends_is_answered() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call();
    world.asks(&mut caller, "INVITE", OFFER);
    world.expect(TRUNK, "INVITE");
    world.asks(&mut callee, "BYE", "");
    world.expect(TRUNK, "200");
    let heard = [world.hears(PBX), world.hears(PBX)];
    assert!(heard.iter().any(|text| text.starts_with("SIP/2.0 487")), "{heard:?}");
    assert!(heard.iter().any(|text| text.starts_with("BYE ")), "{heard:?}");
}

#[test]
fn a_dialog_is_known_by_all_three_of_its_names() {
    let mut world = World::new();
    let (caller, _) = world.call();
    let mut wrong = caller.clone();
    wrong.call_id = "another".into();
    world.asks(&mut wrong, "BYE", "");
    world.expect(PBX, "481");
    let mut wrong = caller.clone();
    wrong.local = "<sip:alice@pbx.invalid>;tag=another".into();
    world.asks(&mut wrong, "BYE", "");
    world.expect(PBX, "481");
    assert!(world.ended().is_empty());
    assert!(headers(&world.asks_as(&caller, "ACK", 1, "", ""), "CSeq").len() == 1);
    world.silence(PBX);
}
