//! The nodes of one process and the disk beneath them: driven, killed, and started again with what the disk holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::{Boot, Input, Machine, Node, Output, Question, Wall};
use sip::Owner;

use crate::cast::Event;
use crate::mutant::{Mutant, Store};
use crate::network::Link;
use crate::setting::{self, TCP, UDP, node_address, user};
use crate::swarm::{Feature, stream};
use crate::world::World;

/// How often the store syncs.
const SYNC: Duration = Duration::from_millis(100);

/// The store: what was written, and what would be there after a power cut.
pub(crate) struct Disk {
    pub(crate) written: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was there before each write that is not synced, in their order.
    unsynced: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    sync_at: Instant,
    fault: Option<Store>,
}

impl Disk {
    pub(crate) fn new(now: Instant, mutant: Option<Mutant>) -> Self {
        let fault = match mutant {
            Some(Mutant::Store(fault)) => Some(fault),
            Some(Mutant::Node(_)) | None => None,
        };
        Self { written: BTreeMap::new(), unsynced: Vec::new(), sync_at: now, fault }
    }

    fn write(&mut self, now: Instant, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.sync_at <= now {
            self.unsynced.clear();
            self.sync_at = now + SYNC;
        }
        let is_lost = match (&value, self.fault) {
            (Some(_), Some(Store::LosesWrites)) | (None, Some(Store::DeletesNothing)) => true,
            (Some(_), Some(Store::KeepsTheOldest)) => self.written.contains_key(&key),
            _ => false,
        };
        if !is_lost {
            let before = self.put(key.clone(), value);
            self.unsynced.push((key, before));
        }
    }

    /// Puts a record there, or takes it away; the one that was there before.
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match value {
            Some(value) => self.written.insert(key, value),
            None => self.written.remove(&key),
        }
    }

    /// What had not been synced is gone.
    pub(crate) fn lose_power(&mut self, now: Instant) {
        if self.sync_at <= now {
            self.unsynced.clear();
        }
        while let Some((key, before)) = self.unsynced.pop() {
            self.put(key, before);
        }
    }

    /// Whether some record holds this text.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.written.values().any(|value| value.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

/// The nodes of one process, started with the same records and the same shared seed.
pub(crate) fn start(world: &World) -> Vec<Node> {
    let (seed, life) = (world.play.seed, world.life as u64);
    let shared_seed = stream(seed, 7, life).seed();
    let owners = u16::try_from(world.owners).unwrap_or(1);
    let mutant = match world.play.mutant {
        Some(Mutant::Node(mutant)) => Some(mutant),
        Some(Mutant::Store(_)) | None => None,
    };
    (0..owners)
        .map(|owner| {
            let boot = Boot {
                owner: Owner(owner),
                owners,
                wall: Wall { at: world.now, unix_ms: setting::unix_ms(world.now, world.start, world.skew_ms) },
                seed: stream(seed, 8, life * 16 + u64::from(owner)).seed(),
                shared_seed,
                listeners: vec![(UDP, node_address()), (TCP, node_address())],
                records: world.disk.written.clone().into_iter().collect(),
            };
            Node::broken(world.now, Arc::clone(&world.configuration), boot, mutant)
        })
        .collect()
}

impl World {
    /// One thing happens to one node.
    pub(crate) fn at_node(&mut self, owner: usize, input: Input<'_>) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.handle(self.now, input);
        }
        self.drain_node(owner);
    }

    fn drain_node(&mut self, owner: usize) {
        let mut written = None;
        while let Some(output) = self.nodes.get_mut(owner).and_then(Node::poll) {
            match output {
                Output::Transmit { flow, octets } => self.leaves_node(owner, flow, &octets),
                Output::Connect { id, remote, .. } => self.connects(owner, id, remote),
                Output::Disconnect { id } => {
                    self.breaks(id, node::Closed::ByUs);
                    self.line_breaks(id, node::Closed::ByUs);
                }
                Output::Ask { id, question: Question::WhoIs(who) } => {
                    let mut random = self.next_on(Link::Directory);
                    let at = self.now + random.between(Duration::ZERO, Duration::from_millis(500));
                    let known = setting::who_is(&who, &self.here);
                    self.schedule(at, Event::Answer { owner, id, known, life: self.life });
                }
                Output::Write { id, key, value } => {
                    self.disk.write(self.now, key, value);
                    written = Some(id);
                }
                Output::Tell { owner, tell } => self.at_node(usize::from(owner.0), Input::Told(tell)),
                Output::Forward { owner, flow, peer_names, octets } => {
                    let input = Input::Forwarded { flow, peer_names, octets: &octets };
                    self.at_node(usize::from(owner.0), input);
                }
                Output::Report(report) => self.note(|| format!("node {owner}: {report}")),
                Output::Ask { question: Question::Resolve(resolve), .. } => {
                    self.broken(format!("{} is looked up, and nothing here has a name", resolve.host));
                }
                Output::Stopped => self.note(|| format!("node {owner} has stopped")),
            }
        }
        if let Some(up_to) = written {
            let mut random = self.next_on(Link::Disk);
            let slow = random.chance(200) && !self.calm && self.has(Feature::SlowDisk);
            let most = Duration::from_millis(if slow { 5_000 } else { 30 });
            let at = self.now + random.between(Duration::ZERO, most);
            self.schedule(at, Event::Written { owner, up_to, life: self.life });
        }
    }

    /// `kill -9`, and a start with what the store holds.
    pub(crate) fn crash(&mut self, powerless: bool) {
        self.note(|| "the node dies and starts again".to_owned());
        self.outcome.crashes += 1;
        self.is_first = false;
        for number in 0..self.people.len() {
            let is_cut_off = !self.reaches(number);
            if let Some(person) = self.people.get_mut(number) {
                person.unheard |= is_cut_off;
            }
        }
        // A tag that came too late, or that a power cut took, cannot be used any more; every other one is written down.
        let disk = &self.disk;
        for server in &mut self.servers {
            let late = &server.model.late;
            server.model.delivered.retain(|tag| disk.mentions(tag) || !(powerless || late.contains(tag)));
        }
        // By a clock that went ahead an intent without a tag has run out, and is dropped.
        if powerless || self.has(Feature::ClockJumps) {
            self.unwritten_until = Some(self.now + Duration::from_secs(1_300));
        }
        if self.unwritten_until.is_none_or(|until| until <= self.now) {
            self.assert_written_down();
        }
        self.expect_leftovers_to_go();
        self.note_lost_subscriptions();
        // What the store had not synced is gone; by another clock a publication is over, or lives longer.
        if powerless || self.has(Feature::ClockJumps) {
            let now = self.now;
            self.press.iter_mut().for_each(|press| press.doubt(now));
        }
        self.life += 1;
        (self.started_at, self.is_stopping) = (Some(self.now), false);
        self.truth.forget();
        self.streams.clear();
        if self.has(Feature::ClockJumps) {
            let hours = i64::try_from(stream(self.play.seed, 9, self.life as u64).below(72)).unwrap_or(0) - 36;
            self.skew_ms += hours * 3_600_000;
        }
        self.nodes = start(self);
        for owner in 0..self.nodes.len() {
            self.drain_node(owner);
        }
        self.all_lines_break();
        if self.has(Feature::ClockJumps) {
            self.note_lost_subscriptions();
        }
        for number in 0..self.people.len() {
            self.command(number, ua::phone::Command::Register);
        }
    }

    /// Whatever lives at a server has its intent in the store, unless the power failed.
    fn assert_written_down(&mut self) {
        let names = setting::servers(&self.swarm);
        for (server, name) in names.iter().enumerate() {
            for user in (0..self.people.len()).map(user) {
                let key = format!("publication/{user} {name}").into_bytes();
                let known = self.servers.get(server);
                let lives = known.is_some_and(|known| !known.model.live(user.as_str(), self.now).is_empty());
                if lives && !self.disk.written.contains_key(&key) {
                    self.broken(format!("{user} is published at {name}, and nobody wrote it down"));
                }
            }
        }
    }

    /// What has a tag in the store is gone within 5 s, where nothing keeps the removal from its way.
    fn expect_leftovers_to_go(&mut self) {
        if self.has(Feature::ClockJumps) || self.is_troubled() {
            return;
        }
        let mut tags = Vec::new();
        for (server, known) in self.servers.iter().enumerate() {
            for user in (0..self.people.len()).map(user) {
                let live = known.model.live(user.as_str(), self.now).into_iter();
                let live = live.filter(|held| self.disk.mentions(&held.tag));
                tags.extend(live.map(|held| (server, user.to_string(), held.tag.clone())));
            }
        }
        let life = self.life + 1;
        self.schedule(self.now + Duration::from_secs(5), Event::Leftovers { tags, life });
    }
}
