//! Section 4.2.1: how a notifier takes SUBSCRIBE.

use std::time::{Duration, Instant};

use tests::agent::QUIET;
use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, on_the_phone, state, uri};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    subscribe_is_answered_at_once,
    an_unknown_package_is_a_bad_event,
    a_bad_event_names_those_that_are_known,
    without_event_it_is_a_bad_event,
    a_time_too_brief_is_answered_with_the_shortest,
    an_hour_is_never_too_brief,
    a_presentity_of_another_domain_is_not_found,
    a_subscription_without_a_contact_is_a_bad_request,
    a_type_that_is_not_accepted_is_406,
    an_extension_that_is_required_and_unknown_is_named,
    a_subscription_makes_a_dialog,
    the_2xx_has_the_contact_that_the_dialog_needs,
    the_2xx_repeats_record_route,
    a_notify_follows_at_once,
    a_notify_follows_a_refresh_at_once,
    the_first_notify_has_the_current_state,
    who_published_nothing_has_a_neutral_state,
    a_retransmission_makes_one_subscription,
    who_is_not_known_is_challenged,
    the_right_password_subscribes,
    a_refresh_is_challenged_too,
    a_refresh_moves_the_remote_target,
    a_refresh_with_an_old_cseq_is_refused,
    what_belongs_to_no_subscription_is_481,
    a_subscription_runs_out_without_a_refresh,
];

fn subscribe_is_answered_at_once(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let began = Instant::now();
    let (watch, _) = agent.watch(&user, "watcher", 60);
    // 202 was for those who had to ask somebody; RFC 6665 section 8.3.1 has done away with it, and takes it still.
    assert!([200, 202].contains(&watch.answer.code()), "{}", watch.answer);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

fn an_unknown_package_is_a_bad_event(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("Event", "weather"));
    assert_eq!(answer.code(), 489, "{answer}");
}

/// Section 8.3.2.
fn a_bad_event_names_those_that_are_known(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("Event", "weather"));
    let allowed = answer.headers("Allow-Events").join(",");
    assert!(allowed.split(',').any(|event| event.trim() == "presence"), "{answer}");
}

fn without_event_it_is_a_bad_event(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).without("Event"));
    assert_eq!(answer.code(), 489, "{answer}");
}

fn a_time_too_brief_is_answered_with_the_shortest(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 1));
    assert_eq!(answer.code(), 423, "{answer}");
    let shortest: u32 = answer.header("Min-Expires").and_then(|value| value.parse().ok()).expect("Min-Expires");
    agent.watch(&user, "watcher", shortest);
}

/// Only what is shorter than an hour may be refused so.
fn an_hour_is_never_too_brief(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (watch, _) = agent.watch(&user, "watcher", 3600);
    assert!((200..300).contains(&watch.answer.code()));
}

fn a_presentity_of_another_domain_is_not_found(peer: &Peer) {
    let mut agent = peer.udp();
    let request = agent.subscribe("somebody", "watcher", 60).to_target("sip:somebody@elsewhere.example");
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 404, "{answer}");
}

/// RFC 3261 section 12.1.1: a request that makes a dialog has one Contact.
fn a_subscription_without_a_contact_is_a_bad_request(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).without("Contact"));
    assert_eq!(answer.code(), 400, "{answer}");
}

/// RFC 3261 section 21.4.7, RFC 6665 section 3.1.3: only what is accepted may be sent.
fn a_type_that_is_not_accepted_is_406(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("Accept", "text/plain"));
    assert_eq!(answer.code(), 406, "{answer}");
}

fn an_extension_that_is_required_and_unknown_is_named(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("Require", "teleport"));
    assert_eq!(answer.code(), 420, "{answer}");
    assert_eq!(answer.header("Unsupported").as_deref(), Some("teleport"), "{answer}");
}

/// Section 4.4.1.
fn a_subscription_makes_a_dialog(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60);
    let watch = agent.watch_by(&request, &user, "watcher");
    let notify = watch.notified(&mut agent);
    assert_eq!(notify.from_tag(), watch.answer.to_tag(), "{notify}");
    assert_eq!(notify.to_tag(), watch.answer.from_tag(), "{notify}");
    assert_eq!(notify.header("Call-ID").as_deref(), request.value("Call-ID"), "{notify}");
    assert!(agent.contact("watcher").contains(&notify.uri()), "to the remote target:\n{notify}");
}

fn the_2xx_has_the_contact_that_the_dialog_needs(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, first) = agent.watch(&user, "watcher", 60);
    assert!(watch.target.starts_with("sip:"), "{}", watch.answer);
    assert!(first.header("Contact").is_some_and(|contact| contact.contains("sip:")), "{first}");
    // And it is right: a refresh by it arrives.
    let again = watch.again(&agent, 60);
    let answer = agent.ask(&again);
    assert!((200..300).contains(&answer.code()), "{answer}");
}

/// RFC 3261 section 12.1.1; the NOTIFY takes the route.
fn the_2xx_repeats_record_route(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let here = agent.here();
    let (near, far) = (format!("<sip:{here};lr>"), "<sip:192.0.2.7;lr>");
    let request = agent.subscribe(&user, "watcher", 60).and("Record-Route", near.clone()).and("Record-Route", far);
    let watch = agent.watch_by(&request, &user, "watcher");
    let listed = |values: Vec<String>| values.join(",").replace(' ', "");
    assert_eq!(listed(watch.answer.headers("Record-Route")), format!("{near},{far}"), "{}", watch.answer);
    // The first hop of the route is this agent.
    let notify = watch.notified(&mut agent);
    assert_eq!(listed(notify.headers("Route")), format!("{near},{far}"), "{notify}");
}

/// Section 4.2.1.2.
fn a_notify_follows_at_once(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60);
    let watch = agent.watch_by(&request, &user, "watcher");
    assert!(watch.notified_within(&mut agent, Duration::from_secs(2)).is_some());
}

fn a_notify_follows_a_refresh_at_once(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    for _ in 0..3 {
        let again = watch.again(&agent, 60);
        assert!((200..300).contains(&agent.ask(&again).code()));
        assert!(watch.notified_within(&mut agent, Duration::from_secs(2)).is_some());
    }
}

fn the_first_notify_has_the_current_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &on_the_phone(&user));
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&first.body()).is_on_the_phone(), "{first}");
}

/// Section 4.2.1.2 lets the package define it: RFC 3856 section 6.7 and 6.11 want a document, or an empty body.
fn who_published_nothing_has_a_neutral_state(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (_, first) = agent.watch(&user, "watcher", 60);
    let seen = Seen::read(&first.body());
    assert!(!seen.on_the_phone && seen.basic.iter().all(|basic| basic == "closed"), "{first}");
}

fn a_retransmission_makes_one_subscription(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60);
    let watch = agent.watch_by(&request, &user, "watcher");
    watch.notified(&mut agent);
    let again = agent.ask(&request);
    assert_eq!(again.to_tag(), watch.answer.to_tag(), "{again}");
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
    agent.initial(&user, 60, &on_the_phone(&user));
    watch.notified(&mut agent);
    assert!(watch.notified_within(&mut agent, QUIET).is_none(), "one change, one NOTIFY");
}

/// Section 4.2.1.3.
fn who_is_not_known_is_challenged(peer: &Peer) {
    let mut agent = peer.stranger();
    let answer = agent.ask(&agent.subscribe("john.doe", "jane.roe", 60));
    assert_eq!(answer.code(), 401, "{answer}");
    assert!(answer.header("WWW-Authenticate").is_some_and(|challenge| challenge.starts_with("Digest ")), "{answer}");
}

fn the_right_password_subscribes(peer: &Peer) {
    let mut agent = peer.stranger();
    let request = agent.subscribe("john.doe", "jane.roe", 60);
    let answer = agent.prove(&request, "jane.roe", "secret");
    assert!((200..300).contains(&answer.code()), "{answer}");
    let notify = agent.next(tests::agent::PATIENCE, |message| message.is("NOTIFY")).expect("a NOTIFY");
    agent.answer(&notify, 200, &[]);
}

fn a_refresh_is_challenged_too(peer: &Peer) {
    let (mut known, mut stranger, user) = (peer.udp(), peer.stranger(), peer.user());
    let (mut watch, _) = known.watch(&user, "watcher", 60);
    // Whoever has seen the dialog could else end it, or have it sent elsewhere.
    let leave = watch.again(&stranger, 0);
    let answer = stranger.ask(&leave);
    assert!([401, 403].contains(&answer.code()), "{answer}");
    let again = watch.again(&known, 60);
    assert!((200..300).contains(&known.ask(&again).code()));
}

/// RFC 3261 section 12.2.2: SUBSCRIBE is a target refresh (RFC 6665 section 3.1).
fn a_refresh_moves_the_remote_target(peer: &Peer) {
    let (mut agent, mut moved, user) = (peer.udp(), peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let again = watch.again(&moved, 60);
    let answer = moved.ask(&again);
    assert!((200..300).contains(&answer.code()), "{answer}");
    let notify = watch.notified(&mut moved);
    assert!(moved.contact("watcher").contains(&notify.uri()), "{notify}");
    assert!(watch.notified_within(&mut agent, QUIET).is_none());
}

/// RFC 3261 section 12.2.2.
fn a_refresh_with_an_old_cseq_is_refused(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (mut watch, _) = agent.watch(&user, "watcher", 60);
    let (second, third) = (watch.again(&agent, 60), watch.again(&agent, 60));
    assert!((200..300).contains(&agent.ask(&third).code()));
    let answer = agent.ask(&second);
    assert_eq!(answer.code(), 500, "{answer}");
}

/// Section 4.2.1.4 and RFC 3261 section 12.2.2.
fn what_belongs_to_no_subscription_is_481(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let to = format!("<{}>;tag=never-given", uri(&user));
    let answer = agent.ask(&agent.subscribe(&user, "watcher", 60).header("To", to).header("Accept", PIDF));
    assert_eq!(answer.code(), 481, "{answer}");
}

/// Section 4.2.2 has the last NOTIFY, section 4.1.3 its reason.
fn a_subscription_runs_out_without_a_refresh(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let began = Instant::now();
    let (mut watch, _) = agent.watch(&user, "watcher", 2);
    let last = watch.notified(&mut agent);
    let lived = began.elapsed();
    assert_eq!(state(&last).0, "terminated", "{last}");
    assert_eq!(tests::conversation::state_param(&last, "reason").as_deref(), Some("timeout"), "{last}");
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&lived), "{lived:?}");
    let again = watch.again(&agent, 60);
    let answer = agent.ask(&again);
    assert_eq!(answer.code(), 481, "{answer}");
}
