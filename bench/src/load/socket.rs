//! Sockets of the load generator: datagrams on loopback in batches, with buffers that a burst does not fill.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

/// Octets that the kernel keeps for us.
const BUFFER: usize = 4 << 20;

/// Datagrams that one system call takes or sends.
const AT_ONCE: usize = 32;

/// Octets of the longest datagram.
const LONGEST: usize = 8 << 10;

/// What one system call takes, and the answers that one sends: a generator that is slow would measure itself.
pub(crate) struct Batch {
    octets: Box<[u8]>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Apart from the others: once addresses have been sent to, no address is received into the same headers any more.
    headers_out: MultiHeaders<SockaddrStorage>,
    lengths: Vec<usize>,
    remotes: Vec<Option<SockaddrStorage>>,
    /// Reused: the first `answered` of them wait to be sent, each to who sent what it answers.
    answers: Vec<String>,
    to: Vec<Option<SockaddrStorage>>,
    answered: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            octets: vec![0; AT_ONCE * LONGEST].into(),
            headers: MultiHeaders::preallocate(AT_ONCE, None),
            headers_out: MultiHeaders::preallocate(AT_ONCE, None),
            lengths: Vec::with_capacity(AT_ONCE),
            remotes: Vec::with_capacity(AT_ONCE),
            answers: vec![String::new(); AT_ONCE],
            to: Vec::with_capacity(AT_ONCE),
            answered: 0,
        }
    }
}

impl Batch {
    /// Takes what waits; answers how many datagrams that were.
    pub(crate) fn take(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let Self { octets, headers, lengths, remotes, .. } = self;
        lengths.clear();
        remotes.clear();
        let mut rooms = octets.chunks_exact_mut(LONGEST);
        let mut slices: [[IoSliceMut<'_>; 1]; AT_ONCE] =
            array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => {
                for message in messages {
                    lengths.push(message.bytes);
                    remotes.push(message.address);
                }
                Ok(lengths.len())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The text of one that was taken.
    pub(crate) fn text(&self, number: usize) -> Option<&str> {
        let room = self.octets.chunks_exact(LONGEST).nth(number)?;
        std::str::from_utf8(room.get(..*self.lengths.get(number)?)?).ok()
    }

    /// Answers one that was taken; it leaves with the others.
    pub(crate) fn answer(&mut self, number: usize, write: impl FnOnce(&mut String, &str)) {
        let mut answer = std::mem::take(&mut self.answers[self.answered]);
        if let Some(text) = self.text(number) {
            write(&mut answer, text);
        }
        self.answers[self.answered] = answer;
        self.answered += 1;
        self.to.push(self.remotes[number]);
    }

    /// Sends the answers.
    pub(crate) fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.answered {
            let waiting = &self.answers[sent..self.answered];
            let mut octets = waiting.iter().map(String::as_bytes);
            let slices: [[IoSlice<'_>; 1]; AT_ONCE] =
                array::from_fn(|_| [IoSlice::new(octets.next().unwrap_or_default())]);
            let slices = slices.iter().take(waiting.len());
            let flags = MsgFlags::MSG_NOSIGNAL;
            sent += sendmmsg(socket.as_raw_fd(), &mut self.headers_out, slices, &self.to[sent..], [], flags)?.count();
        }
        self.answered = 0;
        self.to.clear();
        Ok(())
    }
}

/// A socket on a loopback port of the system's choice.
pub(crate) fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let known = socket2::SockRef::from(&socket);
    // The kernel may grant less: then more is sent again, and shows as such.
    let _ = known.set_recv_buffer_size(BUFFER);
    let _ = known.set_send_buffer_size(BUFFER);
    Ok(socket)
}

/// A loopback port that nobody has at this moment.
pub(crate) fn free_port() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Waits until one of two sockets has something, at most so long.
pub(crate) fn wait(sockets: [&UdpSocket; 2], at_most: Duration) {
    let mut polled = sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, PollTimeout::try_from(at_most).unwrap_or(PollTimeout::ZERO));
}
