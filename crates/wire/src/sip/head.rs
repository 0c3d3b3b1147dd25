//! The head of a message, line by line: the start line, the headers with their folds, the empty line.
//!
//! Lines end with CRLF; a lone LF is taken for one. A lone CR is not: what it would mean to the next reader is unknown,
//! so a message with one in its head is refused.

use memchr::{memchr, memchr2};

use super::scan::{is_space, is_token, number, trim_start};
use super::{HeaderName, Method, Unframeable};

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: Method,
    /// The method as written.
    pub token: &'a [u8],
    /// The Request-URI as written.
    pub uri: &'a [u8],
    /// The version as written, for instance `SIP/2.0`.
    pub version: &'a [u8],
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// The status code; 0 where what stands there is none.
    pub code: u16,
    /// The reason phrase.
    pub reason: &'a [u8],
    /// The version as written, for instance `SIP/2.0`.
    pub version: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    Request(RequestLine<'a>),
    Status(StatusLine<'a>),
}

/// Where one header lies; the places count from the beginning of the message, none of which is longer than a `u16` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) name: HeaderName,
    pub(super) name_length: u8,
    pub(super) start: u16,
    pub(super) value: u16,
    pub(super) value_end: u16,
    pub(super) end: u16,
}

impl Slot {
    pub(super) const EMPTY: Self =
        Self { name: HeaderName::Other, name_length: 0, start: 0, value: 0, value_end: 0, end: 0 };

    pub(super) fn value<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        octets.get(usize::from(self.value)..usize::from(self.value_end)).unwrap_or_default()
    }
}

/// One header line with its folds.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderLine {
    /// Where the header lies; `None` if there is no name and colon at the beginning.
    pub(super) slot: Option<Slot>,
    /// The octet after the line end.
    pub(super) end: usize,
    /// Whether a CR stands there without its LF.
    pub(super) bare: bool,
}

/// The first line, without its line end, and the octet after it.
pub(super) fn start_line(octets: &[u8]) -> Result<(Start<'_>, usize), Unframeable> {
    let end = line(octets, 0).ok_or(Unframeable::Unterminated)?;
    let written = octets.get(..end.content).unwrap_or_default();
    if end.bare {
        return Err(Unframeable::NotSip);
    }
    if written.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case(b"SIP/")) {
        let mut parts = written.splitn(3, |octet| *octet == b' ');
        let version = parts.next().unwrap_or_default();
        let code = parts.next().filter(|code| code.len() == 3 && !code.contains(&b'\t')).and_then(number);
        let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let reason = parts.next().unwrap_or_default();
        return Ok((Start::Status(StatusLine { code, reason, version }), end.end));
    }
    let (token, rest) = written
        .iter()
        .position(|octet| !is_token(*octet))
        .and_then(|at| written.split_at_checked(at))
        .ok_or(Unframeable::NotSip)?;
    let [b' ', rest @ ..] = rest else { return Err(Unframeable::NotSip) };
    if token.is_empty() {
        return Err(Unframeable::NotSip);
    }
    // What is wrong inside the line is kept in the URI or in the version, and earns its 400 later.
    let (uri, version) = match rest.strip_suffix(b" SIP/2.0") {
        Some(uri) => (uri, rest.get(uri.len() + 1..).unwrap_or_default()),
        None => {
            let at =
                rest.windows(5).rposition(|five| five.eq_ignore_ascii_case(b" SIP/")).ok_or(Unframeable::NotSip)?;
            let (uri, version) = rest.split_at_checked(at).ok_or(Unframeable::NotSip)?;
            (uri, version.get(1..).unwrap_or_default())
        }
    };
    Ok((Start::Request(RequestLine { method: Method::from_token(token), token, uri, version }), end.end))
}

/// The octet after the empty line, if one stands at `at`.
pub(super) fn empty_line(octets: &[u8], at: usize) -> Option<usize> {
    match octets.get(at..)? {
        [b'\r', b'\n', ..] => Some(at + 2),
        [b'\n', ..] => Some(at + 1),
        _ => None,
    }
}

/// The octet after the empty line that ends the head, looked for from `from` on; `None` while there is none.
pub(super) fn head_end(octets: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(b'\n', octets.get(at..)?)? + 1;
        if let Some(end) = empty_line(octets, at) {
            return Some(end);
        }
    }
}

/// The header that starts at `at`, folds included.
pub(super) fn header_line(octets: &[u8], at: usize) -> Result<HeaderLine, Unframeable> {
    let mut end = line(octets, at).ok_or(Unframeable::Unterminated)?;
    while let Some(b' ' | b'\t') = octets.get(end.end) {
        let next = line(octets, end.end).ok_or(Unframeable::Unterminated)?;
        end = LineEnd { bare: end.bare || next.bare, ..next };
    }
    let slot = octets.get(at..end.content).and_then(|written| slot(written, at, end.end));
    Ok(HeaderLine { slot, end: end.end, bare: end.bare })
}

/// `written` is the line without its last line end.
fn slot(written: &[u8], at: usize, end: usize) -> Option<Slot> {
    let name_length = written.iter().position(|octet| !is_token(*octet))?;
    let (name, after) = written.split_at_checked(name_length)?;
    let value = match after {
        [b':', value @ ..] => value,
        _ => {
            let gap = after.iter().position(|octet| !matches!(octet, b' ' | b'\t'))?;
            after.get(gap..)?.strip_prefix(b":")?
        }
    };
    if name.is_empty() {
        return None;
    }
    let mut value = trim_start(value);
    let start = at + written.len() - value.len();
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    Some(Slot {
        name: HeaderName::from_bytes(name),
        name_length: u8::try_from(name_length).ok()?,
        start: u16::try_from(at).ok()?,
        value: u16::try_from(start).ok()?,
        value_end: u16::try_from(start + value.len()).ok()?,
        end: u16::try_from(end).ok()?,
    })
}

/// Where one line ends, folds not looked at.
#[derive(Clone, Copy)]
struct LineEnd {
    /// The octet after its last letter.
    content: usize,
    /// The octet after its line end.
    end: usize,
    bare: bool,
}

fn line(octets: &[u8], at: usize) -> Option<LineEnd> {
    let mut bare = false;
    let mut from = at;
    loop {
        let content = from + memchr2(b'\r', b'\n', octets.get(from..)?)?;
        match octets.get(content..)? {
            [b'\r', b'\n', ..] => return Some(LineEnd { content, end: content + 2, bare }),
            [b'\n', ..] => return Some(LineEnd { content, end: content + 1, bare }),
            _ => {
                bare = true;
                from = content + 1;
            }
        }
    }
}
