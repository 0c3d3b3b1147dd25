//! The requests of publishers, watchers and callers, and the answers of a callee, as text.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::message;

/// The domain of everyone.
pub(crate) const DOMAIN: &str = "bench.example";

/// What both sides of a call offer and answer.
const SESSION: &str = "v=0\r\no=g 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                       m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                       a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n";

/// Who asks: a name that makes this run's requests unlike those of any other, and an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'a> {
    pub(crate) run: &'a str,
    pub(crate) here: SocketAddr,
}

/// A PUBLISH of the presentity with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) number: usize,
    pub(crate) cseq: u32,
    pub(crate) expires: u32,
    /// None for the initial one.
    pub(crate) entity_tag: Option<&'a str>,
    pub(crate) body: &'a str,
}

impl Publish<'_> {
    pub(crate) fn write(&self, text: &mut String, From { run, here }: From<'_>) {
        let Self { number, cseq, expires, .. } = self;
        text.clear();
        let _ = write!(
            text,
            "PUBLISH sip:u{number}@{DOMAIN} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here};branch=z9hG4bK{run}p{number}.{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{number}@{DOMAIN}>;tag=f{number}\r\nTo: <sip:u{number}@{DOMAIN}>\r\n\
             Call-ID: {run}p{number}@publisher\r\nCSeq: {cseq} PUBLISH\r\nEvent: presence\r\nExpires: {expires}\r\n"
        );
        if let Some(entity_tag) = self.entity_tag {
            let _ = write!(text, "SIP-If-Match: {entity_tag}\r\n");
        }
        if !self.body.is_empty() {
            text.push_str("Content-Type: application/pidf+xml\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
    }
}

/// A SUBSCRIBE of the subscription with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribe<'a> {
    pub(crate) number: usize,
    pub(crate) presentity: usize,
    pub(crate) watcher: usize,
    pub(crate) cseq: u32,
    pub(crate) expires: u32,
    /// Both are empty in the first.
    pub(crate) to_tag: &'a str,
    pub(crate) contact: &'a str,
}

impl Subscribe<'_> {
    pub(crate) fn write(&self, text: &mut String, From { run, here }: From<'_>) {
        let Self { number, presentity, watcher, cseq, expires, to_tag, contact } = self;
        text.clear();
        if contact.is_empty() {
            let _ = write!(text, "SUBSCRIBE sip:u{presentity}@{DOMAIN} SIP/2.0\r\n");
        } else {
            let _ = write!(text, "SUBSCRIBE {contact} SIP/2.0\r\n");
        }
        let _ = write!(
            text,
            "Via: SIP/2.0/UDP {here};branch=z9hG4bK{run}s{number}.{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:w{watcher}@{DOMAIN}>;tag=g{number}\r\nTo: <sip:u{presentity}@{DOMAIN}>"
        );
        if !to_tag.is_empty() {
            let _ = write!(text, ";tag={to_tag}");
        }
        let _ = write!(
            text,
            "\r\nCall-ID: {run}s{number}@watcher\r\nCSeq: {cseq} SUBSCRIBE\r\nContact: <sip:w{watcher}@{here}>\r\n\
             Event: presence\r\nAccept: application/pidf+xml\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
        );
    }
}

/// What a caller knows of the call with this number. The last three are empty until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) number: usize,
    pub(crate) server: SocketAddr,
    pub(crate) to_tag: &'a str,
    pub(crate) contact: &'a str,
    pub(crate) routes: &'a str,
}

impl Call<'_> {
    /// INVITE, ACK or BYE.
    pub(crate) fn write(&self, text: &mut String, From { run, here }: From<'_>, method: &str) {
        let Self { number, server, to_tag, contact, routes } = self;
        let cseq = if method == "BYE" { 2 } else { 1 };
        text.clear();
        if method == "INVITE" || contact.is_empty() {
            let _ = write!(text, "{method} sip:b{number}@{server} SIP/2.0\r\n");
        } else {
            let _ = write!(text, "{method} {contact} SIP/2.0\r\n");
        }
        let _ = write!(
            text,
            "Via: SIP/2.0/UDP {here};branch=z9hG4bK{run}.{number}.{method}\r\n{routes}\
             From: <sip:a{number}@{DOMAIN}>;tag=f{number}\r\nTo: <sip:b{number}@{DOMAIN}>"
        );
        if !to_tag.is_empty() {
            let _ = write!(text, ";tag={to_tag}");
        }
        let _ = write!(
            text,
            "\r\nCall-ID: {run}c{number}@caller\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:a@{here};transport=udp>\r\n"
        );
        if method == "INVITE" {
            let _ = write!(
                text,
                "Content-Type: application/sdp\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nSupported: timer\r\n\
                 Content-Length: {}\r\n\r\n{SESSION}",
                SESSION.len()
            );
        } else {
            text.push_str("Content-Length: 0\r\n\r\n");
        }
    }
}

/// The callee's 180 to an INVITE.
pub(crate) fn ringing(text: &mut String, invite: &str, here: SocketAddr) {
    let rest = format!("Contact: <sip:b@{here};transport=udp>\r\nContent-Length: 0\r\n\r\n");
    message::answer(text, invite, "180 Ringing", "callee", &rest);
}

/// The callee's 200 to an INVITE.
pub(crate) fn answered(text: &mut String, invite: &str, here: SocketAddr) {
    let rest = format!(
        "Contact: <sip:b@{here};transport=udp>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SESSION}",
        SESSION.len()
    );
    message::answer(text, invite, "200 OK", "callee", &rest);
}

/// The 200 to any other request.
pub(crate) fn confirmed(text: &mut String, request: &str, tag: &str) {
    message::answer(text, request, "200 OK", tag, "Content-Length: 0\r\n\r\n");
}

/// The document of a presentity, with a number by which a watcher knows it again.
pub(crate) fn document(number: usize, content: u32) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:u{number}@{DOMAIN}\">\r\n\
         <tuple id=\"sbc{number}\"><status><basic>open</basic></status><contact>sip:u{number}@{DOMAIN}</contact>\
         <note>q{content}e</note></tuple>\r\n\
         <dm:person id=\"p{number}\"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>\r\n\
         </presence>\r\n"
    )
}
