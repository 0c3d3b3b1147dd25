//! CANCEL and its races (RFC 3261 section 9, RFC 5407 section 3.1.2).

use std::time::Duration;

use call::event::Evidence;

use crate::world::{ANSWER, OFFER, PBX, TRUNK, World, caller, header};

#[test]
fn a_caller_that_gives_up_gets_487_and_the_callee_cancel() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    world.expect(PBX, "180");
    world.cancels(PBX, &invite);
    assert!(header(&world.expect(PBX, "200"), "CSeq").ends_with("CANCEL"));
    world.expect(PBX, "487");
    let cancel = world.expect(TRUNK, "CANCEL");
    world.responds(TRUNK, &cancel, "200 OK", "callee", "");
    world.responds(TRUNK, &offered, "487 Request Terminated", "callee", "");
    world.expect(TRUNK, "ACK");
    assert_eq!(world.ended(), [Evidence::Cancelled]);
    assert_eq!(world.answered(), 0);
    world.over();
}

#[test]
fn cancel_waits_for_the_callees_first_word() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.cancels(PBX, &invite);
    world.silence(TRUNK);
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    world.expect(TRUNK, "CANCEL");
    world.responds(TRUNK, &offered, "487 Request Terminated", "callee", "");
    world.over();
}

#[test]
fn an_answer_that_crosses_cancel_is_acknowledged_and_hung_up() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    world.cancels(PBX, &invite);
    world.expect(TRUNK, "CANCEL");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    world.expect(TRUNK, "ACK");
    let bye = world.expect(TRUNK, "BYE");
    world.responds(TRUNK, &bye, "200 OK", "", "");
    assert_eq!(world.answered(), 0);
    assert_eq!(world.ended(), [Evidence::Cancelled]);
    world.over();
}

#[test]
fn an_answer_that_is_the_callees_first_word_after_cancel_is_hung_up_too() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.cancels(PBX, &invite);
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    world.expect(TRUNK, "ACK");
    world.expect(TRUNK, "BYE");
    assert_eq!(world.answered(), 0);
    world.over();
}

#[test]
fn a_callee_whose_answer_came_after_cancel_is_hung_up_in_the_next_run_too() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.cancels(PBX, &invite);
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    world.expect(TRUNK, "ACK");
    let bye = world.expect(TRUNK, "BYE");
    // Its BYE may be lost, and we may die: what it needs is written down until it is answered.
    assert_eq!(world.records.values().map(|record| record.legs.len()).collect::<Vec<_>>(), [1]);
    world.restart();
    let again = world.expect(TRUNK, "BYE");
    assert_eq!(header(&again, "Call-ID"), header(&bye, "Call-ID"));
    assert_eq!(header(&again, "To"), header(&bye, "To"));
    world.responds(TRUNK, &again, "200 OK", "", "");
    assert!(world.records.is_empty());
}

#[test]
fn a_cancel_that_comes_after_the_answer_changes_nothing() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "200 OK", "callee", ANSWER);
    let answer = world.expect(PBX, "200");
    world.expect(TRUNK, "ACK");
    world.cancels(PBX, &invite);
    world.expect(PBX, "200");
    world.silence(TRUNK);
    assert!(world.ended().is_empty());
    let mut caller = caller(PBX, &invite, &answer);
    world.asks_as(&caller, "ACK", 1, "", "");
    world.hangs_up(&mut caller, TRUNK);
    world.over();
}

#[test]
fn a_callee_that_hears_nothing_of_cancel_is_given_up() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    world.cancels(PBX, &invite);
    world.wait(Duration::from_secs(70));
    world.over();
}

#[test]
fn a_bye_before_the_answer_is_a_cancel() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", "");
    let ringing = world.expect(PBX, "180");
    let mut caller = caller(PBX, &invite, &ringing);
    world.asks(&mut caller, "BYE", "");
    world.expect(PBX, "200");
    world.expect(PBX, "487");
    world.expect(TRUNK, "CANCEL");
    world.responds(TRUNK, &offered, "487 Request Terminated", "callee", "");
    world.over();
}

#[test]
fn the_cancel_of_a_re_invite_reaches_the_other_side() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    let again = world.asks(&mut caller, "INVITE", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "", "");
    world.cancels(PBX, &again);
    world.expect(TRUNK, "CANCEL");
}
