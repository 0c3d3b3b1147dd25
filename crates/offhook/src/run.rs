//! Serving: opens the store, starts the runtime around nodes, and stops in order when it is told to.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::net::ToSocketAddrs;
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
use tracing_subscriber::EnvFilter;

use crate::command::say;
use crate::configuration::convert::literal;
use crate::configuration::{Configuration, Log};

/// How long an orderly stop may take: longer than a PUBLISH may wait for its answer (Timer F, 32 s).
const STOP: Duration = Duration::from_secs(35);

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

/// Serves until SIGTERM or SIGINT, then stops in order; a second signal ends the process at once.
///
/// # Errors
///
/// When it could not begin; nothing is left running then.
pub fn serve(configuration: &Configuration) -> Result<End, Failed> {
    log(&configuration.log);
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = control.enter();
    // From here on a signal is kept, so that none can cut the start in half.
    let signals = Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    drop(guard);
    let handle = start(configuration)?;
    for (id, address) in handle.addresses() {
        let Some(listener) = configuration.listeners.get(usize::from(id.0)) else { continue };
        say(&format!("listening on {} {address}\n", listener.transport.uri_param()));
    }
    control.block_on(until_stopped(handle, signals))
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
    let mut told = configuration.node();
    addresses(configuration, &mut told);
    let told = Arc::new(told);
    Runtime::start(settings, move |boot| Node::new(Instant::now(), Arc::clone(&told), boot)).map_err(Failed::Start)
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
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_stopped(handle: Handle, mut signals: Signals) -> Result<End, Failed> {
    signals.next().await;
    say("stopping; a second signal ends at once\n");
    let (done, stopped) = oneshot::channel();
    thread::Builder::new().name("stop".into()).spawn(move || {
        let mut told = 0;
        let outcome = handle.stop(STOP, |progress| {
            if progress.waited.as_secs() > told {
                told = progress.waited.as_secs();
                say(&line(progress));
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
        () = signals.next() => {
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
