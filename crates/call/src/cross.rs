//! What crosses the border between the two legs of a call; everything else stays on its side.

use wire::sip::{HeaderName, Headers, Message, Method};

/// The headers that go over as they are. Per-leg headers (Via, Route, Contact, Supported, Require, Allow, credentials,
/// timers and their like) never stand here.
const CROSSING: [HeaderName; 8] = [
    HeaderName::ContentType,
    HeaderName::ContentDisposition,
    HeaderName::ContentLanguage,
    HeaderName::ContentEncoding,
    HeaderName::MimeVersion,
    HeaderName::Subject,
    HeaderName::Reason,
    HeaderName::AlertInfo,
];

/// What we let other user agents ask of us.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, MESSAGE";

/// The methods that pass through inside a dialog.
pub(crate) fn passes(method: Method) -> bool {
    matches!(method, Method::Update | Method::Info | Method::Message)
}

/// Copies what crosses.
pub(crate) fn copy(message: &Message<'_>, headers: &mut Headers) {
    for header in message.headers().filter(|header| CROSSING.contains(&header.name)) {
        headers.push(header.name, header.value);
    }
}

/// The status that one side gets for one of the other's: challenges and redirections are not for it, and only we
/// may say that we are overloaded.
pub(crate) fn reported(code: u16) -> u16 {
    match code {
        300..=399 | 401 | 407 => 480,
        503 => 500,
        other => other,
    }
}

/// The lines among those that crossed which describe a body.
pub(crate) fn description(headers: &Headers) -> Headers {
    let mut own = Headers::new();
    let text = String::from_utf8_lossy(headers.as_bytes());
    for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("content-") || lower == "mime-version" {
            own.push_named(name, value);
        }
    }
    own
}
