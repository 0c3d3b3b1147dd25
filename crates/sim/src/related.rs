//! The body of a NOTIFY about a list, read as a watcher reads it (RFC 4662 section 5): an `rlmi` document and those it names.

use std::collections::BTreeMap;

use roxmltree::Document;
use sip::Aor;
use wire::pidf;
use wire::sip::{HeaderName, Message};

/// The namespace of RFC 4662.
const RLMI: &str = "urn:ietf:params:xml:ns:rlmi";

/// What a NOTIFY says of the members of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Related {
    pub(crate) version: u32,
    /// Whether all members are named; what was known before counts no longer.
    pub(crate) is_full: bool,
    /// Who is shown on the phone, or not; nothing of those who are not shown any more.
    pub(crate) shown: BTreeMap<String, Option<bool>>,
}

/// Reads it; what is wrong with it.
pub(crate) fn read(message: &Message<'_>, list: &Aor) -> Result<Related, String> {
    let value = message.header(HeaderName::ContentType).unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    let param = |name: &str| {
        let mut params = value.split(';').skip(1).filter_map(|part| part.split_once('='));
        let found = params.find(|(own, _)| own.trim() == name);
        found.map(|(_, value)| value.trim().trim_matches('"').to_owned()).ok_or(format!("a list without {name}"))
    };
    if param("type")? != "application/rlmi+xml" {
        return Err("a list whose root is no rlmi".to_owned());
    }
    let body = String::from_utf8_lossy(message.body()).into_owned();
    let mut parts = parts(&body, &param("boundary")?)?;
    let root = parts.remove(param("start")?.as_str()).ok_or("a list without its root")?;
    let root = Document::parse(root).map_err(|fault| format!("a list that is no XML: {fault}"))?;
    let root = root.root_element();
    let attribute = |name: &str| root.attribute(name).ok_or(format!("a list without {name}"));
    if root.tag_name().name() != "list" || attribute("uri")? != list.as_str() {
        return Err(format!("a list of {:?} for who watches {list}", root.attribute("uri")));
    }
    let version = attribute("version")?.parse().map_err(|_| "a list whose version is no number")?;
    let mut shown = BTreeMap::new();
    for resource in root.children().filter(|node| node.has_tag_name((RLMI, "resource"))) {
        let uri = resource.attribute("uri").unwrap_or_default();
        for instance in resource.children().filter(|node| node.has_tag_name((RLMI, "instance"))) {
            match (instance.attribute("state"), instance.attribute("reason")) {
                (Some("active"), _) => {}
                (Some("terminated"), Some("rejected")) => {
                    shown.insert(uri.to_owned(), None);
                    continue;
                }
                (state, reason) => return Err(format!("{uri} in the state {state:?}, reason {reason:?}")),
            }
            let id = format!("<{}>", instance.attribute("cid").unwrap_or_default());
            let document = parts.remove(id.as_str()).ok_or(format!("a list without the document of {uri}"))?;
            let read = pidf::read(document.as_bytes()).map_err(|fault| format!("a document in a list: {fault}"))?;
            if !is_of(&read.entity, uri) {
                return Err(format!("a document of {} for {uri}", read.entity));
            }
            shown.insert(uri.to_owned(), Some(read.is_on_the_phone()));
        }
    }
    match parts.keys().next() {
        Some(id) => Err(format!("a document that its list does not name: {id}")),
        None => Ok(Related { version, is_full: attribute("fullState")? == "true", shown }),
    }
}

/// Whether a document whose entity is this one is a user's.
pub(crate) fn is_of(entity: &str, user: &str) -> bool {
    entity.strip_prefix("pres:").or(entity.strip_prefix("sip:")) == user.strip_prefix("sip:")
}

/// The parts of a body by their Content-IDs (RFC 2046 section 5.1, RFC 2387).
fn parts<'a>(body: &'a str, boundary: &str) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let (inside, after) = body.rsplit_once(&format!("--{boundary}--")).ok_or("a body without an end")?;
    if !after.trim().is_empty() {
        return Err("a body that goes on behind its end".to_owned());
    }
    let mut found = BTreeMap::new();
    for part in inside.split(&format!("--{boundary}\r\n")).skip(1) {
        let (head, content) = part.split_once("\r\n\r\n").ok_or("a part without a head")?;
        let id = head.lines().find_map(|line| line.strip_prefix("Content-ID:")).ok_or("a part without a name")?;
        if found.insert(id.trim(), content.trim_end_matches("\r\n")).is_some() {
            return Err(format!("two parts with the name {id}"));
        }
    }
    Ok(found)
}
