//! The other event packages over the wire: waiting messages at baresip, and who watches whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tests::office::{LIMIT, Office, host};
use tests::{Baresip, Sipp, Transport, schema_faults, until};
use wire::watcher_info::{self, Event, Status, WatcherInfo};

/// How often baresip is started anew because it subscribes without a pause.
const ATTEMPTS: u32 = 20;

#[test]
fn baresip_learns_that_messages_wait_and_that_none_do() {
    let office = Office::new("messages");
    let _offhook = office.offhook(&office.configuration(""));
    let told = (0..ATTEMPTS).any(|_| is_told_of_messages(&office));
    assert!(told, "baresip subscribes to its messages without a pause, {ATTEMPTS} times out of {ATTEMPTS}");
}

/// Somebody leaves a message and takes it back; whether baresip stayed sane meanwhile.
fn is_told_of_messages(office: &Office) -> bool {
    let phone = Baresip::with_waiting_messages(office, host::PHONE, "john.doe", "jane.roe", Transport::Udp);
    let shows = |what: &str, fits: &dyn Fn(&str) -> bool| {
        until(what, LIMIT, || if phone.runs_wild() { Some(false) } else { fits(&phone.shown()).then_some(true) })
    };
    if !shows("none wait", &|shown| shown.contains("Messages-Waiting: no")) {
        return false;
    }
    let keys = [("user", "john.doe")];
    let credentials = ["-d", "700", "-au", "john.doe", "-ap", "secret"];
    let mut publisher =
        office.sipp("message_publisher", Transport::Udp, host::PUBLISHER, host::OFFHOOK, &keys, &credentials);
    let waits = shows("two wait", &|shown| shown.contains("Voice-Message: 2/8 (0/2)"));
    publisher.succeed(LIMIT);
    let again = |shown: &str| {
        shown.rsplit_once("Messages-Waiting: yes").is_some_and(|(_, after)| after.contains("Messages-Waiting: no"))
    };
    waits && shows("none wait again", &again)
}

fn told(watcher: &Sipp) -> Vec<WatcherInfo> {
    watcher
        .notifies()
        .map(|notify| {
            assert_eq!(schema_faults(notify.body()), None, "{}", notify.text);
            watcher_info::read(notify.body().as_bytes()).expect(&notify.text)
        })
        .collect()
}

#[test]
fn whoever_is_watched_sees_the_watcher_come_and_go() {
    let office = Office::new("winfo");
    let _offhook = office.offhook(&office.configuration("[runtime]\nworkers = 2\n"));
    let of_winfo = [("event", "presence.winfo"), ("type", "application/watcherinfo+xml")];
    let keys = [[("presentity", "john.doe"), ("watcher", "john.doe")], of_winfo].concat();
    let credentials = ["-au", "john.doe", "-ap", "secret"];
    let john = office.sipp("package_watcher", Transport::Udp, host::PHONE, host::OFFHOOK, &keys, &credentials);
    until("the first NOTIFY", LIMIT, || (!told(&john).is_empty()).then_some(()));
    let keys = [("presentity", "john.doe"), ("watcher", "jane.roe")];
    let credentials = ["-au", "jane.roe", "-ap", "secret"];
    let mut jane =
        office.sipp("watcher_leaves", Transport::Udp, host::WATCHES_JOHN, host::OFFHOOK, &keys, &credentials);
    jane.succeed(LIMIT);
    let all = until("the end", LIMIT, || {
        let all = told(&john);
        all.iter().any(|document| document.watchers.iter().any(|w| w.status == Status::Terminated)).then_some(all)
    });
    let mut seen = Vec::new();
    for (number, document) in (0..).zip(&all) {
        assert_eq!((document.version, document.full), (number, true));
        seen.extend(document.watchers.iter().map(|watcher| (watcher.uri.as_str(), watcher.status, watcher.event)));
    }
    let jane = "sip:jane.roe@sfb.example";
    assert_eq!(seen, [(jane, Status::Active, Event::Subscribe), (jane, Status::Terminated, Event::Timeout)]);
}
