//! The package `dialog` (RFC 4235): what a lamp is told of the calls that the node sees, and of those that phones publish.

use std::sync::Arc;
use std::time::Duration;

use presence::server::authorization::{Action, Pattern, Rule, Rules};
use presence::server::{CallDialog, Identity, Settings};
use sip::Aor;
use wire::dialog_info::{self, Dialog, DialogInfo, Direction, Event, Participant, State};

use crate::world::{JOHN, Notify, Outcome, Watcher, World, header, jane, john, publisher};

const EVENT: &str = "Event: dialog";
const TYPE: &str = "Content-Type: application/dialog-info+xml";

/// What Jane may see of John.
fn rules(action: Action) -> Arc<Rules> {
    let pattern = |text| Pattern::parse(text).unwrap();
    let (presentity, watcher) = (pattern(JOHN), pattern("sip:jane@sfb.example"));
    Arc::new([Rule { presentity, watcher, action, details: false }].into_iter().collect())
}

/// A world in which Max is in John's pickup group, and Jane is not.
fn world() -> World {
    let pattern = |text| Pattern::parse(text).unwrap();
    let (presentity, watcher) = (pattern(JOHN), pattern("sip:max@sfb.example"));
    let group = Rule { presentity, watcher, action: Action::Allow, details: true };
    let domains = vec!["sfb.example".into()];
    World::with(Settings { domains, rules: Arc::new([group].into_iter().collect()), ..Settings::default() })
}

fn max() -> Identity {
    Identity { user: Aor::parse("sip:max@sfb.example"), ..Identity::default() }
}

/// Somebody watches John's dialogs, and has taken the first NOTIFY.
fn watch(world: &mut World, who: &Identity) -> (Watcher, DialogInfo) {
    let outcome = world.subscribe_with(who, None, &[EVENT, "Expires: 3600"]);
    assert_eq!(outcome.response.code, 200);
    let watcher = world.watcher(&outcome);
    (watcher, taken(world, &outcome.notifies))
}

fn read(notify: &Notify) -> DialogInfo {
    assert_eq!(notify.header("Content-Type").unwrap(), "application/dialog-info+xml");
    let document = dialog_info::read(notify.body().as_bytes()).unwrap();
    assert!(document.full, "{}", notify.body());
    assert_eq!(document.entity, JOHN);
    document
}

/// The one NOTIFY, answered.
fn taken(world: &mut World, notifies: &[Notify]) -> DialogInfo {
    assert_eq!(notifies.len(), 1);
    assert!(world.answer(notifies[0].key, 200, &[]).is_empty());
    read(&notifies[0])
}

/// A call that comes to John, as far as this.
fn call(state: State) -> CallDialog {
    let mut call = CallDialog::new(Direction::Recipient);
    call.dialog.state = state;
    call.dialog.call_id = Some("leg@node".into());
    call.dialog.remote_tag = Some("ours".into());
    call.dialog.local_tag = (state > State::Trying).then(|| "johns".into());
    call.dialog.remote.identity = Some("sip:jane@sfb.example".into());
    call.dialog.remote.target = Some("sip:jane@sfb.example".into());
    call
}

fn over(event: Event) -> CallDialog {
    let mut call = call(State::Terminated);
    (call.dialog.event, call.dialog.code) = (Some(event), Some(487));
    call
}

fn publish(world: &mut World, dialogs: &[Dialog], more: &[&str]) -> Outcome {
    let body = String::from_utf8(dialog_info::write(JOHN, dialogs)).unwrap();
    let headers = [&[EVENT, TYPE, "Expires: 600"], more].concat();
    let outcome = world.publish(&john(), JOHN, &headers, &body);
    assert_eq!(outcome.response.code, 200);
    outcome
}

fn states(document: &DialogInfo) -> Vec<State> {
    document.dialogs.iter().map(|dialog| dialog.state).collect()
}

#[test]
fn a_lamp_follows_a_call_from_the_first_ring_to_the_end() {
    let mut world = world();
    let (_, first) = watch(&mut world, &jane());
    assert_eq!((first.version, first.dialogs.len()), (0, 0));
    let mut ids = Vec::new();
    for (version, state) in [(1, State::Trying), (2, State::Early), (3, State::Confirmed)] {
        let told = world.tell(1, call(state), false);
        let document = taken(&mut world, &told);
        assert_eq!((document.version, states(&document)), (version, vec![state]));
        assert_eq!(document.dialogs[0].direction, Some(Direction::Recipient));
        ids.push(document.dialogs[0].id.clone());
    }
    let told = world.tell(1, over(Event::RemoteBye), true);
    let document = taken(&mut world, &told);
    assert_eq!((document.version, states(&document)), (4, vec![State::Terminated]));
    ids.push(document.dialogs[0].id.clone());
    assert!(ids.iter().all(|id| *id == ids[0]), "one id for its whole life: {ids:?}");
}

#[test]
fn what_has_ended_is_told_once_to_each_watcher_and_then_dropped() {
    let mut world = world();
    let (mut first, _) = watch(&mut world, &jane());
    let told = world.tell(1, call(State::Confirmed), false);
    taken(&mut world, &told);
    let told = world.tell(1, over(Event::LocalBye), true);
    assert_eq!(states(&taken(&mut world, &told)), [State::Terminated]);
    first.cseq += 1;
    let again = world.subscribe_with(&jane(), Some(&first), &[EVENT, "Expires: 3600"]);
    let document = taken(&mut world, &again.notifies);
    assert_eq!((document.version, document.dialogs.len()), (3, 0), "a refresh brings the full state");
    let (_, late) = watch(&mut world, &max());
    assert_eq!((late.version, late.dialogs.len()), (0, 0), "who comes later knows nothing of it");
}

#[test]
fn a_watcher_that_is_slow_learns_of_every_end_it_has_missed() {
    let mut world = world();
    let outcome = world.subscribe_with(&jane(), None, &[EVENT, "Expires: 3600"]);
    let first = outcome.notifies[0].key;
    assert!(world.tell(1, call(State::Confirmed), false).is_empty(), "one NOTIFY at a time");
    let known = world.answer(first, 200, &[]);
    assert_eq!(states(&read(&known[0])), [State::Confirmed]);
    // While that is on its way the call ends, and another one comes.
    assert!(world.tell(1, over(Event::RemoteBye), true).is_empty());
    let other =
        CallDialog { dialog: Dialog { call_id: Some("other".into()), ..call(State::Early).dialog }, private: false };
    assert!(world.tell(2, other, false).is_empty());
    let both = world.answer(known[0].key, 200, &[]);
    assert_eq!(states(&read(&both[0])), [State::Early, State::Terminated]);
    // This one is lost: the end is told again.
    assert!(world.fail(both[0].key).is_empty());
    let again = world.wait(Duration::from_secs(32));
    assert_eq!(states(&taken(&mut world, &again)), [State::Early, State::Terminated]);
}

#[test]
fn a_call_that_is_cancelled_or_refused_was_early_and_is_over() {
    for event in [Event::Cancelled, Event::Rejected] {
        let mut world = world();
        watch(&mut world, &max());
        let told = world.tell(1, call(State::Early), false);
        assert_eq!(states(&taken(&mut world, &told)), [State::Early]);
        let told = world.tell(1, over(event), true);
        let document = taken(&mut world, &told);
        assert_eq!((document.dialogs[0].state, document.dialogs[0].event), (State::Terminated, Some(event)));
    }
}

#[test]
fn only_a_pickup_group_sees_with_whom_and_by_what_name() {
    let mut world = world();
    let (..) = watch(&mut world, &jane());
    let told = world.tell(1, call(State::Early), false);
    let document = taken(&mut world, &told);
    let seen = &document.dialogs[0];
    let plain =
        Dialog { id: seen.id.clone(), direction: Some(Direction::Recipient), state: State::Early, ..Dialog::default() };
    assert_eq!(*seen, plain);
    assert!(!told[0].body().contains("jane@sfb.example") && !told[0].body().contains("leg@node"));
    let (_, document) = watch(&mut world, &max());
    let seen = &document.dialogs[0];
    assert_eq!(seen.call_id.as_deref(), Some("leg@node"));
    assert_eq!((seen.local_tag.as_deref(), seen.remote_tag.as_deref()), (Some("johns"), Some("ours")));
    assert_eq!(seen.remote.identity.as_deref(), Some("sip:jane@sfb.example"));
    assert_eq!(seen.local.identity.as_deref(), Some(JOHN));
    assert_eq!(seen.id, plain.id, "one dialog, one id, whoever watches");
}

#[test]
fn what_a_lamp_may_not_see_does_not_make_it_blink() {
    let mut world = world();
    watch(&mut world, &jane());
    watch(&mut world, &max());
    let told = world.tell(1, call(State::Early), false);
    assert_eq!(told.len(), 2);
    for notify in &told {
        world.answer(notify.key, 200, &[]);
    }
    let mut renamed = call(State::Early);
    renamed.dialog.remote.display = Some("Jane Roe".into());
    let told = world.tell(1, renamed, false);
    assert_eq!(told.len(), 1, "only Max sees a difference");
    assert!(told[0].body().contains("Jane Roe"));
}

#[test]
fn a_private_call_never_shows_its_party() {
    let mut world = world();
    let (..) = watch(&mut world, &max());
    let told = world.tell(1, CallDialog { private: true, ..call(State::Early) }, false);
    let document = taken(&mut world, &told);
    assert_eq!(document.dialogs[0].remote, Participant::default());
    assert_eq!(document.dialogs[0].call_id.as_deref(), Some("leg@node"), "it can be picked up");
    // What the phone publishes of the same call does not change that.
    let published = publish(&mut world, &[call(State::Early).dialog], &[]);
    assert!(published.notifies.is_empty());
}

#[test]
fn a_dialog_that_the_node_sees_and_the_phone_publishes_is_one() {
    let mut world = world();
    watch(&mut world, &max());
    let told = world.tell(1, call(State::Early), false);
    taken(&mut world, &told);
    let mut phones = Dialog { id: "17".into(), remote: Participant::default(), ..call(State::Early).dialog };
    phones.local.target = Some("sip:john@192.0.2.7".into());
    phones.local.params = vec![("+sip.rendering".into(), "no".into())];
    let published = publish(&mut world, &[phones.clone()], &[]);
    let tag = header(&published.response.headers, "SIP-ETag").unwrap();
    let document = taken(&mut world, &published.notifies);
    assert_eq!(states(&document), [State::Early]);
    let one = &document.dialogs[0];
    assert_eq!(one.remote.identity.as_deref(), Some("sip:jane@sfb.example"), "from the node");
    assert_eq!(one.local.target.as_deref(), Some("sip:john@192.0.2.7"), "from the phone");
    assert_eq!(one.local.params.len(), 1);
    // The call has ended; what the phone still says does not bring it back.
    let told = world.tell(1, over(Event::RemoteBye), true);
    assert_eq!(states(&taken(&mut world, &told)), [State::Terminated]);
    phones.state = State::Confirmed;
    let again = publish(&mut world, &[phones], &[&format!("SIP-If-Match: {tag}")]);
    assert!(again.notifies.is_empty(), "no confirmed after terminated");
}

#[test]
fn states_only_move_forward() {
    let mut world = world();
    watch(&mut world, &jane());
    let told = world.tell(1, call(State::Confirmed), false);
    taken(&mut world, &told);
    assert!(world.tell(1, call(State::Early), false).is_empty());
    let published = publish(&mut world, &[Dialog { state: State::Trying, ..call(State::Trying).dialog }], &[]);
    assert!(published.notifies.is_empty());
}

#[test]
fn a_call_whose_user_was_none_for_a_while_is_told_anew_and_ends_once() {
    let mut world = world();
    watch(&mut world, &jane());
    let told = world.tell(1, call(State::Confirmed), false);
    let first = taken(&mut world, &told);
    // The user leaves by a new configuration, which the call does not mind, and comes back by the next.
    let told = world.tell(1, over(Event::LocalBye), true);
    assert_eq!(states(&taken(&mut world, &told)), [State::Terminated]);
    let told = world.tell(1, call(State::Confirmed), false);
    let back = taken(&mut world, &told);
    assert_eq!(states(&back), [State::Confirmed]);
    assert_ne!(back.dialogs[0].id, first.dialogs[0].id, "what has terminated does not live again");
    let told = world.tell(1, over(Event::RemoteBye), true);
    let end = taken(&mut world, &told);
    assert_eq!((states(&end), &end.dialogs[0].id), (vec![State::Terminated], &back.dialogs[0].id));
    let (_, late) = watch(&mut world, &max());
    assert_eq!(late.dialogs.len(), 0);
}

#[test]
fn a_publication_that_runs_out_takes_its_dialogs_along() {
    let mut world = world();
    watch(&mut world, &jane());
    let one = Dialog { id: "1".into(), state: State::Confirmed, ..Dialog::default() };
    let other = Dialog { id: "2".into(), state: State::Early, ..Dialog::default() };
    let published = publish(&mut world, &[one, other], &[]);
    let ids: Vec<String> = taken(&mut world, &published.notifies).dialogs.into_iter().map(|d| d.id).collect();
    assert_ne!(ids[0], ids[1]);
    let expired = world.wait(Duration::from_secs(601));
    let document = taken(&mut world, &expired);
    assert_eq!(states(&document), [State::Terminated; 2]);
    assert_eq!(document.dialogs.iter().map(|d| d.id.clone()).collect::<Vec<_>>(), ids);
}

#[test]
fn dialogs_of_a_phone_that_names_no_calls_are_told_apart_by_its_own_names() {
    let mut world = world();
    watch(&mut world, &jane());
    let one = Dialog { id: "1".into(), state: State::Confirmed, ..Dialog::default() };
    let first = publish(&mut world, std::slice::from_ref(&one), &[]);
    let tag = header(&first.response.headers, "SIP-ETag").unwrap();
    let first = taken(&mut world, &first.notifies);
    let ended = Dialog { state: State::Terminated, ..one.clone() };
    let second = publish(&mut world, &[ended], &[&format!("SIP-If-Match: {tag}")]);
    let tag = header(&second.response.headers, "SIP-ETag").unwrap();
    assert_eq!(states(&taken(&mut world, &second.notifies)), [State::Terminated]);
    let third = publish(&mut world, &[one], &[&format!("SIP-If-Match: {tag}")]);
    let third = taken(&mut world, &third.notifies);
    assert_eq!(states(&third), [State::Confirmed], "the name was given to another call");
    assert_ne!(third.dialogs[0].id, first.dialogs[0].id);
}

#[test]
fn what_is_told_of_somebody_that_nobody_watches_is_there_for_who_comes_and_is_forgotten_after() {
    let mut world = world();
    assert!(world.tell(1, call(State::Confirmed), false).is_empty());
    let (_, document) = watch(&mut world, &jane());
    assert_eq!(states(&document), [State::Confirmed]);
    let mut world = self::world();
    world.tell(1, call(State::Early), false);
    world.tell(1, over(Event::Cancelled), true);
    let (_, document) = watch(&mut world, &jane());
    assert_eq!(document.dialogs, []);
}

#[test]
fn more_calls_at_once_than_anybody_has_are_not_all_told() {
    let mut world = world();
    for number in 0..100 {
        let mut one = call(State::Early);
        one.dialog.call_id = Some(format!("call{number}"));
        world.tell(number, one, false);
    }
    let (mut watcher, document) = watch(&mut world, &max());
    assert_eq!(document.dialogs.len(), presence::server::limits::DIALOGS);
    // One that stands is among them, and stays when the others end.
    let mut one = call(State::Confirmed);
    one.dialog.call_id = Some("stands".into());
    let told = world.tell(100, one, false);
    assert!(states(&taken(&mut world, &told)).contains(&State::Confirmed));
    // One whose place that took is answered.
    let mut displaced = call(State::Confirmed);
    displaced.dialog.call_id = Some(format!("call{}", presence::server::limits::DIALOGS - 1));
    let number = u64::try_from(presence::server::limits::DIALOGS - 1).unwrap();
    let told = world.tell(number, displaced, false);
    let up = states(&taken(&mut world, &told)).into_iter().filter(|state| *state == State::Confirmed);
    assert_eq!(up.count(), 2);
    for number in 0..100 {
        let mut one = over(Event::Cancelled);
        one.dialog.call_id = Some(format!("call{number}"));
        for notify in world.tell(number, one, true) {
            world.answer(notify.key, 200, &[]);
        }
    }
    watcher.cseq += 1;
    let again = world.subscribe_with(&max(), Some(&watcher), &[EVENT, "Expires: 3600"]);
    assert_eq!(states(&taken(&mut world, &again.notifies)), [State::Confirmed]);
}

#[test]
fn what_would_make_a_document_invalid_or_too_long_is_left_out() {
    let mut world = world();
    let mut odd = call(State::Early).dialog;
    odd.remote.identity = Some("not a URI at all <>".into());
    odd.local_tag = Some("t".repeat(5000));
    publish(&mut world, &[odd], &[]);
    let (_, document) = watch(&mut world, &max());
    assert_eq!(document.dialogs[0].remote.identity, None);
    assert_eq!(document.dialogs[0].local_tag, None);
    let refused = world.publish(&john(), JOHN, &[EVENT, TYPE], "<presence/>");
    assert_eq!(refused.response.code, 400);
    let many = vec![Dialog { id: "x".into(), ..Dialog::default() }; 65];
    let body = String::from_utf8(dialog_info::write(JOHN, &many)).unwrap();
    assert_eq!(world.publish(&john(), JOHN, &[EVENT, TYPE], &body).response.code, 413);
}

#[test]
fn after_a_restart_published_dialogs_are_told_under_the_same_id_and_a_higher_number_and_the_node_s_own_are_gone() {
    let mut world = world();
    watch(&mut world, &jane());
    let phones = Dialog { id: "17".into(), call_id: Some("internal".into()), state: State::Early, ..Dialog::default() };
    let published = publish(&mut world, &[phones], &[]);
    let before = taken(&mut world, &published.notifies);
    let told = world.tell(1, call(State::Confirmed), false);
    assert_eq!(taken(&mut world, &told).dialogs.len(), 2);
    world.restart(Duration::ZERO);
    let told = world.wait(Duration::from_secs(1));
    let after = taken(&mut world, &told);
    assert_eq!(after.dialogs, before.dialogs);
    assert!(after.version > 2, "{}", after.version);
    let told = world.tell(1, call(State::Early), false);
    let next = taken(&mut world, &told);
    assert_eq!((next.version, next.dialogs.len()), (after.version + 1, 2));
}

#[test]
fn nobody_can_tell_from_the_ids_that_two_users_are_in_one_dialog() {
    let mut world = world();
    let pbx = publisher("pbx");
    let mut ids = Vec::new();
    for user in [JOHN, "sip:bob@sfb.example"] {
        let dialog =
            Dialog { id: "1".into(), call_id: Some("one@pbx".into()), state: State::Confirmed, ..Dialog::default() };
        let body = String::from_utf8(dialog_info::write(user, &[dialog])).unwrap();
        assert_eq!(world.publish(&pbx, user, &[EVENT, TYPE, "Expires: 600"], &body).response.code, 200);
        let outcome = world.subscribe_to(user, &jane(), &[EVENT, "Expires: 3600"]);
        ids.push(dialog_info::read(outcome.notifies[0].body().as_bytes()).unwrap().dialogs[0].id.clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn the_device_of_a_phone_with_an_address_of_ipv_6_is_told() {
    let mut world = world();
    watch(&mut world, &max());
    let target = Some("sip:john@[2001:db8::1]:5060".to_owned());
    let local = Participant { target: target.clone(), ..Participant::default() };
    let dialog = Dialog { id: "1".into(), call_id: Some("a".into()), state: State::Early, local, ..Dialog::default() };
    let published = publish(&mut world, &[dialog], &[]);
    assert_eq!(taken(&mut world, &published.notifies).dialogs[0].local.target, target);
}

#[test]
fn what_ended_while_a_watcher_saw_nothing_is_not_told_when_it_sees_again() {
    let mut world = world();
    watch(&mut world, &jane());
    let told = world.tell(1, call(State::Confirmed), false);
    taken(&mut world, &told);
    let told = world.configure(rules(Action::PoliteBlock), |who| Some(who.clone()));
    assert_eq!(taken(&mut world, &told).dialogs, []);
    assert!(world.tell(1, over(Event::LocalBye), true).is_empty());
    assert!(world.tell(2, call(State::Confirmed), false).is_empty());
    assert!(world.tell(2, over(Event::LocalBye), true).is_empty());
    let told = world.configure(rules(Action::Allow), |who| Some(who.clone()));
    assert_eq!(taken(&mut world, &told).dialogs, []);
}
