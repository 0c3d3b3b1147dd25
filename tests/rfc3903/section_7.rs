//! Section 7: what OPTIONS tells about publication.

use tests::conformance::{Peer, Rule};
use tests::conversation::uri;
use tests::rules;

pub(crate) const RULES: &[Rule] = rules![
    options_lists_publish_among_the_methods,
    options_lists_the_event_packages,
    what_options_lists_is_understood,
];

fn options_lists_publish_among_the_methods(peer: &Peer) {
    let allowed = listed(peer, "Allow");
    assert!(allowed.iter().any(|method| method == "PUBLISH"), "{allowed:?}");
}

fn options_lists_the_event_packages(peer: &Peer) {
    let events = listed(peer, "Allow-Events");
    assert!(events.iter().any(|event| event == "presence"), "{events:?}");
}

fn what_options_lists_is_understood(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for event in listed(peer, "Allow-Events") {
        let answer =
            agent.ask(&agent.subscribe(&user, "watcher", 60).header("Event", event.as_str()).without("Accept"));
        assert_ne!(answer.code(), 489, "{event}:\n{answer}");
    }
}

fn listed(peer: &Peer, header: &str) -> Vec<String> {
    let mut agent = peer.udp();
    let answer = agent.ask(&agent.request("OPTIONS", &uri("anybody"), "somebody").header("Accept", "application/sdp"));
    assert_eq!(answer.code(), 200, "{answer}");
    answer.headers(header).join(",").split(',').map(|value| value.trim().to_owned()).filter(|v| !v.is_empty()).collect()
}
