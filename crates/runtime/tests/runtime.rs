//! The runtime at real sockets, driving a toy machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node::port::adapter::{Directory, Reply, Resolver, Store, Write, Writer, Written};
use node::port::{Known, Place, Resolve, Who};
use node::{Answer, Boot, Closed, Question, Records, WriteId};
use runtime::{Direction, Handle, Incident, Runtime, Settings, StartError, StopOutcome, StreamSettings, Tap, What};
use sip::transport::{StreamId, Transport};
use toy::{FIRST, Goal, Script, Seen, Toy, ok, options, settings};

mod toy;

const PATIENCE: Duration = Duration::from_secs(20);

fn start(settings: Settings, script: Script) -> (Handle, Receiver<Seen>) {
    let (sender, seen) = mpsc::channel();
    let make = move |boot: Boot| Toy::new(&boot, script.clone(), sender.clone());
    (Runtime::start(settings, make).unwrap(), seen)
}

fn stop(handle: Handle) {
    assert_eq!(handle.stop(PATIENCE, |_| {}), StopOutcome::Complete);
}

fn see(seen: &Receiver<Seen>, wanted: impl Fn(&Seen) -> bool) -> Seen {
    loop {
        let next = seen.recv_timeout(PATIENCE).expect("it is seen in time");
        if wanted(&next) {
            return next;
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read(stream: &mut impl Read, length: usize) -> String {
    let mut buffer = vec![0; length];
    stream.read_exact(&mut buffer).unwrap();
    String::from_utf8(buffer).unwrap()
}

#[test]
fn a_burst_of_datagrams_is_answered_one_by_one() {
    let (handle, _seen) = start(settings(Transport::Udp, 1), Script::default());
    let (socket, address) = (socket(), handle.address(FIRST).unwrap());
    for number in 0..200 {
        socket.send_to(options(number).as_bytes(), address).unwrap();
    }
    let answers: BTreeSet<String> = (0..200).map(|_| receive(&socket)).collect();
    assert_eq!(answers, (0..200).map(ok).collect());
    stop(handle);
}

#[test]
fn with_several_workers_a_message_is_answered_by_the_one_that_it_was_forwarded_to() {
    let script = Script { forward_to: Some(1), ..Script::default() };
    let (handle, seen) = start(settings(Transport::Udp, 3), script);
    assert_eq!(handle.workers(), 3);
    let address = handle.address(FIRST).unwrap();
    for number in 0..30 {
        // Each socket is another source address, so the system spreads them over the workers.
        let socket = socket();
        socket.send_to(options(number).as_bytes(), address).unwrap();
        assert_eq!(receive(&socket), ok(number));
        assert!(matches!(see(&seen, |_| true), Seen::Message { worker: 1, .. }));
    }
    stop(handle);
}

#[test]
fn an_answer_reaches_a_stream_that_another_worker_owns() {
    let script = Script { forward_to: Some(1), ..Script::default() };
    let (handle, _seen) = start(settings(Transport::Tcp, 2), script);
    for number in 0..10 {
        let mut stream = connect(handle.address(FIRST).unwrap());
        stream.write_all(options(number).as_bytes()).unwrap();
        assert_eq!(read(&mut stream, ok(number).len()), ok(number));
    }
    stop(handle);
}

#[test]
fn a_stream_is_opened_answered_and_closed() {
    let (handle, seen) = start(settings(Transport::Tcp, 1), Script::default());
    let mut stream = connect(handle.address(FIRST).unwrap());
    let Seen::Opened { id, peer_names } = see(&seen, |_| true) else { panic!("not opened") };
    assert!(peer_names.is_empty());
    for number in 0..3 {
        stream.write_all(options(number).as_bytes()).unwrap();
        assert_eq!(read(&mut stream, ok(number).len()), ok(number));
    }
    drop(stream);
    see(&seen, |seen| *seen == Seen::Closed { id, why: Closed::ByPeer });
    stop(handle);
}

#[test]
fn a_stream_that_we_disconnect_ends_in_order() {
    let (handle, seen) = start(settings(Transport::Tcp, 1), Script::default());
    let mut stream = connect(handle.address(FIRST).unwrap());
    stream.write_all(b"BYE").unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    see(&seen, |seen| matches!(seen, Seen::Closed { why: Closed::ByUs, .. }));
    stop(handle);
}

#[test]
fn octets_sent_before_a_connection_stands_arrive_once_it_does() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let goal = goal(Transport::Tcp, peer.local_addr().unwrap());
    let script = Script { connect: Some(goal), ..Script::default() };
    let (handle, seen) = start(settings(Transport::Tcp, 1), script);
    let (mut stream, _) = peer.accept().unwrap();
    assert_eq!(read(&mut stream, options(1).len()), options(1));
    see(&seen, |seen| matches!(seen, Seen::Opened { .. }));
    stop(handle);
}

#[test]
fn a_refused_connection_is_a_closed_stream() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let script = Script { connect: Some(goal(Transport::Tcp, nobody)), ..Script::default() };
    let (handle, seen) = start(settings(Transport::Udp, 1), script);
    let closed = see(&seen, |_| true);
    let Seen::Closed { why: Closed::Refused(words), id } = closed else { panic!("{closed:?}") };
    assert_eq!(id, StreamId::opened(sip::Owner(0), 1));
    assert!(words.to_lowercase().contains("refused"), "{words}");
    stop(handle);
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let octets = vec![b'x'; runtime::limits::STREAM_WAITING + 1];
    let goal = Goal { octets, ..goal(Transport::Tcp, peer.local_addr().unwrap()) };
    let script = Script { connect: Some(goal), ..Script::default() };
    let (mut handle, seen) = start(settings(Transport::Udp, 1), script);
    see(&seen, |seen| matches!(seen, Seen::Closed { why: Closed::Overflow, .. }));
    let told = handle.take_reports().unwrap().blocking_recv().unwrap();
    assert!(matches!(told.what, What::Runtime(Incident::StreamOverflow { .. })));
    stop(handle);
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    let streams = StreamSettings { at_most: 1, ..StreamSettings::default() };
    let (handle, seen) = start(Settings { streams, ..settings(Transport::Tcp, 1) }, Script::default());
    let address = handle.address(FIRST).unwrap();
    let mut first = connect(address);
    see(&seen, |seen| matches!(seen, Seen::Opened { .. }));
    let mut second = connect(address);
    assert!(matches!(second.read(&mut [0; 16]), Ok(0) | Err(_)));
    first.write_all(options(1).as_bytes()).unwrap();
    assert_eq!(read(&mut first, ok(1).len()), ok(1));
    stop(handle);
}

#[test]
fn one_address_does_not_take_all_connections() {
    let streams = StreamSettings { at_most: 4, ..StreamSettings::default() };
    let (handle, seen) = start(Settings { streams, ..settings(Transport::Tcp, 1) }, Script::default());
    let address = handle.address(FIRST).unwrap();
    let wild: Vec<TcpStream> = (0..3).map(|_| connect(address)).collect();
    for _ in &wild {
        see(&seen, |seen| matches!(seen, Seen::Opened { .. }));
    }
    let mut one_more = connect(address);
    assert!(matches!(one_more.read(&mut [0; 16]), Ok(0) | Err(_)));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut other = TcpStream::from(socket);
    other.write_all(options(1).as_bytes()).unwrap();
    assert_eq!(read(&mut other, ok(1).len()), ok(1));
    drop(wild);
    stop(handle);
}

#[test]
fn the_machine_is_woken_when_it_wants_to_be() {
    let script = Script { wake_after: Some(Duration::from_millis(20)), ..Script::default() };
    let (handle, seen) = start(settings(Transport::Udp, 1), script);
    see(&seen, |seen| matches!(seen, Seen::Timeout(_)));
    stop(handle);
}

#[test]
fn the_directory_and_the_resolver_answer() {
    struct Nobody;
    impl Directory for Nobody {
        fn who_is(&self, _: &Who) -> Known {
            Known::Nobody
        }
    }
    struct Elsewhere;
    impl Resolver for Elsewhere {
        fn resolve(&self, _: Question, reply: Reply) {
            std::thread::spawn(move || reply(Answer::Places(vec![place([192, 0, 2, 1], 5060)])));
        }
    }
    fn place(ip: [u8; 4], port: u16) -> Place {
        Place { transport: Transport::Tls, address: (ip, port).into() }
    }
    let resolve = |host: &str| {
        let (transport, ours) = (Some(Transport::Tls), vec![Transport::Tls]);
        Question::Resolve(Resolve { host: host.into(), port: None, transport, secure: false, ours })
    };
    let found = |place| Answer::Places(vec![place]);
    let cases = [
        (Question::WhoIs(Who::Number("1".into())), Answer::User(Known::Nobody)),
        (resolve("pbx.example.com"), found(place([192, 0, 2, 1], 5060))),
        (resolve("192.0.2.9"), found(place([192, 0, 2, 9], 5061))),
    ];
    for (question, answer) in cases {
        let settings = Settings {
            directory: Some(Arc::new(Nobody)),
            resolver: Some(Arc::new(Elsewhere)),
            ..settings(Transport::Udp, 1)
        };
        let (handle, seen) = start(settings, Script { ask: Some(question), ..Script::default() });
        assert_eq!(see(&seen, |_| true), Seen::Answer(answer));
        stop(handle);
    }
}

/// Takes one write at a time, so that the runtime has to offer the rest again.
#[derive(Default)]
struct Narrow(Arc<Mutex<Vec<Write>>>);

impl Store for Narrow {
    fn records(&self) -> Records {
        [(b"left", b"over")].into_iter().collect()
    }

    fn writer(&self, written: Written) -> Box<dyn Writer> {
        Box::new(NarrowWriter(Arc::clone(&self.0), written))
    }

    fn settle(&self) {}
}

struct NarrowWriter(Arc<Mutex<Vec<Write>>>, Written);

impl Writer for NarrowWriter {
    fn write(&mut self, writes: &mut Vec<Write>) -> Option<WriteId> {
        let write = writes.remove(0);
        (self.1)(write.id);
        self.0.lock().unwrap().push(write);
        None
    }
}

#[test]
fn writes_reach_the_store_in_order_and_are_acknowledged() {
    let store = Narrow::default();
    let kept = Arc::clone(&store.0);
    let write: Vec<_> = (0..5u8).map(|number| (vec![number], Some(vec![number]))).collect();
    let settings = Settings { store: Some(Arc::new(store)), ..settings(Transport::Udp, 1) };
    let (sender, seen) = mpsc::channel();
    let (booted, boots) = mpsc::channel();
    let script = Script { write, ..Script::default() };
    let handle = Runtime::start(settings, move |boot| {
        booted.send(boot.records.clone()).unwrap();
        Toy::new(&boot, script.clone(), sender.clone())
    })
    .unwrap();
    assert_eq!(boots.recv().unwrap().get(b"left"), Some(&b"over"[..]));
    see(&seen, |seen| *seen == Seen::Written(WriteId(5)));
    let keys: Vec<u8> = kept.lock().unwrap().iter().flat_map(|write| write.key.clone()).collect();
    assert_eq!(keys, [0, 1, 2, 3, 4]);
    stop(handle);
}

/// Has every write at once, and has no need to say so later.
struct Prompt;

impl Store for Prompt {
    fn records(&self) -> Records {
        Records::default()
    }

    fn writer(&self, _: Written) -> Box<dyn Writer> {
        Box::new(Self)
    }

    fn settle(&self) {}
}

impl Writer for Prompt {
    fn write(&mut self, writes: &mut Vec<Write>) -> Option<WriteId> {
        writes.drain(..).next_back().map(|write| write.id)
    }
}

#[test]
fn what_the_store_has_at_once_is_acknowledged_at_once() {
    let write = (0..5u8).map(|number| (vec![number], Some(vec![number]))).collect();
    let settings = Settings { store: Some(Arc::new(Prompt)), ..settings(Transport::Udp, 1) };
    let (handle, seen) = start(settings, Script { write, ..Script::default() });
    see(&seen, |seen| *seen == Seen::Written(WriteId(5)));
    stop(handle);
}

#[test]
fn without_a_store_writes_are_acknowledged_all_the_same() {
    let write = vec![(b"key".to_vec(), Some(b"value".to_vec())), (b"key".to_vec(), None)];
    let (handle, seen) = start(settings(Transport::Udp, 1), Script { write, ..Script::default() });
    see(&seen, |seen| *seen == Seen::Written(WriteId(2)));
    stop(handle);
}

#[test]
fn the_tap_sees_every_message_whole_and_no_keep_alive() {
    let (sender, tapped) = mpsc::channel();
    let sender = Mutex::new(sender);
    let tap = Tap::new(move |seen| {
        let text = String::from_utf8(seen.octets.to_vec()).unwrap();
        sender.lock().unwrap().send((seen.direction, seen.remote, text)).unwrap();
    });
    let (handle, _seen) = start(Settings { tap: Some(tap), ..settings(Transport::Tcp, 1) }, Script::default());
    let mut stream = connect(handle.address(FIRST).unwrap());
    let remote = stream.local_addr().unwrap();
    let message = options(1);
    let (head, tail) = message.split_at(3);
    stream.write_all(b"\r\n\r\n").unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(tail.as_bytes()).unwrap();
    assert_eq!(tapped.recv_timeout(PATIENCE).unwrap(), (Direction::Received, remote, message));
    stream.write_all(options(2).as_bytes()).unwrap();
    let sent = std::iter::from_fn(|| tapped.recv_timeout(PATIENCE).ok()).find(|seen| seen.0 == Direction::Sent);
    assert!(sent.unwrap().2.starts_with("SIP/2.0 200 OK"));
    stop(handle);
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_it_even_with_shared_sockets() {
    let (handle, _seen) = start(settings(Transport::Udp, 2), Script::default());
    let address = handle.address(FIRST).unwrap();
    let mut second = settings(Transport::Udp, 2);
    second.listeners[0].address = address;
    let (sender, _) = mpsc::channel();
    let error = Runtime::start(second, move |boot| Toy::new(&boot, Script::default(), sender.clone())).unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    stop(handle);
}

#[test]
fn a_worker_whose_machine_panics_is_reported_and_stops_being_waited_for() {
    let script = Script { fragile: true, ..Script::default() };
    let (mut handle, _seen) = start(settings(Transport::Udp, 1), script);
    socket().send_to(b"PANIC", handle.address(FIRST).unwrap()).unwrap();
    let mut reports = handle.take_reports().unwrap();
    let told = reports.blocking_recv().unwrap();
    assert!(matches!(told.what, What::Runtime(Incident::WorkerDied)));
    assert_eq!(handle.stop(PATIENCE, |_| {}), StopOutcome::Incomplete { workers: 1 });
}

#[test]
fn a_killed_runtime_gives_its_addresses_back() {
    let (handle, _seen) = start(settings(Transport::Tcp, 1), Script::default());
    let address = handle.address(FIRST).unwrap();
    handle.kill();
    drop(TcpListener::bind(address).unwrap());
}

#[test]
fn stopping_tells_how_far_it_has_come() {
    let (handle, _seen) = start(settings(Transport::Udp, 2), Script::default());
    let mut told = Vec::new();
    assert_eq!(handle.stop(PATIENCE, |progress| told.push(progress.stopped)), StopOutcome::Complete);
    assert_eq!((told.first(), told.last()), (Some(&0), Some(&2)));
}

fn goal(transport: Transport, remote: SocketAddr) -> Goal {
    let octets = options(1).into_bytes();
    Goal { transport, remote, server_name: None, identity: None, listener: FIRST, octets }
}
