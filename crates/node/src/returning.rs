//! How the presence server's state returns after a restart: record by record, presentity by presentity, to its owner.

use std::time::Instant;

use presence::server::{Content, Life, Progress, Watcher};
use sip::Aor;

use crate::node::Node;
use crate::record::server::{self, Kept, Place};

/// The presentity whose records are being read; they lie side by side.
#[derive(Debug, Default)]
pub(crate) struct Returning {
    /// Its name as the keys have it.
    name: Box<str>,
    /// Itself, where it is this node's.
    presentity: Option<Aor>,
    publications: Vec<(u64, Content, Life)>,
    subscriptions: Vec<(u64, Watcher, Progress)>,
}

impl Node {
    /// Takes a record of the presence server's, if it is this node's; what there is no server for any more is forgotten.
    /// Whether it could be read.
    pub(crate) fn returns(&mut self, now: Instant, state: &mut Returning, key: &[u8], value: &[u8]) -> bool {
        match server::kept(key) {
            None => false,
            // Whose it is turns out when the request comes again; every node keeps it for the few seconds that it may.
            Some(Kept::Answer) => {
                let answer = server::answer(value, &self.wall);
                if let (Some(answer), Some(server)) = (answer, &mut self.presence_server) {
                    server.restore_answer(now, answer);
                }
                answer.is_some()
            }
            Some(Kept::Publication(place)) => {
                if !self.is_here(now, state, place, key) {
                    return true;
                }
                let read = server::publication(value, &self.wall);
                let is_whole = read.is_some();
                state.publications.extend(read.map(|(content, life)| (place.number, content, life)));
                is_whole
            }
            Some(Kept::Life(place)) => {
                if !self.is_here(now, state, place, key) {
                    return true;
                }
                // Without its content there is nothing that could live.
                let of = state.publications.last_mut().filter(|(number, ..)| *number == place.number);
                let (Some((_, _, known)), Some(life)) = (of, server::life(value, &self.wall)) else { return false };
                if known.version < life.version {
                    *known = life;
                }
                true
            }
            Some(Kept::Subscription(place)) => {
                if !self.is_here(now, state, place, key) {
                    return true;
                }
                let read = server::subscription(value, &self.wall);
                let is_whole = read.is_some();
                state.subscriptions.extend(read.map(|(watcher, progress)| (place.number, watcher, progress)));
                is_whole
            }
            Some(Kept::Progress(place)) => {
                if !self.is_here(now, state, place, key) {
                    return true;
                }
                let of = state.subscriptions.last_mut().filter(|(number, ..)| *number == place.number);
                let (Some((_, _, known)), Some(progress)) = (of, server::progress(value, &self.wall)) else {
                    return false;
                };
                if known.version < progress.version {
                    *known = progress;
                }
                true
            }
        }
    }

    /// Hands over what has been read of a presentity: its publications in the order of their contents.
    fn presentity_returns(&mut self, now: Instant, state: &mut Returning) {
        let (Some(presentity), Some(server)) = (state.presentity.take(), &mut self.presence_server) else { return };
        state.publications.sort_by_key(|(_, content, _)| content.received);
        for (number, content, life) in state.publications.drain(..) {
            server.restore_publication(now, &presentity, number, content, &life);
        }
        for (number, mut watcher, progress) in state.subscriptions.drain(..) {
            watcher.who = self.configuration.who_is(&watcher.who).unwrap_or_default();
            server.restore_subscription(now, &presentity, number, watcher, progress);
        }
    }

    /// The last record has been read.
    pub(crate) fn all_returned(&mut self, now: Instant, mut state: Returning) {
        self.presentity_returns(now, &mut state);
        if let Some(server) = &mut self.presence_server {
            server.restored(now);
        }
    }

    /// Whether a record belongs to this node; what was read of the presentity before it is handed over.
    fn is_here(&mut self, now: Instant, state: &mut Returning, place: Place<'_>, key: &[u8]) -> bool {
        if *state.name != *place.presentity {
            self.presentity_returns(now, state);
            state.name = place.presentity.into();
            let presentity = Aor::parse(place.presentity);
            let is_ours = |aor: &Aor| self.ownership.of_aor(&self.canonical(aor.clone())) == self.owner;
            state.presentity = presentity.filter(is_ours);
        }
        let is_here = state.presentity.is_some();
        if is_here && self.presence_server.is_none() {
            self.write(key.to_vec(), None);
        }
        is_here && self.presence_server.is_some()
    }
}
