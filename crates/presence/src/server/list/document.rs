//! The body of a NOTIFY about a list: a `multipart/related` of an `rlmi` document and those of the members (RFC 4662 section 5).

use std::fmt::Write;

use super::{Content, Followed, Known, List, RELATED, RLMI};
use crate::server::xml::escape;
use crate::server::{EventPackage, Numbered, limits};

/// What makes names unique.
pub(super) struct Mark<'a> {
    /// The tag that we gave the dialog: unguessable, so that nothing in a document looks like a boundary.
    pub(super) tag: &'a str,
    /// The host of our part of it.
    pub(super) host: &'a str,
    /// The number of the document within the subscription.
    pub(super) version: u32,
}

impl List {
    /// Writes the next body: all resources, or those that have changed, as many as fit; the others follow in the next.
    /// A watcher that may see nothing is shown a list with nobody on it.
    pub(super) fn next(&mut self, package: &EventPackage, mark: &Mark<'_>, shows: bool) -> Content {
        let version = mark.version;
        let is_full = std::mem::take(&mut self.full);
        let boundary = format!("offhook-{}-{version}", mark.tag);
        let mut root = Vec::with_capacity(1_024);
        let mut parts = Vec::new();
        root.extend_from_slice(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"",
        );
        escape(&mut root, &self.uri);
        root.extend_from_slice(format!("\" version=\"{version}\" fullState=\"{is_full}\">").as_bytes());
        if shows {
            self.resources(&mut root, &mut parts, (is_full, package.numbered), |place| {
                format!("{place}.{version}.{}@{}", mark.tag, mark.host)
            });
        } else {
            self.fresh.clear();
        }
        root.extend_from_slice(b"</list>\r\n");
        let start = format!("list.{version}.{}@{}", mark.tag, mark.host);
        let mut body = Vec::with_capacity(root.len() + 512);
        part(&mut body, &boundary, &start, &format!("{RLMI};charset=\"UTF-8\""), &root);
        for (id, document) in &parts {
            part(&mut body, &boundary, id, package.media_type, document);
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let content_type = format!("{RELATED};type=\"{RLMI}\";start=\"<{start}>\";boundary=\"{boundary}\"");
        Content { content_type, body: body.into() }
    }

    /// Writes the resources, and takes the documents that go with them.
    fn resources(
        &mut self,
        root: &mut Vec<u8>,
        parts: &mut Vec<(String, std::sync::Arc<[u8]>)>,
        (is_full, numbered): (bool, Option<Numbered>),
        name: impl Fn(u32) -> String,
    ) {
        // What names all resources must name all of them; the room for documents is what is left.
        let named: usize =
            if is_full { self.resources.iter().map(|resource| resource.uri.len() + 64).sum() } else { 0 };
        let mut room = limits::LIST_NOTIFY.saturating_sub(named);
        let known = self.states.iter().zip(&mut self.versions);
        for (place, (resource, (state, version))) in (0..).zip(self.resources.iter().zip(known)) {
            let is_fresh = self.fresh.contains(&place);
            if !is_fresh && !is_full {
                continue;
            }
            let takes = PART + if let Known::Told(Followed::Active(document)) = state { document.len() } else { 0 };
            // At least one goes, however long it is.
            let fits = is_fresh && (takes <= room || (parts.is_empty() && !is_full));
            if !fits && !is_full {
                continue;
            }
            root.extend_from_slice(b"<resource uri=\"");
            escape(root, &resource.uri);
            root.extend_from_slice(b"\">");
            if let Some(name) = &resource.name {
                root.extend_from_slice(b"<name>");
                escape(root, name);
                root.extend_from_slice(b"</name>");
            }
            if fits {
                room = room.saturating_sub(takes);
                self.fresh.remove(&place);
                let number = numbered.map(|numbered| (numbered, version));
                instance(root, parts, state, number, || name(place));
            }
            root.extend_from_slice(b"</resource>");
        }
    }
}

/// About what surrounds a document.
const PART: usize = 320;

fn instance(
    root: &mut Vec<u8>,
    parts: &mut Vec<(String, std::sync::Arc<[u8]>)>,
    state: &Known,
    number: Option<(Numbered, &mut u32)>,
    name: impl Fn() -> String,
) {
    let Known::Told(state) = state else { return };
    let mut text = String::from("<instance id=\"1\" state=\"");
    let written = match state {
        Followed::Active(document) => {
            let id = name();
            let written = write!(text, "active\" cid=\"{id}\"/>");
            let document = match number {
                Some((numbered, version)) => {
                    let document = numbered(document, *version).into();
                    *version = version.wrapping_add(1);
                    document
                }
                None => document.clone(),
            };
            parts.push((id, document));
            written
        }
        Followed::Pending => write!(text, "pending\"/>"),
        Followed::Rejected => write!(text, "terminated\" reason=\"rejected\"/>"),
        Followed::NoResource => write!(text, "terminated\" reason=\"noresource\"/>"),
        Followed::Later => write!(text, "terminated\" reason=\"probation\"/>"),
    };
    // Writing to a text cannot fail.
    if written.is_ok() {
        root.extend_from_slice(text.as_bytes());
    }
}

fn part(body: &mut Vec<u8>, boundary: &str, id: &str, content_type: &str, content: &[u8]) {
    let head = format!(
        "--{boundary}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{id}>\r\nContent-Type: {content_type}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n");
}
