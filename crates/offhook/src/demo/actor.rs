//! The demo's people: the simulator's phones and watchers, on real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Instant;

use sip::transport::{Flow, ListenerId};
use sip::{Aor, Random};
use tokio::sync::mpsc;
use ua::phone::{self, Command, Phone};
use ua::watcher::{self, Watcher};

/// What somebody noticed: which of the two phones, or which of the two presentities.
#[derive(Clone, Debug)]
pub(super) enum Noticed {
    Phone(usize, phone::Event),
    Watcher(usize, watcher::Event),
}

/// What somebody is asked to do.
#[derive(Debug)]
enum Ask {
    Phone(Command),
    Subscribe,
}

/// Somebody with a socket, living in a task of their own.
#[derive(Debug)]
pub(super) struct Actor {
    asks: mpsc::UnboundedSender<Ask>,
}

/// Which of the two machines it is.
enum Machine {
    Phone(Box<Phone>),
    Watcher(Box<Watcher>),
}

impl Actor {
    pub(super) fn phone(
        (number, settings): (usize, phone::Settings),
        socket: UdpSocket,
        events: mpsc::UnboundedSender<Noticed>,
        now: Instant,
    ) -> std::io::Result<Self> {
        let random = seed(&settings.aor);
        Self::live(number, Machine::Phone(Box::new(Phone::new(settings, random, now))), socket, events)
    }

    pub(super) fn watcher(
        (number, settings): (usize, watcher::Settings),
        socket: UdpSocket,
        events: mpsc::UnboundedSender<Noticed>,
        now: Instant,
    ) -> std::io::Result<Self> {
        let random = seed(&settings.presentity);
        Self::live(number, Machine::Watcher(Box::new(Watcher::new(settings, random, now))), socket, events)
    }

    pub(super) fn phone_does(&self, command: Command) {
        // Nobody listens only when the demo is over.
        let _ = self.asks.send(Ask::Phone(command));
    }

    pub(super) fn subscribe(&self) {
        let _ = self.asks.send(Ask::Subscribe);
    }

    fn live(
        number: usize,
        mut machine: Machine,
        socket: UdpSocket,
        events: mpsc::UnboundedSender<Noticed>,
    ) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Rc::new(tokio::net::UdpSocket::from_std(socket)?);
        let (asks, mut asked) = mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; 65_535];
            loop {
                for (remote, octets) in machine.drain(number, &events) {
                    // A datagram that is lost is sent again: that is what the timers are for.
                    let _ = socket.send_to(&octets, remote).await;
                }
                let due =
                    machine.next_timeout().unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(3600));
                tokio::select! {
                    received = socket.recv_from(&mut buffer) => {
                        if let Ok((length, remote)) = received {
                            machine.receive(remote, buffer.get(..length).unwrap_or_default());
                        }
                    }
                    ask = asked.recv() => match ask {
                        Some(ask) => machine.ask(ask),
                        None => return,
                    },
                    () = tokio::time::sleep_until(due.into()) => machine.timeout(),
                }
            }
        });
        Ok(Self { asks })
    }
}

impl Machine {
    fn receive(&mut self, remote: SocketAddr, octets: &[u8]) {
        let (now, flow) = (Instant::now(), Flow::Udp { listener: ListenerId(0), remote });
        match self {
            Self::Phone(phone) => phone.handle(now, phone::Input::Received { flow, octets }),
            Self::Watcher(watcher) => watcher.handle(now, watcher::Input::Received { flow, octets }),
        }
    }

    fn ask(&mut self, ask: Ask) {
        let now = Instant::now();
        match (self, ask) {
            (Self::Phone(phone), Ask::Phone(command)) => phone.handle(now, phone::Input::Command(command)),
            (Self::Watcher(watcher), Ask::Subscribe) => watcher.handle(now, watcher::Input::Subscribe),
            (Self::Phone(_), Ask::Subscribe) | (Self::Watcher(_), Ask::Phone(_)) => {}
        }
    }

    fn timeout(&mut self) {
        let now = Instant::now();
        match self {
            Self::Phone(phone) => phone.handle(now, phone::Input::Timeout),
            Self::Watcher(watcher) => watcher.handle(now, watcher::Input::Timeout),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Phone(phone) => phone.next_timeout(),
            Self::Watcher(watcher) => watcher.next_timeout(),
        }
    }

    /// What is to be sent; what was noticed goes to `events`.
    fn drain(
        &mut self,
        number: usize,
        events: &mpsc::UnboundedSender<Noticed>,
    ) -> Vec<(SocketAddr, std::sync::Arc<[u8]>)> {
        let mut sends = Vec::new();
        let mut send = |flow: Flow, octets| sends.extend(flow.remote().map(|remote| (remote, octets)));
        match self {
            Self::Phone(phone) => {
                while let Some(output) = phone.poll() {
                    match output {
                        phone::Output::Transmit { flow, octets } => send(flow, octets),
                        phone::Output::Event(event) => drop(events.send(Noticed::Phone(number, event))),
                    }
                }
            }
            Self::Watcher(watcher) => {
                while let Some(output) = watcher.poll() {
                    match output {
                        watcher::Output::Transmit { flow, octets } => send(flow, octets),
                        watcher::Output::Event(event) => drop(events.send(Noticed::Watcher(number, event))),
                    }
                }
            }
        }
        sends
    }
}

/// A phone's names need not be unguessable on loopback, only its own.
fn seed(aor: &Aor) -> Random {
    let number = aor
        .as_str()
        .bytes()
        .fold(u64::from(std::process::id()), |hash, octet| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(octet));
    Random::from_number(number)
}
