//! Reading a message costs no allocation: counted, not believed.
#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

use std::hint::black_box;

use wire::sip::{Contact, HeaderName, Message, Uri};

use crate::allocation;

const INVITE: &[u8] = b"INVITE sip:john.doe@sfb.example;user=phone SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK776asdhds.1;rport\r\n\
Max-Forwards: 70\r\n\
Route: <sip:192.0.2.1;lr>, <sip:edge.sfb.example;transport=tls;lr>\r\n\
From: \"Jane Roe\" <sip:jane.roe@sfb.example>;tag=1928301774\r\n\
To: <sip:john.doe@sfb.example>\r\n\
Call-ID: a84b4c76e66710@192.0.2.17\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:jane.roe@192.0.2.17:5060;transport=udp>\r\n\
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, REFER, NOTIFY\r\n\
Supported: timer, 100rel, replaces\r\n\
Session-Expires: 1800;refresher=uac\r\n\
User-Agent: Example Phone/4.2\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 140\r\n\
\r\n\
v=0\r\n\
o=jane 2890844526 2890844526 IN IP4 192.0.2.17\r\n\
s=-\r\n\
c=IN IP4 192.0.2.17\r\n\
t=0 0\r\n\
m=audio 49172 RTP/AVP 8 0 101\r\n\
a=rtpmap:101 telephone-event/8000\r\n";

const PUBLISH: &[u8] = b"PUBLISH sip:john.doe@sfb.example SIP/2.0\r\n\
v: SIP/2.0/TLS 10.33.221.57:5061;branch=z9hG4bK1284896643;alias\r\n\
Max-Forwards: 70\r\n\
f: <sip:john.doe@sfb.example>;tag=1c537837102\r\n\
t: <sip:john.doe@sfb.example>\r\n\
i: 1284896643279201635736@10.33.221.57\r\n\
CSeq: 1 PUBLISH\r\n\
Contact: <sip:sbc.sfb.example:5061;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"\r\n\
o: presence\r\n\
Expires: 600\r\n\
SIP-If-Match: 2545777538-1-1\r\n\
c: application/pidf+xml\r\n\
l: 11\r\n\
\r\n\
<presence/>";

/// Everything that is read on the way of a message through the node, up to the place that answers it.
fn read(octets: &[u8]) -> usize {
    let message = Message::parse(black_box(octets)).unwrap();
    message.check().unwrap();
    let line = message.request().unwrap();
    let uri = Uri::parse(line.uri).unwrap();
    black_box((uri.host(), uri.port(), uri.transport(), uri.user(), uri.param("user")));
    let via = message.via().unwrap();
    black_box((via.branch(), via.received(), via.rport(), via.alias(), via.host, via.port));
    black_box((message.from().unwrap().tag(), message.to().unwrap().tag(), message.from_tag(), message.to_tag()));
    black_box((message.call_id().unwrap(), message.cseq().unwrap(), message.method()));
    let Some(Ok(Contact::Address(contact))) = message.contact() else { return 0 };
    black_box((contact.uri.host(), contact.uri.port(), contact.param("+sip.instance"), contact.display_name()));
    black_box((message.routes().count(), message.record_routes().count(), message.vias().count()));
    let numbers = (message.max_forwards().unwrap(), message.expires().unwrap());
    black_box((numbers, message.event(), message.accepts("application/sdp")));
    black_box(message.content_type().is_some_and(|media| media.is("application/sdp")));
    black_box(message.option_tags(HeaderName::Supported).filter(|tag| *tag == "timer").count());
    black_box((message.header(HeaderName::SipIfMatch), message.header_named("session-expires")));
    black_box(message.headers().map(|header| header.line.len()).sum::<usize>()) + message.body().len()
}

#[test]
fn reading_an_invite_and_a_publish_allocates_nothing() {
    for octets in [INVITE, PUBLISH] {
        let mut length = 0;
        let allocations = allocation::of(|| length = read(octets));
        assert!(length > 300, "the message was read");
        assert_eq!(allocations, 0, "allocations for {}", String::from_utf8_lossy(octets));
    }
}

#[test]
fn what_is_malformed_costs_no_allocation_either() {
    let malformed: [&[u8]; 4] = [
        b"INVITE sip:a@b SIP/7.0\r\nVia: SIP/2.0/UDP a\r\n\r\n",
        b"REGISTER <sip:a@b> SIP/2.0\r\nVia: SIP/2.0/UDP a;;,,\r\nFrom: \"open <sip:a>\r\n\r\n",
        b"not a message\r\n\r\n",
        b"\r\n\r\n",
    ];
    for octets in malformed {
        let mut wrong = false;
        let allocations = allocation::of(|| {
            wrong = Message::parse(black_box(octets)).map(|message| message.check().is_err()).unwrap_or(true);
        });
        assert!(wrong);
        assert_eq!(allocations, 0);
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation::of(|| drop(black_box(Vec::<u8>::with_capacity(black_box(7))))), 1);
}
