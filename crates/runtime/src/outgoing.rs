//! What waits to be written to a stream, counted for all streams of a worker and for each address: whoever does not read
//! takes no memory without bound, however many streams they open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::limits;

/// The octets that all streams of a worker hold.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    all: Cell<usize>,
    of: RefCell<HashMap<IpAddr, Rc<Cell<usize>>>>,
}

/// What one stream holds, in the accounts of its worker.
struct Account {
    accounts: Rc<Accounts>,
    address: IpAddr,
    /// What the streams of its address hold.
    source: Rc<Cell<usize>>,
    held: usize,
}

/// The octets that wait to be written to one stream.
pub(crate) struct Outgoing {
    octets: Vec<u8>,
    /// How much of them is written.
    written: usize,
    account: Account,
}

impl Accounts {
    /// How many streams an address has.
    pub(crate) fn streams_of(&self, address: IpAddr) -> usize {
        self.of.borrow().get(&address).map_or(0, |source| Rc::strong_count(source) - 1)
    }
}

impl Outgoing {
    pub(crate) fn new(accounts: &Rc<Accounts>, address: IpAddr) -> Self {
        let source = Rc::clone(accounts.of.borrow_mut().entry(address).or_default());
        let account = Account { accounts: Rc::clone(accounts), address, source, held: 0 };
        Self { octets: Vec::new(), written: 0, account }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Takes octets, if there is room for them.
    pub(crate) fn push(&mut self, octets: &[u8]) -> bool {
        let waiting = self.octets.len() - self.written;
        let is_little = waiting <= limits::STREAM_KEPT;
        let room = waiting.saturating_add(octets.len()) <= limits::STREAM_WAITING;
        if !room || !(is_little || self.account.has_room(octets.len())) {
            return false;
        }
        // Of a stream that never comes to an end of it, what is written goes all the same.
        if self.written > waiting.max(limits::STREAM_KEPT) {
            self.octets.drain(..self.written);
            self.written = 0;
        }
        self.octets.extend_from_slice(octets);
        self.account.holds(self.octets.len());
        true
    }

    /// Writes what waits. Ready when nothing does.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.octets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.octets.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        ready!(Pin::new(io).poll_flush(cx))?;
        self.written = 0;
        self.octets.clear();
        self.octets.shrink_to(limits::STREAM_KEPT);
        self.account.holds(0);
        Poll::Ready(Ok(()))
    }
}

impl Account {
    fn has_room(&self, octets: usize) -> bool {
        let fits = |held: &Cell<usize>, most: usize| held.get().saturating_add(octets) <= most;
        fits(&self.accounts.all, limits::STREAMS_WAITING) && fits(&self.source, limits::STREAMS_WAITING_OF_ONE)
    }

    fn holds(&mut self, octets: usize) {
        for held in [&self.accounts.all, &*self.source] {
            held.set((held.get() + octets).saturating_sub(self.held));
        }
        self.held = octets;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.holds(0);
        // The accounts and this one: no other stream of that address is left.
        if Rc::strong_count(&self.source) <= 2 {
            self.accounts.of.borrow_mut().remove(&self.address);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::task::Waker;

    use super::*;

    /// The other end: takes so many octets and then no more.
    struct Taking(usize);

    impl AsyncWrite for Taking {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
            let taken = self.0.min(octets.len());
            self.0 -= taken;
            if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn what_is_written_goes_though_there_is_always_more() {
        let accounts = Rc::new(Accounts::default());
        let mut outgoing = Outgoing::new(&accounts, address(1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outgoing.push(&[0; 100_000]));
        for _ in 0..1_000 {
            assert!(outgoing.push(&[0; 10_000]));
            assert!(outgoing.poll_write(&mut Taking(10_000), &mut cx).is_pending());
        }
        assert!(outgoing.octets.len() < 300_000, "{}", outgoing.octets.len());
        assert!(outgoing.poll_write(&mut Taking(100_000), &mut cx).is_ready());
        assert!(outgoing.is_empty());
        assert_eq!(accounts.all.get(), 0);
    }

    #[test]
    fn whoever_reads_nothing_leaves_room_for_the_others_and_gives_it_back_in_the_end() {
        let accounts = Rc::new(Accounts::default());
        let fill = |last| {
            let mut outgoing = Outgoing::new(&accounts, address(last));
            while outgoing.push(&[0; 10_000]) {}
            outgoing
        };
        let many = 2 * limits::STREAMS_WAITING / limits::STREAM_WAITING;
        let wild: Vec<Outgoing> = (0..many).map(|_| fill(1)).collect();
        let least = many * (limits::STREAM_KEPT + 10_000);
        assert!(accounts.all.get() <= limits::STREAMS_WAITING_OF_ONE + least, "{}", accounts.all.get());
        let other = fill(2);
        assert!(other.octets.len() > limits::STREAM_WAITING / 2, "{}", other.octets.len());
        drop((wild, other));
        assert_eq!((accounts.all.get(), accounts.of.borrow().len()), (0, 0));
    }
}
