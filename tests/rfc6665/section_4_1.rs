//! Section 4.1: what a subscriber may rely on when it refreshes, leaves, and reads Subscription-State.

use std::thread;
use std::time::Duration;

use tests::agent::QUIET;
use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, state, state_param};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_refresh_stays_in_the_dialog,
    a_refresh_of_what_is_gone_is_481,
    a_refresh_of_another_package_in_the_dialog_is_no_refresh,
    a_refresh_with_another_id_is_no_refresh,
    a_refresh_that_is_refused_leaves_the_subscription,
    unsubscribing_ends_it_with_a_last_notify,
    after_unsubscribing_nothing_comes,
    an_active_notify_says_how_long_it_lasts,
    a_subscription_lives_as_long_as_its_refreshes_say,
    everything_goes_over_tcp_as_well,
];

/// Section 4.1.2.2.
fn a_refresh_stays_in_the_dialog(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, first) = agent.watch(&user, "watcher", 60);
    let again = watch.again(&agent, 90);
    let answer = agent.ask(&again);
    assert!((200..300).contains(&answer.code()), "{answer}");
    assert_eq!(answer.header("Expires").as_deref(), Some("90"), "{answer}");
    assert_eq!(answer.to_tag(), watch.answer.to_tag(), "{answer}");
    let second = watch.notified(&mut agent);
    assert_eq!(second.from_tag(), first.from_tag(), "{second}");
    assert!(second.cseq() > first.cseq(), "{second}");
    assert!(state_param(&second, "expires").and_then(|left| left.parse().ok()).is_some_and(|left: u32| left > 80));
}

fn a_refresh_of_what_is_gone_is_481(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let leave = watch.again(&agent, 0);
    assert!((200..300).contains(&agent.ask(&leave).code()));
    watch.notified_of(&mut agent, |notify| state(notify).0 == "terminated");
    let again = watch.again(&agent, 60);
    let answer = agent.ask(&again);
    assert_eq!(answer.code(), 481, "{answer}");
}

/// Section 4.5.2: another usage in the same dialog, or a refusal; never a refresh of the first.
fn a_refresh_of_another_package_in_the_dialog_is_no_refresh(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let again = watch.again(&agent, 60).header("Event", "weather").without("Accept");
    let answer = agent.ask(&again);
    assert!([481, 489].contains(&answer.code()), "{answer}");
    // The first is as it was.
    let again = watch.again(&agent, 60);
    assert!((200..300).contains(&agent.ask(&again).code()));
}

fn a_refresh_with_another_id_is_no_refresh(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;id=1");
    let mut watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
    let leave = watch.again(&agent, 0).header("Event", "presence;id=2");
    let answer = agent.ask(&leave);
    // A fetch of its own, or a refusal: the subscription with the first id lives.
    assert!(answer.code() >= 200, "{answer}");
    let again = watch.again(&agent, 60);
    assert!((200..300).contains(&agent.ask(&again).code()));
}

/// Section 4.1.2.3.
/// Section 4.1.2.2: only what says that it is gone ends it.
fn a_refresh_that_is_refused_leaves_the_subscription(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let brief = watch.again(&agent, 1);
    assert_eq!(agent.ask(&brief).code(), 423);
    let deaf = watch.again(&agent, 60).header("Require", "teleport");
    assert_eq!(agent.ask(&deaf).code(), 420);
    agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
}

fn unsubscribing_ends_it_with_a_last_notify(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &on_the_phone(&user));
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let leave = watch.again(&agent, 0);
    let answer = agent.ask(&leave);
    assert!((200..300).contains(&answer.code()), "{answer}");
    let last = watch.notified(&mut agent);
    assert_eq!(state(&last).0, "terminated", "{last}");
}

fn after_unsubscribing_nothing_comes(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let leave = watch.again(&agent, 0);
    assert!((200..300).contains(&agent.ask(&leave).code()));
    watch.notified_of(&mut agent, |notify| state(notify).0 == "terminated");
    agent.initial(&user, 60, &on_the_phone(&user));
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
}

/// Section 4.1.3.
fn an_active_notify_says_how_long_it_lasts(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, first) = agent.watch(&user, "watcher", 60);
    let left = |notify| state_param(notify, "expires").and_then(|left| left.parse::<u32>().ok()).expect("expires");
    assert_eq!(state(&first).0, "active", "{first}");
    assert!((58..=60).contains(&left(&first)), "{first}");
    thread::sleep(Duration::from_millis(1100));
    agent.initial(&user, 60, &online(&user));
    let second = watch.notified(&mut agent);
    assert!((56..60).contains(&left(&second)), "it counts on:\n{second}");
}

fn a_subscription_lives_as_long_as_its_refreshes_say(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 2);
    thread::sleep(Duration::from_millis(1000));
    let again = watch.again(&agent, 60);
    assert!((200..300).contains(&agent.ask(&again).code()));
    watch.notified(&mut agent);
    // The first time is over.
    thread::sleep(Duration::from_millis(1700));
    agent.initial(&user, 60, &on_the_phone(&user));
    let notify = watch.notified(&mut agent);
    assert_eq!(state(&notify).0, "active", "{notify}");
    assert!(Seen::read(&notify.body()).is_on_the_phone(), "{notify}");
}

fn everything_goes_over_tcp_as_well(peer: &Peer) {
    let (mut agent, user) = (peer.tcp(), peer.user());
    let (mut watch, first) = agent.watch(&user, "watcher", 60);
    assert_eq!(state(&first).0, "active", "{first}");
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    assert_eq!(agent.refresh(&user, &etag, 0).code(), 200);
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
    let again = watch.again(&agent, 60);
    assert!((200..300).contains(&agent.ask(&again).code()));
    watch.notified(&mut agent);
    let leave = watch.again(&agent, 0);
    assert!((200..300).contains(&agent.ask(&leave).code()));
    watch.notified_of(&mut agent, |notify| state(notify).0 == "terminated");
}
