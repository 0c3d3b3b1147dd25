//! Lists in requests (RFC 5367): `application/resource-lists+xml` (RFC 4826), as flat as RFC 5363 wants it.

use std::collections::BTreeSet;
use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};
use sip::Aor;
use wire::sip::{HeaderName, Message};

use super::{RECIPIENT_LIST, Resource};
use crate::server::limits;
use crate::server::refusal::Refusal;
use crate::server::xml::text_of;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";
const MEDIA_TYPE: &str = "application/resource-lists+xml";

/// A list that a watcher asks for.
#[derive(Clone, Debug)]
pub(in crate::server) struct Asked {
    /// Whether it stands in the configuration.
    pub(super) configured: bool,
    pub(super) resources: Arc<[Resource]>,
}

impl Asked {
    /// Whether its watcher has sent it.
    pub(in crate::server) fn is_sent(&self) -> bool {
        !self.configured
    }

    /// The number of its resources.
    pub(in crate::server) fn len(&self) -> usize {
        self.resources.len()
    }
}

/// The list in the body of a SUBSCRIBE that requires it to be read.
pub(super) fn in_body(message: &Message<'_>) -> Result<Option<Arc<[Resource]>>, Refusal> {
    if !message.option_tags(HeaderName::Require).any(|tag| tag.eq_ignore_ascii_case(RECIPIENT_LIST)) {
        return Ok(None);
    }
    if message.body().is_empty() && message.to_tag().is_some() {
        return Ok(None);
    }
    if !message.content_type().is_some_and(|media| media.is(MEDIA_TYPE)) {
        return Err(Refusal::new(415, "a list of another type").with(HeaderName::Accept, MEDIA_TYPE));
    }
    read(message.body()).map(Some)
}

fn read(body: &[u8]) -> Result<Arc<[Resource]>, Refusal> {
    let text = str::from_utf8(body).map_err(|_| Refusal::new(400, "the list is no UTF-8 text"))?;
    let too_large = || Refusal::new(413, "the list is beyond a bound");
    wire::pidf::within_bounds(text, limits::DEPTH).map_err(|_| too_large())?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let options = ParsingOptions { allow_dtd: false, nodes_limit: limits::LIST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => too_large(),
        _ => Refusal::new(400, "the list is no XML"),
    })?;
    if !document.root_element().has_tag_name((NAMESPACE, "resource-lists")) {
        return Err(Refusal::new(400, "the body is no list of resources"));
    }
    let mut resources = Vec::new();
    let mut seen = BTreeSet::new();
    for node in document.root_element().descendants().filter(Node::is_element) {
        let name = node.tag_name();
        if name.namespace() != Some(NAMESPACE) {
            continue;
        }
        match name.name() {
            "entry" => {
                let uri = node.attribute("uri").map(str::trim).unwrap_or_default();
                let Some(aor) = Aor::parse(uri).filter(|_| uri.len() <= limits::LIST_URI) else {
                    return Err(Refusal::new(400, "an entry of the list has no SIP URI"));
                };
                // Who stands there twice is watched once.
                if seen.insert(aor) {
                    resources.push(Resource { uri: uri.into(), name: display_name(node) });
                }
            }
            // What lies elsewhere would have to be fetched for whoever asks.
            "external" | "entry-ref" => return Err(Refusal::new(400, "the list refers to another one")),
            _ => {}
        }
    }
    if resources.is_empty() {
        return Err(Refusal::new(400, "the list is empty"));
    }
    let octets = resources.iter().map(Resource::octets).sum::<usize>();
    if resources.len() > limits::LIST || octets > limits::LIST_OCTETS {
        return Err(Refusal::new(413, "the list is too long"));
    }
    Ok(resources.into())
}

fn display_name(node: Node<'_, '_>) -> Option<Box<str>> {
    let name = node.children().find(|child| child.has_tag_name((NAMESPACE, "display-name")))?;
    let name = text_of(name);
    let name = name.trim();
    (!name.is_empty() && name.len() <= limits::LIST_NAME).then(|| name.into())
}
