//! Starting and stopping: binds, loads, starts one worker for each core, and waits for their end.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use node::configuration::IdentityId;
use node::port::adapter::Store;
use node::{Boot, Machine, Wall};
use rustls::crypto::aws_lc_rs;
use sip::Owner;
use sip::transport::{ListenerId, Transport};
use tokio::sync::mpsc::Receiver;

use crate::allocator;
use crate::limits;
use crate::neighbours::{Bell, inbox};
use crate::report::{Reported, Reporter};
use crate::settings::{ListenerSettings, Settings};
use crate::sockets;
use crate::tls::Tls;
use crate::update::{Ready, Update};
use crate::worker::{self, Ending, Setup};

/// How often progress is told while a stop is waited for.
const PROGRESS: Duration = Duration::from_millis(200);

/// Workers, each with sockets and a machine of its own.
#[derive(Debug)]
pub struct Runtime;

impl Runtime {
    /// Binds every listener, loads the store, and starts the workers; `make_node` is called once on each worker's
    /// thread. Returns when all of them serve.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, a certificate cannot be used, or a thread cannot be started. Nothing is left
    /// running then.
    pub fn start<M: Machine + 'static>(
        settings: Settings,
        make_node: impl Fn(Boot) -> M + Send + Sync + 'static,
    ) -> Result<Handle, StartError> {
        let workers = settings.workers.unwrap_or_else(default_workers).max(1);
        let tls = Arc::new(Tls::new(&settings.identities, &settings.listeners).map_err(StartError::Identity)?);
        let mut listening = Listening::bind(&settings, workers, &tls)?;
        let records = settings.store.as_ref().map(|store| store.records()).unwrap_or_default();
        let (reporter, reports) = Reporter::new();
        let (ended_in, ended) = mpsc::channel();
        let (ready, readies) = mpsc::sync_channel(usize::from(workers));
        let (addresses, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| inbox()).unzip();
        let wall = wall();
        let seeds = Seeds::new(settings.seed)?;
        let make = Arc::new(make_node);

        let mut handle = Handle {
            workers: Vec::new(),
            addresses: listening.addresses.clone(),
            listeners: settings.listeners.clone(),
            reports: Some(reports),
            ended,
            store: None,
        };
        for (worker, inbox) in (0..workers).zip(inboxes) {
            let bell = Arc::clone(&inbox.bell);
            let boot = Boot {
                owner: Owner(worker),
                owners: workers,
                wall,
                seed: seeds.of(worker)?,
                shared_seed: seeds.shared,
                listeners: listening.addresses.clone(),
                records: records.clone(),
            };
            let setup = Setup {
                boot,
                sockets: listening.of_next_worker(),
                inbox,
                addresses: addresses.clone(),
                streams: settings.streams.clone(),
                tls: Arc::clone(&tls),
                store: settings.store.clone(),
                directory: settings.directory.clone(),
                resolver: settings.resolver.clone(),
                tap: settings.tap.clone(),
                reporter: reporter.of(worker),
                ready: ready.clone(),
                ended: ended_in.clone(),
            };
            let make = Arc::clone(&make);
            let thread = thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || worker::run(setup, &*make))
                .map_err(StartError::Thread)?;
            handle.workers.push(Worker { bell, thread: Some(thread) });
        }
        drop((ready, addresses));
        handle.store = settings.store;
        for _ in 0..workers {
            readies.recv().map_err(|_| "it ended at once".to_owned()).flatten().map_err(StartError::Worker)?;
        }
        // Every machine has taken what is its own. This thread read the records, so what they took is its to give back.
        drop(records);
        allocator::give_back();
        Ok(handle)
    }
}

/// One worker on a machine with at most two cores, so that nothing is ever handed over there; else one for each core.
fn default_workers() -> u16 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores <= 2 { 1 } else { u16::try_from(cores).unwrap_or(u16::MAX) }
}

/// The wall clock, read once: from here on time comes from the monotonic clock alone.
fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall { at: Instant::now(), unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

struct Seeds {
    known: Option<[u8; 32]>,
    shared: [u8; 32],
}

impl Seeds {
    fn new(known: Option<[u8; 32]>) -> Result<Self, StartError> {
        let shared = known.map_or_else(random, Ok)?;
        Ok(Self { known, shared })
    }

    /// A worker's own seed, different for each.
    fn of(&self, worker: u16) -> Result<[u8; 32], StartError> {
        let Some(mut seed) = self.known else { return random() };
        let [high, low] = worker.saturating_add(1).to_be_bytes();
        let [first, second, ..] = &mut seed;
        *first ^= high;
        *second ^= low;
        Ok(seed)
    }
}

fn random() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    aws_lc_rs::default_provider().secure_random.fill(&mut seed).map_err(|_| StartError::Randomness)?;
    Ok(seed)
}

/// The sockets of all listeners.
struct Listening {
    addresses: Vec<(ListenerId, SocketAddr)>,
    /// For each worker, what it has not yet taken.
    sockets: Vec<Vec<(ListenerId, Transport, sockets::Bound)>>,
}

impl Listening {
    fn bind(settings: &Settings, workers: u16, tls: &Tls) -> Result<Self, StartError> {
        let mut addresses: Vec<(ListenerId, SocketAddr)> = Vec::new();
        let mut all: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for listener in &settings.listeners {
            if addresses.iter().any(|(id, _)| *id == listener.id) {
                return Err(StartError::TwoListeners(listener.id));
            }
            tls.serves(listener)?;
            let (address, bound) = sockets::bind(listener, workers).map_err(|cause| StartError::Bind {
                transport: listener.transport,
                address: listener.address,
                cause,
            })?;
            addresses.push((listener.id, address));
            for (of_worker, bound) in all.iter_mut().zip(bound) {
                of_worker.push((listener.id, listener.transport, bound));
            }
        }
        all.reverse();
        Ok(Self { addresses, sockets: all })
    }

    fn of_next_worker(&mut self) -> Vec<(ListenerId, Transport, sockets::Bound)> {
        self.sockets.pop().unwrap_or_default()
    }
}

/// A running runtime. Dropping it ends the workers at once, as [`Handle::kill`] does.
pub struct Handle {
    workers: Vec<Worker>,
    addresses: Vec<(ListenerId, SocketAddr)>,
    /// As they were asked for.
    listeners: Vec<ListenerSettings>,
    reports: Option<Receiver<Reported>>,
    ended: mpsc::Receiver<(u16, Ending)>,
    store: Option<Arc<dyn Store>>,
}

struct Worker {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("workers", &self.workers.len())
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many workers there are.
    pub workers: usize,
    /// How many of them have stopped.
    pub stopped: usize,
    /// How long it has taken so far.
    pub waited: Duration,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// Every machine has taken back what it had published.
    Complete,
    /// The time was over first, or workers had died; these many did not stop in order.
    Incomplete {
        /// How many.
        workers: usize,
    },
}

impl Handle {
    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The address that each listener is bound to.
    #[must_use]
    pub fn addresses(&self) -> &[(ListenerId, SocketAddr)] {
        &self.addresses
    }

    /// The address of one listener.
    #[must_use]
    pub fn address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.addresses.iter().find(|(id, _)| *id == listener).map(|(_, address)| *address)
    }

    /// Gives every worker a new configuration, directory and certificates, without a break: connections and calls stay.
    ///
    /// # Errors
    ///
    /// When a certificate, key or trust cannot be used, or an identity that a listener needs is gone. Nothing is changed
    /// then.
    pub fn update(&self, update: Update) -> Result<(), StartError> {
        let tls = Tls::new(&update.identities, &self.listeners).map_err(StartError::Identity)?;
        for listener in &self.listeners {
            tls.serves(listener)?;
        }
        let ready = Arc::new(Ready { node: update.node, directory: update.directory, tls: Arc::new(tls) });
        for worker in &self.workers {
            worker.bell.update(Arc::clone(&ready));
        }
        Ok(())
    }

    /// The workers' reports, for whoever takes them first. All of them are log lines too, so they need not be taken;
    /// a reader that is too slow misses some.
    pub fn take_reports(&mut self) -> Option<Receiver<Reported>> {
        self.reports.take()
    }

    /// Stops in order: each machine takes back what it has published, then its worker ends. After `at_most` the rest is
    /// ended at once. `progress` is called now and then. Blocks; returns when the store is on the disk.
    pub fn stop(mut self, at_most: Duration, mut progress: impl FnMut(Progress)) -> StopOutcome {
        for worker in &self.workers {
            worker.bell.stop();
        }
        let began = Instant::now();
        let (mut ended, mut stopped) = (0, 0);
        while ended < self.workers.len() {
            let waited = began.elapsed();
            progress(Progress { workers: self.workers.len(), stopped, waited });
            let Some(left) = at_most.checked_sub(waited).filter(|left| !left.is_zero()) else { break };
            match self.ended.recv_timeout(left.min(PROGRESS)) {
                Ok((_, ending)) => {
                    ended += 1;
                    stopped += usize::from(ending == Ending::Stopped);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        progress(Progress { workers: self.workers.len(), stopped, waited: began.elapsed() });
        self.end();
        if let Some(store) = &self.store {
            store.settle();
        }
        match self.workers.len() - stopped {
            0 => StopOutcome::Complete,
            workers => StopOutcome::Incomplete { workers },
        }
    }

    /// Ends the workers at once: nothing is taken back, what waits in queues is lost.
    pub fn kill(self) {
        drop(self);
    }

    /// Ends the workers' threads. One that hangs is left behind.
    fn end(&mut self) {
        for worker in &self.workers {
            worker.bell.kill();
        }
        let until = Instant::now() + limits::JOIN;
        for worker in &mut self.workers {
            let Some(thread) = worker.thread.take() else { continue };
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                // Its end has been told and, if it was a panic, reported.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why a runtime could not be started.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be bound.
    Bind {
        /// The listener's transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        cause: io::Error,
    },
    /// A certificate, key or trust could not be used; which and why.
    Identity(String),
    /// A TLS listener has no identity, or one that does not exist.
    NoIdentity {
        /// The listener.
        listener: ListenerId,
        /// The identity it names.
        identity: Option<IdentityId>,
    },
    /// Two listeners have the same number.
    TwoListeners(ListenerId),
    /// The system gave no thread.
    Thread(io::Error),
    /// A worker could not begin; why.
    Worker(String),
    /// The system gave no randomness.
    Randomness,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { transport, address, cause } => {
                write!(f, "cannot listen on {} {address}: {cause}", transport.as_str())
            }
            Self::Identity(why) => f.write_str(why),
            Self::NoIdentity { listener, identity: None } => {
                write!(f, "listener {} is TLS and needs an identity", listener.0)
            }
            Self::NoIdentity { listener, identity: Some(identity) } => {
                write!(f, "listener {} names identity {}, which does not exist", listener.0, identity.0)
            }
            Self::TwoListeners(id) => write!(f, "two listeners have the number {}", id.0),
            Self::Thread(cause) => write!(f, "the system gave no thread: {cause}"),
            Self::Worker(why) => write!(f, "a worker could not begin: {why}"),
            Self::Randomness => f.write_str("the system gave no randomness"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind { cause, .. } | Self::Thread(cause) => Some(cause),
            _ => None,
        }
    }
}
