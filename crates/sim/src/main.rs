//! `sim`: runs seeds, replays one, and shows that deliberate faults are found.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::collections::BTreeSet;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use sim::{Feature, MUTANTS, Outcome, Play, run, shortest};

const USAGE: &str = "usage: sim --seed N [--silent] [--without FEATURE,...] [--keep DEED,...] | --seeds N [--from N] | --mutants | --features";

/// Failing seeds whose shortest replay is looked for.
const SHRUNK: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match words.as_slice() {
        ["--seed", seed, more @ ..] => {
            number(seed).and_then(|seed| play(seed, more)).map_or_else(usage, |play| replay(&play))
        }
        ["--seeds", count] => number(count).map_or_else(usage, |count| many(0, count)),
        ["--seeds", count, "--from", from] => match (number(count), number(from)) {
            (Some(count), Some(from)) => many(from, count),
            _ => usage(),
        },
        ["--mutants"] => mutants(),
        ["--features"] => {
            println!("{}", Feature::ALL.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(" "));
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

/// What of a seed is played.
fn play(seed: u64, more: &[&str]) -> Option<Play> {
    let mut play = Play { seed, ..Play::default() };
    let (silent, more) = match more {
        ["--silent", more @ ..] => (true, more),
        more => (false, more),
    };
    play.silent = silent;
    for pair in more.chunks(2) {
        match pair {
            ["--without", names] => {
                play.without = names.split(',').map(Feature::parse).collect::<Option<BTreeSet<_>>>()?;
            }
            ["--keep", "none"] => play.keep = Some(BTreeSet::new()),
            ["--keep", deeds] => {
                play.keep = Some(deeds.split(',').map(|deed| deed.parse().ok()).collect::<Option<BTreeSet<_>>>()?);
            }
            _ => return None,
        }
    }
    Some(play)
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    ExitCode::from(2)
}

/// Tells the history of one seed.
fn replay(play: &Play) -> ExitCode {
    let outcome = run(&Play { told: true, ..play.clone() });
    for line in &outcome.log {
        println!("{line}");
    }
    println!("features: {}", outcome.features.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(" "));
    verdict(play.seed, &outcome)
}

fn many(from: u64, count: u64) -> ExitCode {
    let next = AtomicU64::new(from);
    let shrunk = AtomicUsize::new(0);
    let end = from.saturating_add(count);
    let (sender, outcomes) = mpsc::channel();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run(&Play { seed, ..Play::default() });
            if !outcome.broken.is_empty() {
                verdict(seed, &outcome);
                if shrunk.fetch_add(1, Ordering::Relaxed) < SHRUNK {
                    let shortest = shortest(&Play { seed, ..Play::default() });
                    println!("seed {seed}: the shortest replay: cargo run -p sim -- {}", shortest.command());
                }
            }
            // The receiver waits until every sender is gone.
            let _ = sender.send((outcome.answered, outcome.published, outcome.crashes, outcome.broken.is_empty()));
        }
    };
    on_all_cores(&work);
    drop(sender);
    let (mut answered, mut published, mut crashes, mut failed) = (0, 0, 0, 0_u64);
    for (of_answered, of_published, of_crashes, held) in outcomes {
        answered += of_answered;
        published += of_published;
        crashes += of_crashes;
        failed += u64::from(!held);
    }
    println!(
        "{count} seeds, {answered} answers, {published} PUBLISH, {crashes} crashes, {failed} seeds with a broken property"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seeds know nothing of each other, so each core takes the next one.
#[allow(clippy::disallowed_methods, reason = "the seeds are independent, and nothing they do depends on the threads")]
fn on_all_cores(work: &(impl Fn() + Sync)) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
}

fn verdict(seed: u64, outcome: &Outcome) -> ExitCode {
    for broken in &outcome.broken {
        println!("seed {seed}: {broken}");
    }
    if outcome.broken.is_empty() {
        println!("seed {seed}: every property held");
        return ExitCode::SUCCESS;
    }
    println!("replay: cargo run -p sim -- --seed {seed}");
    ExitCode::FAILURE
}

/// Each deliberate fault must break a property within 1,000 seeds.
fn mutants() -> ExitCode {
    let next = AtomicUsize::new(0);
    let missed = AtomicUsize::new(0);
    let work = || {
        while let Some(mutant) = MUTANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let play = |seed| Play { seed, mutant: Some(*mutant), ..Play::default() };
            let broken = |seed| run(&play(seed)).broken.into_iter().next().map(|why| (seed, why));
            match (0..1000).find_map(broken) {
                Some((seed, why)) => println!("{mutant:?}: found at seed {seed}: {why}"),
                None => {
                    println!("{mutant:?}: NOT FOUND in 1,000 seeds");
                    missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    on_all_cores(&work);
    if missed.load(Ordering::Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
