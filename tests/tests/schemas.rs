//! What is written is valid: the documents of the publisher and of the presence server, judged by xmllint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use tests::{canonical, material, repository, schema_faults};
use wire::pidf::{Spelling, on_the_phone};

const JOHN: &str = "sip:john.doe@sfb.example";

fn document(spelling: Spelling, name: Option<&str>) -> String {
    String::from_utf8(on_the_phone(spelling, JOHN, name, "a1b2c3")).expect("UTF-8")
}

#[test]
fn the_document_of_the_manual_page_is_written_as_on_the_page() {
    let page = fs::read_to_string(material("pidf/audiocodes-seed-on-the-phone.xml")).unwrap();
    assert_eq!(canonical(&document(Spelling::Skype, Some("John Doe"))), canonical(&page));
}

#[test]
fn the_other_spellings_are_valid_against_the_schemas() {
    for spelling in [Spelling::Both, Spelling::Rfc4480] {
        for name in [None, Some("John Doe"), Some("J\u{f6}rg <\"&'> M\u{fc}ller ]]>")] {
            let written = document(spelling, name);
            assert_eq!(schema_faults(&written), None, "{written}");
        }
    }
}

#[test]
fn what_the_presence_server_composes_is_valid_against_the_schemas() {
    let composed = repository().join("crates/presence/tests/server/composed");
    let mut seen = 0;
    for entry in fs::read_dir(composed).expect("the composed documents of the presence crate") {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(schema_faults(&text), None, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 10, "{seen} documents");
}

#[test]
fn the_judge_is_awake() {
    assert!(
        schema_faults("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@b\"><tuple/></presence>")
            .is_some()
    );
    assert_ne!(canonical("<a b=\"1\"/>"), canonical("<a b=\"2\"/>"));
    assert_eq!(canonical("<a   c='2' b='1'></a>"), canonical("<a b=\"1\" c=\"2\"/>"));
}
