//! A publisher that was restarted and publishes anew: what it had published before goes (the gap that RFC 3903 leaves).

use std::time::Duration;

use presence::server::{Identity, Report};

use crate::world::{JOHN, PIDF, World, header, john, on_the_phone, online, publisher};

const INSTANCE: &str = "Contact: <sip:192.0.2.1>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";

fn publish(world: &mut World, who: &Identity, contact: &str, body: &str) -> String {
    let outcome = world.publish(who, JOHN, &["Event: presence", PIDF, contact], body);
    assert_eq!(outcome.response.code, 200);
    header(&outcome.response.headers, "SIP-ETag").unwrap()
}

#[test]
fn a_publisher_that_comes_back_supersedes_what_it_published_before() {
    let mut world = World::new();
    let old = publish(&mut world, &publisher("sbc"), INSTANCE, &on_the_phone());
    publish(&mut world, &publisher("sbc"), INSTANCE, &online());
    assert_eq!(world.server.publications(), 1);
    assert!(!world.document().contains("on-the-phone"));
    assert_eq!(world.refresh(&old, 600).response.code, 412);
    assert!(world.reports.iter().any(|r| matches!(r, Report::Superseded { .. })));
}

#[test]
fn another_peer_another_instance_or_none_supersedes_nothing() {
    let mut world = World::new();
    publish(&mut world, &publisher("sbc"), INSTANCE, &on_the_phone());
    publish(&mut world, &publisher("other"), INSTANCE, &on_the_phone());
    publish(
        &mut world,
        &publisher("sbc"),
        "Contact: <sip:192.0.2.1>;+sip.instance=\"<urn:uuid:other>\"",
        &on_the_phone(),
    );
    publish(&mut world, &publisher("sbc"), "Contact: <sip:192.0.2.1>", &on_the_phone());
    publish(&mut world, &publisher("sbc"), "Contact: <sip:192.0.2.1>", &on_the_phone());
    assert_eq!(world.server.publications(), 5);
}

#[test]
fn a_peer_that_is_no_publisher_supersedes_nothing() {
    let mut world = World::new();
    let phone = Identity { publisher: false, ..publisher("pbx") };
    publish(&mut world, &phone, INSTANCE, &on_the_phone());
    publish(&mut world, &phone, INSTANCE, &on_the_phone());
    assert_eq!(world.server.publications(), 2);
}

#[test]
fn phones_with_the_same_tuple_id_stay_apart() {
    let mut world = World::new();
    let one = publish(&mut world, &john(), "Subject: one", &on_the_phone());
    publish(&mut world, &john(), "Subject: two", &on_the_phone());
    assert_eq!(world.server.publications(), 2);
    world.refresh(&one, 0);
    assert!(world.document().contains("on-the-phone"));
}

#[test]
fn what_is_refused_supersedes_nothing() {
    let mut world = World::new();
    publish(&mut world, &publisher("sbc"), INSTANCE, &on_the_phone());
    let outcome = world.publish(&publisher("sbc"), JOHN, &["Event: presence", PIDF, INSTANCE], "<broken");
    assert_eq!(outcome.response.code, 400);
    assert!(world.document().contains("on-the-phone"));
}

/// This very node, which publishes of its own calls.
fn this_node() -> Identity {
    Identity { internal: true, ..Identity::default() }
}

#[test]
fn what_this_node_published_of_its_calls_does_not_outlive_it_and_all_else_does() {
    let mut world = World::new();
    let _watcher = world.subscribe();
    world.initial(&online());
    let calls = world.publish(&this_node(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    assert_eq!(calls.response.code, 200);
    assert!(world.document().contains("on-the-phone"));
    let mut told = world.restart(Duration::from_secs(1));
    told.extend(world.wait(Duration::from_secs(60)));
    assert!(!told.is_empty() && told.iter().all(|notify| !notify.body().contains("on-the-phone")));
    assert_eq!(world.server.publications(), 1, "the phone's own is there");
    assert_eq!(world.store.publications.len(), 1, "and of the other there is no record left");
}

#[test]
fn this_node_replaces_what_it_published_before() {
    let mut world = World::new();
    for _ in 0..2 {
        let outcome = world.publish(&this_node(), JOHN, &["Event: presence", PIDF], &on_the_phone());
        assert_eq!(outcome.response.code, 200);
    }
    assert_eq!(world.server.publications(), 1);
}
