//! The command line: what can be asked of the program, and how it ends.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::configuration::{Configuration, print};
use crate::{demo, run};

/// Something that was promised could not be kept.
const FAILED: u8 = 1;

/// The command line or the configuration is at fault.
const MISUSED: u8 = 2;

/// A SIP session border controller that keeps presence true: whoever is on the phone shows as on the phone.
#[derive(Debug, Parser)]
#[command(name = "offhook", version, after_help = "Exit codes: 0 done, 1 failed, 2 command line or configuration.")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A call on loopback, nothing to configure: two phones, a watcher, and each message as it passes a socket.
    Demo {
        /// Also write the ladder as a picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Publish nothing, to show that the demo notices.
        #[arg(long, hide = true)]
        break_publisher: bool,
    },
    /// Serve until SIGTERM or SIGINT; then take back what was published, and end.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say what is wrong with a configuration file.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
    /// Print what can be configured.
    #[command(subcommand)]
    Config(Print),
}

#[derive(Debug, Subcommand)]
enum Print {
    /// Every option, as Markdown.
    Reference,
    /// A file to begin with.
    Example,
}

/// Does what the command line asks.
#[must_use]
pub fn main() -> ExitCode {
    match Line::parse().command {
        Command::Demo { svg, break_publisher } => match demo::play(&demo::Wishes { svg, break_publisher }) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("offhook: {error}\n"));
                ExitCode::from(FAILED)
            }
        },
        Command::Run { config } => with(&config, |configuration| match run::serve(&config, configuration) {
            Ok(run::End::Orderly) => ExitCode::SUCCESS,
            Ok(run::End::Cut) => ExitCode::from(FAILED),
            Err(error) => {
                complain(&format!("offhook: {error}\n"));
                ExitCode::from(FAILED)
            }
        }),
        Command::Check { file } => with(&file, |configuration| {
            say(&format!("{}: {}\n", file.display(), summary(&configuration)));
            ExitCode::SUCCESS
        }),
        Command::Config(Print::Reference) => say(&print::reference()),
        Command::Config(Print::Example) => say(&print::example()),
    }
}

fn with(file: &std::path::Path, then: impl FnOnce(Configuration) -> ExitCode) -> ExitCode {
    match Configuration::load(file) {
        Ok(configuration) => {
            complain(&configuration.warnings.to_string());
            then(configuration)
        }
        Err(faults) => {
            complain(&faults.to_string());
            ExitCode::from(MISUSED)
        }
    }
}

/// So many of something.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// What a file that is in order amounts to.
fn summary(configuration: &Configuration) -> String {
    let servers = configuration.presence_servers.len() + usize::from(configuration.presence_server_here.is_some());
    format!(
        "in order: {}, {}, {}, {}, {}",
        count(configuration.listeners.len(), "listener"),
        count(configuration.peers.len(), "peer"),
        count(configuration.routes.len(), "route"),
        count(servers, "presence server"),
        count(configuration.users.len(), "user"),
    )
}

/// Writes to standard output; a reader that has left is no failure of ours.
pub(crate) fn say(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}

fn complain(text: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }
}
