//! The store on disk: fjall behind the store port, with a thread of its own that commits in order what has queued.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use node::port::adapter::{Store, Write, Writer, Written};
use node::{Records, WriteId};

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
        let clerk = Clerk { path: path.to_owned(), engine: Some(engine), sync, writers: Vec::new(), sync_due: None };
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || clerk.work(&incoming))
            .map_err(|why| OpenError::Refused(path.to_owned(), why.to_string()))?;
        Ok(Self { records: Mutex::new(records), moved_aside, orders: Some(orders), thread: Some(thread) })
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
        let (number, numbered) = mpsc::sync_channel(1);
        self.order(Order::Writer(written, number));
        let number = numbered.recv().unwrap_or(usize::MAX);
        Box::new(Handover { number, orders: self.orders.clone() })
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

/// One node's way in.
struct Handover {
    number: usize,
    orders: Option<SyncSender<Order>>,
}

impl Writer for Handover {
    fn write(&mut self, writes: &mut Vec<Write>) {
        let Some(orders) = &self.orders else { return };
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(limits::HANDOVER));
            let first = mem::replace(writes, rest);
            match orders.try_send(Order::Writes(self.number, first)) {
                Ok(()) => {}
                Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
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
    Writer(Written, SyncSender<usize>),
    Writes(usize, Vec<Write>),
    Settle(SyncSender<()>),
}

/// The store's thread.
struct Clerk {
    path: PathBuf,
    /// Absent while the disk refuses.
    engine: Option<Engine>,
    sync: SyncWhen,
    writers: Vec<Written>,
    /// When what has been written is to be forced to the disk.
    sync_due: Option<Instant>,
}

impl Clerk {
    fn work(mut self, orders: &Receiver<Order>) {
        let mut batch = Vec::new();
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

    fn take(&mut self, order: Order, batch: &mut Vec<(usize, Write)>, settling: &mut Vec<SyncSender<()>>) {
        match order {
            Order::Writes(writer, writes) => batch.extend(writes.into_iter().map(|write| (writer, write))),
            Order::Settle(settled) => settling.push(settled),
            Order::Writer(written, number) => {
                self.writers.push(written);
                let _ = number.send(self.writers.len() - 1);
            }
        }
    }

    /// Commits the batch, however long it takes, and acknowledges it.
    fn commit(&mut self, batch: &mut Vec<(usize, Write)>) {
        if batch.is_empty() {
            return;
        }
        let mode = if self.sync == SyncWhen::Always { PersistMode::SyncData } else { PersistMode::Buffer };
        while let Err(why) = self.engine().and_then(|engine| engine.commit(batch, mode)) {
            tracing::error!("the store {} takes no writes, trying again: {why}", self.path.display());
            // After a failed write the engine trusts itself no more: it must be opened anew, from what is on the disk.
            self.engine = None;
            thread::sleep(limits::REOPEN);
        }
        if let SyncWhen::Every(interval) = self.sync {
            self.sync_due.get_or_insert_with(|| Instant::now() + interval);
        }
        let mut last: Vec<Option<WriteId>> = vec![None; self.writers.len()];
        for (writer, write) in batch.drain(..) {
            if let Some(last) = last.get_mut(writer) {
                *last = Some(write.id);
            }
        }
        for (written, last) in self.writers.iter().zip(last) {
            if let Some(up_to) = last {
                written(up_to);
            }
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
        if let Some(engine) = &self.engine
            && let Err(why) = engine.database.persist(PersistMode::SyncData)
        {
            tracing::error!("the store {} did not reach the disk: {why}", self.path.display());
            self.engine = None;
        }
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

    fn commit(&self, writes: &[(usize, Write)], mode: PersistMode) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(mode));
        for (_, write) in writes {
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
    let begun = Engine::open(path).and_then(|engine| {
        let as_write =
            |(key, value): (&[u8], &[u8])| Write { id: WriteId(0), key: key.to_vec(), value: Some(value.to_vec()) };
        let writes: Vec<_> = salvaged.iter().map(|record| (0, as_write(record))).collect();
        engine.commit(&writes, PersistMode::SyncData).map(|()| engine)
    });
    let engine = begun.map_err(|why| refused(why.to_string()))?;
    let moved = MovedAside { path: aside, cause, salvaged: salvaged.iter().count() };
    Ok((engine, salvaged, Some(moved)))
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
    match panic::catch_unwind(AssertUnwindSafe(|| engine.read())) {
        Ok((records, None)) => Ok((engine, records)),
        Ok((records, Some(error))) => Err(Unreadable::Damaged(error.to_string(), records)),
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
