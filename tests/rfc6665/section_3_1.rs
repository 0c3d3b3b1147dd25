//! Section 3.1: SUBSCRIBE, its duration, and what it asks for.

use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, state, state_param};
use tests::rules;

pub(crate) const RULES: &[Rule] = rules![
    a_2xx_to_subscribe_says_how_long,
    a_granted_time_is_never_longer_than_asked,
    without_a_time_the_packages_own_is_granted,
    no_time_is_a_fetch,
    event_is_compared_by_package_and_id_alone,
    the_package_name_is_not_split_at_a_template_it_does_not_know,
    without_accept_the_packages_own_type_is_sent,
    accept_may_list_others_beside_it,
    accept_with_a_range_is_understood,
];

/// Section 3.1.1.
fn a_2xx_to_subscribe_says_how_long(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 120);
    assert_eq!(watch.answer.headers("Expires"), ["120"], "{}", watch.answer);
}

fn a_granted_time_is_never_longer_than_asked(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for asked in [5, 3600, 1_000_000] {
        let (watch, first) = agent.watch(&user, "watcher", asked);
        let granted: u32 = watch.answer.header("Expires").and_then(|value| value.parse().ok()).expect("Expires");
        assert!((1..=asked).contains(&granted), "{}", watch.answer);
        let left: u32 = state_param(&first, "expires").and_then(|value| value.parse().ok()).expect("expires");
        assert!(left <= granted, "{first}");
    }
}

/// RFC 3856 section 6.4 has 3600 s for presence.
fn without_a_time_the_packages_own_is_granted(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).without("Expires");
    let watch = agent.watch_by(&request, &user, "watcher");
    assert_eq!(watch.answer.header("Expires").as_deref(), Some("3600"), "{}", watch.answer);
    watch.notified(&mut agent);
}

/// Section 4.4.3.
fn no_time_is_a_fetch(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, only) = agent.watch(&user, "watcher", 0);
    assert_eq!(watch.answer.header("Expires").as_deref(), Some("0"), "{}", watch.answer);
    assert_eq!(state(&only).0, "terminated", "{only}");
}

/// Section 3.1.2 and 8.2.1: parameters other than `id` do not count.
fn event_is_compared_by_package_and_id_alone(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;colour=red");
    let mut watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
    let again = watch.again(&agent, 60).header("Event", "presence;colour=blue");
    let answer = agent.ask(&again);
    assert!((200..300).contains(&answer.code()), "{answer}");
}

fn the_package_name_is_not_split_at_a_template_it_does_not_know(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("Event", "presence.weather"));
    assert_eq!(answer.code(), 489, "{answer}");
}

/// Section 3.1.3.
fn without_accept_the_packages_own_type_is_sent(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &tests::conversation::online(&user));
    let request = agent.subscribe(&user, "watcher", 60).without("Accept");
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = watch.notified(&mut agent);
    assert_eq!(first.header("Content-Type").as_deref(), Some(PIDF), "{first}");
}

fn accept_may_list_others_beside_it(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &tests::conversation::online(&user));
    let accept = "application/cpim-pidf+xml, application/pidf+xml;q=0.5, text/plain";
    let request = agent.subscribe(&user, "watcher", 60).header("Accept", accept);
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = watch.notified(&mut agent);
    assert_eq!(first.header("Content-Type").as_deref(), Some(PIDF), "{first}");
}

fn accept_with_a_range_is_understood(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for accept in ["*/*", "application/*"] {
        let request = agent.subscribe(&user, "watcher", 60).header("Accept", accept);
        let watch = agent.watch_by(&request, &user, "watcher");
        watch.notified(&mut agent);
    }
}
