//! Bugs that presence servers in the field have had, each by its public thread, and that this one does not have.

use std::time::Duration;

use presence::server::CallDialog;
use wire::dialog_info::{self, Dialog, Direction, State};

use crate::world::{JOHN, Notify, World, header, jane, john, on_the_phone, online};

const DIALOG: [&str; 2] = ["Event: dialog", "Expires: 3600"];

fn states(notify: &Notify) -> Vec<State> {
    let document = dialog_info::read(notify.body().as_bytes()).unwrap();
    document.dialogs.iter().map(|dialog| dialog.state).collect()
}

/// Jane watches John's dialogs.
fn lamp() -> World {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &DIALOG);
    world.answer(outcome.notifies[0].key, 200, &[]);
    world
}

fn dialog(id: &str, state: State) -> Dialog {
    let mut dialog = CallDialog::new(Direction::Recipient).dialog;
    (dialog.id, dialog.state) = (id.into(), state);
    dialog.call_id = Some(format!("{id}@phone"));
    (dialog.local_tag, dialog.remote_tag) = (Some("l".into()), Some("r".into()));
    dialog
}

/// John's phone publishes all that it has, under the tag before where there is one; the new tag, and what Jane is shown.
fn publish(world: &mut World, dialogs: &[Dialog], tag: Option<&str>) -> (String, Vec<Vec<State>>) {
    let body = String::from_utf8(dialog_info::write(JOHN, dialogs)).unwrap();
    let condition = tag.map(|tag| format!("SIP-If-Match: {tag}"));
    let mut headers = vec!["Event: dialog", "Content-Type: application/dialog-info+xml", "Expires: 600"];
    headers.extend(condition.as_deref());
    let outcome = world.publish(&john(), JOHN, &headers, &body);
    assert_eq!(outcome.response.code, 200);
    let mut shown = Vec::new();
    let mut notifies = outcome.notifies;
    while let Some(notify) = notifies.pop() {
        shown.push(states(&notify));
        notifies.extend(world.answer(notify.key, 200, &[]));
    }
    (header(&outcome.response.headers, "SIP-ETag").unwrap(), shown)
}

/// One NOTIFY that timed out deleted the subscription; the lamp was dead until the phone subscribed anew.
/// <https://github.com/OpenSIPS/opensips/issues/380>
#[test]
fn opensips_380_a_lost_notify_leaves_the_subscription_and_the_newest_state_follows() {
    for refused in [None, Some(408)] {
        let mut world = World::new();
        world.subscribe();
        let outcome = world.publish(&john(), JOHN, &["Event: presence", crate::world::PIDF], &on_the_phone());
        let key = outcome.notifies[0].key;
        match refused {
            None => assert!(world.fail(key).is_empty()),
            Some(code) => assert!(world.answer(key, code, &[]).is_empty()),
        }
        assert_eq!(world.server.subscriptions(), 1);
        let again = world.wait(Duration::from_secs(32));
        assert!(again[0].body().contains("on-the-phone"));
    }
}

/// A late `early` arrived after `terminated`, and the button went on blinking.
/// <https://github.com/kamailio/kamailio/issues/3192>
#[test]
fn kamailio_3192_early_does_not_overtake_terminated() {
    let mut world = lamp();
    let (tag, shown) = publish(&mut world, &[dialog("1", State::Early)], None);
    assert_eq!(shown, [[State::Early]]);
    let (tag, shown) = publish(&mut world, &[dialog("1", State::Terminated)], Some(&tag));
    assert_eq!(shown, [[State::Terminated]]);
    // It comes under the newest tag, and as a publication of its own.
    let (_, shown) = publish(&mut world, &[dialog("1", State::Early)], Some(&tag));
    assert!(shown.iter().flatten().all(|state| *state == State::Terminated), "{shown:?}");
    let (_, shown) = publish(&mut world, &[dialog("1", State::Early)], None);
    assert!(shown.iter().flatten().all(|state| *state == State::Terminated), "{shown:?}");
}

/// `terminated` was turned into `confirmed` by a request that crossed it; the user was busy until the server's restart.
/// <https://github.com/kamailio/kamailio/issues/3229>
#[test]
fn kamailio_3229_terminated_never_turns_into_confirmed() {
    let mut world = lamp();
    let (tag, _) = publish(&mut world, &[dialog("1", State::Confirmed)], None);
    let (tag, shown) = publish(&mut world, &[dialog("1", State::Terminated)], Some(&tag));
    assert_eq!(shown, [[State::Terminated]]);
    let (_, shown) = publish(&mut world, &[dialog("1", State::Confirmed)], Some(&tag));
    assert!(shown.iter().flatten().all(|state| *state == State::Terminated), "{shown:?}");
    // Whoever looks now sees nobody busy.
    let fetch = world.subscribe_with(&jane(), None, &["Event: dialog", "Expires: 0"]);
    assert!(states(&fetch.notifies[0]).iter().all(|state| *state == State::Terminated));
}

/// An attended transfer is two dialogs of one user, of which first one ends and then the other: the state came out wrong.
/// <https://github.com/kamailio/kamailio/issues/1427>
#[test]
fn kamailio_1427_of_the_two_dialogs_of_an_attended_transfer_each_has_a_state_of_its_own() {
    let mut world = lamp();
    let (first, second) = (|state| dialog("held", state), |state| dialog("asked", state));
    let (tag, _) = publish(&mut world, &[first(State::Confirmed)], None);
    let (tag, shown) = publish(&mut world, &[first(State::Confirmed), second(State::Early)], Some(&tag));
    assert_eq!(sorted(&shown), [State::Early, State::Confirmed]);
    let (tag, shown) = publish(&mut world, &[first(State::Confirmed), second(State::Confirmed)], Some(&tag));
    assert_eq!(sorted(&shown), [State::Confirmed, State::Confirmed]);
    // The transfer: one is gone, and the user is busy with the other until that is gone too.
    let (tag, shown) = publish(&mut world, &[first(State::Terminated), second(State::Confirmed)], Some(&tag));
    assert_eq!(sorted(&shown), [State::Confirmed, State::Terminated]);
    let (_, shown) = publish(&mut world, &[second(State::Terminated)], Some(&tag));
    assert_eq!(sorted(&shown), [State::Terminated]);
    let fetch = world.subscribe_with(&jane(), None, &["Event: dialog", "Expires: 0"]);
    assert!(states(&fetch.notifies[0]).iter().all(|state| *state == State::Terminated));
}

fn sorted(shown: &[Vec<State>]) -> Vec<State> {
    let mut last = shown.last().expect("a NOTIFY").clone();
    last.sort_unstable();
    last
}

/// CSeq of NOTIFY was made from the date: on New Year's Day, and after a restart, it went backwards, and phones dropped
/// what they were told. <https://github.com/signalwire/freeswitch/pull/3056>
#[test]
fn freeswitch_3056_the_cseq_of_notify_goes_upward_across_restarts() {
    let mut world = World::new();
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 86400"]);
    let mut cseq = outcome.notifies[0].cseq();
    world.answer(outcome.notifies[0].key, 200, &[]);
    let mut told = 0;
    for year in 0..4u64 {
        for notify in world.restart(Duration::from_secs(1)) {
            told += 1;
            assert!(notify.cseq() > cseq, "after restart {year}: {} after {cseq}", notify.cseq());
            cseq = notify.cseq();
            world.answer(notify.key, 200, &[]);
        }
        let body = if year % 2 == 0 { on_the_phone() } else { online() };
        let outcome = world.publish(&john(), JOHN, &["Event: presence", crate::world::PIDF, "Expires: 60"], &body);
        for notify in outcome.notifies {
            told += 1;
            assert!(notify.cseq() > cseq, "{} after {cseq}", notify.cseq());
            cseq = notify.cseq();
            world.answer(notify.key, 200, &[]);
        }
        for notify in world.wait(Duration::from_secs(100)) {
            told += 1;
            assert!(notify.cseq() > cseq);
            cseq = notify.cseq();
            world.answer(notify.key, 200, &[]);
        }
    }
    assert!(told >= 8, "{told} NOTIFYs");
    assert_eq!(world.server.subscriptions(), 1);
}
