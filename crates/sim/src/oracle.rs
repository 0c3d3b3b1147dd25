//! The six properties of the product, as what can be seen from outside: at the servers, at the phones, on the wire.
//!
//! Converges, never stuck: [`World::check`] and [`World::check_that_nothing_is_left`]; for the eyes of watchers `lookout.rs`. Never missing: the same, and
//! [`World::expire`]. Never doubled: `truth.rs`. Survives: [`World::check_leftovers`], and nothing lives that nobody wrote down.
//! Harmless: the history is lived through twice ([`crate::run`]).

use std::time::{Duration, Instant};

use crate::cast::Event;
use crate::setting::{self, user};
use crate::swarm::Feature;
use crate::world::World;

/// Within what a call is found dead: half a session until its sides are asked (300 s), the wait for an answer, and the
/// removal.
pub(crate) const SESSION: Duration = Duration::from_secs(400);

/// What keeps a PUBLISH from getting through at once.
const TROUBLE: &[Feature] = &[
    Feature::Loss,
    Feature::Delays,
    Feature::LateAnswers,
    Feature::LostAnswers,
    Feature::Silences,
    Feature::Refusals,
    Feature::Resets,
];

/// A publication that ran out, and nobody had asked for its refresh.
#[derive(Debug)]
pub(crate) struct Suspect {
    number: usize,
    server: usize,
    tag: String,
    /// Since when the node has known its tag.
    since: Instant,
    life: usize,
}

impl World {
    /// Whether something keeps a PUBLISH from getting through at once in this history.
    pub(crate) fn is_troubled(&self) -> bool {
        self.swarm.has_any(TROUBLE)
    }

    /// What the servers hold of each user is the hook state.
    pub(crate) fn check(&mut self) {
        for number in 0..self.people.len() {
            let Some(person) = self.people.get(number) else { continue };
            // A phone that was cut off or has forgotten its calls cannot say whether it is in one, until their sessions
            // have run out.
            if person.doubtful_until.is_some_and(|until| until > self.now) {
                continue;
            }
            let calls = person.phone.calls();
            let is_up = calls > 0 && self.here.get(number).copied().unwrap_or(false);
            for server in 0..self.servers.len() {
                self.check_user(server, number, is_up);
            }
        }
    }

    fn check_user(&mut self, server: usize, number: usize, is_up: bool) {
        let Some(known) = self.servers.get(server) else { return };
        let user = user(number);
        // What it forgot it hears of at the next refresh.
        let slack = known.model.refreshed_within() + Duration::from_secs(20);
        let forgot = known.forgot_at.is_some_and(|at| at + slack > self.now);
        let live = known.model.live(user.as_str(), self.now);
        // What has no tag that we know runs out by itself.
        let tags: Vec<String> =
            live.iter().map(|held| held.tag.clone()).filter(|tag| known.model.delivered.contains(tag)).collect();
        let name = setting::servers(&self.swarm).get(server).copied().unwrap_or_default();
        let is_live = !live.is_empty();
        if is_up && !is_live && !forgot {
            self.broken(format!("{user} is in a call and looks free at {name}"));
        }
        if !is_up && !tags.is_empty() {
            self.broken(format!("{user} is in no call and looks busy at {name}: {tags:?}"));
        }
        if is_up && tags.len() > 1 {
            self.broken(format!("{user} is published at {name} with several tags that we know: {tags:?}"));
        }
    }

    /// Long after the last call: no publication, no record, no transaction.
    pub(crate) fn check_that_nothing_is_left(&mut self) {
        let left: usize = self.servers.iter().map(|server| server.model.alive(self.now)).sum();
        if left > 0 {
            self.broken(format!("{left} publications live long after the last call"));
        }
        let keys: Vec<String> = self
            .disk
            .written
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            // Answers that may be asked for again are written over, never deleted.
            .filter(|key| key != "ownership" && !key.starts_with("a/"))
            .collect();
        if !keys.is_empty() {
            self.broken(format!("records are left in the store: {keys:?}"));
        }
        for owner in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(owner).filter(|node| !node.is_idle()) else { continue };
            let load = node.load();
            self.broken(format!("a node is not idle long after the last call: {load:?}"));
        }
    }

    /// Publications run out. One whose tag the node knows must not, while the call lasts, without an attempt to refresh it.
    pub(crate) fn expire(&mut self) {
        for server in 0..self.servers.len() {
            let Some(known) = self.servers.get_mut(server) else { continue };
            if known.model.next_end().is_none_or(|at| at > self.now) {
                continue;
            }
            for (aor, held) in known.model.expire(self.now) {
                let Some(number) = (0..self.people.len()).find(|number| user(*number).as_str() == aor) else {
                    continue;
                };
                let Some(since) = self.truth.unasked_since(server, &aor, &held.tag) else { continue };
                let suspect = Suspect { number, server, tag: held.tag, since, life: self.life };
                // The phone may not know yet that the other side has hung up.
                self.schedule(self.now + Duration::from_secs(35), Event::Suspicion(suspect));
            }
        }
    }

    /// The call did last, and the node did live.
    pub(crate) fn confirm(&mut self, suspect: &Suspect) {
        let Some(person) = self.people.get(suspect.number) else { return };
        let lasted = person.up_since.is_some_and(|since| since <= suspect.since);
        let is_sure = person.doubtful_until.is_none_or(|until| until <= suspect.since);
        let is_user = self.here.get(suspect.number).copied().unwrap_or(false)
            && self.reloaded_at.is_none_or(|at| at < suspect.since);
        if lasted && is_sure && is_user && suspect.life == self.life {
            let (user, tag, server) = (user(suspect.number), &suspect.tag, suspect.server);
            self.broken(format!(
                "{tag} of {user} ran out at server {server} in a call, and nobody had tried to refresh it"
            ));
        }
    }

    /// Five seconds after a start, what had a tag is gone.
    pub(crate) fn check_leftovers(&mut self, tags: &[(usize, String, String)]) {
        self.check_returned();
        for (server, user, tag) in tags {
            let live = self.servers.get(*server).map(|known| known.model.live(user, self.now)).unwrap_or_default();
            if live.iter().any(|held| held.tag == *tag) {
                self.broken(format!("5 s after a start {tag} of {user}, which was written down, still lives"));
            }
        }
    }

    /// An orderly stop has taken everything back, where nothing kept it from doing so.
    pub(crate) fn check_the_stop(&mut self) {
        if self.is_troubled() || self.unwritten_until.is_some() {
            return;
        }
        let left: usize = self.servers.iter().map(|server| server.model.alive(self.now)).sum();
        if left > 0 {
            self.broken(format!("{left} publications live after an orderly stop"));
        }
    }
}
