//! How often watchers are notified (RFC 6446), and that a storm holds up nobody else.

use std::time::Duration;

use presence::server::{Identity, Settings, limits};
use sip::Aor;

use crate::world::{JOHN, Notify, Outcome, PIDF, World, header, jane, john, noted, online, publisher};

fn state(notify: &Notify) -> String {
    notify.header("Subscription-State").unwrap()
}

fn watch(world: &mut World, event: &str) -> Outcome {
    let event = format!("Event: {event}");
    let outcome = world.subscribe_with(&jane(), None, &[&event, "Expires: 3600"]);
    world.answer(outcome.notifies[0].key, 200, &[]);
    outcome
}

/// John publishes something new.
fn change(world: &mut World, note: u32) -> Vec<Notify> {
    let tag = format!("n{note}");
    world.publish(&john(), JOHN, &["Event: presence", PIDF], &noted(&tag)).notifies
}

#[test]
fn a_max_rate_is_honoured_and_echoed() {
    let mut world = World::new();
    let outcome = watch(&mut world, "presence;max-rate=0.1");
    assert_eq!(state(&outcome.notifies[0]), "active;expires=3600;max-rate=0.1");
    assert!(change(&mut world, 1).is_empty());
    assert!(change(&mut world, 2).is_empty());
    assert!(world.wait(Duration::from_millis(9_900)).is_empty());
    let notifies = world.wait(Duration::from_millis(200));
    assert_eq!(notifies.len(), 1, "two changes are told together");
    assert!(notifies[0].body().contains("n1") && notifies[0].body().contains("n2"));
}

#[test]
fn after_a_quiet_time_a_change_is_told_at_once() {
    let mut world = World::new();
    watch(&mut world, "presence;max-rate=0.1");
    world.wait(Duration::from_secs(11));
    assert_eq!(change(&mut world, 1).len(), 1);
}

#[test]
fn a_refresh_is_answered_at_once_whatever_the_rate() {
    let mut world = World::new();
    let outcome = watch(&mut world, "presence;max-rate=0.1");
    let mut watcher = world.watcher(&outcome);
    change(&mut world, 1);
    let outcome = world.resubscribe(&mut watcher, 3600);
    assert_eq!(outcome.notifies.len(), 1);
    assert_eq!(state(&outcome.notifies[0]), "active;expires=3600", "a refresh without a rate ends it");
}

#[test]
fn a_min_rate_brings_the_state_though_nothing_changes() {
    let mut world = World::new();
    let outcome = watch(&mut world, "presence;min-rate=0.05");
    assert_eq!(state(&outcome.notifies[0]), "active;expires=3600;min-rate=0.05");
    assert!(world.wait(Duration::from_millis(19_900)).is_empty());
    let notifies = world.wait(Duration::from_millis(200));
    assert_eq!(notifies.len(), 1);
    world.answer(notifies[0].key, 200, &[]);
    assert_eq!(world.wait(Duration::from_millis(20_100)).len(), 1);
}

#[test]
fn a_min_rate_that_would_be_a_flood_is_lowered_and_told_so() {
    let mut world = World::new();
    let outcome = watch(&mut world, "presence;min-rate=100");
    assert_eq!(state(&outcome.notifies[0]), "active;expires=3600;min-rate=0.2");
    let outcome = watch(&mut world, "presence;min-rate=100;max-rate=0.1");
    assert_eq!(state(&outcome.notifies[0]), "active;expires=3600;max-rate=0.1;min-rate=0.1");
}

#[test]
fn what_is_no_rate_is_passed_over() {
    let mut world = World::new();
    for rate in ["0", "-1", "1e9", "fast", "", "0.0000000001", "99999999999"] {
        let outcome = watch(&mut world, &format!("presence;max-rate={rate}"));
        let state = state(&outcome.notifies[0]);
        assert!(
            state == "active;expires=3600" || state == "active;expires=3600;max-rate=0.0002777778",
            "{rate}: {state}"
        );
    }
}

#[test]
fn the_server_has_a_shortest_interval_of_its_own() {
    let settings = Settings { domains: vec!["sfb.example".into()], ..Settings::default() };
    let mut world = World::with(Settings { notify_interval: Duration::from_secs(2), ..settings });
    watch(&mut world, "presence");
    let faster = watch(&mut world, "presence;max-rate=10");
    assert_eq!(state(&faster.notifies[0]), "active;expires=3600;max-rate=0.5");
    assert!(change(&mut world, 1).is_empty());
    assert_eq!(world.wait(Duration::from_millis(2_100)).len(), 2);
}

#[test]
fn a_storm_on_one_presentity_does_not_hold_up_anothers_watcher() {
    let mut world = World::new();
    for n in 0..1_000 {
        let who = Identity { user: Aor::parse(&format!("sip:w{n}@sfb.example")), ..Identity::default() };
        let outcome = world.subscribe_with(&who, None, &["Event: presence"]);
        for notify in outcome.notifies {
            world.answer(notify.key, 200, &[]);
        }
    }
    let bob = "sip:bob@sfb.example";
    let outcome = world.subscribe_to(bob, &jane(), &["Event: presence"]);
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.wait(Duration::from_secs(1));
    let first = change(&mut world, 1);
    assert_eq!(first.len(), usize::try_from(limits::NOTIFIES_AT_ONCE).unwrap(), "the others wait for their turn");
    let as_bob = Identity { user: Aor::parse(bob), ..Identity::default() };
    let outcome = world.publish(&as_bob, bob, &["Event: presence", PIDF], &online());
    let to_bobs = |notify: &Notify| notify.header("From").unwrap().contains(bob);
    assert!(outcome.notifies.iter().any(to_bobs), "bob's watcher has the next turn but one");
    assert_eq!(first.len() + outcome.notifies.len() + world.wait(Duration::ZERO).len(), 1_001, "nobody is forgotten");
}

#[test]
fn a_watcher_has_room_for_so_many_subscriptions() {
    let mut world = World::new();
    for n in 0..limits::SUBSCRIPTIONS_PER_WATCHER {
        let outcome = world.subscribe_to(&format!("sip:u{n}@sfb.example"), &jane(), &["Event: presence"]);
        assert_eq!(outcome.response.code, 200);
    }
    let outcome = world.subscribe_to(JOHN, &jane(), &["Event: presence"]);
    assert_eq!(outcome.response.code, 500);
    assert!(header(&outcome.response.headers, "Retry-After").is_some());
    let bob = Identity { user: Aor::parse("sip:bob@sfb.example"), ..Identity::default() };
    assert_eq!(world.subscribe_to(JOHN, &bob, &["Event: presence"]).response.code, 200, "others have their own");
    assert_eq!(world.subscribe_to(JOHN, &publisher("pbx"), &["Event: presence"]).response.code, 200);
}

#[test]
fn a_subscription_that_ended_makes_room_for_another() {
    let mut world = World::new();
    let mut first = world.subscribe();
    for n in 1..limits::SUBSCRIPTIONS_PER_WATCHER {
        world.subscribe_to(&format!("sip:u{n}@sfb.example"), &jane(), &["Event: presence"]);
    }
    assert_eq!(world.subscribe_to(JOHN, &jane(), &["Event: presence"]).response.code, 500);
    let before = world.server.subscriptions();
    world.resubscribe(&mut first, 0);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.server.subscriptions(), before - 1);
    assert_eq!(world.subscribe_to(JOHN, &jane(), &["Event: presence"]).response.code, 200);
}

#[test]
fn a_watcher_that_does_not_answer_costs_one_notify_and_holds_up_nobody() {
    let mut world = World::new();
    let dead = world.subscribe_with(&jane(), None, &["Event: presence"]);
    assert_eq!(dead.notifies.len(), 1);
    let live = world.subscribe_with(&john(), None, &["Event: presence"]);
    world.answer(live.notifies[0].key, 200, &[]);
    for note in 0..20 {
        let notifies = change(&mut world, note);
        assert_eq!(notifies.len(), 1, "the one that answers is told of each change, the other of none");
        world.answer(notifies[0].key, 200, &[]);
    }
    world.fail(dead.notifies[0].key);
    assert_eq!(world.wait(Duration::from_secs(33)).len(), 1, "then of the newest state alone");
}

#[test]
fn a_watcher_that_refuses_each_notify_and_wants_the_next_at_once_is_sent_few() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let mut next: Vec<_> = outcome.notifies.iter().map(|notify| notify.key).collect();
    let mut sent = 0;
    for _ in 0..600 {
        let refused = std::mem::take(&mut next);
        sent += refused.len();
        for key in refused {
            next.extend(world.answer(key, 503, &["Retry-After: 0"]).iter().map(|notify| notify.key));
        }
        next.extend(world.wait(Duration::from_millis(100)).iter().map(|notify| notify.key));
    }
    assert!((5..=8).contains(&sent), "{sent} NOTIFYs in a minute");
    assert_eq!(world.server.subscriptions(), 1, "it is there, and busy");
}

#[test]
fn a_max_rate_holds_for_what_is_sent_again_too() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence;max-rate=0.02", "Expires: 3600"]);
    assert!(world.answer(outcome.notifies[0].key, 500, &[]).is_empty());
    assert!(world.wait(Duration::from_millis(49_900)).is_empty());
    assert_eq!(world.wait(Duration::from_millis(200)).len(), 1);
}
