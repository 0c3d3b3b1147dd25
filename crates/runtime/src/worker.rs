//! One worker: a thread, its tokio runtime, its machine, and the tasks that feed it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use node::port::adapter::{Directory, Resolver, Store};
use node::{Boot, Input, Machine};
use sip::transport::{ListenerId, Transport};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{self, LocalSet};

use crate::allocator;
use crate::core::{Core, Surroundings};
use crate::gauge::Gauge;
use crate::limits;
use crate::neighbours::{Address, Inbox, Neighbours};
use crate::report::{Incident, Reporter};
use crate::settings::StreamSettings;
use crate::sockets::Bound;
use crate::streams;
use crate::tap::Tap;
use crate::timer::Alarm;
use crate::tls::Tls;
use crate::udp::{self, Arrivals, UdpPort};

/// Everything that one worker starts with.
pub(crate) struct Setup {
    pub(crate) boot: Boot,
    pub(crate) sockets: Vec<(ListenerId, Transport, Bound)>,
    pub(crate) inbox: Inbox,
    /// The addresses of all workers, in order.
    pub(crate) addresses: Vec<Address>,
    pub(crate) streams: StreamSettings,
    pub(crate) tls: Arc<Tls>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) directory: Option<Arc<dyn Directory>>,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) tap: Option<Tap>,
    pub(crate) reporter: Reporter,
    pub(crate) ready: SyncSender<Result<(), String>>,
    pub(crate) ended: Sender<(u16, Ending)>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its machine said that the orderly stop is complete.
    Stopped,
    /// It was told to end at once.
    Killed,
    /// It ended by a fault of ours.
    Died,
}

/// Runs a worker on this thread until it ends.
pub(crate) fn run<M: Machine + 'static>(setup: Setup, make: &dyn Fn(Boot) -> M) {
    let obituary = Obituary {
        worker: setup.boot.owner.0,
        ending: Cell::new(Ending::Died),
        ended: setup.ended.clone(),
        reporter: RefCell::new(setup.reporter.clone()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(setup.ready.send(Err(error.to_string()))),
    };
    let ending = LocalSet::new().block_on(&runtime, work(setup, make));
    obituary.ending.set(ending);
}

/// Tells how a worker ended, even when it ends by a panic.
struct Obituary {
    worker: u16,
    ending: Cell<Ending>,
    ended: Sender<(u16, Ending)>,
    reporter: RefCell<Reporter>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if self.ending.get() == Ending::Died {
            self.reporter.borrow_mut().incident(Instant::now(), Incident::WorkerDied);
        }
        // Nobody may be waiting for it any more.
        let _ = self.ended.send((self.worker, self.ending.get()));
    }
}

/// Why and when a worker ends; and the nursery of its tasks.
#[derive(Default)]
pub(crate) struct Quit {
    ending: Cell<Option<Ending>>,
    now: Notify,
}

impl Quit {
    /// The machine's stop is complete.
    pub(crate) fn stopped(&self) {
        self.end(Ending::Stopped);
    }

    /// Starts a task of this worker. If it panics the worker dies: its machine can no longer be trusted.
    pub(crate) fn spawn(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        let guard = DiesWithTask(Rc::clone(self));
        task::spawn_local(async move {
            let _guard = guard;
            work.await;
        });
    }

    fn end(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
        }
        self.now.notify_one();
    }

    async fn comes(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending.get() {
                return ending;
            }
            self.now.notified().await;
        }
    }
}

struct DiesWithTask(Rc<Quit>);

impl Drop for DiesWithTask {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(Ending::Died);
        }
    }
}

async fn work<M: Machine + 'static>(setup: Setup, make: &dyn Fn(Boot) -> M) -> Ending {
    let Setup { boot, sockets, inbox, addresses, ready, store, reporter, .. } = setup;
    let owner = boot.owner;
    let quit = Rc::<Quit>::default();
    let own = addresses.get(usize::from(owner.0)).map(|address| address.answers.clone());
    let (Some(answers), Ok(open)) = (own, open(sockets)) else {
        let _ = ready.send(Err("its sockets could not be used".into()));
        return Ending::Died;
    };
    let around = Surroundings {
        udp: open.udp,
        streams: Default::default(),
        accounts: Rc::default(),
        listeners: boot.listeners.iter().copied().collect(),
        stream_settings: setup.streams,
        tls: setup.tls,
        neighbours: Neighbours::new(addresses.into_iter().map(|address| address.letters)),
        letters_kept: Rc::default(),
        answers,
        directory: setup.directory,
        resolver: setup.resolver,
        store: store.map(|store| {
            let bell = Arc::clone(&inbox.bell);
            store.writer(Box::new(move |up_to| bell.written(up_to)))
        }),
        tap: setup.tap,
        alarm: Rc::default(),
        reporter,
        quit: Rc::clone(&quit),
        buffer: Rc::new(RefCell::new(vec![0; limits::STREAM_READ].into())),
    };
    let machine = make(boot);
    let core = Rc::new_cyclic(|me| RefCell::new(Core::new(me.clone(), machine, owner, around)));
    start_tasks(&core, open.tcp, inbox);
    // A machine may have something to do at once.
    let now = Instant::now();
    core.borrow_mut().input(now, Input::Timeout);
    core.borrow_mut().flush(now);
    let _ = ready.send(Ok(()));

    let ending = quit.comes().await;
    if ending == Ending::Stopped {
        linger(&core).await;
    }
    ending
}

/// A worker's sockets, known to its tokio runtime.
struct Open {
    udp: Vec<UdpPort>,
    tcp: Vec<(ListenerId, Transport, TcpListener)>,
}

fn open(sockets: Vec<(ListenerId, Transport, Bound)>) -> std::io::Result<Open> {
    let mut open = Open { udp: Vec::new(), tcp: Vec::new() };
    for (listener, transport, bound) in sockets {
        match bound {
            Bound::Datagrams(socket) => {
                open.udp.push(UdpPort::new(listener, Rc::new(udp::register(socket)?)));
            }
            Bound::Streams(socket) => open.tcp.push((listener, transport, TcpListener::from_std(socket)?)),
        }
    }
    Ok(open)
}

type Shared<M> = Rc<RefCell<Core<M>>>;

fn start_tasks<M: Machine + 'static>(
    core: &Shared<M>,
    listeners: Vec<(ListenerId, Transport, TcpListener)>,
    inbox: Inbox,
) {
    let inner = core.borrow();
    let quit = &inner.around.quit;
    for port in &inner.around.udp {
        quit.spawn(receive(Rc::clone(core), port.listener, Rc::clone(&port.socket)));
        quit.spawn(send_left_over(Rc::clone(core), Rc::clone(&port.left_over)));
    }
    for (listener, transport, socket) in listeners {
        quit.spawn(streams::accept(Rc::clone(core), listener, transport, socket));
    }
    quit.spawn(read_inbox(Rc::clone(core), inbox, Rc::clone(quit)));
    quit.spawn(keep_time(Rc::clone(core), Rc::clone(&inner.around.alarm)));
    quit.spawn(offer_letters(Rc::clone(core), Rc::clone(&inner.around.letters_kept)));
    quit.spawn(sweep(Rc::clone(core)));
}

/// Takes datagrams from one socket, batch by batch.
async fn receive<M: Machine + 'static>(core: Shared<M>, listener: ListenerId, socket: Rc<udp::Socket>) {
    let mut arrivals = Arrivals::new();
    let mut gauge = Gauge::default();
    loop {
        let received = arrivals.receive(&socket);
        let received = match gauge.is_overloaded() {
            // When nothing arrives any more, that has to be noticed, too.
            true => match tokio::time::timeout(limits::OVERLOADED, received).await {
                Ok(received) => received,
                Err(_) => {
                    arrivals.forget();
                    Ok(false)
                }
            },
            false => received.await,
        };
        let Ok(more) = received else {
            // No known error outlasts its report, but one that did must not keep the worker from all else.
            tokio::time::sleep(limits::SEND_REST).await;
            continue;
        };
        let now = Instant::now();
        {
            let mut core = core.borrow_mut();
            for (remote, octets) in arrivals.iter() {
                core.datagram(now, listener, remote, octets);
            }
            if let Some(overloaded) = gauge.read(now, socket.as_raw_fd(), more) {
                core.overloaded(now, overloaded);
            }
            core.flush(now);
        }
        if more {
            // The other sockets have their turn.
            task::yield_now().await;
        }
    }
}

/// Goes on sending on a socket whose buffer was full.
async fn send_left_over<M: Machine + 'static>(core: Shared<M>, left_over: Rc<Notify>) {
    loop {
        left_over.notified().await;
        tokio::time::sleep(limits::SEND_REST).await;
        core.borrow_mut().flush(Instant::now());
    }
}

/// Reads what neighbours, ports, the store and the outside have to say.
async fn read_inbox<M: Machine + 'static>(core: Shared<M>, inbox: Inbox, quit: Rc<Quit>) {
    let Inbox { mut letters, mut answers, bell } = inbox;
    let mut batch = Vec::with_capacity(limits::LETTERS_AT_ONCE);
    let mut answered = Vec::new();
    loop {
        tokio::select! {
            _ = letters.recv_many(&mut batch, limits::LETTERS_AT_ONCE) => {
                let now = Instant::now();
                let mut core = core.borrow_mut();
                for letter in batch.drain(..) {
                    core.letter(now, letter);
                }
                core.flush(now);
            }
            _ = answers.recv_many(&mut answered, limits::LETTERS_AT_ONCE) => {
                let now = Instant::now();
                let mut core = core.borrow_mut();
                for (id, answer) in answered.drain(..) {
                    core.input(now, Input::Answer { id, answer });
                }
                core.flush(now);
            }
            rung = bell.rings() => {
                if rung.kill {
                    return quit.end(Ending::Killed);
                }
                let now = Instant::now();
                let mut core = core.borrow_mut();
                if let Some(up_to) = rung.written {
                    core.input(now, Input::Written { up_to });
                }
                if let Some(ready) = rung.update {
                    core.update(now, &ready);
                }
                if rung.stop {
                    core.input(now, Input::Stop);
                }
                core.flush(now);
            }
        }
    }
}

/// Wakes the machine when it wants to be woken.
async fn keep_time<M: Machine + 'static>(core: Shared<M>, alarm: Rc<Alarm>) {
    loop {
        alarm.rings().await;
        let now = Instant::now();
        let still_due = {
            let mut core = core.borrow_mut();
            core.flush(now);
            // Its portions had moments of their own.
            core.next_timeout().is_some_and(|next| next <= Instant::now())
        };
        if still_due {
            // It has more to do than it does at once; the sockets have their turn.
            task::yield_now().await;
        }
    }
}

/// Offers letters again that a neighbour had no room for.
async fn offer_letters<M: Machine + 'static>(core: Shared<M>, kept: Rc<Notify>) {
    loop {
        kept.notified().await;
        tokio::time::sleep(limits::LETTERS_RETRY).await;
        core.borrow_mut().flush(Instant::now());
    }
}

async fn sweep<M: Machine + 'static>(core: Shared<M>) {
    loop {
        tokio::time::sleep(limits::SWEEP).await;
        allocator::give_back();
        core.borrow_mut().sweep(Instant::now());
    }
}

/// After the machine's stop: writes out what streams, sockets and the store still wait for, within a bound.
async fn linger<M: Machine + 'static>(core: &Shared<M>) {
    let until = Instant::now() + limits::LINGER;
    for stream in core.borrow().around.streams.values() {
        stream.disconnect();
    }
    loop {
        let now = Instant::now();
        let waits = {
            let mut core = core.borrow_mut();
            core.flush(now);
            !core.around.streams.is_empty() || core.writes_wait()
        };
        if !waits || now >= until {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
