//! Section 4.4 to 4.6: dialogs, polling, Allow-Events, and CANCEL.

use tests::agent::QUIET;
use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, state, uri};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    each_subscribe_outside_a_dialog_makes_its_own,
    a_fetch_gets_the_whole_state_and_leaves_nothing,
    a_fetch_of_who_published_nothing_is_answered_too,
    options_lists_the_event_packages,
    the_answer_to_a_subscribe_lists_the_event_packages,
    cancel_does_not_undo_a_subscribe,
    bye_does_not_end_a_subscription,
];

/// Section 4.4.1.
fn each_subscribe_outside_a_dialog_makes_its_own(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (first, _) = agent.watch(&user, "watcher", 60);
    let (second, _) = agent.watch(&user, "watcher", 60);
    assert_ne!(first.answer.to_tag(), second.answer.to_tag());
    agent.initial(&user, 60, &on_the_phone(&user));
    first.notified(&mut agent);
    second.notified(&mut agent);
}

/// Section 4.4.3.
fn a_fetch_gets_the_whole_state_and_leaves_nothing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let (watch, only) = agent.watch(&user, "watcher", 0);
    assert_eq!(state(&only).0, "terminated", "{only}");
    assert!(Seen::read(&only.body()).is_on_the_phone(), "{only}");
    assert_eq!(agent.refresh(&user, &etag, 0).code(), 200);
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
}

fn a_fetch_of_who_published_nothing_is_answered_too(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (_, only) = agent.watch(&user, "watcher", 0);
    assert_eq!(state(&only).0, "terminated", "{only}");
}

/// Section 4.4.4.
fn options_lists_the_event_packages(peer: &Peer) {
    let mut agent = peer.udp();
    let answer = agent.ask(&agent.request("OPTIONS", &uri("anybody"), "somebody"));
    let events = answer.headers("Allow-Events").join(",");
    assert!(events.split(',').any(|event| event.trim() == "presence"), "{answer}");
}

/// It should stand in each response to a request that begins a dialog.
fn the_answer_to_a_subscribe_lists_the_event_packages(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let events = watch.answer.headers("Allow-Events").join(",");
    assert!(events.split(',').any(|event| event.trim() == "presence"), "{}", watch.answer);
}

/// Section 4.6 and RFC 3261 section 9.1: CANCEL is for INVITE.
fn cancel_does_not_undo_a_subscribe(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60);
    let watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
    let value = |name: &str| request.value(name).unwrap().to_owned();
    let cancel = agent
        .request("CANCEL", &uri(&user), "watcher")
        .header("Via", value("Via"))
        .header("From", value("From"))
        .header("Call-ID", value("Call-ID"))
        .header("CSeq", "1 CANCEL");
    let answer = agent.ask(&cancel);
    assert!(answer.code() >= 200, "{answer}");
    agent.initial(&user, 60, &on_the_phone(&user));
    let notify = watch.notified(&mut agent);
    assert_eq!(state(&notify).0, "active", "{notify}");
}

/// RFC 5057: BYE ends an INVITE usage, of which there is none here.
fn bye_does_not_end_a_subscription(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let within = watch.again(&agent, 60);
    let value = |name: &str| within.value(name).unwrap().to_owned();
    let bye = agent
        .request("BYE", &watch.target.clone(), "watcher")
        .header("From", value("From"))
        .header("To", value("To"))
        .header("Call-ID", value("Call-ID"))
        .header("CSeq", "9 BYE");
    let answer = agent.ask(&bye);
    assert!(answer.code() >= 400, "{answer}");
    agent.initial(&user, 60, &on_the_phone(&user));
    let notify = watch.notified(&mut agent);
    assert_eq!(state(&notify).0, "active", "{notify}");
}
