//! The store of these tests: keeps what it is told, of two records of one thing the newer life, and gives it back.

use std::collections::BTreeMap;
use std::time::Instant;

use presence::server::{Answer, Content, Forgotten, Life, PresenceServer, Progress, Record, Watcher};
use sip::Aor;

/// What was saved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) publications: BTreeMap<(Aor, u64), (Content, Life)>,
    pub(crate) subscriptions: BTreeMap<(Aor, u64), (Watcher, Progress)>,
    pub(crate) answers: BTreeMap<u32, Answer>,
    /// Records that brought a body.
    pub(crate) bodies: usize,
}

impl Store {
    pub(crate) fn save(&mut self, record: Record) {
        match record {
            Record::Publication { presentity, number, content, life } => {
                self.bodies += 1;
                self.publications.insert((presentity, number), (content, life));
            }
            Record::Extended { presentity, number, life } => {
                let kept = self.publications.get_mut(&(presentity, number)).expect("its content was saved before");
                assert!(life.version > kept.1.version, "the newer life has the higher version");
                kept.1 = life;
            }
            Record::Subscription { presentity, number, watcher, progress } => {
                let old = self.subscriptions.insert((presentity, number), (*watcher, *progress));
                assert!(old.is_none(), "no two subscriptions have one number");
            }
            Record::Refreshed { presentity, number, progress } => {
                let kept = self.subscriptions.get_mut(&(presentity, number)).expect("it was saved whole before");
                assert!(progress.version > kept.1.version && progress.reserved >= kept.1.reserved);
                kept.1 = *progress;
            }
            Record::Answer { slot, answer } => drop(self.answers.insert(slot, answer)),
        }
    }

    pub(crate) fn forget(&mut self, what: Forgotten) {
        match what {
            Forgotten::Publication { presentity, number, .. } => {
                assert!(self.publications.remove(&(presentity, number)).is_some(), "nothing is forgotten twice");
            }
            Forgotten::Subscription { presentity, number, .. } => {
                assert!(self.subscriptions.remove(&(presentity, number)).is_some(), "nothing is forgotten twice");
            }
        }
    }

    /// Gives a new server what the last one saved.
    pub(crate) fn restore(&self, server: &mut PresenceServer, now: Instant) {
        let mut all: Vec<_> = self.publications.iter().collect();
        all.sort_by_key(|((aor, _), (content, _))| (aor.clone(), content.received));
        for ((aor, number), (content, life)) in all {
            server.restore_publication(now, aor, *number, content.clone(), life);
        }
        for ((aor, number), (watcher, progress)) in &self.subscriptions {
            server.restore_subscription(now, aor, *number, watcher.clone(), progress.clone());
        }
        server.restored(now);
        for answer in self.answers.values() {
            server.restore_answer(now, *answer);
        }
    }
}
