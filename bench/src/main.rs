//! What things cost: reading a message, instructions of the core, and a PUBLISH, a NOTIFY and a call beside Kamailio.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

mod allocation;
mod beside;
mod floor;
mod growth;
mod instructions;
mod load;
#[cfg(test)]
mod no_allocation;
mod parse;
mod process;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// What things cost.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Measure>,
}

#[derive(Subcommand)]
enum Measure {
    /// Time and allocations of reading a message; what is measured where nothing is said
    Parse,
    /// Memory, cost and start of the presence server as it grows to a million publications; writes `bench/growth.svg`
    Growth {
        /// Publications at each step
        #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
        steps: Vec<usize>,
        /// Let as many watchers subscribe at the last step, one to each presentity
        #[arg(long)]
        watched: bool,
        /// The program to measure, where it is not the one beside this command
        #[arg(long)]
        offhook: Option<std::path::PathBuf>,
    },
    /// How many instructions each piece of work takes, under valgrind, beside `bench/instructions.txt`; fails where they differ
    Instructions {
        /// Write the table anew
        #[arg(long)]
        accept: bool,
    },
    /// Does one piece of work so many times; what is run under valgrind
    #[command(hide = true)]
    Once {
        /// The name of the work
        name: String,
        /// How often
        times: u32,
    },
    /// PUBLISH, NOTIFY and calls beside Kamailio, in interleaved rounds; fails where any operation failed
    Beside {
        /// What to compare; all of it where nothing is said
        #[arg(value_enum)]
        what: Vec<What>,
        /// Rounds; in each of them every server is started once and measured
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// The part of the work to do, to see whether it runs at all
        #[arg(long, default_value_t = 1.0)]
        share: f64,
        /// The program to measure, where it is not the one beside this command
        #[arg(long)]
        offhook: Option<std::path::PathBuf>,
    },
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// PUBLISH: initial, refresh, modify, remove
    Publish,
    /// NOTIFY to 1, 10 and 100 watchers
    Notify,
    /// A call
    Calls,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command.unwrap_or(Measure::Parse) {
        Measure::Parse => {
            parse::run();
            Ok(())
        }
        Measure::Growth { steps, watched, offhook } => growth::run(&growth::Plan { steps, watched, offhook }),
        Measure::Instructions { accept } => instructions::run(accept),
        Measure::Once { name, times } => instructions::once(&name, times),
        Measure::Beside { what, rounds, share, offhook } => {
            let what = if what.is_empty() { vec![What::Publish, What::Notify, What::Calls] } else { what };
            beside::run(&beside::Plan { what, rounds: rounds.max(1), share, offhook })
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
