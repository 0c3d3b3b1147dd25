//! Presence documents: read, published, composed, and what watchers get is well-formed and true.

use wire::limits;
use wire::pidf;
use wire::sip::{HeaderName, Message, Method};

use crate::border::Border;

/// Where two documents part: the input holds one or two publications of one user.
const PARTS: u8 = 0x1e;

/// Publishes documents and looks at what comes out.
pub(crate) fn run(octets: &[u8]) {
    let mut documents = octets.splitn(2, |octet| *octet == PARTS);
    let first = documents.next().unwrap_or_default();
    let _ = pidf::read(first);
    let mut border = Border::new();
    border.datagram(Border::PBX, subscribe().as_bytes());
    let mut on_the_phone = false;
    for (number, document) in std::iter::once(first).chain(documents).enumerate() {
        if document.len() > limits::MESSAGE - 1_000 {
            return;
        }
        let request = [publish(number, document.len()).as_bytes(), document].concat();
        border.datagram(Border::PBX, &request);
        let said = pidf::read(document).is_ok_and(|reading| reading.is_on_the_phone());
        on_the_phone |= said && status(&border.take()) == Some(200);
        border.settle();
        let Some(composed) = newest_document(&border.take()) else { continue };
        let text = std::str::from_utf8(&composed).expect("the composed document is UTF-8");
        let options = roxmltree::ParsingOptions { allow_dtd: false, ..roxmltree::ParsingOptions::default() };
        let parsed = roxmltree::Document::parse_with_options(text, options);
        assert!(parsed.is_ok(), "the composed document is no XML: {parsed:?}\n{text}");
        let reading = pidf::read(&composed);
        let shown = reading.as_ref().is_ok_and(pidf::Reading::is_on_the_phone);
        assert!(reading.is_ok(), "the composed document cannot be read: {reading:?}\n{text}");
        assert!(shown || !on_the_phone, "published on the phone, and not shown so:\n{text}");
    }
}

fn subscribe() -> String {
    let pbx = Border::PBX;
    format!(
        "SUBSCRIBE sip:alice@fuzz.example SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKs\r\n\
         From: <sip:pbx@fuzz.example>;tag=w\r\nTo: <sip:alice@fuzz.example>\r\nCall-ID: watch\r\nCSeq: 1 SUBSCRIBE\r\n\
         Contact: <sip:watcher@{pbx}>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 600\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn publish(number: usize, length: usize) -> String {
    let pbx = Border::PBX;
    format!(
        "PUBLISH sip:alice@fuzz.example SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKp{number}\r\n\
         From: <sip:alice@fuzz.example>;tag=p{number}\r\nTo: <sip:alice@fuzz.example>\r\nCall-ID: publish{number}\r\n\
         CSeq: 1 PUBLISH\r\nContact: <sip:pbx@{pbx}>;+sip.instance=\"<urn:uuid:{number}>\"\r\nEvent: presence\r\n\
         Content-Type: application/pidf+xml\r\nExpires: 600\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The final status among what was sent for a PUBLISH.
fn status(sent: &[Vec<u8>]) -> Option<u16> {
    let messages = sent.iter().filter_map(|octets| Message::parse(octets).ok());
    let of_publish = messages.filter(|message| message.cseq().is_ok_and(|cseq| cseq.method == Method::Publish));
    of_publish.filter_map(|message| message.status().map(|status| status.code)).find(|code| *code >= 200)
}

/// The body of the last NOTIFY, where it has one.
fn newest_document(sent: &[Vec<u8>]) -> Option<Vec<u8>> {
    let notifies = sent.iter().rev().filter_map(|octets| Message::parse(octets).ok());
    let mut notifies = notifies.filter(|message| message.method() == Method::Notify && message.is_request());
    let newest = notifies.next()?;
    let kind = newest.header(HeaderName::ContentType).unwrap_or_default();
    (kind == b"application/pidf+xml").then(|| newest.body().to_vec())
}
