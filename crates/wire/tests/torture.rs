//! RFC 4475 and RFC 5118, message by message: what the parser makes of each of the 61.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]
#![allow(clippy::disallowed_methods, reason = "the material is read from its files")]

use wire::sip::{Contact, HeaderName, Host, Message, Method, Scheme, Unframeable, Uri};

/// What becomes of a message before the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is worked on.
    Accepted,
    /// The request is answered with this status.
    Earns(u16),
    /// The response is dropped.
    Dropped,
    /// It is no message.
    Unframeable(Unframeable),
}
use Fate::{Accepted, Dropped, Earns};

const MATERIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/material/torture/");

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{MATERIAL}{name}.dat")).expect("the material is there")
}

fn fate(octets: &[u8]) -> Fate {
    match Message::parse(octets) {
        Err(why) => Fate::Unframeable(why),
        Ok(message) => match message.check() {
            Ok(()) => Accepted,
            Err(fault) if message.is_request() => Earns(fault.status),
            Err(_) => Dropped,
        },
    }
}

const FATES: [(&str, Fate); 66] = [
    ("rfc4475/wsinv", Accepted),
    ("rfc4475/intmeth", Accepted),
    ("rfc4475/esc01", Accepted),
    ("rfc4475/escnull", Accepted),
    ("rfc4475/esc02", Accepted),
    ("rfc4475/lwsdisp", Accepted),
    ("rfc4475/longreq", Accepted),
    ("rfc4475/dblreq", Accepted),
    ("rfc4475/semiuri", Accepted),
    ("rfc4475/transports", Accepted),
    ("rfc4475/mpart01", Accepted),
    ("rfc4475/unreason", Accepted),
    ("rfc4475/noreason", Accepted),
    ("rfc4475/badinv01", Earns(400)),
    ("rfc4475/clerr", Earns(400)),
    ("rfc4475/ncl", Earns(400)),
    ("rfc4475/scalar02", Earns(400)),
    ("rfc4475/scalarlg", Dropped),
    ("rfc4475/quotbal", Earns(400)),
    ("rfc4475/ltgtruri", Earns(400)),
    ("rfc4475/lwsruri", Earns(400)),
    ("rfc4475/lwsstart", Earns(400)),
    ("rfc4475/trws", Earns(400)),
    // The RFC lets an element be lenient here: headers in a Request-URI are ignored.
    ("rfc4475/escruri", Accepted),
    ("rfc4475/baddate", Accepted),
    ("rfc4475/regbadct", Earns(400)),
    // And here: white space just inside angle brackets is passed over.
    ("rfc4475/badaspec", Accepted),
    ("rfc4475/baddn", Earns(400)),
    ("rfc4475/badvers", Earns(505)),
    ("rfc4475/mismatch01", Earns(400)),
    ("rfc4475/mismatch02", Earns(400)),
    ("rfc4475/bigcode", Dropped),
    // A branch that is nothing but the cookie is matched as RFC 2543 has it, by the transaction layer.
    ("rfc4475/badbranch", Accepted),
    ("rfc4475/insuf", Earns(400)),
    // 416, 420, 415 and 406 are the application's; what it needs for them is tested below.
    ("rfc4475/unkscm", Accepted),
    ("rfc4475/novelsc", Accepted),
    ("rfc4475/unksm2", Accepted),
    ("rfc4475/bext01", Accepted),
    ("rfc4475/invut", Accepted),
    ("rfc4475/regaut01", Accepted),
    ("rfc4475/multi01", Earns(400)),
    ("rfc4475/mcl01", Earns(400)),
    // Its second Via is not ours: the transaction layer finds no client for it.
    ("rfc4475/bcast", Accepted),
    ("rfc4475/zeromf", Accepted),
    ("rfc4475/cparam01", Accepted),
    ("rfc4475/cparam02", Accepted),
    ("rfc4475/regescrt", Accepted),
    ("rfc4475/sdp01", Accepted),
    ("rfc4475/inv2543", Accepted),
    ("rfc5118/ipv6-good", Accepted),
    ("rfc5118/ipv6-bad", Earns(400)),
    ("rfc5118/port-ambiguous", Accepted),
    ("rfc5118/port-unambiguous", Accepted),
    ("rfc5118/via-received-param-with-delim", Accepted),
    ("rfc5118/via-received-param-no-delim", Accepted),
    ("rfc5118/ipv6-in-sdp", Accepted),
    ("rfc5118/mult-ip-in-header", Accepted),
    ("rfc5118/mult-ip-in-sdp", Accepted),
    ("rfc5118/ipv4-mapped-ipv6", Accepted),
    ("rfc5118/ipv6-bug-abnf-3-colons", Accepted),
    ("rfc5118/ipv6-correct-abnf-2-colons", Accepted),
    ("rfc5118-fixed/ipv6-in-sdp", Accepted),
    ("rfc5118-fixed/mult-ip-in-sdp", Accepted),
    ("rfc5118-fixed/ipv4-mapped-ipv6", Accepted),
    ("extra/baddn-unterminated-resip", Fate::Unframeable(Unframeable::Unterminated)),
    ("extra/resip-test", Fate::Unframeable(Unframeable::NotSip)),
];

#[test]
fn every_message_meets_its_fate() {
    let wrong: Vec<_> = FATES
        .iter()
        .map(|(name, wanted)| (name, wanted, fate(&read(name))))
        .filter(|(_, wanted, fate)| *wanted != fate)
        .map(|(name, wanted, fate)| format!("{name}: {fate:?}, not {wanted:?}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_every_message_of_the_index_and_agrees_with_its_class() {
    let index = std::fs::read_to_string(format!("{MATERIAL}INDEX.tsv")).unwrap();
    let mut count = 0;
    for line in index.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (name, class) = (columns.next().unwrap(), columns.nth(1).unwrap());
        let expected = columns.next().unwrap();
        let Some((_, fate)) = FATES.iter().find(|(own, _)| *own == name) else { panic!("{name} is not in the table") };
        match class {
            "valid" | "valid*" => assert_eq!(*fate, Accepted, "{name}"),
            "invalid" if expected.contains("lenient") || expected.contains("accept") => {}
            "invalid" => assert_ne!(*fate, Accepted, "{name}"),
            _ => {}
        }
        count += 1;
    }
    assert_eq!(count, 49 + 12);
}

fn with(name: &str, look: impl FnOnce(&Message<'_>)) {
    let octets = read(name);
    look(&Message::parse(&octets).unwrap());
}

#[test]
fn folds_and_odd_white_space_change_nothing() {
    with("rfc4475/wsinv", |m| {
        assert_eq!(m.method(), Method::Invite);
        assert_eq!(m.to_tag(), Some("1918181833n"));
        assert_eq!(m.from_tag(), Some("98asjd8"));
        assert_eq!(m.from().unwrap().display_name().unwrap(), "J Rosenberg \\\"");
        assert_eq!(m.max_forwards(), Ok(Some(68)));
        assert_eq!(m.cseq().unwrap().number, 9);
        let vias: Vec<_> = m.vias().map(Result::unwrap).collect();
        assert_eq!(
            vias.iter().map(|v| v.host).collect::<Vec<_>>(),
            ["192.0.2.2", "spindle.example.com", "192.168.255.111"]
        );
        assert_eq!(vias.iter().map(|v| v.transport).collect::<Vec<_>>(), ["UDP", "TCP", "UDP"]);
        assert_eq!(vias[2].branch(), Some("z9hG4bK30239"));
        let route = m.routes().next().unwrap().unwrap();
        assert!(route.uri.is_loose_router());
        assert_eq!(route.uri.param("unknown-no-value"), Some(None));
        let Some(Ok(Contact::Address(contact))) = m.contact() else { panic!("no Contact") };
        assert_eq!(contact.display_name().unwrap(), "Quoted string \"\"");
        assert_eq!(contact.param("newparam"), Some(Some("newvalue")));
        assert_eq!(contact.param("secondparam"), Some(None));
        assert_eq!(m.header(HeaderName::Subject), Some(&b""[..]));
        assert_eq!(m.header_named("unknownheaderwithunusualvalue"), Some(&b";;,,;;,;"[..]));
        assert_eq!(m.body().len(), 150);
    });
}

#[test]
fn every_legal_letter_is_legal() {
    with("rfc4475/intmeth", |m| {
        let line = m.request().unwrap();
        assert_eq!((line.method, line.token), (Method::Unknown, &b"!interesting-Method0123456789_*+`.%indeed'~"[..]));
        assert_eq!(m.cseq().unwrap().token, line.token);
        let uri = Uri::parse(line.uri).unwrap();
        assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri.host(), Host::Name("example.com"));
        assert_eq!(m.to().unwrap().display_name().unwrap(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
        assert_eq!(m.from_tag(), Some("_token~1'+`*%!-."));
    });
}

#[test]
fn escapes_are_understood_where_they_are_escapes() {
    with("rfc4475/esc01", |m| {
        let uri = Uri::parse(m.request().unwrap().uri).unwrap();
        assert_eq!(uri.user(), Some("sips%3Auser%40example.com"));
        assert_eq!(uri.address_of_record().unwrap(), "sip:sips%3Auser%40example.com@example.net");
    });
    with("rfc4475/escnull", |m| {
        let contacts: Vec<_> = m.contacts().map(Result::unwrap).collect();
        let users = contacts.iter().map(|c| if let Contact::Address(a) = c { a.uri.user() } else { None });
        assert_eq!(users.collect::<Vec<_>>(), [Some("%00"), Some("%00%00")]);
    });
    with("rfc4475/esc02", |m| {
        assert_eq!(m.request().unwrap().token, b"RE%47IST%45R");
        assert_eq!(m.method(), Method::Unknown);
        assert_eq!(m.from().unwrap().display_name().unwrap(), "%Z%45");
    });
    with("rfc4475/semiuri", |m| {
        let uri = Uri::parse(m.request().unwrap().uri).unwrap();
        assert_eq!(uri.user(), Some("user;par=u%40example.net"));
        assert_eq!(uri.params().into_iter().count(), 0);
    });
    with("rfc4475/lwsdisp", |m| assert_eq!(m.from().unwrap().display_name().unwrap(), "caller"));
}

#[test]
fn bodies_are_kept_octet_by_octet_and_end_where_the_length_says() {
    with("rfc4475/mpart01", |m| {
        assert!(m.content_type().unwrap().is("multipart/mixed"));
        assert_eq!(m.content_type().unwrap().params.value("boundary"), Some("7a9cbec02ceef655"));
        assert!(m.body().starts_with(b"--7a9cbec02ceef655\r\n") && m.body().contains(&0));
        assert!(m.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
    });
    with("rfc4475/dblreq", |m| {
        assert_eq!(m.method(), Method::Register);
        assert!(m.body().is_empty());
    });
    for name in ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"] {
        with(&format!("rfc5118-fixed/{name}"), |m| {
            let length = std::str::from_utf8(m.header(HeaderName::ContentLength).unwrap()).unwrap().parse();
            assert_eq!(Ok(m.body().len()), length, "{name}");
            assert!(m.body().ends_with(b"\r\n"), "{name}");
        });
    }
}

#[test]
fn long_headers_are_read_whole() {
    with("rfc4475/longreq", |m| {
        assert_eq!(m.vias().filter(Result::is_ok).count(), 34);
        assert_eq!(m.vias().last().unwrap().unwrap().received(), Some("192.0.2.5"));
        assert_eq!(m.from_tag().unwrap().len(), 155);
    });
    with("rfc4475/transports", |m| {
        let all: Vec<_> = m.vias().map(|via| via.unwrap().transport).collect();
        assert_eq!(all, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    });
}

#[test]
fn a_reason_may_be_in_any_language_or_missing() {
    with("rfc4475/unreason", |m| {
        let status = m.status().unwrap();
        assert_eq!(status.code, 200);
        assert!(std::str::from_utf8(status.reason).unwrap().starts_with("= 2**3 * 5**2"));
    });
    with("rfc4475/noreason", |m| assert_eq!((m.status().unwrap().code, m.status().unwrap().reason), (100, &b""[..])));
}

#[test]
fn the_application_sees_what_its_refusals_need() {
    let scheme = |name: &str| {
        let octets = read(name);
        Uri::parse(Message::parse(&octets).unwrap().request().unwrap().uri).unwrap().scheme()
    };
    assert_eq!(scheme("rfc4475/unkscm"), Scheme::Other);
    assert_eq!(scheme("rfc4475/novelsc"), Scheme::Other);
    with("rfc4475/unksm2", |m| {
        assert_eq!(m.to().unwrap().uri.scheme(), Scheme::Other);
        assert_eq!(m.from().unwrap().uri.as_str(), "http://www.example.com");
        assert_eq!(m.from_tag(), Some("3234233"));
    });
    with("rfc4475/bext01", |m| {
        let required: Vec<_> = m.option_tags(HeaderName::Require).collect();
        assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
        let proxies: Vec<_> = m.option_tags(HeaderName::ProxyRequire).collect();
        assert_eq!(proxies, ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"]);
    });
    with("rfc4475/invut", |m| {
        let media = m.content_type().unwrap();
        assert!(media.is("application/unknownformat") && !media.is("application/sdp"));
    });
    with("rfc4475/sdp01", |m| assert!(!m.accepts("application/sdp") && m.accepts("text/nobodyKnowsThis")));
    with("rfc4475/regaut01", |m| {
        assert!(m.header(HeaderName::Authorization).unwrap().starts_with(b"NoOneKnowsThisScheme "));
    });
    with("rfc4475/zeromf", |m| assert_eq!(m.max_forwards(), Ok(Some(0))));
    with("rfc4475/inv2543", |m| {
        assert_eq!(m.max_forwards(), Ok(None));
        assert_eq!((m.via().unwrap().branch(), m.from_tag(), m.to_tag()), (None, None, None));
    });
    with("rfc4475/badbranch", |m| assert_eq!(m.via().unwrap().branch(), Some("z9hG4bK")));
}

#[test]
fn parameters_of_a_contact_and_of_its_uri_are_told_apart() {
    let contact = |name: &str, look: &dyn Fn(wire::sip::NameAddr<'_>)| {
        with(name, |m| match m.contact() {
            Some(Ok(Contact::Address(address))) => look(address),
            other => panic!("{other:?}"),
        });
    };
    contact("rfc4475/cparam01", &|c| {
        assert_eq!(c.param("unknownparam"), Some(None));
        assert_eq!(c.uri.param("unknownparam"), None);
    });
    contact("rfc4475/cparam02", &|c| {
        assert_eq!(c.param("unknownparam"), None);
        assert_eq!(c.uri.param("unknownparam"), Some(None));
    });
    contact("rfc4475/regescrt", &|c| assert_eq!(c.uri.headers(), Some("Route=%3Csip:sip.example.com%3E")));
}

#[test]
fn ipv6_is_an_address_wherever_it_stands() {
    let uri = |name: &str, look: &dyn Fn(Uri<'_>)| {
        with(name, |m| look(Uri::parse(m.request().unwrap().uri).unwrap()));
    };
    let address = |text: &str| Host::Address(text.parse().unwrap());
    uri("rfc5118/ipv6-good", &|uri| assert_eq!((uri.host(), uri.port()), (address("2001:db8::10"), None)));
    uri("rfc5118/port-ambiguous", &|uri| assert_eq!((uri.host(), uri.port()), (address("2001:db8::10:5070"), None)));
    uri("rfc5118/port-unambiguous", &|uri| assert_eq!((uri.host(), uri.port()), (address("2001:db8::10"), Some(5070))));
    uri("rfc5118/ipv6-bug-abnf-3-colons", &|uri| assert_eq!(uri.host(), address("2001:db8::192.0.2.1")));
    uri("rfc5118/ipv6-correct-abnf-2-colons", &|uri| assert_eq!(uri.host(), address("2001:db8::192.0.2.1")));
    with("rfc5118/via-received-param-with-delim", |m| {
        assert_eq!(m.via().unwrap().received(), Some("[2001:db8::9:255]"));
    });
    with("rfc5118/via-received-param-no-delim", |m| {
        assert_eq!(m.via().unwrap().received(), Some("2001:db8::9:255"));
        assert_eq!(m.via().unwrap().host, "[2001:db8::9:1]");
    });
    with("rfc5118/ipv4-mapped-ipv6", |m| {
        assert_eq!((m.via().unwrap().host, m.via().unwrap().port), ("[::ffff:192.0.2.10]", Some(19823)));
    });
    with("rfc5118/mult-ip-in-header", |m| {
        let hosts: Vec<_> = m.vias().map(|via| via.unwrap().host).collect();
        assert_eq!(hosts, ["[2001:db8::9:1]", "192.0.2.1", "[2001:db8::9:255]"]);
    });
}
