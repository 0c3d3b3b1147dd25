//! Lamps that others left lit, or put out, while a call went on.

use tests::agent::{QUIET, Received};
use tests::conversation::PIDF;
use tests::{Seen, until};

use crate::call::{Call, Ground};

const DIALOG_INFO: &str = "application/dialog-info+xml";

fn is_busy(notify: &Received) -> bool {
    Seen::read(&notify.body()).is_on_the_phone()
}

/// The states in a dialog document.
fn states(notify: &Received) -> Vec<String> {
    let body = notify.body();
    let mut found: Vec<String> =
        body.split("<state").skip(1).filter_map(|rest| Some(rest.split(['>', '<']).nth(1)?.to_owned())).collect();
    found.sort();
    found
}

/// Of one offer to two phones of a user the loser's CANCEL marked the user free, while they talked on the other.
/// <https://github.com/kamailio/kamailio/issues/2906>
#[test]
fn kamailio_2906_a_loser_s_cancel_does_not_mark_who_talks_free() {
    let ground = Ground::new("kamailio-2906", "");
    let (mut desk, mut pocket) = (ground.phone("jane.roe"), ground.phone("jane.roe"));
    let (mut caller, mut watcher) = (ground.known(), ground.known());
    let presence = Ground::watch(&mut watcher, "jane.roe", "presence", PIDF);
    let dialogs = Ground::watch(&mut watcher, "jane.roe", "dialog", DIALOG_INFO);
    let mut call = Call::begin(&mut caller, "somebody", "jane.roe");
    let invite = Call::ring(&mut desk, "jane.roe");
    let loser = Call::ring(&mut pocket, "jane.roe");
    call.answer(&mut desk, "jane.roe", &invite, &mut caller);
    let cancel = pocket.expect("CANCEL");
    pocket.answer(&cancel, 200, &[]);
    pocket.answer(&loser, 487, &[]);
    pocket.expect("ACK");
    presence.notified_of(&mut watcher, is_busy);
    assert!(presence.notified_within(&mut watcher, QUIET).is_none(), "and nothing says otherwise");
    let mut last = Vec::new();
    while let Some(notify) = dialogs.notified_within(&mut watcher, QUIET) {
        last = states(&notify);
    }
    assert!(last.contains(&"confirmed".to_owned()), "{last:?}");
    let (_, now) = watcher.watch("jane.roe", "other", 600);
    assert!(is_busy(&now), "{now}");
    call.end(&mut caller, &mut desk);
    presence.notified_of(&mut watcher, |notify| !Seen::read(&notify.body()).on_the_phone);
}

/// The node of a cluster that got the BYE had no entity-tag, and the lamp stayed lit.
/// <https://github.com/OpenSIPS/opensips/issues/3880>
#[test]
fn opensips_3880_a_bye_that_comes_to_another_worker_clears_the_lamp() {
    let ground = Ground::new("opensips-3880", "[runtime]\nworkers = 3\n");
    let mut phone = ground.phone("jane.roe");
    let mut watcher = ground.known();
    let presence = Ground::watch(&mut watcher, "jane.roe", "presence", PIDF);
    for _ in 0..4 {
        let mut caller = ground.known();
        let mut call = Call::begin(&mut caller, "john.doe", "jane.roe");
        let invite = Call::ring(&mut phone, "jane.roe");
        call.answer(&mut phone, "jane.roe", &invite, &mut caller);
        presence.notified_of(&mut watcher, is_busy);
        // From another port, as it comes by another way: the kernel gives it to any of the three.
        let mut elsewhere = ground.known();
        call.end(&mut elsewhere, &mut phone);
        presence.notified_of(&mut watcher, |notify| !Seen::read(&notify.body()).on_the_phone);
    }
}

/// After the hang-up presence was still up, or stuck at ringing, depending on where the database was.
/// <https://github.com/kamailio/kamailio/issues/2540>
#[test]
fn kamailio_2540_calls_that_follow_each_other_fast_leave_no_lamp_lit() {
    let ground = Ground::new("kamailio-2540", "");
    let mut phone = ground.phone("jane.roe");
    let (mut caller, mut watcher) = (ground.known(), ground.known());
    let dialogs = Ground::watch(&mut watcher, "jane.roe", "dialog", DIALOG_INFO);
    for round in 0..8 {
        let mut call = Call::begin(&mut caller, "somebody", "jane.roe");
        let invite = Call::ring(&mut phone, "jane.roe");
        if round % 2 == 0 {
            call.answer(&mut phone, "jane.roe", &invite, &mut caller);
            call.end(&mut caller, &mut phone);
        } else {
            phone.answer(&invite, 486, &[]);
            assert_eq!(call.answered(&mut caller).code(), 486);
        }
    }
    let mut last = Vec::new();
    while let Some(notify) = dialogs.notified_within(&mut watcher, QUIET) {
        last = states(&notify);
    }
    assert!(last.iter().all(|state| state == "terminated"), "{last:?}");
    until("nobody is busy", tests::office::LIMIT, || {
        let request = watcher.subscribe("jane.roe", "other", 0).header("Event", "dialog").header("Accept", DIALOG_INFO);
        let fetch = watcher.watch_by(&request, "jane.roe", "other");
        states(&fetch.notified(&mut watcher)).iter().all(|state| state == "terminated").then_some(())
    });
}
