//! Dialog documents (RFC 4235): the dialogs of a user, written by the schema and read liberally.

use std::fmt::Write as _;

use roxmltree::Node;

use crate::limits;
use crate::pidf::Escaped;
use crate::xml::{self, DocumentFault, attribute, children, content};

/// The namespace of dialog documents.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

/// What every document that we write begins with, up to its version.
const HEAD: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"";

/// A dialog document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogInfo {
    /// Whose dialogs they are: a URI.
    pub entity: String,
    /// Its number within its subscription.
    pub version: u32,
    /// Whether these are all dialogs, not only those that changed.
    pub full: bool,
    /// The dialogs.
    pub dialogs: Vec<Dialog>,
}

/// One dialog, as the user whose it is sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialog {
    /// What tells it from the others of the document.
    pub id: String,
    /// Its Call-ID.
    pub call_id: Option<String>,
    /// The user's own tag.
    pub local_tag: Option<String>,
    /// The other party's tag.
    pub remote_tag: Option<String>,
    /// Who began it.
    pub direction: Option<Direction>,
    /// How far it has come.
    pub state: State,
    /// What brought it there.
    pub event: Option<Event>,
    /// The status code that came with it.
    pub code: Option<u16>,
    /// The user's end.
    pub local: Participant,
    /// The other party's end.
    pub remote: Participant,
}

/// Who began a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The user whose dialog it is.
    Initiator,
    /// The other party.
    Recipient,
}

impl Direction {
    const ALL: [(Self, &'static str); 2] = [(Self::Initiator, "initiator"), (Self::Recipient, "recipient")];
}

/// How far a dialog has come (RFC 4235 section 3.7.1), in the order in which it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// An INVITE was sent.
    #[default]
    Trying,
    /// A provisional response without a tag came.
    Proceeding,
    /// A provisional response with a tag came.
    Early,
    /// A 2xx came.
    Confirmed,
    /// It is over.
    Terminated,
}

impl State {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Trying, "trying"),
        (Self::Proceeding, "proceeding"),
        (Self::Early, "early"),
        (Self::Confirmed, "confirmed"),
        (Self::Terminated, "terminated"),
    ];
}

/// What ended a dialog (RFC 4235 section 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whoever began it gave up.
    Cancelled,
    /// It was refused.
    Rejected,
    /// Another one took its place.
    Replaced,
    /// The user hung up.
    LocalBye,
    /// The other party hung up.
    RemoteBye,
    /// Something failed.
    Error,
    /// Somebody did not answer in time.
    Timeout,
}

impl Event {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Cancelled, "cancelled"),
        (Self::Rejected, "rejected"),
        (Self::Replaced, "replaced"),
        (Self::LocalBye, "local-bye"),
        (Self::RemoteBye, "remote-bye"),
        (Self::Error, "error"),
        (Self::Timeout, "timeout"),
    ];
}

/// One end of a dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Participant {
    /// A URI that names who it is.
    pub identity: Option<String>,
    /// The name shown with it.
    pub display: Option<String>,
    /// The URI of the device.
    pub target: Option<String>,
    /// What is said of the device, by name and value: `+sip.rendering` is `no` while it holds the call.
    pub params: Vec<(String, String)>,
}

/// Reads a dialog document. Dialogs whose state is unknown are left out.
///
/// # Errors
/// When it is beyond a bound, no XML, or no dialog document.
pub fn read(body: &[u8]) -> Result<DialogInfo, DocumentFault> {
    let text = xml::text(body)?;
    let document = xml::parse(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "dialog-info" {
        return Err(DocumentFault::Malformed("the body is no dialog document"));
    }
    let mut read = DialogInfo {
        entity: attribute(root, "entity").unwrap_or_default(),
        version: attribute(root, "version").and_then(|number| number.parse().ok()).unwrap_or_default(),
        full: attribute(root, "state").is_none_or(|state| state != "partial"),
        dialogs: Vec::new(),
    };
    for node in children(root, "dialog") {
        if read.dialogs.len() >= limits::DIALOGS {
            return Err(DocumentFault::TooLarge);
        }
        read.dialogs.extend(dialog(node));
    }
    Ok(read)
}

fn dialog(node: Node<'_, '_>) -> Option<Dialog> {
    let state = children(node, "state").next()?;
    let one = |name| children(node, name).next().map(participant).unwrap_or_default();
    Some(Dialog {
        id: attribute(node, "id").unwrap_or_default(),
        call_id: attribute(node, "call-id"),
        local_tag: attribute(node, "local-tag"),
        remote_tag: attribute(node, "remote-tag"),
        direction: attribute(node, "direction").and_then(|word| known(&Direction::ALL, &word)),
        state: known(&State::ALL, &content(state)?)?,
        event: attribute(state, "event").and_then(|word| known(&Event::ALL, &word)),
        code: attribute(state, "code").and_then(|code| code.parse().ok()).filter(|code| (100..700).contains(code)),
        local: one("local"),
        remote: one("remote"),
    })
}

fn participant(node: Node<'_, '_>) -> Participant {
    let identity = children(node, "identity").next();
    let target = children(node, "target").next();
    let params = target.into_iter().flat_map(|target| children(target, "param"));
    let params = params.filter_map(|param| {
        Some((attribute(param, "pname")?, attribute(param, "pval").or_else(|| attribute(param, "pvalue"))?))
    });
    Participant {
        identity: identity.and_then(content),
        display: identity.and_then(|identity| attribute(identity, "display")),
        target: target.and_then(|target| attribute(target, "uri")),
        params: params.take(limits::TARGET_PARAMS).collect(),
    }
}

fn known<T: Copy>(all: &[(T, &'static str)], word: &str) -> Option<T> {
    all.iter().find(|(_, known)| known.eq_ignore_ascii_case(word)).map(|(value, _)| *value)
}

fn word<T: Copy + PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    all.iter().find(|(known, _)| *known == value).map_or("", |(_, word)| word)
}

/// Writes the full state of a user's dialogs, under the number 0.
#[must_use]
pub fn write<'a>(entity: &str, dialogs: impl IntoIterator<Item = &'a Dialog>) -> Vec<u8> {
    let mut xml = String::with_capacity(512);
    xml.push_str(HEAD);
    // Writing into a string cannot fail.
    let _ = writeln!(xml, "0\" state=\"full\" entity=\"{}\">", Escaped(entity));
    for dialog in dialogs {
        write_dialog(&mut xml, dialog);
    }
    xml.push_str("</dialog-info>\n");
    xml.into_bytes()
}

/// A document of [`write()`] under another number.
#[must_use]
pub fn numbered(document: &[u8], version: u32) -> Vec<u8> {
    xml::numbered(document, HEAD, version)
}

fn write_dialog(xml: &mut String, dialog: &Dialog) {
    let _ = write!(xml, "<dialog id=\"{}\"", Escaped(&dialog.id));
    let names = [("call-id", &dialog.call_id), ("local-tag", &dialog.local_tag), ("remote-tag", &dialog.remote_tag)];
    for (name, value) in names {
        if let Some(value) = value {
            let _ = write!(xml, " {name}=\"{}\"", Escaped(value));
        }
    }
    if let Some(direction) = dialog.direction {
        let _ = write!(xml, " direction=\"{}\"", word(&Direction::ALL, direction));
    }
    xml.push_str("><state");
    if let Some(event) = dialog.event {
        let _ = write!(xml, " event=\"{}\"", word(&Event::ALL, event));
    }
    if let Some(code) = dialog.code {
        let _ = write!(xml, " code=\"{code}\"");
    }
    let _ = write!(xml, ">{}</state>", word(&State::ALL, dialog.state));
    write_participant(xml, "local", &dialog.local);
    write_participant(xml, "remote", &dialog.remote);
    xml.push_str("</dialog>\n");
}

fn write_participant(xml: &mut String, name: &str, participant: &Participant) {
    if participant.identity.is_none() && participant.target.is_none() {
        return;
    }
    let _ = write!(xml, "<{name}>");
    if let Some(identity) = &participant.identity {
        xml.push_str("<identity");
        if let Some(display) = &participant.display {
            let _ = write!(xml, " display=\"{}\"", Escaped(display));
        }
        let _ = write!(xml, ">{}</identity>", Escaped(identity));
    }
    if let Some(target) = &participant.target {
        let _ = write!(xml, "<target uri=\"{}\">", Escaped(target));
        for (name, value) in &participant.params {
            let _ = write!(xml, "<param pname=\"{}\" pval=\"{}\"/>", Escaped(name), Escaped(value));
        }
        xml.push_str("</target>");
    }
    let _ = write!(xml, "</{name}>");
}
