//! `sim`: runs seeds, replays one, and shows that deliberate faults are found.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::process::ExitCode;

use sim::{Mutant, Outcome, run};

const MUTANTS: [Mutant; 6] = [
    Mutant::TagNotUpdated,
    Mutant::Ignores412,
    Mutant::RemoveLost,
    Mutant::Late2xxIgnored,
    Mutant::RefreshesLate,
    Mutant::EndInFlightForgotten,
];

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
    let (mut answered, mut published, mut crashes, mut failed) = (0, 0, 0, 0_u64);
    for seed in from..from.saturating_add(count) {
        let outcome = run(seed, None);
        answered += outcome.answered;
        published += outcome.published;
        crashes += outcome.crashes;
        if !outcome.broken.is_empty() {
            failed += 1;
            verdict(seed, &outcome);
        }
    }
    println!(
        "{count} seeds, {answered} answers, {published} PUBLISH, {crashes} crashes, {failed} seeds with a broken property"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    let mut missed = 0;
    for mutant in MUTANTS {
        let found = (0..1000).find_map(|seed| run(seed, Some(mutant)).broken.into_iter().next().map(|why| (seed, why)));
        match found {
            Some((seed, why)) => println!("{mutant:?}: found at seed {seed}: {why}"),
            None => {
                println!("{mutant:?}: NOT FOUND in 1,000 seeds");
                missed += 1;
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
