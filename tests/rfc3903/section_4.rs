//! Section 4: the four operations of its table 1, as a compositor sees them.

use tests::agent::QUIET;
use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, tag};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    an_initial_publication_creates_event_state,
    a_refresh_has_no_body_and_changes_no_event_state,
    a_modification_replaces_the_event_state,
    a_removal_deletes_the_event_state,
    publications_of_one_user_have_lives_of_their_own,
    each_publication_is_identified_by_its_tag_and_not_by_its_call_id,
    everything_goes_over_tcp_as_well,
];

fn an_initial_publication_creates_event_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &on_the_phone(&user));
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&first.body()).is_on_the_phone(), "{first}");
}

fn a_refresh_has_no_body_and_changes_no_event_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let answer = agent.refresh(&user, &etag, 60);
    assert_eq!(answer.code(), 200, "{answer}");
    let unasked = watch.notified_within(&mut agent, QUIET);
    assert!(unasked.is_none_or(|notify| Seen::read(&notify.body()).is_on_the_phone()));
}

fn a_modification_replaces_the_event_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let (watch, first) = agent.watch(&user, "watcher", 60);
    assert!(!Seen::read(&first.body()).on_the_phone, "{first}");
    let answer = agent.modify(&user, &etag, 60, &on_the_phone(&user));
    assert_eq!(answer.code(), 200, "{answer}");
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    let answer = agent.modify(&user, &tag(&answer), 60, &online(&user));
    assert_eq!(answer.code(), 200, "{answer}");
    watch.notified_of(&mut agent, |notify| !Seen::read(&notify.body()).on_the_phone);
}

fn a_removal_deletes_the_event_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let answer = agent.refresh(&user, &etag, 0);
    assert_eq!(answer.code(), 200, "{answer}");
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
}

fn publications_of_one_user_have_lives_of_their_own(peer: &Peer) {
    let (mut desk, mut pocket, user) = (peer.udp(), peer.udp(), peer.user());
    let first = desk.initial(&user, 60, &online(&user));
    let second = pocket.initial(&user, 60, &on_the_phone(&user));
    assert_ne!(first, second);
    assert_eq!(desk.refresh(&user, &first, 0).code(), 200);
    let answer = pocket.refresh(&user, &second, 60);
    assert_eq!(answer.code(), 200, "{answer}");
    let (_, document) = pocket.watch(&user, "watcher", 60);
    assert!(Seen::read(&document.body()).is_on_the_phone(), "{document}");
}

/// Section 4.1: what a request says about event state does not depend on a dialog or on Call-ID.
fn each_publication_is_identified_by_its_tag_and_not_by_its_call_id(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let initial = agent.publish_document(&user, 60, &online(&user));
    let answer = agent.ask(&initial);
    assert_eq!(answer.code(), 200, "{answer}");
    let call_id = initial.value("Call-ID").unwrap().to_owned();
    // The same Call-ID without a tag makes a second publication; another Call-ID with the tag refreshes the first.
    let again =
        agent.publish_document(&user, 60, &online(&user)).header("Call-ID", call_id).header("CSeq", "2 PUBLISH");
    let second = agent.ask(&again);
    assert_eq!(second.code(), 200, "{second}");
    assert_eq!(agent.refresh(&user, &tag(&answer), 60).code(), 200);
    assert_eq!(agent.refresh(&user, &tag(&second), 60).code(), 200);
}

fn everything_goes_over_tcp_as_well(peer: &Peer) {
    let (mut agent, user) = (peer.tcp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let answer = agent.modify(&user, &etag, 60, &on_the_phone(&user));
    assert_eq!(answer.code(), 200, "{answer}");
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    let answer = agent.refresh(&user, &tag(&answer), 60);
    assert_eq!(answer.code(), 200, "{answer}");
    let answer = agent.refresh(&user, &tag(&answer), 0);
    assert_eq!(answer.code(), 200, "{answer}");
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 412);
}
