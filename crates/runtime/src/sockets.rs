//! Binding: one socket per listener and worker, all of them before the first worker starts.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use sip::transport::Transport;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::limits;
use crate::settings::ListenerSettings;

/// One worker's socket of a listener.
pub(crate) enum Bound {
    Datagrams(UdpSocket),
    Streams(TcpListener),
}

/// Binds a listener for each worker; answers where, and with what.
pub(crate) fn bind(listener: &ListenerSettings, workers: u16) -> io::Result<(SocketAddr, Vec<Bound>)> {
    let shared = workers > 1;
    if shared && listener.address.port() != 0 {
        // Sockets that share a port would also share it with another process, unnoticed: ask for it alone first.
        drop(one(listener, listener.address, false)?);
    }
    let first = one(listener, listener.address, shared)?;
    let address = local(&first)?;
    let mut all = vec![first];
    for _ in 1..workers {
        all.push(one(listener, address, shared)?);
    }
    Ok((address, all))
}

fn one(listener: &ListenerSettings, address: SocketAddr, shared: bool) -> io::Result<Bound> {
    let datagrams = listener.transport == Transport::Udp;
    let (kind, protocol) = if datagrams { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own, so that no peer appears under a mapped address.
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    if datagrams {
        // The system grants what it grants; less is no fault.
        let _ = socket.set_recv_buffer_size(limits::SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(limits::SOCKET_BUFFER);
        socket.bind(&address.into())?;
        return Ok(Bound::Datagrams(socket.into()));
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::BACKLOG)?;
    Ok(Bound::Streams(socket.into()))
}

fn local(bound: &Bound) -> io::Result<SocketAddr> {
    match bound {
        Bound::Datagrams(socket) => socket.local_addr(),
        Bound::Streams(listener) => listener.local_addr(),
    }
}

/// A socket for a connection of ours, bound to the listener's address where the remote can be reached from it.
pub(crate) fn outgoing(local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(mut local) = local
        && local.is_ipv4() == remote.is_ipv4()
        && !local.ip().is_unspecified()
        && local.ip().is_loopback() == remote.ip().is_loopback()
    {
        local.set_port(0);
        socket.bind(&local.into())?;
    }
    Ok(socket.into())
}

/// Options of every connection: no delay for small messages, and a peer that has vanished is noticed.
pub(crate) fn tune(stream: &impl std::os::fd::AsFd) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let probe =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    let _ = socket.set_tcp_keepalive(&probe);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
}
