//! `sim`: runs seeds, replays one, and shows that deliberate faults are found.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use sim::{MUTANTS, Outcome, run};

const USAGE: &str = "usage: sim --seed N | --seeds N [--from N] | --mutants";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match words.as_slice() {
        ["--seed", seed] => number(seed).map_or_else(usage, replay),
        ["--seeds", count] => number(count).map_or_else(usage, |count| many(0, count)),
        ["--seeds", count, "--from", from] => match (number(count), number(from)) {
            (Some(count), Some(from)) => many(from, count),
            _ => usage(),
        },
        ["--mutants"] => mutants(),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    ExitCode::from(2)
}

/// Tells the history of one seed.
fn replay(seed: u64) -> ExitCode {
    let outcome = run(seed, None);
    for line in &outcome.log {
        println!("{line}");
    }
    verdict(seed, &outcome)
}

fn many(from: u64, count: u64) -> ExitCode {
    let next = AtomicU64::new(from);
    let end = from.saturating_add(count);
    let (sender, outcomes) = mpsc::channel();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let outcome = run(seed, None);
            if !outcome.broken.is_empty() {
                verdict(seed, &outcome);
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
            let broken = |seed| run(seed, Some(*mutant)).broken.into_iter().next().map(|why| (seed, why));
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
