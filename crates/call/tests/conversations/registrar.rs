//! Registering, as RFC 3261 section 10.3 has it.

use std::time::{Duration, Instant};

use call::registrar::{Input, Output, Registrar, Settings};
use sip::transaction::ServerKey;
use sip::{Aor, KeyedState, Random, Response};
use wire::sip::Message;

use crate::world::{flow, header};

struct World {
    registrar: Registrar,
    now: Instant,
    user: Aor,
}

impl World {
    fn new() -> Self {
        let mut random = Random::from_number(2);
        let now = Instant::now();
        let registrar = Registrar::new(Settings::default(), KeyedState::new(&mut random), now);
        Self { registrar, now, user: Aor::parse("sip:200@sbc.example").unwrap() }
    }

    fn register(&mut self, call_id: &str, cseq: u32, lines: &[&str]) -> Response {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let octets = format!(
            "REGISTER sip:sbc.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{cseq}\r\n\
             From: <sip:200@sbc.example>;tag=r\r\nTo: <sip:200@sbc.example>\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        let message = Message::parse(octets.as_bytes()).unwrap();
        message.check().unwrap();
        let (key, user) = (ServerKey::from(u64::from(cseq)), self.user.clone());
        self.registrar.handle(self.now, Input::Register { key, message: &message, flow: flow(7000), user });
        let Some(Output::Respond { key: answered, response }) = self.registrar.poll() else { panic!("no answer") };
        assert_eq!(answered, key);
        assert!(self.registrar.poll().is_none());
        response
    }

    fn contacts(&self) -> Vec<String> {
        self.registrar.bindings(self.now, &self.user).into_iter().map(|binding| binding.contact.into()).collect()
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.registrar.handle(self.now, Input::Timeout);
    }
}

fn listed(response: &Response) -> usize {
    String::from_utf8_lossy(response.headers.as_bytes()).matches("Contact: ").count()
}

#[test]
fn a_phone_registers_and_its_time_runs_out() {
    let mut world = World::new();
    let response = world.register("r", 1, &["Contact: <sip:200@192.0.2.11>", "Expires: 120"]);
    assert_eq!(response.code, 200);
    assert_eq!(header(&response.headers, "Contact").as_deref(), Some("<sip:200@192.0.2.11>;expires=120"));
    world.later(119);
    assert_eq!(world.contacts(), ["sip:200@192.0.2.11"]);
    world.later(1);
    assert!(world.contacts().is_empty());
    world.later(3600);
    assert_eq!(world.registrar.next_timeout(), None);
}

#[test]
fn a_refresh_lengthens_and_the_old_timer_harms_nobody() {
    let mut world = World::new();
    world.register("r", 1, &["Contact: <sip:200@192.0.2.11>;expires=100"]);
    world.later(90);
    world.register("r", 2, &["Contact: <sip:200@192.0.2.11>;expires=100"]);
    world.later(50);
    assert_eq!(world.contacts().len(), 1);
}

#[test]
fn the_contacts_own_time_goes_before_the_header_and_neither_beyond_the_longest() {
    let mut world = World::new();
    let lines = ["Contact: <sip:a@h>;expires=90, <sip:b@h>", "Expires: 999999"];
    let response = world.register("r", 1, &lines);
    let text = String::from_utf8_lossy(response.headers.as_bytes()).into_owned();
    assert!(text.contains("<sip:a@h>;expires=90") && text.contains("<sip:b@h>;expires=3600"), "{text}");
}

#[test]
fn too_short_a_time_is_refused_with_the_shortest_and_changes_nothing() {
    let mut world = World::new();
    let response = world.register("r", 1, &["Contact: <sip:a@h>, <sip:b@h>;expires=59"]);
    assert_eq!((response.code, header(&response.headers, "Min-Expires").as_deref()), (423, Some("60")));
    assert!(world.contacts().is_empty());
}

#[test]
fn a_register_without_contact_lists_and_changes_nothing() {
    let mut world = World::new();
    world.register("r", 1, &["Contact: <sip:a@h>, <sip:b@h>"]);
    let response = world.register("r", 2, &[]);
    assert_eq!((response.code, listed(&response), world.contacts().len()), (200, 2, 2));
}

#[test]
fn a_contact_goes_with_expires_0_and_all_with_a_star() {
    let mut world = World::new();
    world.register("r", 1, &["Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>"]);
    let response = world.register("r", 2, &["Contact: <sip:b@h>;expires=0"]);
    assert_eq!((response.code, listed(&response)), (200, 2));
    let response = world.register("r", 3, &["Contact: *", "Expires: 0"]);
    assert_eq!((response.code, listed(&response), world.contacts().len()), (200, 0, 0));
}

#[test]
fn a_star_with_anything_beside_it_or_without_expires_0_is_bad() {
    for lines in [&["Contact: *", "Expires: 60"][..], &["Contact: *"], &["Contact: *, <sip:b@h>", "Expires: 0"]] {
        let mut world = World::new();
        world.register("r", 1, &["Contact: <sip:a@h>"]);
        assert_eq!(world.register("r", 2, lines).code, 400, "{lines:?}");
        assert_eq!(world.contacts(), ["sip:a@h"]);
    }
}

#[test]
fn a_register_that_was_overtaken_undoes_nothing() {
    let mut world = World::new();
    world.register("r", 5, &["Contact: <sip:a@h>"]);
    for lines in [&["Contact: <sip:a@h>;expires=0"][..], &["Contact: *", "Expires: 0"]] {
        let response = world.register("r", 4, lines);
        assert!(response.code >= 400);
        assert_eq!(world.contacts(), ["sip:a@h"]);
    }
    assert_eq!(world.register("other", 1, &["Contact: <sip:a@h>;expires=0"]).code, 200);
    assert!(world.contacts().is_empty());
}

#[test]
fn the_best_contact_comes_first() {
    let mut world = World::new();
    world.register("r", 1, &["Contact: <sip:a@h>;q=0.2, <sip:b@h>;q=0.9, <sip:c@h>"]);
    assert_eq!(world.contacts(), ["sip:c@h", "sip:b@h", "sip:a@h"]);
}

#[test]
fn a_binding_keeps_its_flow_and_its_path() {
    let mut world = World::new();
    world.register("r", 1, &["Contact: <sip:a@h>", "Path: <sip:edge.example;lr>, <sip:core.example;lr>"]);
    let bindings = world.registrar.bindings(world.now, &world.user);
    assert_eq!(bindings[0].flow, flow(7000));
    let path: Vec<&str> = bindings[0].path.iter().map(|hop| &**hop).collect();
    assert_eq!(path, ["sip:edge.example;lr", "sip:core.example;lr"]);
}

#[test]
fn one_user_has_at_most_sixteen_contacts() {
    let mut world = World::new();
    for number in 0..16 {
        assert_eq!(world.register("r", number + 1, &[&format!("Contact: <sip:{number}@h>")]).code, 200);
    }
    assert_eq!(world.register("r", 17, &["Contact: <sip:one-more@h>"]).code, 403);
    assert_eq!(world.register("r", 18, &["Contact: <sip:3@h>"]).code, 200, "a refresh is none more");
    assert_eq!(world.contacts().len(), 16);
}
