//! SIP as text, with nothing of the program's own: what the crowd sends, and what it reads.

use std::net::SocketAddr;

/// The value of a header, in its long form.
pub(crate) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next()?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(own, _)| own.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What follows the empty line.
pub(crate) fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The status of a response.
pub(crate) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
}

/// The number of a CSeq.
pub(crate) fn cseq(text: &str) -> Option<u32> {
    header(text, "CSeq")?.split(' ').next()?.parse().ok()
}

/// The `tag` of From or To.
pub(crate) fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    header(text, name)?.split(";tag=").nth(1)
}

/// A 200 to a request.
pub(crate) fn ok(request: &str) -> String {
    let echoed = ["Via", "From", "To", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(request, name).unwrap_or_default()));
    format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", echoed.concat())
}

/// A request of a name of its own; `more` are whole header lines.
pub(crate) struct Outline<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) more: &'a str,
    pub(crate) body: &'a str,
}

impl Outline<'_> {
    pub(crate) fn text(&self, local: SocketAddr, branch: &str) -> String {
        let Self { method, uri, from, to, call_id, cseq, more, body } = self;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:crowd@{local}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// A document that says whether somebody is on the phone; `number` makes it another one each time.
pub(crate) fn document(user: &str, on_the_phone: bool, number: u64) -> String {
    let activity = if on_the_phone { "<rpid:on-the-phone/>" } else { "<rpid:meeting/>" };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{user}\">\n<tuple id=\"t{number}\"><status><basic>open</basic></status></tuple>\n\
         <dm:person id=\"p{number}\"><rpid:activities>{activity}</rpid:activities></dm:person>\n</presence>\n"
    )
}
