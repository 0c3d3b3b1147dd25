//! Who may watch whom, and lists, at a running Offhook with foreign watchers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tests::office::{LIMIT, Office, host};
use tests::{Logged, Seen, Sipp, Transport, until};

/// What a watcher may wait for at most.
const SOON: Duration = Duration::from_secs(1);

const EVE: &str = "[[user]]\nuri = \"sip:eve@elsewhere.example\"\npassword_file = \"password\"\n";

fn rule(presentity: &str, watcher: &str, action: &str) -> String {
    format!("[[watch_rule]]\npresentity = \"{presentity}\"\nwatcher = \"{watcher}\"\naction = \"{action}\"\n")
}

/// The Subscription-States that a watcher was told, with whether the document shows somebody on the phone. What comes a
/// second time, because its answer was late, is told once.
fn states(watcher: &Sipp) -> Vec<(String, bool)> {
    let mut notifies: Vec<Logged> = watcher.notifies().collect();
    notifies.dedup_by(|again, first| again.text == first.text);
    let state = |notify: &Logged| notify.header("Subscription-State").unwrap_or_default().to_owned();
    notifies.iter().map(|notify| (state(notify), Seen::read(notify.body()).on_the_phone)).collect()
}

fn told(watcher: &Sipp, what: &str) {
    until(what, LIMIT, || states(watcher).last().is_some_and(|(state, _)| state.starts_with(what)).then_some(()));
}

#[test]
fn a_stranger_gets_one_answer_for_who_is_there_and_for_who_is_not() {
    let office = Office::new("stranger");
    let _offhook = office.offhook(&office.configuration(EVE));
    let ask = |presentity: &str, at| {
        let keys = [("presentity", presentity), ("watcher", "eve"), ("home", "elsewhere.example")];
        let credentials = ["-au", "eve", "-ap", "secret"];
        let mut eve = office.sipp("watcher_refused", Transport::Udp, at, host::OFFHOOK, &keys, &credentials);
        eve.succeed(LIMIT);
        let refusal = eve.message(|message| message.received && message.answers("SUBSCRIBE", 403)).unwrap();
        // What remains when everything is left out that the request itself brought.
        let own = |line: &&str| !["Via", "From", "To", "Call-ID"].iter().any(|name| line.starts_with(name));
        refusal.text.lines().filter(own).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(ask("john.doe", host::WATCHES_JOHN), ask("nobody", host::WATCHES_JANE));
}

#[test]
fn rules_decide_and_new_rules_reach_who_is_watching() {
    let office = Office::new("rules");
    let jane = "sip:jane.roe@sfb.example";
    let john = "sip:john.doe@sfb.example";
    let configuration = |rules: &str| office.configuration(rules);
    let mut offhook = office.offhook(&configuration(&rule(john, jane, "confirm")));
    let watcher = office.watcher("john.doe", "jane.roe", host::WATCHES_JOHN, host::OFFHOOK);
    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "6000"]);
    until("the call", LIMIT, || caller.message(|message| message.received && message.answers("INVITE", 200)));
    assert_eq!(states(&watcher).len(), 1, "nobody has decided, and nothing is shown of the call");
    assert!(states(&watcher)[0].0.starts_with("pending") && !states(&watcher)[0].1);

    assert_eq!(offhook.reload(&configuration(&rule(john, jane, "allow"))), "configuration reloaded: 2 users");
    told(&watcher, "active");
    until("the call is shown", LIMIT, || states(&watcher).last().unwrap().1.then_some(()));

    offhook.reload(&configuration(&rule(john, jane, "block")));
    told(&watcher, "terminated;reason=rejected");
    assert!(!states(&watcher).last().unwrap().1, "the last document shows nothing");
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
}

/// What a list's watcher knows of each member: the newest document.
fn members(watcher: &Sipp) -> BTreeMap<String, Option<String>> {
    let mut known = BTreeMap::new();
    for notify in watcher.notifies() {
        assert_eq!(notify.header("Require"), Some("eventlist"));
        let body = notify.body();
        for resource in body.split("<resource uri=\"").skip(1) {
            let (uri, rest) = resource.split_once('"').unwrap();
            let rest = rest.split("</resource>").next().unwrap();
            let cid = rest.split("cid=\"").nth(1).and_then(|cid| cid.split('"').next());
            let document = cid.map(|cid| {
                let (_, part) = body.split_once(&format!("Content-ID: <{cid}>")).expect("the part");
                let start = part.find("<?xml").expect("a document");
                let end = part.find("</presence>").expect("its end");
                part[start..end].to_owned() + "</presence>"
            });
            if document.is_some() {
                known.insert(uri.to_owned(), document);
            } else {
                known.entry(uri.to_owned()).or_default();
            }
        }
    }
    known
}

fn on_the_phone(watcher: &Sipp, uri: &str) -> Option<bool> {
    members(watcher).get(uri)?.as_deref().map(|document| Seen::read(document).on_the_phone)
}

fn a_list_is_watched(test: &str, transport: Transport, members_of: usize, more: &str) {
    let office = Office::new(test);
    let mut section = String::from("[[list]]\nuri = \"sip:team@sfb.example\"\nmembers = [\"sip:john.doe@sfb.example\"");
    for number in 1..members_of {
        let _ = write!(section, ", \"sip:user{number:04}@sfb.example\"");
    }
    section.push_str("]\n");
    let _offhook = office.offhook(&office.configuration(&format!("{section}{more}")));
    let keys = [("presentity", "team"), ("watcher", "jane.roe")];
    let credentials = ["-au", "jane.roe", "-ap", "secret"];
    let watcher = office.sipp("list_watcher", transport, host::WATCHES_JOHN, host::OFFHOOK, &keys, &credentials);
    until("all members", LIMIT, || {
        let known = members(&watcher);
        (known.len() == members_of && known.values().all(Option::is_some)).then_some(())
    });
    assert_eq!(on_the_phone(&watcher, "sip:john.doe@sfb.example"), Some(false));
    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "somebody")];
    let mut caller = office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "1500"]);
    until("on the phone", LIMIT, || (on_the_phone(&watcher, "sip:john.doe@sfb.example") == Some(true)).then_some(()));
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    until("clear", LIMIT, || (on_the_phone(&watcher, "sip:john.doe@sfb.example") == Some(false)).then_some(()));
    let answered = callee.message(|message| !message.received && message.answers("INVITE", 200)).unwrap().at;
    let lit = watcher.notifies().find(|notify| notify.body().contains("on-the-phone")).expect("such a NOTIFY");
    let late = lit.at.saturating_sub(answered);
    assert!(late <= SOON, "shown {late:?} after the answer");
    assert!(lit.body().contains("fullState=\"false\""), "only what has changed is told");
}

#[test]
fn a_list_of_a_thousand_is_watched_by_one_subscription_over_tcp() {
    a_list_is_watched("list-tcp", Transport::Tcp, 1_000, "");
}

#[test]
fn a_list_is_watched_over_udp_by_who_has_no_tcp() {
    a_list_is_watched("list-udp", Transport::Udp, 100, "");
}

#[test]
fn a_list_is_watched_whichever_workers_its_members_are_with() {
    a_list_is_watched("list-workers", Transport::Tcp, 100, "[runtime]\nworkers = 3\n");
}

#[test]
fn a_list_that_comes_with_the_request_is_watched() {
    let office = Office::new("list-sent");
    let _offhook = office.offhook(&office.configuration(""));
    let keys = [("presentity", "john.doe"), ("watcher", "jane.roe")];
    let credentials = ["-au", "jane.roe", "-ap", "secret"];
    let watcher = office.sipp("list_sender", Transport::Tcp, host::WATCHES_JOHN, host::OFFHOOK, &keys, &credentials);
    let uris = ["sip:john.doe@sfb.example", "sip:jane.roe@sfb.example"];
    until("both members", LIMIT, || uris.iter().all(|uri| on_the_phone(&watcher, uri) == Some(false)).then_some(()));
    assert_eq!(members(&watcher).len(), 2);
}
