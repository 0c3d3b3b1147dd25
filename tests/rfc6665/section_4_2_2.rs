//! Section 4.2.2: how a notifier sends state.

use std::time::Duration;

use tests::agent::{PATIENCE, QUIET};
use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, state, tag};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    a_change_is_notified_to_every_watcher,
    notifies_are_in_the_order_of_what_happened,
    an_unanswered_notify_is_sent_again,
    a_notify_answered_with_481_ends_the_subscription,
    a_refused_notify_ends_the_subscription,
    a_notify_refused_with_retry_after_leaves_the_subscription,
    a_notify_takes_the_answers_of_its_own_dialog_only,
    a_watcher_whose_connection_is_gone_is_reached_at_its_contact,
    each_notify_has_a_subscription_state,
    state_of_one_presentity_goes_to_its_own_watchers,
];

fn a_change_is_notified_to_every_watcher(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let mut watchers: Vec<_> = (0..5).map(|_| peer.udp()).collect();
    let watches: Vec<_> = watchers
        .iter_mut()
        .enumerate()
        .map(|(place, watcher)| watcher.watch(&user, &format!("w{place}"), 60).0)
        .collect();
    agent.initial(&user, 60, &on_the_phone(&user));
    for (watcher, watch) in watchers.iter_mut().zip(&watches) {
        watch.notified_of(watcher, |notify| Seen::read(&notify.body()).is_on_the_phone());
    }
}

fn notifies_are_in_the_order_of_what_happened(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, first) = agent.watch(&user, "watcher", 60);
    let mut etag = agent.initial(&user, 60, &online(&user));
    let mut cseq = watch.notified(&mut agent).cseq();
    assert!(cseq > first.cseq());
    for round in 0..6 {
        let lit = round % 2 == 0;
        let document = if lit { on_the_phone(&user) } else { online(&user) };
        etag = tag(&agent.modify(&user, &etag, 60, &document));
        let notify = watch.notified(&mut agent);
        assert_eq!(Seen::read(&notify.body()).on_the_phone, lit, "round {round}:\n{notify}");
        assert!(notify.cseq() > cseq, "CSeq goes upward:\n{notify}");
        cseq = notify.cseq();
    }
}

/// RFC 3261 section 17.1.2: over UDP.
fn an_unanswered_notify_is_sent_again(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60);
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = agent.next(PATIENCE, |message| watch.is_mine(message)).expect("a NOTIFY");
    let second = agent.next(Duration::from_secs(3), |message| watch.is_mine(message)).expect("the same again");
    assert_eq!(first, second);
    agent.answer(&second, 200, &[]);
}

fn a_notify_answered_with_481_ends_the_subscription(peer: &Peer) {
    ends_by(peer, 481);
}

/// Of these RFC 5057 says that they end the usage or its dialog.
fn a_refused_notify_ends_the_subscription(peer: &Peer) {
    ends_by(peer, 489);
}

fn ends_by(peer: &Peer, code: u16) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let notify = agent.next(PATIENCE, |message| watch.is_mine(message)).expect("a NOTIFY");
    agent.answer(&notify, code, &[]);
    assert_eq!(agent.modify(&user, &etag, 60, &online(&user)).code(), 200);
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
    let again = watch.again(&agent, 60);
    let answer = agent.ask(&again);
    assert_eq!(answer.code(), 481, "{answer}");
}

/// Such an answer is no failure: the watcher is busy, and does not leave.
fn a_notify_refused_with_retry_after_leaves_the_subscription(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let etag = agent.initial(&user, 60, &online(&user));
    let notify = agent.next(PATIENCE, |message| watch.is_mine(message)).expect("a NOTIFY");
    agent.answer(&notify, 503, &[("Retry-After", "1")]);
    assert_eq!(agent.modify(&user, &etag, 60, &on_the_phone(&user)).code(), 200);
    let later = watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    assert!(later.cseq() > notify.cseq(), "{later}");
}

fn a_notify_takes_the_answers_of_its_own_dialog_only(peer: &Peer) {
    let (mut agent, mut other, user) = (peer.udp(), peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let (second, _) = other.watch(&user, "another", 60);
    agent.initial(&user, 60, &on_the_phone(&user));
    let notify = agent.next(PATIENCE, |message| watch.is_mine(message)).expect("a NOTIFY");
    agent.answer(&notify, 481, &[]);
    second.notified(&mut other);
    let etag = other.initial(&user, 60, &online(&user));
    second.notified(&mut other);
    assert_eq!(other.refresh(&user, &etag, 0).code(), 200);
    second.notified(&mut other);
}

/// RFC 3261 section 12.2.1.1: a request within a dialog goes to the remote target, however the first one came.
fn a_watcher_whose_connection_is_gone_is_reached_at_its_contact(peer: &Peer) {
    let (mut stream, mut agent, user) = (peer.tcp(), peer.udp(), peer.user());
    let request = stream.subscribe(&user, "watcher", 60).header("Contact", agent.contact("watcher"));
    let watch = stream.watch_by(&request, &user, "watcher");
    // Which way the first one takes is the server's choice.
    if watch.notified_within(&mut stream, QUIET).is_none() {
        watch.notified(&mut agent);
    }
    drop(stream);
    agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
}

/// Section 4.2.2: every NOTIFY has one.
fn each_notify_has_a_subscription_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, first) = agent.watch(&user, "watcher", 60);
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let second = watch.notified(&mut agent);
    assert_eq!(agent.refresh(&user, &etag, 0).code(), 200);
    let third = watch.notified(&mut agent);
    let leave = watch.again(&agent, 0);
    assert!((200..300).contains(&agent.ask(&leave).code()));
    let last = watch.notified(&mut agent);
    let states = [first, second, third, last].map(|notify| state(&notify).0);
    assert_eq!(states, ["active", "active", "active", "terminated"]);
}

fn state_of_one_presentity_goes_to_its_own_watchers(peer: &Peer) {
    let (mut agent, user, other) = (peer.udp(), peer.user(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    agent.initial(&other, 60, &on_the_phone(&other));
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
}
