//! By what a request finds its transaction, and what follows an INVITE under the branch of it.

use std::hash::Hash as _;
use std::sync::Arc;

use siphasher::sip128::Hasher128 as _;
use wire::sip::{HeaderName, Headers, Message, Method, print};

use crate::KeyedState;

/// The name of a server transaction: a keyed hash, so that nobody can make two requests share one, and as wide as it takes
/// that no two ever do.
pub(super) type ServerName = (u64, u64);

/// What names a server transaction (RFC 3261 section 17.2.3): branch, sent-by and method; without the cookie of that
/// RFC the Call-ID, From tag, CSeq number, Request-URI and topmost Via, as RFC 2543 has it.
pub(super) fn server_name(keyed: KeyedState, message: &Message<'_>, method: Method) -> ServerName {
    let mut name = keyed.wide_hasher();
    let Ok(via) = message.via() else { return name.finish128().as_u64() };
    let branch = via.branch().unwrap_or_default();
    if branch.len() <= 7 || !branch.starts_with("z9hG4bK") {
        let uri = message.request().map_or(&b""[..], |line| line.uri);
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        (message.call_id().unwrap_or_default(), message.from_tag(), cseq, uri).hash(&mut name);
    }
    (branch, via.host, via.port, method.as_str()).hash(&mut name);
    name.finish128().as_u64()
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
