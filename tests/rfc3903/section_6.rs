//! Section 6 before its steps: the compositor is a user agent server of RFC 3261 section 8.2, and more.

use tests::agent::QUIET;
use tests::conformance::{Peer, Rule};
use tests::conversation::{on_the_phone, online, tag, uri};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    contact_is_ignored,
    record_route_is_ignored_and_the_answer_has_none,
    publish_makes_no_dialog,
    an_extension_that_is_required_and_unknown_is_named,
    who_is_not_known_is_challenged,
    a_wrong_password_is_challenged_again,
    the_right_password_publishes,
    nobody_publishes_for_somebody_else,
    publish_for_one_user_takes_effect_in_the_order_of_its_arrival,
    publish_is_carried_out_whole_or_not_at_all,
    a_retransmission_is_answered_alike_and_publishes_once,
];

fn contact_is_ignored(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let contact = format!("<sip:{user}@192.0.2.1:5060>");
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Contact", contact));
    assert_eq!(answer.code(), 200, "{answer}");
    // The next request bears another one, or none: still the same publication.
    let answer = agent.refresh(&user, &tag(&answer), 60);
    assert_eq!(answer.code(), 200, "{answer}");
    assert_eq!(answer.header("Contact"), None, "{answer}");
}

fn record_route_is_ignored_and_the_answer_has_none(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.publish_document(&user, 60, &online(&user)).and("Record-Route", "<sip:192.0.2.7;lr>");
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 200, "{answer}");
    assert_eq!(answer.header("Record-Route"), None, "{answer}");
}

fn publish_makes_no_dialog(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.publish_document(&user, 60, &online(&user));
    let answer = agent.ask(&request);
    let etag = tag(&answer);
    // What looks like a dialog of that exchange belongs to nothing.
    let within = agent
        .subscribe(&user, &user, 60)
        .header("Call-ID", request.value("Call-ID").unwrap())
        .header("From", request.value("From").unwrap())
        .header("To", answer.header("To").unwrap())
        .header("CSeq", "2 SUBSCRIBE");
    let refused = agent.ask(&within);
    assert_eq!(refused.code(), 481, "{refused}");
    assert_eq!(agent.refresh(&user, &etag, 60).code(), 200);
}

/// RFC 3261 section 8.2.2.3.
fn an_extension_that_is_required_and_unknown_is_named(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Require", "teleport"));
    assert_eq!(answer.code(), 420, "{answer}");
    assert_eq!(answer.header("Unsupported").as_deref(), Some("teleport"), "{answer}");
}

fn who_is_not_known_is_challenged(peer: &Peer) {
    let mut agent = peer.stranger();
    let answer = agent.ask(&agent.publish_document("john.doe", 60, &online("john.doe")));
    assert_eq!(answer.code(), 401, "{answer}");
    assert!(answer.header("WWW-Authenticate").is_some_and(|challenge| challenge.starts_with("Digest ")), "{answer}");
    assert_eq!(answer.header("SIP-ETag"), None, "{answer}");
}

fn a_wrong_password_is_challenged_again(peer: &Peer) {
    let mut agent = peer.stranger();
    let request = agent.publish_document("john.doe", 60, &online("john.doe"));
    let answer = agent.prove(&request, "john.doe", "guess");
    assert!([401, 403].contains(&answer.code()), "{answer}");
}

fn the_right_password_publishes(peer: &Peer) {
    let mut agent = peer.stranger();
    let request = agent.publish_document("john.doe", 60, &online("john.doe"));
    let answer = agent.prove(&request, "john.doe", "secret");
    assert_eq!(answer.code(), 200, "{answer}");
}

fn nobody_publishes_for_somebody_else(peer: &Peer) {
    let mut agent = peer.stranger();
    let request = agent.publish_document("john.doe", 60, &online("john.doe"));
    let request = request.header("From", format!("<{}>;tag=jane", uri("jane.roe")));
    let answer = agent.prove(&request, "jane.roe", "secret");
    assert_eq!(answer.code(), 403, "{answer}");
}

fn publish_for_one_user_takes_effect_in_the_order_of_its_arrival(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    // Sent at once: the first takes the tag, so the second finds it used up.
    let lit = agent.publish_document(&user, 60, &on_the_phone(&user)).header("SIP-If-Match", &*etag);
    let cleared = agent.publish_document(&user, 60, &online(&user)).header("SIP-If-Match", &*etag);
    agent.send(&lit.octets());
    agent.send(&cleared.octets());
    let answers = [lit, cleared].map(|request| {
        let fits = |message: &tests::agent::Received| request.is_answered_by(message) && message.code() >= 200;
        agent.next(tests::agent::PATIENCE, fits).expect("an answer").code()
    });
    assert_eq!(answers, [200, 412]);
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&document.body()).is_on_the_phone(), "{document}");
}

fn publish_is_carried_out_whole_or_not_at_all(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let answer = agent.modify(&user, &etag, 60, "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=");
    assert!((400..500).contains(&answer.code()), "{answer}");
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&document.body()).is_on_the_phone(), "{document}");
    // Neither the tag nor the state has changed.
    let answer = agent.refresh(&user, &etag, 60);
    assert_eq!(answer.code(), 200, "{answer}");
}

/// RFC 3261 section 17.2.2.
fn a_retransmission_is_answered_alike_and_publishes_once(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let request = agent.publish_document(&user, 60, &on_the_phone(&user));
    let first = agent.ask(&request);
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_on_the_phone());
    let second = agent.ask(&request);
    assert_eq!(first.code(), 200, "{first}");
    assert_eq!(tag(&first), tag(&second));
    assert_eq!(first.to_tag(), second.to_tag());
    assert!(watch.notified_within(&mut agent, QUIET).is_none(), "one change, one NOTIFY");
    assert_eq!(agent.refresh(&user, &tag(&first), 0).code(), 200);
    watch.notified_of(&mut agent, |notify| Seen::read(&notify.body()).is_clear());
}
