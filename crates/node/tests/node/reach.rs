//! A presence server that was away: it is noticed, and what it may have forgotten is published anew at once.

use std::time::Duration;

use node::{Closed, Input};
use sip::transport::Transport;

use crate::world::{SERVER, World, header};

/// John and Jane talk, and both are published.
fn published(transport: Transport) -> World {
    let mut world = World::asking(transport);
    world.call();
    assert_eq!(accept(&mut world, 0), 2);
    world
}

/// The server takes every PUBLISH that has come, under tags of this round; how many.
fn accept(world: &mut World, round: u32) -> usize {
    let publishes = world.take_from(SERVER, "PUBLISH");
    for (number, publish) in publishes.iter().enumerate() {
        world.answer(publish, "200 OK", &format!("SIP-ETag: {round}-{number}\r\nExpires: 600\r\n"));
    }
    publishes.len()
}

/// For so long it is asked every 30 s, and answers.
fn answers(world: &mut World, seconds: u64) {
    for _ in 0..seconds / 30 {
        world.wait(Duration::from_secs(30));
        let asked = world.take_from(SERVER, "OPTIONS");
        assert_eq!(asked.len(), 1, "it is asked once in 30 s");
        world.answer(&asked[0], "200 OK", "");
    }
}

#[test]
fn a_server_that_was_silent_and_comes_back_gets_all_of_it_at_once() {
    let mut world = published(Transport::Udp);
    answers(&mut world, 120);
    assert!(world.take_from(SERVER, "PUBLISH").is_empty());
    // It dies, and forgets.
    world.wait(Duration::from_secs(30 + 33));
    let unheard = world.take_from(SERVER, "OPTIONS");
    assert!(!unheard.is_empty());
    assert!(world.take_from(SERVER, "PUBLISH").is_empty(), "nothing is tried while it is silent but to ask it");
    world.wait(Duration::from_secs(3));
    let asked = world.take_from(SERVER, "OPTIONS").pop().expect("it is asked again soon");
    world.answer(&asked, "200 OK", "");
    world.wait(Duration::from_millis(20));
    let refreshes = world.take_from(SERVER, "PUBLISH");
    assert_eq!(refreshes.len(), 2);
    for refresh in &refreshes {
        assert!(header(refresh, "SIP-If-Match").starts_with("0-"));
        world.answer(refresh, "412 Conditional Request Failed", "");
    }
    assert_eq!(accept(&mut world, 1), 2, "what it forgot is published anew");
    answers(&mut world, 60);
    world.hang_up();
    let removes = world.take_from(SERVER, "PUBLISH");
    assert!(removes.iter().all(|remove| header(remove, "SIP-If-Match").starts_with("1-")) && removes.len() == 2);
}

#[test]
fn it_is_asked_only_while_something_is_published_there() {
    let mut world = World::asking(Transport::Udp);
    world.wait(Duration::from_secs(120));
    assert!(world.take_from(SERVER, "OPTIONS").is_empty());
    let mut world = published(Transport::Udp);
    answers(&mut world, 60);
    world.hang_up();
    for remove in world.take_from(SERVER, "PUBLISH") {
        world.answer(&remove, "200 OK", "Expires: 0\r\n");
    }
    world.wait(Duration::from_secs(300));
    assert!(world.take_from(SERVER, "OPTIONS").is_empty());
}

#[test]
fn one_answer_that_is_lost_while_others_come_is_no_silence() {
    let mut world = World::asking(Transport::Udp);
    world.call();
    let publishes = world.take_from(SERVER, "PUBLISH");
    world.answer(&publishes[0], "200 OK", "SIP-ETag: a\r\nExpires: 600\r\n");
    answers(&mut world, 30);
    world.wait(Duration::from_secs(3));
    // The other one has timed out, and is repeated; the first one is left alone.
    world.wait(Duration::from_secs(2));
    let mut users: Vec<String> =
        world.take_from(SERVER, "PUBLISH").iter().map(|publish| header(publish, "To").to_owned()).collect();
    users.dedup();
    assert_eq!(users, [header(&publishes[1], "To")]);
}

#[test]
fn a_connection_that_is_gone_is_made_anew_at_once_but_not_taken_for_a_restart_each_time() {
    let mut world = published(Transport::Tcp);
    let close = |world: &mut World| {
        let id = world.connected.pop().expect("a connection");
        world.handle(Input::StreamClosed { id, why: Closed::ByPeer });
    };
    close(&mut world);
    let asked = world.take_from(SERVER, "OPTIONS");
    assert_eq!((asked.len(), world.connected.len()), (1, 1), "it is asked at once, over a new connection");
    world.answer(&asked[0], "200 OK", "");
    world.wait(Duration::from_millis(20));
    assert_eq!(accept(&mut world, 1), 2);
    close(&mut world);
    assert!(world.take_from(SERVER, "OPTIONS").is_empty());
    answers(&mut world, 30);
    assert!(world.take_from(SERVER, "PUBLISH").is_empty());
}

#[test]
fn a_server_that_supersedes_knows_us_by_the_same_instance_after_a_restart() {
    let instance = |publish: &str| -> String {
        let contact = header(publish, "Contact");
        let (_, instance) = contact.split_once(";+sip.instance=").unwrap_or_else(|| panic!("{contact}"));
        assert!(instance.starts_with("\"<urn:uuid:") && instance.ends_with(">\""), "{instance}");
        assert_eq!(
            (instance.len(), instance.get(25..26), instance.matches('-').count()),
            (49, Some("4"), 4),
            "{instance}"
        );
        instance.to_owned()
    };
    let mut world = World::asking(Transport::Udp);
    world.call();
    let before = world.take_from(SERVER, "PUBLISH");
    world.crash();
    world.call();
    let after = world.take_from(SERVER, "PUBLISH");
    let all: Vec<String> = before.iter().chain(&after).map(|publish| instance(publish)).collect();
    assert!(all.len() >= 4 && all.iter().all(|one| *one == all[0]), "{all:?}");
}
