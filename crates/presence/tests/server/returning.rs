//! Subscriptions outlive a restart: their watchers notice nothing but a pause.

use std::time::Duration;

use presence::server::{Settings, limits};
use sip::transport::{Flow, ListenerId, StreamId, Transport};

use crate::world::{Notify, Watcher, World, header, jane, on_the_phone, online};

const AN_HOUR: [&str; 2] = ["Event: presence", "Expires: 3600"];

/// A watcher behind a TLS connection, with its Contact at this address.
fn over_tls(world: &mut World, contact: &str) -> Watcher {
    world.flow = Flow::Stream {
        id: StreamId(7),
        transport: Transport::Tls,
        listener: ListenerId(0),
        remote: "192.0.2.2:40000".parse().unwrap(),
    };
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", &format!("Contact: <{contact}>")]);
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.watcher(&outcome)
}

#[test]
fn a_subscribe_is_answered_when_it_is_safe_and_the_notify_follows() {
    let mut world = World::new();
    world.hold_the_store();
    let (answers, notifies) = world.subscribe_unanswered(&jane(), &AN_HOUR);
    assert!(answers.is_empty() && notifies.is_empty());
    let (answers, notifies) = world.release_the_store_for_all();
    assert_eq!(answers[0].1.code, 200);
    assert_eq!(notifies.len(), 1, "the watcher knows its dialog by now");
}

#[test]
fn a_fetch_waits_for_nothing() {
    let mut world = World::new();
    world.hold_the_store();
    let (answers, notifies) = world.subscribe_unanswered(&jane(), &["Event: presence", "Expires: 0"]);
    assert_eq!((answers[0].1.code, notifies.len()), (200, 1));
    assert!(world.store.subscriptions.is_empty());
}

#[test]
fn after_a_restart_a_watcher_gets_one_fresh_notify_with_a_higher_number() {
    let mut world = World::new();
    world.initial(&online());
    let mut watcher = world.subscribe();
    let tag = world.initial(&on_the_phone());
    world.restart(Duration::from_secs(3));
    assert_eq!(world.server.subscriptions(), 1);
    let fresh = world.wait(Duration::from_secs(60));
    assert_eq!(fresh.len(), 1);
    assert!(fresh[0].cseq() > 2);
    assert!(fresh[0].header("To").unwrap().contains("<sip:jane@sfb.example>;tag=w"));
    assert!(fresh[0].header("From").unwrap().contains(&format!("tag={}", watcher.tag)));
    assert_eq!(fresh[0].header("Subscription-State").as_deref(), Some("active;expires=3597"));
    assert!(fresh[0].body().contains("on-the-phone"));
    assert!(world.answer(fresh[0].key, 200, &[]).is_empty());
    let cleared = world.refresh(&tag, 0).notifies;
    assert_eq!(cleared.len(), 1);
    assert!(cleared[0].cseq() > fresh[0].cseq());
    world.answer(cleared[0].key, 200, &[]);
    let again = world.resubscribe(&mut watcher, 3600);
    assert_eq!((again.response.code, again.notifies.len()), (200, 1));
    world.answer(again.notifies[0].key, 200, &[]);
    assert_eq!(world.resubscribe(&mut watcher, 0).response.code, 200);
    assert!(world.store.subscriptions.is_empty(), "what is over is forgotten");
}

#[test]
fn numbers_go_upward_through_any_number_of_restarts() {
    let mut world = World::new();
    let mut tag = world.initial(&online());
    world.subscribe();
    let mut last = 1;
    for round in 0..4 {
        for step in 0..limits::RESERVED + 20 {
            let body = if step % 2 == 0 { on_the_phone() } else { online() };
            let outcome = world.modify(&tag, &body);
            tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
            for notify in outcome.notifies {
                assert!(notify.cseq() > last, "round {round}: {} after {last}", notify.cseq());
                last = notify.cseq();
                world.answer(notify.key, 200, &[]);
            }
        }
        world.restart(Duration::from_secs(1));
        for notify in world.wait(Duration::from_secs(1)) {
            assert!(notify.cseq() > last);
            last = notify.cseq();
            world.answer(notify.key, 200, &[]);
        }
    }
}

#[test]
fn a_number_that_the_store_does_not_have_yet_is_not_used() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    world.subscribe();
    world.restart(Duration::from_secs(1));
    world.hold_the_store();
    assert!(world.wait(Duration::from_secs(2)).is_empty());
    let (_, notifies) = world.release_the_store_for_all();
    assert_eq!(notifies.len(), 1);
}

#[test]
fn the_versions_of_a_dialog_document_go_upward_after_a_restart() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&crate::world::john(), None, &["Event: dialog", "Expires: 3600"]);
    let version = |notify: &Notify| -> u32 {
        let after = notify.body().split("version=\"").nth(2).unwrap();
        after.split('"').next().unwrap().parse().unwrap()
    };
    assert_eq!(version(&outcome.notifies[0]), 0);
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.restart(Duration::from_secs(1));
    let fresh = world.wait(Duration::from_secs(1));
    assert!(version(&fresh[0]) > 0);
}

#[test]
fn what_ran_out_meanwhile_is_gone_and_the_rest_to_the_second() {
    let mut world = World::new();
    world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 100"]);
    world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 200"]);
    let mut fresh = world.restart(Duration::from_secs(150));
    assert_eq!(world.server.subscriptions(), 1);
    fresh.extend(world.wait(Duration::from_secs(49)));
    assert_eq!(fresh.len(), 1);
    world.answer(fresh[0].key, 200, &[]);
    let last = world.wait(Duration::from_secs(1));
    assert_eq!(last[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert!(world.store.subscriptions.is_empty());
}

#[test]
fn the_fresh_notifies_are_paced_and_none_comes_twice() {
    let mut world = World::new();
    let at_once = limits::RETURNING_PER_SECOND / 20;
    for _ in 0..3 * at_once {
        world.subscribe();
    }
    assert!(world.restart(Duration::from_secs(1)).is_empty());
    let mut all = 0;
    for _ in 0..3 {
        let some = world.wait(limits::RETURNING);
        assert!(some.len() <= usize::try_from(2 * at_once).unwrap(), "{}", some.len());
        all += some.len();
        for notify in some {
            world.answer(notify.key, 200, &[]);
        }
    }
    all += world.wait(Duration::from_secs(30)).len();
    assert_eq!(all, usize::try_from(3 * at_once).unwrap());
}

#[test]
fn a_watcher_that_was_told_of_a_change_already_needs_no_fresh_notify() {
    let mut world = World::new();
    let tag = world.initial(&online());
    world.subscribe();
    world.restart(Duration::from_secs(1));
    let told = world.modify(&tag, &on_the_phone()).notifies;
    assert_eq!(told.len(), 1);
    world.answer(told[0].key, 200, &[]);
    assert!(world.wait(Duration::from_secs(30)).is_empty());
}

#[test]
fn a_watcher_over_tls_is_looked_for_at_its_contact() {
    let mut world = World::new();
    over_tls(&mut world, "sip:jane@192.0.2.2:5061;transport=tls");
    world.restart(Duration::from_secs(1));
    let fresh = world.wait(Duration::from_secs(1));
    assert_eq!(fresh[0].target.flow, None);
    assert_eq!(&*fresh[0].target.uri, "sip:jane@192.0.2.2:5061;transport=tls");
}

#[test]
fn a_watcher_behind_a_nat_is_told_when_it_subscribes_again() {
    let mut world = World::new();
    let tag = world.initial(&online());
    let mut watcher = over_tls(&mut world, "sip:jane@10.0.0.5:5061;transport=tls");
    let outcome = world.modify(&tag, &on_the_phone());
    world.answer(outcome.notifies[0].key, 200, &[]);
    world.restart(Duration::from_secs(1));
    assert!(world.wait(Duration::from_secs(60)).is_empty());
    let tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    assert!(world.modify(&tag, &online()).notifies.is_empty(), "there is no way to it");
    let again = world.resubscribe(&mut watcher, 3600);
    assert_eq!(again.notifies.len(), 1);
    assert!(!again.notifies[0].body().contains("on-the-phone"));
}

#[test]
fn one_behind_a_nat_that_never_comes_back_runs_out() {
    let mut world = World::new();
    over_tls(&mut world, "sip:jane@10.0.0.5:5061;transport=tls");
    world.restart(Duration::from_secs(1));
    assert!(world.wait(Duration::from_secs(3600)).is_empty());
    assert_eq!(world.server.subscriptions(), 0);
    assert!(world.store.subscriptions.is_empty());
}

#[test]
fn the_way_through_a_nat_over_udp_is_tried_once_and_then_the_watcher_waited_for() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Contact: <sip:jane@10.0.0.5:5060>"]);
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut watcher = world.watcher(&outcome);
    world.restart(Duration::from_secs(1));
    let fresh = world.wait(Duration::from_secs(1));
    assert_eq!(fresh[0].target.flow, Some(world.flow));
    world.fail(fresh[0].key);
    assert!(world.wait(Duration::from_secs(1000)).is_empty(), "it is not lost for it");
    assert_eq!(world.resubscribe(&mut watcher, 3600).notifies.len(), 1);
}

#[test]
fn a_subscribe_that_comes_again_after_a_crash_gets_its_answer_again() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    world.restart(Duration::from_secs(1));
    let again = world.subscribe_again(&jane());
    assert_eq!(again.response.to_tag, outcome.response.to_tag);
    assert_eq!(world.server.subscriptions(), 1);
    for notify in world.wait(Duration::from_secs(1)) {
        world.answer(notify.key, 200, &[]);
    }
    assert_eq!(world.resubscribe(&mut watcher, 3600).response.code, 200);
    world.restart(Duration::from_secs(1));
    assert_eq!(world.subscribe_again(&jane()).response.code, 200, "no 500 for its number");
}

#[test]
fn an_orderly_stop_ends_no_subscription_that_outlives_it() {
    let mut world =
        World::with(Settings { domains: vec!["sfb.example".into()], outlives: true, ..Settings::default() });
    world.subscribe();
    assert!(world.stop().is_empty());
    world.restart(Duration::from_secs(1));
    assert_eq!(world.wait(Duration::from_secs(1)).len(), 1);
}

#[test]
fn an_end_that_was_acknowledged_outlives_a_crash_though_its_notify_had_to_wait() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let mut watcher = world.watcher(&outcome);
    // The first NOTIFY has no answer yet, so that the last one waits.
    let ended = world.resubscribe(&mut watcher, 0);
    assert_eq!((ended.response.code, ended.notifies.len()), (200, 0));
    assert!(world.restart(Duration::from_secs(1)).is_empty());
    assert_eq!(world.server.subscriptions(), 0, "the watcher was told that it is over");
}

#[test]
fn an_end_is_acknowledged_when_it_is_safe() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    world.hold_the_store();
    assert!(
        world.resubscribe_unanswered(&mut watcher, 0).is_empty(),
        "nothing is promised that the store does not have"
    );
    let (answers, _) = world.release_the_store_for_all();
    assert_eq!(answers[0].1.code, 200);
    assert_eq!(world.server.subscriptions(), 0);
}
