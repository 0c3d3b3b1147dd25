//! What becomes no call.

use crate::world::{ANSWER, OFFER, PBX, SAFE, TRUNK, VAULT, World, header};

/// A request outside any dialog.
fn asks(world: &mut World, method: &str, uri: &str, more: &str, body: &str) -> String {
    let fresh = world.fresh();
    let hops = if more.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\r\n" };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKo{fresh}\r\n{hops}From: <sip:alice@pbx.invalid>;tag=t{fresh}\r\n\
         To: <sip:bob@example.com>\r\nCall-ID: o{fresh}\r\nCSeq: 1 {method}\r\nContact: <sip:alice@{PBX}>\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.says(PBX, &text);
    let answer = world.hears(PBX);
    world.silence(TRUNK);
    assert!(world.events.is_empty(), "{method} {uri} {more}");
    answer
}

#[test]
fn a_request_of_no_dialog_is_a_481_and_an_ack_is_nothing() {
    for method in ["BYE", "UPDATE", "INFO", "PRACK", "NOTIFY"] {
        let answer = asks(&mut World::new(), method, "sip:bob@example.com", "", "");
        assert!(answer.starts_with("SIP/2.0 481"), "{method}: {answer}");
    }
    let mut world = World::new();
    for method in ["INVITE", "BYE", "OPTIONS"] {
        let text = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKu{method}\r\nFrom: <sip:a@b.invalid>;tag=t\r\n\
             To: <sip:bob@example.com>;tag=unknown\r\nCall-ID: u\r\nCSeq: 1 {method}\r\nContact: <sip:a@{PBX}>\r\nContent-Length: 0\r\n\r\n"
        );
        world.says(PBX, &text);
        world.expect(PBX, "481");
    }
    let ack = format!(
        "ACK sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKack\r\nFrom: <sip:a@b.invalid>;tag=t\r\n\
         To: <sip:bob@example.com>;tag=unknown\r\nCall-ID: u\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    world.says(PBX, &ack);
    world.silence(PBX);
}

#[test]
fn an_invite_that_comes_on_two_ways_is_one_call() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    world.expect(TRUNK, "INVITE");
    world.says(PBX, &invite.replace("branch=z9hG4bKi", "branch=z9hG4bKother"));
    world.expect(PBX, "482");
    world.silence(TRUNK);
}

#[test]
fn a_proxy_may_fork_one_invite_to_two_of_our_users() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    world.expect(TRUNK, "INVITE");
    let other = invite.replace("branch=z9hG4bKi", "branch=z9hG4bKother");
    world.says(PBX, &other.replacen("INVITE sip:bob@example.com", "INVITE sip:carol@example.com", 1));
    world.expect(TRUNK, "INVITE");
    world.silence(PBX);
}

#[test]
fn what_was_refused_may_be_tried_anew_under_the_same_names() {
    let mut world = World::new();
    let invite = world.invites(PBX, "sip:bob@example.com", OFFER);
    let offered = world.expect(TRUNK, "INVITE");
    world.responds(TRUNK, &offered, "486 Busy Here", "callee", "");
    world.expect(PBX, "486");
    world.says(PBX, &invite.replace("branch=z9hG4bKi", "branch=z9hG4bKother"));
    world.expect(TRUNK, "ACK");
    world.expect(TRUNK, "INVITE");
}

#[test]
fn sips_does_not_come_or_leave_in_the_clear() {
    let mut world = World::new();
    world.invites(PBX, "sips:bob@example.com", OFFER);
    let refused = world.expect(PBX, "480");
    assert_eq!(header(&refused, "Warning"), "399 example.com \"sips, and a hop is not TLS\"");
    world.silence(TRUNK);
    world.invites(VAULT, "sips:clear@example.com", OFFER);
    let refused = world.expect(VAULT, "480");
    assert_eq!(header(&refused, "Warning"), "399 example.com \"sips, and a hop is not TLS\"");
    world.silence(TRUNK);
}

#[test]
fn sips_that_comes_and_leaves_over_tls_is_a_call_with_sips_in_our_contacts() {
    let mut world = World::new();
    world.invites(VAULT, "sips:bob@example.com", OFFER);
    let offered = world.expect(SAFE, "INVITE");
    assert!(header(&offered, "Contact").starts_with("<sips:alice@"));
    world.responds(SAFE, &offered, "200 OK", "callee", ANSWER);
    let answer = world.expect(VAULT, "200");
    assert!(header(&answer, "Contact").starts_with("<sips:bob@"));
}
