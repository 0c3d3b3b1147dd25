//! The presence server as it grows: processor time of each operation, memory of each publication, and how long a start takes
//! that follows a `kill -9`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Outcome;
use crate::load::presence::{Phase, Presence};
use crate::server::{Ground, Server};

/// Requests in flight.
const IN_FLIGHT: usize = 32;

/// Requests in a second, at most, while it grows. A SUBSCRIBE costs the server two transactions.
const RATE: usize = 12_000;

/// Operations that are measured at each step, so many times. Now and then the store brings its log into order, which costs as much as
/// thousands of requests: the median is what one costs beside that, the mean has its share of it.
const SAMPLE: usize = 5_000;
const ROUNDS: usize = 7;

/// Transactions live for 32 seconds after their answer, and memory goes back to the system a little later.
const SETTLE: Duration = Duration::from_secs(42);

/// What is measured at each step, and its name.
const WORK: [(Phase, &str); 4] =
    [(Phase::Initial, "initial"), (Phase::Refresh, "refresh"), (Phase::Modify, "modify"), (Phase::Remove, "remove")];

/// How far to grow, and what to measure.
pub(crate) struct Plan {
    pub(crate) steps: Vec<usize>,
    pub(crate) watched: bool,
    pub(crate) offhook: Option<PathBuf>,
}

/// One step of the growth.
struct Step {
    publications: usize,
    /// In the order of [`WORK`].
    costs: Vec<Cost>,
    memory: u64,
}

/// What one operation costs, by the rounds that it was measured in.
#[derive(Clone, Copy)]
struct Cost {
    median: Duration,
    mean: Duration,
}

impl Cost {
    fn of(mut rounds: Vec<Duration>) -> Self {
        rounds.sort_unstable();
        let count = u32::try_from(rounds.len().max(1)).unwrap_or(u32::MAX);
        let mean = rounds.iter().sum::<Duration>() / count;
        Self { median: rounds.get(rounds.len() / 2).copied().unwrap_or_default(), mean }
    }
}

/// Grows, prints, and plots.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let ground = Ground::new(plan.offhook.clone())?;
    let mut server = ground.offhook_presence()?;
    let most = plan.steps.iter().copied().max().unwrap_or_default();
    let presence = Presence::new(server.address, "growth", most + SAMPLE, usize::from(plan.watched));
    let mut presence = presence.map_err(|error| error.to_string())?;
    let mut steps: Vec<Step> = Vec::new();
    println!("microseconds: the median, and in parentheses the mean");
    println!("publications   memory MiB   octets each        initial        refresh         modify         remove");
    let mut grown = 0;
    for publications in plan.steps.iter().copied() {
        grow(&mut presence, Phase::Initial, grown..publications)?;
        grown = publications;
        let step = measure(&server, &mut presence, publications)?;
        print(&step, steps.last());
        steps.push(step);
    }
    if plan.watched {
        grow(&mut presence, Phase::Subscribe, 0..grown)?;
        thread::sleep(SETTLE);
        let memory = server.process.memory();
        let each = memory.saturating_sub(steps.last().map_or(0, |step| step.memory)) / grown.max(1) as u64;
        println!("{grown} subscriptions beside them: {} MiB in all, {each} octets each", memory >> 20);
        let before = server.process.on_processor();
        grow(&mut presence, Phase::Refresh, 0..grown)?;
        grow(&mut presence, Phase::Subscribe, 0..grown)?;
        let spent = server.process.on_processor().saturating_sub(before);
        thread::sleep(SETTLE);
        let memory = server.process.memory() >> 20;
        println!("all of both refreshed, with a NOTIFY each: {memory} MiB, {spent:.1?} of processor time");
    }
    let took = server.die_and_return()?;
    println!(
        "killed, and serving again after {took:.2?} with {grown} publications; {} MiB",
        server.process.memory() >> 20
    );
    let sample = sample(grown, SAMPLE);
    told(presence.work_on(Phase::Refresh, sample.clone(), IN_FLIGHT))?;
    println!("{} of them refreshed under the tags of the run before", sample.len());
    let plot = Path::new(env!("CARGO_MANIFEST_DIR")).join("growth.svg");
    fs::write(&plot, plotted(&steps)).map_err(|error| format!("{}: {error}", plot.display()))?;
    println!("plotted in {}", plot.display());
    drop(server);
    ground.clear();
    Ok(())
}

/// Does a great many, no faster than the server keeps transactions for: each lives for 32 seconds.
fn grow(presence: &mut Presence, phase: Phase, numbers: Range<usize>) -> Result<(), String> {
    for first in numbers.clone().step_by(RATE) {
        let began = Instant::now();
        told(presence.work_on(phase, (first..numbers.end.min(first + RATE)).collect(), IN_FLIGHT))?;
        thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    Ok(())
}

/// The cost of each operation while so many publications live, and their memory once all is quiet.
fn measure(server: &Server, presence: &mut Presence, publications: usize) -> Result<Step, String> {
    let newcomers: VecDeque<usize> = (publications..publications + SAMPLE).collect();
    let known = sample(publications, SAMPLE);
    let mut rounds = vec![Vec::new(); WORK.len()];
    for _ in 0..ROUNDS {
        for ((phase, _), costs) in WORK.into_iter().zip(&mut rounds) {
            let numbers = match phase {
                Phase::Initial | Phase::Remove => newcomers.clone(),
                _ => known.clone(),
            };
            let before = server.process.on_processor();
            let outcome = told(presence.work_on(phase, numbers, 8))?;
            let spent = server.process.on_processor().saturating_sub(before);
            costs.push(spent / u32::try_from(outcome.done.max(1)).unwrap_or(u32::MAX));
        }
    }
    let costs = rounds.into_iter().map(Cost::of).collect();
    thread::sleep(SETTLE);
    Ok(Step { publications, costs, memory: server.process.memory() })
}

/// So many of all, spread evenly.
fn sample(all: usize, many: usize) -> VecDeque<usize> {
    (0..all).step_by((all / many).max(1)).take(many).collect()
}

fn told(outcome: std::io::Result<Outcome>) -> Result<Outcome, String> {
    let outcome = outcome.map_err(|error| error.to_string())?;
    match outcome.failed {
        0 => Ok(outcome),
        failed => Err(format!("{failed} operations failed, the last with {:?}", outcome.refusal)),
    }
}

fn print(step: &Step, before: Option<&Step>) {
    let mut line = format!("{:>12} {:>12}", step.publications, step.memory >> 20);
    let each = before.map(|before| {
        let more = (step.publications - before.publications).max(1);
        step.memory.saturating_sub(before.memory) / more as u64
    });
    let _ = write!(line, " {:>13}", each.map_or_else(String::new, |each| each.to_string()));
    for cost in &step.costs {
        let [median, mean] = [cost.median, cost.mean].map(|cost| cost.as_secs_f64() * 1e6);
        let _ = write!(line, " {:>14}", format!("{median:.1} ({mean:.1})"));
    }
    println!("{line}");
}

/// Cost over size, the size logarithmic.
#[allow(clippy::cast_precision_loss)]
fn plotted(steps: &[Step]) -> String {
    const COLOURS: [&str; 4] = ["#1b6ca8", "#2e8b57", "#c0392b", "#8e44ad"];
    let most = steps.iter().flat_map(|step| &step.costs).map(|cost| cost.median).max();
    let most = most.map_or(1.0, |most| most.as_secs_f64()) * 1.2;
    let ends = (steps.first().map_or(1.0, of), steps.last().map_or(2.0, of));
    let x = |step: &Step| 70.0 + 480.0 * (of(step) - ends.0) / (ends.1 - ends.0).max(0.1);
    let y = |cost: f64| 330.0 - 300.0 * cost / most;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"390\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"680\" height=\"390\" fill=\"white\"/>\n<path d=\"M70 30V330H560\" stroke=\"black\" fill=\"none\"/>\n\
         <text x=\"220\" y=\"375\">live publications (logarithmic)</text>\n\
         <text x=\"10\" y=\"20\">processor time of the server for one PUBLISH, microseconds</text>\n",
    );
    for step in steps {
        let _ =
            writeln!(svg, "<text x=\"{:.0}\" y=\"350\" text-anchor=\"middle\">{}</text>", x(step), step.publications);
    }
    for tenth in 0..=4 {
        let cost = most * f64::from(tenth) / 4.0;
        let _ = writeln!(svg, "<text x=\"60\" y=\"{:.0}\" text-anchor=\"end\">{:.0}</text>", y(cost) + 4.0, cost * 1e6);
    }
    for (place, (_, name)) in WORK.iter().enumerate() {
        let costs = steps.iter().filter_map(|step| Some((x(step), y(step.costs.get(place)?.median.as_secs_f64()))));
        let points: Vec<String> = costs.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let colour = COLOURS.get(place).copied().unwrap_or("black");
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let _ = writeln!(svg, "<text x=\"580\" y=\"{}\" fill=\"{colour}\">{name}</text>", 60 + 22 * place);
    }
    svg.push_str("</svg>\n");
    svg
}

#[allow(clippy::cast_precision_loss)]
fn of(step: &Step) -> f64 {
    (step.publications.max(1) as f64).log10()
}
