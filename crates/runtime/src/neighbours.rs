//! Between workers: letters in bounded boxes, answers, and the bell that the outside rings.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use node::port::AskId;
use node::{Answer, Tell, WriteId};
use sip::Owner;
use sip::transport::{Flow, StreamId};
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};

use crate::limits;
use crate::update::Ready;

/// What one worker sends to another.
#[derive(Debug)]
pub(crate) enum Letter {
    Told(Tell),
    Forwarded {
        flow: Flow,
        peer_names: Arc<[String]>,
        octets: Arc<[u8]>,
    },
    /// For a stream of the receiver's.
    Transmit {
        id: StreamId,
        octets: Arc<[u8]>,
        /// Who hears of it when the stream is gone.
        from: Owner,
    },
    /// The receiver sent something to a stream that is gone.
    Gone {
        id: StreamId,
    },
    Disconnect {
        id: StreamId,
    },
}

/// The ends that a worker reads.
pub(crate) struct Inbox {
    pub(crate) letters: Receiver<Letter>,
    /// Bounded by the questions that the worker's own machine has asked.
    pub(crate) answers: UnboundedReceiver<(AskId, Answer)>,
    pub(crate) bell: Arc<Bell>,
}

/// The ends that others write to.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) letters: Sender<Letter>,
    pub(crate) answers: UnboundedSender<(AskId, Answer)>,
}

/// A worker's inbox and its address.
pub(crate) fn inbox() -> (Address, Inbox) {
    let (letters, letters_in) = mpsc::channel(limits::LETTERS);
    let (answers, answers_in) = mpsc::unbounded_channel();
    let inbox = Inbox { letters: letters_in, answers: answers_in, bell: Arc::default() };
    (Address { letters, answers }, inbox)
}

/// What the outside may tell a worker at any time, without waiting and without a queue.
#[derive(Default)]
pub(crate) struct Bell {
    /// One more than the last write that is safe; zero when none is.
    written: AtomicU64,
    stop: AtomicBool,
    kill: AtomicBool,
    /// The newest update; one that was not yet taken is replaced.
    update: Mutex<Option<Arc<Ready>>>,
    rung: Notify,
}

/// What a bell was rung for.
pub(crate) struct Rung {
    pub(crate) written: Option<WriteId>,
    pub(crate) update: Option<Arc<Ready>>,
    pub(crate) stop: bool,
    pub(crate) kill: bool,
}

impl Bell {
    pub(crate) fn written(&self, up_to: WriteId) {
        self.written.fetch_max(up_to.0.saturating_add(1), Ordering::AcqRel);
        self.rung.notify_one();
    }

    pub(crate) fn update(&self, ready: Arc<Ready>) {
        *self.update.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready);
        self.rung.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.rung.notify_one();
    }

    pub(crate) fn kill(&self) {
        self.kill.store(true, Ordering::Release);
        self.rung.notify_one();
    }

    pub(crate) async fn rings(&self) -> Rung {
        self.rung.notified().await;
        Rung {
            written: self.written.swap(0, Ordering::AcqRel).checked_sub(1).map(WriteId),
            update: self.update.lock().unwrap_or_else(PoisonError::into_inner).take(),
            stop: self.stop.swap(false, Ordering::AcqRel),
            kill: self.kill.load(Ordering::Acquire),
        }
    }
}

/// The other workers, and the letters that wait for those whose boxes are full.
pub(crate) struct Neighbours {
    all: Vec<(Sender<Letter>, VecDeque<Letter>)>,
    kept: usize,
}

impl Neighbours {
    /// All workers' boxes in order, this one's own among them.
    pub(crate) fn new(all: impl Iterator<Item = Sender<Letter>>) -> Self {
        Self { all: all.map(|letters| (letters, VecDeque::new())).collect(), kept: 0 }
    }

    /// Sends a letter; answers whether it was sent or kept.
    pub(crate) fn send(&mut self, worker: u16, letter: Letter) -> bool {
        let Some((sender, kept)) = self.all.get_mut(usize::from(worker)) else { return false };
        let letter = if kept.is_empty() {
            match sender.try_send(letter) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(letter)) => letter,
            }
        } else {
            letter
        };
        let room = self.kept < limits::LETTERS_KEPT;
        if room {
            kept.push_back(letter);
            self.kept += 1;
        }
        room
    }

    /// Whether letters are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.kept > 0
    }

    /// Offers the kept letters again, in order.
    pub(crate) fn flush(&mut self) {
        if self.kept == 0 {
            return;
        }
        for (sender, kept) in &mut self.all {
            while let Some(letter) = kept.pop_front() {
                match sender.try_send(letter) {
                    Ok(()) | Err(TrySendError::Closed(_)) => self.kept -= 1,
                    Err(TrySendError::Full(letter)) => {
                        kept.push_front(letter);
                        break;
                    }
                }
            }
        }
    }
}
