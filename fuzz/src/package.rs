//! Dialogs and waiting messages: published, composed, and what watchers get can be read, and goes forward only.

use std::collections::BTreeMap;

use wire::dialog_info::{self, State};
use wire::limits;
use wire::sip::{HeaderName, Message, Method};

use crate::border::Border;

/// Where two documents part: the input holds publications of one user.
const PARTS: u8 = 0x1e;

/// How many of them are looked at.
const MOST: usize = 8;

const DIALOG: (&str, &str) = ("dialog", "application/dialog-info+xml");
const MESSAGES: (&str, &str) = ("message-summary", "application/simple-message-summary");

/// Publishes documents and looks at what comes out. The first octet says of which package they are.
pub(crate) fn run(octets: &[u8]) {
    let Some((choice, documents)) = octets.split_first() else { return };
    let of = if choice % 2 == 0 { DIALOG } else { MESSAGES };
    let mut border = Border::new();
    border.datagram(Border::PBX, subscribe(of).as_bytes());
    border.settle();
    let mut known = BTreeMap::new();
    for (number, document) in documents.split(|octet| *octet == PARTS).take(MOST).enumerate() {
        if document.len() > limits::MESSAGE - 1_000 {
            return;
        }
        let _ = dialog_info::read(document);
        border.datagram(Border::PBX, &[publish(number, of, document.len()).as_bytes(), document].concat());
        border.settle();
        for composed in bodies(&border.take(), of.1) {
            if of == DIALOG {
                follow(&composed, &mut known);
            } else {
                let text = std::str::from_utf8(&composed).expect("a summary is text");
                assert!(text.starts_with("Messages-Waiting: yes\r\n") || text.starts_with("Messages-Waiting: no\r\n"));
            }
        }
    }
}

/// A dialog has one id, goes forward only, and is not heard of again once it is over.
fn follow(composed: &[u8], known: &mut BTreeMap<String, State>) {
    let document = dialog_info::read(composed).expect("the composed document can be read");
    let mut told = Vec::new();
    for dialog in document.dialogs {
        assert!(!told.contains(&dialog.id), "the id {} is there twice", dialog.id);
        told.push(dialog.id.clone());
        let before = known.insert(dialog.id.clone(), dialog.state);
        assert!(before.is_none_or(|before| before <= dialog.state && before < State::Terminated), "{}", dialog.id);
    }
}

fn subscribe((event, media_type): (&str, &str)) -> String {
    let pbx = Border::PBX;
    format!(
        "SUBSCRIBE sip:alice@fuzz.example SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKs\r\n\
         From: <sip:pbx@fuzz.example>;tag=w\r\nTo: <sip:alice@fuzz.example>\r\nCall-ID: watch\r\nCSeq: 1 SUBSCRIBE\r\n\
         Contact: <sip:watcher@{pbx}>\r\nEvent: {event}\r\nAccept: {media_type}\r\nExpires: 600\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn publish(number: usize, (event, media_type): (&str, &str), length: usize) -> String {
    let (pbx, instance) = (Border::PBX, number % 3);
    format!(
        "PUBLISH sip:alice@fuzz.example SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKp{number}\r\n\
         From: <sip:alice@fuzz.example>;tag=p{number}\r\nTo: <sip:alice@fuzz.example>\r\nCall-ID: publish{number}\r\n\
         CSeq: 1 PUBLISH\r\nContact: <sip:pbx@{pbx}>;+sip.instance=\"<urn:uuid:{instance}>\"\r\nEvent: {event}\r\n\
         Content-Type: {media_type}\r\nExpires: 600\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The bodies of this type among the NOTIFYs.
fn bodies(sent: &[Vec<u8>], media_type: &str) -> Vec<Vec<u8>> {
    let notifies = sent.iter().filter_map(|octets| Message::parse(octets).ok());
    let notifies = notifies.filter(|message| message.method() == Method::Notify && message.is_request());
    let of_type = notifies.filter(|notify| notify.header(HeaderName::ContentType) == Some(media_type.as_bytes()));
    let mut all: Vec<Vec<u8>> = of_type.map(|notify| notify.body().to_vec()).collect();
    all.dedup();
    all
}
