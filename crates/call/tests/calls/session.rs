//! Session timers (RFC 4028): who refreshes, by what, and which calls end for want of it.

use std::time::Duration;

use call::event::Evidence;
use call::session::Settings;

use crate::world::{ANSWER, OFFER, PBX, TRUNK, World, body, header, headers};

const UPDATE: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n";
const TIMER: &str = "Supported: timer\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_knows_no_timers_is_asked_by_options_at_half_time_and_the_call_goes_on() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    for _ in 0..20 {
        world.wait(seconds(299));
        world.silence(PBX);
        world.silence(TRUNK);
        world.wait(seconds(1));
        for at in [PBX, TRUNK] {
            let asked = world.expect(at, "OPTIONS");
            assert!(headers(&asked, "Session-Expires").is_empty());
            world.responds(at, &asked, "200 OK", "", "");
        }
    }
    assert!(world.ended().is_empty());
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn who_takes_update_is_refreshed_by_update_without_a_body() {
    let mut world = World::new();
    let (mut caller, _) = world.call_with(
        &format!("{UPDATE}Supported: timer\r\n"),
        &format!("{UPDATE}Session-Expires: 200;refresher=uac\r\n"),
    );
    world.wait(seconds(100));
    world.silence(PBX);
    let update = world.expect(TRUNK, "UPDATE");
    assert_eq!(headers(&update, "Session-Expires"), ["200;refresher=uac"]);
    assert!(body(&update).is_empty() && headers(&update, "Contact").len() == 1);
    world.responds_with(TRUNK, &update, "200 OK", "", "Session-Expires: 120;refresher=uac\r\n", "");
    world.wait(seconds(60));
    let update = world.expect(TRUNK, "UPDATE");
    world.responds_with(TRUNK, &update, "200 OK", "", "Session-Expires: 1000;refresher=uac\r\n", "");
    world.wait(seconds(140));
    let update = world.expect(PBX, "UPDATE");
    world.responds_with(PBX, &update, "200 OK", "", "Session-Expires: 600;refresher=uac\r\n", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_2xx_says_who_refreshes_only_to_who_knows_timers() {
    let cases = [
        ("", None),
        ("Supported: timer\r\nAllow: INVITE, UPDATE\r\n", Some(("600;refresher=uas", false))),
        ("Supported: timer\r\nAllow: INVITE\r\n", Some(("600;refresher=uac", true))),
        ("Supported: timer\r\nSession-Expires: 1800\r\nAllow: UPDATE\r\n", Some(("600;refresher=uas", false))),
        ("Supported: timer\r\nSession-Expires: 100;refresher=uac\r\n", Some(("100;refresher=uac", true))),
        (
            "Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\nMin-SE: 900\r\n",
            Some(("900;refresher=uas", false)),
        ),
        ("Supported: timer\r\nx: 300\r\nAllow: UPDATE\r\n", Some(("300;refresher=uas", false))),
    ];
    for (asked, told) in cases {
        let mut world = World::new();
        world.invites_with(PBX, "sip:bob@example.com", asked, OFFER);
        let offered = world.expect(TRUNK, "INVITE");
        world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
        let answer = world.expect(PBX, "200");
        let said = headers(&answer, "Session-Expires");
        assert_eq!(said.first().map(String::as_str), told.map(|(value, _)| value), "{asked}");
        assert_eq!(headers(&answer, "Require") == ["timer"], told.is_some_and(|(_, required)| required), "{asked}");
    }
}

#[test]
fn too_brief_a_session_is_refused_with_what_is_long_enough() {
    let mut world = World::new();
    world.invites_with(PBX, "sip:bob@example.com", "Supported: timer\r\nSession-Expires: 89\r\n", OFFER);
    let refused = world.expect(PBX, "422");
    assert_eq!(header(&refused, "Min-SE"), "90");
    world.silence(TRUNK);
}

#[test]
fn a_callee_that_wants_longer_sessions_gets_its_invite_again() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let first = world.expect(TRUNK, "INVITE");
    world.responds_with(TRUNK, &first, "422 Session Interval Too Small", "t1", "Min-SE: 1800\r\n", "");
    world.expect(TRUNK, "ACK");
    let again = world.expect(TRUNK, "INVITE");
    assert_eq!(header(&again, "Session-Expires"), "1800;refresher=uac");
    assert_eq!(header(&again, "Min-SE"), "1800");
    assert_eq!(header(&again, "CSeq"), "2 INVITE");
    assert_eq!(header(&again, "Call-ID"), header(&first, "Call-ID"));
    assert_eq!(header(&again, "From"), header(&first, "From"));
    assert_eq!(body(&again), OFFER);
    world.responds(TRUNK, &again, "200 OK", "t2", ANSWER);
    let answer = world.expect(PBX, "200");
    let ack = world.expect(TRUNK, "ACK");
    assert_eq!(header(&ack, "CSeq"), "2 ACK");
    world.responds(TRUNK, &again, "200 OK", "t2", ANSWER);
    world.expect(TRUNK, "ACK");
    let mut caller = crate::world::caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_callee_that_is_never_content_refuses_the_call() {
    let mut world = World::new();
    world.invites(PBX, "sip:bob@example.com", OFFER);
    for least in ["1800", "3600"] {
        let invite = world.expect(TRUNK, "INVITE");
        let min = format!("Min-SE: {least}\r\n");
        world.responds_with(TRUNK, &invite, "422 Session Interval Too Small", "t", &min, "");
        world.expect(TRUNK, "ACK");
    }
    world.silence(TRUNK);
    world.expect(PBX, "422");
    world.over();
}

#[test]
fn a_side_that_must_refresh_and_does_not_ends_the_call_before_the_session_does() {
    let mut world = World::new();
    world.call_with("Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n", UPDATE);
    world.wait(seconds(59));
    assert!(world.ended().is_empty());
    world.wait(seconds(2));
    assert_eq!(world.ended(), [Evidence::SessionExpired]);
    for at in [PBX, TRUNK] {
        let bye = world.expect(at, "BYE");
        world.responds(at, &bye, "200 OK", "", "");
    }
    world.over();
}

#[test]
fn a_side_that_refreshes_in_time_keeps_the_call_and_the_other_one_hears_nothing_of_it() {
    let mut world = World::new();
    let asked = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n";
    let (mut caller, _) = world.call_with(asked, "");
    for _ in 0..6 {
        world.wait(seconds(45));
        caller.cseq += 1;
        world.asks_as(&caller, "UPDATE", caller.cseq, asked, "");
        let answer = world.expect(PBX, "200");
        assert_eq!(header(&answer, "Session-Expires"), "90;refresher=uac");
        world.silence(TRUNK);
    }
    assert!(world.ended().is_empty());
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_refresh_by_re_invite_passes_and_keeps_both_sessions() {
    let mut world = World::new();
    let asked = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n";
    let (mut caller, _) = world.call_with(asked, "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n");
    for _ in 0..4 {
        world.wait(seconds(45));
        caller.cseq += 1;
        world.asks_as(&caller, "INVITE", caller.cseq, asked, OFFER);
        let passed = world.expect(TRUNK, "INVITE");
        assert_eq!(header(&passed, "Session-Expires"), "300;refresher=uac");
        world.responds_with(
            TRUNK,
            &passed,
            "200 OK",
            "",
            &format!("Contact: <sip:callee@{TRUNK}>\r\nSession-Expires: 300;refresher=uac\r\n"),
            ANSWER,
        );
        let answer = world.expect(PBX, "200");
        assert_eq!(header(&answer, "Session-Expires"), "90;refresher=uac");
        world.asks_as(&caller, "ACK", caller.cseq, "", "");
        world.expect(TRUNK, "ACK");
    }
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn who_knows_timers_and_no_update_is_refreshed_by_the_same_offer_again() {
    let mut world = World::new();
    let (mut caller, _) = world.call_with("", &format!("{TIMER}Session-Expires: 200;refresher=uac\r\n"));
    for _ in 0..3 {
        world.wait(seconds(100));
        let invite = world.expect(TRUNK, "INVITE");
        assert_eq!(body(&invite), OFFER);
        assert_eq!(header(&invite, "Content-Type"), "application/sdp");
        assert_eq!(header(&invite, "Session-Expires"), "200;refresher=uac");
        let granted = format!("Contact: <sip:callee@{TRUNK}>\r\n{TIMER}Session-Expires: 200;refresher=uac\r\n");
        world.responds_with(TRUNK, &invite, "200 OK", "", &granted, ANSWER);
        world.expect(TRUNK, "ACK");
        world.responds_with(TRUNK, &invite, "200 OK", "", &granted, ANSWER);
        world.expect(TRUNK, "ACK");
        world.silence(TRUNK);
    }
    world.forget(PBX);
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_call_that_ends_during_our_re_invite_leaves_nothing() {
    let mut world = World::new();
    let (mut caller, _) = world.call_with("", &format!("{TIMER}Session-Expires: 200;refresher=uac\r\n"));
    world.wait(seconds(100));
    let invite = world.expect(TRUNK, "INVITE");
    world.asks(&mut caller, "BYE", "");
    world.expect(PBX, "200");
    let bye = world.expect(TRUNK, "BYE");
    world.responds(TRUNK, &bye, "200 OK", "", "");
    world.responds(TRUNK, &invite, "200 OK", "", ANSWER);
    world.expect(TRUNK, "ACK");
    world.over();
}

#[test]
fn a_re_invite_that_meets_our_refresh_is_told_to_wait() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call_with("", &format!("{TIMER}Session-Expires: 200;refresher=uac\r\n"));
    world.wait(seconds(100));
    let invite = world.expect(TRUNK, "INVITE");
    world.asks(&mut callee, "INVITE", OFFER);
    world.expect(TRUNK, "491");
    world.asks(&mut caller, "INVITE", OFFER);
    world.expect(PBX, "491");
    world.responds(TRUNK, &invite, "491 Request Pending", "", "");
    world.expect(TRUNK, "ACK");
    world.wait(seconds(5));
    // Our 491 comes again and again, for nobody acknowledges it here.
    while world.heard(TRUNK, "SIP/2.0 491").is_some() {}
    let invite = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &invite, "200 OK", "", ANSWER);
    world.expect(TRUNK, "ACK");
    assert!(world.ended().is_empty());
}

#[test]
fn who_does_not_know_the_call_any_more_ends_it() {
    for (code, evidence) in [("481 Gone", 481), ("408 Timeout", 408)] {
        let mut world = World::new();
        world.call_with(UPDATE, "");
        world.wait(seconds(300));
        let update = world.expect(PBX, "UPDATE");
        world.responds(PBX, &update, code, "", "");
        assert_eq!(world.ended(), [Evidence::DialogGone(evidence)]);
    }
}

#[test]
fn who_refuses_a_refresh_is_there_all_the_same() {
    for code in ["403 Forbidden", "404 Not Found", "488 Not Acceptable Here", "603 Decline"] {
        let mut world = World::new();
        world.call_with(UPDATE, UPDATE);
        for _ in 0..3 {
            world.wait(seconds(300));
            for at in [PBX, TRUNK] {
                let update = world.expect(at, "UPDATE");
                world.responds(at, &update, code, "", "");
            }
        }
        assert!(world.ended().is_empty(), "{code}");
    }
}

#[test]
fn who_says_update_and_means_no_is_asked_by_options_at_once() {
    let mut world = World::new();
    world.call_with("", UPDATE);
    world.wait(seconds(300));
    let update = world.expect(TRUNK, "UPDATE");
    world.responds(TRUNK, &update, "501 Not Implemented", "", "");
    let options = world.expect(TRUNK, "OPTIONS");
    world.responds(TRUNK, &options, "200 OK", "", "");
    world.silence(TRUNK);
    assert!(world.ended().is_empty());
}

#[test]
fn an_update_of_ours_that_asks_for_too_little_asks_for_more() {
    let mut world = World::new();
    world.call_with("", &format!("{UPDATE}Session-Expires: 200;refresher=uac\r\n"));
    world.wait(seconds(100));
    let update = world.expect(TRUNK, "UPDATE");
    world.responds_with(TRUNK, &update, "422 Session Interval Too Small", "", "Min-SE: 1000\r\n", "");
    let update = world.expect(TRUNK, "UPDATE");
    assert_eq!(header(&update, "Session-Expires"), "1000;refresher=uac");
}

#[test]
fn a_connection_that_is_gone_is_no_end_but_a_session_without_any_refresh_is() {
    let mut world = World::new();
    world.call();
    world.cut = vec![TRUNK.parse().unwrap()];
    world.wait(seconds(300));
    let asked = world.expect(PBX, "OPTIONS");
    world.responds(PBX, &asked, "200 OK", "", "");
    world.wait(seconds(299));
    assert!(world.ended().is_empty());
    world.wait(seconds(1));
    assert_eq!(world.ended(), [Evidence::SessionExpired]);
}

#[test]
fn a_connection_that_comes_back_in_time_keeps_the_call() {
    let mut world = World::new();
    world.call();
    world.cut = vec![TRUNK.parse().unwrap()];
    world.wait(seconds(310));
    world.cut.clear();
    world.wait(seconds(6));
    let asked = world.expect(TRUNK, "OPTIONS");
    world.responds(TRUNK, &asked, "200 OK", "", "");
    let asked = world.expect(PBX, "OPTIONS");
    world.responds(PBX, &asked, "200 OK", "", "");
    world.wait(seconds(280));
    assert!(world.ended().is_empty());
}

#[test]
fn a_call_may_be_bounded_in_its_length() {
    let longest = Some(seconds(120));
    let mut world = World::with_sessions(Settings { longest, ..Settings::default() });
    world.call();
    world.wait(seconds(119));
    assert!(world.ended().is_empty());
    world.wait(seconds(1));
    assert_eq!(world.ended(), [Evidence::TooLong]);
    for at in [PBX, TRUNK] {
        let bye = world.expect(at, "BYE");
        world.responds(at, &bye, "200 OK", "", "");
    }
    world.over();
}
