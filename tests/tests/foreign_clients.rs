//! Our presence server, other people's clients: SIPp, baresip and linphone watch, publish and call at Offhook.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use tests::office::{LIMIT, Office, host, told, told_after};
use tests::{Baresip, Linphone, Logged, Seen, Sipp, Transport, schema_faults, until};

/// What a watcher may wait for at most.
const SOON: Duration = Duration::from_secs(1);

/// Every document that a watcher was sent is valid, and the last one of nobody on the phone shows no activity at all.
fn assert_documents_are_valid(watcher: &Sipp) {
    let notifies: Vec<Logged> = watcher.notifies().collect();
    assert!(!notifies.is_empty());
    for notify in notifies {
        assert_eq!(schema_faults(notify.body()), None, "{}", notify.text);
        let seen = Seen::read(notify.body());
        assert!(seen.is_on_the_phone() || !seen.on_the_phone, "on the phone and closed at once:\n{}", notify.text);
    }
}

#[test]
fn a_call_lights_and_clears_for_watchers_at_offhook() {
    lights_and_clears("own-presence", "");
}

#[test]
fn a_call_lights_and_clears_whichever_worker_its_users_and_watchers_are_with() {
    lights_and_clears("own-presence-of-three", "[runtime]\nworkers = 3\n");
}

fn lights_and_clears(test: &str, more: &str) {
    let office = Office::new(test);
    let _offhook = office.offhook(&office.configuration(more));
    let watchers = [
        office.watcher("john.doe", "jane.roe", host::WATCHES_JOHN, host::OFFHOOK),
        office.watcher("jane.roe", "john.doe", host::WATCHES_JANE, host::OFFHOOK),
    ];
    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "1500"]);
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    let answered = callee.message(|message| !message.received && message.answers("INVITE", 200)).unwrap().at;
    let ended = caller.message(|message| !message.received && message.is("BYE")).unwrap().at;
    for watcher in &watchers {
        let lit = until("on the phone", LIMIT, || told_after(watcher, answered, Seen::is_on_the_phone));
        let cleared = until("clear", LIMIT, || told_after(watcher, ended, |seen| !seen.on_the_phone));
        assert!(lit <= SOON, "shown {lit:?} after the answer");
        assert!(cleared <= SOON, "clear {cleared:?} after the BYE");
        assert_documents_are_valid(watcher);
    }
}

fn a_watcher_refreshes_and_leaves(test: &str, transport: Transport) {
    let office = Office::new(test);
    let _offhook = office.offhook(&office.configuration(""));
    let keys = [("presentity", "john.doe"), ("watcher", "jane.roe")];
    let credentials = ["-au", "jane.roe", "-ap", "secret"];
    let mut watcher = office.sipp("watcher_leaves", transport, host::WATCHES_JOHN, host::OFFHOOK, &keys, &credentials);
    watcher.succeed(LIMIT);
    let states: Vec<String> =
        watcher.notifies().map(|message| message.header("Subscription-State").unwrap_or_default().to_owned()).collect();
    assert_eq!(states.len(), 3, "{states:?}");
    assert!(states[0].starts_with("active") && states[1].starts_with("active"), "{states:?}");
    assert!(states[2].starts_with("terminated"), "{states:?}");
}

#[test]
fn a_watcher_at_offhook_refreshes_and_leaves_over_udp() {
    a_watcher_refreshes_and_leaves("watcher-leaves-udp", Transport::Udp);
}

#[test]
fn a_watcher_at_offhook_refreshes_and_leaves_over_tcp() {
    a_watcher_refreshes_and_leaves("watcher-leaves-tcp", Transport::Tcp);
}

#[test]
fn a_foreign_publisher_lights_and_clears_for_a_watcher_at_offhook() {
    let office = Office::new("foreign-publisher");
    let _offhook = office.offhook(&office.configuration(""));
    let watcher = office.watcher("john.doe", "jane.roe", host::WATCHES_JOHN, host::OFFHOOK);
    let credentials = ["-d", "700", "-au", "john.doe", "-ap", "secret"];
    let keys = [("user", "john.doe")];
    let mut publisher =
        office.sipp("publisher_digest", Transport::Udp, host::PUBLISHER, host::OFFHOOK, &keys, &credentials);
    until("on the phone", LIMIT, || told(&watcher, Seen::is_on_the_phone));
    publisher.succeed(LIMIT);
    until("clear", LIMIT, || (!watcher.notified().last()?.1.on_the_phone).then_some(()));
    assert_documents_are_valid(&watcher);
}

#[test]
fn a_registered_phone_is_called_and_shown() {
    let office = Office::new("registered");
    let more = "[[route]]\nfrom = \"caller\"\ncallee = \"^jane\"\nto = \"registered\"\n";
    let configuration = office.configuration(more).replacen("[[route]]\nfrom = \"caller\"\nto   = \"callee\"\n", "", 1);
    let _offhook = office.offhook(&configuration);
    let watcher = office.watcher("jane.roe", "john.doe", host::WATCHES_JANE, host::OFFHOOK);
    let credentials = ["-au", "jane.roe", "-ap", "secret"];
    let keys = [("user", "jane.roe")];
    let mut register = office.sipp("register", Transport::Udp, host::PHONE, host::OFFHOOK, &keys, &credentials);
    register.succeed(LIMIT);
    let mut phone = office.sipp("callee", Transport::Udp, host::PHONE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "700"]);
    caller.succeed(LIMIT);
    phone.succeed(LIMIT);
    until("on the phone", LIMIT, || told(&watcher, Seen::is_on_the_phone));
    until("clear", LIMIT, || (!watcher.notified().last()?.1.on_the_phone).then_some(()));
}

#[test]
fn two_baresip_phones_register_watch_each_other_and_call() {
    let office = Office::new("baresip");
    let _offhook = office.offhook(&office.configuration(""));
    let start = |at, user, colleague, transport| Baresip::start(&office, at, user, colleague, transport);
    let john = start(host::PHONE, "john.doe", "jane.roe", Transport::Udp);
    let jane = start(host::OTHER_PHONE, "jane.roe", "john.doe", Transport::Tcp);
    let shows = |phone: &Baresip, what: &str| {
        until(&format!("baresip shows `{what}`"), LIMIT, || phone.shown().contains(what).then_some(()));
    };
    for phone in [&john, &jane] {
        shows(phone, "NOTIFY sip:");
    }
    john.command("dial", "sip:jane.roe@sfb.example");
    for phone in [&john, &jane] {
        shows(phone, "Call established");
        shows(phone, "to Busy");
    }
    john.command("hangup", "");
    for phone in [&john, &jane] {
        let what = "free again";
        until(what, LIMIT, || phone.shown().rsplit_once("to Busy")?.1.contains("from Busy").then_some(()));
    }
}

#[test]
fn linphone_registers_and_watches_a_call() {
    let office = Office::new("linphone");
    let _offhook = office.offhook(&office.configuration(""));
    let jane = Linphone::start(&office, host::PHONE, "jane.roe", "john.doe", Transport::Udp);
    until("the first NOTIFY", LIMIT, || (!jane.notified().is_empty()).then_some(()));
    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "1057")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "1000"]);
    until("on the phone", LIMIT, || jane.notified().iter().any(Seen::is_on_the_phone).then_some(()));
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    until("clear", LIMIT, || (!jane.notified().last()?.on_the_phone).then_some(()));
}
