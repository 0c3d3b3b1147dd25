//! One history: time passes, people and fate act in storms, and in the quiet between everything must become right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::Configuration;
use node::{Closed, Input, Machine, Node};
use sip::transport::StreamId;
use ua::phone::{self, Command};

use crate::cast::{Event, Person, Server};
use crate::lines::Line;
use crate::lookout::Sent;
use crate::mutant::Mutant;
use crate::network::{Link, Wire};
use crate::nodes::{self, Disk};
use crate::press::Press;
use crate::setting;
use crate::stand_in::StandIn;
use crate::swarm::{Feature, Swarm, stream};
use crate::truth::Truth;
use crate::watching::Onlooker;

/// Within this everything is right once nothing goes wrong any more: what is on its way times out (32 s), the longest
/// back-off (60 s), and the attempt after it, with some air.
pub(crate) const QUIET: Duration = Duration::from_secs(100);

/// What is lived through.
#[derive(Clone, Debug, Default)]
pub struct Play {
    /// Everything follows from it.
    pub seed: u64,
    /// The deliberate fault of the build.
    pub mutant: Option<Mutant>,
    /// Features that the seed has and that are left out.
    pub without: BTreeSet<Feature>,
    /// The deeds that are done; all where it is absent.
    pub keep: Option<BTreeSet<usize>>,
    /// Whether the history is told.
    pub told: bool,
    /// Whether the presence servers never say a word. Then only the calls count.
    pub silent: bool,
}

/// How a history went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was broken, in sentences; empty when everything held.
    pub broken: Vec<String>,
    /// Calls that were answered.
    pub answered: usize,
    /// PUBLISH requests that the presence servers saw.
    pub published: usize,
    /// Crashes of the node.
    pub crashes: usize,
    /// What happened, if it is told.
    pub log: Vec<String>,
    /// What could go wrong in it.
    pub features: Vec<Feature>,
    /// The deeds that were done.
    pub acts: Vec<usize>,
    /// What the phones noticed before the nodes were first stopped or killed, and when.
    pub(crate) noticed: Vec<Noticed>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) play: Play,
    pub(crate) swarm: Swarm,
    pub(crate) calm: bool,
    pub(crate) owners: usize,
    /// The nodes of one process: one for each core.
    pub(crate) nodes: Vec<Node>,
    pub(crate) life: usize,
    /// Nothing was stopped or killed yet. After that the order of what is settled follows from names, which are random.
    pub(crate) is_first: bool,
    /// When the nodes last started after a crash, when the power last failed, and whether they are told to stop.
    pub(crate) started_at: Option<Instant>,
    pub(crate) powerless_at: Option<Instant>,
    pub(crate) is_stopping: bool,
    pub(crate) configuration: Arc<Configuration>,
    /// Who is a user at the moment, and when that last changed.
    pub(crate) here: Vec<bool>,
    pub(crate) reloaded_at: Option<Instant>,
    pub(crate) disk: Disk,
    /// How far the wall clock is off.
    pub(crate) skew_ms: i64,
    /// Until when something may live at a server of which a power cut, or a clock that jumped, took the record.
    pub(crate) unwritten_until: Option<Instant>,
    pub(crate) people: Vec<Person>,
    pub(crate) servers: Vec<Server>,
    pub(crate) watchers: Vec<Onlooker>,
    pub(crate) press: Option<Press>,
    /// The NOTIFY that left last, by Call-ID and tag.
    pub(crate) notified: BTreeMap<(String, String), Sent>,
    pub(crate) streams: BTreeMap<StreamId, Wire>,
    /// The connections between watchers and nodes; those that died without the nodes knowing; and how many watchers have made.
    pub(crate) lines: BTreeMap<StreamId, Line>,
    pub(crate) dead_lines: BTreeSet<StreamId>,
    pub(crate) lines_made: u64,
    /// How many messages each link has carried.
    pub(crate) carried: BTreeMap<Link, u64>,
    pub(crate) truth: Truth,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    pub(crate) outcome: Outcome,
}

/// Lives through a history. Every eighth is lived through once more with presence servers that never say a word: the calls
/// must go the same way.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "one reading of the clock to start from; from there time is virtual")]
pub fn run(play: &Play) -> Outcome {
    let now = Instant::now();
    let mut outcome = World::new(play, now).live();
    if play.silent {
        outcome.broken.clear();
    } else if play.mutant.is_none() && play.seed.is_multiple_of(8) {
        let world = World::new(&Play { silent: true, ..play.clone() }, now);
        let tolerance = world.longest_latency();
        let other = world.live();
        outcome.broken.extend(calls_differ(&outcome.noticed, &other.noticed, tolerance));
    }
    outcome
}

/// What a phone notices: when, which phone, and what.
type Noticed = (Duration, usize, phone::Event);

/// Whether a phone notices something else, or at another time. Which of two messages of the same instant leaves first follows
/// from names, which are random; each takes its own time on the way.
fn calls_differ(calls: &[Noticed], with_silence: &[Noticed], tolerance: Duration) -> Option<String> {
    let of =
        |all: &[Noticed], phone| -> Vec<Noticed> { all.iter().filter(|(_, of, _)| *of == phone).cloned().collect() };
    let phones: BTreeSet<usize> = calls.iter().map(|(_, phone, _)| *phone).collect();
    phones.into_iter().find_map(|phone| {
        let (calls, with_silence) = (of(calls, phone), of(with_silence, phone));
        // Where both give up in the same instant either may be first: CANCEL, or 486.
        let gave_up = |event: &phone::Event| matches!(event, phone::Event::Failed(486 | 487));
        let same = |((at, _, event), (too, _, other)): &(&Noticed, &Noticed)| {
            (event == other || gave_up(event) && gave_up(other)) && at.abs_diff(*too) <= tolerance
        };
        let (one, other) = calls.iter().zip(&with_silence).find(|pair| !same(pair))?;
        Some(format!("with silent presence servers the calls go another way: {other:?}, not {one:?}"))
    })
}

impl World {
    fn new(play: &Play, now: Instant) -> Self {
        let seed = play.seed;
        let swarm = Swarm::draw(seed, &play.without);
        let people = setting::people(&swarm);
        let here = vec![true; people];
        let configuration = setting::configuration(seed, &swarm, &here);
        let mut random = stream(seed, 5, 0);
        let owners = if random.chance(500) { 1 } else { usize::try_from(2 + random.below(2)).unwrap_or(2) };
        let person = |number| Person {
            phone: setting::phone(seed, number, 0, now),
            lives: 0,
            cut_off_since: None,
            cut_off_until: None,
            doubtful_until: None,
            unheard: false,
            up_since: None,
            calls: BTreeMap::new(),
            engaged_until: Some(now),
        };
        let mut server = |number| Server {
            model: StandIn::new(number, if random.chance(300) { 30 + random.below(200) } else { 600 }),
            silent_until: None,
            answers_lost_until: None,
            refuses_until: None,
            forgot_at: None,
        };
        let servers = (0..setting::servers(&swarm).len()).map(&mut server).collect();
        let mut world = Self {
            now,
            start: now,
            calm: false,
            owners,
            nodes: Vec::new(),
            life: 0,
            is_first: true,
            started_at: None,
            powerless_at: None,
            is_stopping: false,
            configuration,
            here,
            reloaded_at: None,
            disk: Disk::new(now, play.mutant),
            skew_ms: 0,
            unwritten_until: None,
            people: (0..people).map(person).collect(),
            servers,
            watchers: Onlooker::all(seed, &swarm, now),
            press: setting::press(seed, &swarm, now),
            notified: BTreeMap::new(),
            streams: BTreeMap::new(),
            lines: BTreeMap::new(),
            dead_lines: BTreeSet::new(),
            lines_made: 0,
            carried: BTreeMap::new(),
            truth: Truth::default(),
            queue: BTreeMap::new(),
            queued: 0,
            outcome: Outcome { features: swarm.features().collect(), ..Outcome::default() },
            play: play.clone(),
            swarm,
        };
        world.nodes = nodes::start(&world);
        world
    }

    fn live(mut self) -> Outcome {
        for person in 0..self.people.len() {
            self.command(person, Command::Register);
        }
        self.run_for(Duration::from_secs(5));
        for storm in 0..3 {
            self.storm(storm);
            self.quiet();
        }
        self.end();
        for server in self.servers {
            self.outcome.broken.extend(server.model.broken);
        }
        self.outcome
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.play.told {
            let at = (self.now - self.start).as_secs_f64();
            self.outcome.log.push(format!("{at:10.3} {}", what()));
        }
    }

    pub(crate) fn broken(&mut self, what: impl Into<String>) {
        let at = (self.now - self.start).as_secs_f64();
        self.outcome.broken.push(format!("{} (at {at:.3})", what.into()));
    }

    pub(crate) fn schedule(&mut self, at: Instant, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.swarm.has(feature)
    }

    /// Everything happens, faults included.
    fn storm(&mut self, storm: usize) {
        self.calm = false;
        for act in self.swarm.storm(storm, self.people.len()) {
            if self.play.keep.as_ref().is_none_or(|keep| keep.contains(&act.number)) {
                self.outcome.acts.push(act.number);
                self.schedule(self.now + act.after, Event::Act(act));
            }
        }
        let length = stream(self.play.seed, 6, storm as u64).between(Duration::from_secs(60), Duration::from_secs(400));
        // No deed comes in the quiet after it.
        self.run_for(length.max(self.swarm.within));
    }

    /// No new faults: after a while everything must be as it should.
    fn quiet(&mut self) {
        self.calm = true;
        for server in &mut self.servers {
            server.silent_until = None;
            server.answers_lost_until = None;
            server.refuses_until = None;
        }
        for number in 0..self.people.len() {
            let Some(person) = self.people.get_mut(number) else { continue };
            person.cut_off_until = None;
            if std::mem::take(&mut person.unheard) {
                self.command(number, Command::HangUp);
            }
        }
        self.all_hear();
        self.run_for(QUIET);
        self.check();
        self.check_watchers();
        // Some watchers may hear the newest only later.
        if let Some(until) = self.watchers.iter().filter_map(|watcher| watcher.doubtful_until).max()
            && until > self.now
        {
            self.run_for(until - self.now + Duration::from_secs(1));
            self.check_watchers();
        }
    }

    fn end(&mut self) {
        self.calm = true;
        for person in 0..self.people.len() {
            self.command(person, Command::HangUp);
        }
        self.nobody_watches();
        self.run_for(QUIET);
        self.check();
        self.check_watchers();
        // What was left over without a tag is waited for; by a clock that went back that may be twice the longest lifetime.
        let left_over = if self.has(Feature::ClockJumps) { 7_300 } else { 1_400 };
        self.run_for(Duration::from_secs(left_over));
        self.check();
        self.check_that_nothing_is_left();
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let node = self.nodes.iter().filter_map(|node| node.next_timeout().map(|(at, _)| at)).min();
            let phones = self.people.iter().filter_map(|person| person.phone.next_timeout()).min();
            let ends = self.servers.iter().filter_map(|server| server.model.next_end()).min();
            let watchers = self.watchers.iter().filter_map(|watcher| watcher.agent.next_timeout()).min();
            let press = self.press.as_ref().and_then(Press::next_timeout);
            let next =
                [queued, node, phones, watchers, press, ends].into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.expire();
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
            for number in 0..self.people.len() {
                let due = |person: &&mut Person| person.phone.next_timeout().is_some_and(|at| at <= self.now);
                if let Some(person) = self.people.get_mut(number).filter(due) {
                    person.phone.handle(self.now, phone::Input::Timeout);
                    self.drain_phone(number);
                }
            }
            self.watchers_timeout();
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToNode { from, octets, life, is_late } => self.arrives_at_node(from, &octets, life, is_late),
            Event::ToPhone { phone, octets } => self.arrives_at_phone(phone, &octets),
            Event::ToServer { server, octets, life } => self.arrives_at_server(server, &octets, life, None),
            Event::ToWatcher { watcher, octets } => self.heard_by_watcher(watcher, setting::here(), &octets),
            Event::LineOpened { id, life } if life == self.life => self.line_opened(id),
            Event::FromLine { id, octets, life } if life == self.life => self.arrives_from_line(id, &octets),
            Event::OnLine { id, octets, life } if life == self.life => self.arrives_on_line(id, &octets),
            Event::LineLost { id, life } if life == self.life && self.dead_lines.contains(&id) => {
                self.line_gone(usize::from(id.owner().0), id, Closed::Failed("nobody answers any more".to_owned()));
            }
            Event::LineGone { owner, id, life } if life == self.life => self.line_gone(owner, id, Closed::Gone),
            // The lines of a life end with it.
            Event::LineOpened { .. }
            | Event::FromLine { .. }
            | Event::OnLine { .. }
            | Event::LineLost { .. }
            | Event::LineGone { .. } => {}
            Event::ToPress { octets } => self.arrives_at_press(&octets),
            Event::NobodyThere { owner, id, life } => self.finds_nobody(owner, id, life),
            Event::Opened { id, life } if life == self.life => self.opened(id),
            Event::Refused { id, life } if life == self.life => {
                self.breaks(id, Closed::Refused("nobody is there".to_owned()));
            }
            Event::OnStream { id, octets, life } if life == self.life => self.arrives_on_stream(id, &octets),
            Event::FromStream { id, octets, life, is_late } if life == self.life => {
                self.arrives_from_stream(id, &octets, is_late);
            }
            // The streams of a life end with it.
            Event::Opened { .. } | Event::Refused { .. } | Event::OnStream { .. } | Event::FromStream { .. } => {}
            Event::Answer { owner, id, known, life } if life == self.life => {
                self.at_node(owner, Input::Answer { id, answer: node::Answer::User(known) });
            }
            Event::Written { owner, up_to, life } if life == self.life => {
                self.at_node(owner, Input::Written { up_to });
            }
            Event::Answer { .. } | Event::Written { .. } => {}
            Event::Act(act) => self.act(act),
            Event::Suspicion(suspect) => self.confirm(&suspect),
            Event::Claim(claim) => self.confirm_claim(&claim),
            Event::Leftovers { tags, life } if life == self.life => self.check_leftovers(&tags),
            Event::Leftovers { .. } => {}
        }
    }

    pub(crate) fn command(&mut self, number: usize, command: Command) {
        self.note(|| format!("phone {number}: {command:?}"));
        let now = self.now;
        if let Some(person) = self.people.get_mut(number) {
            person.phone.handle(now, phone::Input::Command(command));
        }
        self.drain_phone(number);
    }
}
