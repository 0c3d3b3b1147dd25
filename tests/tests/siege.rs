//! Siege: hostile and unfinished transactions by the hundred thousand. The node answers all along, and once the last of them
//! has run out its memory is back where it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tests::office::{DOMAIN, LIMIT, Office, host};
use tests::{Network, Offhook, STORE_IN_MEMORY, until};

/// How many transactions; `cargo xtask siege --times N` sets another number.
const TIMES: &str = "OFFHOOK_SIEGE";

/// How many are sent before the node has to answer an OPTIONS.
const AT_ONCE: u64 = 250;

/// The octets by which the memory may differ from the baseline at the end.
const SLACK: u64 = 16 << 20;

/// The octets by which a second siege may leave more than the first.
const AGAIN: u64 = 4 << 20;

/// The octets that one transaction brings into the store's memory on the average, at the most: a tenth of them have records.
const STORED: u64 = 100;

/// How long everything may take to run out: an INVITE (Timer B or H), a BYE that nobody answers after it, what both leave
/// in memory, and a connection on which nothing passes.
const RUN_OUT: Duration = Duration::from_secs(420);

/// A thread that ends with its owner.
struct Thread(Option<JoinHandle<()>>, Arc<AtomicBool>);

impl Thread {
    fn start(mut step: impl FnMut() + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                step();
            }
        });
        Self(Some(thread), over)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Release);
        let _ = self.0.take().map(JoinHandle::join);
    }
}

fn bound(at: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}

/// A callee that answers every INVITE but those for `silent`, and confirms nothing else.
fn callee(at: SocketAddr) -> Thread {
    let socket = bound(at);
    let mut octets = [0; 4096];
    Thread::start(move || {
        let Ok((length, from)) = socket.recv_from(&mut octets) else { return };
        let text = String::from_utf8_lossy(&octets[..length]);
        if !text.starts_with("INVITE ") || text.starts_with("INVITE sip:silent") {
            return;
        }
        let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
        for line in text.split("\r\n") {
            if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
                answer.push_str(line);
                answer.push_str(if line.starts_with("To:") { ";tag=callee\r\n" } else { "\r\n" });
            }
        }
        answer.push_str(&format!("Contact: <sip:{at}>\r\nContent-Length: 0\r\n\r\n"));
        let _ = socket.send_to(answer.as_bytes(), from);
    })
}

/// A caller that never reads, so that nothing it began is ever finished.
struct Besieger<'a> {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    target: SocketAddr,
    network: &'a Network,
    sent: u64,
    _drain: Thread,
}

impl<'a> Besieger<'a> {
    fn new(network: &'a Network) -> Self {
        let socket = Arc::new(bound(SocketAddr::new(network.host(host::CALLER).into(), 0)));
        let drained = Arc::clone(&socket);
        let mut octets = [0; 4096];
        // What comes is thrown away, or the system would count it as lost.
        let drain = Thread::start(move || drop(drained.recv(&mut octets)));
        let local = socket.local_addr().unwrap();
        Self { socket, local, target: network.sip(host::OFFHOOK), network, sent: 0, _drain: drain }
    }

    fn next(&mut self) {
        self.sent += 1;
        let request = |method, uri, more| self.text(method, uri, more);
        let text = match self.sent % 10 {
            0 => return self.abandon(),
            // Rings for ever; nobody cancels.
            1 => request("INVITE", "silent", ""),
            // Is answered; nobody acknowledges.
            2 => request("INVITE", "answers", ""),
            // Is refused; nobody acknowledges.
            3 => request("INVITE", "nobody", "Require: what-nobody-has\r\n"),
            4 => request("REGISTER", "john.doe", "Expires: 60\r\n"),
            5 => request("SUBSCRIBE", "john.doe", "Event: presence\r\nExpires: 600\r\n"),
            6 => request("PUBLISH", "john.doe", "Event: presence\r\nExpires: 600\r\n"),
            7 => request("CANCEL", "silent", ""),
            8 => request("BYE", "answers", ""),
            // The head of an INVITE whose end never comes.
            _ => request("INVITE", "silent", "").replace("Content-Length: 0", "Content-Length: 900"),
        };
        let _ = self.socket.send_to(text.as_bytes(), self.target);
    }

    fn text(&self, method: &str, user: &str, more: &str) -> String {
        let (local, number) = (self.local, self.sent);
        let to_tag = if method == "BYE" { ";tag=nobody" } else { "" };
        format!(
            "{method} sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKsiege{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:besieger@{DOMAIN}>;tag={number}\r\nTo: <sip:{user}@{DOMAIN}>{to_tag}\r\nCall-ID: siege-{number}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:besieger@{local}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }

    /// A connection with half a message on it; it is reset, closed, or simply left.
    fn abandon(&self) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(self.network.host(host::CALLER).into(), 0).into()).unwrap();
        if socket.connect_timeout(&self.target.into(), LIMIT).is_err() {
            return;
        }
        let mut stream: std::net::TcpStream = socket.try_clone().unwrap().into();
        let whole = self.text("OPTIONS", "john.doe", "").replace("UDP", "TCP");
        let octets = match self.sent % 3 {
            0 => whole.as_bytes(),
            1 => &whole.as_bytes()[..whole.len() / 2],
            _ => b"\x16\x03\x01 no SIP at all",
        };
        let _ = stream.write_all(octets);
        // A reset leaves no port waiting on this side.
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn answers(offhook: SocketAddr, network: &Network, number: u64) -> bool {
    let socket = UdpSocket::bind(SocketAddr::new(network.host(host::PUBLISHER).into(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let local = socket.local_addr().unwrap();
    let text = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKp{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:ping@{DOMAIN}>;tag=1\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: p{number}-{local}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    // The socket's buffer may have been full.
    (0..5).any(|_| {
        let _ = socket.send_to(text.as_bytes(), offhook);
        socket.recv(&mut [0; 4096]).is_ok()
    })
}

fn besiege(besieger: &mut Besieger<'_>, network: &Network, count: u64) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        besieger.next();
        if number % AT_ONCE == 0 {
            let asked = Instant::now();
            assert!(answers(network.sip(host::OFFHOOK), network, besieger.sent), "no answer after {number}");
            slowest = slowest.max(asked.elapsed());
        }
    }
    slowest
}

/// Waits until the memory is at most so much.
fn shrinks_to(offhook: &Offhook, most: u64, limit: Duration) -> (u64, Duration) {
    let began = Instant::now();
    loop {
        let memory = offhook.memory();
        if memory <= most || began.elapsed() > limit {
            return (memory, began.elapsed());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// One siege, after which the memory must come down to `most`; answers where it then is.
fn siege(offhook: &Offhook, besieger: &mut Besieger<'_>, network: &Network, times: u64, most: u64) -> u64 {
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    let (before, began) = (offhook.memory(), Instant::now());
    let slowest = besiege(besieger, network, times);
    println!(
        "{times} transactions in {:.1} s; the slowest answer meanwhile took {} ms",
        began.elapsed().as_secs_f64(),
        slowest.as_millis()
    );
    let peak = offhook.memory();
    let (after, waited) = shrinks_to(offhook, most, RUN_OUT);
    println!(
        "memory: {:.1} MiB before, {:.1} MiB at the end of the siege, {:.1} MiB {:.0} s later",
        mib(before),
        mib(peak),
        mib(after),
        waited.as_secs_f64()
    );
    assert!(after <= most, "the memory does not come back");
    after
}

#[test]
fn after_a_siege_the_memory_is_back_where_it_was() {
    let times: u64 = std::env::var(TIMES).ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let office = Office::new("siege");
    let _callee = callee(office.network.sip(host::CALLEE));
    let offhook = office.offhook(&office.configuration("[presence_server_here]\n"));
    let network = &office.network;
    let mut besieger = Besieger::new(network);
    // What is made once, such as buffers, belongs to the baseline.
    besiege(&mut besieger, network, 500);
    let baseline = offhook.memory();
    let first = baseline + SLACK + STORE_IN_MEMORY.min(times * STORED);
    let after = siege(&offhook, &mut besieger, network, times, first);
    // What the allocator and the store keep of the largest load ever is there now: another one leaves nothing more behind.
    let _ = siege(&offhook, &mut besieger, network, times, after + AGAIN);
    until("it still takes calls", LIMIT, || answers(network.sip(host::OFFHOOK), network, 0).then_some(()));
}
