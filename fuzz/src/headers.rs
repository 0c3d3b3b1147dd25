//! Single headers: a value under each name that is read, in a message that is good otherwise.

use sip::Random;
use sip::dialog::Dialog;
use sip::digest::{Challenged, Client, Credentials, Preference};
use wire::sip::{HeaderName, Headers, Message, Method};

use crate::message;

/// The headers whose values somebody reads.
const NAMES: [&str; 32] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Contact",
    "Content-Length",
    "Content-Type",
    "Expires",
    "Event",
    "SIP-If-Match",
    "SIP-ETag",
    "Route",
    "Record-Route",
    "Supported",
    "Accept",
    "Require",
    "Proxy-Require",
    "Authorization",
    "Proxy-Authorization",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Min-Expires",
    "Subscription-State",
    "Content-Encoding",
    "Retry-After",
    "Session-Expires",
    "Min-SE",
    "P-Asserted-Identity",
    "Privacy",
    "X-Unknown",
];

/// The first octet chooses the header, and whether it stands in a request or a response; the rest is its value.
pub(crate) fn run(octets: &[u8]) {
    let Some((choice, value)) = octets.split_first() else { return };
    message::value(value);
    let name = NAMES.get(usize::from(choice % 32)).copied().unwrap_or("X-Unknown");
    let usual = [
        ("Via", "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1"),
        ("From", "<sip:a@fuzz.example>;tag=1"),
        ("To", "<sip:b@fuzz.example>;tag=2"),
        ("Call-ID", "1"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:a@192.0.2.9>"),
    ];
    let start: &[u8] =
        if choice & 0x80 == 0 { b"INVITE sip:b@fuzz.example SIP/2.0\r\n" } else { b"SIP/2.0 401 No\r\n" };
    let mut whole = start.to_vec();
    for (other, text) in usual.into_iter().filter(|(other, _)| choice & 0x40 != 0 || *other != name) {
        whole.extend_from_slice(format!("{other}: {text}\r\n").as_bytes());
    }
    whole.extend_from_slice(name.as_bytes());
    whole.extend_from_slice(b": ");
    whole.extend_from_slice(value);
    whole.extend_from_slice(b"\r\n\r\n");
    message::run(&whole);
    let Ok(message) = Message::parse(&whole) else { return };
    if message.check().is_ok() {
        who_reads_it(&message);
    }
}

/// Dialogs and digest read what has been checked.
fn who_reads_it(message: &Message<'_>) {
    let mut dialogs = [Dialog::uas(message, "mine").ok(), Dialog::uac(message, message).ok()];
    for dialog in dialogs.iter_mut().flatten() {
        let _ = dialog.accept(message);
        let request = dialog.request(Method::Bye);
        assert!(!request.uri.bytes().any(|octet| matches!(octet, b'\r' | b'\n')), "a URI that ends a line");
    }
    let credentials = Credentials { username: "a".to_owned(), password: "secret".to_owned() };
    let mut client = Client::new(credentials, Preference::Strongest);
    if client.challenged(message) != Challenged::Unknown {
        let mut random = Random::from_number(1);
        for (name, value) in client.authorize(&mut random, "INVITE", "sip:b@fuzz.example") {
            assert!(matches!(name, HeaderName::Authorization | HeaderName::ProxyAuthorization), "another header");
            let mut headers = Headers::new();
            headers.push(name, value);
            let ends = headers.as_bytes().iter().filter(|octet| matches!(octet, b'\r' | b'\n')).count();
            assert_eq!(ends, 2, "credentials of several lines");
        }
    }
}
