//! Several phones of one user.

use std::time::Duration;

use call::event::Evidence;

use crate::world::{ANSWER, DESK, MOBILE, OFFER, PBX, TRUNK, World, body, caller, header};

/// Both phones of bob ring: the INVITE as the trunk sent it, and as each phone heard it.
fn ringing(world: &mut World) -> (String, String, String) {
    world.register(DESK, "");
    world.register(MOBILE, "");
    let invite = world.invites(TRUNK, "sip:bob@example.com", OFFER);
    let desk = world.expect(DESK, "INVITE");
    let mobile = world.expect(MOBILE, "INVITE");
    for (phone, offered) in [(DESK, &desk), (MOBILE, &mobile)] {
        world.responds(phone, offered, "180 Ringing", phone, "");
        world.expect(TRUNK, "180");
    }
    (invite, desk, mobile)
}

#[test]
fn every_phone_rings_and_the_caller_sees_one_tag() {
    let mut world = World::new();
    world.register(DESK, "");
    world.register(MOBILE, "");
    world.invites(TRUNK, "sip:bob@example.com", OFFER);
    let (desk, mobile) = (world.expect(DESK, "INVITE"), world.expect(MOBILE, "INVITE"));
    assert!(desk.starts_with(&format!("INVITE sip:bob@{DESK} SIP/2.0")));
    assert_ne!(header(&desk, "Call-ID"), header(&mobile, "Call-ID"));
    world.responds(DESK, &desk, "180 Ringing", "d", "");
    world.responds(MOBILE, &mobile, "183 Session Progress", "m", ANSWER);
    let (ringing, early) = (world.expect(TRUNK, "180"), world.expect(TRUNK, "183"));
    assert_eq!(header(&ringing, "To"), header(&early, "To"));
    assert_eq!(body(&early), ANSWER);
}

#[test]
fn the_first_answer_wins_and_the_others_are_cancelled() {
    let mut world = World::new();
    let (invite, desk, mobile) = ringing(&mut world);
    world.responds(DESK, &desk, "200 OK", DESK, ANSWER);
    let answer = world.expect(TRUNK, "200");
    world.expect(DESK, "ACK");
    let cancel = world.expect(MOBILE, "CANCEL");
    world.responds(MOBILE, &cancel, "200 OK", MOBILE, "");
    world.responds(MOBILE, &mobile, "487 Request Terminated", MOBILE, "");
    world.expect(MOBILE, "ACK");
    assert_eq!(world.answered(), 1);
    let mut caller = caller(TRUNK, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.silence(DESK);
    world.hangs_up(&mut caller, DESK);
    world.over();
}

#[test]
fn a_phone_that_answers_too_late_is_acknowledged_and_hung_up() {
    let mut world = World::new();
    let (invite, desk, mobile) = ringing(&mut world);
    world.responds(DESK, &desk, "200 OK", DESK, ANSWER);
    world.responds(MOBILE, &mobile, "200 OK", MOBILE, ANSWER);
    let answer = world.expect(TRUNK, "200");
    world.expect(MOBILE, "CANCEL");
    world.expect(MOBILE, "ACK");
    let bye = world.expect(MOBILE, "BYE");
    world.responds(MOBILE, &bye, "200 OK", "", "");
    world.responds(MOBILE, &mobile, "200 OK", MOBILE, ANSWER);
    world.expect(MOBILE, "ACK");
    world.silence(MOBILE);
    world.silence(TRUNK);
    assert_eq!(world.answered(), 1);
    assert!(world.ended().is_empty());
    world.expect(DESK, "ACK");
    let mut caller = caller(TRUNK, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, DESK);
    world.over();
}

#[test]
fn one_phone_that_refuses_does_not_stop_the_other() {
    let mut world = World::new();
    let (invite, desk, mobile) = ringing(&mut world);
    world.responds(DESK, &desk, "486 Busy Here", DESK, "");
    world.expect(DESK, "ACK");
    world.silence(TRUNK);
    world.responds(MOBILE, &mobile, "200 OK", MOBILE, ANSWER);
    let answer = world.expect(TRUNK, "200");
    world.expect(MOBILE, "ACK");
    let mut caller = caller(TRUNK, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, MOBILE);
    world.over();
}

#[test]
fn the_best_of_the_refusals_passes() {
    for (first, second, best) in [
        ("486 Busy Here", "500 Broken", "486"),
        ("603 Decline", "486 Busy Here", "603"),
        ("503 Service Unavailable", "404 Not Found", "404"),
    ] {
        let mut world = World::new();
        let (_, desk, mobile) = ringing(&mut world);
        world.responds(MOBILE, &mobile, second, MOBILE, "");
        world.responds(DESK, &desk, first, DESK, "");
        world.expect(TRUNK, best);
        assert_eq!(world.ended(), [Evidence::Refused(best.parse().unwrap())]);
        world.over();
    }
}

#[test]
fn a_6xx_stops_the_other_phones() {
    let mut world = World::new();
    let (_, desk, _) = ringing(&mut world);
    world.responds(DESK, &desk, "603 Decline", DESK, "");
    world.expect(MOBILE, "CANCEL");
}

#[test]
fn a_caller_that_gives_up_stops_every_phone() {
    let mut world = World::new();
    let (invite, desk, mobile) = ringing(&mut world);
    world.cancels(TRUNK, &invite);
    world.expect(DESK, "CANCEL");
    world.expect(MOBILE, "CANCEL");
    world.responds(DESK, &desk, "487 Request Terminated", DESK, "");
    world.responds(MOBILE, &mobile, "200 OK", MOBILE, ANSWER);
    world.expect(MOBILE, "ACK");
    world.expect(MOBILE, "BYE");
    assert_eq!(world.answered(), 0);
    world.over();
}

#[test]
fn a_user_who_is_not_registered_is_a_480() {
    let mut world = World::new();
    world.invites(TRUNK, "sip:bob@example.com", OFFER);
    world.expect(TRUNK, "480");
    assert_eq!(world.ended().len(), 1);
    world.over();
}

#[test]
fn a_phone_behind_a_nat_is_reached_on_its_flow() {
    let mut world = World::new();
    let behind = "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.7:5060;rport;branch=z9hG4bKnat\r\nMax-Forwards: 70\r\n\
                  From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: nat\r\nCSeq: 1 REGISTER\r\n\
                  Contact: <sip:bob@10.0.0.7:5060>\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(world.registers(DESK, behind).code, 200);
    let invite = world.invites(TRUNK, "sip:bob@example.com", OFFER);
    let offered = world.expect(DESK, "INVITE");
    assert!(offered.starts_with("INVITE sip:bob@10.0.0.7:5060 SIP/2.0"));
    world.responds_with(DESK, &offered, "200 OK", "d", "Contact: <sip:bob@10.0.0.7:5060>\r\n", ANSWER);
    world.expect(DESK, "ACK");
    let answer = world.expect(TRUNK, "200");
    let mut caller = caller(TRUNK, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, DESK);
    world.over();
}

#[test]
fn a_user_calls_through_the_route_of_users_only() {
    let mut world = World::new();
    world.invites(DESK, "sip:carol@example.com", OFFER);
    world.expect(DESK, "404");
    world.silence(PBX);
    world.wait(Duration::from_secs(40));
    assert!(world.events.is_empty());
}
