//! Datagrams in batches: one system call takes all that wait, one sends all that came out.

use std::array;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use sip::transport::ListenerId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::limits::{BATCH, DATAGRAM, DATAGRAMS_WAITING};

/// A UDP socket. Only its readability is waited for: the system would announce after every datagram that there is room for
/// another, and each announcement would wake the worker.
pub(crate) type Socket = AsyncFd<UdpSocket>;

/// Makes a socket known to the worker's tokio runtime.
#[allow(unsafe_code, reason = "the only way to wait for readability alone")]
pub(crate) fn register(socket: UdpSocket) -> io::Result<Socket> {
    // SAFETY: the `AsyncFd` needs a descriptor that is open, and stays open and the same, for as long as it lives.
    // `UdpSocket` owns its descriptor, closes it only when dropped, and has no way to exchange it; the `AsyncFd` owns the
    // `UdpSocket`, and nothing here takes it out or borrows it mutably.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// One listener's datagrams on their way out.
pub(crate) struct UdpPort {
    pub(crate) listener: ListenerId,
    pub(crate) socket: Rc<Socket>,
    /// Rung when datagrams are left over because the socket's buffer is full.
    pub(crate) left_over: Rc<Notify>,
    waiting: VecDeque<(SocketAddr, Arc<[u8]>)>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Reused: where the datagrams of one system call go.
    remotes: Vec<Option<SockaddrStorage>>,
}

impl UdpPort {
    pub(crate) fn new(listener: ListenerId, socket: Rc<Socket>) -> Self {
        let headers = MultiHeaders::preallocate(BATCH, None);
        let (waiting, remotes) = (VecDeque::new(), Vec::with_capacity(BATCH));
        Self { listener, socket, left_over: Rc::default(), waiting, headers, remotes }
    }

    /// Queues a datagram; answers whether there was room.
    pub(crate) fn queue(&mut self, remote: SocketAddr, octets: Arc<[u8]>) -> bool {
        let room = self.waiting.len() < DATAGRAMS_WAITING;
        if room {
            self.waiting.push_back((remote, octets));
        }
        room
    }

    /// Sends what waits, as far as the socket takes it. What the system refuses is handed to `refused` and dropped.
    pub(crate) fn flush(&mut self, mut refused: impl FnMut(SocketAddr, io::Error)) {
        while !self.waiting.is_empty() {
            let Self { socket, waiting, headers, remotes, .. } = self;
            match send(socket.as_raw_fd(), waiting, headers, remotes) {
                Ok(sent) => drop(waiting.drain(..sent.min(waiting.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.left_over.notify_one(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if let Some((remote, _)) = waiting.pop_front() {
                        refused(remote, error);
                    }
                }
            }
        }
    }
}

/// Sends the first datagrams that wait; answers how many went.
fn send(
    fd: RawFd,
    waiting: &VecDeque<(SocketAddr, Arc<[u8]>)>,
    headers: &mut MultiHeaders<SockaddrStorage>,
    remotes: &mut Vec<Option<SockaddrStorage>>,
) -> io::Result<usize> {
    let count = waiting.len().min(BATCH);
    let mut octets = waiting.iter().map(|(_, octets)| &**octets);
    let slices: [[IoSlice<'_>; 1]; BATCH] = array::from_fn(|_| [IoSlice::new(octets.next().unwrap_or_default())]);
    remotes.clear();
    remotes.extend(waiting.iter().take(count).map(|(remote, _)| Some(SockaddrStorage::from(*remote))));
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = sendmmsg(fd, headers, slices.iter().take(count), &*remotes, [], flags)?.count();
    // Zero would mean to try the same again for ever.
    if sent == 0 { Err(Errno::EIO.into()) } else { Ok(sent) }
}

/// The buffers that one listener's datagrams arrive in.
pub(crate) struct Arrivals {
    octets: Box<[u8]>,
    headers: MultiHeaders<SockaddrStorage>,
    arrived: Vec<(SocketAddr, usize)>,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self {
            octets: vec![0; BATCH * DATAGRAM].into(),
            headers: MultiHeaders::preallocate(BATCH, None),
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for datagrams and takes what is there, at most one batch; answers whether more may wait.
    pub(crate) async fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        let mut ready = socket.readable().await?;
        self.arrived.clear();
        let more = match self.take(socket.as_raw_fd()) {
            Ok(()) => self.arrived.len() == BATCH,
            Err(Errno::EAGAIN) => false,
            Err(Errno::EINTR) => true,
            Err(errno) => return Err(errno.into()),
        };
        if !more {
            // The socket is empty now: to say so spares the system call that would find it out.
            ready.clear_ready();
        }
        Ok(more)
    }

    fn take(&mut self, fd: RawFd) -> Result<(), Errno> {
        let mut rooms = self.octets.chunks_exact_mut(DATAGRAM);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        let messages = recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        for message in messages {
            // An address that is neither IPv4 nor IPv6 cannot come from these sockets; it is passed over by length zero.
            let from = message.address.as_ref().and_then(socket_address);
            self.arrived.push(from.map_or((SocketAddr::from(([0, 0, 0, 0], 0)), 0), |from| (from, message.bytes)));
        }
        Ok(())
    }

    /// Nothing has arrived.
    pub(crate) fn forget(&mut self) {
        self.arrived.clear();
    }

    /// The datagrams of the last batch.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let rooms = self.octets.chunks_exact(DATAGRAM);
        self.arrived.iter().zip(rooms).filter_map(|(&(remote, length), room)| Some((remote, room.get(..length)?)))
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))
}
