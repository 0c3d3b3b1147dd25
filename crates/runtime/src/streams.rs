//! Connections: each is one task that writes what is queued, reads what comes, and ends with a reason.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use node::configuration::IdentityId;
use node::{Closed, Input, Machine};
use sip::transport::{ListenerId, StreamId, Transport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use wire::sip::{Framed, Framer};

use crate::core::Core;
use crate::limits;
use crate::outgoing::{Accounts, Outgoing};
use crate::report::Incident;
use crate::settings::StreamSettings;
use crate::sockets;
use crate::tap::Direction;
use crate::tls;

/// How long a closing connection may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// A connection that the machine wants, as `Output::Connect` says.
pub(crate) struct Wanted {
    pub(crate) id: StreamId,
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    pub(crate) server_name: Option<String>,
    pub(crate) identity: Option<IdentityId>,
    pub(crate) listener: ListenerId,
}

/// One connection, as its task and the core see it.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) transport: Transport,
    pub(crate) listener: ListenerId,
    pub(crate) remote: SocketAddr,
    local: Cell<SocketAddr>,
    accepted: bool,
    state: RefCell<State>,
}

struct State {
    outgoing: Outgoing,
    /// Close when all is written.
    closing: bool,
    /// Close now.
    cut: Option<Closed>,
    /// Wakes the task when there is something to write, or to end for.
    waker: Option<Waker>,
    /// When octets last passed, either way.
    passed: Instant,
    /// Whether the other end has sent or proved anything.
    heard: bool,
}

impl Stream {
    fn new(wanted: &Wanted, local: SocketAddr, accounts: &Rc<Accounts>, accepted: bool, now: Instant) -> Self {
        let state = State {
            outgoing: Outgoing::new(accounts, wanted.remote.ip()),
            closing: false,
            cut: None,
            waker: None,
            passed: now,
            heard: !accepted,
        };
        let Wanted { id, transport, remote, listener, .. } = *wanted;
        Self { id, transport, listener, remote, local: Cell::new(local), accepted, state: RefCell::new(state) }
    }

    /// A connection that is about to be opened; what is transmitted meanwhile waits.
    pub(crate) fn wanted(wanted: &Wanted, local: Option<SocketAddr>, accounts: &Rc<Accounts>, now: Instant) -> Self {
        Self::new(wanted, local.unwrap_or(wanted.remote), accounts, false, now)
    }

    /// Our address and the other end's.
    pub(crate) fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.local.get(), self.remote)
    }

    /// Queues octets. False when too many wait: then the stream closes.
    pub(crate) fn transmit(&self, now: Instant, octets: &[u8]) -> bool {
        let mut state = self.state.borrow_mut();
        if state.cut.is_some() {
            return true;
        }
        let room = state.outgoing.push(octets);
        if room {
            state.passed = now;
        } else {
            state.cut = Some(Closed::Overflow);
        }
        state.wake();
        room
    }

    /// Closes once what waits is written.
    pub(crate) fn disconnect(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        state.wake();
    }

    /// Whether nothing has passed for too long.
    pub(crate) fn is_idle(&self, now: Instant, settings: &StreamSettings) -> bool {
        let state = self.state.borrow();
        let silent = now.saturating_duration_since(state.passed);
        silent >= settings.idle || (self.accepted && !state.heard && silent >= settings.first_octets)
    }

    /// Waits until the stream is to be closed although it is not open yet.
    async fn unwanted(&self) -> Closed {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(why) = state.cut.take() {
                return Poll::Ready(why);
            }
            if state.closing && state.outgoing.is_empty() {
                return Poll::Ready(Closed::ByUs);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Writes what waits, then reads. Ready with what was read, or with the end.
    fn poll<S>(&self, io: &mut S, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Closed>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut state = self.state.borrow_mut();
        if let Some(why) = state.cut.take() {
            return Poll::Ready(Err(why));
        }
        match state.outgoing.poll_write(io, cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(&error))),
            Poll::Ready(Ok(())) if state.closing => return Poll::Ready(Err(Closed::ByUs)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        state.waker = Some(cx.waker().clone());
        let mut room = ReadBuf::new(buffer);
        match ready!(Pin::new(io).poll_read(cx, &mut room)) {
            Ok(()) if room.filled().is_empty() => Poll::Ready(Err(Closed::ByPeer)),
            Ok(()) => {
                state.heard = true;
                Poll::Ready(Ok(room.filled().len()))
            }
            Err(error) => Poll::Ready(Err(failed(&error))),
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Opens a connection that the machine asked for, and carries it until it ends.
pub(crate) async fn open<M: Machine + 'static>(core: Rc<RefCell<Core<M>>>, stream: Rc<Stream>, wanted: Wanted) {
    let why = tokio::select! {
        biased;
        why = stream.unwanted() => why,
        opened = connect(&core, &stream, &wanted) => match opened {
            Err(why) => {
                if let Closed::Handshake(cause) = &why {
                    handshake_failed(&core, &stream, cause.clone());
                }
                why
            }
            Ok((Io::Tcp(io), names)) => carry(&core, &stream, io, names).await,
            Ok((Io::Tls(io), names)) => carry(&core, &stream, io, names).await,
        },
    };
    closed(&core, &stream, why);
}

/// What a connection of ours runs over.
enum Io {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect<M: Machine + 'static>(
    core: &RefCell<Core<M>>,
    stream: &Stream,
    wanted: &Wanted,
) -> Result<(Io, Vec<String>), Closed> {
    let (settings, tls) = {
        let core = core.borrow();
        (core.around.stream_settings.clone(), core.around.tls.clone())
    };
    let refused = |error: &io::Error| Closed::Refused(error.to_string());
    let socket = sockets::outgoing(Some(stream.local.get()), wanted.remote).map_err(|error| refused(&error))?;
    let tcp = timeout(settings.connect_timeout, TcpSocket::from_std_stream(socket).connect(wanted.remote))
        .await
        .map_err(|_| Closed::Refused(format!("no connection within {:?}", settings.connect_timeout)))?
        .map_err(|error| refused(&error))?;
    sockets::tune(&tcp);
    if let Ok(local) = tcp.local_addr() {
        stream.local.set(local);
    }
    if wanted.transport != Transport::Tls {
        return Ok((Io::Tcp(tcp), Vec::new()));
    }
    let (connector, name) = tls
        .connector(wanted.identity, wanted.listener, wanted.server_name.as_deref(), wanted.remote.ip())
        .map_err(Closed::Handshake)?;
    let tls = timeout(settings.handshake_timeout, connector.connect(name, tcp))
        .await
        .map_err(|_| Closed::Handshake(format!("it was not over within {:?}", settings.handshake_timeout)))?
        .map_err(|error| Closed::Handshake(tls::accuse(&error)))?;
    let names = tls::certificate_names(tls.get_ref().1.peer_certificates().unwrap_or_default());
    Ok((Io::Tls(Box::new(tls)), names))
}

/// Accepts connections at one listener for as long as the worker lives.
pub(crate) async fn accept<M: Machine + 'static>(
    core: Rc<RefCell<Core<M>>>,
    listener: ListenerId,
    transport: Transport,
    socket: TcpListener,
) {
    loop {
        match socket.accept().await {
            Ok((tcp, remote)) => accepted(&core, tcp, remote, listener, transport),
            Err(error) => {
                let cause = error.to_string();
                let incident = Incident::AcceptFailed { listener, cause };
                core.borrow_mut().around.reporter.incident(Instant::now(), incident);
                tokio::time::sleep(limits::ACCEPT_REST).await;
            }
        }
    }
}

fn accepted<M: Machine + 'static>(
    core: &Rc<RefCell<Core<M>>>,
    tcp: TcpStream,
    remote: SocketAddr,
    listener: ListenerId,
    transport: Transport,
) {
    let now = Instant::now();
    let quit = Rc::clone(&core.borrow().around.quit);
    let mut inner = core.borrow_mut();
    let Some(id) = inner.next_accepted(remote.ip()) else {
        return inner.around.reporter.incident(now, Incident::TooManyConnections { remote });
    };
    sockets::tune(&tcp);
    let wanted = Wanted { id, transport, remote, server_name: None, identity: None, listener };
    let local = tcp.local_addr().unwrap_or(remote);
    let stream = Rc::new(Stream::new(&wanted, local, &inner.around.accounts, true, now));
    inner.around.streams.insert(id, Rc::clone(&stream));
    let core = Rc::clone(core);
    quit.spawn(async move {
        if transport == Transport::Tls {
            serve_tls(&core, &stream, tcp).await;
        } else {
            let why = carry(&core, &stream, tcp, Vec::new()).await;
            closed(&core, &stream, why);
        }
    });
}

/// The machine hears of a TLS connection only once it is proved.
async fn serve_tls<M: Machine + 'static>(core: &Rc<RefCell<Core<M>>>, stream: &Rc<Stream>, tcp: TcpStream) {
    let (acceptor, at_most) = {
        let core = core.borrow();
        (core.around.tls.acceptor(stream.listener), core.around.stream_settings.handshake_timeout)
    };
    let shaken = async {
        let acceptor = acceptor.ok_or("the listener has no identity")?;
        match timeout(at_most, acceptor.accept(tcp)).await {
            Err(_) => Err(format!("it was not over within {at_most:?}")),
            Ok(Err(error)) => Err(tls::accuse(&error)),
            Ok(Ok(io)) => Ok(io),
        }
    };
    let shaken = tokio::select! {
        biased;
        _ = stream.unwanted() => None,
        shaken = shaken => Some(shaken),
    };
    match shaken {
        Some(Ok(io)) => {
            let names = tls::certificate_names(io.get_ref().1.peer_certificates().unwrap_or_default());
            let why = carry(core, stream, io, names).await;
            closed(core, stream, why);
        }
        Some(Err(cause)) => {
            handshake_failed(core, stream, cause);
            core.borrow_mut().around.streams.remove(&stream.id);
        }
        None => drop(core.borrow_mut().around.streams.remove(&stream.id)),
    }
}

/// Carries an open connection until it ends; answers why it did.
async fn carry<M, S>(core: &Rc<RefCell<Core<M>>>, stream: &Rc<Stream>, mut io: S, names: Vec<String>) -> Closed
where
    M: Machine + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let buffer = Rc::clone(&core.borrow().around.buffer);
    let mut framer = core.borrow().around.tap.is_some().then(Framer::new);
    if !names.is_empty() {
        stream.state.borrow_mut().heard = true;
    }
    {
        let Stream { id, listener, transport, remote, .. } = **stream;
        let now = Instant::now();
        let mut core = core.borrow_mut();
        core.input(now, Input::StreamOpened { id, listener, transport, remote, peer_names: names });
        core.flush(now);
    }
    let why = loop {
        let read = poll_fn(|cx| stream.poll(&mut io, cx, &mut buffer.borrow_mut())).await;
        let length = match read {
            Ok(length) => length,
            Err(why) => break why,
        };
        // The buffer is shared by all streams of the worker; nothing else runs between the read above and its end here.
        let buffer = buffer.borrow();
        let octets = buffer.get(..length).unwrap_or_default();
        let now = Instant::now();
        stream.state.borrow_mut().passed = now;
        let mut core = core.borrow_mut();
        show(&core, now, stream, &mut framer, octets);
        core.input(now, Input::StreamOctets { id: stream.id, octets });
        core.flush(now);
    };
    if why == Closed::ByUs {
        // Best effort: the other end may be gone.
        let _ = timeout(GOOD_BYE, io.shutdown()).await;
    }
    why
}

/// Shows the tap each message of a stream. A stream that cannot be framed is shown no further.
fn show<M: Machine + 'static>(core: &Core<M>, now: Instant, stream: &Stream, tap: &mut Option<Framer>, octets: &[u8]) {
    let Some(framer) = tap else { return };
    framer.push(octets);
    loop {
        match framer.cut() {
            Ok(Some(Framed::Message(message))) => {
                let Stream { transport, listener, .. } = *stream;
                core.show(now, Direction::Received, transport, listener, stream.ends(), &message);
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => return *tap = None,
        }
    }
}

fn closed<M: Machine + 'static>(core: &RefCell<Core<M>>, stream: &Stream, why: Closed) {
    let now = Instant::now();
    let mut core = core.borrow_mut();
    core.around.streams.remove(&stream.id);
    core.input(now, Input::StreamClosed { id: stream.id, why });
    core.flush(now);
}

fn handshake_failed<M: Machine + 'static>(core: &RefCell<Core<M>>, stream: &Stream, cause: String) {
    let Stream { remote, listener, accepted, .. } = *stream;
    let incident = Incident::HandshakeFailed { remote, listener, accepted, cause };
    core.borrow_mut().around.reporter.incident(Instant::now(), incident);
}

/// Why reading or writing failed. With TLS 1.3 a refused certificate shows only here, after the handshake.
fn failed(error: &io::Error) -> Closed {
    match tls::accused(error) {
        Some(cause) => Closed::Handshake(cause),
        None => Closed::Failed(error.to_string()),
    }
}
