//! Section 3.2: what a NOTIFY carries.

use tests::agent::Received;
use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, on_the_phone, online, state};
use tests::{Seen, rules, schema_faults};

pub(crate) const RULES: &[Rule] = rules![
    a_notify_names_the_package,
    a_notify_repeats_the_id_of_its_subscription,
    a_notify_of_a_subscription_without_id_has_none,
    a_notify_carries_the_whole_current_state,
    a_notify_with_a_body_says_its_type,
    the_document_is_of_the_presentity,
    the_document_is_valid_against_the_schemas,
];

fn a_notify_names_the_package(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert_eq!(package(&first), "presence", "{first}");
}

/// Section 4.2.1.1 stores it, section 8.2.1 compares it.
fn a_notify_repeats_the_id_of_its_subscription(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.subscribe(&user, "watcher", 60).header("Event", "presence;id=42");
    let watch = agent.watch_by(&request, &user, "watcher");
    let first = watch.notified(&mut agent);
    assert_eq!(id(&first).as_deref(), Some("42"), "{first}");
    agent.initial(&user, 60, &online(&user));
    let second = watch.notified(&mut agent);
    assert_eq!(id(&second).as_deref(), Some("42"), "{second}");
}

fn a_notify_of_a_subscription_without_id_has_none(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert_eq!(id(&first), None, "{first}");
}

/// Section 4.2.2: unless the package says otherwise, and RFC 3856 does not.
fn a_notify_carries_the_whole_current_state(peer: &Peer) {
    let (mut desk, mut pocket, user) = (peer.udp(), peer.udp(), peer.user());
    desk.initial(&user, 60, &online(&user));
    pocket.initial(&user, 60, &on_the_phone(&user));
    let (_, both) = desk.watch(&user, "watcher", 60);
    assert!(Seen::read(&both.body()).is_on_the_phone(), "{both}");
    assert_eq!(both.body().matches("<tuple").count(), 2, "{both}");
}

fn a_notify_with_a_body_says_its_type(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &online(&user));
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert_eq!(first.header("Content-Type").as_deref(), Some(PIDF), "{first}");
    assert_eq!(first.header("Content-Length"), Some(first.body().len().to_string()), "{first}");
}

/// RFC 3856 section 6.7 and RFC 3863 section 4.1.1.
fn the_document_is_of_the_presentity(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    agent.initial(&user, 60, &online(&user));
    let (_, first) = agent.watch(&user, "watcher", 60);
    assert!(first.body().contains(&format!("entity=\"sip:{user}@sfb.example\"")), "{first}");
}

fn the_document_is_valid_against_the_schemas(peer: &Peer) {
    let (mut desk, mut pocket, user) = (peer.udp(), peer.udp(), peer.user());
    // Two publications whose ids collide, as phones of one make publish them.
    desk.initial(&user, 60, &online(&user));
    pocket.initial(&user, 60, &on_the_phone(&user));
    let (_, document) = desk.watch(&user, "watcher", 60);
    assert_eq!(state(&document).0, "active", "{document}");
    assert_eq!(schema_faults(&document.body()), None, "{document}");
}

fn package(notify: &Received) -> String {
    let event = notify.header("Event").unwrap_or_else(|| panic!("no Event in:\n{notify}"));
    event.split(';').next().unwrap_or_default().trim().to_owned()
}

fn id(notify: &Received) -> Option<String> {
    let event = notify.header("Event")?;
    let mut params = event.split(';').skip(1).filter_map(|param| param.split_once('='));
    params.find(|(name, _)| name.trim().eq_ignore_ascii_case("id")).map(|(_, value)| value.trim().to_owned())
}
