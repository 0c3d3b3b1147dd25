//! Section 6, steps 1 to 6: what a compositor does with a PUBLISH, one after the other.

use std::thread;
use std::time::{Duration, Instant};

use tests::agent::{Agent, QUIET};
use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, on_the_phone, online, tag};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    step_1_a_presentity_of_another_domain_is_not_found,
    step_2_a_publish_without_event_is_a_bad_event,
    step_2_an_unknown_event_package_is_a_bad_event,
    step_2_a_bad_event_names_those_that_are_known,
    step_2_comes_before_the_condition,
    step_3_without_a_condition_the_publication_gets_a_tag,
    step_3_more_than_one_tag_is_a_bad_request,
    step_3_a_tag_that_matches_nothing_fails_the_condition,
    step_3_a_tag_of_another_resource_fails_the_condition,
    step_3_a_used_tag_fails_the_condition,
    step_3_a_removed_publications_tag_fails_the_condition,
    step_3_an_expired_publications_tag_fails_the_condition,
    step_3_a_tag_is_case_sensitive,
    step_3_a_failed_condition_changes_nothing,
    step_3_comes_before_the_time,
    step_4_the_time_that_is_asked_is_granted,
    step_4_without_a_time_the_server_chooses_one,
    step_4_a_granted_time_is_never_longer_than_asked,
    step_4_a_time_too_brief_is_answered_with_the_shortest,
    step_4_a_time_too_brief_stores_nothing,
    step_4_the_shortest_time_is_granted,
    step_4_a_time_that_is_no_number_is_a_bad_request,
    step_5_a_type_that_is_not_the_packages_is_unsupported,
    step_5_an_unsupported_type_is_answered_with_the_type_that_is_read,
    step_5_a_body_without_a_type_is_refused,
    step_5_a_body_that_is_not_understood_is_refused,
    step_5_an_encoding_that_is_not_understood_is_unsupported,
    step_5_an_initial_publication_without_a_body_is_refused,
    step_5_a_body_that_is_too_large_is_refused_and_nothing_else_is_lost,
    step_5_a_body_with_the_tag_replaces_what_was_published,
    step_5_a_refresh_prolongs,
    step_5_what_is_not_refreshed_is_removed,
    step_5_no_time_removes_at_once,
    step_5_an_initial_publication_of_no_time_leaves_nothing,
    step_5_a_removal_with_a_body_removes,
    step_6_the_answer_has_the_chosen_time,
    step_6_the_answer_has_one_new_tag,
    step_6_a_refused_publish_is_answered_without_a_tag,
];

fn step_1_a_presentity_of_another_domain_is_not_found(peer: &Peer) {
    let mut agent = peer.udp();
    let request = agent.request("PUBLISH", "sip:somebody@elsewhere.example", "somebody").header("Event", "presence");
    let answer = agent.ask(&request.header("Content-Type", PIDF).body(online("somebody")));
    assert_eq!(answer.code(), 404, "{answer}");
}

fn step_2_a_publish_without_event_is_a_bad_event(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).without("Event"));
    assert_eq!(answer.code(), 489, "{answer}");
}

fn step_2_an_unknown_event_package_is_a_bad_event(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Event", "weather"));
    assert_eq!(answer.code(), 489, "{answer}");
}

/// RFC 6665 section 8.3.2.
fn step_2_a_bad_event_names_those_that_are_known(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Event", "weather"));
    let allowed = answer.headers("Allow-Events").join(",");
    assert!(allowed.split(',').any(|event| event.trim() == "presence"), "{answer}");
}

fn step_2_comes_before_the_condition(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.publish(&user).header("Event", "weather").header("SIP-If-Match", "never-given");
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 489, "{answer}");
}

fn step_3_without_a_condition_the_publication_gets_a_tag(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let first = agent.initial(&user, 60, &online(&user));
    let second = agent.initial(&user, 60, &online(&user));
    assert_ne!(first, second, "each publication has its own");
}

fn step_3_more_than_one_tag_is_a_bad_request(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let answer = agent.refresh(&user, &format!("{etag}, other"), 60);
    assert_eq!(answer.code(), 400, "{answer}");
}

fn step_3_a_tag_that_matches_nothing_fails_the_condition(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for etag in ["never-given", "a.0.1.2.3"] {
        let answer = agent.refresh(&user, etag, 60);
        assert_eq!(answer.code(), 412, "{answer}");
        let answer = agent.modify(&user, etag, 60, &online(&user));
        assert_eq!(answer.code(), 412, "{answer}");
        let answer = agent.refresh(&user, etag, 0);
        assert_eq!(answer.code(), 412, "{answer}");
    }
}

fn step_3_a_tag_of_another_resource_fails_the_condition(peer: &Peer) {
    let (mut agent, user, other) = (peer.udp(), peer.user(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let answer = agent.refresh(&other, &etag, 60);
    assert_eq!(answer.code(), 412, "{answer}");
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200);
}

fn step_3_a_used_tag_fails_the_condition(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let first = agent.initial(&user, 60, &online(&user));
    let second = tag(&agent.refresh(&user, &first, 60));
    let answer = agent.refresh(&user, &first, 60);
    assert_eq!(answer.code(), 412, "{answer}");
    let third = tag(&agent.modify(&user, &second, 60, &on_the_phone(&user)));
    assert_eq!(agent.refresh(&user, &second, 0).code(), 412);
    assert_eq!(agent.refresh(&user, &third, 60).code(), 200);
}

fn step_3_a_removed_publications_tag_fails_the_condition(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let first = agent.initial(&user, 60, &online(&user));
    let removed = agent.refresh(&user, &first, 0);
    assert_eq!(removed.code(), 200, "{removed}");
    let answer = agent.refresh(&user, &first, 60);
    assert_eq!(answer.code(), 412, "{answer}");
    if let Some(last) = removed.header("SIP-ETag") {
        let answer = agent.refresh(&user, &last, 60);
        assert_eq!(answer.code(), 412, "{answer}");
    }
}

fn step_3_an_expired_publications_tag_fails_the_condition(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (etag, granted) = brief(&mut agent, &user);
    thread::sleep(granted + Duration::from_millis(100));
    let answer = agent.refresh(&user, &etag, 60);
    assert_eq!(answer.code(), 412, "{answer}");
}

fn step_3_a_tag_is_case_sensitive(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let other: String = etag
        .chars()
        .map(|c| if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() })
        .collect();
    if other != etag {
        let answer = agent.refresh(&user, &other, 60);
        assert_eq!(answer.code(), 412, "{answer}");
    }
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200);
}

fn step_3_a_failed_condition_changes_nothing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let used = agent.initial(&user, 60, &online(&user));
    let etag = tag(&agent.refresh(&user, &used, 60));
    let (watch, _) = agent.watch(&user, "watcher", 60);
    assert_eq!(agent.modify(&user, &used, 60, &on_the_phone(&user)).code(), 412);
    assert_eq!(agent.refresh(&user, &used, 0).code(), 412);
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200);
}

fn step_3_comes_before_the_time(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let used = agent.initial(&user, 60, &online(&user));
    assert_eq!(agent.refresh(&user, &used, 60).code(), 200);
    let answer = agent.refresh(&user, &used, 1);
    assert_eq!(answer.code(), 412, "{answer}");
}

fn step_4_the_time_that_is_asked_is_granted(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 600, &online(&user)));
    assert_eq!(answer.header("Expires").as_deref(), Some("600"), "{answer}");
    let answer = agent.refresh(&user, &tag(&answer), 120);
    assert_eq!(answer.header("Expires").as_deref(), Some("120"), "{answer}");
}

fn step_4_without_a_time_the_server_chooses_one(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 600, &online(&user)).without("Expires"));
    assert_eq!(answer.code(), 200, "{answer}");
    assert!(seconds(&answer) > 0, "{answer}");
    let answer = agent.ask(&agent.publish(&user).header("SIP-If-Match", tag(&answer)));
    assert_eq!(answer.code(), 200, "{answer}");
    assert!(seconds(&answer) > 0, "{answer}");
}

fn step_4_a_granted_time_is_never_longer_than_asked(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for asked in [5, 3600, 1_000_000, u32::MAX] {
        let answer = agent.ask(&agent.publish_document(&user, asked, &online(&user)));
        assert_eq!(answer.code(), 200, "{answer}");
        assert!((1..=asked).contains(&seconds(&answer)), "{answer}");
    }
}

/// A server need not have a shortest time.
fn step_4_a_time_too_brief_is_answered_with_the_shortest(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 1, &online(&user)));
    if answer.code() == 200 {
        assert_eq!(seconds(&answer), 1, "{answer}");
        return;
    }
    assert_eq!(answer.code(), 423, "{answer}");
    let shortest: u32 = answer.header("Min-Expires").and_then(|value| value.parse().ok()).expect("Min-Expires");
    assert!(shortest > 1, "{answer}");
    let answer = agent.ask(&agent.publish_document(&user, shortest, &online(&user)));
    assert_eq!(answer.code(), 200, "{answer}");
}

fn step_4_a_time_too_brief_stores_nothing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 1, &on_the_phone(&user)));
    if answer.code() == 200 {
        return;
    }
    assert_eq!(answer.code(), 423, "{answer}");
    let etag = agent.initial(&user, 60, &online(&user));
    assert_eq!(agent.modify(&user, &etag, 1, &on_the_phone(&user)).code(), 423);
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(!Seen::read(&document.body()).on_the_phone, "{document}");
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200);
}

fn step_4_the_shortest_time_is_granted(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (etag, granted) = brief(&mut agent, &user);
    assert_eq!(granted, Duration::from_secs(2));
    assert_eq!(agent.refresh(&user, &etag, 2).code(), 200);
}

fn step_4_a_time_that_is_no_number_is_a_bad_request(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Expires", "soon"));
    assert_eq!(answer.code(), 400, "{answer}");
}

fn step_5_a_type_that_is_not_the_packages_is_unsupported(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, "busy").header("Content-Type", "text/plain"));
    assert_eq!(answer.code(), 415, "{answer}");
}

/// RFC 3261 section 8.2.3.
fn step_5_an_unsupported_type_is_answered_with_the_type_that_is_read(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, "busy").header("Content-Type", "text/plain"));
    let accepted = answer.headers("Accept").join(",");
    assert!(accepted.split(',').any(|media| media.trim() == PIDF), "{answer}");
}

fn step_5_a_body_without_a_type_is_refused(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).without("Content-Type"));
    assert!([400, 415].contains(&answer.code()), "{answer}");
}

fn step_5_a_body_that_is_not_understood_is_refused(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for body in ["on the phone", "<presence", "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"><tuple></presence>"] {
        let answer = agent.ask(&agent.publish_document(&user, 60, body));
        assert!((400..500).contains(&answer.code()), "{body}:\n{answer}");
    }
}

fn step_5_an_encoding_that_is_not_understood_is_unsupported(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Content-Encoding", "br"));
    assert_eq!(answer.code(), 415, "{answer}");
}

fn step_5_an_initial_publication_without_a_body_is_refused(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish(&user).header("Expires", "60"));
    assert_eq!(answer.code(), 400, "{answer}");
}

/// RFC 3261 section 21.4.11.
fn step_5_a_body_that_is_too_large_is_refused_and_nothing_else_is_lost(peer: &Peer) {
    let (mut agent, user) = (peer.tcp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let large = format!("{}{}", online(&user), " ".repeat(40_000));
    assert_eq!(agent.ask(&agent.publish_document(&user, 60, &large)).code(), 413);
    assert_eq!(agent.modify(&user, &etag, 60, &large).code(), 413);
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200, "the tag is good as before");
}

fn step_5_a_body_with_the_tag_replaces_what_was_published(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    assert_eq!(agent.modify(&user, &etag, 60, &online(&user)).code(), 200);
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(!Seen::read(&document.body()).on_the_phone, "{document}");
    assert_eq!(document.body().matches("<tuple").count(), 1, "one publication, as before:\n{document}");
}

fn step_5_a_refresh_prolongs(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (etag, _) = brief(&mut agent, &user);
    thread::sleep(Duration::from_millis(1000));
    let mut answer = agent.refresh(&user, &etag, 3);
    assert_eq!(answer.code(), 200, "{answer}");
    // The first time is over, the second is not.
    thread::sleep(Duration::from_millis(1700));
    answer = agent.refresh(&user, &tag(&answer), 60);
    assert_eq!(answer.code(), 200, "{answer}");
}

fn step_5_what_is_not_refreshed_is_removed(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let began = Instant::now();
    let (_, granted) = brief(&mut agent, &user);
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
    let lived = began.elapsed();
    // A server may look after what has run out once in a while; a second more is no lie yet.
    let least = granted.saturating_sub(Duration::from_millis(100));
    assert!((least..granted + Duration::from_secs(3)).contains(&lived), "granted {granted:?}, lived {lived:?}");
}

fn step_5_no_time_removes_at_once(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    let answer = agent.refresh(&user, &etag, 0);
    assert_eq!((answer.code(), answer.header("Expires").as_deref()), (200, Some("0")), "{answer}");
    let last = watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
    assert!(!Seen::read(&last.body()).on_the_phone, "what was removed is in no document any more:\n{last}");
}

fn step_5_an_initial_publication_of_no_time_leaves_nothing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 0, &on_the_phone(&user)));
    assert_eq!(answer.code(), 200, "{answer}");
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(!Seen::read(&document.body()).on_the_phone, "{document}");
}

fn step_5_a_removal_with_a_body_removes(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let answer = agent.modify(&user, &etag, 0, &on_the_phone(&user));
    assert_eq!(answer.code(), 200, "{answer}");
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(!Seen::read(&document.body()).on_the_phone, "{document}");
}

fn step_6_the_answer_has_the_chosen_time(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)));
    assert_eq!(answer.headers("Expires"), ["60"], "{answer}");
    let answer = agent.refresh(&user, &tag(&answer), 90);
    assert_eq!(answer.headers("Expires"), ["90"], "{answer}");
    let answer = agent.modify(&user, &tag(&answer), 120, &on_the_phone(&user));
    assert_eq!(answer.headers("Expires"), ["120"], "{answer}");
    let answer = agent.refresh(&user, &tag(&answer), 0);
    assert_eq!(answer.headers("Expires"), ["0"], "{answer}");
}

fn step_6_the_answer_has_one_new_tag(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let mut tags = vec![agent.initial(&user, 60, &online(&user))];
    for round in 0..6 {
        let last = tags.last().expect("one").clone();
        let answer = match round % 2 {
            0 => agent.refresh(&user, &last, 60),
            _ => agent.modify(&user, &last, 60, &on_the_phone(&user)),
        };
        assert_eq!(answer.code(), 200, "{answer}");
        let new = tag(&answer);
        assert!(!tags.contains(&new), "{new} was given before: {tags:?}");
        tags.push(new);
    }
}

fn step_6_a_refused_publish_is_answered_without_a_tag(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let refused = [
        agent.refresh(&user, "never-given", 60),
        agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Event", "weather")),
        agent.ask(&agent.publish_document(&user, 60, "busy").header("Content-Type", "text/plain")),
        agent.ask(&agent.request("PUBLISH", "sip:a@elsewhere.example", "a").header("Event", "presence")),
    ];
    for answer in refused {
        assert!(answer.code() >= 400, "{answer}");
        assert!(answer.header("SIP-ETag").is_none(), "{answer}");
    }
}

/// A publication of on-the-phone for the shortest time: its tag, and how long it was granted.
fn brief(agent: &mut Agent, user: &str) -> (String, Duration) {
    let answer = agent.ask(&agent.publish_document(user, 2, &on_the_phone(user)));
    assert_eq!(answer.code(), 200, "{answer}");
    (tag(&answer), Duration::from_secs(seconds(&answer).into()))
}

fn seconds(answer: &tests::agent::Received) -> u32 {
    let expires = answer.header("Expires").unwrap_or_else(|| panic!("no Expires in:\n{answer}"));
    expires.parse().unwrap_or_else(|_| panic!("no number in Expires:\n{answer}"))
}
