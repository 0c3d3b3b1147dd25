//! What is written down, what a restart makes of it, and the orderly end.

use presence::publisher::{Input, Record, Report, Server, limits};
use sip::Aor;

use crate::world::{JANE, JOHN, World, seconds};

fn record(world: &World, user: &str, tag: Option<&str>, lives: u64) -> Record {
    Record {
        user: Aor::parse(user).unwrap(),
        server: "skype".into(),
        tag: tag.map(Into::into),
        until: world.now + seconds(lives),
        orphans: Vec::new(),
        nameless_until: None,
    }
}

#[test]
fn nothing_is_published_before_the_intent_is_written() {
    let mut world = World::new();
    world.hold_the_store();
    world.answered(1);
    world.wait(seconds(5));
    world.silent();
    assert_eq!((world.saved.len(), &world.saved[0].tag), (1, &None));
    assert_eq!(world.saved[0].until, world.now - seconds(5) + limits::ON_ITS_WAY + seconds(600));
    world.write();
    world.sent().is_initial();
}

#[test]
fn every_new_tag_is_written_and_nobody_waits_for_it() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.hold_the_store();
    world.accept(&initial, "a");
    assert_eq!(world.saved.last().unwrap().tag.as_deref(), Some("a"));
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.accept(&refresh, "b");
    assert_eq!(world.saved.last().unwrap().tag.as_deref(), Some("b"));
    world.ended(1);
    let remove = world.sent();
    assert!(world.forgotten.is_empty());
    world.answer(&remove, 200, &[]);
    assert_eq!(world.forgotten, [Aor::parse(JOHN).unwrap()]);
}

#[test]
fn a_record_lives_as_long_as_what_a_refresh_on_its_way_may_make() {
    let world = World::published();
    assert_eq!(world.saved.last().unwrap().until, world.now + limits::ON_ITS_WAY + seconds(1200));
}

#[test]
fn a_record_covers_a_copy_of_the_first_publish_that_arrives_last() {
    let mut world = World::new();
    world.answered(1);
    world.sent().is_initial();
    let last_copy = world.now + limits::TRANSACTION;
    assert!(world.saved[0].until >= last_copy + seconds(600));
}

#[test]
fn a_longer_lifetime_is_written_down_before_it_is_asked_for() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.hold_the_store();
    world.answer(&initial, 423, &["Min-Expires: 1800"]);
    world.silent();
    assert!(world.saved.last().unwrap().until >= world.now + limits::TRANSACTION + seconds(1800));
    world.write();
    let again = world.sent();
    again.is_initial();
    assert_eq!((again.expires(), again.cseq(), world.saved.len()), (1800, 2, 2));
}

#[test]
fn a_challenge_costs_another_record_only_where_the_first_one_covers_no_more() {
    for (waits, records) in [(0, 1), (32, 1), (33, 2), (60, 2)] {
        let mut world = World::with_password();
        world.answered(1);
        let initial = world.sent();
        world.wait(seconds(waits));
        world.answer(&initial, 401, &["WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=MD5"]);
        world.sent().is_initial();
        assert_eq!(world.saved.len(), records, "after {waits} s");
        assert!(world.saved.last().unwrap().until >= world.now + limits::TRANSACTION + seconds(600));
    }
}

#[test]
fn an_initial_that_comes_long_after_the_last_one_has_a_record_of_its_own() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 423, &["Min-Expires: 1800"]);
    let again = world.sent();
    world.hold_the_store();
    world.answer(&again, 503, &["Retry-After: 3000"]);
    world.wait(seconds(3001));
    world.silent();
    assert!(world.saved.last().unwrap().until >= world.now + limits::TRANSACTION + seconds(1800) - seconds(1));
    world.write();
    world.sent().is_initial();
}

#[test]
fn a_late_answer_while_the_next_waits_for_its_record_is_an_orphan() {
    let mut world = World::new();
    world.answered(1);
    let lost = world.sent();
    world.lose(&lost);
    let (second, _) = world.wait_for_publish(seconds(10));
    world.hold_the_store();
    world.answer(&second, 423, &["Min-Expires: 1800"]);
    world.silent();
    world.late(&lost, 200, &["SIP-ETag: a", "Expires: 600"]);
    world.silent();
    world.write();
    let third = world.sent();
    third.is_initial();
    world.accept(&third, "b");
    world.write();
    world.sent().removes("a");
}

#[test]
fn the_end_of_a_call_does_not_wait_for_a_refresh_that_waits_for_its_record() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.hold_the_store();
    world.answer(&refresh, 423, &["Min-Expires: 1800"]);
    world.silent();
    world.ended(1);
    let remove = world.sent();
    remove.removes("a");
    world.write();
    world.answer(&remove, 200, &[]);
    world.silent();
    assert!(world.publisher.is_empty());
}

#[test]
fn what_waits_for_its_record_does_not_leave_once_the_call_is_over() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.hold_the_store();
    world.answer(&initial, 423, &["Min-Expires: 1800"]);
    world.ended(1);
    world.write();
    world.silent();
    assert_eq!((world.publisher.is_empty(), world.forgotten.len()), (true, 1));
}

#[test]
fn what_an_earlier_run_left_is_removed_by_its_tag() {
    let mut world = World::new();
    let left = record(&world, JOHN, Some("a"), 500);
    world.give(Input::Restore(left));
    let remove = world.sent();
    remove.removes("a");
    world.answer(&remove, 200, &[]);
    assert_eq!(world.forgotten, [Aor::parse(JOHN).unwrap()]);
    assert!(world.publisher.is_empty());
}

#[test]
fn a_leftover_whose_tag_is_unknown_may_live_on_by_a_refresh_that_was_under_way() {
    let mut world = World::new();
    let left = record(&world, JOHN, Some("a"), 500);
    world.give(Input::Restore(left));
    let remove = world.sent();
    world.answer(&remove, 412, &[]);
    assert_eq!(
        world.reports,
        [Report::MayStick { user: Aor::parse(JOHN).unwrap(), server: "skype".into(), at_most: seconds(500) }]
    );
    assert!(world.forgotten.is_empty());
    world.wait(seconds(501));
    assert!(world.publisher.is_empty() && world.forgotten.len() == 1);
}

#[test]
fn what_an_earlier_run_left_without_a_tag_is_reported_and_waited_for() {
    let mut world = World::new();
    let left = record(&world, JOHN, None, 500);
    world.give(Input::Restore(left));
    assert_eq!(
        world.reports,
        [Report::MayStick { user: Aor::parse(JOHN).unwrap(), server: "skype".into(), at_most: seconds(500) }]
    );
    world.wait(seconds(501));
    world.silent();
    assert_eq!((world.forgotten.len(), world.publisher.is_empty(), world.reports.len()), (1, true, 1));
}

#[test]
fn what_has_run_out_by_the_clock_is_removed_all_the_same_for_the_clock_may_have_jumped() {
    let mut world = World::new();
    let left = record(&world, JOHN, Some("a"), 0);
    world.give(Input::Restore(left));
    let remove = world.sent();
    remove.removes("a");
    world.answer(&remove, 412, &[]);
    assert!(world.publisher.is_empty());
    assert_eq!(world.forgotten.len(), 1);
}

#[test]
fn what_has_run_out_and_has_no_tag_is_forgotten() {
    let mut world = World::new();
    let left = record(&world, JOHN, None, 0);
    world.give(Input::Restore(left));
    world.silent();
    assert!(world.publisher.is_empty() && world.reports.is_empty());
    assert_eq!(world.forgotten.len(), 1);
}

#[test]
fn a_clock_that_went_back_does_not_make_a_leftover_live_for_years() {
    let mut world = World::new();
    let left = record(&world, JOHN, None, 100_000_000);
    world.give(Input::Restore(left));
    world.wait(seconds(7201));
    assert!(world.publisher.is_empty());
}

#[test]
fn what_belongs_to_a_server_that_is_no_longer_configured_is_forgotten() {
    let mut world = World::with(vec![Server::new("another")]);
    let left = record(&world, JOHN, Some("a"), 500);
    world.give(Input::Restore(left));
    world.silent();
    assert_eq!(world.forgotten.len(), 1);
}

#[test]
fn a_first_publish_that_is_tried_again_is_written_down_again() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.lose(&initial);
    world.hold_the_store();
    world.wait(seconds(60));
    world.silent();
    assert!(world.saved.last().unwrap().until > world.start + seconds(630));
    world.write();
    world.sent().is_initial();
}

#[test]
fn what_a_late_answer_brought_and_what_none_named_are_written_down_with_the_newest_tag() {
    let mut world = World::new();
    world.answered(1);
    let lost = world.sent();
    world.lose(&lost);
    let (late, _) = world.wait_for_publish(seconds(60));
    world.lose(&late);
    let (initial, _) = world.wait_for_publish(seconds(60));
    world.accept(&initial, "a");
    world.late(&late, 200, &["SIP-ETag: b", "Expires: 600"]);
    let last = world.saved.last().unwrap();
    let tags: Vec<&str> = last.orphans.iter().map(|(tag, _)| &**tag).collect();
    assert_eq!((last.tag.as_deref(), tags), (Some("a"), vec!["b"]));
    assert!(last.nameless_until.is_some());
}

#[test]
fn an_earlier_run_s_every_tag_is_removed_and_what_none_names_is_reported() {
    let mut world = World::new();
    let mut left = record(&world, JOHN, Some("a"), 500);
    left.orphans.push(("b".into(), world.now + seconds(400)));
    left.nameless_until = Some(world.now + seconds(300));
    world.give(Input::Restore(left));
    let orphan = world.sent();
    orphan.removes("b");
    world.answer(&orphan, 200, &[]);
    let remove = world.sent();
    remove.removes("a");
    world.answer(&remove, 200, &[]);
    assert!(world.reports.contains(&Report::MayStick {
        user: Aor::parse(JOHN).unwrap(),
        server: "skype".into(),
        at_most: seconds(300)
    }));
    assert!(world.forgotten.is_empty());
    world.wait(seconds(301));
    assert!(world.publisher.is_empty() && world.forgotten.len() == 1);
}

#[test]
fn a_leftover_that_has_run_out_by_the_clock_is_tried_as_long_as_it_may_live() {
    let mut world = World::new();
    let left = record(&world, JOHN, Some("a"), 0);
    world.give(Input::Restore(left));
    let remove = world.sent();
    world.lose(&remove);
    let (again, _) = world.wait_for_publish(seconds(60));
    again.removes("a");
}

#[test]
fn a_call_after_the_restart_goes_on_with_what_is_left() {
    let mut world = World::new();
    let left = record(&world, JOHN, None, 500);
    world.give(Input::Restore(left));
    world.answered(1);
    let initial = world.sent();
    initial.is_initial();
    world.accept(&initial, "b");
    world.ended(1);
    world.sent().removes("b");
}

#[test]
fn a_call_that_meets_its_leftover_s_removal_waits_for_its_answer() {
    let mut world = World::new();
    let left = record(&world, JOHN, Some("a"), 500);
    world.give(Input::Restore(left));
    let remove = world.sent();
    world.answered(1);
    world.silent();
    world.answer(&remove, 200, &[]);
    world.sent().is_initial();
}

#[test]
fn thousands_of_leftovers_do_not_all_leave_at_once() {
    let mut world = World::new();
    for user in 0..3_000 {
        let left = record(&world, &format!("sip:user{user}@sfb.example"), Some("a"), 500);
        world.give(Input::Restore(left));
    }
    let at_once = std::iter::from_fn(|| world.next()).count();
    assert!((1_000..=1_001).contains(&at_once), "{at_once}");
    world.wait(seconds(1));
    let in_a_second = std::iter::from_fn(|| world.next()).count();
    assert!((190..=201).contains(&in_a_second), "{in_a_second}");
    world.wait(seconds(10));
    let all = at_once + in_a_second + std::iter::from_fn(|| world.next()).count();
    assert_eq!(all, 3_000);
}

#[test]
fn a_stop_removes_everything_and_then_says_so() {
    let mut world = World::new();
    world.hook(JOHN, 1, true);
    let john = world.sent();
    world.accept(&john, "john");
    world.hook(JANE, 1, true);
    let jane = world.sent();
    world.give(Input::Stop);
    let remove = world.sent();
    remove.removes("john");
    assert_eq!((world.publisher.unsettled(), world.stopped), (2, false));
    world.answer(&remove, 200, &[]);
    assert_eq!((world.publisher.unsettled(), world.stopped), (1, false));
    world.accept(&jane, "jane");
    let remove = world.sent();
    remove.removes("jane");
    world.answer(&remove, 200, &[]);
    assert!(world.stopped && world.publisher.is_empty());
}

#[test]
fn a_stop_with_nothing_published_is_over_at_once() {
    let mut world = World::new();
    world.give(Input::Stop);
    assert!(world.stopped);
}

#[test]
fn a_stop_does_not_wait_for_what_has_no_tag() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 200, &["Expires: 600"]);
    world.give(Input::Stop);
    world.silent();
    assert!(world.stopped);
    assert!(world.forgotten.is_empty(), "the next run knows that it may still live");
}
