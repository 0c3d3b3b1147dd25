//! Which PUBLISH belongs to which moment of a user's calls.

use std::collections::BTreeSet;

use presence::document::Spelling;
use presence::publisher::{Input, Report, Server};

use crate::world::{JANE, JOHN, Sent, World, seconds};

#[test]
fn the_first_answered_call_publishes_a_document_for_ten_minutes() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    initial.is_initial();
    assert_eq!(initial.expires(), 600);
    assert_eq!(&*initial.request.uri, JOHN);
    assert!(initial.header("From").unwrap().starts_with(&format!("<{JOHN}>;tag=")));
    assert_eq!(initial.header("To").unwrap(), format!("<{JOHN}>"));
    assert_eq!(initial.header("Event").unwrap(), "presence");
    assert_eq!(initial.header("Content-Type").unwrap(), "application/pidf+xml");
    assert_eq!(initial.cseq(), 1);
    let document = wire::pidf::read(&initial.request.body).unwrap();
    assert!(document.is_on_the_phone());
}

#[test]
fn a_document_escapes_the_name_and_is_spelled_as_the_server_wants_it() {
    let spelled = |name: &str, spelling| Server { spelling, ..Server::new(name) };
    let mut world = World::with(vec![spelled("skype", Spelling::Skype), spelled("standard", Spelling::Rfc4480)]);
    world.answered(1);
    let (skype, standard) = (world.next().unwrap(), world.next().unwrap());
    assert_eq!((skype.server, standard.server), (0, 1));
    let text = |sent: &Sent| String::from_utf8(sent.request.body.to_vec()).unwrap();
    assert!(text(&skype).contains("rpid-status") && text(&skype).contains("tuple id=\"0\""));
    assert!(!text(&standard).contains("rpid-status"));
    assert!(!text(&skype).contains("\"J\"</"));
}

#[test]
fn a_long_call_is_refreshed_early_under_the_newest_tag_and_its_end_removes_it() {
    let mut world = World::new();
    world.answered(1);
    let mut last = world.sent();
    world.accept(&last, "tag-0");
    let mut names = BTreeSet::new();
    for round in 0..40 {
        let (refresh, _) = world.wait_for_publish(seconds(600));
        let since = refresh.at - last.at;
        assert!(since >= seconds(300) && since <= seconds(510), "refreshed after {since:?}");
        refresh.refreshes(&format!("tag-{round}"));
        assert_eq!(refresh.expires(), 600);
        assert_eq!(refresh.header("Content-Type"), None);
        assert_eq!(refresh.cseq(), 1);
        assert!(names.insert(refresh.header("Call-ID")), "each PUBLISH has a Call-ID of its own");
        assert!(names.insert(refresh.header("From")), "and a tag of its own");
        world.accept(&refresh, &format!("tag-{}", round + 1));
        last = refresh;
    }
    world.ended(1);
    let remove = world.sent();
    remove.removes("tag-40");
    world.answer(&remove, 200, &["Expires: 0"]);
    assert!(world.publisher.is_empty());
    assert!(world.reports.iter().any(|report| matches!(report, Report::Removed { .. })));
    world.wait(seconds(7200));
    world.silent();
}

#[test]
fn a_second_call_changes_nothing_and_the_last_one_ends_it() {
    let mut world = World::published();
    world.answered(2);
    world.ended(1);
    world.silent();
    world.ended(2);
    world.sent().removes("a");
}

#[test]
fn the_same_end_told_twice_is_one_end() {
    let mut world = World::published();
    world.answered(1);
    world.ended(1);
    let remove = world.sent();
    world.ended(1);
    world.answer(&remove, 200, &[]);
    world.ended(1);
    world.silent();
    assert!(world.publisher.is_empty());
}

#[test]
fn both_parties_have_a_publication_of_their_own() {
    let mut world = World::new();
    world.hook(JOHN, 1, true);
    world.hook(JANE, 1, true);
    let (john, jane) = (world.next().unwrap(), world.next().unwrap());
    assert_eq!((&*john.request.uri, &*jane.request.uri), (JOHN, JANE));
    world.accept(&jane, "jane");
    world.accept(&john, "john");
    world.hook(JANE, 1, false);
    let remove = world.sent();
    remove.removes("jane");
    assert_eq!(&*remove.request.uri, JANE);
}

#[test]
fn an_end_before_the_answer_is_followed_by_a_removal() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.ended(1);
    world.silent();
    world.accept(&initial, "a");
    world.sent().removes("a");
}

#[test]
fn calls_that_come_and_go_while_an_answer_is_awaited_are_folded_into_one_request() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    for call in 2..10 {
        world.ended(call - 1);
        world.answered(call);
    }
    world.silent();
    world.accept(&initial, "a");
    world.silent();
    world.ended(9);
    let remove = world.sent();
    world.answered(10);
    world.ended(10);
    world.answered(11);
    world.silent();
    world.answer(&remove, 200, &[]);
    world.sent().is_initial();
}

#[test]
fn a_call_of_a_moment_leaves_nothing_behind() {
    let mut world = World::new();
    world.hold_the_store();
    world.answered(1);
    world.ended(1);
    world.write();
    world.silent();
    assert!(world.publisher.is_empty());
    assert_eq!(world.forgotten.len(), 1);
}

#[test]
fn a_shorter_first_time_is_prolonged_by_the_first_refresh() {
    let mut world = World::with(vec![Server { first_expires: Some(seconds(60)), ..Server::new("careful") }]);
    world.answered(1);
    let initial = world.sent();
    assert_eq!(initial.expires(), 60);
    world.accept(&initial, "a");
    let (refresh, waited) = world.wait_for_publish(seconds(60));
    assert!(waited <= seconds(51));
    refresh.refreshes("a");
    assert_eq!(refresh.expires(), 600);
}

#[test]
fn a_server_s_route_and_the_instance_stand_in_every_publish() {
    let server = Server {
        route: Some("sip:edge.example;lr".into()),
        instance: Some("urn:uuid:00000000-0000-1000-8000-00000a95a0e1".into()),
        ..Server::new("skype")
    };
    let mut world = World::with(vec![server]);
    world.answered(1);
    let initial = world.sent();
    world.accept(&initial, "a");
    world.ended(1);
    for sent in [initial, world.sent()] {
        assert_eq!(sent.header("Route").unwrap(), "<sip:edge.example;lr>");
        let contact = sent.request.contact.unwrap();
        assert_eq!(&*contact.params, ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-00000a95a0e1>\"");
    }
}

/// John's name is another one from now on; his call goes on.
fn renamed(world: &mut World, name: &str) {
    let user = sip::Aor::parse(JOHN).unwrap();
    world.give(Input::Hook { user, display_name: Some(name.to_owned()), call: 1, up: true });
}

/// It says something else under this entity-tag.
#[track_caller]
fn modifies(sent: &Sent, tag: &str, name: &str) {
    assert_eq!(sent.tag().as_deref(), Some(tag));
    assert_eq!((sent.expires(), sent.header("Content-Type").as_deref()), (600, Some("application/pidf+xml")));
    assert!(String::from_utf8_lossy(&sent.request.body).contains(name));
}

#[test]
fn a_new_name_modifies_what_is_published_and_the_same_one_does_not() {
    let mut world = World::published();
    renamed(&mut world, "John \"J\" Doe");
    world.silent();
    renamed(&mut world, "Johnny");
    let modify = world.sent();
    modifies(&modify, "a", "Johnny");
    world.accept(&modify, "b");
    let (refresh, _) = world.wait_for_publish(seconds(600));
    refresh.refreshes("b");
    world.accept(&refresh, "c");
    world.ended(1);
    world.sent().removes("c");
}

#[test]
fn a_new_name_waits_for_the_answer_that_is_on_its_way() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    renamed(&mut world, "Johnny");
    renamed(&mut world, "Jack");
    world.silent();
    world.accept(&initial, "a");
    modifies(&world.sent(), "a", "Jack");
}

#[test]
fn a_modification_whose_answer_is_lost_is_tried_again_and_a_412_to_it_begins_anew() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.accept(&initial, "a");
    world.wait(seconds(60));
    renamed(&mut world, "Johnny");
    let modify = world.sent();
    world.lose(&modify);
    let (again, _) = world.wait_for_publish(seconds(61));
    modifies(&again, "a", "Johnny");
    world.answer(&again, 412, &[]);
    let anew = world.sent();
    anew.is_initial();
    assert!(String::from_utf8_lossy(&anew.request.body).contains("Johnny"));
    world.accept(&anew, "b");
    let (refresh, _) = world.wait_for_publish(seconds(600));
    refresh.refreshes("b");
}

#[test]
fn a_new_configuration_lifts_refusals_and_leaves_a_pause_that_a_server_asked_for() {
    let mut world = World::new();
    world.answered(1);
    let refused = world.sent();
    world.answer(&refused, 403, &[]);
    world.hook(JANE, 2, true);
    let asked_to_wait = world.sent();
    world.answer(&asked_to_wait, 503, &["Retry-After: 200"]);
    world.wait(seconds(100));
    world.silent();
    world.give(Input::Reconsider);
    let again = world.sent();
    again.is_initial();
    assert_eq!(&*again.request.uri, JOHN);
    world.accept(&again, "a");
    world.wait(seconds(99));
    world.silent();
    world.answered(3);
    world.ended(1);
    world.ended(3);
    world.sent().removes("a");
}

#[test]
fn a_new_configuration_lifts_the_refusal_of_a_whole_server() {
    let mut world = World::new();
    world.answered(1);
    let refused = world.sent();
    world.answer(&refused, 489, &[]);
    world.wait(seconds(30));
    world.silent();
    world.give(Input::Reconsider);
    world.sent().is_initial();
}
