//! The package `presence.winfo` (RFC 3857): whoever is watched sees by whom.

use std::sync::Arc;
use std::time::Duration;

use presence::server::authorization::{Action, Pattern, Rule, Rules};
use presence::server::{Identity, Settings};
use sip::Aor;
use wire::watcher_info::{self, Event, Status, WatcherInfo};

use crate::world::{JOHN, Notify, Watcher, World, header, jane, john, publisher};

const EVENT: &str = "Event: presence.winfo";

fn rule(action: Action) -> Rule {
    let pattern = |text| Pattern::parse(text).unwrap();
    Rule { presentity: pattern(JOHN), watcher: pattern(JANE), action, details: false }
}

fn rules(action: Action) -> Arc<Rules> {
    Arc::new([rule(action)].into_iter().collect())
}

fn world(action: Action) -> World {
    World::with(Settings { domains: vec!["sfb.example".into()], rules: rules(action), ..Settings::default() })
}

fn watch(world: &mut World, who: &Identity) -> (Watcher, WatcherInfo) {
    let outcome = world.subscribe_with(who, None, &[EVENT, "Expires: 3600"]);
    assert_eq!(outcome.response.code, 200);
    let watcher = world.watcher(&outcome);
    (watcher, taken(world, &outcome.notifies))
}

/// The NOTIFY of this package, answered; those of others are left.
fn taken(world: &mut World, notifies: &[Notify]) -> WatcherInfo {
    let of_winfo = |notify: &&Notify| notify.header("Event").unwrap() == "presence.winfo";
    let of_winfo: Vec<&Notify> = notifies.iter().filter(of_winfo).collect();
    assert_eq!(of_winfo.len(), 1);
    assert_eq!(of_winfo[0].header("Content-Type").unwrap(), "application/watcherinfo+xml");
    world.answer(of_winfo[0].key, 200, &[]);
    let document = watcher_info::read(of_winfo[0].body().as_bytes()).unwrap();
    assert_eq!((document.resource.as_str(), document.package.as_str(), document.full), (JOHN, "presence", true));
    document
}

fn watchers(document: &WatcherInfo) -> Vec<(&str, Status, Event)> {
    document.watchers.iter().map(|w| (w.uri.as_str(), w.status, w.event)).collect()
}

const JANE: &str = "sip:jane@sfb.example";

#[test]
fn somebody_who_is_watched_sees_a_watcher_come_and_go() {
    let mut world = world(Action::Allow);
    let (_, first) = watch(&mut world, &john());
    assert_eq!((first.version, watchers(&first)), (0, vec![]));
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let mut her = world.watcher(&came);
    let document = taken(&mut world, &came.notifies);
    assert_eq!((document.version, watchers(&document)), (1, vec![(JANE, Status::Active, Event::Subscribe)]));
    let id = document.watchers[0].id.clone();
    her.cseq += 1;
    let refreshed = world.subscribe_with(&jane(), Some(&her), &["Event: presence", "Expires: 3600"]);
    assert!(refreshed.notifies.iter().all(|n| n.header("Event").unwrap() == "presence"), "a refresh is no news");
    her.cseq += 1;
    let left = world.subscribe_with(&jane(), Some(&her), &["Event: presence", "Expires: 0"]);
    let document = taken(&mut world, &left.notifies);
    assert_eq!((document.version, watchers(&document)), (2, vec![(JANE, Status::Terminated, Event::Timeout)]));
    assert_eq!(document.watchers[0].id, id);
    let (_, later) = watch(&mut world, &john());
    assert_eq!(watchers(&later), [], "that was told once");
}

#[test]
fn who_watches_already_is_in_the_first_document() {
    let mut world = world(Action::Allow);
    world.subscribe();
    let (_, first) = watch(&mut world, &john());
    assert_eq!(watchers(&first), [(JANE, Status::Active, Event::Subscribe)]);
}

#[test]
fn who_looks_only_once_is_seen() {
    let mut world = world(Action::Allow);
    watch(&mut world, &john());
    let looked = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 0"]);
    assert_eq!(watchers(&taken(&mut world, &looked.notifies)), [(JANE, Status::Terminated, Event::Timeout)]);
}

#[test]
fn a_watcher_that_waits_for_a_decision_is_pending_and_then_active() {
    let mut world = world(Action::Confirm);
    watch(&mut world, &john());
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let document = taken(&mut world, &came.notifies);
    assert_eq!(watchers(&document), [(JANE, Status::Pending, Event::Subscribe)]);
    let allowed = world.configure(rules(Action::Allow), |who| Some(who.clone()));
    assert_eq!(watchers(&taken(&mut world, &allowed)), [(JANE, Status::Active, Event::Approved)]);
    let blocked = world.configure(rules(Action::Block), |who| Some(who.clone()));
    assert_eq!(watchers(&taken(&mut world, &blocked)), [(JANE, Status::Terminated, Event::Rejected)]);
}

#[test]
fn whoever_gives_up_before_a_decision_is_waiting_until_they_are_back() {
    let mut world = world(Action::Confirm);
    watch(&mut world, &john());
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 60"]);
    world.answer(came.notifies[0].key, 200, &[]);
    taken(&mut world, &came.notifies);
    let gone = world.wait(Duration::from_secs(61));
    assert_eq!(watchers(&taken(&mut world, &gone)), [(JANE, Status::Waiting, Event::Timeout)]);
    let back = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 60"]);
    assert_eq!(watchers(&taken(&mut world, &back.notifies)), [(JANE, Status::Pending, Event::Subscribe)]);
}

#[test]
fn whoever_left_before_a_decision_is_shown_to_who_was_not_there() {
    let mut world = world(Action::Confirm);
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 60"]);
    world.answer(came.notifies[0].key, 200, &[]);
    world.wait(Duration::from_secs(61));
    let (_, first) = watch(&mut world, &john());
    assert_eq!(watchers(&first), [(JANE, Status::Waiting, Event::Timeout)]);
    let allowed = world.configure(rules(Action::Allow), |who| Some(who.clone()));
    let document = taken(&mut world, &allowed);
    assert_eq!(watchers(&document), [(JANE, Status::Terminated, Event::Approved)]);
    assert_eq!(document.watchers[0].id, first.watchers[0].id);
    let (_, later) = watch(&mut world, &john());
    assert_eq!(watchers(&later), [], "that was told once");
}

#[test]
fn whoever_is_blocked_while_waiting_is_rejected() {
    let mut world = world(Action::Confirm);
    watch(&mut world, &john());
    let looked = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 0"]);
    assert_eq!(watchers(&taken(&mut world, &looked.notifies)), [(JANE, Status::Waiting, Event::Timeout)]);
    let again = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 0"]);
    assert_eq!(watchers(&taken(&mut world, &again.notifies)).len(), 1, "who comes again and again is one");
    let blocked = world.configure(rules(Action::Block), |who| Some(who.clone()));
    assert_eq!(watchers(&taken(&mut world, &blocked)), [(JANE, Status::Terminated, Event::Rejected)]);
    let told = world.configure(rules(Action::Confirm), |who| Some(who.clone()));
    assert!(told.is_empty());
}

/// What John is shown when Jane, whom his rule treats so, has answered a NOTIFY with 481.
fn after_jane_is_lost(action: Action) -> WatcherInfo {
    let mut world = world(action);
    watch(&mut world, &john());
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    taken(&mut world, &came.notifies);
    let hers = came.notifies.iter().find(|n| n.header("Event").unwrap() == "presence").unwrap();
    let lost = world.answer(hers.key, 481, &[]);
    taken(&mut world, &lost)
}

#[test]
fn a_watcher_that_is_lost_before_a_decision_waits() {
    assert_eq!(watchers(&after_jane_is_lost(Action::Confirm)), [(JANE, Status::Waiting, Event::Timeout)]);
}

#[test]
fn so_many_wait_to_watch_one_presentity() {
    use presence::server::limits::WAITING_PER_PRESENTITY as ROOM;
    let everyone = Rule { watcher: Pattern::Everyone, ..rule(Action::Confirm) };
    let rules = Arc::new([everyone].into_iter().collect());
    let mut world = World::with(Settings { domains: vec!["sfb.example".into()], rules, ..Settings::default() });
    for number in 0..=ROOM {
        let who = Identity { user: Aor::parse(&format!("sip:u{number}@sfb.example")), ..Identity::default() };
        world.subscribe_with(&who, None, &["Event: presence", "Expires: 0"]);
    }
    let (_, first) = watch(&mut world, &john());
    assert_eq!(first.watchers.len(), ROOM);
    assert_eq!(first.watchers[0].uri, "sip:u1@sfb.example", "the first has waited for longest");
}

#[test]
fn a_watcher_that_answers_481_has_ended() {
    assert_eq!(watchers(&after_jane_is_lost(Action::Allow)), [(JANE, Status::Terminated, Event::Timeout)]);
}

#[test]
fn nobody_else_sees_who_watches() {
    let mut world = world(Action::Allow);
    assert_eq!(world.subscribe_with(&jane(), None, &[EVENT]).response.code, 403, "whatever the rules say");
    let pbx = publisher("pbx");
    assert_eq!(world.subscribe_with(&pbx, None, &[EVENT]).response.code, 403, "nor if she is behind a peer");
    assert_eq!(world.subscribe_to(JANE, &pbx, &[EVENT]).response.code, 200, "of herself she does");
    let outcome = world.publish(&john(), JOHN, &[EVENT, "Content-Type: application/watcherinfo+xml"], "<watcherinfo/>");
    assert_eq!(outcome.response.code, 489);
    let deeper = world.subscribe_with(&john(), None, &["Event: presence.winfo.winfo"]);
    assert_eq!(deeper.response.code, 489);
    assert!(header(&deeper.response.headers, "Allow-Events").unwrap().contains("presence.winfo"));
}

#[test]
fn many_watchers_are_cut_off_where_the_document_would_not_fit() {
    let mut world = world(Action::Confirm);
    for _ in 0..300 {
        world.subscribe();
    }
    let (_, first) = watch(&mut world, &john());
    assert_eq!(first.watchers.len(), presence::server::limits::WATCHERS);
}

#[test]
fn after_a_restart_the_watchers_of_before_are_told() {
    let mut world = world(Action::Allow);
    watch(&mut world, &john());
    let came = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
    let before = taken(&mut world, &came.notifies);
    world.restart(Duration::ZERO);
    let told = world.wait(Duration::from_secs(1));
    let after = taken(&mut world, &told);
    assert_eq!(watchers(&after), watchers(&before));
    assert!(after.version > before.version);
}
