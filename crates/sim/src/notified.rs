//! What a NOTIFY says, read as a watcher reads it: RFC 6665, and the documents of RFC 3863, 4235 and 4662.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};
use sip::Aor;
use wire::sip::{HeaderName, Message};
use wire::{dialog_info, pidf};

use crate::related;

/// An event package, and whether it is that of one user or of all on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Package {
    Presence,
    Dialog,
    ListPresence,
    /// Who watches one's presence.
    Watchers,
}

impl Package {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Presence | Self::ListPresence => "presence",
            Self::Dialog => "dialog",
            Self::Watchers => "presence.winfo",
        }
    }

    /// The type of a NOTIFY's body.
    fn media_type(self) -> &'static str {
        match self {
            Self::Presence => "application/pidf+xml",
            Self::Dialog => "application/dialog-info+xml",
            Self::ListPresence => "multipart/related",
            Self::Watchers => "application/watcherinfo+xml",
        }
    }

    /// What a watcher accepts.
    pub(crate) fn accept(self) -> &'static str {
        match self {
            Self::Presence | Self::Dialog | Self::Watchers => self.media_type(),
            Self::ListPresence => "multipart/related, application/rlmi+xml, application/pidf+xml",
        }
    }

    /// The package of a NOTIFY.
    pub(crate) fn of(message: &Message<'_>) -> Option<Self> {
        let is_list = message.option_tags(HeaderName::Require).any(|tag| tag == "eventlist");
        match (message.event()?.package, is_list) {
            ("presence", false) => Some(Self::Presence),
            ("dialog", false) => Some(Self::Dialog),
            ("presence", true) => Some(Self::ListPresence),
            ("presence.winfo", false) => Some(Self::Watchers),
            _ => None,
        }
    }
}

/// What Subscription-State says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionState {
    Active,
    Pending,
    Terminated { reason: String },
}

/// What a NOTIFY says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notified {
    pub(crate) state: SubscriptionState,
    /// Whether the user, or those of a list of whom something is said, are shown in a call; nothing of those who are not shown. Of
    /// watchers, whether they watch.
    pub(crate) shown: BTreeMap<String, Option<bool>>,
    /// Whether what was shown before counts no longer.
    pub(crate) is_full: bool,
    /// The version of a dialog document, or of a list.
    pub(crate) version: Option<u32>,
}

/// Reads the NOTIFY of a subscription that asked for so many seconds; what is wrong with it.
pub(crate) fn read(message: &Message<'_>, package: Package, user: &Aor, asked: u32) -> Result<Notified, String> {
    if Package::of(message) != Some(package) {
        return Err(format!("a NOTIFY of another package than {}", package.name()));
    }
    let value = message.header(HeaderName::SubscriptionState).unwrap_or_default();
    let value = String::from_utf8_lossy(value).into_owned();
    let mut parts = value.split(';').map(str::trim);
    let word = parts.next().unwrap_or_default().to_owned();
    let param = |name: &str| {
        let mut params = value.split(';').skip(1).filter_map(|part| part.split_once('='));
        params.find(|(own, _)| own.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let state = match word.as_str() {
        "active" | "pending" => {
            let left: Option<u32> = param("expires").and_then(|left| left.parse().ok());
            if left.is_none_or(|left| left > asked) {
                return Err(format!("a subscription that asked for {asked} s has {left:?} left"));
            }
            if word == "active" { SubscriptionState::Active } else { SubscriptionState::Pending }
        }
        "terminated" => SubscriptionState::Terminated { reason: param("reason").unwrap_or_default() },
        other => return Err(format!("the Subscription-State {other:?}")),
    };
    if message.body().is_empty() {
        if state == SubscriptionState::Active {
            return Err("a NOTIFY of an active subscription without a document".to_owned());
        }
        return Ok(Notified { state, shown: BTreeMap::new(), is_full: true, version: None });
    }
    if !message.content_type().is_some_and(|media| media.is(package.media_type())) {
        return Err("a document of another type".to_owned());
    }
    if package == Package::ListPresence {
        let related::Related { version, is_full, shown } = related::read(message, user)?;
        return Ok(Notified { state, shown, is_full, version: Some(version) });
    }
    if package == Package::Watchers {
        let (shown, version) = watchers(message.body(), user)?;
        return Ok(Notified { state, shown, is_full: true, version: Some(version) });
    }
    let (on_the_phone, version) = shown(message.body(), package, user)?;
    let shown = BTreeMap::from([(user.as_str().to_owned(), Some(on_the_phone))]);
    Ok(Notified { state, shown, is_full: true, version })
}

/// Whether the document shows the user in a call, and its version.
fn shown(body: &[u8], package: Package, user: &Aor) -> Result<(bool, Option<u32>), String> {
    let (entity, on_the_phone, version) = match package {
        Package::Dialog => {
            let read = dialog_info::read(body).map_err(|fault| format!("a dialog document: {fault:?}"))?;
            if !read.full {
                return Err("a dialog document that is not whole".to_owned());
            }
            let is_up = read.dialogs.iter().any(|dialog| dialog.state == dialog_info::State::Confirmed);
            (read.entity, is_up, Some(read.version))
        }
        Package::Presence | Package::ListPresence | Package::Watchers => {
            let read = pidf::read(body).map_err(|fault| format!("a presence document: {fault}"))?;
            let on_the_phone = read.is_on_the_phone();
            (read.entity, on_the_phone, None)
        }
    };
    if !related::is_of(&entity, user.as_str()) {
        return Err(format!("a document of {entity} for who watches {user}"));
    }
    Ok((on_the_phone, version))
}

/// Who is said to watch a user, or to have watched (RFC 3858), and the document's version.
fn watchers(body: &[u8], user: &Aor) -> Result<(BTreeMap<String, Option<bool>>, u32), String> {
    let text = str::from_utf8(body).map_err(|_| "a document of watchers that is no text")?;
    let document = Document::parse(text).map_err(|fault| format!("a document of watchers: {fault}"))?;
    let root = document.root_element();
    let list = root.first_element_child().ok_or("a document of watchers without a list")?;
    if root.attribute("state") != Some("full") || list.attribute("package") != Some("presence") {
        return Err("a document of watchers that is not whole, or of another package".to_owned());
    }
    if list.attribute("resource") != Some(user.as_str()) {
        return Err(format!("the watchers of {:?} for {user}", list.attribute("resource")));
    }
    let mut shown = BTreeMap::new();
    for watcher in list.children().filter(Node::is_element) {
        let name = watcher.text().unwrap_or_default().trim().to_owned();
        let status = watcher.attribute("status").unwrap_or_default();
        let is_active = match (status, watcher.attribute("event")) {
            ("active", Some(_)) => true,
            ("terminated", Some(_)) => false,
            other => return Err(format!("the watcher {name} is {other:?}")),
        };
        let known: &mut Option<bool> = shown.entry(name).or_default();
        *known = Some(is_active || *known == Some(true));
    }
    let version = root.attribute("version").and_then(|version| version.parse().ok());
    Ok((shown, version.ok_or("a document of watchers without a version")?))
}
