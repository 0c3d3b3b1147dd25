//! Busy lamps over the wire: SIPp as a desk phone whose keys show what a colleague's phones do. The baresip and the linphone of
//! Debian 12 know no package `dialog`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use tests::office::{LIMIT, Office, host};
use tests::{Logged, Sipp, Transport, schema_faults, until};
use wire::dialog_info::{self, Dialog, DialogInfo, Direction, Event, State};

/// What a lamp may wait for at most.
const SOON: Duration = Duration::from_secs(1);

/// Max may take the calls of both.
const GROUP: &str = r#"
[[user]]
uri = "sip:max@sfb.example"
password_file = "password"

[[watch_rule]]
presentity = "*@sfb.example"
watcher = "sip:max@sfb.example"
action = "allow"
details = true
"#;

/// A key that shows what `presentity` does; the first NOTIFY is there.
fn lamp(office: &Office, presentity: &str, watcher: &str, at: u8, transport: Transport) -> Sipp {
    let of_dialog = [("event", "dialog"), ("type", "application/dialog-info+xml")];
    let keys = [[("presentity", presentity), ("watcher", watcher)], of_dialog].concat();
    let sipp = office.sipp("package_watcher", transport, at, host::OFFHOOK, &keys, &["-au", watcher, "-ap", "secret"]);
    until("the first NOTIFY", LIMIT, || (!shown(&sipp).is_empty()).then_some(()));
    sipp
}

/// What a lamp was told so far, and when.
fn shown(lamp: &Sipp) -> Vec<(Duration, DialogInfo)> {
    let notifies = lamp.notifies();
    notifies.map(|message| (message.at, dialog_info::read(message.body().as_bytes()).expect(&message.text))).collect()
}

/// When a lamp first showed a dialog that has come so far, and the dialog.
fn reached(lamp: &Sipp, state: State) -> Option<(Duration, Dialog)> {
    let mut all = shown(lamp).into_iter().flat_map(|(at, document)| document.dialogs.into_iter().map(move |d| (at, d)));
    all.find(|(_, dialog)| dialog.state == state)
}

/// Full state in every document, valid, numbered one after the other; and after all nothing is left.
fn assert_documents_are_right(lamp: &Sipp) {
    for notify in lamp.notifies() {
        assert_eq!(schema_faults(notify.body()), None, "{}", notify.text);
    }
    for (number, (_, document)) in (0..).zip(shown(lamp)) {
        assert_eq!((document.version, document.full), (number, true));
    }
    let states: Vec<State> = shown(lamp).iter().flat_map(|(_, d)| d.dialogs.iter().map(|d| d.state)).collect();
    assert!(states.is_sorted(), "they only move forward: {states:?}");
    assert_eq!(states.iter().filter(|state| **state == State::Terminated).count(), 1, "the end is told once");
}

fn tag(message: &Logged, header: &str) -> Option<String> {
    Some(message.header(header)?.split_once(";tag=")?.1.to_owned())
}

fn lamps_follow_a_call(test: &str, more: &str, transport: Transport) {
    let office = Office::new(test);
    let _offhook = office.offhook(&office.configuration(&format!("{more}{GROUP}")));
    let johns = lamp(&office, "john.doe", "jane.roe", host::WATCHES_JOHN, transport);
    let janes = lamp(&office, "jane.roe", "john.doe", host::WATCHES_JANE, transport);
    let group = [
        lamp(&office, "john.doe", "max", host::PHONE, transport),
        lamp(&office, "jane.roe", "max", host::OTHER_PHONE, transport),
    ];
    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "1000"]);
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    let ringing = callee.message(|message| !message.received && message.answers("INVITE", 180)).unwrap().at;
    let answered = callee.message(|message| !message.received && message.answers("INVITE", 200)).unwrap().at;
    let ended = caller.message(|message| !message.received && message.is("BYE")).unwrap().at;
    let moments = [(State::Early, ringing), (State::Confirmed, answered), (State::Terminated, ended)];
    for (lamp, direction) in [(&johns, Direction::Initiator), (&janes, Direction::Recipient)] {
        for (state, since) in moments {
            let (at, dialog) = until("the lamp", LIMIT, || reached(lamp, state));
            let late = at.saturating_sub(since);
            assert!(late <= SOON, "{state:?} is shown {late:?} late");
            let plain = Dialog { id: dialog.id.clone(), state, direction: Some(direction), ..Dialog::default() };
            assert_eq!(dialog, plain, "nothing else shows");
        }
        assert_documents_are_right(lamp);
    }
    let sent = caller.message(|message| !message.received && message.is("INVITE")).unwrap();
    let rang = callee.message(|message| message.received && message.is("INVITE")).unwrap();
    let ok = callee.message(|message| !message.received && message.answers("INVITE", 200)).unwrap();
    let expected = [
        (sent.header("Call-ID"), tag(&sent, "From"), "sip:jane.roe@sfb.example"),
        (rang.header("Call-ID"), tag(&ok, "To"), "sip:john.doe@sfb.example"),
    ];
    for (lamp, (call_id, local_tag, remote)) in group.iter().zip(expected) {
        let (_, dialog) = until("the lamp", LIMIT, || reached(lamp, State::Confirmed));
        assert_eq!((dialog.call_id.as_deref(), dialog.local_tag), (call_id, local_tag), "the phone's own names");
        assert_eq!(dialog.remote.identity.as_deref(), Some(remote));
        assert!(dialog.remote_tag.is_some());
        until("the end", LIMIT, || reached(lamp, State::Terminated));
        assert_documents_are_right(lamp);
    }
}

#[test]
fn lamps_follow_a_call_over_udp() {
    lamps_follow_a_call("lamps-udp", "", Transport::Udp);
}

#[test]
fn lamps_follow_a_call_over_tcp() {
    lamps_follow_a_call("lamps-tcp", "", Transport::Tcp);
}

#[test]
fn lamps_follow_a_call_whichever_worker_its_users_and_watchers_are_with() {
    lamps_follow_a_call("lamps-of-three", "[runtime]\nworkers = 3\n", Transport::Udp);
}

#[test]
fn a_call_that_is_cancelled_or_refused_rings_and_is_over() {
    for (caller, callee, event) in [("cancels", "cancelled", Event::Cancelled), ("refused", "busy", Event::Rejected)] {
        let office = Office::new(&format!("lamps-{callee}"));
        let _offhook = office.offhook(&office.configuration(GROUP));
        let lamp = lamp(&office, "jane.roe", "max", host::WATCHES_JANE, Transport::Udp);
        let mut callee = office.sipp(callee, Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
        let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
        let mut caller = office.sipp(caller, Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
        caller.succeed(LIMIT);
        callee.succeed(LIMIT);
        let (_, over) = until("the end", LIMIT, || reached(&lamp, State::Terminated));
        assert_eq!((over.event, over.direction), (Some(event), Some(Direction::Recipient)));
        assert!(reached(&lamp, State::Confirmed).is_none(), "nobody answered");
        assert_documents_are_right(&lamp);
    }
}

#[test]
fn a_call_that_only_the_phone_knows_is_shown_as_long_as_it_says_so() {
    let office = Office::new("lamps-published");
    let _offhook = office.offhook(&office.configuration(GROUP));
    let plain = lamp(&office, "john.doe", "jane.roe", host::WATCHES_JOHN, Transport::Udp);
    let group = lamp(&office, "john.doe", "max", host::WATCHES_JANE, Transport::Udp);
    let keys = [("user", "john.doe"), ("callid", "internal@pbx"), ("localtag", "l1")];
    let credentials = ["-d", "700", "-au", "john.doe", "-ap", "secret"];
    let mut publisher =
        office.sipp("dialog_publisher", Transport::Udp, host::PUBLISHER, host::OFFHOOK, &keys, &credentials);
    let (_, seen) = until("the lamp", LIMIT, || reached(&plain, State::Confirmed));
    assert_eq!((seen.direction, seen.call_id, seen.local), (Some(Direction::Recipient), None, Dialog::default().local));
    let (_, seen) = until("the lamp", LIMIT, || reached(&group, State::Confirmed));
    assert_eq!(seen.call_id.as_deref(), Some("internal@pbx"));
    assert_eq!(seen.local.params, [("+sip.rendering".to_owned(), "no".to_owned())], "it is held");
    assert_eq!(seen.remote.display.as_deref(), Some("Some One"));
    publisher.succeed(LIMIT);
    for lamp in [&plain, &group] {
        until("the end", LIMIT, || reached(lamp, State::Terminated));
        assert_documents_are_right(lamp);
    }
}
