//! Dialog and watcher information documents: written, read back, and what the field sends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use wire::dialog_info::{self, Dialog, Direction, Participant, State};
use wire::watcher_info::{self, Status, Watcher};
use wire::{DocumentFault, limits};

const JOHN: &str = "sip:john.doe@sfb.example";

fn dialog() -> Dialog {
    Dialog {
        id: "d1".into(),
        call_id: Some("a\"b&c@192.0.2.1".into()),
        local_tag: Some("l1".into()),
        remote_tag: Some("r1".into()),
        direction: Some(Direction::Recipient),
        state: State::Terminated,
        event: Some(dialog_info::Event::RemoteBye),
        code: Some(487),
        local: Participant {
            target: Some("sip:john@192.0.2.2:5060".into()),
            params: vec![("+sip.rendering".into(), "no".into())],
            ..Participant::default()
        },
        remote: Participant {
            identity: Some("sip:jane@sfb.example".into()),
            display: Some("Jane <\"Roe\">".into()),
            ..Participant::default()
        },
    }
}

fn watcher(id: &str, status: Status) -> Watcher {
    let (uri, display) = ("sip:jane@sfb.example".into(), Some("Jane & co".into()));
    Watcher { id: id.into(), uri, display, status, event: watcher_info::Event::Subscribe }
}

#[test]
fn a_dialog_document_is_read_as_it_was_written() {
    let dialogs = [dialog(), Dialog { id: "d2".into(), state: State::Early, ..Dialog::default() }];
    let read = dialog_info::read(&dialog_info::write(JOHN, &dialogs)).unwrap();
    assert_eq!((read.entity.as_str(), read.version, read.full), (JOHN, 0, true));
    assert_eq!(read.dialogs, dialogs);
}

#[test]
fn a_document_gets_another_number_and_nothing_else_changes() {
    let document = dialog_info::write(JOHN, [&dialog()]);
    let numbered = dialog_info::numbered(&document, 4_000_000_000);
    assert_eq!(dialog_info::read(&numbered).unwrap().version, 4_000_000_000);
    assert_eq!(dialog_info::read(&numbered).unwrap().dialogs, [dialog()]);
    assert_eq!(dialog_info::numbered(&document, 0), document);
    assert_eq!(dialog_info::numbered(b"something else", 7), b"something else");
    let document = watcher_info::write(JOHN, "presence", [&watcher("w1", Status::Active)]);
    assert_eq!(watcher_info::read(&watcher_info::numbered(&document, 12)).unwrap().version, 12);
}

#[test]
fn a_watcher_document_is_read_as_it_was_written() {
    let watchers = [watcher("w1", Status::Pending), watcher("w2", Status::Terminated)];
    let read = watcher_info::read(&watcher_info::write(JOHN, "presence", &watchers)).unwrap();
    assert_eq!((read.resource.as_str(), read.package.as_str(), read.full), (JOHN, "presence", true));
    assert_eq!(read.watchers, watchers);
}

#[test]
fn what_phones_publish_is_read_liberally() {
    let snom = r#"<?xml version="1.0"?>
        <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial" entity="sip:john.doe@sfb.example">
        <dialog id="x" call-id="c" local-tag="a" remote-tag="b" direction="initiator"><state>Confirmed</state>
        <local><identity>sip:john.doe@sfb.example</identity><target uri="sip:john@10.0.0.1"><param pname="+sip.rendering" pvalue="no"/></target></local>
        <remote><identity display="Jane">sip:jane@sfb.example</identity></remote></dialog>
        <dialog id="y"><state>unheard-of</state></dialog><dialog id="z"/></dialog-info>"#;
    let read = dialog_info::read(snom.as_bytes()).unwrap();
    assert_eq!((read.dialogs.len(), read.full, read.version), (1, false, 3));
    assert_eq!(read.dialogs[0].state, State::Confirmed);
    assert_eq!(read.dialogs[0].local.params, [("+sip.rendering".to_owned(), "no".to_owned())]);
    let bare = "<dialog-info><dialog><state event='no-such' code='9999'>early</state></dialog></dialog-info>";
    let read = dialog_info::read(bare.as_bytes()).unwrap();
    assert_eq!(read.dialogs, [Dialog { state: State::Early, ..Dialog::default() }]);
}

#[test]
fn what_is_no_such_document_or_too_much_of_one_is_refused() {
    let malformed = |body: &str| matches!(dialog_info::read(body.as_bytes()), Err(DocumentFault::Malformed(_)));
    assert!(malformed("") && malformed("<presence/>") && malformed("<dialog-info>"));
    assert!(malformed("<!DOCTYPE a [<!ENTITY b 'c'>]><dialog-info/>"));
    assert_eq!(dialog_info::read(&[0xff]), Err(DocumentFault::Malformed("the body is not UTF-8")));
    let many =
        format!("<dialog-info>{}</dialog-info>", "<dialog><state>early</state></dialog>".repeat(limits::DIALOGS + 1));
    assert_eq!(dialog_info::read(many.as_bytes()), Err(DocumentFault::TooLarge));
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    assert_eq!(dialog_info::read(deep.as_bytes()), Err(DocumentFault::TooLarge));
    let long = format!("<dialog-info>{}</dialog-info>", " ".repeat(70_000));
    assert_eq!(dialog_info::read(long.as_bytes()), Err(DocumentFault::TooLarge));
    assert!(matches!(watcher_info::read(b"<dialog-info/>"), Err(DocumentFault::Malformed(_))));
    assert_eq!(watcher_info::read(b"<watcherinfo/>").unwrap().watchers, []);
}
