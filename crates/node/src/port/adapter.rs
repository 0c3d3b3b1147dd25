//! What stands behind a port: the traits that an adapter fulfils and a driver calls. The machines never see them.

use crate::contract::WriteId;
use crate::port::{Answer, Known, Question, Who};
use crate::records::Records;

/// One write, as [`crate::Output::Write`] brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The write's number; ascending within one node.
    pub id: WriteId,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record, or `None` to delete it.
    pub value: Option<Vec<u8>>,
}

/// Called by a store, from any thread, when every write of one writer up to this one is with the operating system, unless
/// [`Writer::write`] has said so already. Never waits.
pub type Written = Box<dyn Fn(WriteId) + Send>;

/// A store of records that outlives the process.
pub trait Store: Send + Sync {
    /// Everything it holds. Asked once, at the start.
    fn records(&self) -> Records;
    /// A way in for one node, with the way back for its acknowledgements.
    fn writer(&self, written: Written) -> Box<dyn Writer>;
    /// Returns once everything that was handed over is on the disk, or cannot get there. Asked at the end.
    fn settle(&self);
}

/// One node's way into the store.
pub trait Writer {
    /// Takes what it has room for from the front of `writes`, without waiting; the rest is offered again after the next
    /// acknowledgement. Answers up to which write all are with the operating system when it returns, where that is known.
    fn write(&mut self, writes: &mut Vec<Write>) -> Option<WriteId>;
}

/// Knows which user a party of a call is, from memory: it is asked on the way of a call and never waits.
pub trait Directory: Send + Sync {
    /// Which user this is.
    fn who_is(&self, who: &Who) -> Known;
}

/// Where the answer to a question goes, once, from any thread.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// Finds the addresses of a host; takes its time elsewhere.
pub trait Resolver: Send + Sync {
    /// Answers a [`Question::Resolve`]; every other question fails.
    fn resolve(&self, question: Question, reply: Reply);
}
