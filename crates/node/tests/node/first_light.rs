//! A call lights the lamp: the whole node in virtual time, between two peers and a presence server made of text.

use std::time::Duration;

use crate::world::{CALLEE, CALLER, SERVER, World, header, place};

#[test]
fn the_page_is_what_leaves_when_a_call_is_answered() {
    let mut world = World::new();
    world.call();
    let publishes = world.take("PUBLISH");
    assert_eq!(publishes.len(), 2, "one for each party");
    let john = publishes.iter().find(|p| p.contains("PUBLISH sip:john.doe@sfb.example SIP/2.0\r\n")).expect("John's");
    assert_eq!(header(john, "To"), "<sip:john.doe@sfb.example>");
    assert!(header(john, "From").starts_with("<sip:john.doe@sfb.example>;tag="));
    assert_eq!(header(john, "CSeq"), "1 PUBLISH");
    assert_eq!(header(john, "Event"), "presence");
    assert_eq!(header(john, "Expires"), "600");
    assert_eq!(header(john, "Content-Type"), "application/pidf+xml");
    assert_eq!(header(john, "Max-Forwards"), "70");
    assert!(header(john, "Contact").starts_with("<sip:john.doe@"));
    assert!(!john.contains("SIP-If-Match"));
    let body = john.split("\r\n\r\n").nth(1).expect("a body");
    assert_eq!(header(john, "Content-Length"), body.len().to_string());
    assert_eq!(squeezed(body), squeezed(include_str!("page.xml")));
}

#[test]
fn a_call_that_ends_takes_the_lamp_back_with_the_newest_tag() {
    let mut world = World::new();
    world.call();
    let publishes = world.take("PUBLISH");
    for publish in &publishes {
        world.answer(publish, "200 OK", "SIP-ETag: 2545777538-1-1\r\nExpires: 600\r\n");
    }
    let mut refreshed = 0;
    for _ in 0..511 {
        world.wait(Duration::from_secs(1));
        for refresh in world.take("PUBLISH") {
            refreshed += 1;
            assert_eq!(header(&refresh, "SIP-If-Match"), "2545777538-1-1");
            assert_eq!(header(&refresh, "Expires"), "600");
            assert_eq!(header(&refresh, "Content-Length"), "0");
            world.answer(&refresh, "200 OK", "SIP-ETag: 2545777538-1-2\r\nExpires: 600\r\n");
        }
    }
    assert_eq!(refreshed, 2);
    world.hang_up();
    let removes = world.take("PUBLISH");
    assert_eq!(removes.len(), 2);
    for remove in &removes {
        assert_eq!(header(remove, "SIP-If-Match"), "2545777538-1-2");
        assert_eq!(header(remove, "Expires"), "0");
        assert_eq!(header(remove, "Content-Length"), "0");
        world.answer(remove, "200 OK", "SIP-ETag: gone\r\nExpires: 0\r\n");
    }
    world.wait(Duration::from_secs(3600));
    assert!(world.take("PUBLISH").is_empty());
    assert!(world.node.is_idle(), "nothing is left behind");
    assert!(world.store.is_empty(), "no record is left: {:?}", world.store);
}

#[test]
fn each_refresh_of_a_two_hour_call_leaves_300_to_510_seconds_after_the_last() {
    let mut world = World::new();
    world.call();
    let mut sent: std::collections::BTreeMap<String, (std::time::Instant, String)> = std::collections::BTreeMap::new();
    let mut number = 0;
    let end = world.now + Duration::from_secs(7200);
    while world.now < end {
        for publish in world.take("PUBLISH") {
            let user = header(&publish, "To").to_owned();
            if let Some((at, tag)) = sent.get(&user) {
                let gap = world.now - *at;
                assert!((300..=510).contains(&gap.as_secs()), "{gap:?}");
                assert_eq!(header(&publish, "SIP-If-Match"), tag, "the chain is unbroken");
            }
            number += 1;
            let tag = format!("tag-{number}");
            world.answer(&publish, "200 OK", &format!("SIP-ETag: {tag}\r\nExpires: 600\r\n"));
            sent.insert(user, (world.now, tag));
        }
        world.wait(Duration::from_secs(1));
    }
    assert!(number >= 2 * 15);
}

#[test]
fn nothing_of_one_side_shows_on_the_other() {
    let mut world = World::new();
    world.call();
    for (there, secret) in [(CALLEE, "192.0.2.10"), (CALLEE, "secret-call-id"), (CALLER, "192.0.2.20")] {
        for message in world.seen.iter().filter(|seen| seen.to == there).map(|seen| &seen.text) {
            assert!(!message.contains(secret), "{secret} in\n{message}");
        }
    }
}

#[test]
fn a_cancelled_call_publishes_nothing() {
    let mut world = World::new();
    world.invite();
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    world.answer_as(CALLEE, &invite, "180 Ringing", "");
    world.cancel();
    let cancel = world.take_from(CALLEE, "CANCEL");
    assert_eq!(cancel.len(), 1);
    world.answer_as(CALLEE, &cancel[0], "200 OK", "");
    world.answer_as(CALLEE, &invite, "487 Request Terminated", "");
    world.wait(Duration::from_secs(60));
    assert!(world.take("PUBLISH").is_empty());
    assert!(world.node.is_idle());
}

#[test]
fn what_another_version_of_the_program_wrote_is_reported_and_never_misread() {
    let mut world = World::new();
    world.call();
    let records: Vec<Vec<u8>> = world.store.keys().filter(|key| key.contains(&b'/')).cloned().collect();
    assert_eq!(records.len(), 3, "a call and two publications");
    for key in &records {
        let value = world.store.get_mut(key).unwrap();
        assert_eq!(value[0], node::FORM);
        value[0] += 1;
    }
    world.take("");
    world.crash();
    assert!(world.take("").is_empty(), "nobody hears of calls that may be none");
    let lost = world.reports.iter().filter(|report| report.ends_with("cannot be read")).count();
    assert_eq!((lost, world.node.load().calls), (3, 0));
    assert!(records.iter().all(|key| !world.store.contains_key(key)), "they are told of once");
}

#[test]
fn after_a_crash_both_legs_are_hung_up_and_the_tags_removed() {
    let mut world = World::new();
    world.call();
    for publish in world.take("PUBLISH") {
        world.answer(&publish, "200 OK", "SIP-ETag: kept\r\nExpires: 600\r\n");
    }
    world.crash();
    assert_eq!(world.take_from(CALLER, "BYE").len(), 1);
    assert_eq!(world.take_from(CALLEE, "BYE").len(), 1);
    let removes = world.take_from(SERVER, "PUBLISH");
    assert_eq!(removes.len(), 2);
    for remove in &removes {
        assert_eq!(header(remove, "SIP-If-Match"), "kept");
        assert_eq!(header(remove, "Expires"), "0");
        world.answer(remove, "200 OK", "Expires: 0\r\n");
    }
    world.wait(Duration::from_secs(120));
    assert!(world.store.is_empty(), "settled: {:?}", world.store);
    assert!(world.node.is_idle());
}

/// The XML without the white space between elements.
fn squeezed(xml: &str) -> String {
    let lines: Vec<&str> = xml.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").replace("> <", "><")
}

#[test]
fn a_call_that_is_cancelled_while_its_way_is_looked_up_never_leaves() {
    let mut world = World::with_callee_at("pbx.sfb.example");
    world.invite();
    let (id, host) = world.asked.remove(0);
    assert_eq!(host, "pbx.sfb.example");
    world.cancel();
    assert_eq!(world.take_from(CALLER, "SIP/2.0 200").len(), 1, "the CANCEL is answered");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 487").len(), 1, "and so is the INVITE");
    world.handle(node::Input::Answer { id, answer: node::Answer::Places(vec![place(CALLEE)]) });
    world.wait(Duration::from_secs(40));
    assert!(world.take_from(CALLEE, "INVITE").is_empty());
    assert!(world.node.is_idle());
}
