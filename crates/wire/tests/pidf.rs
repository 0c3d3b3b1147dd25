//! Presence documents: every spelling of on-the-phone is read, three are written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]
#![allow(clippy::disallowed_methods, reason = "documents are left in a file for a validator")]

use roxmltree::{Document, Node};
use wire::limits;
use wire::pidf::{PidfFault, Reading, Spelling, on_the_phone, read};

macro_rules! sample {
    ($file:literal) => {
        include_bytes!(concat!("../../../tests/material/pidf/", $file)).as_slice()
    };
}

const ALL: [Spelling; 3] = [Spelling::Skype, Spelling::Both, Spelling::Rfc4480];

#[test]
fn every_spelling_of_on_the_phone_is_recognised() {
    let calls = [
        ("AudioCodes, LCS and OCS: text in the names of a draft", sample!("audiocodes-seed-on-the-phone.xml")),
        ("SIPE", sample!("sipe-ocs-lcs-pidf.xml")),
        ("Cisco CUCM: another draft, in person and tuple", sample!("cisco-cucm7-on-the-phone.xml")),
        ("Asterisk: RFC 4480, a person without an id", sample!("asterisk-pjsip-on-the-phone.xml")),
        ("FreeSWITCH: RFC 4480", sample!("freeswitch-on-the-phone.xml")),
        ("pjsua: busy, and a note", sample!("pjsua-2.17-on-the-phone-text-busy-captured.xml")),
    ];
    for (who, document) in calls {
        let reading = read(document).unwrap();
        assert!(reading.is_on_the_phone(), "{who}: {reading:?}");
        assert_eq!(reading.open, Some(true), "{who}");
        assert!(reading.entity.starts_with("sip:"), "{who}");
    }
}

#[test]
fn who_is_merely_there_or_busy_is_not_on_the_phone() {
    let others = [
        sample!("baresip-1.0.0-online-captured.xml"),
        sample!("linphone-5.1.65-online-captured.xml"),
        sample!("pjsua-2.17-online-captured.xml"),
        sample!("exosip-linphone1-rpid-status-busy.xml"),
        sample!("cisco-imp-available.xml"),
    ];
    for document in others {
        let reading = read(document).unwrap();
        assert!(!reading.is_on_the_phone(), "{reading:?}");
        assert_eq!(reading.open, Some(true), "{reading:?}");
    }
    assert_eq!(read(sample!("exosip-linphone1-rpid-status-busy.xml")).unwrap().activities, ["busy"]);
}

#[test]
fn what_is_no_pidf_is_refused_with_a_reason() {
    let dtd = read(sample!("freeswitch-polycom-xpidf.xml"));
    assert!(matches!(&dtd, Err(PidfFault::NotXml(why)) if why.contains("DTD")), "{dtd:?}");
    assert_eq!(read(sample!("lync-ocs2007-phonestate-publication.xml")), Err(PidfFault::NotPresence));
    assert!(matches!(read(b"<presence"), Err(PidfFault::NotXml(_))));
    assert!(matches!(read(b""), Err(PidfFault::NotXml(_))));
    assert!(matches!(read(b"<presence>\xff</presence>"), Err(PidfFault::NotXml(_))));
}

#[test]
fn no_entity_is_expanded_and_every_bound_holds() {
    let laughs = "<!DOCTYPE presence [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><presence entity=\"&b;\"/>";
    assert!(matches!(read(laughs.as_bytes()), Err(PidfFault::NotXml(_))));
    let outside = "<!DOCTYPE presence SYSTEM \"file:///etc/passwd\"><presence/>";
    assert!(matches!(read(outside.as_bytes()), Err(PidfFault::NotXml(_))));
    let long = format!("<presence>{}</presence>", " ".repeat(limits::DOCUMENT));
    assert_eq!(read(long.as_bytes()), Err(PidfFault::TooLong(long.len())));
    let inside = |depth| format!("<presence>{}<b/>{}</presence>", "<a>".repeat(depth - 2), "</a>".repeat(depth - 2));
    assert!(read(inside(limits::DEPTH).as_bytes()).is_ok());
    assert_eq!(read(inside(limits::DEPTH + 1).as_bytes()), Err(PidfFault::TooDeep));
    let apart = format!(
        "<presence>{}</presence>",
        "<!-- <a> --><a b='>/<'><c d=\"<\"/></a><?p <a> ?>".repeat(limits::DEPTH * 2)
    );
    assert!(!matches!(read(apart.as_bytes()), Err(PidfFault::TooDeep)));
    // A comment that begins with `>` hides no element, neither by an end tag nor by a quote.
    for hidden in ["<!--></a>-->", "<!--><b c='-->"] {
        let deep = format!("<presence>{}{}</presence>", format!("<a>{hidden}").repeat(500), "</a>".repeat(500));
        assert_eq!(read(deep.as_bytes()), Err(PidfFault::TooDeep), "{hidden}");
    }
    let attributes = |count: usize| -> String { (0..count).map(|number| format!(" a{number}='='")).collect() };
    assert!(read(format!("<presence{}/>", attributes(limits::ATTRIBUTES)).as_bytes()).is_ok());
    let too_many = format!("<presence{}/>", attributes(limits::ATTRIBUTES + 1));
    assert_eq!(read(too_many.as_bytes()), Err(PidfFault::TooWide));
    let wide = format!("<presence>{}</presence>", "<a/>".repeat(usize::try_from(limits::NODES).unwrap() + 1));
    assert!(matches!(read(wide.as_bytes()), Err(PidfFault::NotXml(_))));
}

#[test]
fn what_is_written_reads_back_as_what_it_says() {
    for spelling in ALL {
        let document = on_the_phone(spelling, "sip:john.doe@sfb.example", Some("John Doe"), "0a1");
        let wanted = Reading {
            entity: "sip:john.doe@sfb.example".to_owned(),
            open: Some(true),
            activities: vec!["on-the-phone".to_owned()],
            notes: if spelling == Spelling::Skype { vec![] } else { vec!["On the phone".to_owned()] },
        };
        assert_eq!(read(&document), Ok(wanted), "{spelling:?}");
    }
}

/// An element without what canonicalisation does not see: prefixes, the order of attributes, white space between elements.
fn canonical(node: Node<'_, '_>) -> String {
    let name = node.tag_name();
    let mut attributes: Vec<_> =
        node.attributes().map(|a| format!("{:?}{}={}", a.namespace(), a.name(), a.value())).collect();
    attributes.sort();
    let children: Vec<_> = node
        .children()
        .filter_map(|child| match child.is_element() {
            true => Some(canonical(child)),
            false => child.text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned),
        })
        .collect();
    format!("{:?}{} {attributes:?} {children:?}", name.namespace(), name.name())
}

#[test]
fn skype_is_element_for_element_the_document_of_the_manual() {
    let written = on_the_phone(Spelling::Skype, "sip:john.doe@sfb.example", Some("John Doe"), "anything");
    let written = String::from_utf8(written).unwrap();
    let printed = std::str::from_utf8(sample!("audiocodes-seed-on-the-phone.xml")).unwrap();
    let (ours, theirs) = (Document::parse(&written).unwrap(), Document::parse(printed).unwrap());
    assert_eq!(canonical(ours.root_element()), canonical(theirs.root_element()));
    let prefixes = |document: &Document<'_>| -> Vec<String> {
        document.root_element().namespaces().map(|ns| format!("{:?} {}", ns.name(), ns.uri())).collect()
    };
    assert_eq!(prefixes(&ours), prefixes(&theirs), "the names are declared as on the page, in its order");
}

#[test]
fn the_rfc_is_spelled_in_the_namespaces_of_the_rfcs() {
    for spelling in [Spelling::Both, Spelling::Rfc4480] {
        let written = String::from_utf8(on_the_phone(spelling, "sip:a@b", None, "7")).unwrap();
        let document = Document::parse(&written).unwrap();
        let has = |ns, name| document.descendants().any(|node| node.has_tag_name((ns, name)));
        assert!(has("urn:ietf:params:xml:ns:pidf:data-model", "person"));
        assert!(has("urn:ietf:params:xml:ns:pidf:rpid", "on-the-phone"));
        assert_eq!(has("urn:ietf:params:xml:ns:pidf:status:rpid-status", "activity"), spelling == Spelling::Both);
        assert!(!has("urn:ietf:params:xml:ns:pidf:cipid", "display-name"));
        let mut ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["p7", "t7"]);
    }
}

#[test]
fn names_are_escaped_and_cannot_add_an_element() {
    let hostile = "</ci:display-name><tuple id=\"x\"/>\"'&\u{1}\u{ffff}\u{2028}\r\n]]>";
    for spelling in ALL {
        let written = String::from_utf8(on_the_phone(spelling, hostile, Some(hostile), "\"><x/>")).unwrap();
        let document = Document::parse(&written).unwrap();
        let tuples = document.descendants().filter(|node| node.tag_name().name() == "tuple").count();
        assert_eq!(tuples, 1, "{written}");
        assert!(!document.descendants().any(|node| node.tag_name().name() == "x"));
        let name = document.descendants().find(|node| node.tag_name().name() == "display-name").unwrap();
        assert_eq!(name.text().unwrap(), "</ci:display-name><tuple id=\"x\"/>\"'&\u{2028}  ]]>");
    }
}

/// They stand in the target directory, for who wants to hold them against the schemas in `tests/material/pidf/xsd`.
#[test]
fn one_document_of_each_spelling_is_left_for_validation() {
    for spelling in ALL {
        for (which, name) in [("named", Some("Jöhn <\"&'> Doe")), ("unnamed", None)] {
            let document = on_the_phone(spelling, "sip:john.doe@sfb.example", name, "7f3a-0");
            let path = format!("{}/{spelling:?}-{which}.xml", env!("CARGO_TARGET_TMPDIR"));
            std::fs::write(path, document).unwrap();
        }
    }
}
