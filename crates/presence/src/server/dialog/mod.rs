//! The event package `dialog` (RFC 4235): busy lamps, from our own calls and from what phones publish.

mod memory;

use std::fmt::Debug;

use memory::{Entry, Memory, Said};
use wire::DocumentFault;
use wire::dialog_info::{self, Dialog, Direction, Participant, State};

use super::limits;
use super::package::{BodyFault, Composing, EventPackage, EventState, Live, Named, View, colleagues};
use super::xml::{is_uri, uri};

/// The event package `dialog`.
pub(super) const DIALOG: EventPackage = EventPackage {
    name: "dialog",
    media_type: "application/dialog-info+xml",
    default_expires: 3600,
    published: true,
    read,
    detailed: true,
    compose,
    remember: Some(remember),
    numbered: Some(dialog_info::numbered),
    watches: None,
    watching: colleagues,
};

/// One dialog of a user, as the node itself sees it: what [`super::Input::Told`] brings for this package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallDialog {
    /// The dialog, as the user's phone sees it. Its id is not looked at.
    pub dialog: Dialog,
    /// Whether a party has asked not to be shown (RFC 3323).
    pub private: bool,
}

/// What one publication says.
#[derive(Debug)]
struct Published(Vec<Dialog>);

fn read(body: &[u8]) -> Result<EventState, BodyFault> {
    let mut document = dialog_info::read(body).map_err(|fault| match fault {
        DocumentFault::TooLarge => BodyFault::TooLarge,
        DocumentFault::Malformed(why) => BodyFault::Malformed(why),
    })?;
    if document.dialogs.len() > limits::DIALOGS {
        return Err(BodyFault::TooLarge);
    }
    document.dialogs.iter_mut().for_each(tidy);
    Ok(Box::new(Published(document.dialogs)))
}

/// Leaves out what is too long, and what would make a document invalid.
fn tidy(dialog: &mut Dialog) {
    let short = |text: &mut Option<String>| drop(text.take_if(|text| text.len() > limits::DIALOG_TEXT));
    for text in [&mut dialog.call_id, &mut dialog.local_tag, &mut dialog.remote_tag] {
        short(text);
    }
    for end in [&mut dialog.local, &mut dialog.remote] {
        for text in [&mut end.identity, &mut end.display, &mut end.target] {
            short(text);
        }
        end.identity.take_if(|identity| !is_uri(identity));
        end.params.retain(|(name, value)| name.len().max(value.len()) <= limits::TOKEN);
    }
}

/// What is said of the presentity's dialogs, each dialog once, and no more of them than fit into a document. The node comes first: its
/// Call-IDs and tags count.
fn said(live: &[Live<'_, EventState>]) -> Vec<Said> {
    let mut all = Vec::new();
    let mut own: Vec<Live<'_, CallDialog>> = live.iter().filter_map(Live::of::<CallDialog>).collect();
    if own.len() > limits::DIALOGS {
        // Whatever does not fit, the lamp says that there is a call.
        own.sort_by_key(|call| call.state.dialog.state != State::Confirmed);
    }
    for Live { number, state: call } in own {
        let mut dialog = call.dialog.clone();
        tidy(&mut dialog);
        Said::join(&mut all, number, dialog, call.private, true);
    }
    for source in live {
        if let Some(Live { number, state: Published(dialogs) }) = source.of::<Published>() {
            for dialog in dialogs {
                Said::join(&mut all, number, dialog.clone(), false, false);
            }
        }
    }
    all
}

fn remember(named: Named<'_>, memory: &mut Option<EventState>, live: &[Live<'_, EventState>], moment: u32) -> bool {
    let mut remembered = memory.take().and_then(|memory| memory.downcast::<Memory>().ok()).unwrap_or_default();
    let ended = remembered.renew(said(live), moment, Some(named));
    *memory = Some(remembered);
    ended
}

/// All dialogs there are, and those that have ended since a watcher saw them.
fn compose(composing: &Composing<'_>) -> Vec<u8> {
    let entity = uri(composing.presentity.as_str());
    let mut anew = Memory::default();
    let memory = match composing.memory.and_then(|memory| memory.downcast_ref::<Memory>()) {
        Some(memory) => memory,
        None => {
            anew.renew(said(composing.live), 1, None);
            &anew
        }
    };
    let mut room = limits::DIALOG_DOCUMENT;
    let shown: Vec<Dialog> = memory
        .shown(composing.since)
        .map(|entry| shown(entry, &entity, composing.view))
        .take_while(|dialog| {
            let octets = octets(dialog);
            let fits = octets <= room;
            room = room.saturating_sub(octets);
            fits
        })
        .collect();
    dialog_info::write(&entity, &shown)
}

/// A dialog as a watcher of this view sees it.
fn shown(entry: &Entry, entity: &str, view: View) -> Dialog {
    let Entry { dialog, private, .. } = entry;
    match view {
        View::Plain => {
            let (id, direction, state) = (dialog.id.clone(), dialog.direction, dialog.state);
            Dialog { id, direction, state, ..Dialog::default() }
        }
        View::Detailed => {
            let mut dialog = dialog.clone();
            dialog.local.identity = Some(entity.to_owned());
            if *private {
                dialog.remote = Participant::default();
            }
            dialog
        }
    }
}

/// How long a dialog is about, written down.
fn octets(dialog: &Dialog) -> usize {
    let ends = [&dialog.local, &dialog.remote];
    let texts = ends.into_iter().flat_map(|end| [&end.identity, &end.display, &end.target]);
    let names = [&dialog.call_id, &dialog.local_tag, &dialog.remote_tag];
    let params = ends.into_iter().flat_map(|end| &end.params).map(|(name, value)| name.len() + value.len() + 30);
    let texts = texts.chain(names).flatten().map(String::len);
    texts.chain(params).sum::<usize>() + 250
}

impl CallDialog {
    /// A dialog in which the user is the one who began it, or the other one.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self { dialog: Dialog { direction: Some(direction), ..Dialog::default() }, private: false }
    }
}
