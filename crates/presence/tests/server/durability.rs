//! What was answered outlives a restart, and nothing is answered that would not.

use std::time::Duration;

use presence::server::Report;

use crate::world::{JOHN, PIDF, World, header, john, on_the_phone, online, pidf, publisher};

#[test]
fn a_publish_is_answered_when_it_is_safe_and_not_before() {
    let mut world = World::new();
    world.hold_the_store();
    let early = world.publish_unanswered(&john(), &["Event: presence", PIDF], &on_the_phone());
    assert!(early.is_empty(), "nothing is promised that the store does not have");
    assert!(world.document().contains("on-the-phone"), "but it counts");
    let answers = world.release_the_store();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].1.code, 200);
}

#[test]
fn a_refusal_waits_for_nothing() {
    let mut world = World::new();
    world.hold_the_store();
    assert!(world.publish_unanswered(&john(), &["Event: presence", PIDF], &on_the_phone()).is_empty());
    let answers = world.publish_unanswered(&john(), &["Event: presence", PIDF], "no XML");
    assert_eq!(answers[0].1.code, 400);
}

#[test]
fn what_was_published_is_there_after_a_restart_and_its_tag_is_good() {
    let mut world = World::new();
    let first = world.initial(&online());
    let second = world.initial(&on_the_phone());
    let before = world.document();
    world.restart(Duration::from_secs(5));
    assert_eq!(world.server.publications(), 2);
    assert_eq!(world.document(), before);
    assert_eq!(world.refresh(&second, 600).response.code, 200);
    assert_eq!(world.refresh(&second, 600).response.code, 412, "the tag before it is not");
    assert_eq!(world.refresh(&first, 0).response.code, 200);
    assert_eq!(world.server.publications(), 1);
}

#[test]
fn a_refresh_is_saved_without_the_body_and_the_next_run_has_the_newest_tag_and_time() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    world.wait(Duration::from_secs(500));
    let outcome = world.refresh(&tag, 600);
    let newest = header(&outcome.response.headers, "SIP-ETag").unwrap();
    assert_eq!(world.store.bodies, 1);
    world.restart(Duration::from_secs(2));
    assert_eq!(world.refresh(&tag, 600).response.code, 412);
    world.wait(Duration::from_secs(597));
    assert_eq!(world.server.publications(), 1, "it lives for what was granted, across the restart");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.server.publications(), 0, "and to the second no longer");
    assert_eq!(world.refresh(&newest, 600).response.code, 412);
    assert!(world.store.publications.is_empty(), "what is over is forgotten");
}

#[test]
fn a_body_that_comes_with_a_refresh_and_says_nothing_new_is_not_saved_again() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    assert_eq!(world.modify(&tag, &on_the_phone()).response.code, 200);
    assert_eq!(world.store.bodies, 1);
}

#[test]
fn what_ran_out_while_nobody_was_there_is_gone() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    world.restart(Duration::from_secs(601));
    assert_eq!(world.server.publications(), 0);
    assert!(!world.document().contains("on-the-phone"));
    assert!(world.store.publications.is_empty());
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_live_longer_than_it_was_granted() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    for (_, life) in world.store.publications.values_mut() {
        life.expires_at += Duration::from_secs(7200);
    }
    world.restart(Duration::ZERO);
    world.wait(Duration::from_secs(601));
    assert_eq!(world.server.publications(), 0);
}

#[test]
fn the_publication_received_last_stays_the_last() {
    let mut world = World::new();
    let note = |text: &str| pidf("t0", "open", &format!("<dm:note>{text}</dm:note>"));
    let first = world.initial(&note("one"));
    world.initial(&note("two"));
    world.modify(&first, &note("three"));
    let before = world.document();
    assert!(before.contains("three"));
    world.restart(Duration::ZERO);
    assert_eq!(world.document(), before);
    world.initial(&note("four"));
    assert!(world.document().contains("four"));
}

#[test]
fn a_publisher_supersedes_what_it_published_two_restarts_ago() {
    let mut world = World::new();
    let sbc = publisher("sbc");
    let headers = ["Event: presence", PIDF, "Contact: <sip:sbc@192.0.2.9>;+sip.instance=\"<urn:uuid:1>\""];
    assert_eq!(world.publish(&sbc, JOHN, &headers, &on_the_phone()).response.code, 200);
    world.restart(Duration::ZERO);
    world.restart(Duration::ZERO);
    assert_eq!(world.publish(&sbc, JOHN, &headers, &online()).response.code, 200);
    assert_eq!(world.server.publications(), 1);
    assert!(matches!(world.reports.last(), Some(Report::Superseded { .. })));
}

#[test]
fn a_publish_that_comes_again_after_a_crash_gets_its_answer_again() {
    let mut world = World::new();
    let answered = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    let tag = header(&answered.response.headers, "SIP-ETag").unwrap();
    world.restart(Duration::from_secs(1));
    let again = world.again(&john());
    assert_eq!(header(&again.response.headers, "SIP-ETag"), Some(tag.clone()));
    assert_eq!(header(&again.response.headers, "Expires"), header(&answered.response.headers, "Expires"));
    assert_eq!(world.server.publications(), 1, "it is not published twice");

    let refreshed = world.refresh(&tag, 600);
    world.restart(Duration::from_secs(1));
    let again = world.again(&john());
    assert_eq!(again.response, refreshed.response, "a refresh is not 412 the second time");

    let tag = header(&refreshed.response.headers, "SIP-ETag").unwrap();
    let removed = world.refresh(&tag, 0);
    assert_eq!(removed.response.code, 200);
    world.restart(Duration::from_secs(1));
    assert_eq!(world.again(&john()).response, removed.response, "nor is a removal");
    world.wait(Duration::from_secs(32));
    assert_eq!(world.again(&john()).response.code, 412, "after a transaction's life it is another request");
}
