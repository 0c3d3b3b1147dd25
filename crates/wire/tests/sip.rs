//! SIP messages: what is read, printed and framed, and what cannot be smuggled through any of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use wire::limits;
use wire::sip::{
    Contact, Fault, Framed, Framer, HeaderName, Headers, Host, Message, Method, NameAddr, Scheme, Unframeable, Uri,
    Via, print,
};

/// A request with these lines beside the ones that every request has.
fn request(method: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:john@sfb.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: <sip:jane@sfb.example>;tag=f\r\nTo: <sip:john@sfb.example>\r\nCall-ID: c@192.0.2.1\r\n\
         CSeq: 1 {method}\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

fn fault(octets: &[u8]) -> Option<Fault> {
    Message::parse(octets).unwrap().check().err()
}

fn earns(lines: &str) -> Option<u16> {
    fault(&request("OPTIONS", lines, "")).map(|fault| fault.status)
}

#[test]
fn a_message_without_a_length_has_the_rest_of_the_datagram() {
    let octets = request("MESSAGE", "Content-Type: text/plain\r\n", "hello");
    let message = Message::parse(&octets).unwrap();
    assert_eq!((message.body(), message.check()), (&b"hello"[..], Ok(())));
}

#[test]
fn octets_behind_the_body_are_no_part_of_it() {
    let octets = request("MESSAGE", "l: 5\r\n", "hello, world");
    assert_eq!(Message::parse(&octets).unwrap().body(), b"hello");
    assert_eq!(earns("l: 5\r\n"), Some(400));
}

#[test]
fn compact_names_are_names() {
    let pairs = [
        ("v", HeaderName::Via),
        ("F", HeaderName::From),
        ("t", HeaderName::To),
        ("I", HeaderName::CallId),
        ("m", HeaderName::Contact),
        ("l", HeaderName::ContentLength),
        ("c", HeaderName::ContentType),
        ("e", HeaderName::ContentEncoding),
        ("o", HeaderName::Event),
        ("u", HeaderName::AllowEvents),
        ("k", HeaderName::Supported),
        ("x", HeaderName::SessionExpires),
        ("r", HeaderName::ReferTo),
        ("b", HeaderName::ReferredBy),
        ("s", HeaderName::Subject),
        ("call-id", HeaderName::CallId),
        ("sip-etag", HeaderName::SipETag),
        ("SIP-IF-MATCH", HeaderName::SipIfMatch),
        ("P-Asserted-Identity", HeaderName::PAssertedIdentity),
        ("Call-ID2", HeaderName::Other),
        ("z", HeaderName::Other),
        ("", HeaderName::Other),
    ];
    for (name, wanted) in pairs {
        assert_eq!(HeaderName::from_bytes(name.as_bytes()), wanted, "{name}");
        assert_eq!(HeaderName::from_bytes(wanted.as_str().as_bytes()), wanted, "{name}");
    }
}

#[test]
fn lists_are_cut_at_commas_that_are_no_part_of_a_name_or_uri() {
    let octets = request(
        "OPTIONS",
        "Contact: \"Roe, \\\"Jane\\\", <x>\" <sip:a,b@c;p=\"1,2\">;q=0.5, sip:d@e;q=1\r\nm: <tel:+49-30-1>\r\n",
        "",
    );
    let message = Message::parse(&octets).unwrap();
    let octets = request("OPTIONS", "Contact: \"Roe, \\\"J\\\", <x>\" <sip:a,b@c;p=1,2>;q=0.5, sip:d@e;q=1\r\n", "");
    let contacts = |message: &Message<'_>| -> Vec<String> {
        message
            .contacts()
            .map(|contact| match contact.unwrap() {
                Contact::Star => "*".to_owned(),
                Contact::Address(address) => address.uri.as_str().to_owned(),
            })
            .collect()
    };
    assert_eq!(message.values(HeaderName::Contact).count(), 3);
    let message = Message::parse(&octets).unwrap();
    assert_eq!(contacts(&message), ["sip:a,b@c;p=1,2", "sip:d@e"]);
    let star = request("REGISTER", "Contact: *\r\nExpires: 0\r\n", "");
    assert_eq!(contacts(&Message::parse(&star).unwrap()), ["*"]);
}

#[test]
fn uris_of_every_scheme_are_read() {
    let uri = |text: &'static str| Uri::parse(text.as_bytes());
    let sips =
        uri("sips:j%6fhn:secret@[2001:DB8::1]:5071;transport=TLS;lr;user=phone?subject=x&priority=urgent").unwrap();
    assert_eq!((sips.scheme(), sips.user(), sips.port()), (Scheme::Sips, Some("j%6fhn"), Some(5071)));
    assert_eq!(sips.host(), Host::Address("2001:db8::1".parse().unwrap()));
    assert_eq!((sips.transport(), sips.is_loose_router()), (Some("TLS"), true));
    assert_eq!((sips.param("USER"), sips.headers()), (Some(Some("phone")), Some("subject=x&priority=urgent")));
    assert_eq!(sips.address_of_record().unwrap(), "sip:john@[2001:db8::1]");
    let tel = uri("tel:+49(30)123-45.67;phone-context=x").unwrap();
    assert_eq!((tel.scheme(), tel.host()), (Scheme::Tel, Host::None));
    assert_eq!(tel.address_of_record().unwrap(), "tel:+49301234567");
    let other = uri("urn:uuid:f81d4fae-7dec-11d0").unwrap();
    assert_eq!(
        (other.scheme(), other.as_str(), other.address_of_record()),
        (Scheme::Other, "urn:uuid:f81d4fae-7dec-11d0", None)
    );
    assert_eq!(uri("PRES:J%6fhn@Sfb.Example").unwrap().address_of_record().unwrap(), "sip:John@sfb.example");
    assert_eq!(uri("pres:@x").unwrap().address_of_record(), None);
    assert_eq!(uri("SIP:Host.Example").unwrap().address_of_record().unwrap(), "sip:host.example");
    for bad in [
        "",
        "sip",
        "sip:",
        "sip:@a",
        "sip:a@",
        "sip:a@b:",
        "sip:a@b:65536",
        "sip:a@b:x",
        "sip:a@[::1",
        "sip:a@[x]",
        "sip:a b@c",
        "sip:a@b@c",
        "sip:a@b>",
        ":a",
        "1:a",
        "tel:",
        "sip:a@b\r\nVia: x",
        "sip:a@[::1]5060",
    ] {
        assert!(uri(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn parameters_keep_quoted_semicolons() {
    let address =
        NameAddr::parse(b"<sip:a@b;x=y>;+sip.instance=\"<urn:uuid:1;2>\" ; Expires = 60;flag;;tag=\"q\"").unwrap();
    assert_eq!(address.param("+SIP.INSTANCE"), Some(Some("<urn:uuid:1;2>")));
    assert_eq!((address.param("expires"), address.param("flag")), (Some(Some("60")), Some(None)));
    assert_eq!((address.tag(), address.param("x")), (Some("q"), None));
}

#[test]
fn a_via_asks_for_its_port_or_has_it() {
    let via = |text: &'static str| Via::parse(text.as_bytes()).unwrap();
    assert_eq!(via("SIP/2.0/UDP h;rport").rport(), Some(None));
    assert_eq!(via("SIP/2.0/UDP h;rport=5062;received=192.0.2.9").rport(), Some(Some(5062)));
    assert_eq!(via("SIP/2.0/UDP h").rport(), None);
    let manual =
        via("SIP/2.0/TLS 10.33.221.57:5061;alias;received=10.33.221.57;ms-received-port=48093;ms-received-cid=4900");
    assert_eq!((manual.transport, manual.host, manual.port, manual.alias()), ("TLS", "10.33.221.57", Some(5061), true));
    assert_eq!(manual.received(), Some("10.33.221.57"));
    assert_eq!(via("SIP / 2.0 / TCP host : 5070 ;branch=x").port, Some(5070));
    for bad in ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/3.0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/UDP h:p", "SIP/2.0/UDP h i"]
    {
        assert!(Via::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn single_values_stand_once_and_mandatory_ones_at_all() {
    assert_eq!(earns(""), None);
    for twice in [
        "Call-ID: d",
        "i: d",
        "CSeq: 2 OPTIONS",
        "f: <sip:x@y>;tag=2",
        "Max-Forwards: 1\r\nMax-Forwards: 1",
        "Event: a\r\no: a",
        "Expires: 1\r\nExpires: 1",
    ] {
        assert_eq!(earns(&format!("{twice}\r\n")), Some(400), "{twice}");
    }
    let whole = String::from_utf8(request("OPTIONS", "", "")).unwrap();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let without: String =
            whole.split_inclusive("\r\n").filter(|line| !line.starts_with(&format!("{name}:"))).collect();
        assert_eq!(fault(without.as_bytes()).map(|fault| fault.status), Some(400), "{name}");
    }
    for bad in [
        "Max-Forwards: 256",
        "Max-Forwards: -1",
        "Expires: 4294967296",
        "Expires: soon",
        "Contact: <sip:a@b",
        "Route: <sip:>",
        "Content-Length: 1",
        "Content-Length: +0",
    ] {
        assert_eq!(earns(&format!("{bad}\r\n")), Some(400), "{bad}");
    }
}

#[test]
fn what_is_longer_or_more_than_the_bounds_is_dropped() {
    let long = request("OPTIONS", &format!("X: {}\r\n", "a".repeat(limits::MESSAGE)), "");
    assert_eq!(Message::parse(&long).err(), Some(Unframeable::TooLong));
    let many = request("OPTIONS", &"X: a\r\n".repeat(limits::HEADERS), "");
    assert!(Message::parse(&many).map_or(true, |message| message.check().is_err()));
    for keep_alive in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0"] {
        assert_eq!(Message::parse(keep_alive).err(), Some(Unframeable::KeepAlive));
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b" INVITE sip:a SIP/2.0\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"] {
        assert_eq!(Message::parse(garbage).err(), Some(Unframeable::NotSip));
    }
}

#[test]
fn accept_is_a_list_of_ranges() {
    let accepts = |lines: &str, media: &str| Message::parse(&request("SUBSCRIBE", lines, "")).unwrap().accepts(media);
    assert!(accepts("", "application/pidf+xml"));
    assert!(accepts("Accept: text/plain, Application/PIDF+xml;q=0.5\r\n", "application/pidf+xml"));
    assert!(accepts("Accept: application/*\r\n", "application/pidf+xml") && accepts("Accept: */*\r\n", "a/b"));
    assert!(!accepts("Accept: text/*\r\n", "application/pidf+xml") && !accepts("Accept:\r\n", "application/pidf+xml"));
}

#[test]
fn what_is_printed_reads_back() {
    let mut headers = Headers::new();
    headers
        .push(HeaderName::Via, "SIP/2.0/TLS sbc.sfb.example:5061;branch=z9hG4bKx;alias")
        .push(HeaderName::From, format!("{} <sip:jane@sfb.example>;tag=a", print::quoted("Jane \"J\\R\" Roe")))
        .push(HeaderName::To, "<sip:john@sfb.example>")
        .push(HeaderName::CallId, "x@y")
        .push_fmt(HeaderName::CSeq, format_args!("{} {}", 7, Method::Publish.as_str()))
        .push_named("X-Own", "1");
    let mut out = b"reused".to_vec();
    out.clear();
    print::request(
        &mut out,
        "PUBLISH",
        "sip:john@sfb.example",
        &[headers.as_bytes(), b"Expires: 600\r\n"],
        b"<presence/>",
    );
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert_eq!(
        (message.method(), message.cseq().unwrap().number, message.body()),
        (Method::Publish, 7, &b"<presence/>"[..])
    );
    assert_eq!(message.from().unwrap().display_name().unwrap(), "Jane \"J\\R\" Roe");
    assert_eq!((message.expires(), message.header_named("x-own")), (Ok(Some(600)), Some(&b"1"[..])));
    let mut copied = Headers::new();
    for header in message.headers() {
        copied.copy(&header);
    }
    assert!(
        out.windows(copied.as_bytes().len()).any(|window| window == copied.as_bytes()),
        "headers are copied octet by octet"
    );
    let mut out = Vec::new();
    print::response(&mut out, 412, print::reason_phrase(412), &[headers.as_bytes()], b"");
    let response = Message::parse(&out).unwrap();
    assert_eq!((response.check(), response.status().unwrap().code, response.method()), (Ok(()), 412, Method::Publish));
    assert_eq!(response.status().unwrap().reason, b"Conditional Request Failed");
}

#[test]
fn no_value_can_add_a_line() {
    let mut headers = Headers::new();
    headers.push(HeaderName::Subject, "a\r\nVia: evil\r\n\r\nb\0c").push_fmt(HeaderName::Reason, format_args!("x\ny"));
    assert_eq!(headers.as_bytes(), b"Subject: a  Via: evil    b c\r\nReason: x y\r\n");
    let mut out = Vec::new();
    print::response(&mut out, 400, "Bad\r\nVia: evil", &[], b"");
    assert_eq!(out, b"SIP/2.0 400 Bad  Via: evil\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(print::quoted("a\"\r\n\\"), "\"a\\\"  \\\\\"");
}

fn cut(framer: &mut Framer) -> Vec<Framed> {
    std::iter::from_fn(|| framer.cut().unwrap()).collect()
}

// A double CRLF that arrives in two pieces is two single ones: harmless, so only messages are compared then.
#[test]
fn a_stream_is_cut_into_its_messages_however_it_arrives() {
    let first = request("MESSAGE", "Content-Length: 9\r\n", "a\r\n\r\nb\r\n\r");
    let second = request("OPTIONS", "", "");
    let third = request("BYE", "l : 2\r\n", "ok");
    let stream = [first.as_slice(), &second, b"\r\n\r\n", &third].concat();
    let wanted = [Framed::Message(first), Framed::Message(second), Framed::Ping, Framed::Message(third)];
    for size in [1, 2, 3, 7, 100, stream.len()] {
        let mut framer = Framer::new();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            framer.push(piece);
            found.append(&mut cut(&mut framer));
        }
        let messages =
            |all: &[Framed]| all.iter().filter(|f| matches!(f, Framed::Message(_))).cloned().collect::<Vec<_>>();
        assert_eq!(messages(&found), messages(&wanted), "pieces of {size}");
    }
    let mut framer = Framer::new();
    framer.push(&stream);
    assert_eq!(cut(&mut framer), wanted);
}

#[test]
fn keep_alives_are_told_apart() {
    let mut framer = Framer::new();
    framer.push(b"\r\n");
    assert_eq!(cut(&mut framer), [Framed::Pong]);
    framer.push(b"\r\n\r\n");
    assert_eq!(cut(&mut framer), [Framed::Ping]);
    framer.push(b"\r\n\r\n\r\n");
    assert_eq!(cut(&mut framer), [Framed::Ping, Framed::Pong]);
    assert_eq!(framer.cut(), Ok(None));
}

#[test]
fn a_stream_that_cannot_be_framed_ends() {
    let error = |octets: &[u8]| {
        let mut framer = Framer::new();
        framer.push(octets);
        framer.cut().err()
    };
    assert_eq!(error(&request("OPTIONS", "Content-Length: -1\r\n", "")), Some(Unframeable::ContentLength));
    assert_eq!(error(&request("OPTIONS", "l: 1\r\nContent-Length: 2\r\n", "abc")), Some(Unframeable::ContentLength));
    assert_eq!(error(&request("OPTIONS", "l: 65535\r\n", "")), Some(Unframeable::TooLong));
    assert_eq!(error(&request("OPTIONS", "l: 99999999999999999999\r\n", "")), Some(Unframeable::ContentLength));
    assert_eq!(error(&vec![b'a'; limits::HEAD + 1]), Some(Unframeable::TooLong));
    assert_eq!(
        error(&request("OPTIONS", &format!("X: {}\r\n", "a".repeat(limits::HEAD)), "")),
        Some(Unframeable::TooLong)
    );
}

#[test]
fn a_line_without_a_colon_earns_400() {
    assert_eq!(earns("Foobar roobar\r\n"), Some(400));
}

#[test]
fn a_header_name_that_is_no_token_earns_400() {
    assert_eq!(earns("Foo Bar: x\r\n"), Some(400));
    assert_eq!(earns("F\0o: x\r\n"), Some(400));
}

#[test]
fn a_lone_carriage_return_in_the_head_earns_400() {
    assert_eq!(earns("Subject: a\rRoute: <sip:evil>\r\n"), Some(400));
}

#[test]
fn lengths_that_differ_stay_bad() {
    let octets = request("MESSAGE", "Content-Length: 1\r\nContent-Length: 5\r\nContent-Length: 1\r\n", "hello");
    assert_eq!(fault(&octets).map(|fault| fault.status), Some(400));
}

#[test]
fn framer_and_parser_agree_where_a_head_ends() {
    let mut framer = Framer::new();
    framer.push(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\n\nINVITE sip:b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n");
    let Some(Framed::Message(first)) = framer.cut().unwrap() else { panic!("no message") };
    assert_eq!(Message::parse(&first).unwrap().body(), b"");
}

#[test]
fn a_folded_content_length_is_read_on_a_stream() {
    let octets = request("MESSAGE", "Content-Length:\r\n 5\r\n", "hello");
    let mut framer = Framer::new();
    framer.push(&octets);
    assert_eq!(framer.cut(), Ok(Some(Framed::Message(octets))));
}

#[test]
fn a_response_of_another_version_is_dropped() {
    let octets = String::from_utf8(request("OPTIONS", "", "")).unwrap().replacen(
        "OPTIONS sip:john@sfb.example SIP/2.0",
        "SIP/7.0 200 OK",
        1,
    );
    assert!(fault(octets.as_bytes()).is_some());
}

#[test]
fn a_quality_of_zero_refuses() {
    let octets = request("SUBSCRIBE", "Accept: application/pidf+xml;q=0, */*\r\n", "");
    assert!(!Message::parse(&octets).unwrap().accepts("application/pidf+xml"));
}

#[test]
fn no_via_is_lost() {
    let vias = format!("Via: {}\r\n", ["SIP/2.0/UDP h"; 70].join(", "));
    let octets = request("OPTIONS", &vias, "");
    let message = Message::parse(&octets).unwrap();
    assert!(message.vias().count() == 71 || message.check().is_err());
}

#[test]
fn no_name_can_add_a_line() {
    let mut headers = Headers::new();
    headers.push_named("X\r\nVia", "evil");
    assert_eq!(headers.as_bytes().split(|octet| *octet == b'\n').count(), 2);
}

#[test]
fn a_password_without_a_user_and_separators_without_a_number_name_nobody() {
    assert!(Uri::parse(b"sip::secret@sfb.example").is_err());
    let separators = Uri::parse(b"tel:-.()").unwrap();
    assert_eq!(separators.address_of_record(), None);
}

#[test]
fn the_normal_form_of_a_user_is_its_own_normal_form() {
    for (user, normal) in
        [("%6a%6F", "jo"), ("a%3ab", "a%3Ab"), ("a%a%45", "a%25aE"), ("50%", "50%25"), ("%+5", "%25+5")]
    {
        let written = format!("sip:{user}@a");
        let aor = Uri::parse(written.as_bytes()).unwrap().address_of_record().unwrap();
        assert_eq!(aor, format!("sip:{normal}@a"));
        assert_eq!(Uri::parse(aor.as_bytes()).unwrap().address_of_record().unwrap(), aor);
    }
}
