//! The watchers in the world: what lies between them and the nodes, and what befalls them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cast::Event;
use crate::lines::Reach;
use crate::network::Link;
use node::Closed;
use sip::transport::{Flow, StreamId};

use crate::press::Press;
use crate::setting::{self, Identity, press_address, watcher_address};
use crate::subscription::Watched;
use crate::swarm::Feature;
use crate::watcher::Watcher;
use crate::world::World;

/// Within what the newest state reaches a watcher that hears again: a NOTIFY on its way times out (32 s), and the longest
/// pause before the next (128 s), with some air.
const HEARD_AGAIN: Duration = Duration::from_secs(165);

/// The same, of one to which nobody can connect: when it asks again, at the latest when what it asked for has run out.
const ASKED_AGAIN: Duration = Duration::from_secs(640);

/// Within what who asks is told at the latest: a NOTIFY on its way times out (32 s).
pub(crate) const TOLD: Duration = Duration::from_secs(35);

/// A watcher, and what may be said of it.
pub(crate) struct Onlooker {
    pub(crate) agent: Watcher,
    pub(crate) who: Identity,
    lives: u64,
    pub(crate) reach: Reach,
    /// The connection that it speaks on, if it has one.
    pub(crate) line: Option<StreamId>,
    /// Until when it hears nothing.
    pub(crate) deaf_until: Option<Instant>,
    /// Until when it last heard nothing.
    pub(crate) deafened_until: Option<Instant>,
    /// When a connection of its own last broke, or was forgotten beneath it: what the nodes say on that one is lost.
    pub(crate) cut_off_at: Option<Instant>,
    /// Until when what it is told last may be on its way.
    pub(crate) doubtful_until: Option<Instant>,
    /// Call-IDs of subscriptions that the nodes cannot know any more, with or without a word: a power cut or a clock that jumped
    /// took the record, or their last NOTIFY was on its way in a crash. Their watchers find out when they refresh.
    pub(crate) lost: BTreeSet<String>,
}

impl Onlooker {
    /// All watchers of a world, at its start.
    pub(crate) fn all(seed: u64, swarm: &crate::swarm::Swarm, now: Instant) -> Vec<Self> {
        let watchers = setting::watchers(seed, swarm).into_iter().enumerate();
        let onlooker = |(number, who)| Self {
            agent: setting::watching(seed, swarm, number, 0, now),
            who,
            lives: 0,
            reach: setting::reach(seed, swarm, number),
            line: None,
            deaf_until: None,
            deafened_until: None,
            cut_off_at: None,
            doubtful_until: None,
            lost: BTreeSet::new(),
        };
        watchers.map(onlooker).collect()
    }

    /// Whether what it knows of somebody may be old: it has missed something, and has not asked anew long enough ago.
    pub(crate) fn is_doubtful(&self, watched: &Watched, now: Instant) -> bool {
        let asked_at = watched.subscription.as_ref().and_then(|known| known.granted_by);
        let has_asked_anew =
            asked_at.is_some_and(|at| Some(at) > self.deafened_until.max(self.cut_off_at) && at + TOLD < now);
        self.doubtful_until.is_some_and(|until| until > now) && !has_asked_anew
    }

    /// Within what it is told anew of whatever it has missed.
    fn told_again(&self) -> Duration {
        if self.reach == Reach::BehindNat { ASKED_AGAIN } else { HEARD_AGAIN }
    }
}

impl World {
    /// Something arrives at a watcher.
    pub(crate) fn heard_by_watcher(&mut self, number: usize, flow: Flow, octets: &[u8]) {
        let now = self.now;
        if !self.hears(number) {
            return;
        }
        self.lines_up(number);
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.agent.received(now, flow, octets);
        }
        self.drain_watcher(number);
    }

    pub(crate) fn hears(&self, number: usize) -> bool {
        let until = self.watchers.get(number).and_then(|watcher| watcher.deaf_until);
        // Where the presence servers never say a word nobody hears one.
        !self.play.silent && until.is_none_or(|until| until <= self.now)
    }

    /// The time of those watchers has come who wait for it.
    pub(crate) fn watchers_timeout(&mut self) {
        for number in 0..self.watchers.len() {
            let now = self.now;
            let is_due = |watcher: &Onlooker| watcher.agent.next_timeout().is_some_and(|at| at <= now);
            if self.watchers.get(number).is_some_and(is_due) {
                self.lines_up(number);
                if let Some(watcher) = self.watchers.get_mut(number) {
                    watcher.agent.timeout(now);
                }
                self.drain_watcher(number);
            }
        }
        let now = self.now;
        if let Some(press) = self.press.as_mut().filter(|press| press.next_timeout().is_some_and(|at| at <= now)) {
            press.timeout(now);
            self.drain_press();
        }
    }

    /// Somebody publishes by hand, or takes it back.
    pub(crate) fn publish_by_hand(&mut self, share: u64) {
        let now = self.now;
        if let Some(press) = &mut self.press {
            press.act(now, share);
        }
        self.drain_press();
    }

    pub(crate) fn arrives_at_press(&mut self, octets: &[u8]) {
        let now = self.now;
        self.note(|| format!("the assistant gets {}", headline(octets)));
        if let Some(press) = &mut self.press {
            press.received(now, octets);
        }
        self.drain_press();
    }

    fn drain_press(&mut self) {
        let (from, life) = (press_address(), self.life);
        while let Some(octets) = self.press.as_mut().and_then(Press::poll) {
            self.note(|| format!("the assistant sends {}", headline(&octets)));
            let octets = || Arc::clone(&octets);
            self.carry(Link::FromPress, || Event::ToNode { from, octets: octets(), life, is_late: false });
        }
        let broken = self.press.as_mut().map(|press| std::mem::take(&mut press.broken)).unwrap_or_default();
        for what in broken {
            self.broken(what);
        }
    }

    pub(crate) fn drain_watcher(&mut self, number: usize) {
        let from = watcher_address(number);
        while let Some((flow, octets)) = self.watchers.get_mut(number).and_then(|watcher| watcher.agent.poll()) {
            self.note(|| format!("watcher {number} sends {}", headline(&octets)));
            if !self.hears(number) {
                continue;
            }
            if let Flow::Stream { id, .. } = flow {
                self.onto_line(id, &octets);
            } else {
                let life = self.life;
                let octets = || Arc::clone(&octets);
                let event = || Event::ToNode { from, octets: octets(), life, is_late: false };
                self.carry(Link::FromWatcher(number), event);
            }
        }
        self.hear_complaints(number);
    }

    /// A node sends something to a watcher.
    pub(crate) fn leaves_for_watcher(&mut self, number: usize, octets: &Arc<[u8]>) {
        self.note(|| format!("to watcher {number}: {}", headline(octets)));
        self.sees_notify(octets);
        self.carry(Link::ToWatcher(number), || Event::ToWatcher { watcher: number, octets: Arc::clone(octets) });
    }

    /// A watcher ends one of its subscriptions, or takes it up again.
    pub(crate) fn watch(&mut self, one: usize, share: u64) {
        let Some(number) = one.checked_rem(self.watchers.len()) else { return };
        let now = self.now;
        self.lines_up(number);
        if let Some(Onlooker { agent, .. }) = self.watchers.get_mut(number)
            && let Some(place) = usize::try_from(share).unwrap_or(0).checked_rem(agent.watched.len())
        {
            let wanted = agent.watched.get(place).is_some_and(|watched| watched.wanted);
            agent.want(now, place, !wanted);
            self.drain_watcher(number);
        }
    }

    /// A watcher hears nothing for a while, nor is it heard.
    pub(crate) fn deafen(&mut self, one: usize, length: Duration) {
        let Some(number) = one.checked_rem(self.watchers.len()) else { return };
        let until = self.now + length;
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.deaf_until = watcher.deaf_until.max(Some(until));
            watcher.deafened_until = watcher.deaf_until;
            watcher.doubtful_until = watcher.doubtful_until.max(Some(until + watcher.told_again()));
        }
    }

    /// A watcher's connection is forgotten beneath it. If it does not ask anew it is told some time after the nodes notice.
    pub(crate) fn cuts_off(&mut self, number: usize, noticed: Instant) {
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.line = None;
            watcher.cut_off_at = Some(self.now);
            watcher.doubtful_until = watcher.doubtful_until.max(Some(noticed + watcher.told_again()));
        }
    }

    /// A watcher starts anew: it answers 481 to what its earlier life had asked for, and asks again.
    pub(crate) fn watch_anew(&mut self, one: usize) {
        let Some(number) = one.checked_rem(self.watchers.len()) else { return };
        let lines = self.lines.iter().filter(|(_, line)| line.watcher == number).map(|(id, _)| *id);
        let lines: Vec<StreamId> = lines.collect();
        if let Some(watcher) = self.watchers.get_mut(number) {
            watcher.lives += 1;
            watcher.line = None;
            watcher.agent = setting::watching(self.play.seed, &self.swarm, number, watcher.lives, self.now);
        }
        for id in lines {
            self.line_breaks(id, Closed::ByPeer);
        }
    }

    /// Nobody is deaf any more.
    pub(crate) fn all_hear(&mut self) {
        for watcher in &mut self.watchers {
            if watcher.deaf_until.take().is_some_and(|until| until > self.now) {
                watcher.doubtful_until = Some(self.now + watcher.told_again());
            }
        }
    }

    /// Nobody wants to watch anybody any more.
    pub(crate) fn nobody_watches(&mut self) {
        let now = self.now;
        for number in 0..self.watchers.len() {
            self.lines_up(number);
            if let Some(Onlooker { agent, .. }) = self.watchers.get_mut(number) {
                for place in 0..agent.watched.len() {
                    if agent.watched.get(place).is_some_and(|watched| watched.wanted) {
                        agent.want(now, place, false);
                    }
                }
            }
            self.drain_watcher(number);
        }
    }

    /// A subscription that the store does not know is lost, if its request has come: the answer may be on its way yet. Its watcher
    /// finds out when it refreshes.
    pub(crate) fn note_lost_subscriptions(&mut self) {
        for watcher in &mut self.watchers {
            let asked = watcher.agent.watched.iter().filter_map(|watched| watched.subscription.as_ref());
            let lost = asked.filter(|known| !self.disk.mentions(&known.call_id));
            watcher.lost.extend(lost.map(|known| known.call_id.clone()));
        }
    }

    /// How long it takes at most until the nodes know what people do, and a NOTIFY that tells it leaves: the tolerance for what is
    /// said in a storm.
    pub(crate) fn slack(&self) -> Duration {
        // The directory's answer, and the network a few times.
        let mut slack = 1;
        let mut adds = |feature, seconds| slack += if self.has(feature) { seconds } else { 0 };
        // For so long a BYE, or the answer to an INVITE, is repeated (64 times T1).
        adds(Feature::Loss, 32);
        // There, and back.
        adds(Feature::Delays, 6);
        // A PUBLISH waits until its intent is written, its answer until its publication is, then comes the removal, and the NOTIFY.
        adds(Feature::SlowDisk, 20);
        Duration::from_secs(slack)
    }
}

pub(crate) fn headline(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let names = ["To:", "CSeq:", "Expires:", "Event:", "Subscription-State:"];
    let wanted = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let shows = [">on-the-phone<", "<rpid:on-the-phone/>", "confirmed</state>"].iter().any(|mark| text.contains(mark));
    let first = text.lines().next().unwrap_or_default();
    let rest: Vec<&str> = text.lines().skip(1).take_while(|line| !line.is_empty()).filter(wanted).collect();
    format!("{first} | {}{}", rest.join(" | "), if shows { " | on the phone" } else { "" })
}
