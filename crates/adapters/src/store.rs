//! The store on disk: a log that takes each batch of writes at once, and fjall, into which a thread of its own brings them.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use node::port::adapter::{Store, Write, Writer, Written};
use node::{Records, WriteId};

use crate::ahead::{self, Changes, Log};
use crate::limits;

/// The one keyspace: the node gives its keys their meaning.
const KEYSPACE: &str = "records";

/// When what is written is also forced to the disk. Either way it is handed to the system before it is acknowledged, so
/// that a process killed at any moment loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncWhen {
    /// At most so long after it was written: a power cut loses no more than that.
    Every(Duration),
    /// Before it is acknowledged.
    Always,
}

impl Default for SyncWhen {
    fn default() -> Self {
        Self::Every(Duration::from_millis(100))
    }
}

/// The store.
pub struct Disk {
    path: PathBuf,
    sync: SyncWhen,
    /// How many ways in there have been.
    writers: AtomicUsize,
    records: Mutex<Records>,
    moved_aside: Option<MovedAside>,
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// A store that could not be read: it was moved aside, and a new one begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    /// Where it is now, for whoever wants to look into it.
    pub path: PathBuf,
    /// What was wrong with it.
    pub cause: String,
    /// How many of its records could still be read and were taken over.
    pub salvaged: usize,
}

impl fmt::Display for MovedAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, cause, salvaged } = self;
        let path = path.display();
        write!(f, "the store was damaged ({cause}): it is now {path}, {salvaged} of its records were taken over")
    }
}

/// Why a store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has it open.
    InUse(PathBuf),
    /// The system refuses; its words.
    Refused(PathBuf, String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "the store {} is in use by another process", path.display()),
            Self::Refused(path, why) => write!(f, "the store {} cannot be used: {why}", path.display()),
        }
    }
}

impl Error for OpenError {}

impl Disk {
    /// Opens the store in this directory, or begins one there, and reads all its records.
    ///
    /// # Errors
    ///
    /// When another process has it open, or the system refuses. A damaged store is no error: see [`Disk::moved_aside`].
    pub fn open(path: &Path, sync: SyncWhen) -> Result<Self, OpenError> {
        let (engine, records, moved_aside) = open_or_move_aside(path)?;
        if let Some(moved) = &moved_aside {
            tracing::error!("{moved}");
        }
        let (orders, incoming) = mpsc::sync_channel(limits::HANDOVERS);
        let clerk = Clerk { path: path.to_owned(), engine: Some(engine), sync, desks: Vec::new(), sync_due: None };
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || clerk.work(&incoming))
            .map_err(|why| OpenError::Refused(path.to_owned(), why.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            sync,
            writers: AtomicUsize::new(0),
            records: Mutex::new(records),
            moved_aside,
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// What became of a damaged store that was found in this place.
    #[must_use]
    pub fn moved_aside(&self) -> Option<&MovedAside> {
        self.moved_aside.as_ref()
    }

    fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("moved_aside", &self.moved_aside).finish_non_exhaustive()
    }
}

impl Store for Disk {
    fn records(&self) -> Records {
        mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn writer(&self, written: Written) -> Box<dyn Writer> {
        let number = self.writers.fetch_add(1, Ordering::Relaxed);
        let log = (self.sync != SyncWhen::Always).then(|| Log::begin(&self.path, number, 0)).and_then(|log| {
            log.inspect_err(|why| tracing::error!("{}: no log ahead of the store: {why}", self.path.display())).ok()
        });
        let desk = Arc::new(Desk {
            number,
            written: Mutex::new(written),
            log: log.map(Mutex::new),
            dirty: AtomicBool::new(false),
            with_the_clerk: AtomicUsize::new(0),
        });
        self.order(Order::Writer(Arc::clone(&desk)));
        Box::new(Handover { desk, orders: self.orders.clone(), stalled_until: None })
    }

    fn settle(&self) {
        let (settled, wait) = mpsc::sync_channel(1);
        if self.order(Order::Settle(settled)) && wait.recv_timeout(limits::SETTLE).is_err() {
            tracing::error!("the store did not reach the disk within {:?}", limits::SETTLE);
        }
    }
}

impl Drop for Disk {
    /// Waits for the thread, which ends when the last writer is gone too, so that the store can be opened again.
    fn drop(&mut self) {
        self.orders = None;
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + limits::SETTLE;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a node's way in and the store's thread share.
struct Desk {
    number: usize,
    written: Mutex<Written>,
    /// Absent where a write is acknowledged from the disk only.
    log: Option<Mutex<Log>>,
    /// Whether the log holds what has not been forced to the disk, and the thread knows.
    dirty: AtomicBool,
    /// Handovers that the thread has not acknowledged.
    with_the_clerk: AtomicUsize,
}

impl Desk {
    fn acknowledge(&self, up_to: WriteId) {
        locked(&self.written)(up_to);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One node's way in.
struct Handover {
    desk: Arc<Desk>,
    orders: Option<SyncSender<Order>>,
    /// The system was slow to take a write: until then the thread waits for it, not this one.
    stalled_until: Option<Instant>,
}

impl Writer for Handover {
    fn write(&mut self, writes: &mut Vec<Write>) -> Option<WriteId> {
        let appended = self.append(writes);
        self.hand_over(writes);
        appended
    }
}

impl Handover {
    /// Writes into the log; answers the last write that it took. What it does not take, and all that follows, is the
    /// thread's: nothing overtakes.
    fn append(&mut self, writes: &mut Vec<Write>) -> Option<WriteId> {
        let log = self.desk.log.as_ref()?;
        let began = Instant::now();
        if writes.is_empty() || self.stalled_until.is_some_and(|until| began < until) {
            return None;
        }
        if self.desk.with_the_clerk.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut log = log.try_lock().ok()?;
        let mut last = None;
        while let Some(chunk) = writes.get(..writes.len().min(limits::HANDOVER)).filter(|chunk| !chunk.is_empty()) {
            if log.append(chunk).is_err() {
                // The thread will meet the same fault, and has the time to deal with it.
                break;
            }
            last = chunk.last().map(|write| write.id);
            writes.drain(..chunk.len());
        }
        drop(log);
        self.stalled_until = Some(Instant::now()).filter(|now| *now - began > limits::STALL);
        self.stalled_until = self.stalled_until.map(|now| now + limits::STALLED);
        if last.is_some()
            && !self.desk.dirty.swap(true, Ordering::AcqRel)
            && let Some(orders) = &self.orders
            && orders.try_send(Order::Dirty).is_err()
        {
            // The next write will tell.
            self.desk.dirty.store(false, Ordering::Release);
        }
        last
    }

    fn hand_over(&self, writes: &mut Vec<Write>) {
        let Some(orders) = &self.orders else { return };
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(limits::HANDOVER));
            let first = mem::replace(writes, rest);
            self.desk.with_the_clerk.fetch_add(1, Ordering::AcqRel);
            match orders.try_send(Order::Writes(Arc::clone(&self.desk), first)) {
                Ok(()) => {}
                Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                    self.desk.with_the_clerk.fetch_sub(1, Ordering::AcqRel);
                    if let Order::Writes(_, mut first) = order {
                        first.append(writes);
                        *writes = first;
                    }
                    return;
                }
            }
        }
    }
}

/// What the store's thread is told.
enum Order {
    Writer(Arc<Desk>),
    Writes(Arc<Desk>, Vec<Write>),
    /// A log holds what is to be forced to the disk in time.
    Dirty,
    Settle(SyncSender<()>),
}

/// What was handed over, by whom.
type Batch = Vec<(Arc<Desk>, Vec<Write>)>;

/// The store's thread.
struct Clerk {
    path: PathBuf,
    /// Absent while the disk refuses.
    engine: Option<Engine>,
    sync: SyncWhen,
    desks: Vec<(Arc<Desk>, u64)>,
    /// When what has been written is to be forced to the disk.
    sync_due: Option<Instant>,
}

impl Clerk {
    fn work(mut self, orders: &Receiver<Order>) {
        let mut batch = Batch::new();
        let mut settling = Vec::new();
        loop {
            match self.next(orders) {
                Ok(order) => self.take(order, &mut batch, &mut settling),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.force(),
            }
            while batch.len() < limits::BATCH
                && let Ok(order) = orders.try_recv()
            {
                self.take(order, &mut batch, &mut settling);
            }
            self.commit(&mut batch);
            if !settling.is_empty() || self.sync_due.is_some_and(|due| due <= Instant::now()) {
                self.force();
            }
            for settled in settling.drain(..) {
                // Whoever waited may have lost patience.
                let _ = settled.send(());
            }
        }
    }

    fn next(&self, orders: &Receiver<Order>) -> Result<Order, RecvTimeoutError> {
        match self.sync_due {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
        }
    }

    fn take(&mut self, order: Order, batch: &mut Batch, settling: &mut Vec<SyncSender<()>>) {
        match order {
            Order::Writes(desk, writes) => batch.push((desk, writes)),
            Order::Settle(settled) => settling.push(settled),
            Order::Writer(desk) => self.desks.push((desk, 0)),
            Order::Dirty => self.will_sync(),
        }
    }

    fn will_sync(&mut self) {
        if let SyncWhen::Every(interval) = self.sync {
            self.sync_due.get_or_insert_with(|| Instant::now() + interval);
        }
    }

    /// Writes what was handed over, however long it takes, and acknowledges it.
    fn commit(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let unlogged: Vec<&Write> =
            batch.iter().filter(|(desk, _)| desk.log.is_none()).flat_map(|(_, writes)| writes).collect();
        if !unlogged.is_empty() {
            let mode = if self.sync == SyncWhen::Always { PersistMode::SyncData } else { PersistMode::Buffer };
            self.commit_to_engine(&unlogged, mode);
        }
        for (desk, writes) in batch.drain(..) {
            if let Some(log) = &desk.log {
                loop {
                    let appended = locked(log).append(&writes);
                    let Err(why) = appended else { break };
                    tracing::error!("the store {} takes no writes, trying again: {why}", self.path.display());
                    thread::sleep(limits::REOPEN);
                    self.turn_over();
                }
                desk.dirty.store(true, Ordering::Release);
            }
            if let Some(last) = writes.last() {
                desk.acknowledge(last.id);
            }
            desk.with_the_clerk.fetch_sub(1, Ordering::AcqRel);
        }
        self.will_sync();
    }

    /// Commits to the engine, however long it takes.
    fn commit_to_engine(&mut self, writes: &[&Write], mode: PersistMode) {
        while let Err(why) = self.engine().and_then(|engine| engine.commit(writes, mode)) {
            tracing::error!("the store {} takes no writes, trying again: {why}", self.path.display());
            // After a failed write the engine trusts itself no more: it must be opened anew, from what is on the disk.
            self.engine = None;
            thread::sleep(limits::REOPEN);
        }
    }

    /// Begins a new log where one is over, and brings what the old one says into the engine.
    fn turn_over(&mut self) {
        for place in 0..self.desks.len() {
            let Some((desk, generation)) = self.desks.get_mut(place) else { continue };
            let Some(log) = desk.log.as_ref().filter(|log| locked(log).is_over()) else { continue };
            let next = *generation + 1;
            let begun = match Log::begin(&self.path, desk.number, next) {
                Ok(begun) => begun,
                Err(why) => {
                    tracing::error!("the store {} takes no new log: {why}", self.path.display());
                    continue;
                }
            };
            *generation = next;
            let over = mem::replace(&mut *locked(log), begun);
            let changes = self.insisting(|| {
                let mut changes = Changes::default();
                changes.read(over.path()).map(|()| changes)
            });
            let writes = changes.into_writes();
            self.commit_to_engine(&writes.iter().collect::<Vec<_>>(), PersistMode::SyncData);
            // Were it read again after a newer one had gone, it would bring back what is no more.
            self.insisting(|| ahead::remove(over.path()));
        }
    }

    /// Does it until it succeeds.
    fn insisting<T>(&self, what: impl Fn() -> io::Result<T>) -> T {
        loop {
            match what() {
                Ok(done) => return done,
                Err(why) => tracing::error!("the store {}, trying again: {why}", self.path.display()),
            }
            thread::sleep(limits::REOPEN);
        }
    }

    fn engine(&mut self) -> Result<&mut Engine, fjall::Error> {
        match &mut self.engine {
            Some(engine) => Ok(engine),
            none => Ok(none.insert(Engine::open(&self.path)?)),
        }
    }

    /// Forces what has been written to the disk.
    fn force(&mut self) {
        self.sync_due = None;
        let mut unlogged = false;
        for (desk, _) in &self.desks {
            let Some(log) = &desk.log else {
                unlogged = true;
                continue;
            };
            if desk.dirty.swap(false, Ordering::AcqRel) {
                let file = locked(log).file();
                if let Err(why) = file.sync_data() {
                    tracing::error!("the store {} did not reach the disk: {why}", self.path.display());
                }
            }
        }
        if unlogged
            && let Some(engine) = &self.engine
            && let Err(why) = engine.database.persist(PersistMode::SyncData)
        {
            tracing::error!("the store {} did not reach the disk: {why}", self.path.display());
            self.engine = None;
        }
        self.turn_over();
    }
}

/// The engine, opened.
struct Engine {
    database: Database,
    records: Keyspace,
}

impl Engine {
    fn open(path: &Path) -> Result<Self, fjall::Error> {
        let database = Database::builder(path)
            .cache_size(limits::CACHE)
            .max_journaling_size(limits::JOURNAL)
            .worker_threads(1)
            .open()?;
        let records =
            database.keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(limits::MEMTABLE))?;
        Ok(Self { database, records })
    }

    fn commit(&self, writes: &[&Write], mode: PersistMode) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(mode));
        for write in writes {
            match &write.value {
                Some(value) => batch.insert(&self.records, &*write.key, &**value),
                None => batch.remove(&self.records, &*write.key),
            }
        }
        batch.commit()
    }

    /// All records; with an error, those read before it.
    fn read(&self) -> (Records, Option<fjall::Error>) {
        let mut all = Records::default();
        for record in self.records.iter() {
            match record.into_inner() {
                Ok((key, value)) => all.push(&key, &value),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    }
}

type Opened = (Engine, Records, Option<MovedAside>);

fn open_or_move_aside(path: &Path) -> Result<Opened, OpenError> {
    let refused = |why: String| OpenError::Refused(path.to_owned(), why);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|why| refused(why.to_string()))?;
    }
    let (cause, salvaged) = match open_and_read(path) {
        Ok((engine, records)) => return Ok((engine, records, None)),
        Err(Unreadable::InUse) => return Err(OpenError::InUse(path.to_owned())),
        Err(Unreadable::Refused(why)) => return Err(refused(why)),
        Err(Unreadable::Damaged(cause, salvaged)) => (cause, salvaged),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".damaged-{}", since.as_millis()));
    let aside = path.with_file_name(name);
    fs::rename(path, &aside).map_err(|why| refused(format!("{cause}; and it cannot be moved aside: {why}")))?;
    let count = salvaged.iter().count();
    let begun = Engine::open(path).and_then(|engine| {
        let as_write =
            |(key, value): (&[u8], &[u8])| Write { id: WriteId(0), key: key.to_vec(), value: Some(value.to_vec()) };
        let writes: Vec<_> = salvaged.iter().map(as_write).collect();
        engine.commit(&writes.iter().collect::<Vec<_>>(), PersistMode::SyncData)?;
        take_over_logs(&engine, &aside, false)?;
        Ok(engine)
    });
    let engine = begun.map_err(|why| refused(why.to_string()))?;
    let (records, error) = engine.read();
    if let Some(why) = error {
        return Err(refused(why.to_string()));
    }
    let moved = MovedAside { path: aside, cause, salvaged: count };
    Ok((engine, records, Some(moved)))
}

/// Brings into the engine what the logs ahead of a store say, and removes them where it is their own store.
fn take_over_logs(engine: &Engine, store: &Path, own: bool) -> Result<(), fjall::Error> {
    let logs = ahead::left(store)?;
    let mut changes = Changes::default();
    for log in &logs {
        changes.read(log)?;
    }
    let writes = changes.into_writes();
    engine.commit(&writes.iter().collect::<Vec<_>>(), PersistMode::SyncData)?;
    for log in logs.iter().filter(|_| own) {
        ahead::remove(log)?;
    }
    Ok(())
}

/// Why a store was not opened.
enum Unreadable {
    InUse,
    Refused(String),
    /// What is wrong, and what could be read all the same.
    Damaged(String, Records),
}

/// The engine answers some damage with a panic instead of an error; both are the same to us.
fn open_and_read(path: &Path) -> Result<(Engine, Records), Unreadable> {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| Engine::open(path)));
    let engine = match opened {
        Ok(Ok(engine)) => engine,
        Ok(Err(error)) => return Err(unreadable(&error)),
        Err(panicked) => return Err(Unreadable::Damaged(words(&*panicked), Records::default())),
    };
    let read = || take_over_logs(&engine, path, true).map(|()| engine.read());
    match panic::catch_unwind(AssertUnwindSafe(read)) {
        Ok(Err(error)) => Err(unreadable(&error)),
        Ok(Ok((records, None))) => Ok((engine, records)),
        Ok(Ok((records, Some(error)))) => Err(Unreadable::Damaged(error.to_string(), records)),
        Err(panicked) => Err(Unreadable::Damaged(words(&*panicked), Records::default())),
    }
}

fn unreadable(error: &fjall::Error) -> Unreadable {
    let io = match error {
        fjall::Error::Locked => return Unreadable::InUse,
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => io,
        damaged => return Unreadable::Damaged(damaged.to_string(), Records::default()),
    };
    match io.kind() {
        // What ends too early, makes no sense or lacks a part is damaged. All else is the system's affair.
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound => {
            Unreadable::Damaged(io.to_string(), Records::default())
        }
        _ => Unreadable::Refused(io.to_string()),
    }
}

fn words(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read").to_owned()
}
