//! Offhook beside Kamailio: interleaved rounds, medians, ratios; one failed operation on either side fails the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::What;
use crate::floor;
use crate::load::calls::Calls;
use crate::load::presence::{Phase, Presence};
use crate::load::{Outcome, socket};
use crate::server::{Ground, Server, Shown};

/// Presentities of the PUBLISH comparison.
const PRESENTITIES: usize = 5_000;

/// PUBLISH requests in flight.
const IN_FLIGHT: usize = 8;

/// Calls in a second, and for how many seconds.
const RATE: u32 = 500;
const SECONDS: usize = 3;

/// Of the NOTIFY comparison: watchers of each presentity, presentities, PUBLISH requests in flight, how often each.
const FANS: [(usize, usize, usize, usize); 6] =
    [(1, 200, 1, 5), (10, 50, 1, 5), (100, 10, 1, 10), (1, 2_000, 8, 2), (10, 200, 8, 4), (100, 20, 4, 6)];

/// How often the floor of the first of these is trodden in a round.
const FLOOR: usize = 5_000;

/// Who is compared.
const SIDES: [&str; 2] = ["Offhook", "Kamailio"];

/// A way of carrying calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    /// Offhook, a back-to-back user agent; nobody is told.
    Offhook,
    /// Kamailio, a proxy.
    Proxy,
    /// Kamailio, a proxy that keeps dialogs.
    Dialog,
    /// Offhook, with both parties published to a Kamailio.
    OffhookPublished,
    /// Kamailio with dialogs, both parties published to a Kamailio.
    DialogPublished,
    /// Offhook, with both parties published to its own presence server.
    OffhookInside,
}

const CARRIERS: [Carrier; 6] = [
    Carrier::Offhook,
    Carrier::Proxy,
    Carrier::Dialog,
    Carrier::OffhookPublished,
    Carrier::DialogPublished,
    Carrier::OffhookInside,
];

/// What is read off the carriers: a title, one of ours, one of theirs.
const CALLS: [(&str, Carrier, Carrier); 4] = [
    ("call, beside a proxy", Carrier::Offhook, Carrier::Proxy),
    ("call, beside a proxy with dialogs", Carrier::Offhook, Carrier::Dialog),
    ("call, published to a Kamailio", Carrier::OffhookPublished, Carrier::DialogPublished),
    ("call, published inside; beside a Kamailio elsewhere", Carrier::OffhookInside, Carrier::DialogPublished),
];

/// What to compare, how often, and how much of it.
pub(crate) struct Plan {
    pub(crate) what: Vec<What>,
    pub(crate) rounds: usize,
    pub(crate) share: f64,
    pub(crate) offhook: Option<PathBuf>,
}

impl Plan {
    /// The planned part of a whole.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn part(&self, whole: usize) -> usize {
        ((whole as f64 * self.share) as usize).max(1)
    }
}

/// One server, doing one thing, in all rounds.
#[derive(Default)]
struct Figures {
    /// Processor time of the server for each operation.
    cost: Vec<Duration>,
    /// Half of the operations took no longer.
    p50: Vec<Duration>,
    /// All but one in a hundred took no longer.
    p99: Vec<Duration>,
    /// Requests that were sent again.
    repeated: u64,
}

/// All figures, by what was done and by whom; the rows to print, in their order; and what went wrong.
#[derive(Default)]
struct Ledger {
    figures: BTreeMap<String, Figures>,
    rows: Vec<(String, [String; 2])>,
    /// What the datagrams and the write of one PUBLISH with one NOTIFY cost without SIP.
    floor: Vec<Duration>,
    failures: Vec<String>,
}

/// Compares, prints, and says whether all of it can be believed.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let ground = Ground::new(plan.offhook.clone())?;
    println!("{}", ground.describe());
    let mut ledger = Ledger::default();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        for what in &plan.what {
            match what {
                What::Publish => publish(&ground, plan, &mut ledger)?,
                What::Notify => notify(&ground, plan, &mut ledger)?,
                What::Calls => calls(&ground, plan, &mut ledger)?,
            }
        }
    }
    ledger.print(plan.rounds);
    ground.clear();
    if ledger.failures.is_empty() { Ok(()) } else { Err(ledger.failures.join("\n       ")) }
}

fn publish(ground: &Ground, plan: &Plan, ledger: &mut Ledger) -> Result<(), String> {
    for side in SIDES {
        let server = presence_server(ground, side)?;
        let mut warm = presence(&server, "warm", plan.part(1_000), 0)?;
        let mut presence = presence(&server, "publish", plan.part(PRESENTITIES), 0)?;
        for phase in [Phase::Initial, Phase::Remove] {
            told(warm.work(phase, IN_FLIGHT))?;
        }
        for (phase, name) in [
            (Phase::Initial, "initial"),
            (Phase::Refresh, "refresh"),
            (Phase::Modify, "modify"),
            (Phase::Remove, "remove"),
        ] {
            let (outcome, time) = measured(&server, || presence.work(phase, IN_FLIGHT))?;
            let row = format!("PUBLISH {name}, {IN_FLIGHT} in flight");
            ledger.row(&row, SIDES.map(|side| format!("{side}: {row}")));
            ledger.enter(format!("{side}: {row}"), &outcome, time, outcome.done);
        }
    }
    Ok(())
}

fn notify(ground: &Ground, plan: &Plan, ledger: &mut Ledger) -> Result<(), String> {
    for (watchers, presentities, in_flight, times) in FANS {
        for side in SIDES {
            let server = presence_server(ground, side)?;
            let row = format!("NOTIFY, watchers {watchers}, PUBLISH in flight {in_flight}");
            ledger.row(&row, SIDES.map(|side| format!("{side}: {row}")));
            for run in ["warm", "notify"] {
                let mut presence = presence(&server, run, plan.part(presentities), watchers)?;
                let begin = [told(presence.work(Phase::Initial, 8))?, told(presence.work(Phase::Subscribe, 8))?];
                let (outcome, time) = measured(&server, || presence.work(Phase::Fan(times), in_flight))?;
                let end = [told(presence.work(Phase::Unsubscribe, 8))?, told(presence.work(Phase::Remove, 8))?];
                for around in begin.iter().chain(&end) {
                    ledger.judge(&format!("{side}: {row}, before or after"), around);
                }
                if run == "notify" {
                    ledger.enter(format!("{side}: {row}"), &outcome, time, outcome.notified);
                }
            }
        }
    }
    // Twice, as the servers are warm, too.
    let floor = || told(floor::cost(u32::try_from(plan.part(FLOOR)).unwrap_or(u32::MAX), &ground.file("floor")));
    floor()?;
    ledger.floor.push(floor()?);
    Ok(())
}

fn calls(ground: &Ground, plan: &Plan, ledger: &mut Ledger) -> Result<(), String> {
    let count = plan.part(SECONDS * RATE as usize);
    for carrier in CARRIERS {
        let callee = told(socket::bind())?;
        let at = told(callee.local_addr())?;
        let elsewhere = match carrier {
            Carrier::OffhookPublished | Carrier::DialogPublished => Some(ground.kamailio_presence()?),
            _ => None,
        };
        let shown = elsewhere.as_ref().map_or(Shown::Nowhere, |server| Shown::At(server.address));
        let server = match carrier {
            Carrier::Offhook | Carrier::OffhookPublished => ground.offhook_calls(at, shown, count),
            Carrier::OffhookInside => ground.offhook_calls(at, Shown::Here, count),
            Carrier::Proxy => ground.kamailio_calls(at, false, shown),
            Carrier::Dialog | Carrier::DialogPublished => ground.kamailio_calls(at, true, shown),
        }?;
        let mut warm = told(Calls::new(server.address, told(callee.try_clone())?, "warm"))?;
        told(warm.work(plan.part(500), RATE))?;
        let mut calls = told(Calls::new(server.address, callee, "call"))?;
        let (outcome, time) = measured(&server, || calls.work(count, RATE))?;
        ledger.enter(format!("{carrier:?}"), &outcome, time, outcome.done);
    }
    for (title, ours, theirs) in CALLS {
        ledger.row(title, [format!("{ours:?}"), format!("{theirs:?}")]);
    }
    Ok(())
}

fn presence_server(ground: &Ground, side: &str) -> Result<Server, String> {
    if side == "Offhook" { ground.offhook_presence() } else { ground.kamailio_presence() }
}

fn presence(server: &Server, run: &str, presentities: usize, watchers: usize) -> Result<Presence, String> {
    told(Presence::new(server.address, run, presentities, watchers))
}

/// Some work, and the processor time that the server spent on it.
fn measured(server: &Server, work: impl FnOnce() -> std::io::Result<Outcome>) -> Result<(Outcome, Duration), String> {
    let before = server.process.on_processor();
    let outcome = told(work())?;
    Ok((outcome, server.process.on_processor() - before))
}

fn told<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

impl Ledger {
    fn row(&mut self, title: &str, sides: [String; 2]) {
        if self.rows.iter().all(|(known, _)| known != title) {
            self.rows.push((title.to_owned(), sides));
        }
    }

    fn judge(&mut self, what: &str, outcome: &Outcome) {
        if outcome.failed > 0 || outcome.done == 0 {
            let refusal = outcome.refusal.map_or(String::new(), |status| format!(", the last with {status}"));
            self.failures.push(format!("{what}: {} done, {} failed{refusal}", outcome.done, outcome.failed));
        }
    }

    fn enter(&mut self, what: String, outcome: &Outcome, time: Duration, operations: u64) {
        self.judge(&what, outcome);
        let figures = self.figures.entry(what).or_default();
        figures.cost.push(Duration::from_secs_f64(time.as_secs_f64() / operations.max(1) as f64));
        figures.p50.push(outcome.percentile(0.5));
        figures.p99.push(outcome.percentile(0.99));
        figures.repeated += outcome.repeated;
    }

    fn print(&self, rounds: usize) {
        println!("Medians of {rounds} rounds, least and most in parentheses; microseconds.");
        println!("\n{:<52} {:>22} {:>22} {:>7}", "processor time of the server, each", SIDES[0], SIDES[1], "ratio");
        for (title, sides) in &self.rows {
            let [ours, theirs] = sides.each_ref().map(|side| self.figures.get(side));
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let shown = [ours, theirs].map(|figures| spread(&figures.cost));
            println!("{title:<52} {:>22} {:>22} {:>7.2}", shown[0], shown[1], ratio(&ours.cost, &theirs.cost));
        }
        if !self.floor.is_empty() {
            println!("{:<52} {:>22}", "its datagrams and its write, watchers 1, no SIP", spread(&self.floor));
        }
        println!("\n{:<52} {:>22} {:>22} {:>7}", "latency, p50 / p99", SIDES[0], SIDES[1], "p99");
        for (title, sides) in &self.rows {
            let [ours, theirs] = sides.each_ref().map(|side| self.figures.get(side));
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let shown = [ours, theirs]
                .map(|figures| format!("{:.0} / {:.0}", micros(median(&figures.p50)), micros(median(&figures.p99))));
            println!("{title:<52} {:>22} {:>22} {:>7.2}", shown[0], shown[1], ratio(&ours.p99, &theirs.p99));
        }
        let repeated: u64 = self.figures.values().map(|figures| figures.repeated).sum();
        println!("\nfailed: {}; sent again: {repeated}", self.failures.len());
    }
}

fn median(values: &[Duration]) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn micros(value: Duration) -> f64 {
    value.as_secs_f64() * 1e6
}

fn spread(values: &[Duration]) -> String {
    let bound = |value: Option<&Duration>| value.copied().map_or(0.0, micros);
    format!("{:.1} ({:.1}-{:.1})", micros(median(values)), bound(values.iter().min()), bound(values.iter().max()))
}

fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    micros(median(ours)) / micros(median(theirs)).max(f64::MIN_POSITIVE)
}
