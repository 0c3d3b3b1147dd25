//! What the publisher does while it cannot know what has become of a PUBLISH.

use std::time::Duration;

use presence::publisher::{Report, Server};

use crate::world::{World, seconds};

fn accepted(tag: &str) -> [String; 2] {
    [format!("SIP-ETag: {tag}"), "Expires: 600".to_owned()]
}

/// A late 200 with this entity-tag.
fn late(world: &mut World, sent: &crate::world::Sent, tag: &str) {
    let headers = accepted(tag);
    world.late(sent, 200, &[&headers[0], &headers[1]]);
}

#[test]
fn a_lost_initial_is_repeated_with_growing_pauses_of_a_minute_at_most() {
    let mut world = World::new();
    world.answered(1);
    let mut sent = world.sent();
    let mut longest = Duration::ZERO;
    for round in 0..12 {
        world.lose(&sent);
        let (next, pause) = world.wait_for_publish(seconds(60));
        next.is_initial();
        let doubled = seconds(1 << round.min(6)).min(seconds(60));
        assert!(pause >= doubled / 2 && pause <= doubled, "pause {round} is {pause:?}");
        longest = longest.max(pause);
        sent = next;
    }
    assert!(longest > seconds(30));
}

#[test]
fn a_lost_refresh_is_repeated_with_the_same_tag() {
    for code in [None, Some(408), Some(500), Some(503)] {
        let mut world = World::published();
        let (refresh, _) = world.wait_for_publish(seconds(510));
        match code {
            None => world.lose(&refresh),
            Some(code) => world.answer(&refresh, code, &[]),
        }
        assert!(matches!(world.reports.last(), Some(Report::Trouble { .. })));
        let (again, _) = world.wait_for_publish(seconds(2));
        again.refreshes("a");
        assert_ne!(again.header("Call-ID"), refresh.header("Call-ID"));
        world.accept(&again, "b");
        world.ended(1);
        world.sent().removes("b");
    }
}

#[test]
fn a_412_to_the_repeat_of_a_lost_refresh_makes_a_fresh_initial_and_says_what_may_stick() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.lose(&refresh);
    let (again, _) = world.wait_for_publish(seconds(2));
    world.answer(&again, 412, &[]);
    let initial = world.sent();
    initial.is_initial();
    world.accept(&initial, "c");
    world.ended(1);
    let remove = world.sent();
    remove.removes("c");
    world.answer(&remove, 200, &[]);
    let stuck = world.reports.iter().find_map(|report| match report {
        Report::MayStick { at_most, .. } => Some(*at_most),
        _ => None,
    });
    assert!(stuck.expect("a report") <= seconds(600));
}

#[test]
fn the_late_answer_to_a_lost_refresh_brings_the_tag_that_counts() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.lose(&refresh);
    late(&mut world, &refresh, "b");
    world.ended(1);
    world.sent().removes("b");
}

#[test]
fn the_late_answer_to_a_refresh_that_is_on_its_way_again_counts_once_that_meets_412() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.lose(&refresh);
    let (again, _) = world.wait_for_publish(seconds(2));
    late(&mut world, &refresh, "b");
    world.silent();
    world.answer(&again, 412, &[]);
    world.silent();
    world.ended(1);
    world.sent().removes("b");
}

#[test]
fn what_a_late_answer_brought_during_a_lost_removal_is_removed_though_the_old_tag_has_run_out() {
    let server = Server { first_expires: Some(seconds(60)), ..Server::new("skype") };
    let mut world = World::with(vec![server]);
    world.answered(1);
    let initial = world.sent();
    world.accept(&initial, "a");
    let (refresh, _) = world.wait_for_publish(seconds(60));
    world.ended(1);
    world.lose(&refresh);
    let (remove, _) = world.wait_for_publish(seconds(2));
    remove.removes("a");
    late(&mut world, &refresh, "b");
    let written = world.saved.last().expect("a record");
    assert!(written.orphans.iter().any(|(tag, _)| &**tag == "b"), "should we die now, `b` is lost");
    world.lose(&remove);
    let (again, _) = world.wait_for_publish(seconds(2));
    again.removes("b");
}

#[test]
fn the_late_answer_to_a_lost_initial_is_taken_as_ours() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    late(&mut world, &initial, "a");
    let (refresh, _) = world.wait_for_publish(seconds(510));
    refresh.refreshes("a");
}

#[test]
fn the_late_answer_to_an_initial_that_was_repeated_is_removed_and_the_call_stays_published() {
    let mut world = World::new();
    world.answered(1);
    let first = world.sent();
    world.lose(&first);
    let (second, _) = world.wait_for_publish(seconds(2));
    world.accept(&second, "second");
    late(&mut world, &first, "first");
    let orphan = world.sent();
    orphan.removes("first");
    world.answer(&orphan, 200, &[]);
    world.ended(1);
    world.sent().removes("second");
}

#[test]
fn a_late_answer_after_the_end_of_the_call_is_followed_by_a_removal_at_once() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    world.ended(1);
    world.silent();
    assert!(matches!(world.reports.last(), Some(Report::MayStick { .. })));
    world.wait(seconds(300));
    late(&mut world, &initial, "a");
    let remove = world.sent();
    remove.removes("a");
    world.answer(&remove, 200, &[]);
    world.wait(seconds(601));
    world.silent();
    assert!(world.publisher.is_empty());
}

#[test]
fn a_late_answer_after_all_that_was_asked_for_has_run_out_is_none_of_ours() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    world.ended(1);
    world.wait(seconds(601));
    assert!(world.publisher.is_empty());
    late(&mut world, &initial, "a");
    world.silent();
}

#[test]
fn what_a_late_answer_brings_is_refreshed_as_if_it_had_come_in_time() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    let mut repeated = world.wait_for_publish(seconds(2)).0;
    while world.now < world.start + seconds(400) {
        world.lose(&repeated);
        repeated = world.wait_for_publish(seconds(60)).0;
    }
    world.break_off(&repeated);
    late(&mut world, &initial, "a");
    let (refresh, _) = world.wait_for_publish(seconds(110));
    refresh.refreshes("a");
    assert!(refresh.at <= initial.at + seconds(510));
}

#[test]
fn a_late_refusal_changes_nothing() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.lose(&refresh);
    world.late(&refresh, 500, &[]);
    let (again, _) = world.wait_for_publish(seconds(2));
    again.refreshes("a");
}

#[test]
fn nothing_is_removed_without_an_entity_tag_and_what_may_live_is_waited_for() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    world.ended(1);
    assert!(!world.publisher.is_empty());
    world.wait(seconds(599));
    world.silent();
    assert!(!world.publisher.is_empty());
    world.wait(seconds(2));
    world.silent();
    assert!(world.publisher.is_empty());
    assert_eq!(world.forgotten.len(), 1);
}

#[test]
fn a_removal_that_fails_is_repeated_until_the_last_grant_has_run_out() {
    for code in [None, Some(403), Some(404), Some(405), Some(423), Some(500), Some(603)] {
        let mut world = World::published();
        world.ended(1);
        let end = world.now + seconds(600);
        let mut attempts = 0;
        while let Some(remove) = world.next() {
            remove.removes("a");
            attempts += 1;
            match code {
                None => world.lose(&remove),
                Some(code) => world.answer(&remove, code, &[]),
            }
            while world.publisher.next_timeout().is_some_and(|at| at <= end) && !world.has_sent() {
                let at = world.publisher.next_timeout().unwrap();
                world.wait(at.saturating_duration_since(world.now));
            }
        }
        assert!(attempts > 5, "{code:?}: {attempts} attempts");
        world.wait(end.saturating_duration_since(world.now) + seconds(1));
        world.silent();
        assert!(world.publisher.is_empty(), "{code:?}");
    }
}

#[test]
fn a_call_that_begins_while_a_removal_is_lost_asks_at_once_whether_it_still_lives() {
    let mut world = World::published();
    world.ended(1);
    let remove = world.sent();
    world.lose(&remove);
    world.answered(2);
    let refresh = world.sent();
    refresh.refreshes("a");
    world.answer(&refresh, 412, &[]);
    world.sent().is_initial();
}

#[test]
fn retry_after_is_obeyed_but_one_refresh_is_tried_before_the_grant_ends() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.answer(&refresh, 503, &["Retry-After: 1200"]);
    let (last_chance, _) = world.wait_for_publish(seconds(300));
    last_chance.refreshes("a");
    assert!(last_chance.at <= seconds(600) && last_chance.at >= seconds(590));
    world.answer(&last_chance, 503, &["Retry-After: 1200"]);
    let (again, pause) = world.wait_for_publish(seconds(1300));
    assert!(pause >= seconds(1200));
    again.refreshes("a");
    world.answer(&again, 412, &[]);
    world.sent().is_initial();
}

#[test]
fn retry_after_of_days_is_not_believed_for_more_than_an_hour() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 503, &["Retry-After: 4000000000"]);
    let (_, pause) = world.wait_for_publish(seconds(3601));
    assert_eq!(pause, seconds(3600));
}

#[test]
fn a_new_call_does_not_break_the_pause_that_the_server_asked_for() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 503, &["Retry-After: 30"]);
    world.ended(1);
    world.answered(2);
    world.silent();
    let (again, pause) = world.wait_for_publish(seconds(31));
    assert_eq!(pause, seconds(30));
    again.is_initial();
}

#[test]
fn a_broken_connection_is_a_failure_like_any_other() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.break_off(&initial);
    let (again, pause) = world.wait_for_publish(seconds(1));
    again.is_initial();
    assert!(pause <= seconds(1));
}

#[test]
fn a_server_that_answers_again_is_asked_at_once() {
    let mut world = World::with(vec![Server::new("skype"), Server::new("other")]);
    world.answered(1);
    let (skype, other) = (world.next().unwrap(), world.next().unwrap());
    world.accept(&other, "o");
    let mut sent = skype;
    for _ in 0..7 {
        world.break_off(&sent);
        sent = world.wait_for_publish(seconds(60)).0;
    }
    world.break_off(&sent);
    world.give(presence::publisher::Input::Reachable { server: "skype" });
    world.wait(seconds(0));
    let again = world.sent();
    again.is_initial();
    assert_eq!(again.server, 0, "the other server is left alone");
}

#[test]
fn a_server_that_was_gone_gets_a_refresh_of_what_it_held_one_after_the_other() {
    let mut world = World::new();
    for user in 0..50 {
        world.hook(&format!("sip:user{user}@sfb.example"), user, true);
        let initial = world.sent();
        world.accept(&initial, &format!("tag-{user}"));
    }
    world.give(presence::publisher::Input::Reachable { server: "skype" });
    let mut times = Vec::new();
    while times.len() < 50 {
        world.wait(Duration::from_millis(1));
        while let Some(refresh) = world.next() {
            assert!(refresh.tag().is_some());
            times.push(refresh.at);
        }
    }
    let spread = times[49] - times[0];
    assert!(spread >= Duration::from_millis(200) && spread <= seconds(1), "{spread:?}");
}

#[test]
fn a_nonce_that_the_server_no_longer_likes_is_no_reason_to_look_free() {
    // Many servers do not say stale=true, they just send another nonce.
    let mut world = World::with_password();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\""]);
    let proved = world.sent();
    world.accept(&proved, "a");
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.answer(&refresh, 401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\""]);
    let again = world.sent();
    again.refreshes("a");
    assert!(again.header("Authorization").unwrap().contains("nonce=\"n2\""));
    world.answer(&again, 401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"n3\""]);
    world.silent();
    assert!(matches!(world.reports.last(), Some(Report::UserRefused { code: 401, .. })));
}
