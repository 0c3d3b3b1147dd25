//! RFC 6446, by which a watcher of RFC 6665 section 4 says how often it wants to be notified.

use std::time::{Duration, Instant};

use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, state, state_param};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_max_rate_is_echoed_and_kept,
    a_refresh_without_a_max_rate_ends_it,
    a_min_rate_is_echoed_and_kept,
    what_is_no_rate_is_passed_over,
];

/// Sections 4.2 and 10.3.
fn a_max_rate_is_echoed_and_kept(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;max-rate=0.5");
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = watch.notified(&mut agent);
    let at = Instant::now();
    assert_eq!(state_param(&first, "max-rate").as_deref(), Some("0.5"), "{first}");
    let etag = agent.initial(&user, 60, &online(&user));
    assert_eq!(agent.modify(&user, &etag, 60, &on_the_phone(&user)).code(), 200);
    let next = watch.notified(&mut agent);
    // A part of the way is before the first is here.
    assert!(at.elapsed() >= Duration::from_millis(1_700), "{:?}", at.elapsed());
    assert!(Seen::read(&next.body()).is_on_the_phone(), "two changes are told together:\n{next}");
}

fn a_refresh_without_a_max_rate_ends_it(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;max-rate=0.01");
    let mut watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
    let again = watch.again(&agent, 60).header("Event", "presence");
    assert!((200..300).contains(&agent.ask(&again).code()));
    let refreshed = watch.notified(&mut agent);
    assert_eq!(state_param(&refreshed, "max-rate"), None, "{refreshed}");
    agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
}

/// Sections 5.2 and 10.3.
fn a_min_rate_is_echoed_and_kept(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;min-rate=0.2");
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = watch.notified(&mut agent);
    assert_eq!(state_param(&first, "min-rate").as_deref(), Some("0.2"), "{first}");
    let next = watch.notified(&mut agent);
    assert_eq!(state(&next).0, "active", "{next}");
    assert!(next.cseq() > first.cseq(), "nothing has changed, and it comes:\n{next}");
}

fn what_is_no_rate_is_passed_over(peer: &Peer) {
    for rate in ["0", "fast", "1.2.3", ".5", "1e3"] {
        let (mut agent, user) = (peer.udp(), peer.user());
        let request = agent.subscribe(&user, "watcher", 60).header("Event", format!("presence;max-rate={rate}"));
        let watch = agent.watch_by(&request, &user, "watcher");
        let first = watch.notified(&mut agent);
        assert_eq!(state_param(&first, "max-rate"), None, "{first}");
    }
}
