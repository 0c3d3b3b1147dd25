//! Section 8: the protocol elements, and how old and foreign watchers spell them.

use tests::agent::PATIENCE;
use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, on_the_phone, state, uri};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    the_compact_form_of_event_is_understood,
    the_compact_forms_of_all_others_are_understood,
    over_udp_content_length_may_be_missing,
    optional_headers_may_be_missing,
    a_fetch_by_an_old_watcher_without_a_cookie_is_answered,
    a_contact_with_parameters_and_a_display_name_is_a_contact,
    a_notify_has_what_every_request_has,
    the_answer_to_a_notify_may_be_any_2xx,
];

/// Section 8.2.1 gives it `o`.
fn the_compact_form_of_event_is_understood(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).without("Event").header("o", "presence");
    let watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
}

fn the_compact_forms_of_all_others_are_understood(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let usual = agent.subscribe(&user, "watcher", 60);
    let value = |name: &str| usual.value(name).unwrap().to_owned();
    let text = format!(
        "SUBSCRIBE {} SIP/2.0\r\nv: {}\r\nMax-Forwards: 70\r\nf: {}\r\nt: {}\r\ni: {}\r\nCSeq: 1 SUBSCRIBE\r\n\
         m: {}\r\no: presence\r\nAccept: {PIDF}\r\nExpires: 60\r\nl: 0\r\n\r\n",
        uri(&user),
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID"),
        value("Contact"),
    );
    agent.send(text.as_bytes());
    let of_call = |message: &tests::agent::Received| message.header("Call-ID").as_deref() == usual.value("Call-ID");
    let answer = agent.next(PATIENCE, |message| of_call(message) && message.code() >= 200).expect("an answer");
    assert!((200..300).contains(&answer.code()), "{answer}");
    let notify = agent.next(PATIENCE, |message| of_call(message) && message.is("NOTIFY")).expect("a NOTIFY");
    agent.answer(&notify, 200, &[]);
}

/// As linphone subscribes.
fn over_udp_content_length_may_be_missing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).without("Content-Length");
    let watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
}

fn optional_headers_may_be_missing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).without("Max-Forwards").without("Expires").without("Accept");
    let watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
}

fn a_fetch_by_an_old_watcher_without_a_cookie_is_answered(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &on_the_phone(&user));
    let via = format!("SIP/2.0/UDP {}", agent.here());
    let request = agent.subscribe(&user, "watcher", 0).header("Via", via);
    let watch = agent.watch_by(&request, &user, "watcher");
    let only = watch.notified(&mut agent);
    assert!(Seen::read(&only.body()).is_on_the_phone(), "{only}");
}

fn a_contact_with_parameters_and_a_display_name_is_a_contact(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let contact =
        format!("\"Watcher, the \\\"first\\\"\" {};+sip.instance=\"<urn:uuid:1>\";q=0.5", agent.contact("watcher"));
    let request = agent.subscribe(&user, "watcher", 60).header("Contact", contact);
    let watch = agent.watch_by(&request, &user, "watcher");
    let notify = watch.notified(&mut agent);
    assert!(agent.contact("watcher").contains(&notify.uri()), "{notify}");
}

/// RFC 3261 section 8.1.1 and RFC 6665 section 8.1.
fn a_notify_has_what_every_request_has(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (_, notify) = agent.watch(&user, "watcher", 60);
    for name in ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Event", "Subscription-State"] {
        assert_eq!(notify.headers(name).len(), 1, "{name} in:\n{notify}");
    }
    assert_eq!(notify.message().check(), Ok(()), "{notify}");
    assert!(notify.header("Via").is_some_and(|via| via.contains("branch=z9hG4bK")), "{notify}");
}

fn the_answer_to_a_notify_may_be_any_2xx(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 60);
    let etag = agent.initial(&user, 60, &on_the_phone(&user));
    let notify = agent.next(PATIENCE, |message| watch.is_mine(message)).expect("a NOTIFY");
    agent.answer(&notify, 202, &[]);
    assert_eq!(agent.refresh(&user, &etag, 0).code(), 200);
    let next = watch.notified(&mut agent);
    assert_eq!(state(&next).0, "active", "{next}");
}
