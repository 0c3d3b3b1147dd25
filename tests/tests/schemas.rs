//! What is written is valid: the documents of the publisher and of the presence server, judged by xmllint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use tests::{canonical, material, repository, schema_faults};
use wire::dialog_info::{self, Dialog, Direction, Participant, State};
use wire::pidf::{Spelling, on_the_phone};
use wire::watcher_info::{self, Status, Watcher};

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
fn dialog_and_watcher_documents_are_valid_against_the_schemas() {
    let party = Participant {
        identity: Some("sip:j%C3%B6rg@sfb.example".into()),
        display: Some("J\u{f6}rg <\"&'> ]]>".into()),
        target: Some("sip:joerg@192.0.2.1:5060;transport=tcp".into()),
        params: vec![("+sip.rendering".into(), "no".into())],
    };
    let whole = Dialog {
        id: "d1".into(),
        call_id: Some("a<b>&\"c@[::1]".into()),
        local_tag: Some("l".into()),
        remote_tag: Some("r".into()),
        direction: Some(Direction::Initiator),
        state: State::Terminated,
        event: Some(dialog_info::Event::LocalBye),
        code: Some(200),
        local: party.clone(),
        remote: party,
    };
    let early = Dialog { id: "d2".into(), state: State::Early, ..Dialog::default() };
    for dialogs in [vec![], vec![early.clone()], vec![whole, early]] {
        let written = String::from_utf8(dialog_info::numbered(&dialog_info::write(JOHN, &dialogs), u32::MAX)).unwrap();
        assert_eq!(schema_faults(&written), None, "{written}");
    }
    let watcher =
        |status, event| Watcher { id: "w".into(), uri: JOHN.into(), display: Some("<J>".into()), status, event };
    for watchers in [
        vec![],
        vec![
            watcher(Status::Pending, watcher_info::Event::Subscribe),
            watcher(Status::Active, watcher_info::Event::Approved),
            watcher(Status::Terminated, watcher_info::Event::Noresource),
        ],
    ] {
        let written = String::from_utf8(watcher_info::write(JOHN, "presence", &watchers)).unwrap();
        assert_eq!(schema_faults(&written), None, "{written}");
    }
    let faulty = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\"/>";
    assert!(schema_faults(faulty).is_some(), "the entity is missing");
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
