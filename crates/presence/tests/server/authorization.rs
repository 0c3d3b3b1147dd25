//! Who may watch whom: what the rules say, and what nobody learns who may not.

use std::sync::Arc;
use std::time::Duration;

use presence::server::authorization::{Action, Pattern, Rule, Rules};
use presence::server::{Identity, Settings};
use sip::Aor;

use crate::world::{JOHN, Notify, PIDF, World, header, jane, john, on_the_phone, online, publisher};

const AN_HOUR: [&str; 2] = ["Event: presence", "Expires: 3600"];

fn rule(presentity: &str, watcher: &str, action: Action) -> Rule {
    let pattern = |text| Pattern::parse(text).expect("a pattern");
    Rule { presentity: pattern(presentity), watcher: pattern(watcher), action, details: false }
}

fn rules(rules: &[Rule]) -> Arc<Rules> {
    Arc::new(rules.iter().cloned().collect())
}

fn world(with: &[Rule]) -> World {
    World::with(Settings { domains: vec!["sfb.example".into()], rules: rules(with), ..Settings::default() })
}

fn stranger() -> Identity {
    Identity { user: Aor::parse("sip:eve@elsewhere.example"), ..Identity::default() }
}

/// What a watcher can see of a NOTIFY, without what differs for each dialog.
fn seen(notify: &Notify) -> String {
    let state = notify.header("Subscription-State").unwrap();
    format!("{state} {} {}", notify.header("Content-Type").unwrap(), notify.body().replace("nobody", "john.doe"))
}

#[test]
fn a_stranger_gets_the_same_answer_whether_or_not_there_is_somebody() {
    let mut world = world(&[]);
    world.initial(&on_the_phone());
    let somebody = world.subscribe_to(JOHN, &stranger(), &AN_HOUR);
    let nobody = world.subscribe_to("sip:nobody@sfb.example", &stranger(), &AN_HOUR);
    assert_eq!(somebody.response.code, 403);
    assert_eq!(format!("{:?}", somebody.response), format!("{:?}", nobody.response));
    assert!(somebody.notifies.is_empty() && nobody.notifies.is_empty());
    assert_eq!(world.server.subscriptions(), 0);
}

#[test]
fn a_stranger_learns_nothing_from_what_else_is_wrong_with_the_request() {
    let mut world = world(&[]);
    for more in ["Accept: text/plain", "Expires: 5"] {
        let outcome = world.subscribe_to(JOHN, &stranger(), &["Event: presence", more]);
        assert_eq!(outcome.response.code, 403);
    }
    let outcome = world.publish(&stranger(), JOHN, &["Event: presence", PIDF, "SIP-If-Match: x"], &on_the_phone());
    assert_eq!(outcome.response.code, 403, "and not 412, which would tell that there is no such tag");
}

#[test]
fn who_is_blocked_gets_403() {
    let mut world = world(&[rule(JOHN, "sip:jane@sfb.example", Action::Block)]);
    assert_eq!(world.subscribe_with(&jane(), None, &AN_HOUR).response.code, 403);
    assert_eq!(world.subscribe_to("sip:bob@sfb.example", &jane(), &AN_HOUR).response.code, 200);
}

#[test]
fn who_is_blocked_politely_sees_what_is_seen_of_nobody() {
    let mut world = world(&[rule(JOHN, "sip:jane@sfb.example", Action::PoliteBlock)]);
    world.initial(&on_the_phone());
    let somebody = world.subscribe_with(&jane(), None, &AN_HOUR);
    let nobody = world.subscribe_to("sip:nobody@sfb.example", &jane(), &AN_HOUR);
    assert_eq!(somebody.response.code, nobody.response.code);
    assert_eq!(somebody.response.headers.as_bytes(), nobody.response.headers.as_bytes());
    assert_eq!(seen(&somebody.notifies[0]), seen(&nobody.notifies[0]));
    assert!(seen(&somebody.notifies[0]).starts_with("active;expires=3600 "));
    assert!(somebody.notifies[0].body().contains("<basic>closed</basic>"));
}

#[test]
fn who_is_blocked_politely_is_not_notified_when_something_changes() {
    let mut world = world(&[rule(JOHN, "sip:jane@sfb.example", Action::PoliteBlock)]);
    world.subscribe();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    assert!(outcome.notifies.is_empty());
    assert!(world.wait(Duration::from_secs(60)).is_empty());
}

#[test]
fn a_subscription_to_be_confirmed_is_pending_and_shows_nothing_true() {
    let mut world = world(&[rule("*", "*", Action::Confirm)]);
    world.initial(&on_the_phone());
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    assert_eq!(outcome.response.code, 200);
    let notify = &outcome.notifies[0];
    assert_eq!(notify.header("Subscription-State").as_deref(), Some("pending;expires=3600"));
    assert!(notify.body().contains("<basic>closed</basic>"));
    assert!(!notify.body().contains("on-the-phone"));
}

#[test]
fn the_presentity_watches_itself_whatever_the_rules_say() {
    let mut world = world(&[rule("*", "*", Action::Block)]);
    world.initial(&on_the_phone());
    let outcome = world.subscribe_to(JOHN, &john(), &AN_HOUR);
    assert!(outcome.notifies[0].body().contains("on-the-phone"));
}

#[test]
fn a_rule_lets_somebody_of_another_domain_watch() {
    let mut world = world(&[rule(JOHN, "*@elsewhere.example", Action::Allow)]);
    world.initial(&on_the_phone());
    let outcome = world.subscribe_to(JOHN, &stranger(), &AN_HOUR);
    assert!(outcome.notifies[0].body().contains("on-the-phone"));
    assert_eq!(world.subscribe_to("sip:bob@sfb.example", &stranger(), &AN_HOUR).response.code, 403);
}

#[test]
fn the_first_rule_that_fits_is_taken() {
    let allow = rule("*@sfb.example", "sip:jane@sfb.example", Action::Allow);
    let block = rule(JOHN, "*", Action::Block);
    let mut first = world(&[allow.clone(), block.clone()]);
    assert_eq!(first.subscribe_with(&jane(), None, &AN_HOUR).response.code, 200);
    let mut second = world(&[block, allow]);
    assert_eq!(second.subscribe_with(&jane(), None, &AN_HOUR).response.code, 403);
}

#[test]
fn rules_know_a_watcher_that_a_peer_speaks_for() {
    let mut world = world(&[rule(JOHN, "sip:jane@sfb.example", Action::Block)]);
    assert_eq!(world.subscribe_with(&publisher("pbx"), None, &AN_HOUR).response.code, 403);
}

#[test]
fn a_peer_speaks_for_its_own_domains_only() {
    let mut world = world(&[]);
    let domains: Arc<[Box<str>]> = Arc::from(["other.example".into()]);
    let peer = Identity { domains: Some(domains), ..publisher("pbx") };
    assert_eq!(world.subscribe_with(&peer, None, &AN_HOUR).response.code, 403);
    assert_eq!(world.publish(&peer, JOHN, &["Event: presence", PIDF], &on_the_phone()).response.code, 403);
}

#[test]
fn a_dialog_is_of_the_watcher_that_began_it() {
    let mut world = world(&[]);
    let mut watcher = world.subscribe();
    watcher.cseq += 1;
    let bob = Identity { user: Aor::parse("sip:bob@sfb.example"), ..Identity::default() };
    assert_eq!(world.subscribe_with(&bob, Some(&watcher), &["Event: presence", "Expires: 0"]).response.code, 481);
    assert_eq!(world.server.subscriptions(), 1);
}

#[test]
fn who_is_blocked_while_watching_is_rejected_and_sees_nothing_more() {
    let mut world = world(&[]);
    world.initial(&on_the_phone());
    let mut watcher = world.subscribe();
    let notifies = world.configure(rules(&[rule(JOHN, "*", Action::Block)]), |who| Some(who.clone()));
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=rejected"));
    assert!(!notifies[0].body().contains("on-the-phone"));
    assert_eq!(world.server.subscriptions(), 0);
    assert_eq!(world.resubscribe(&mut watcher, 3600).response.code, 481);
}

#[test]
fn who_is_allowed_at_last_becomes_active_and_sees() {
    let mut world = world(&[rule("*", "*", Action::Confirm)]);
    world.initial(&on_the_phone());
    world.subscribe();
    let notifies = world.configure(rules(&[rule(JOHN, "*", Action::Allow)]), |who| Some(who.clone()));
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("active;expires=3600"));
    assert!(notifies[0].body().contains("on-the-phone"));
    world.answer(notifies[0].key, 200, &[]);
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &online());
    assert_eq!(outcome.notifies.len(), 1, "it learns of changes from now on");
}

#[test]
fn rules_that_change_nothing_for_a_watcher_cause_no_notify() {
    let mut world = world(&[]);
    world.subscribe();
    assert!(world.configure(rules(&[rule(JOHN, "*", Action::Allow)]), |who| Some(who.clone())).is_empty());
}

#[test]
fn a_watcher_who_is_nobody_any_more_is_rejected() {
    let mut world = world(&[]);
    world.subscribe();
    let notifies = world.configure(rules(&[]), |_| None);
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=rejected"));
}

#[test]
fn a_new_rule_waits_for_the_notify_that_is_on_its_way() {
    let mut world = world(&[]);
    let outcome = world.subscribe_with(&jane(), None, &AN_HOUR);
    assert!(world.configure(rules(&[rule(JOHN, "*", Action::Block)]), |who| Some(who.clone())).is_empty());
    let notifies = world.answer(outcome.notifies[0].key, 200, &[]);
    assert_eq!(notifies[0].header("Subscription-State").as_deref(), Some("terminated;reason=rejected"));
}

#[test]
fn a_refusal_is_decided_without_touching_any_state() {
    // What is done for a stranger does not depend on the presentity: no table grows, no document is composed.
    let mut world = world(&[]);
    for n in 0..100 {
        let outcome = world.subscribe_to(&format!("sip:u{n}@sfb.example"), &stranger(), &AN_HOUR);
        assert_eq!(outcome.response.code, 403);
        assert!(header(&outcome.response.headers, "Contact").is_none());
    }
    assert_eq!(world.server.subscriptions(), 0);
}
