//! Watcher information documents (RFC 3858): who watches whom, written by the schema and read back.

use std::fmt::Write as _;

use crate::limits;
use crate::pidf::Escaped;
use crate::xml::{self, DocumentFault, attribute, children, content};

/// The namespace of watcher information documents.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

/// What every document that we write begins with, up to its version.
const HEAD: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"";

/// A watcher information document about one presentity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Its number within its subscription.
    pub version: u32,
    /// Whether these are all watchers, not only those that changed.
    pub full: bool,
    /// Who is watched: a URI.
    pub resource: String,
    /// The event package that is watched.
    pub package: String,
    /// The watchers.
    pub watchers: Vec<Watcher>,
}

/// One watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// What tells it from the others of the document.
    pub id: String,
    /// Its URI.
    pub uri: String,
    /// The name shown with it.
    pub display: Option<String>,
    /// How its subscription stands.
    pub status: Status,
    /// What brought it there.
    pub event: Event,
}

/// How a subscription stands (RFC 3857 section 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nobody has decided about it yet.
    Pending,
    /// It has ended before anybody decided.
    Waiting,
    /// It is notified of what there is.
    Active,
    /// It is over.
    Terminated,
}

impl Status {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Pending, "pending"),
        (Self::Waiting, "waiting"),
        (Self::Active, "active"),
        (Self::Terminated, "terminated"),
    ];
}

/// What brought a subscription where it stands (RFC 3857 section 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was asked for.
    Subscribe,
    /// It was allowed.
    Approved,
    /// It was ended by the server, and may be asked for anew at once.
    Deactivated,
    /// It was ended by the server, and may be asked for anew later.
    Probation,
    /// It is not allowed.
    Rejected,
    /// It was not refreshed, or ended by its watcher.
    Timeout,
    /// Nobody decided about it for too long.
    Giveup,
    /// What it was about is no more.
    Noresource,
}

impl Event {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Subscribe, "subscribe"),
        (Self::Approved, "approved"),
        (Self::Deactivated, "deactivated"),
        (Self::Probation, "probation"),
        (Self::Rejected, "rejected"),
        (Self::Timeout, "timeout"),
        (Self::Giveup, "giveup"),
        (Self::Noresource, "noresource"),
    ];
}

/// Reads a watcher information document. Watchers that lack what they must have are left out.
///
/// # Errors
/// When it is beyond a bound, no XML, or no watcher information document.
pub fn read(body: &[u8]) -> Result<WatcherInfo, DocumentFault> {
    let text = xml::text(body)?;
    let document = xml::parse(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "watcherinfo" {
        return Err(DocumentFault::Malformed("the body is no watcher information document"));
    }
    let mut read = WatcherInfo {
        version: attribute(root, "version").and_then(|number| number.parse().ok()).unwrap_or_default(),
        full: attribute(root, "state").is_none_or(|state| state != "partial"),
        ..WatcherInfo::default()
    };
    let Some(list) = children(root, "watcher-list").next() else { return Ok(read) };
    read.resource = attribute(list, "resource").unwrap_or_default();
    read.package = attribute(list, "package").unwrap_or_default();
    for node in children(list, "watcher") {
        if read.watchers.len() >= limits::WATCHERS {
            return Err(DocumentFault::TooLarge);
        }
        let status = attribute(node, "status");
        let status = Status::ALL.iter().find(|(_, word)| status.as_deref() == Some(*word));
        let event = attribute(node, "event");
        let event = Event::ALL.iter().find(|(_, word)| event.as_deref() == Some(*word));
        let (Some((status, _)), Some((event, _)), Some(uri)) = (status, event, content(node)) else { continue };
        let (id, display) = (attribute(node, "id").unwrap_or_default(), attribute(node, "display-name"));
        read.watchers.push(Watcher { id, uri, display, status: *status, event: *event });
    }
    Ok(read)
}

/// Writes the full state of a presentity's watchers, under the number 0.
#[must_use]
pub fn write<'a>(resource: &str, package: &str, watchers: impl IntoIterator<Item = &'a Watcher>) -> Vec<u8> {
    let mut xml = String::with_capacity(512);
    xml.push_str(HEAD);
    // Writing into a string cannot fail.
    let _ = write!(
        xml,
        "0\" state=\"full\">\n<watcher-list resource=\"{}\" package=\"{}\">\n",
        Escaped(resource),
        Escaped(package)
    );
    for watcher in watchers {
        let status = Status::ALL.iter().find(|(known, _)| *known == watcher.status).map_or("", |(_, word)| word);
        let event = Event::ALL.iter().find(|(known, _)| *known == watcher.event).map_or("", |(_, word)| word);
        let _ = write!(xml, "<watcher id=\"{}\" status=\"{status}\" event=\"{event}\"", Escaped(&watcher.id));
        if let Some(display) = &watcher.display {
            let _ = write!(xml, " display-name=\"{}\"", Escaped(display));
        }
        let _ = writeln!(xml, ">{}</watcher>", Escaped(&watcher.uri));
    }
    xml.push_str("</watcher-list>\n</watcherinfo>\n");
    xml.into_bytes()
}

/// A document of [`write()`] under another number.
#[must_use]
pub fn numbered(document: &[u8], version: u32) -> Vec<u8> {
    xml::numbered(document, HEAD, version)
}
