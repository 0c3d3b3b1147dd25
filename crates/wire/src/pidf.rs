//! Presence documents (RFC 3863): on-the-phone written in three spellings, and what any spelling says read back.

use std::fmt::{self, Write as _};

use roxmltree::{Document as Xml, Node, ParsingOptions};

use crate::limits;

/// RFC 3863.
pub const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// RFC 4480.
pub const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// How on-the-phone is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// As Skype for Business reads it: activities inside the status, in the names of the drafts before RFC 4480.
    Skype,
    /// Both, in one document that is valid and that every watcher tried understands.
    #[default]
    Both,
    /// RFC 4480: an activity of the person.
    Rfc4480,
}

/// The document that says that `entity` is on the phone. `id` makes the ids of its elements unique; it must be fit for
/// an XML name after its first letter. The spelling `skype` has the id of the Microsoft document, `0`.
#[must_use]
pub fn on_the_phone(spelling: Spelling, entity: &str, display_name: Option<&str>, id: &str) -> Vec<u8> {
    let mut xml = String::with_capacity(900);
    xml.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"");
    if spelling != Spelling::Rfc4480 {
        xml.push_str(" xmlns:ep=\"urn:ietf:params:xml:ns:pidf:status:rpid-status\"");
    }
    if spelling == Spelling::Skype {
        xml.push_str(" xmlns:et=\"urn:ietf:params:xml:ns:pidf:rpid-tuple\"");
    }
    if spelling == Spelling::Skype || display_name.is_some() {
        xml.push_str(" xmlns:ci=\"urn:ietf:params:xml:ns:pidf:cipid\"");
    }
    if spelling != Spelling::Skype {
        xml.push_str(" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"");
        xml.push_str(" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"");
    }
    // Writing into a string cannot fail.
    let _ = write!(xml, " entity=\"{}\">\r\n", Escaped(entity));
    let _ = match spelling {
        Spelling::Skype => write!(xml, "<tuple id=\"0\">\r\n"),
        Spelling::Both | Spelling::Rfc4480 => write!(xml, "<tuple id=\"t{}\">\r\n", Escaped(id)),
    };
    xml.push_str("<status>\r\n<basic>open</basic>\r\n");
    if spelling != Spelling::Rfc4480 {
        xml.push_str("<ep:activities>\r\n<ep:activity>on-the-phone</ep:activity>\r\n</ep:activities>\r\n");
    }
    xml.push_str("</status>\r\n</tuple>\r\n");
    if spelling != Spelling::Skype {
        let _ = write!(xml, "<dm:person id=\"p{}\">\r\n", Escaped(id));
        xml.push_str("<rpid:activities>\r\n<rpid:on-the-phone/>\r\n</rpid:activities>\r\n");
        xml.push_str("<dm:note>On the phone</dm:note>\r\n</dm:person>\r\n");
    }
    if let Some(name) = display_name {
        let _ = write!(xml, "<ci:display-name>{}</ci:display-name>\r\n", Escaped(name));
    }
    xml.push_str("</presence>");
    xml.into_bytes()
}

/// Why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PidfFault {
    /// Longer than the bound, in octets.
    TooLong(usize),
    /// Nested deeper than the bound.
    TooDeep,
    /// An element with more attributes and namespaces than the bound.
    TooWide,
    /// Not well-formed, or with a document type definition; the reader's words.
    NotXml(String),
    /// The root is not `presence`.
    NotPresence,
}

impl fmt::Display for PidfFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(octets) => {
                write!(f, "the document has {octets} octets, at most {} are read", limits::DOCUMENT)
            }
            Self::TooDeep => write!(f, "the document nests deeper than {}", limits::DEPTH),
            Self::TooWide => write!(f, "an element has more than {} attributes", limits::ATTRIBUTES),
            Self::NotXml(why) => write!(f, "the document is not well-formed: {why}"),
            Self::NotPresence => f.write_str("the root element is not presence"),
        }
    }
}

impl std::error::Error for PidfFault {}

/// What a presence document says, whatever its spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whose presence it is.
    pub entity: String,
    /// Whether any tuple is open; `None` where none says so.
    pub open: Option<bool>,
    /// Every activity, in the words of RFC 4480, each once.
    pub activities: Vec<String>,
    /// Every note.
    pub notes: Vec<String>,
}

impl Reading {
    /// Whether it says on-the-phone: as an activity, or as pjsua says it, busy with a note.
    #[must_use]
    pub fn is_on_the_phone(&self) -> bool {
        let has = |wanted: &str| self.activities.iter().any(|activity| activity == wanted);
        has("on-the-phone") || (has("busy") && self.notes.iter().any(|note| note.eq_ignore_ascii_case("on the phone")))
    }
}

/// Reads a document, liberally: of 13 documents of real products only 4 are valid.
///
/// # Errors
/// When it is too long, too deep, no XML, or no presence document.
pub fn read(body: &[u8]) -> Result<Reading, PidfFault> {
    if body.len() > limits::DOCUMENT {
        return Err(PidfFault::TooLong(body.len()));
    }
    let text = std::str::from_utf8(body).map_err(|_| PidfFault::NotXml("not UTF-8".to_owned()))?;
    within_bounds(text, limits::DEPTH)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: limits::NODES, ..ParsingOptions::default() };
    let xml = Xml::parse_with_options(text.trim_start_matches('\u{feff}').trim(), options)
        .map_err(|error| PidfFault::NotXml(error.to_string()))?;
    let root = xml.root_element();
    if root.tag_name().name() != "presence" {
        return Err(PidfFault::NotPresence);
    }
    let mut reading = Reading { entity: root.attribute("entity").unwrap_or_default().to_owned(), ..Reading::default() };
    for node in root.descendants().filter(Node::is_element) {
        match node.tag_name().name() {
            "basic" => {
                let open = node.text().is_some_and(|text| text.trim() == "open");
                reading.open = Some(open || reading.open == Some(true));
            }
            "note" => reading.notes.push(node.text().unwrap_or_default().trim().to_owned()),
            "activities" => activities(node, &mut reading.activities),
            _ => {}
        }
    }
    Ok(reading)
}

/// Looks at depth and attributes before the XML reader does, whose time grows with the square of both.
///
/// # Errors
/// When more than `deepest` elements stand in one another, or one has too many attributes. Whether the rest is XML is not
/// looked at.
pub fn within_bounds(text: &str, deepest: usize) -> Result<(), PidfFault> {
    let mut rest = text.as_bytes();
    if has_few_of_all(rest, deepest) {
        return Ok(());
    }
    let mut depth = 0_usize;
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = rest.get(at..).unwrap_or_default();
        let end = match rest {
            // What opens it is no part of what closes it: `<!-->` is no comment yet.
            [b'<', b'!', b'-', b'-', inside @ ..] => 4 + past(inside, b"-->"),
            [b'<', b'!', b'[', inside @ ..] => 3 + past(inside, b"]]>"),
            [b'<', b'?', inside @ ..] => 2 + past(inside, b"?>"),
            [b'<', b'/', ..] => {
                depth = depth.saturating_sub(1);
                memchr::memchr(b'>', rest).map_or(rest.len(), |at| at + 1)
            }
            _ => {
                let (end, attributes) = tag(rest);
                if attributes > limits::ATTRIBUTES {
                    return Err(PidfFault::TooWide);
                }
                if depth >= deepest {
                    return Err(PidfFault::TooDeep);
                }
                let alone = end.checked_sub(2).and_then(|last| rest.get(last)) == Some(&b'/');
                depth += usize::from(!alone);
                end
            }
        };
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(())
}

/// Whether there are so few start tags and attributes that it does not matter where they stand, as it is with most documents.
fn has_few_of_all(octets: &[u8], deepest: usize) -> bool {
    let starts = |at: &usize| !matches!(octets.get(at + 1), Some(b'/' | b'!' | b'?'));
    memchr::memchr_iter(b'<', octets).filter(starts).count() <= deepest
        && memchr::memchr_iter(b'=', octets).count() <= limits::ATTRIBUTES
}

/// The octet after `mark`, or the end.
fn past(octets: &[u8], mark: &[u8]) -> usize {
    memchr::memmem::find(octets, mark).map_or(octets.len(), |at| at + mark.len())
}

/// The octet after a start tag, and how many attributes it has.
fn tag(octets: &[u8]) -> (usize, usize) {
    let (mut quote, mut attributes) = (None, 0);
    for (place, octet) in octets.iter().copied().enumerate() {
        match (quote, octet) {
            (Some(open), _) if octet == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(octet),
            (None, b'=') => attributes += 1,
            (None, b'>') => return (place + 1, attributes),
            _ => {}
        }
    }
    (octets.len(), attributes)
}

/// Activities are empty elements of RFC 4480, or elements named `activity` that hold the word.
fn activities(node: Node<'_, '_>, found: &mut Vec<String>) {
    for child in node.children().filter(Node::is_element) {
        let name = match child.tag_name().name() {
            "activity" => child.text().unwrap_or_default().trim(),
            "note" => continue,
            name => name,
        };
        if !name.is_empty() && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
}

/// Text with what XML reserves escaped, and what XML cannot hold left out.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\t' | '\n' | '\r' => f.write_char(' ')?,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
