//! Serving: opens the store, starts the runtime around nodes, and stops in order when it is told to.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adapters::resolve::System;
use adapters::store::{Disk, OpenError, SyncWhen};
use node::Node;
use node::configuration as of_node;
use runtime::{Handle, Progress, Runtime, StartError, StopOutcome};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task;
use tracing_subscriber::EnvFilter;

use crate::command::{count, say};
use crate::configuration::convert::literal;
use crate::configuration::{Configuration, Log};
use crate::reload::{self, Reloaded};
use crate::service;

/// How long an orderly stop may take: longer than a PUBLISH may wait for its answer (Timer F, 32 s).
const STOP: Duration = Duration::from_secs(35);

/// What the store and the last words may take after that.
const LINGER: Duration = Duration::from_secs(10);

/// How many faults of a refused configuration are logged.
const FAULTS_LOGGED: usize = 20;

/// Overrides the level of the log.
const LEVEL: &str = "OFFHOOK_LOG";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was taken back.
    Orderly,
    /// Time ran out first.
    Cut,
}

/// Why a run could not begin.
#[derive(Debug)]
pub enum Failed {
    /// The store could not be opened.
    Store(OpenError),
    /// The runtime could not start.
    Start(StartError),
    /// The system refused a thread, a signal or the like.
    System(io::Error),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Start(error) => write!(f, "{error}"),
            Self::System(error) => write!(f, "the system refused: {error}"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Serves until SIGTERM or SIGINT, then stops in order; a second signal ends the process at once. SIGHUP reads the file
/// anew.
///
/// # Errors
///
/// When it could not begin; nothing is left running then.
pub fn serve(file: &Path, configuration: Configuration) -> Result<End, Failed> {
    log(&configuration.log);
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = control.enter();
    // From here on a signal is kept, so that none can cut the start in half.
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    drop(guard);
    let handle = start(&configuration)?;
    for (id, address) in handle.addresses() {
        let Some(listener) = configuration.listeners.get(usize::from(id.0)) else { continue };
        say(&format!("listening on {} {address}\n", listener.transport.uri_param()));
    }
    service::ready("serving");
    let serving = Serving { file: file.to_owned(), configuration, handle, signals };
    let end = control.block_on(serving.until_stopped());
    service::finish();
    end
}

/// Starts everything; what was opened is closed again where a later step fails.
fn start(configuration: &Configuration) -> Result<Handle, Failed> {
    let mut settings = configuration.runtime();
    settings.resolver = Some(Arc::new(System::start(configuration.name_servers.clone())?));
    if let Some(store) = &configuration.store {
        let disk =
            Disk::open(&store.path, store.sync.map_or(SyncWhen::Always, SyncWhen::Every)).map_err(Failed::Store)?;
        if let Some(aside) = disk.moved_aside() {
            let (path, cause) = (aside.path.display(), &aside.cause);
            tracing::warn!(%path, cause, salvaged = aside.salvaged, "the store was damaged; it was moved aside and begun anew");
        }
        settings.store = Some(Arc::new(disk));
    }
    let told = Arc::new(node(configuration));
    Runtime::start(settings, move |boot| Node::new(Instant::now(), Arc::clone(&told), boot)).map_err(Failed::Start)
}

/// What a node is told, with the addresses of peers that are known by host name.
pub(crate) fn node(configuration: &Configuration) -> of_node::Configuration {
    let mut told = configuration.node();
    addresses(configuration, &mut told);
    told
}

/// Looks up the addresses that peers known by host name call from.
fn addresses(configuration: &Configuration, told: &mut of_node::Configuration) {
    for (peer, told) in configuration.peers.iter().zip(&mut told.peers) {
        for host in peer.hosts().filter(|host| literal(host).is_none()) {
            match (host, 0).to_socket_addrs() {
                Ok(found) => {
                    for address in found.map(|found| found.ip()) {
                        if !told.addresses.contains(&address) {
                            told.addresses.push(address);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(peer = %peer.name, host, %error, "no address; calls from there are not taken for the peer's");
                }
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

impl Signals {
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// A program that serves.
struct Serving {
    file: PathBuf,
    /// What is in force.
    configuration: Configuration,
    handle: Handle,
    signals: Signals,
}

impl Serving {
    async fn until_stopped(mut self) -> Result<End, Failed> {
        while self.signals.next().await == Asked::Reload {
            service::reloading();
            let outcome = self.reload().await;
            say(&outcome);
            service::ready(outcome.trim_end());
        }
        stop(self.handle, self.signals).await
    }

    /// Takes over what the file says now; what became of it, in a line.
    async fn reload(&mut self) -> String {
        let (file, in_force) = (self.file.clone(), self.configuration.clone());
        // Files and host names take their time; signals are heard meanwhile.
        let read = match task::spawn_blocking(move || reload::read(&file, &in_force)).await {
            Ok(read) => read,
            Err(error) => return refused(&[error.to_string()]),
        };
        let Reloaded { configuration, update, waiting } = match read {
            Ok(reloaded) => reloaded,
            Err(faults) => return refused(&faults.lines().collect::<Vec<_>>()),
        };
        if let Err(error) = self.handle.update(update) {
            return refused(&[error.to_string()]);
        }
        for warning in configuration.warnings.lines() {
            tracing::warn!("{warning}");
        }
        let users = count(configuration.users.len(), "user");
        self.configuration = configuration;
        if waiting.is_empty() {
            return format!("configuration reloaded: {users}\n");
        }
        let waiting = waiting.join(", ");
        tracing::warn!("these sections have changed and wait for a restart: {waiting}");
        format!("configuration reloaded: {users}; these wait for a restart: {waiting}\n")
    }
}

/// Tells why a new configuration is not taken.
fn refused(why: &[String]) -> String {
    for why in why.iter().take(FAULTS_LOGGED) {
        tracing::error!("the configuration stays as it was: {why}");
    }
    format!("configuration not reloaded, the old one stays: {}\n", count(why.len(), "fault"))
}

/// Stops in order, with progress.
async fn stop(handle: Handle, mut signals: Signals) -> Result<End, Failed> {
    say("stopping; a second signal ends at once\n");
    let (done, stopped) = oneshot::channel();
    thread::Builder::new().name("stop".into()).spawn(move || {
        let mut told = None;
        let outcome = handle.stop(STOP, |progress| {
            let seconds = progress.waited.as_secs();
            if told.replace(seconds) != Some(seconds) {
                let line = line(progress);
                service::stopping(line.trim_end(), STOP.saturating_sub(progress.waited) + LINGER);
                if seconds > 0 {
                    say(&line);
                }
            }
        });
        // Who waits for it is gone only when the process is.
        let _ = done.send(outcome);
    })?;
    tokio::select! {
        outcome = stopped => match outcome {
            Ok(StopOutcome::Complete) => {
                say("stopped\n");
                Ok(End::Orderly)
            }
            Ok(StopOutcome::Incomplete { workers }) => {
                say(&format!("stopped, but {workers} of the workers could not take everything back\n"));
                Ok(End::Cut)
            }
            Err(_) => Ok(End::Cut),
        },
        () = signals.stop() => {
            say("ended at once\n");
            process::exit(1)
        }
    }
}

fn line(progress: Progress) -> String {
    let Progress { workers, stopped, waited } = progress;
    format!("stopping: {stopped} of {workers} workers after {} s\n", waited.as_secs())
}

/// Sends log lines to standard error. Where somebody listens already, it stays so.
fn log(log: &Log) {
    // The store's engine tells of its housekeeping, which is nobody's concern.
    let level = || EnvFilter::new(format!("{},fjall=warn,lsm_tree=warn", log.level));
    let filter = EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| level());
    let coloured = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(coloured);
    // The only failure is that a subscriber is there already.
    let _ = if log.json { builder.json().try_init() } else { builder.try_init() };
}
