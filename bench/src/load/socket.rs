//! Sockets of the load generator: datagrams on loopback, with buffers that a burst does not fill.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Octets that the kernel keeps for us.
const BUFFER: usize = 4 << 20;

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
