//! By what a request finds its transaction, and what follows an INVITE under the branch of it.

use std::fmt::Write as _;
use std::sync::Arc;

use wire::sip::{HeaderName, Headers, Message, Method, print};

use crate::names::push_decimal;

/// What names a server transaction (RFC 3261 section 17.2.3): branch, sent-by and method; without the cookie of that
/// RFC the Call-ID, From tag, CSeq number, Request-URI and topmost Via, as RFC 2543 has it.
pub(super) fn server_name(name: &mut String, message: &Message<'_>, method: Method) {
    name.clear();
    let Ok(via) = message.via() else { return };
    // Writing into a string cannot fail.
    let branch = via.branch().unwrap_or_default();
    if branch.len() <= 7 || !branch.starts_with("z9hG4bK") {
        let uri = message.request().map(|line| String::from_utf8_lossy(line.uri)).unwrap_or_default();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let (call_id, tag) = (message.call_id().unwrap_or_default(), message.from_tag().unwrap_or_default());
        let _ = write!(name, "{call_id} {tag} {cseq} {uri} ");
    }
    for part in [branch, " ", via.host, ":"] {
        name.push_str(part);
    }
    if let Some(port) = via.port {
        push_decimal(name, port.into());
    }
    name.push(' ');
    name.push_str(method.as_str());
}

/// The ACK or CANCEL that follows an INVITE of ours: same Request-URI, topmost Via, From, Call-ID, CSeq number and Route
/// (RFC 3261 sections 9.1 and 17.1.1.3).
pub(super) fn follow_up(invite: &[u8], method: &str, to: Option<&[u8]>) -> Option<Arc<[u8]>> {
    let invite = Message::parse(invite).ok()?;
    let mut headers = Headers::with_capacity(384);
    for header in invite.headers() {
        match header.name {
            HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::Route | HeaderName::MaxForwards => {
                headers.copy(&header);
            }
            HeaderName::To => {
                headers.push(HeaderName::To, to.unwrap_or(header.value));
            }
            _ => {}
        }
    }
    headers.push_fmt(HeaderName::CSeq, format_args!("{} {method}", invite.cseq().ok()?.number));
    let uri = std::str::from_utf8(invite.request()?.uri).ok()?;
    let mut octets = Vec::new();
    print::request(&mut octets, method, uri, &[headers.as_bytes()], &[]);
    Some(octets.into())
}
