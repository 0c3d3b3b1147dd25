//! What a response takes from its request: Via, From, To, Call-ID, CSeq and Record-Route (RFC 3261 section 8.2.6.2),
//! and the way it goes back (section 18.2.2, RFC 3581).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wire::sip::{HeaderName, Headers, Message, Method, Via, print, reason_phrase};

use crate::message::{ContactUser, Response};
use crate::transport::{Flow, SentBy};

/// The lines of a request that its responses repeat.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    lines: Headers,
    to: Box<[u8]>,
    has_to_tag: bool,
    record_route: Headers,
    /// When the request was sent, as its sender has it: 100 tells it back (RFC 3261 section 8.2.6.1).
    timestamp: Option<Box<[u8]>>,
}

impl Echo {
    pub(super) fn of(message: &Message<'_>, flow: &Flow) -> Self {
        let mut lines = Headers::with_capacity(384);
        for (place, value) in message.values(HeaderName::Via).enumerate() {
            match (place, message.via(), flow.remote()) {
                (0, Ok(via), Some(remote)) => lines.push(HeaderName::Via, received(&via, value, remote)),
                _ => lines.push(HeaderName::Via, value),
            };
        }
        for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
            if let Some(value) = message.header(name) {
                lines.push(name, value);
            }
        }
        let mut record_route = Headers::new();
        if matches!(message.method(), Method::Invite | Method::Subscribe | Method::Notify | Method::Refer) {
            for value in message.values(HeaderName::RecordRoute) {
                record_route.push(HeaderName::RecordRoute, value);
            }
        }
        Self {
            lines,
            to: message.header(HeaderName::To).unwrap_or_default().into(),
            has_to_tag: message.to_tag().is_some(),
            record_route,
            timestamp: message.header(HeaderName::Timestamp).map(Into::into),
        }
    }

    /// Prints a response. `own_tag` is what To gets where the request and the response name none.
    pub(super) fn print(&self, response: &Response, own_tag: &str, sent_by: Option<&SentBy>) -> Arc<[u8]> {
        let mut to = Headers::with_capacity(self.to.len() + 40);
        if self.has_to_tag || response.code == 100 {
            to.push(HeaderName::To, &self.to);
        } else {
            let tag = response.to_tag.as_deref().unwrap_or(own_tag);
            to.push(HeaderName::To, [&self.to[..], b";tag=", tag.as_bytes()].concat());
        }
        if let Some(timestamp) = self.timestamp.as_ref().filter(|_| response.code == 100) {
            to.push(HeaderName::Timestamp, timestamp);
        }
        if let Some(contact) = &response.contact {
            push_contact(&mut to, contact, sent_by);
        }
        let route: &[u8] = if (101..300).contains(&response.code) { self.record_route.as_bytes() } else { &[] };
        let reason = response.reason.as_deref().unwrap_or_else(|| reason_phrase(response.code));
        let mut octets = Vec::with_capacity(512 + response.body.len());
        let blocks = [self.lines.as_bytes(), to.as_bytes(), route, response.headers.as_bytes()];
        print::response(&mut octets, response.code, reason, &blocks, &response.body);
        octets.into()
    }
}

/// Writes a Contact with host, port and transport of the flow that is taken.
pub(super) fn push_contact(headers: &mut Headers, contact: &ContactUser, sent_by: Option<&SentBy>) {
    let host_port = sent_by.map_or("internal.invalid", |sent_by| &*sent_by.host_port);
    let scheme = if contact.secure { "sips" } else { "sip" };
    let transport = sent_by.map_or("", |sent_by| match sent_by.transport.uri_param() {
        "udp" => "",
        _ if contact.secure => "",
        "tcp" => ";transport=tcp",
        _ => ";transport=tls",
    });
    let user = contact.user.as_deref().unwrap_or("");
    let at = if user.is_empty() { "" } else { "@" };
    let (uri_params, params) = (&*contact.uri_params, &*contact.params);
    let value = ["<", scheme, ":", user, at, host_port, transport, uri_params, ">", params];
    headers.push_parts(HeaderName::Contact, &value);
}

/// The flow that a response takes: the stream the request came on; over UDP the address of the topmost Via.
pub(super) fn way_back(message: &Message<'_>, flow: Flow) -> Flow {
    let Flow::Udp { listener, remote } = flow else { return flow };
    let Ok(via) = message.via() else { return flow };
    if via.rport().is_some() {
        return flow;
    }
    Flow::Udp { listener, remote: SocketAddr::new(remote.ip(), via.port.unwrap_or(5060)) }
}

/// A Via with the address it came from: `received` where sent-by does not say it, `rport` where it is asked for. What the
/// sender itself has put there does not count.
fn received<'a>(via: &Via<'_>, value: &'a [u8], remote: SocketAddr) -> Cow<'a, [u8]> {
    let named = via.host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let asked = via.rport().is_some();
    let needed = asked || named != Some(remote.ip());
    if !needed && via.received().is_none() {
        return value.into();
    }
    let mut filled = Vec::with_capacity(value.len() + 40);
    for (place, piece) in value.split(|octet| *octet == b';').enumerate() {
        let name = piece.split(|octet| *octet == b'=').next().unwrap_or_default().trim_ascii();
        if place == 0 {
            filled.extend_from_slice(piece);
        } else if name.eq_ignore_ascii_case(b"rport") {
            filled.extend_from_slice(format!(";rport={}", remote.port()).as_bytes());
        } else if !name.eq_ignore_ascii_case(b"received") {
            filled.push(b';');
            filled.extend_from_slice(piece);
        }
    }
    if needed {
        filled.extend_from_slice(format!(";received={}", remote.ip()).as_bytes());
    }
    filled.into()
}
