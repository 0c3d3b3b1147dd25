//! Bugs that publishers in the field have had, each by its public thread, and that this one does not have.

use presence::publisher::{Input, Record};
use sip::Aor;

use crate::world::{JOHN, World, seconds};

/// After 412 a PUBLISH without entity-tag made a second record beside the first, and bursts corrupted the body.
/// <https://github.com/OpenSIPS/opensips/issues/2249>
#[test]
fn opensips_2249_after_a_412_there_is_one_publication_and_its_body_is_whole() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    // A burst of calls while the refresh is on its way.
    for call in 2..50 {
        world.answered(call);
        world.ended(call);
    }
    world.answer(&refresh, 412, &[]);
    let initial = world.sent();
    initial.is_initial();
    assert!(wire::pidf::read(&initial.request.body).unwrap().is_on_the_phone());
    for call in 50..100 {
        world.answered(call);
        world.ended(call);
    }
    world.silent();
    world.accept(&initial, "b");
    world.silent();
    world.ended(1);
    world.sent().removes("b");
    world.silent();
}

/// A PUBLISH by another way forgot the stored entity-tag: the old record stayed, and the lamp with it.
/// <https://github.com/OpenSIPS/opensips/issues/3801>
#[test]
fn opensips_3801_every_request_after_the_first_bears_the_newest_tag() {
    let mut world = World::published();
    let mut tag = "a".to_owned();
    for round in 0..20u64 {
        // Calls come and go between the refreshes.
        world.answered(100 + round);
        world.ended(100 + round);
        let (next, _) = world.wait_for_publish(seconds(600));
        assert_eq!(next.tag().as_deref(), Some(tag.as_str()), "round {round}");
        tag = format!("b{round}");
        world.accept(&next, &tag);
    }
    world.ended(1);
    world.sent().removes(&tag);
}

/// A clean-up timer deleted the record of a long call, so that the PUBLISH at its end was never sent.
/// <https://github.com/OpenSIPS/opensips/pull/2862>
#[test]
fn opensips_2862_the_end_of_a_call_is_published_however_long_it_was_and_however_silent_the_server() {
    let mut world = World::published();
    // The server does not answer for a while: the grant may be over, or not.
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.lose(&refresh);
    let (again, _) = world.wait_for_publish(seconds(60));
    world.accept(&again, "b");
    for round in 0..200 {
        let (refresh, _) = world.wait_for_publish(seconds(510));
        world.accept(&refresh, &format!("c{round}"));
    }
    world.ended(1);
    world.sent().removes("c199");
}

/// Every failed call sent a PUBLISH with `Expires: 0` for a record that there was not, and logged the error.
/// <https://github.com/OpenSIPS/opensips/issues/142>
#[test]
fn opensips_142_without_a_publication_nothing_is_removed() {
    let mut world = World::new();
    for call in 1..20 {
        world.ended(call);
    }
    world.wait(seconds(3600));
    world.silent();
    // And of a publication that was refused, there is nothing to remove either.
    world.answered(30);
    let initial = world.sent();
    world.answer(&initial, 403, &[]);
    world.ended(30);
    world.wait(seconds(3600));
    world.silent();
    assert!(world.reports.iter().all(|report| !format!("{report:?}").contains("Removed")));
}

/// A second PUBLISH left before the answer to the first had brought the tag.
/// <https://github.com/kamailio/kamailio/issues/21>
#[test]
fn kamailio_21_one_publish_is_on_its_way_and_the_next_waits_for_its_tag() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.ended(1);
    world.answered(2);
    world.ended(2);
    world.wait(seconds(5));
    world.silent();
    world.accept(&initial, "late");
    world.sent().removes("late");
}

/// Two requests with one tag: one met 412, was sent anew without it, and the two chased each other for ever.
/// <https://github.com/kamailio/kamailio/issues/2048>
#[test]
fn kamailio_2048_a_server_that_answers_412_to_everything_is_not_flooded() {
    let mut world = World::published();
    let (mut last, _) = world.wait_for_publish(seconds(510));
    let mut sent = 0;
    let end = world.now + seconds(600);
    world.answer(&last, 412, &[]);
    while world.now < end {
        // A call that changes its mind all the time does not add to it.
        world.answered(2);
        world.ended(2);
        if !world.has_sent() {
            world.wait(seconds(1));
            continue;
        }
        last = world.sent();
        sent += 1;
        assert_eq!(last.tag(), None, "what met 412 is forgotten");
        world.answer(&last, 412, &[]);
    }
    assert!(sent <= 61, "{sent} in ten minutes");
}

/// While a PUBLISH was under way presence could not be changed; a later version crashed on it.
/// <https://github.com/pjsip/pjproject/issues/411>
#[test]
fn pjproject_411_what_changes_while_a_publish_is_under_way_goes_into_the_next() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.ended(1);
    world.accept(&initial, "a");
    let remove = world.sent();
    remove.removes("a");
    // On the phone again while the removal is under way.
    world.answered(2);
    world.silent();
    world.answer(&remove, 200, &["Expires: 0"]);
    let anew = world.sent();
    anew.is_initial();
    world.accept(&anew, "b");
    world.ended(2);
    world.sent().removes("b");
}

/// After the network was lost the publication stayed behind: the client had no way to use a saved tag after a restart.
/// <https://github.com/pjsip/pjproject/issues/1293>
#[test]
fn pjproject_1293_after_a_restart_what_was_left_is_removed_by_its_saved_tag() {
    let mut world = World::new();
    let record = Record {
        user: Aor::parse(JOHN).unwrap(),
        server: "skype".into(),
        tag: Some("saved".into()),
        until: world.now + seconds(500),
        orphans: Vec::new(),
        nameless_until: None,
    };
    world.give(Input::Restore(record));
    let remove = world.sent();
    remove.removes("saved");
    // The network is still away: the removal is tried again until what it would remove has run out.
    world.break_off(&remove);
    let (again, _) = world.wait_for_publish(seconds(60));
    again.removes("saved");
    world.answer(&again, 200, &["Expires: 0"]);
    assert!(world.publisher.is_empty());
    assert_eq!(world.forgotten, [Aor::parse(JOHN).unwrap()]);
}
