//! What watchers know of a presentity's dialogs: each has one id for its whole life, goes only forward, and ends once.

use std::hash::BuildHasher;

use wire::dialog_info::{Dialog, State};

use crate::server::limits;
use crate::server::package::Named;

/// One dialog, as all sources together tell it.
#[derive(Debug)]
pub(super) struct Said {
    dialog: Dialog,
    private: bool,
    /// The sources, each with its own name for it.
    sources: Vec<(u64, String)>,
    /// How far it has come by the node's own word, if that is one of them.
    own: Option<State>,
}

impl Said {
    /// Adds what a source says of a dialog, to what others say of it.
    pub(super) fn join(all: &mut Vec<Said>, source: u64, dialog: Dialog, private: bool, is_own: bool) {
        let name = (source, dialog.id.clone());
        let own = is_own.then_some(dialog.state);
        let same =
            |said: &&mut Said| is_same(&said.dialog, &dialog) && said.sources.iter().all(|(of, _)| *of != source);
        if let Some(said) = all.iter_mut().find(same) {
            complete(&mut said.dialog, dialog);
            said.private |= private;
            said.sources.push(name);
            said.own = said.own.max(own);
        } else if all.len() < limits::DIALOGS {
            all.push(Said { dialog, private, sources: vec![name], own });
        }
    }
}

/// Whether two descriptions are of one dialog, by Call-ID and tags, as far as both know them. Some phones take the other
/// party's tag for their own.
fn is_same(one: &Dialog, other: &Dialog) -> bool {
    let fits = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
    one.call_id.is_some()
        && one.call_id == other.call_id
        && (fits(&one.local_tag, &other.local_tag) && fits(&one.remote_tag, &other.remote_tag)
            || fits(&one.local_tag, &other.remote_tag) && fits(&one.remote_tag, &other.local_tag))
}

/// Fills in what another source knows beyond, and goes as far as the one that is furthest.
fn complete(dialog: &mut Dialog, other: Dialog) {
    if other.state > dialog.state {
        (dialog.state, dialog.event, dialog.code) = (other.state, other.event, other.code);
    }
    dialog.direction = dialog.direction.or(other.direction);
    let pairs = [
        (&mut dialog.local_tag, other.local_tag),
        (&mut dialog.remote_tag, other.remote_tag),
        (&mut dialog.local.display, other.local.display),
        (&mut dialog.local.target, other.local.target),
        (&mut dialog.remote.identity, other.remote.identity),
        (&mut dialog.remote.display, other.remote.display),
        (&mut dialog.remote.target, other.remote.target),
    ];
    for (known, said) in pairs {
        *known = known.take().or(said);
    }
    if dialog.local.params.is_empty() {
        dialog.local.params = other.local.params;
    }
}

/// All dialogs that watchers know, or do not know yet to have ended.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: Vec<Entry>,
}

/// One dialog.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it is shown to those who may see all of it.
    pub(super) dialog: Dialog,
    /// Whether nobody may see with whom.
    pub(super) private: bool,
    sources: Vec<(u64, String)>,
    /// The moment at which it ended; 0 for what nobody ever knew to live.
    ended: Option<u32>,
    /// Whether the node has said that it is over, or nobody spoke of it any more.
    parted: bool,
}

impl Memory {
    /// Takes what is said now, at a moment. Whether a dialog has ended. What nobody is sent needs no names.
    pub(super) fn renew(&mut self, said: Vec<Said>, moment: u32, named: Option<Named<'_>>) -> bool {
        let mut old = std::mem::take(&mut self.entries);
        let (mut ended, mut fresh) = (false, Vec::new());
        for said in said {
            let lives = old.iter().position(|entry| entry.ended.is_none() && entry.is(&said));
            match lives.or_else(|| old.iter().position(|entry| entry.is(&said))) {
                Some(place) => {
                    let mut entry = old.remove(place);
                    ended |= entry.renew(said, moment);
                    self.entries.push(entry);
                }
                None => fresh.push(said),
            }
        }
        for said in fresh {
            let over = said.dialog.state == State::Terminated;
            let id = self.new_id(&said, &old, named);
            let dialog = Dialog { id, ..said.dialog };
            let (private, sources, ended) = (said.private, said.sources, over.then_some(0));
            let parted = said.own == Some(State::Terminated);
            self.entries.push(Entry { dialog, private, sources, ended, parted });
        }
        for entry in &mut old {
            // Nobody speaks of it any more.
            if entry.ended.is_none() {
                (entry.dialog.state, entry.ended) = (State::Terminated, Some(moment));
                entry.parted = true;
                ended = true;
            }
        }
        old.sort_by_key(|entry| entry.ended);
        old.drain(..old.len().saturating_sub(limits::ENDED));
        self.entries.append(&mut old);
        ended
    }

    /// The dialogs that live, and those that ended after a moment.
    pub(super) fn shown(&self, since: u32) -> impl Iterator<Item = &Entry> {
        let lives = self.entries.iter().filter(|entry| entry.ended.is_none());
        lives.chain(self.entries.iter().filter(move |entry| entry.ended.is_some_and(|ended| ended > since)))
    }

    /// The same dialog gets the same id, after a restart too. It tells nothing of the names from which it is made, nor that another
    /// user is in the same dialog, whose id is another one.
    fn new_id(&self, said: &Said, old: &[Entry], named: Option<Named<'_>>) -> String {
        let hash = named.map_or(0, |Named { presentity, keyed }| match &said.dialog.call_id {
            Some(call_id) => keyed.hash_one((presentity.as_str(), call_id)),
            None => keyed.hash_one((presentity.as_str(), said.sources.first())),
        });
        let base = format!("d{hash:016x}");
        let taken = |id: &str| self.entries.iter().chain(old).any(|entry| entry.dialog.id == id);
        let numbered = (2..).map(|number: u32| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(base)
    }
}

impl Entry {
    /// Whether this is what is spoken of: by Call-ID and tags, or where those are unknown by the source's name for it, which
    /// may be given again once it has ended.
    fn is(&self, said: &Said) -> bool {
        // Whose last words these were and who says now that it lives speaks of it anew: the user had left, and is back, or
        // there was no room for it.
        if self.parted && said.own.is_some_and(|own| own < State::Terminated) {
            return false;
        }
        let named = || self.ended.is_none() && self.sources.iter().any(|source| said.sources.contains(source));
        match (&self.dialog.call_id, &said.dialog.call_id) {
            (Some(_), Some(_)) => is_same(&self.dialog, &said.dialog),
            _ => named(),
        }
    }

    /// Takes what is said of it now; it never goes back. Whether it has just ended.
    fn renew(&mut self, said: Said, moment: u32) -> bool {
        self.sources = said.sources;
        self.private |= said.private;
        self.parted |= said.own == Some(State::Terminated);
        if self.ended.is_some() {
            return false;
        }
        let (before, event, code) = (self.dialog.state, self.dialog.event, self.dialog.code);
        let (id, direction) = (std::mem::take(&mut self.dialog.id), self.dialog.direction);
        self.dialog = Dialog { id, direction: direction.or(said.dialog.direction), ..said.dialog };
        if self.dialog.state < before {
            (self.dialog.state, self.dialog.event, self.dialog.code) = (before, event, code);
        }
        let is_over = self.dialog.state == State::Terminated;
        self.ended = is_over.then_some(moment);
        is_over
    }
}
