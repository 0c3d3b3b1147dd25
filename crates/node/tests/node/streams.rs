//! Connections that are lost: responses, requests inside dialogs and NOTIFYs find another way (RFC 3261 section 18.2.2,
//! RFC 3263 section 5, RFC 5923).

use std::time::Duration;

use node::contract::Closed;
use node::{Answer, Input};
use sip::Owner;
use sip::transport::{ListenerId, StreamId, Transport};

use crate::world::{CALLEE, CALLEE_TOO, CALLER, World, header, place};

const TCP: ListenerId = ListenerId(1);

fn opened(world: &mut World, id: StreamId, remote: &str) {
    let remote = remote.parse().unwrap();
    world.handle(Input::StreamOpened { id, listener: TCP, transport: Transport::Tcp, remote, peer_names: Vec::new() });
}

fn closed(world: &mut World, id: StreamId) {
    world.handle(Input::StreamClosed { id, why: Closed::ByPeer });
}

fn says(world: &mut World, id: StreamId, text: &str) {
    world.handle(Input::StreamOctets { id, octets: text.as_bytes() });
}

fn request(method: &str, cseq: u32, sent_by: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:+4989123456@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/TCP {sent_by};branch=z9hG4bK{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:john.doe@sfb.example>;tag=his\r\nTo: <sip:+4989123456@sfb.example>{to_tag}\r\n\
         Call-ID: over-tcp\r\nCSeq: {cseq} {method}\r\nContact: <sip:john@{CALLER};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// John has called over TCP, and Jane's side has the INVITE.
fn ringing(sent_by: &str) -> (World, StreamId, String) {
    let mut world = World::with(CALLEE, "192.0.2.30:5060", &[Transport::Udp, Transport::Tcp]);
    let stream = StreamId::accepted(Owner(0), 1);
    opened(&mut world, stream, CALLER);
    says(&mut world, stream, &request("INVITE", 1, sent_by, ""));
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    (world, stream, invite)
}

/// The stream over which the one message with this first word went.
fn stream_of(world: &World, word: &str) -> Option<StreamId> {
    let seen: Vec<_> = world.seen.iter().filter(|seen| seen.text.starts_with(word)).collect();
    seen.last().unwrap_or_else(|| panic!("no {word}")).stream
}

#[test]
fn a_response_takes_the_stream_of_its_request_while_that_stands() {
    let (mut world, stream, invite) = ringing(CALLER);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    assert_eq!(stream_of(&world, "SIP/2.0 486"), Some(stream));
    assert!(world.connected.is_empty());
}

#[test]
fn a_response_whose_stream_is_gone_goes_over_a_new_one_to_the_port_of_its_via() {
    let (mut world, stream, invite) = ringing(CALLER);
    closed(&mut world, stream);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    assert_eq!(world.connected.len(), 1);
    assert_eq!(stream_of(&world, "SIP/2.0 486"), Some(world.connected[0]));
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);
}

#[test]
fn responses_that_follow_each_other_share_the_new_stream() {
    let (mut world, stream, invite) = ringing(CALLER);
    closed(&mut world, stream);
    let contact = format!("Contact: <sip:jane@{CALLEE}>\r\n");
    world.answer_as(CALLEE, &invite, "180 Ringing", &contact);
    let anew = world.connected[0];
    opened(&mut world, anew, CALLER);
    world.answer_as(CALLEE, &invite, "200 OK", &contact);
    assert_eq!(world.connected.len(), 1);
    assert_eq!(stream_of(&world, "SIP/2.0 180"), Some(anew));
    assert_eq!(stream_of(&world, "SIP/2.0 200"), Some(anew));
}

#[test]
fn where_the_new_stream_cannot_be_opened_the_name_in_the_via_is_looked_up() {
    let (mut world, stream, invite) = ringing("phone.sfb.example:5060");
    closed(&mut world, stream);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    let anew = world.connected[0];
    assert!(world.asked.is_empty());
    closed(&mut world, anew);
    let (id, host) = world.asked.remove(0);
    assert_eq!(host, "phone.sfb.example");
    let mut found = place(CALLEE_TOO);
    found.transport = Transport::Tcp;
    world.handle(Input::Answer { id, answer: Answer::Places(vec![found]) });
    assert_eq!(world.take_from(CALLEE_TOO, "SIP/2.0 486").len(), 1);
    // That one fails too: nobody is left to ask.
    let last = world.connected[1];
    closed(&mut world, last);
    assert!(world.asked.is_empty() && world.connected.len() == 2);
}

#[test]
fn a_new_stream_that_stood_and_closes_sends_nothing_again() {
    let (mut world, stream, invite) = ringing("phone.sfb.example:5060");
    closed(&mut world, stream);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    let anew = world.connected[0];
    opened(&mut world, anew, CALLER);
    closed(&mut world, anew);
    assert!(world.asked.is_empty());
}

#[test]
fn what_a_sender_says_it_was_received_from_is_not_where_we_connect_to() {
    let (mut world, stream, invite) = ringing("phone.sfb.example:5060;received=192.0.2.31");
    closed(&mut world, stream);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);
}

#[test]
fn a_call_whose_streams_are_gone_is_hung_up_over_a_new_one() {
    let (mut world, stream, invite) = ringing(CALLER);
    world.answer_as(CALLEE, &invite, "200 OK", &format!("Contact: <sip:jane@{CALLEE}>\r\n"));
    let ok = world.take_from(CALLER, "SIP/2.0 200").remove(0);
    let to_tag = header(&ok, "To").split_once(';').map(|(_, tag)| format!(";{tag}")).expect("a tag");
    says(&mut world, stream, &request("ACK", 1, CALLER, &to_tag));
    assert_eq!(world.take_from(CALLEE, "ACK").len(), 1);
    closed(&mut world, stream);
    world.wait(Duration::from_secs(5));
    assert!(world.take_from(CALLEE, "BYE").is_empty(), "a lost connection ends no call");

    let ack_tag = header(&invite, "From").to_owned();
    let call_id = header(&invite, "Call-ID").to_owned();
    world.receive(
        CALLEE,
        &format!(
            "BYE sip:x@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLEE};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
             From: <sip:+4989123456@sfb.example>;tag=theirs\r\nTo: {ack_tag}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n\
             Content-Length: 0\r\n\r\n"
        ),
    );
    let bye = world.take_from(CALLER, "BYE").remove(0);
    assert!(bye.starts_with(&format!("BYE sip:john@{CALLER};transport=tcp ")), "{bye}");
    assert_eq!(stream_of(&world, "BYE"), world.connected.last().copied());
}

#[test]
fn the_way_back_of_a_datagram_needs_no_stream() {
    let mut world = World::with(CALLEE, "192.0.2.30:5060", &[Transport::Udp, Transport::Tcp]);
    world.invite();
    let invite = world.take_from(CALLEE, "INVITE").remove(0);
    world.answer_as(CALLEE, &invite, "486 Busy Here", "");
    assert_eq!(world.take_from(CALLER, "SIP/2.0 486").len(), 1);
    assert!(world.connected.is_empty());
}
