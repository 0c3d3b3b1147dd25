//! Reading a published PIDF document (RFC 3863, 4479, 4480 and their kin) into the pieces that a composed one is made of.

use roxmltree::{Document, Node, ParsingOptions};

use super::rpid::{self, ACTIVITIES};
use super::text::decode;
use crate::server::limits;
use crate::server::package::BodyFault;
use crate::server::xml::{CIPID, DATA_MODEL, Fragment, PIDF, Prefixes, RPID, is_date_time, is_uri, text_of};

/// What RFC 4480 and each of its drafts, which products took up one by one, have a namespace below.
const RPID_DRAFTS: &str = "urn:ietf:params:xml:ns:pidf:";
/// Cisco's own vocabulary.
const RPID_CISCO: &str = "urn:cisco:params:xml:ns:pidf:rpid";

/// What one publication says, ready to be composed with others: every piece is already as it will be written.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) tuples: Vec<Tuple>,
    pub(super) devices: Vec<Device>,
    /// What the persons say, except activities.
    pub(super) person: Vec<Part>,
    pub(super) activities: Activities,
    /// The notes of the document as a whole.
    pub(super) notes: Fragment,
    /// Elements of other namespaces beside the tuples.
    pub(super) extensions: Vec<Part>,
}

/// A service of RFC 4479.
#[derive(Debug, Default)]
pub(super) struct Tuple {
    pub(super) id: Box<str>,
    pub(super) basic: Option<Basic>,
    /// What else stands in its status, except activities.
    pub(super) status: Fragment,
    /// What follows its status.
    pub(super) rest: Fragment,
}

/// The basic status of RFC 3863.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basic {
    Open,
    Closed,
}

/// A device of RFC 4479.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Box<str>,
    /// The URN that says which device it is.
    pub(super) device_id: Box<str>,
    /// What stands in it.
    pub(super) inner: Fragment,
}

/// All elements of one name that stand at one place.
#[derive(Debug)]
pub(super) struct Part {
    /// Namespace and local name.
    pub(super) name: Box<str>,
    pub(super) xml: Fragment,
}

/// What the presentity is doing, wherever and in whatever spelling the document says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Activities {
    /// A bit per activity of [`ACTIVITIES`].
    pub(super) known: u32,
    /// Activities of other vocabularies, as XML.
    pub(super) others: Vec<Fragment>,
    /// The notes inside the activities.
    pub(super) notes: Fragment,
}

impl Activities {
    /// Whether the presentity is on the phone.
    pub(super) fn on_the_phone(&self) -> bool {
        self.known & bit("on-the-phone") != 0
    }

    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.known == 0 && self.others.is_empty()
    }
}

/// Reads a document. It may be invalid against the schemas, as most of the field's are, but it must be well-formed,
/// without a DTD, within the bounds, and its root must be `presence` of RFC 3863.
pub(super) fn read(body: &[u8]) -> Result<Published, BodyFault> {
    let text = decode(body)?;
    wire::pidf::within_bounds(&text, limits::DEPTH).map_err(|_| BodyFault::TooLarge)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: limits::NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options).map_err(|fault| match fault {
        roxmltree::Error::NodesLimitReached => BodyFault::TooLarge,
        roxmltree::Error::DtdDetected => BodyFault::Malformed("a document type definition is refused"),
        _ => BodyFault::Malformed("the body is not well-formed XML"),
    })?;
    let root = document.root_element();
    if !root.has_tag_name((PIDF, "presence")) {
        return Err(BodyFault::Malformed("the body is not a PIDF document"));
    }
    let mut published = Published::default();
    for node in root.children().filter(Node::is_element) {
        published.element(node)?;
    }
    published.activities = activities(root);
    // What was declared once may have to be declared many times.
    let room = body.len() * limits::WRITTEN_LARGER + limits::WRITTEN_ROOM;
    if published.octets() > room {
        return Err(BodyFault::TooLarge);
    }
    Ok(published)
}

impl Published {
    /// How long all its pieces are.
    fn octets(&self) -> usize {
        let tuples = self.tuples.iter().flat_map(|tuple| [&tuple.status, &tuple.rest]);
        let devices = self.devices.iter().map(|device| &device.inner);
        let parts = self.person.iter().chain(&self.extensions).map(|part| &part.xml);
        let said = self.activities.others.iter().chain([&self.activities.notes, &self.notes]);
        tuples.chain(devices).chain(parts).chain(said).map(|piece| piece.octets.len()).sum()
    }

    fn element(&mut self, node: Node<'_, '_>) -> Result<(), BodyFault> {
        let name = node.tag_name();
        match (name.namespace().unwrap_or(""), name.name()) {
            (PIDF, "tuple") => {
                if self.tuples.len() >= limits::TUPLES {
                    return Err(BodyFault::TooLarge);
                }
                self.tuples.push(tuple(node));
            }
            (PIDF, "note") => self.notes.note("note", node),
            (DATA_MODEL, "person") => {
                for child in node.children().filter(Node::is_element) {
                    person_part(&mut self.person, child)?;
                }
            }
            (DATA_MODEL, "device") => {
                if self.devices.len() >= limits::DEVICES {
                    return Err(BodyFault::TooLarge);
                }
                self.devices.extend(device(node));
            }
            (PIDF | "", _) => {}
            _ if is_activities(node) => {}
            _ => add(&mut self.extensions, node, |xml| xml.copy(node))?,
        }
        Ok(())
    }
}

fn tuple(node: Node<'_, '_>) -> Tuple {
    let mut tuple = Tuple { id: node.attribute("id").unwrap_or_default().trim().into(), ..Tuple::default() };
    let (mut contact, mut notes, mut timestamp) = (Fragment::default(), Fragment::default(), Fragment::default());
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name();
        match (name.namespace().unwrap_or(""), name.name()) {
            (PIDF, "status") => status(&mut tuple, child),
            (PIDF, "contact") if contact.is_empty() => write_contact(&mut contact, child),
            (PIDF, "note") => notes.note("note", child),
            (PIDF, "timestamp") if timestamp.is_empty() => write_timestamp(&mut timestamp, "timestamp", child),
            (PIDF | "", _) => {}
            _ if is_activities(child) => {}
            _ => tuple.rest.copy(child),
        }
    }
    for piece in [contact, notes, timestamp] {
        tuple.rest.append(&piece);
    }
    tuple
}

fn status(tuple: &mut Tuple, node: Node<'_, '_>) {
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name();
        match (name.namespace().unwrap_or(""), name.name()) {
            (PIDF, "basic") => {
                tuple.basic = match text_of(child).trim() {
                    "open" => Some(Basic::Open),
                    "closed" => Some(Basic::Closed),
                    _ => tuple.basic,
                };
            }
            (PIDF | "", _) => {}
            _ if is_activities(child) => {}
            _ => tuple.status.copy(child),
        }
    }
}

fn write_contact(out: &mut Fragment, node: Node<'_, '_>) {
    let uri = text_of(node);
    let uri = uri.trim();
    if !is_uri(uri) {
        return;
    }
    out.raw("<contact");
    if let Some(priority) = node.attribute("priority").map(str::trim).filter(|p| is_qvalue(p)) {
        out.attribute("priority", priority);
    }
    out.raw(">");
    out.text(uri);
    out.raw("</contact>");
}

fn write_timestamp(out: &mut Fragment, name: &str, node: Node<'_, '_>) {
    let time = text_of(node);
    let time = time.trim();
    if is_date_time(time) {
        for piece in ["<", name, ">", time, "</", name, ">"] {
            out.raw(piece);
        }
    }
}

fn is_qvalue(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = (1..=3).contains(&fraction.len()) && fraction.bytes().all(|o| o.is_ascii_digit());
    digits && (whole == "0" || (whole == "1" && fraction.bytes().all(|o| o == b'0')))
}

fn person_part(parts: &mut Vec<Part>, node: Node<'_, '_>) -> Result<(), BodyFault> {
    let name = node.tag_name();
    match (name.namespace().unwrap_or(""), name.name()) {
        (DATA_MODEL | PIDF, "note") => add(parts, node, |xml| {
            xml.prefixes |= Prefixes::DATA_MODEL;
            xml.note("dm:note", node);
        }),
        (DATA_MODEL | PIDF, "timestamp") => add(parts, node, |xml| {
            xml.prefixes |= Prefixes::DATA_MODEL;
            if xml.is_empty() {
                write_timestamp(xml, "dm:timestamp", node);
            }
        }),
        (DATA_MODEL | PIDF | "", _) => Ok(()),
        _ if is_activities(node) => Ok(()),
        _ => add(parts, node, |xml| xml.copy(node)),
    }
}

fn device(node: Node<'_, '_>) -> Option<Device> {
    let (mut inner, mut notes, mut timestamp) = (Fragment::default(), Fragment::default(), Fragment::default());
    let mut device_id = None;
    inner.prefixes |= Prefixes::DATA_MODEL;
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name();
        match (name.namespace().unwrap_or(""), name.name()) {
            (DATA_MODEL, "deviceID") => device_id = Some(text_of(child).trim().to_owned()).filter(|urn| is_uri(urn)),
            (DATA_MODEL, "note") => notes.note("dm:note", child),
            (DATA_MODEL, "timestamp") if timestamp.is_empty() => write_timestamp(&mut timestamp, "dm:timestamp", child),
            (DATA_MODEL | "", _) => {}
            _ if is_activities(child) => {}
            _ => inner.copy(child),
        }
    }
    let device_id = device_id?;
    inner.raw("<dm:deviceID>");
    inner.text(&device_id);
    inner.raw("</dm:deviceID>");
    inner.append(&notes);
    inner.append(&timestamp);
    let id = node.attribute("id").unwrap_or_default().trim().into();
    Some(Device { id, device_id: device_id.into(), inner })
}

/// Adds an element to the part of its name.
fn add(parts: &mut Vec<Part>, node: Node<'_, '_>, write: impl FnOnce(&mut Fragment)) -> Result<(), BodyFault> {
    let namespace = match node.tag_name().namespace().unwrap_or("") {
        PIDF => DATA_MODEL,
        other => other,
    };
    let local = node.tag_name().name();
    let full = parts.len() >= limits::PARTS;
    let known = parts.iter_mut().find(|p| {
        p.name.strip_prefix(namespace).and_then(|rest| rest.strip_prefix(' ')).is_some_and(|rest| rest == local)
    });
    match known {
        Some(part) => {
            // Of these a document, or a person, has one; the rest may come several times.
            if namespace != CIPID && !(namespace == RPID && rpid::is_known(local)) {
                write(&mut part.xml);
            }
        }
        None if full => return Err(BodyFault::TooLarge),
        None => {
            let mut part = Part { name: format!("{namespace} {local}").into(), xml: Fragment::default() };
            write(&mut part.xml);
            parts.push(part);
        }
    }
    Ok(())
}

fn is_activities(node: Node<'_, '_>) -> bool {
    let is_of = |namespace: &str| namespace.starts_with(RPID_DRAFTS) || namespace == RPID_CISCO;
    node.tag_name().name() == "activities" && node.tag_name().namespace().is_some_and(is_of)
}

/// The activities of the whole document, in every spelling.
fn activities(root: Node<'_, '_>) -> Activities {
    let mut found = Activities::default();
    for node in root.descendants().filter(|n| n.is_element() && is_activities(*n)) {
        for child in node.children().filter(Node::is_element) {
            activity(&mut found, node, child);
        }
    }
    // A softphone that has no element for it says so in words.
    if found.known & bit("busy") != 0 && root.descendants().any(says_on_the_phone) {
        found.known |= bit("on-the-phone");
    }
    found
}

fn activity(found: &mut Activities, node: Node<'_, '_>, child: Node<'_, '_>) {
    let name = child.tag_name().name();
    let namespace = child.tag_name().namespace();
    let text = text_of(child);
    match name {
        "note" if namespace == Some(RPID) => {
            found.notes.note("rpid:note", child);
            return;
        }
        "unknown" => return,
        _ => {}
    }
    let word = if name == "activity" { text.trim() } else { name };
    if let Some(known) = ACTIVITIES.iter().position(|known| alike(known, word)) {
        found.known |= 1 << known;
        return;
    }
    let mut xml = Fragment::default();
    let ours = namespace == node.tag_name().namespace();
    let said = if name == "activity" || name == "other" { text.trim() } else { name };
    if namespace == Some(RPID_CISCO) {
        return;
    } else if ours {
        xml.raw("<rpid:other>");
        xml.text(said);
        xml.raw("</rpid:other>");
    } else if namespace.is_some_and(|n| !matches!(n, "" | PIDF | RPID)) {
        xml.copy(child);
    }
    if !xml.is_empty() && found.others.len() < limits::OTHER_ACTIVITIES && !found.others.contains(&xml) {
        found.others.push(xml);
    }
}

fn says_on_the_phone(node: Node<'_, '_>) -> bool {
    node.is_element() && node.tag_name().name() == "note" && alike("on-the-phone", text_of(node).trim())
}

/// Whether two spellings are one word: letter case, hyphens, underscores and spaces do not count.
fn alike(one: &str, other: &str) -> bool {
    fn letters(text: &str) -> impl Iterator<Item = u8> + '_ {
        text.bytes().filter(|o| !matches!(o, b'-' | b'_' | b' ')).map(|o| o.to_ascii_lowercase())
    }
    one == other || letters(one).eq(letters(other))
}

/// The bit of an activity of RFC 4480.
fn bit(activity: &str) -> u32 {
    ACTIVITIES.iter().position(|a| *a == activity).map_or(0, |position| 1 << position)
}
