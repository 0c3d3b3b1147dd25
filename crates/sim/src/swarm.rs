//! Swarm testing: each seed allows a random part of what can happen, and weighs what people and fate do. What stays out
//! leaves room for what is in, and a fault that hides another is not always there.

use std::collections::BTreeSet;
use std::time::Duration;

use sip::Random;

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that may go wrong, or be there, in a history.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature { $($(#[$doc])* $variant,)* }

        impl Feature {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

features! {
    /// One datagram in ten is lost.
    Loss = "loss",
    /// One in twenty comes twice.
    Duplicates = "duplicates",
    /// One in twenty takes up to 3 s.
    Delays = "delays",
    /// Answers of presence servers come when nobody waits any more.
    LateAnswers = "late-answers",
    /// For a while the answers of a presence server are lost; what it was told it knows.
    LostAnswers = "lost-answers",
    /// For a while a presence server hears nothing.
    Silences = "silences",
    /// For a while a presence server answers 408, 500, or 503 with or without Retry-After, and does nothing.
    Refusals = "refusals",
    /// A presence server forgets everything.
    Forgets = "forgets",
    /// Phones can't be reached for a while.
    Partitions = "partitions",
    /// Phones start anew and know of no call.
    Vanishing = "vanishing",
    /// `kill -9`, and a start at once.
    Crashes = "crashes",
    /// The same, and what the store had not synced is gone, too.
    PowerCuts = "power-cuts",
    /// The store takes seconds.
    SlowDisk = "slow-disk",
    /// Between two lives of the node the wall clock jumps.
    ClockJumps = "clock-jumps",
    /// Orderly stops.
    Stops = "stops",
    /// Users leave and come back while the node runs.
    Reloads = "reloads",
    /// Calls are held and taken back.
    Holds = "holds",
    /// There are two presence servers.
    TwoServers = "two-servers",
    /// The first presence server is reached over TCP.
    Streams = "streams",
    /// Its connections break.
    Resets = "resets",
    /// Twice as many people.
    Crowd = "crowd",
    /// The nodes have a presence server of their own, and watchers.
    ServerHere = "server-here",
    /// It is the only one.
    Alone = "alone",
    /// Watchers hear nothing for a while, or start anew and know of no subscription.
    DeafWatchers = "deaf-watchers",
    /// Watchers come over TCP, some of them from behind NAT, and their connections break or are forgotten.
    WatcherStreams = "watcher-streams",
}

impl Feature {
    /// The feature of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|feature| feature.name() == name)
    }
}

/// Something that a person, or fate, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Call,
    HangUp,
    Answer,
    Reject,
    Hold,
    Resume,
    Crash,
    PowerCut,
    Stop,
    Forget,
    Silence,
    LoseAnswers,
    Refuse,
    CutOff,
    Vanish,
    Reset,
    Reload,
    Watch,
    Deafen,
    WatchAnew,
    Publish,
    Unplug,
}

/// Each with the feature that it belongs to and its usual weight.
const DEEDS: [(Deed, Option<Feature>, u64); 22] = [
    (Deed::Call, None, 10),
    (Deed::HangUp, None, 6),
    (Deed::Answer, None, 4),
    (Deed::Reject, None, 1),
    (Deed::Hold, Some(Feature::Holds), 2),
    (Deed::Resume, Some(Feature::Holds), 2),
    (Deed::Crash, Some(Feature::Crashes), 2),
    (Deed::PowerCut, Some(Feature::PowerCuts), 2),
    (Deed::Stop, Some(Feature::Stops), 1),
    (Deed::Forget, Some(Feature::Forgets), 2),
    (Deed::Silence, Some(Feature::Silences), 2),
    (Deed::LoseAnswers, Some(Feature::LostAnswers), 2),
    (Deed::Refuse, Some(Feature::Refusals), 2),
    (Deed::CutOff, Some(Feature::Partitions), 2),
    (Deed::Vanish, Some(Feature::Vanishing), 2),
    (Deed::Reset, Some(Feature::Resets), 2),
    (Deed::Reload, Some(Feature::Reloads), 2),
    (Deed::Watch, Some(Feature::ServerHere), 2),
    (Deed::Deafen, Some(Feature::DeafWatchers), 2),
    (Deed::WatchAnew, Some(Feature::DeafWatchers), 2),
    (Deed::Publish, Some(Feature::ServerHere), 2),
    (Deed::Unplug, Some(Feature::WatcherStreams), 2),
];

/// One deed of a history. All of it is drawn from the seed and its number, so that it stays what it is when others are
/// left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    pub(crate) number: usize,
    pub(crate) after: Duration,
    pub(crate) deed: Deed,
    /// Which phone, server or user, and which other one.
    pub(crate) one: usize,
    pub(crate) other: usize,
    /// For how long, out of 1,000.
    pub(crate) share: u64,
}

/// What a seed allows, and how often each thing is done.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    seed: u64,
    on: BTreeSet<Feature>,
    without: BTreeSet<Feature>,
    weights: Vec<(Deed, Option<Feature>, u64)>,
    /// Deeds of one storm, and within how long they come.
    acts: u64,
    pub(crate) within: Duration,
}

impl Swarm {
    /// The swarm of a seed, less what is left out.
    pub(crate) fn draw(seed: u64, without: &BTreeSet<Feature>) -> Self {
        let mut random = stream(seed, 1, 0);
        let on: BTreeSet<Feature> = Feature::ALL.iter().copied().filter(|_| random.chance(400)).collect();
        let weighed = |(deed, feature, usual): (Deed, Option<Feature>, u64), random: &mut Random| {
            let times = [0, 1, 1, 2, 2, 6][usize::try_from(random.below(6)).unwrap_or(0)];
            // Without calls nothing happens at all.
            (deed, feature, usual * if deed == Deed::Call { times.max(1) } else { times })
        };
        let weights = DEEDS.map(|entry| weighed(entry, &mut random));
        let weights = weights.into_iter().filter(|(_, needs, _)| needs.is_none_or(|needs| on.contains(&needs)));
        Self {
            seed,
            weights: weights.collect(),
            on,
            without: without.clone(),
            acts: 8 + random.below(32),
            within: Duration::from_secs(20 + random.below(3) * 60),
        }
    }

    /// Whether a feature is in.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.on.contains(&feature) && !self.without.contains(&feature)
    }

    /// Whether any of them is in.
    pub(crate) fn has_any(&self, features: &[Feature]) -> bool {
        features.iter().any(|feature| self.has(*feature))
    }

    /// Everything that is in.
    pub(crate) fn features(&self) -> impl Iterator<Item = Feature> {
        self.on.difference(&self.without).copied()
    }

    /// The deeds of a storm.
    pub(crate) fn storm(&self, storm: usize, people: usize) -> Vec<Act> {
        let count = usize::try_from(self.acts).unwrap_or(0);
        let acts = (0..count).map(|place| self.act(storm * 100 + place, people));
        acts.filter(|(_, needs)| needs.is_none_or(|needs| !self.without.contains(&needs))).map(|(act, _)| act).collect()
    }

    fn act(&self, number: usize, people: usize) -> (Act, Option<Feature>) {
        let mut random = stream(self.seed, 2, number as u64);
        let all: u64 = self.weights.iter().map(|(_, _, weight)| weight).sum();
        let mut left = random.below(all.max(1));
        let drawn = self.weights.iter().find(|(_, _, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        let (deed, needs, _) = drawn.copied().unwrap_or((Deed::Call, None, 1));
        let mut one_of = || usize::try_from(random.below(people as u64)).unwrap_or(0);
        let (one, other) = (one_of(), one_of());
        let act = Act {
            number,
            after: random.between(Duration::ZERO, self.within),
            deed,
            one,
            other,
            share: random.below(1000),
        };
        (act, needs)
    }
}

/// The randomness of one thing in the history of a seed: independent of how often others draw.
pub(crate) fn stream(seed: u64, what: u64, number: u64) -> Random {
    let mix = |one: u64, other: u64| {
        let mut mixed = (one ^ other.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x2545_f491_4f6c_dd1d);
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 32)
    };
    Random::from_number(mix(mix(seed, what), number))
}
