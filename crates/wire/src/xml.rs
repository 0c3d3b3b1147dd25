//! XML documents from the network: opened within bounds, without a document type definition.

use std::fmt;

use roxmltree::{Document, Node, ParsingOptions};

use crate::limits;
use crate::pidf::{PidfFault, within_bounds};

/// Why a document was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentFault {
    /// It is beyond a bound.
    TooLarge,
    /// It is not what it is said to be, in a few words.
    Malformed(&'static str),
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the document is beyond a bound",
            Self::Malformed(why) => why,
        })
    }
}

impl std::error::Error for DocumentFault {}

/// The text of a document, once its size, depth and width are known to be within the bounds.
pub(crate) fn text(body: &[u8]) -> Result<&str, DocumentFault> {
    if body.len() > limits::DOCUMENT {
        return Err(DocumentFault::TooLarge);
    }
    let text = str::from_utf8(body).map_err(|_| DocumentFault::Malformed("the body is not UTF-8"))?;
    within_bounds(text, limits::DEPTH).map_err(|fault| match fault {
        PidfFault::NotXml(_) | PidfFault::NotPresence => DocumentFault::Malformed(NOT_WELL_FORMED),
        PidfFault::TooLong(_) | PidfFault::TooDeep | PidfFault::TooWide => DocumentFault::TooLarge,
    })?;
    Ok(text.trim_start_matches('\u{feff}').trim())
}

/// Parses what [`text`] has let through.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, DocumentFault> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: limits::NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|fault| match fault {
        roxmltree::Error::NodesLimitReached => DocumentFault::TooLarge,
        roxmltree::Error::DtdDetected => DocumentFault::Malformed("a document type definition is refused"),
        _ => DocumentFault::Malformed(NOT_WELL_FORMED),
    })
}

const NOT_WELL_FORMED: &str = "the body is not well-formed XML";

/// The child elements of this name, in whatever namespace the field's products put them.
pub(crate) fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The text directly inside an element, without the space around it.
pub(crate) fn content(node: Node<'_, '_>) -> Option<String> {
    let text: String = node.children().filter(Node::is_text).filter_map(|text| text.text()).collect();
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An attribute that says something.
pub(crate) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// A document of ours that begins with `head` and the number 0, under another number; any other document as it is.
pub(crate) fn numbered(document: &[u8], head: &str, version: u32) -> Vec<u8> {
    match document.strip_prefix(head.as_bytes()).and_then(|rest| rest.strip_prefix(b"0")) {
        Some(rest) => [head.as_bytes(), version.to_string().as_bytes(), rest].concat(),
        None => document.to_vec(),
    }
}
