//! What watchers must be shown, and what they must never be: the promise, as it is seen by those whom it is made to.
//!
//! In the quiet every watcher shows what is true ([`World::check_watchers`]). In the storm each NOTIFY, when it leaves, says what
//! is true or was a moment ago ([`World::sees_notify`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sip::Aor;
use wire::sip::{HeaderName, Message, Method};

use crate::cast::Event;
use crate::notified::{self, Package, SubscriptionState};
use crate::setting::{self, Identity, user};
use crate::subscription::{Complaint, Excuse, Subscription, Watched};
use crate::swarm::Feature;
use crate::watching::{Onlooker, TOLD};
use crate::world::{QUIET, World};

/// Until when a phone may not know yet that its call is over (64 times T1, with some air).
const OVER: Duration = Duration::from_secs(35);

/// What the store may not have synced, with what it takes until a NOTIFY leaves that relied on it.
const UNSYNCED: Duration = Duration::from_millis(200);

/// The NOTIFY with the highest number that has left in a dialog, and what those of this life said.
#[derive(Debug)]
pub(crate) struct Sent {
    cseq: u32,
    life: usize,
    at: Instant,
    said: BTreeMap<u32, Vec<u8>>,
}

/// What a NOTIFY says of somebody, which may be wrong.
#[derive(Debug)]
pub(crate) struct Claim {
    number: usize,
    package: Package,
    on_the_phone: bool,
    at: Instant,
    life: usize,
}

impl World {
    /// Which calls a person is in, and whether in any as a user, or about to be or to leave: then the other side may be ahead.
    pub(crate) fn note_engagement(&mut self, number: usize) {
        let (now, is_here) = (self.now, self.here.get(number).copied().unwrap_or(false));
        let Some(person) = self.people.get_mut(number) else { return };
        let phone = &person.phone;
        person.calls.retain(|call, _| phone.standing().any(|stands| stands == *call));
        for call in phone.standing() {
            person.calls.entry(call).or_insert(now);
        }
        let is_engaged = is_here && person.phone.calls() + person.phone.unsettled() > 0;
        if is_engaged {
            person.engaged_until = None;
        } else {
            person.engaged_until = person.engaged_until.or(Some(now));
        }
    }

    /// A NOTIFY leaves. Its number is the next in its dialog, and what it says is so.
    pub(crate) fn sees_notify(&mut self, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        if message.method() != Method::Notify || !message.is_request() {
            return;
        }
        let (Ok(call_id), Some(from_tag), Ok(cseq)) = (message.call_id(), message.from_tag(), message.cseq()) else {
            return self.broken("a NOTIFY without the marks of a dialog");
        };
        let (number, key) = (cseq.number, (call_id.to_owned(), from_tag.to_owned()));
        let state = message.header(HeaderName::SubscriptionState).unwrap_or_default();
        let says = [state, message.body()].concat();
        if let Some(before) = self.notified.get(&key) {
            // One that failed on one way takes another, perhaps after the next; it is the same.
            if before.life == self.life && before.said.get(&number) == Some(&says) {
                return;
            }
            let (highest, is_of_this_life) = (before.cseq, before.life == self.life);
            // A power cut may take with it that numbers were used.
            let is_unsynced = !is_of_this_life && self.powerless_at.is_some_and(|cut| before.at + UNSYNCED > cut);
            if number <= highest && !is_unsynced {
                self.broken(format!("a NOTIFY with CSeq {number} after {highest} in its dialog"));
            }
            if number != highest + 1 && is_of_this_life {
                self.broken(format!("a NOTIFY with CSeq {number} next to {highest} in its dialog"));
            }
        }
        let mut said = self.notified.remove(&key).filter(|before| before.life == self.life).map(|before| before.said);
        said.get_or_insert_default().insert(number, says);
        let sent = Sent { cseq: number, life: self.life, at: self.now, said: said.unwrap_or_default() };
        self.notified.insert(key, sent);
        let presentity = message.from().ok().and_then(|from| Aor::parse(from.uri.as_str()));
        let (Some(presentity), Some(package)) = (presentity, Package::of(&message)) else { return };
        let Ok(read) = notified::read(&message, package, &presentity, u32::MAX) else { return };
        // Who may watch no longer is shown nothing true.
        if matches!(&read.state, SubscriptionState::Terminated { reason } if reason == "rejected") {
            return;
        }
        // What is said of watchers is no claim about people's calls.
        for (shown, on_the_phone) in read.shown.into_iter().filter(|_| package != Package::Watchers) {
            if let (Some(number), Some(on_the_phone)) = (self.number_of(&shown), on_the_phone) {
                self.weigh(Claim { number, package, on_the_phone, at: self.now, life: self.life });
            }
        }
    }

    /// Which of the people this is.
    fn number_of(&self, aor: &str) -> Option<usize> {
        (0..self.people.len()).find(|number| user(*number).as_str() == aor)
    }

    /// Most of what is said is plainly so; the rest is looked at again when it must have turned out.
    fn weigh(&mut self, claim: Claim) {
        if !self.is_plain(&claim) && !self.is_excused(&claim) {
            let after = if claim.on_the_phone { self.slack() } else { OVER };
            self.schedule(self.now + after, Event::Claim(claim));
        }
    }

    /// Whether what is said was so within the slack: at that moment or before, or by now.
    fn is_plain(&self, claim: &Claim) -> bool {
        let Some(person) = self.people.get(claim.number) else { return true };
        let long_ago = claim.at.checked_sub(self.slack()).unwrap_or(claim.at);
        match claim.on_the_phone {
            true => person.engaged_until.is_none_or(|until| until >= long_ago),
            // Of two calls one after the other the second may be looked up still when the first ends.
            false => person.calls.values().all(|since| *since > long_ago),
        }
    }

    /// Whether nobody can say what was so, or the nodes had no time to learn it.
    fn is_excused(&self, claim: &Claim) -> bool {
        let long_ago = claim.at.checked_sub(self.slack()).unwrap_or(claim.at);
        let Some(person) = self.people.get(claim.number) else { return true };
        let is_doubtful = person.doubtful_until.is_some_and(|until| until > claim.at);
        let is_reloading = self.reloaded_at.is_some_and(|at| at >= long_ago);
        // A call that a restart ended is up at the phones until their BYE comes.
        let is_young = self.started_at.is_some_and(|at| at + OVER > claim.at);
        let is_here = self.here.get(claim.number).copied().unwrap_or(false);
        let is_ending = self.is_stopping || is_young || claim.life != self.life || !is_here;
        is_doubtful || is_reloading || (!claim.on_the_phone && is_ending)
    }

    /// What a NOTIFY said has turned out, or not.
    pub(crate) fn confirm_claim(&mut self, claim: &Claim) {
        if self.is_plain(claim) || self.is_excused(claim) {
            return;
        }
        let (user, package, at) = (user(claim.number), claim.package.name(), (claim.at - self.start).as_secs_f64());
        let said = if claim.on_the_phone { "on the phone, and was not" } else { "free, and was in a call" };
        self.broken(format!("at {at:.3} a NOTIFY of {package} said that {user} is {said}"));
    }

    /// What the watcher itself finds wrong.
    pub(crate) fn hear_complaints(&mut self, number: usize) {
        let Some(watcher) = self.watchers.get_mut(number).filter(|watcher| !watcher.agent.complaints.is_empty()) else {
            return;
        };
        let (complaints, who) = (std::mem::take(&mut watcher.agent.complaints), watcher.who);
        // What is said when it hears nothing, or on what was forgotten beneath it, is lost.
        let missed = watcher.deafened_until.map(|until| until + TOLD).max(watcher.cut_off_at);
        for Complaint { what, since, excuse } in complaints {
            let is_later = |at: Option<Instant>| at.is_some_and(|at| at >= since);
            let has_jumped = self.has(Feature::ClockJumps) && is_later(self.started_at);
            // After a power cut the first NOTIFY may have a number that another one has had; the next comes after a pause.
            let is_renumbered = self.powerless_at.is_some_and(|cut| cut + QUIET > since);
            let has_forgotten = is_later(self.powerless_at) || has_jumped;
            let is_excused = match excuse {
                Excuse::Nothing => false,
                Excuse::Amnesia => has_forgotten,
                Excuse::Left => has_forgotten || matches!(who, Identity::Person(_)),
                Excuse::Crash => is_renumbered || is_later(self.started_at) || is_later(missed) || self.play.silent,
            };
            if !is_excused {
                self.broken(format!("watcher {number}: {what}"));
            }
        }
    }

    /// Every watcher whose subscription stands shows what is true, and every subscription that is wanted stands.
    pub(crate) fn check_watchers(&mut self) {
        if self.play.silent {
            return;
        }
        let mut faults = Vec::new();
        for (number, watcher) in self.watchers.iter().enumerate() {
            let may_watch = match watcher.who {
                Identity::Person(person) => self.here.get(person).copied().unwrap_or(false),
                Identity::Peer | Identity::Watcher => true,
            };
            let watched = watcher.agent.watched.iter().filter(|watched| !watcher.is_doubtful(watched, self.now));
            for watched in watched {
                let alive = watched.alive(self.now);
                if watched.begun().is_some_and(|known| self.is_lost(watcher, known)) {
                    continue;
                }
                let of = format!("the {} of {} to watcher {number}", watched.package.name(), watched.user);
                match (alive, watched.wanted && may_watch) {
                    (Some(_), true) => {
                        faults.extend(self.wrongly_shown(watched).into_iter().map(|what| format!("{of}: {what}")));
                    }
                    // It may have found out this very moment that it was lost.
                    (None, true) if watched.has_just_asked(self.now) => {}
                    (None, true) => faults.push(format!("{of} is wanted, and no subscription stands")),
                    (Some(_), false) => faults.push(format!("{of} is shown to who may not, or does not, watch")),
                    (None, false) if !watched.wanted && !watched.is_over() => {
                        faults.push(format!("{of} is not wanted, and its subscription is not over"));
                    }
                    (None, false) => {}
                }
            }
        }
        for fault in faults {
            self.broken(fault);
        }
    }

    /// What a watcher is shown of those whom it watches that is not so.
    fn wrongly_shown(&self, watched: &Watched) -> Vec<String> {
        let shown: BTreeMap<&str, bool> = watched.shows().collect();
        let expected = match watched.package {
            Package::Presence | Package::Dialog => vec![watched.user.clone()],
            Package::ListPresence => setting::listed(&self.here),
            Package::Watchers => {
                let watches = self.watchers.iter().filter(|other| self.certainly_watches(other, &watched.user));
                let unseen =
                    watches.map(|other| other.agent.aor()).filter(|aor| shown.get(aor.as_str()) != Some(&true));
                return unseen.map(|aor| format!("{aor} watches, and is not among them")).collect();
            }
        };
        let stranger = |who: &&str| expected.iter().all(|user| user.as_str() != *who);
        let strangers =
            shown.keys().filter(|who| stranger(who)).map(|who| format!("{who} is not on it")).collect::<Vec<_>>();
        let wrong = |user: &Aor| {
            let (truth, shown) = (self.truth_of(user.as_str())?, shown.get(user.as_str()).copied());
            (shown != Some(truth)).then(|| format!("{user} is shown as {shown:?}, and is {truth}"))
        };
        strangers.into_iter().chain(expected.iter().filter_map(wrong)).collect()
    }

    /// Whether somebody watches a user's presence, and the nodes cannot but know.
    fn certainly_watches(&self, onlooker: &Onlooker, user: &Aor) -> bool {
        onlooker.agent.watched.iter().any(|watched| {
            let is_it = match watched.package {
                Package::Presence => watched.user == *user,
                Package::ListPresence => setting::listed(&self.here).contains(user),
                Package::Dialog | Package::Watchers => false,
            };
            let alive = watched.alive(self.now).filter(|_| is_it && !onlooker.is_doubtful(watched, self.now));
            alive.is_some_and(|known| !self.is_lost(onlooker, known))
        })
    }

    /// Whether the nodes have let go of a subscription, and its watcher cannot know.
    fn is_lost(&self, watcher: &Onlooker, known: &Subscription) -> bool {
        let since = |at: Option<Instant>| at.is_some_and(|at| at >= known.asked_at);
        // Who may watch no longer is told so once; who does not hear it then finds out at the next refresh.
        let may_have_left = matches!(watcher.who, Identity::Person(_)) && since(self.reloaded_at);
        let was_told_so = may_have_left && since(watcher.deafened_until.max(watcher.cut_off_at));
        // What was asked for again after all, the nodes know again.
        (was_told_so || watcher.lost.contains(&known.call_id)) && !self.disk.mentions(&known.call_id)
    }

    /// Whether a user is in a call; nothing where nobody can say.
    fn truth_of(&self, aor: &str) -> Option<bool> {
        if let Some(press) = self.press.as_ref().filter(|press| press.desk.as_str() == aor) {
            return press.is_taken(self.now);
        }
        let number = self.number_of(aor)?;
        let person = self.people.get(number)?;
        let is_here = self.here.get(number).copied().unwrap_or(false);
        let is_sure = person.doubtful_until.is_none_or(|until| until <= self.now);
        is_sure.then_some(person.phone.calls() > 0 && is_here)
    }

    /// Five seconds after a start no watcher shows anyone on the phone who is in no call, where nothing keeps the news from it.
    pub(crate) fn check_returned(&mut self) {
        if self.is_troubled() || self.has(Feature::SlowDisk) || self.play.silent {
            return;
        }
        let a_moment_ago = self.now.checked_sub(Duration::from_secs(2));
        let mut faults = Vec::new();
        for (number, watcher) in self.watchers.iter().enumerate() {
            let is_sure = |watched: &&Watched| {
                watched.package != Package::Watchers
                    && watched.alive(self.now).is_some()
                    && !watcher.is_doubtful(watched, self.now)
            };
            for watched in watcher.agent.watched.iter().filter(is_sure) {
                let is_lost = watched.begun().is_some_and(|known| self.is_lost(watcher, known));
                for (shown, _) in watched.shows().filter(|(_, on_the_phone)| *on_the_phone) {
                    let Some(person) = self.number_of(shown).and_then(|number| self.people.get(number)) else {
                        continue;
                    };
                    let is_sure = person.doubtful_until.is_none_or(|until| until <= self.now);
                    let is_free = person.engaged_until.is_some_and(|until| Some(until) <= a_moment_ago);
                    if is_free && is_sure && !is_lost {
                        faults.push(format!("5 s after a start watcher {number} is shown {shown} in a call"));
                    }
                }
            }
        }
        for fault in faults {
            self.broken(fault);
        }
    }
}
