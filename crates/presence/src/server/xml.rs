//! Writing XML: escaping, fixed prefixes for the namespaces of presence, and copies of what others wrote.

use std::borrow::Cow;
use std::ops::BitOrAssign;

use roxmltree::Node;

use super::limits;
use super::presence::rpid;

/// RFC 3863.
pub(crate) const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// RFC 4479.
pub(crate) const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// RFC 4480.
pub(crate) const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// The drafts before RFC 4480, as Skype for Business and its forebears read them.
pub(crate) const RPID_STATUS: &str = "urn:ietf:params:xml:ns:pidf:status:rpid-status";
/// RFC 4482.
pub(crate) const CIPID: &str = "urn:ietf:params:xml:ns:pidf:cipid";
/// RFC 5196.
const CAPS: &str = "urn:ietf:params:xml:ns:pidf:caps";
/// `xml:lang` and its like.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Schema instances: `xsi:type` would tie a copy to types that a watcher may not have.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The namespaces that have one prefix in everything we write, in the order of their bits in [`Prefixes`].
const PREFIXED: [(&str, &str); 5] =
    [("dm", DATA_MODEL), ("rpid", RPID), ("ep", RPID_STATUS), ("ci", CIPID), ("caps", CAPS)];

/// Octets that a fragment has room for when it begins.
const FIRST_ROOM: usize = 96;

/// Which of the fixed prefixes a piece of XML uses, so that the document's root declares these and no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefixes(u8);

impl Prefixes {
    pub(crate) const DATA_MODEL: Prefixes = Prefixes(1);
    pub(crate) const RPID: Prefixes = Prefixes(2);
    pub(crate) const RPID_STATUS: Prefixes = Prefixes(4);

    /// Writes the namespace declarations.
    pub(crate) fn declare(self, out: &mut Vec<u8>) {
        for (bit, (prefix, namespace)) in PREFIXED.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                for piece in [" xmlns:", prefix, "=\"", namespace, "\""] {
                    out.extend_from_slice(piece.as_bytes());
                }
            }
        }
    }
}

impl BitOrAssign for Prefixes {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A piece of XML with the prefixes that it uses; the default namespace around it is PIDF's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) octets: Vec<u8>,
    pub(crate) prefixes: Prefixes,
}

impl Fragment {
    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Writes octets that are XML already.
    pub(crate) fn raw(&mut self, xml: &str) {
        if self.octets.capacity() == 0 {
            // An element has many small pieces: the first one does not make room for itself alone.
            self.octets.reserve(FIRST_ROOM);
        }
        self.octets.extend_from_slice(xml.as_bytes());
    }

    /// Appends another fragment.
    pub(crate) fn append(&mut self, other: &Fragment) {
        self.octets.extend_from_slice(&other.octets);
        self.prefixes |= other.prefixes;
    }

    /// Writes character content.
    pub(crate) fn text(&mut self, text: &str) {
        escape(&mut self.octets, text);
    }

    /// Writes ` name="value"`.
    pub(crate) fn attribute(&mut self, name: &str, value: &str) {
        self.raw(" ");
        self.raw(name);
        self.raw("=\"");
        // Space other than the blank is kept in an attribute only as a reference.
        let mut rest = value;
        while let Some((piece, behind)) = rest.split_once(['\n', '\t']) {
            escape(&mut self.octets, piece);
            self.raw(if rest.as_bytes().get(piece.len()) == Some(&b'\n') { "&#10;" } else { "&#9;" });
            rest = behind;
        }
        escape(&mut self.octets, rest);
        self.raw("\"");
    }

    /// Writes `<name xml:lang="..">text</name>` from an element that holds text, as every kind of note does.
    pub(crate) fn note(&mut self, name: &str, node: Node<'_, '_>) {
        self.raw("<");
        self.raw(name);
        if let Some(language) = node.attribute((XML, "lang")).filter(|l| is_language(l)) {
            self.attribute("xml:lang", language);
        }
        self.raw(">");
        self.text(text_of(node).trim());
        self.raw("</");
        self.raw(name);
        self.raw(">");
    }

    /// Copies an element of another vocabulary with all that is in it. Elements of the RFC 4480 vocabulary are checked
    /// and, where they could make a document invalid, left out.
    pub(crate) fn copy(&mut self, node: Node<'_, '_>) {
        self.copy_within(node, PIDF, limits::DEPTH);
    }

    /// The same, where another namespace than PIDF's may be the default one.
    pub(crate) fn copy_within(&mut self, node: Node<'_, '_>, around: &str, depth: usize) {
        let namespace = node.tag_name().namespace().unwrap_or("");
        if depth == 0 || self.octets.len() > limits::PIECE {
            return;
        }
        if namespace == RPID && rpid::is_known(node.tag_name().name()) {
            rpid::write(self, node, around);
            return;
        }
        let name = node.tag_name().name();
        if (namespace == DATA_MODEL || namespace == PIDF) && matches!(name, "person" | "device" | "presence") {
            return;
        }
        if namespace == CIPID || (namespace == DATA_MODEL && name == "deviceID") {
            self.simple(node);
            return;
        }
        let (prefix, default) = match self.prefix(namespace) {
            Some(prefix) => (prefix, around),
            None => ("", namespace),
        };
        self.raw("<");
        self.name(prefix, name);
        if default != around {
            self.attribute("xmlns", default);
        }
        self.attributes(node);
        if !node.has_children() {
            self.raw("/>");
            return;
        }
        self.raw(">");
        let of_elements = node.first_element_child().is_some();
        for child in node.children() {
            let text = child.text().filter(|text| child.is_text() && !(of_elements && text.trim().is_empty()));
            if child.is_element() {
                self.copy_within(child, default, depth - 1);
            } else if let Some(text) = text {
                self.text(text);
            }
        }
        self.raw("</");
        self.name(prefix, name);
        self.raw(">");
    }

    /// Copies an element that has a value and nothing else: a URI, or a name.
    fn simple(&mut self, node: Node<'_, '_>) {
        let (name, value) = (node.tag_name().name(), text_of(node));
        let value = if name == "deviceID" { value.trim() } else { &value };
        if name == "deviceID" && !is_uri(value) {
            return;
        }
        let prefix = node.tag_name().namespace().and_then(|namespace| self.prefix(namespace)).unwrap_or_default();
        self.raw("<");
        self.name(prefix, name);
        self.raw(">");
        self.text(value);
        self.raw("</");
        self.name(prefix, name);
        self.raw(">");
    }

    fn attributes(&mut self, node: Node<'_, '_>) {
        for (index, attribute) in node.attributes().enumerate() {
            match attribute.namespace() {
                None => self.attribute(attribute.name(), attribute.value()),
                Some(XML) if attribute.name() == "lang" && is_language(attribute.value()) => {
                    self.attribute("xml:lang", attribute.value());
                }
                Some(XML | XSI) => {}
                Some(PIDF) if attribute.name() == "mustUnderstand" && !is_boolean(attribute.value()) => {}
                Some(namespace) => {
                    self.attribute(&format!("xmlns:n{index}"), namespace);
                    self.attribute(&format!("n{index}:{}", attribute.name()), attribute.value());
                }
            }
        }
    }

    fn prefix(&mut self, namespace: &str) -> Option<&'static str> {
        let bit = PREFIXED.iter().position(|(_, known)| *known == namespace)?;
        self.prefixes |= Prefixes(1 << bit);
        PREFIXED.get(bit).map(|(prefix, _)| *prefix)
    }

    fn name(&mut self, prefix: &str, name: &str) {
        if !prefix.is_empty() {
            self.raw(prefix);
            self.raw(":");
        }
        self.raw(name);
    }
}

/// Writes text so that it is text again when it is read; characters that XML 1.0 does not know are left out.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let mut written = 0;
    for (at, character) in text.char_indices() {
        if let Some(instead) = replaced(character) {
            out.extend_from_slice(text.get(written..at).unwrap_or_default().as_bytes());
            out.extend_from_slice(instead.as_bytes());
            written = at + character.len_utf8();
        }
    }
    out.extend_from_slice(text.get(written..).unwrap_or_default().as_bytes());
}

/// What is written instead of a character that cannot stand for itself.
const fn replaced(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\r' => Some("&#13;"),
        '\t' | '\n' => None,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => Some(""),
        _ => None,
    }
}

/// All text directly inside an element.
pub(crate) fn text_of<'a>(node: Node<'a, '_>) -> Cow<'a, str> {
    let mut texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    let first = texts.next().unwrap_or_default();
    texts.fold(Cow::Borrowed(first), |all, text| all + text)
}

/// Whether a string is a name without a colon, in the ASCII part of what XML allows: what an `xs:ID` must be.
pub(crate) fn is_ncname(id: &str) -> bool {
    let mut octets = id.bytes();
    octets.next().is_some_and(|o| o.is_ascii_alphabetic() || o == b'_')
        && octets.all(|o| o.is_ascii_alphanumeric() || matches!(o, b'_' | b'-' | b'.'))
}

/// Whether a string is an `xs:boolean`.
fn is_boolean(text: &str) -> bool {
    matches!(text.trim(), "0" | "1" | "true" | "false")
}

/// Whether a string is an `xs:anyURI` for every validator: no characters that a URI has to escape, and a port that is one.
pub(crate) fn is_uri(uri: &str) -> bool {
    if !(0..uri.len()).all(|at| is_uri_octet(uri.as_bytes(), at)) {
        return false;
    }
    let authority = uri.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = authority.split_once('@').map_or(authority, |(_, host)| host);
    if host.contains('@') || host.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return false;
    }
    uri.split(':').next().is_some_and(|scheme| {
        scheme.len() < uri.len()
            && scheme.bytes().next().is_some_and(|o| o.is_ascii_alphabetic())
            && scheme.bytes().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'-' | b'.'))
    })
}

/// A URI of ours as an `xs:anyURI`: what a URI has to escape is escaped.
pub(crate) fn uri(uri: &str) -> Cow<'_, str> {
    let octets = uri.as_bytes();
    if (0..octets.len()).all(|at| is_uri_octet(octets, at)) {
        return Cow::Borrowed(uri);
    }
    let escaped = octets.iter().enumerate().map(|(at, octet)| match is_uri_octet(octets, at) {
        true => char::from(*octet).to_string(),
        false => format!("%{octet:02X}"),
    });
    Cow::Owned(escaped.collect())
}

/// Whether the octet at this place may stand in a URI as it is.
fn is_uri_octet(octets: &[u8], at: usize) -> bool {
    match octets.get(at).copied().unwrap_or_default() {
        b'%' => octets.get(at + 1..at + 3).is_some_and(|escape| escape.iter().all(u8::is_ascii_hexdigit)),
        0..=b' ' | b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' | b'[' | b']' | b'#' | 0x7f.. => false,
        _ => true,
    }
}

/// Whether a string is an `xs:dateTime` (`2026-11-22T14:30:08.276Z`).
pub(crate) fn is_date_time(text: &str) -> bool {
    let octets = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<u32> {
        octets.get(from..to)?.iter().try_fold(0u32, |n, o| o.is_ascii_digit().then(|| n * 10 + u32::from(o - b'0')))
    };
    let is = |at: usize, octet: u8| octets.get(at) == Some(&octet);
    let punctuated = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    let (Some(year), Some(month), Some(day)) = (digits(0, 4), digits(5, 7), digits(8, 10)) else { return false };
    let (Some(hour), Some(minute), Some(second)) = (digits(11, 13), digits(14, 16), digits(17, 19)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    let ranged = year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day);
    punctuated && ranged && hour < 24 && minute < 60 && second < 60 && is_zone(text.get(19..).unwrap_or("?"))
}

fn is_zone(rest: &str) -> bool {
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    match zone.as_bytes() {
        [] | b"Z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|o| o.is_ascii_digit())
                && (*h1 == b'0' || (*h1 == b'1' && *h2 < b'4'))
                && *m1 < b'6'
        }
        _ => false,
    }
}

fn is_language(text: &str) -> bool {
    text.split('-').enumerate().all(|(index, part)| {
        (1..=8).contains(&part.len())
            && part.bytes().all(|o| o.is_ascii_alphabetic() || (index > 0 && o.is_ascii_digit()))
    })
}
