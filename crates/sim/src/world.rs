//! One history: what happens, when, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, PresenceServer, User};
use node::port::{Known, Who};
use node::{Answer, Boot, Input, Machine, Node, Output, Question, Wall, WriteId};
use sip::transport::{Flow, ListenerId, SentBy, Transport};
use sip::{Aor, Owner, Random};
use ua::phone::{self, Command, Phone};

use crate::mutant::{Mutant, Store};
use crate::stand_in::StandIn;

const DOMAIN: &str = "sfb.example";
const PHONES: usize = 4;

/// Within what a call is found dead: half a session, the wait for an answer, and the removal.
const SESSION: Duration = Duration::from_secs(700);

/// How a history went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was broken, in sentences; empty when everything held.
    pub broken: Vec<String>,
    /// Calls that were answered.
    pub answered: usize,
    /// PUBLISH requests that the presence server saw.
    pub published: usize,
    /// Crashes of the node.
    pub crashes: usize,
    /// The last things that happened.
    pub log: Vec<String>,
}

/// What may go wrong in a history: a random subset for each seed.
#[derive(Clone, Copy, Debug)]
struct Faults {
    loss: u64,
    duplicates: u64,
    delays: bool,
    crashes: bool,
    forgets: bool,
    silences: bool,
    late_answers: bool,
    /// Phones that can't be reached for a while.
    partitions: bool,
    /// Phones that start anew and know of no call.
    vanishing: bool,
    /// Power cuts: what the store had not synced is gone, too.
    power_cuts: bool,
    /// The store takes seconds.
    slow_disk: bool,
    /// Between two lives of the node the wall clock jumps.
    clock_jumps: bool,
    /// Orderly stops.
    stops: bool,
}

impl Faults {
    fn draw(random: &mut Random) -> Self {
        let mut half = || random.chance(400);
        let (loss, duplicates) = (half(), half());
        Self {
            loss: if loss { 100 } else { 0 },
            duplicates: if duplicates { 50 } else { 0 },
            delays: half(),
            crashes: half(),
            forgets: half(),
            silences: half(),
            late_answers: half(),
            partitions: half(),
            vanishing: half(),
            power_cuts: half(),
            slow_disk: half(),
            clock_jumps: half(),
            stops: half(),
        }
    }

    /// Whether nothing can be lost, so that every doubt is a mistake of ours.
    fn none(self) -> bool {
        let dies = self.crashes || self.power_cuts || self.stops;
        let is_lost = self.loss > 0 || self.delays || self.partitions || self.vanishing;
        !dies && !is_lost && !self.forgets && !self.silences && !self.late_answers
    }
}

/// Something that will happen.
#[derive(Debug)]
enum Event {
    ToNode { from: SocketAddr, octets: Arc<[u8]>, life: usize, is_late: bool },
    ToPhone { phone: usize, octets: Arc<[u8]> },
    ToServer { octets: Arc<[u8]>, life: usize },
    Answer { owner: usize, id: node::AskId, known: Known },
    Written { owner: usize, up_to: WriteId, life: usize },
    Act,
}

struct World {
    now: Instant,
    random: Random,
    faults: Faults,
    calm: bool,
    silent_until: Option<Instant>,
    /// The nodes of one process: one for each core.
    nodes: Vec<Node>,
    configuration: Arc<Configuration>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the store has synced, and when it does so next.
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    sync_at: Instant,
    /// How far the wall clock is off.
    skew_ms: i64,
    /// Until when each phone can't be reached.
    cut_off: Vec<Option<Instant>>,
    /// Until when something may live at the server of which a power cut, or a clock that jumped, took the record.
    unwritten_until: Option<Instant>,
    /// Phones that were cut off when the node died: the BYE of its next life may not have reached them, and whoever hears
    /// nothing any more hangs up some day.
    unheard: BTreeSet<usize>,
    /// When a phone was last cut off or started anew: until the sessions of its calls have run out, nobody can know.
    doubtful: Option<Instant>,
    phones: Vec<Phone>,
    server: StandIn,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    start: Instant,
    /// When the server last forgot everything: what it forgot comes back with the next refresh.
    forgot: Option<Instant>,
    life: usize,
    mutant: Option<Mutant>,
    outcome: Outcome,
}

/// Lives through the history of one seed.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "one reading of the clock to start from; from there time is virtual")]
pub fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let mut world = World::new(seed, mutant, Instant::now());
    for phone in 0..PHONES {
        world.command(phone, Command::Register);
    }
    world.run_for(Duration::from_secs(5));
    for _ in 0..3 {
        world.storm();
        world.quiet();
    }
    world.end();
    let mut outcome = world.outcome;
    outcome.broken.extend(world.server.broken);
    outcome
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, now: Instant) -> Self {
        let mut random = Random::from_number(seed);
        let faults = Faults::draw(&mut random);
        let configuration = Arc::new(configuration(&mut random));
        let phones = (0..PHONES).map(|number| phone(number, &mut random, now)).collect();
        let grants = if random.chance(300) { 30 + random.below(200) } else { 600 };
        let owners = if random.chance(500) { 1 } else { 2 + random.below(2) };
        let nodes = nodes(&configuration, now, unix_ms(now, now, 0), &mut random, owners, &[], mutant);
        Self {
            now,
            random,
            faults,
            calm: false,
            silent_until: None,
            nodes,
            configuration,
            store: BTreeMap::new(),
            synced: BTreeMap::new(),
            sync_at: now,
            skew_ms: 0,
            cut_off: vec![None; PHONES],
            unwritten_until: None,
            unheard: BTreeSet::new(),
            doubtful: None,
            phones,
            server: StandIn::new(grants),
            queue: BTreeMap::new(),
            queued: 0,
            start: now,
            forgot: None,
            life: 0,
            mutant,
            outcome: Outcome { broken: Vec::new(), answered: 0, published: 0, crashes: 0, log: Vec::new() },
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let at = (self.now - self.start).as_secs_f64();
        self.outcome.log.push(format!("{at:10.3} {}", what()));
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + after, self.queued), event);
    }

    /// Puts a message on the network: it may be lost, doubled, or late.
    fn carry(&mut self, event: impl Fn() -> Event) {
        if !self.calm && self.random.chance(self.faults.loss) {
            return;
        }
        let copies = if !self.calm && self.random.chance(self.faults.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let slow = !self.calm && self.faults.delays && self.random.chance(50);
            let most = Duration::from_millis(if slow { 3_000 } else { 20 });
            let after = self.random.between(Duration::from_millis(1), most);
            self.schedule(after, event());
        }
    }

    fn command(&mut self, phone: usize, command: Command) {
        self.note(|| format!("phone {phone}: {command:?}"));
        let now = self.now;
        if let Some(phone) = self.phones.get_mut(phone) {
            phone.handle(now, phone::Input::Command(command));
        }
        self.drain_phone(phone);
    }

    /// Everything happens, faults included.
    fn storm(&mut self) {
        self.calm = false;
        for _ in 0..20 {
            let after = self.random.between(Duration::ZERO, Duration::from_secs(60));
            self.schedule(after, Event::Act);
        }
        let length = self.random.between(Duration::from_secs(60), Duration::from_secs(400));
        self.run_for(length);
    }

    /// No new faults: within a transaction's life, a back-off and some slack everything must be as it should.
    fn quiet(&mut self) {
        self.calm = true;
        self.silent_until = None;
        self.cut_off = vec![None; PHONES];
        for phone in std::mem::take(&mut self.unheard) {
            self.command(phone, Command::HangUp);
        }
        self.run_for(Duration::from_secs(200));
        self.check();
    }

    fn end(&mut self) {
        self.calm = true;
        for phone in 0..PHONES {
            self.command(phone, Command::HangUp);
        }
        self.run_for(Duration::from_secs(200));
        self.check();
        // What was left over without a tag is waited for; by a clock that went back that may be twice the longest lifetime.
        let left_over = if self.faults.clock_jumps { 7_300 } else { 1_400 };
        self.run_for(Duration::from_secs(left_over));
        self.check();
        let left: usize = self.server.held.values().flatten().filter(|held| held.until > self.now).count();
        if left > 0 {
            self.outcome.broken.push(format!("{left} publications live long after the last call"));
        }
        if !self.store.is_empty() {
            let keys: Vec<_> = self.store.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
            self.outcome.broken.push(format!("records are left in the store: {keys:?}"));
        }
        for node in &self.nodes {
            if !node.is_idle() {
                let load = node.load();
                self.outcome.broken.push(format!("a node is not idle long after the last call: {load:?}"));
            }
        }
    }

    /// Converges, never stuck, never missing: what the server holds of each user is the hook state.
    fn check(&mut self) {
        // A phone that was cut off or has forgotten its calls cannot say who is in one, until their sessions have run out.
        if self.doubtful.is_some_and(|at| at + SESSION > self.now) {
            return;
        }
        let forgot = self.forgot.is_some_and(|at| at + Duration::from_secs(530) > self.now);
        for number in 0..PHONES {
            let user = user(number);
            let live = self.server.live(user.as_str(), self.now);
            let calls = self.phones.get(number).map_or(0, Phone::calls);
            if calls > 0 && live.is_empty() && !forgot {
                let at = (self.now - self.start).as_secs_f64();
                self.outcome.broken.push(format!("{user} is in {calls} calls and looks free at {at:.3}"));
            }
            let known = live.iter().filter(|held| self.server.delivered.contains(&held.tag)).count();
            if calls == 0 && known > 0 {
                let tags: Vec<&str> = live.iter().map(|held| held.tag.as_str()).collect();
                self.outcome.broken.push(format!(
                    "{user} is in no call and looks busy at {:.3}: {tags:?}",
                    (self.now - self.start).as_secs_f64()
                ));
            }
            if calls > 0 && known > 1 {
                self.outcome.broken.push(format!("{user} is published {known} times, with tags that we know"));
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let node = self.nodes.iter().filter_map(|node| node.next_timeout().map(|(at, _)| at)).min();
            let phones = self.phones.iter().filter_map(Phone::next_timeout).min();
            let Some(next) = [queued, node, phones].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if queued == Some(next) {
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
                continue;
            }
            for owner in 0..self.nodes.len() {
                let known = self.nodes.get(owner).and_then(Machine::next_timeout);
                if known.is_some_and(|(at, _)| at <= self.now) {
                    self.at_node(owner, Input::Timeout);
                }
            }
            for phone in 0..self.phones.len() {
                if let Some(known) =
                    self.phones.get_mut(phone).filter(|p| p.next_timeout().is_some_and(|at| at <= self.now))
                {
                    known.handle(self.now, phone::Input::Timeout);
                    self.drain_phone(phone);
                }
            }
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToNode { from, octets, life, is_late } => {
                // An answer to a process that has died meanwhile tells its successor nothing.
                if from == server_address() && life == self.life {
                    self.server.was_delivered(&octets, is_late);
                }
                // The system spreads datagrams over the sockets by their source; the owner may be another.
                let owner = from.to_string().bytes().map(usize::from).sum::<usize>() % self.nodes.len();
                self.at_node(owner, Input::Datagram { listener: ListenerId(0), remote: from, octets: &octets });
            }
            Event::ToPhone { phone, .. } if !self.reaches(phone) => {}
            Event::ToPhone { phone, octets } => {
                if let Some(known) = self.phones.get_mut(phone) {
                    known.handle(self.now, phone::Input::Received { flow: here(), octets: &octets });
                }
                self.drain_phone(phone);
            }
            Event::ToServer { octets, life } => self.at_server(&octets, life),
            Event::Answer { owner, id, known } => {
                self.at_node(owner, Input::Answer { id, answer: Answer::User(known) });
            }
            Event::Written { owner, up_to, life } if life == self.life => {
                self.at_node(owner, Input::Written { up_to });
            }
            Event::Written { .. } => {}
            Event::Act => self.act(),
        }
    }

    fn at_server(&mut self, octets: &Arc<[u8]>, life: usize) {
        if self.silent_until.is_some_and(|until| until > self.now) {
            return;
        }
        self.outcome.published += 1;
        let strict = self.faults.none();
        let now = self.now;
        self.note(|| format!("server gets {}", first_lines(octets)));
        if let Some(answer) = self.server.answer(now, octets, strict) {
            let answer: Arc<[u8]> = answer.into();
            self.note(|| format!("server says {}", first_lines(&answer)));
            let late = !self.calm && self.faults.late_answers && self.random.chance(150);
            if late {
                let after = self.random.between(Duration::from_secs(30), Duration::from_secs(90));
                self.schedule(after, Event::ToNode { from: server_address(), octets: answer, life, is_late: true });
            } else {
                self.carry(|| Event::ToNode {
                    from: server_address(),
                    octets: Arc::clone(&answer),
                    life,
                    is_late: false,
                });
            }
        }
    }

    /// Something that a person, or fate, does.
    fn act(&mut self) {
        let one = usize::try_from(self.random.below(PHONES as u64)).unwrap_or(0);
        let other = usize::try_from(self.random.below(PHONES as u64)).unwrap_or(0);
        match self.random.below(16) {
            0..=4 => self.command(one, Command::Call(user(other).to_string())),
            5..=7 => self.command(one, Command::HangUp),
            8 => self.command(one, Command::Hold),
            9 if self.faults.crashes => self.crash(false),
            10 if self.faults.forgets => {
                self.note(|| "the server forgets everything".to_owned());
                self.server.forget();
                self.forgot = Some(self.now);
            }
            11 if self.faults.silences => {
                self.note(|| "the server falls silent".to_owned());
                let length = self.random.between(Duration::from_secs(1), Duration::from_secs(60));
                self.silent_until = Some(self.now + length);
            }
            12 if self.faults.partitions => {
                let length = self.random.between(Duration::from_secs(1), Duration::from_secs(120));
                self.note(|| format!("phone {one} is cut off for {length:?}"));
                if let Some(until) = self.cut_off.get_mut(one) {
                    *until = Some(self.now + length);
                }
                self.doubtful = Some(self.now + length);
                // For so long a BYE is not repeated.
                if length > Duration::from_secs(30) {
                    self.unheard.insert(one);
                }
            }
            13 if self.faults.vanishing => {
                self.note(|| format!("phone {one} starts anew"));
                let phone = phone(one, &mut self.random, self.now);
                if let Some(place) = self.phones.get_mut(one) {
                    *place = phone;
                }
                self.doubtful = Some(self.now);
                self.command(one, Command::Register);
            }
            14 if self.faults.power_cuts => self.power_cut(),
            15 if self.faults.stops => self.stop(),
            _ => self.command(one, Command::Answer),
        }
    }

    /// What the store had not synced is gone. Of a call whose record went that way the phones alone know; they hang up.
    fn power_cut(&mut self) {
        self.note(|| "the power fails".to_owned());
        if self.sync_at <= self.now {
            self.synced = self.store.clone();
        }
        self.store = self.synced.clone();
        self.crash(true);
        for phone in 0..PHONES {
            self.command(phone, Command::HangUp);
        }
        self.doubtful = Some(self.now);
    }

    /// An orderly stop, and a start.
    fn stop(&mut self) {
        self.note(|| "the node stops".to_owned());
        for owner in 0..self.nodes.len() {
            self.at_node(owner, Input::Stop);
        }
        self.run_for(Duration::from_secs(10));
        self.crash(false);
    }

    /// `kill -9`, and a start with what the store holds.
    fn crash(&mut self, powerless: bool) {
        self.note(|| "the node dies and starts again".to_owned());
        self.outcome.crashes += 1;
        let cut_off = (0..PHONES).filter(|phone| !self.reaches(*phone));
        self.unheard = self.unheard.union(&cut_off.collect()).copied().collect();
        self.life += 1;
        let records: Vec<_> = self.store.clone().into_iter().collect();
        // A tag that came too late, or that a power cut took, cannot be used any more; every other one is written down.
        let stored: Vec<u8> = records.iter().flat_map(|(_, value)| value.clone()).collect();
        let text = String::from_utf8_lossy(&stored).into_owned();
        let late = &self.server.late;
        self.server.delivered.retain(|tag| text.contains(tag.as_str()) || !(powerless || late.contains(tag)));
        // By a clock that went ahead an intent without a tag has run out, and is dropped.
        if powerless || self.faults.clock_jumps {
            self.unwritten_until = Some(self.now + Duration::from_secs(1_300));
        }
        if self.unwritten_until.is_none_or(|until| until <= self.now) {
            self.assert_written_down();
        }
        let owners = self.nodes.len() as u64;
        if self.faults.clock_jumps {
            let hours = i64::try_from(self.random.below(72)).unwrap_or(0) - 36;
            self.skew_ms += hours * 3_600_000;
        }
        let unix_ms = unix_ms(self.now, self.start, self.skew_ms);
        self.nodes = nodes(&self.configuration, self.now, unix_ms, &mut self.random, owners, &records, self.mutant);
        for owner in 0..self.nodes.len() {
            self.drain_node(owner);
        }
        for phone in 0..PHONES {
            self.command(phone, Command::Register);
        }
    }

    /// Whatever lives at the server has its intent in the store, unless the power failed.
    fn assert_written_down(&mut self) {
        for user in (0..PHONES).map(user) {
            let key = format!("publication/{user} stand-in").into_bytes();
            if !self.server.live(user.as_str(), self.now).is_empty() && !self.store.contains_key(&key) {
                let at = (self.now - self.start).as_secs_f64();
                self.outcome.broken.push(format!("{user} is published at {at:.3}, and nobody wrote it down"));
            }
        }
    }

    /// One thing happens to one node.
    fn at_node(&mut self, owner: usize, input: Input<'_>) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.handle(self.now, input);
        }
        self.drain_node(owner);
    }

    fn drain_node(&mut self, owner: usize) {
        let mut written = None;
        while let Some(output) = self.nodes.get_mut(owner).and_then(Node::poll) {
            match output {
                Output::Transmit { flow, octets } => {
                    let Some(remote) = flow.remote() else { continue };
                    if remote == server_address() {
                        let life = self.life;
                        self.carry(|| Event::ToServer { octets: Arc::clone(&octets), life });
                    } else if let Some(phone) = (0..PHONES).find(|phone| phone_address(*phone) == remote) {
                        self.carry(|| Event::ToPhone { phone, octets: Arc::clone(&octets) });
                    } else {
                        self.outcome.broken.push(format!("a message leaves for {remote}, where nobody is"));
                    }
                }
                Output::Ask { id, question: Question::WhoIs(who) } => {
                    let after = self.random.between(Duration::ZERO, Duration::from_millis(500));
                    self.schedule(after, Event::Answer { owner, id, known: who_is(&who) });
                }
                Output::Write { id, key, value } => {
                    self.write(key, value);
                    written = Some(id);
                }
                Output::Tell { owner, tell } => self.at_node(usize::from(owner.0), Input::Told(tell)),
                Output::Forward { owner, flow, peer_names, octets } => {
                    let input = Input::Forwarded { flow, peer_names, octets: &octets };
                    self.at_node(usize::from(owner.0), input);
                }
                Output::Report(report) => self.note(|| format!("node: {report}")),
                _ => {}
            }
        }
        if let Some(up_to) = written {
            let slow = !self.calm && self.faults.slow_disk && self.random.chance(200);
            let most = Duration::from_millis(if slow { 5_000 } else { 30 });
            let after = self.random.between(Duration::ZERO, most);
            self.schedule(after, Event::Written { owner, up_to, life: self.life });
        }
    }

    /// The store takes a write, and syncs now and then.
    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.sync_at <= self.now {
            self.synced = self.store.clone();
            self.sync_at = self.now + Duration::from_millis(100);
        }
        let fault = match self.mutant {
            Some(Mutant::Store(fault)) => Some(fault),
            Some(Mutant::Node(_)) | None => None,
        };
        match (value, fault) {
            (Some(_), Some(Store::LosesWrites)) | (None, Some(Store::DeletesNothing)) => {}
            (Some(_), Some(Store::KeepsTheOldest)) if self.store.contains_key(&key) => {}
            (Some(value), _) => drop(self.store.insert(key, value)),
            (None, _) => drop(self.store.remove(&key)),
        }
    }

    /// Whether a phone can be reached.
    fn reaches(&self, phone: usize) -> bool {
        self.cut_off.get(phone).copied().flatten().is_none_or(|until| until <= self.now)
    }

    fn drain_phone(&mut self, number: usize) {
        while let Some(output) = self.phones.get_mut(number).and_then(Phone::poll) {
            match output {
                phone::Output::Transmit { octets, .. } => {
                    if !self.reaches(number) {
                        continue;
                    }
                    let life = self.life;
                    self.carry(|| Event::ToNode {
                        from: phone_address(number),
                        octets: Arc::clone(&octets),
                        life,
                        is_late: false,
                    });
                }
                phone::Output::Event(event) => {
                    self.outcome.answered += usize::from(event == phone::Event::Answered);
                    self.note(|| format!("phone {number}: {event:?}"));
                }
            }
        }
    }
}

fn first_lines(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let wanted = |line: &&str| line.starts_with("SIP-") || line.starts_with("Expires") || line.starts_with("PUBLISH");
    text.lines().filter(|line| wanted(line) || line.starts_with("SIP/2.0")).collect::<Vec<_>>().join(" | ")
}

/// What the wall clock says.
fn unix_ms(now: Instant, start: Instant, skew_ms: i64) -> u64 {
    let passed = u64::try_from((now - start).as_millis()).unwrap_or(0);
    1_795_000_000_000_u64.saturating_add(passed).saturating_add_signed(skew_ms)
}

/// The nodes of one process, started with the same records and the same shared seed.
fn nodes(
    configuration: &Arc<Configuration>,
    now: Instant,
    unix_ms: u64,
    random: &mut Random,
    owners: u64,
    records: &[(Vec<u8>, Vec<u8>)],
    mutant: Option<Mutant>,
) -> Vec<Node> {
    let shared_seed = random.seed();
    let owners = u16::try_from(owners).unwrap_or(1);
    (0..owners)
        .map(|owner| {
            let boot = Boot {
                owner: Owner(owner),
                owners,
                wall: Wall { at: now, unix_ms },
                seed: random.seed(),
                shared_seed,
                listeners: vec![(ListenerId(0), node_address())],
                records: records.iter().cloned().collect(),
            };
            let mutant = match mutant {
                Some(Mutant::Node(mutant)) => Some(mutant),
                Some(Mutant::Store(_)) | None => None,
            };
            Node::broken(now, Arc::clone(configuration), boot, mutant)
        })
        .collect()
}

fn configuration(random: &mut Random) -> Configuration {
    let mut server = presence::publisher::Server::new("stand-in");
    if random.chance(300) {
        server.first_expires = Some(Duration::from_secs(60));
    }
    Configuration {
        domains: vec![DOMAIN.to_owned()],
        listeners: vec![Listener { id: ListenerId(0), transport: Transport::Udp, advertise: None, identity: None }],
        routes: vec![call::routing::Route {
            from: call::routing::From::Registered,
            callee: None,
            to: call::routing::To::Registered,
        }],
        users: (0..PHONES)
            .map(|number| User { aor: user(number), aliases: Vec::new(), password: Some("secret".into()) })
            .collect(),
        presence_servers: vec![PresenceServer {
            server,
            uri: Some(format!("sip:{}", server_address()).into()),
            local_name: None,
            shared_state: false,
            supersedes: false,
            keepalive: Some(Duration::from_secs(30)),
            identity: None,
        }],
        ..Configuration::default()
    }
}

fn phone(number: usize, random: &mut Random, now: Instant) -> Phone {
    let answers_after = random.chance(800).then(|| random.between(Duration::ZERO, Duration::from_secs(5)));
    let settings = phone::Settings {
        aor: user(number),
        display_name: format!("User {number}"),
        password: "secret".to_owned(),
        server: here(),
        sent_by: SentBy {
            transport: Transport::Udp,
            host_port: phone_address(number).to_string().into(),
            alias: false,
        },
        expires: Duration::from_secs(3600),
        answers_after,
    };
    Phone::new(settings, Random::from_seed(random.seed()), now)
}

fn user(number: usize) -> Aor {
    #[allow(clippy::expect_used, reason = "the text is right there")]
    Aor::parse(&format!("sip:user{number}@{DOMAIN}")).expect("a SIP URI")
}

fn who_is(who: &Who) -> Known {
    let found = (0..PHONES).map(user).find(|aor| matches!(who, Who::Aor(known) if known == aor));
    found.map_or(Known::Nobody, |aor| Known::User { aor, display_name: None, publish: true })
}

fn node_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5060))
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 2, 1], 5060))
}

fn phone_address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, u8::try_from(number + 1).unwrap_or(255)], 5060))
}

fn here() -> Flow {
    Flow::Udp { listener: ListenerId(0), remote: node_address() }
}
