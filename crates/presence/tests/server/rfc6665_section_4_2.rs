//! RFC 6665 section 4.2: what the notifier does with SUBSCRIBE, and how NOTIFYs follow each other.

use std::net::SocketAddr;
use std::time::Duration;

use presence::server::{Identity, Report, Settings};
use sip::Aor;
use sip::transport::{Flow, ListenerId, StreamId, Transport};

use crate::world::{JOHN, PIDF, World, header, jane, john, on_the_phone, online, pidf, publisher};

const AN_HOUR: [&str; 2] = ["Event: presence", "Expires: 3600"];

#[test]
fn a_subscription_is_accepted_and_notified_at_once() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    assert_eq!(outcome.response.code, 200);
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("3600"));
    assert!(outcome.response.contact.is_some());
    let notify = &outcome.notifies[0];
    assert_eq!(notify.header("Event").as_deref(), Some("presence"));
    assert_eq!(notify.header("Subscription-State").as_deref(), Some("active;expires=3600"));
    assert_eq!(notify.header("Content-Type").as_deref(), Some("application/pidf+xml"));
    assert_eq!(&*notify.request.uri, "sip:jane@192.0.2.2:5060");
    assert!(notify.body().contains("on-the-phone"));
    assert!(notify.request.contact.is_some());
}

#[test]
fn a_presentity_that_published_nothing_is_closed() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    assert!(outcome.notifies[0].body().contains("<basic>closed</basic>"));
}

#[test]
fn the_notify_belongs_to_the_dialog_of_the_subscribe() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let tag = outcome.response.to_tag.as_deref().unwrap();
    let notify = &outcome.notifies[0];
    assert!(notify.header("From").unwrap().contains(&format!("tag={tag}")));
    assert!(notify.header("To").unwrap().contains("<sip:jane@sfb.example>;tag=w1"));
    assert_eq!(notify.header("Call-ID").as_deref(), Some("s1@192.0.2.2"));
}

#[test]
fn the_notify_follows_the_route_set() {
    let mut world = World::new();
    let headers = ["Event: presence", "Record-Route: <sip:proxy.example;lr>"];
    let outcome = world.subscribe_with(&jane(), None, &headers);
    let notify = &outcome.notifies[0];
    assert_eq!(notify.header("Route").as_deref(), Some("<sip:proxy.example;lr>"));
    assert_eq!(&*notify.target.uri, "sip:proxy.example;lr");
    assert!(notify.target.flow.is_none());
}

#[test]
fn a_watcher_behind_a_nat_is_notified_the_way_it_came() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Contact: <sip:jane@10.0.0.5:5060>"]);
    assert!(outcome.notifies[0].target.flow.is_some());
}

/// A connection of Jane's.
fn connection(number: u64) -> Flow {
    Flow::Stream {
        id: StreamId(number),
        transport: Transport::Tls,
        listener: ListenerId(0),
        remote: SocketAddr::from(([192, 0, 2, 2], 40_000)),
    }
}

#[test]
fn a_watcher_whose_connection_is_gone_is_looked_for_at_its_contact_at_once() {
    let mut world = World::new();
    world.flow = connection(7);
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    assert_eq!(outcome.notifies[0].target.flow, Some(world.flow));
    let again = world.fail(outcome.notifies[0].key);
    assert_eq!(again[0].target.flow, None);
    assert_eq!(&*again[0].target.uri, "sip:jane@192.0.2.2:5060");
    // If nobody is there either, it is tried again later, as ever: the connection may stand after all.
    assert!(world.fail(again[0].key).is_empty());
    let later = world.wait(Duration::from_secs(32));
    assert_eq!(later[0].target.flow, Some(world.flow));
    let again = world.fail(later[0].key);
    // Who is found there is not looked for on that connection any more.
    assert_eq!(again[0].target.flow, None);
    world.answer(again[0].key, 200, &[]);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 600"], &on_the_phone());
    assert_eq!(outcome.notifies[0].target.flow, None);
}

#[test]
fn a_watcher_that_asks_anew_on_a_connection_has_it_whatever_was_lost_before() {
    let mut world = World::new();
    world.flow = connection(7);
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    world.wait(Duration::from_secs(10));
    assert!(world.resubscribe(&mut watcher, 3600).notifies.is_empty());
    let again = world.fail(outcome.notifies[0].key);
    assert_eq!(again[0].target.flow, Some(world.flow));
}

#[test]
fn a_watcher_that_comes_back_on_another_connection_is_not_kept_waiting_for_the_old_one() {
    let mut world = World::new();
    world.flow = connection(7);
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    let lost = outcome.notifies[0].key;
    // The same connection: one after the other.
    assert!(world.resubscribe(&mut watcher, 3600).notifies.is_empty());
    // Another one: what is on its way on the first will hardly arrive.
    world.flow = connection(8);
    let outcome = world.resubscribe(&mut watcher, 3600);
    assert_eq!(outcome.notifies[0].target.flow, Some(connection(8)));
    assert_eq!(outcome.notifies[0].cseq(), 2);
    // That it has not arrived says nothing about the new one.
    assert!(world.fail(lost).is_empty());
    world.answer(outcome.notifies[0].key, 200, &[]);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 600"], &on_the_phone());
    assert_eq!(outcome.notifies[0].target.flow, Some(connection(8)));
    assert_eq!(outcome.notifies[0].cseq(), 3);
}

#[test]
fn another_event_package_is_answered_with_those_that_are_known() {
    let mut world = World::new();
    for event in ["Event: conference", "Subject: no event at all"] {
        let outcome = world.subscribe_with(&jane(), None, &[event]);
        assert_eq!(outcome.response.code, 489);
        assert_eq!(
            header(&outcome.response.headers, "Allow-Events").as_deref(),
            Some("presence, presence.winfo, dialog, message-summary")
        );
    }
}

#[test]
fn a_watcher_that_does_not_accept_pidf_is_told_so() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Accept: application/xpidf+xml"]);
    assert_eq!(outcome.response.code, 406);
}

#[test]
fn a_watcher_that_accepts_everything_accepts_pidf() {
    let mut world = World::new();
    let headers = ["Event: presence", "Accept: application/rlmi+xml, application/*"];
    assert_eq!(world.subscribe_with(&jane(), None, &headers).response.code, 200);
}

#[test]
fn without_a_time_it_is_an_hour() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence"]);
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("3600"));
}

#[test]
fn a_time_too_short_is_answered_with_the_shortest() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 5"]);
    assert_eq!(outcome.response.code, 423);
    assert_eq!(header(&outcome.response.headers, "Min-Expires").as_deref(), Some("60"));
}

#[test]
fn a_subscribe_without_a_contact_is_a_bad_request() {
    let mut world = World::new();
    assert_eq!(world.subscribe_with(&jane(), None, &["Event: presence", "Contact: *"]).response.code, 400);
}

#[test]
fn only_who_is_of_the_domain_or_trusted_may_watch() {
    let mut world = World::new();
    let stranger = Identity { user: Aor::parse("sip:eve@other.example"), ..Identity::default() };
    for who in [stranger, Identity::default()] {
        assert_eq!(world.subscribe_with(&who, None, &AN_HOUR).response.code, 403);
    }
    let internal = Identity { internal: true, ..Identity::default() };
    for who in [jane(), john(), publisher("pbx"), internal] {
        assert_eq!(world.subscribe_with(&who, None, &AN_HOUR).response.code, 200);
    }
}

#[test]
fn a_fetch_is_answered_with_the_state_and_leaves_nothing() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 0"]);
    assert_eq!(outcome.response.code, 200);
    assert_eq!(outcome.notifies.len(), 1);
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert!(outcome.notifies[0].body().contains("on-the-phone"));
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_change_is_notified_with_the_next_cseq() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let first = &outcome.notifies[0];
    assert!(world.answer(first.key, 200, &[]).is_empty());
    let headers = ["Event: presence", PIDF];
    let outcome = world.publish(&john(), JOHN, &headers, &on_the_phone());
    assert_eq!(outcome.notifies.len(), 1);
    assert_eq!(outcome.notifies[0].cseq(), first.cseq() + 1);
}

#[test]
fn one_notify_is_on_its_way_and_the_newest_state_follows() {
    let mut world = World::new();
    world.subscribe();
    let body = |activity: &str| pidf("t0", "open", &format!("<rpid:activities><rpid:{activity}/></rpid:activities>"));
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &body("away"));
    let first = &outcome.notifies[0];
    let mut tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    for activity in ["meal", "meeting", "on-the-phone"] {
        let outcome = world.modify(&tag, &body(activity));
        assert!(outcome.notifies.is_empty());
        tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    }
    let next = world.answer(first.key, 200, &[]);
    assert_eq!(next.len(), 1);
    assert!(next[0].body().contains("on-the-phone") && !next[0].body().contains("meeting"));
    assert_eq!(next[0].cseq(), first.cseq() + 1);
    assert!(world.answer(next[0].key, 200, &[]).is_empty());
}

#[test]
fn a_refresh_of_a_publication_notifies_nobody() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    world.subscribe();
    let outcome = world.refresh(&tag, 600);
    assert!(outcome.notifies.is_empty());
    let tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    assert!(world.modify(&tag, &on_the_phone()).notifies.is_empty(), "nor does the same body again");
}

#[test]
fn a_change_that_does_not_show_notifies_nobody() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    let tag = world.initial("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:x@y\"/>");
    world.subscribe();
    assert!(world.refresh(&tag, 0).notifies.is_empty());
}

#[test]
fn a_publication_that_runs_out_is_notified() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    world.subscribe();
    let notifies = world.wait(Duration::from_secs(600));
    assert_eq!(notifies.len(), 1);
    assert!(!notifies[0].body().contains("on-the-phone"));
    assert!(notifies[0].body().contains("<basic>closed</basic>"));
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("active;expires=3000"));
}

#[test]
fn all_watchers_share_one_document() {
    let mut world = World::new();
    for _ in 0..3 {
        world.subscribe();
    }
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    let bodies: Vec<_> = outcome.notifies.iter().map(|n| n.request.body.clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|b| std::sync::Arc::ptr_eq(b, &bodies[0])));
}

#[test]
fn a_refresh_extends_the_subscription_and_is_notified() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    world.wait(Duration::from_secs(3000));
    let outcome = world.resubscribe(&mut watcher, 1800);
    assert_eq!(outcome.response.code, 200);
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("1800"));
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("active;expires=1800"));
    world.answer(outcome.notifies[0].key, 200, &[]);
    assert!(world.wait(Duration::from_millis(1_799_999)).is_empty());
    assert_eq!(world.wait(Duration::from_millis(1)).len(), 1);
}

#[test]
fn a_refresh_that_is_not_of_the_dialog_finds_no_subscription() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    watcher.tag = "unknown".to_owned();
    assert_eq!(world.resubscribe(&mut watcher, 600).response.code, 481);
    let mut watcher = world.subscribe();
    watcher.call += 7;
    assert_eq!(world.resubscribe(&mut watcher, 600).response.code, 481);
}

#[test]
fn a_refresh_with_another_event_id_finds_no_subscription() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    watcher.cseq += 1;
    let outcome = world.subscribe_with(&jane(), Some(&watcher), &["Event: presence;id=2", "Expires: 600"]);
    assert_eq!(outcome.response.code, 481);
}

#[test]
fn the_event_id_comes_back_in_every_notify() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence;id=lamp7"]);
    assert_eq!(outcome.notifies[0].header("Event").as_deref(), Some("presence;id=lamp7"));
}

#[test]
fn a_refresh_with_an_older_cseq_is_out_of_order() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    watcher.cseq = 10;
    assert_eq!(world.resubscribe(&mut watcher, 600).response.code, 200);
    watcher.cseq = 4;
    assert_eq!(world.resubscribe(&mut watcher, 600).response.code, 500);
}

#[test]
fn a_refresh_may_bring_a_new_contact() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    watcher.cseq += 1;
    let headers = ["Event: presence", "Contact: <sip:jane@192.0.2.77:5080>"];
    let outcome = world.subscribe_with(&jane(), Some(&watcher), &headers);
    assert_eq!(&*outcome.notifies[0].request.uri, "sip:jane@192.0.2.77:5080");
}

#[test]
fn an_unsubscribe_ends_with_a_last_notify() {
    let mut world = World::new();
    let mut watcher = world.subscribe();
    let outcome = world.resubscribe(&mut watcher, 0);
    assert_eq!(outcome.response.code, 200);
    assert_eq!(outcome.notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert_eq!(world.server.subscriptions(), 0);
    assert_eq!(world.resubscribe(&mut watcher, 600).response.code, 481);
}

#[test]
fn an_unsubscribe_waits_for_the_notify_that_is_on_its_way() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    assert!(world.resubscribe(&mut watcher, 0).notifies.is_empty());
    let last = world.answer(outcome.notifies[0].key, 200, &[]);
    assert_eq!(last[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_at_its_second() {
    let mut world = World::new();
    world.subscribe();
    assert!(world.wait(Duration::from_millis(3_599_999)).is_empty());
    let last = world.wait(Duration::from_millis(1));
    assert_eq!(last[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert_eq!(world.server.subscriptions(), 0);
    assert!(world.reports.iter().any(|r| matches!(r, Report::SubscriptionExpired { .. })));
}

#[test]
fn an_answer_that_says_that_the_usage_is_gone_removes_it() {
    for code in [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        let mut world = World::new();
        let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
        assert!(world.answer(outcome.notifies[0].key, code, &[]).is_empty());
        assert_eq!(world.server.subscriptions(), 0, "{code}");
        assert!(
            world.reports.iter().any(|r| matches!(r, Report::SubscriptionLost { code: Some(c), .. } if *c == code))
        );
    }
}

#[test]
fn an_answer_with_retry_after_keeps_the_subscription() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    world.answer(outcome.notifies[0].key, 480, &["Retry-After: 20"]);
    assert_eq!(world.server.subscriptions(), 1);
    assert!(world.wait(Duration::from_millis(19_999)).is_empty());
    assert_eq!(world.wait(Duration::from_millis(1)).len(), 1);
}

#[test]
fn a_dialog_that_does_not_exist_is_gone_whatever_retry_after_says() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    world.answer(outcome.notifies[0].key, 481, &["Retry-After: 20"]);
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_lost_notify_is_followed_by_the_newest_state_after_32_64_and_128_seconds() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut key = outcome.notifies[0].key;
    world.initial(&on_the_phone());
    for pause in [32, 64, 128] {
        assert!(world.fail(key).is_empty());
        assert!(world.wait(Duration::from_millis(pause * 1000 - 1)).is_empty());
        let again = world.wait(Duration::from_millis(1));
        assert_eq!(again.len(), 1, "after {pause} s");
        assert!(again[0].body().contains("on-the-phone"));
        key = again[0].key;
    }
    assert!(world.fail(key).is_empty());
    assert_eq!(world.server.subscriptions(), 0, "three in a row were sent again for nothing");
    assert!(world.reports.iter().any(|r| matches!(r, Report::SubscriptionLost { code: None, .. })));
}

#[test]
fn an_answer_between_makes_the_timeouts_count_anew() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut key = outcome.notifies[0].key;
    for round in 0..5u32 {
        world.fail(key);
        key = world.wait(Duration::from_secs(32))[0].key;
        world.answer(key, 200, &[]);
        let body = if round % 2 == 0 { on_the_phone() } else { online() };
        let headers = ["Event: presence", PIDF, "Expires: 60"];
        key = world.publish(&john(), JOHN, &headers, &body).notifies[0].key;
        world.answer(key, 200, &[]);
        key = world.wait(Duration::from_secs(60))[0].key;
    }
    assert_eq!(world.server.subscriptions(), 1);
}

/// Who refuses is there: only silence removes a subscription, and only so often in a row.
#[test]
fn refusals_are_no_timeouts() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let mut key = outcome.notifies[0].key;
    for _ in 0..4 {
        assert!(world.answer(key, 500, &[]).is_empty());
        key = world.wait(Duration::from_secs(128)).pop().expect("the newest state").key;
    }
    for _ in 0..3 {
        assert!(world.fail(key).is_empty());
        assert_eq!(world.server.subscriptions(), 1);
        key = world.wait(Duration::from_secs(128)).pop().expect("the newest state").key;
    }
    world.fail(key);
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn who_did_not_hear_the_notify_before_still_hears_that_it_is_over() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    // While a NOTIFY is on its way the watcher ends the subscription.
    assert!(world.resubscribe(&mut watcher, 0).notifies.is_empty());
    let last = world.fail(outcome.notifies[0].key);
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].header("Subscription-State").as_deref(), Some("terminated;reason=timeout"));
    assert_eq!(world.server.subscriptions(), 0);
    assert!(world.fail(last[0].key).is_empty());
}

#[test]
fn how_many_timeouts_remove_a_subscription_is_an_option() {
    let settings = Settings { domains: vec!["sfb.example".into()], notify_timeouts: 0, ..Settings::default() };
    let mut world = World::with(settings);
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    world.fail(outcome.notifies[0].key);
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_watcher_that_comes_back_is_notified_without_waiting() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let mut watcher = world.watcher(&outcome);
    world.fail(outcome.notifies[0].key);
    assert_eq!(world.resubscribe(&mut watcher, 3600).notifies.len(), 1);
    assert!(world.wait(Duration::from_secs(40)).is_empty(), "the retry is off");
}

#[test]
fn an_answer_to_a_notify_of_long_ago_changes_nothing() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    let key = outcome.notifies[0].key;
    world.answer(key, 200, &[]);
    assert!(world.answer(key, 481, &[]).is_empty());
    assert!(world.fail(key).is_empty());
    assert_eq!(world.server.subscriptions(), 1);
}

#[test]
fn an_orderly_stop_tells_every_watcher() {
    let mut world = World::new();
    world.subscribe();
    world.subscribe();
    let last = world.stop();
    assert_eq!(last.len(), 2);
    for notify in &last {
        let state = notify.header("Subscription-State").unwrap();
        assert!(state.starts_with("terminated;reason=probation"), "{state}");
    }
    assert_eq!(world.server.subscriptions(), 0);
}
