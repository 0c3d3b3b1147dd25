//! REGISTER (RFC 3261 section 10.3, RFC 3327).

use sip::Response;

use crate::world::{DESK, World};

/// A REGISTER of bob's phone.
fn register(world: &mut World, call_id: &str, cseq: u32, more: &str) -> Response {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {DESK};branch=z9hG4bK{call_id}{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
         {more}Content-Length: 0\r\n\r\n"
    );
    world.registers(DESK, &text)
}

fn lines(response: &Response) -> String {
    String::from_utf8(response.headers.as_bytes().to_vec()).unwrap()
}

fn contacts(world: &mut World) -> usize {
    lines(&register(world, "fetch", 1, "")).matches("Contact:").count()
}

#[test]
fn one_that_fails_changes_nothing_at_all() {
    let mut world = World::new();
    register(&mut world, "a", 1, "Contact: <sip:bob@192.0.2.31>\r\n");
    let both = "Contact: <sip:bob@192.0.2.31>;expires=0, <sip:bob@192.0.2.33>;expires=1\r\n";
    assert_eq!(register(&mut world, "a", 2, both).code, 423);
    assert_eq!(contacts(&mut world), 1);
}

#[test]
fn a_refresh_leaves_no_timer_behind() {
    let mut world = World::new();
    register(&mut world, "a", 1, "Contact: <sip:bob@192.0.2.31>;expires=60\r\n");
    let first = world.registrar.next_timeout().unwrap();
    register(&mut world, "a", 2, "Contact: <sip:bob@192.0.2.31>;expires=600\r\n");
    assert!(world.registrar.next_timeout().unwrap() > first);
}
