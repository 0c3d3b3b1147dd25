//! The end of calls: BYEs that cross, stops, restarts.

use std::time::Duration;

use call::event::Evidence;

use crate::world::{ANSWER, OFFER, PBX, TRUNK, World, header};

#[test]
fn byes_that_cross_end_the_call_once() {
    let mut world = World::new();
    let (mut caller, mut callee) = world.call();
    world.asks(&mut caller, "BYE", "");
    world.expect(PBX, "200");
    let ours = world.expect(TRUNK, "BYE");
    world.asks(&mut callee, "BYE", "");
    let answer = world.hears(TRUNK);
    assert!(answer.starts_with("SIP/2.0 200") || answer.starts_with("SIP/2.0 481"), "{answer}");
    world.responds(TRUNK, &ours, "481 Gone", "", "");
    world.silence(PBX);
    assert_eq!(world.ended(), [Evidence::CallerHungUp]);
    world.over();
}

#[test]
fn a_bye_that_comes_again_is_answered_again() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    let bye = world.asks(&mut caller, "BYE", "");
    let answer = world.expect(PBX, "200");
    world.says(PBX, &bye);
    assert_eq!(world.expect(PBX, "200"), answer);
    assert_eq!(world.ended().len(), 1);
    world.over();
}

#[test]
fn a_bye_that_nobody_answers_is_given_up() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "BYE", "");
    world.over();
}

#[test]
fn a_stop_ends_what_stands_and_what_rings() {
    let mut world = World::new();
    world.call();
    world.invites(PBX, "sip:carol@example.com", OFFER);
    let ringing = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &ringing, "180 Ringing", "other", "");
    world.expect(PBX, "180");
    world.stop();
    let mut heard = [world.hears(PBX), world.hears(PBX)];
    heard.sort();
    assert!(heard[0].starts_with("BYE ") && heard[1].starts_with("SIP/2.0 503"), "{heard:?}");
    assert!(!header(&heard[1], "Retry-After").is_empty());
    let mut heard = [world.hears(TRUNK), world.hears(TRUNK)];
    heard.sort();
    assert!(heard[0].starts_with("BYE ") && heard[1].starts_with("CANCEL "), "{heard:?}");
    assert_eq!(world.ended(), [Evidence::Stopping; 2]);
    world.forget(PBX);
    world.invites(PBX, "sip:dave@example.com", OFFER);
    world.expect(PBX, "503");
    world.responds(TRUNK, &ringing, "487 Request Terminated", "other", "");
    world.over();
}

#[test]
fn after_a_restart_both_sides_get_their_bye_and_the_record_goes() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.asks(&mut caller, "INFO", "x");
    let passed = world.expect(TRUNK, "INFO");
    world.responds(TRUNK, &passed, "200 OK", "", "");
    let last: u32 = header(&passed, "CSeq").split(' ').next().unwrap().parse().unwrap();
    world.restart();
    let to_caller = world.expect(PBX, "BYE");
    assert_eq!(header(&to_caller, "To"), caller.local);
    assert_eq!(header(&to_caller, "From"), caller.remote);
    assert_eq!(header(&to_caller, "Call-ID"), caller.call_id);
    let to_callee = world.expect(TRUNK, "BYE");
    assert!(header(&to_callee, "CSeq").split(' ').next().unwrap().parse::<u32>().unwrap() > last);
    assert_eq!(world.records.len(), 1);
    world.responds(PBX, &to_caller, "200 OK", "", "");
    assert_eq!(world.records.len(), 1);
    world.responds(TRUNK, &to_callee, "481 Gone", "", "");
    assert_eq!(world.records.len(), 1, "the BYE may have overtaken the 2xx that this side has yet to hear of");
    world.wait(Duration::from_secs(41));
    assert!(world.records.is_empty());
    world.over();
}

#[test]
fn after_a_restart_a_side_that_does_not_answer_keeps_the_record_no_longer_than_its_bye() {
    let mut world = World::new();
    world.call();
    world.restart();
    world.wait(Duration::from_secs(41));
    assert!(world.records.is_empty());
    world.over();
}

#[test]
fn after_a_restart_the_old_dialogs_are_unknown() {
    let mut world = World::new();
    let (mut caller, _) = world.call();
    world.restart();
    world.forget(PBX);
    world.asks(&mut caller, "INFO", "x");
    world.expect(PBX, "481");
    world.asks(&mut caller, "BYE", "");
    world.expect(PBX, "481");
    world.over();
}

#[test]
fn a_call_that_was_not_answered_leaves_no_record() {
    let mut world = World::new();
    world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "180 Ringing", "callee", ANSWER);
    assert!(world.records.is_empty());
    world.responds(TRUNK, &offered, "486 Busy Here", "callee", "");
    world.over();
}

#[test]
fn a_call_of_which_both_sides_are_gone_ends_after_the_first_refresh() {
    let mut world = World::new();
    world.call();
    world.wait(Duration::from_secs(300 + 33));
    assert_eq!(world.ended(), [Evidence::Unreachable]);
    world.over();
}
