//! Section 8.3: how a server hands out entity-tags.

use std::collections::BTreeSet;

use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, tag};
use tests::rules;

pub(crate) const RULES: &[Rule] = rules![
    every_version_has_a_tag_that_is_unique_for_the_resource,
    a_tag_is_a_token,
    a_tag_is_valid_until_the_next_success_or_the_end,
    a_tag_does_not_come_again_after_a_removal,
];

fn every_version_has_a_tag_that_is_unique_for_the_resource(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let mut etag = agent.initial(&user, 60, &online(&user));
        assert!(seen.insert(etag.clone()), "{etag}");
        for _ in 0..4 {
            etag = tag(&agent.refresh(&user, &etag, 60));
            assert!(seen.insert(etag.clone()), "{etag}");
        }
    }
    assert_eq!(seen.len(), 20);
}

/// Section 12: `entity-tag = token`.
fn a_tag_is_a_token(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    assert!(!etag.is_empty() && etag.chars().all(is_token), "{etag}");
}

fn a_tag_is_valid_until_the_next_success_or_the_end(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    // What is refused leaves it as it is.
    let refused = agent.ask(
        &agent.publish_document(&user, 60, "busy").header("SIP-If-Match", &*etag).header("Content-Type", "text/plain"),
    );
    assert_eq!(refused.code(), 415, "{refused}");
    let answer = agent.refresh(&user, &etag, 60);
    assert_eq!(answer.code(), 200, "{answer}");
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 412);
}

fn a_tag_does_not_come_again_after_a_removal(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        let etag = agent.initial(&user, 60, &on_the_phone(&user));
        assert_eq!(agent.refresh(&user, &etag, 0).code(), 200);
        assert!(seen.insert(etag), "{seen:?}");
    }
}
