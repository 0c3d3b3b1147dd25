//! Where a response goes, and what its Via says of where the request came from (RFC 3261 section 18.2, RFC 3581).

use std::net::SocketAddr;

use sip::transport::{Flow, ListenerId};

use crate::world::{World, header, request, tcp};

fn answered(remote: &str, via: &str) -> (SocketAddr, String) {
    let mut world = World::new();
    let flow = Flow::Udp { listener: ListenerId(0), remote: remote.parse().unwrap() };
    world.receive(flow, &request("OPTIONS", via, ""));
    world.respond(world.requests[0], 200);
    let (flow, text) = world.sent.remove(0);
    (flow.remote().unwrap(), header(&text, "Via").unwrap().to_owned())
}

#[test]
fn a_via_that_says_where_it_came_from_stays_as_it_is() {
    let (to, via) = answered("192.0.2.7:5066", "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK1");
    assert_eq!(to, "192.0.2.7:5066".parse().unwrap());
    assert_eq!(via, "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK1");
}

#[test]
fn a_via_with_a_name_gets_received_and_the_response_goes_to_its_port() {
    let (to, via) = answered("192.0.2.7:40000", "SIP/2.0/UDP phone.sfb.example:5070;branch=z9hG4bK1");
    assert_eq!(to, "192.0.2.7:5070".parse().unwrap());
    assert_eq!(via, "SIP/2.0/UDP phone.sfb.example:5070;branch=z9hG4bK1;received=192.0.2.7");
    let (to, _) = answered("192.0.2.7:40000", "SIP/2.0/UDP phone.sfb.example;branch=z9hG4bK1");
    assert_eq!(to, "192.0.2.7:5060".parse().unwrap(), "the default port where none is named");
}

#[test]
fn a_via_with_another_address_gets_received() {
    let (to, via) = answered("192.0.2.7:40000", "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK1");
    assert_eq!(to, "192.0.2.7:5060".parse().unwrap());
    assert_eq!(via, "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK1;received=192.0.2.7");
}

#[test]
fn rport_is_filled_in_and_followed() {
    for via in [
        "SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK1",
        "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK1;rport",
        "SIP/2.0/UDP 192.0.2.7:5060 ; RPORT ;branch=z9hG4bK1",
    ] {
        let (to, filled) = answered("192.0.2.7:40000", via);
        assert_eq!(to, "192.0.2.7:40000".parse().unwrap(), "{via}");
        let filled = filled.to_ascii_lowercase();
        assert!(filled.contains("rport=40000") && filled.contains("received=192.0.2.7"), "{filled}");
        assert_eq!(filled.matches("rport").count(), 1, "{filled}");
    }
}

/// What a sender claims of itself is not where we send.
#[test]
fn a_received_that_came_with_the_request_is_replaced() {
    for claim in ["received=203.0.113.9", "received=203.0.113.9;rport=1", "rport=1;received=203.0.113.9"] {
        let via = format!("SIP/2.0/UDP 10.0.0.5:5066;{claim};branch=z9hG4bK1");
        let (to, filled) = answered("192.0.2.7:5066", &via);
        assert_eq!(to.ip().to_string(), "192.0.2.7", "{claim}");
        assert!(filled.contains("received=192.0.2.7") && !filled.contains("203.0.113.9"), "{filled}");
    }
}

#[test]
fn an_ipv6_reference_is_compared_as_an_address() {
    let (to, via) = answered("[2001:db8::7]:5066", "SIP/2.0/UDP [2001:DB8:0::7]:5066;branch=z9hG4bK1");
    assert_eq!(to, "[2001:db8::7]:5066".parse().unwrap());
    assert!(!via.contains("received"), "{via}");
}

#[test]
fn over_a_stream_the_response_takes_the_stream() {
    let mut world = World::new();
    world.receive(tcp(), &request("OPTIONS", "SIP/2.0/TCP 10.0.0.5:5060;branch=z9hG4bK1;rport", ""));
    world.respond(world.requests[0], 200);
    let (flow, text) = world.sent.remove(0);
    assert_eq!(flow, tcp());
    assert!(text.contains("rport=5066;") || text.contains(";rport=5066"), "{text}");
}
