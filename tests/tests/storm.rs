//! A storm on one presentity, with a thousand watchers, leaves the watchers of others alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tests::office::{DOMAIN, Office, host};

/// Watchers of the presentity that the storm is about.
const WATCHERS: usize = 1_000;
/// How often the latency of the other presentity is taken.
const TIMES: usize = 40;
/// How long a lamp that has nothing to do with the storm may take, in the middle of all times.
const MEDIAN: Duration = Duration::from_millis(50);
/// The user whose lamp is looked at.
const QUIET: &str = "quiet";
/// The user that the storm is about.
const STORMY: &str = "stormy";

/// A peer's socket: trusted by its address.
struct Peer {
    socket: UdpSocket,
    here: SocketAddr,
    calls: u64,
}

impl Peer {
    fn new(office: &Office) -> Self {
        let socket = UdpSocket::bind((office.network.host(host::PUBLISHER), 0)).expect("a socket");
        socket.connect(office.network.sip(host::OFFHOOK)).expect("a way there");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let here = socket.local_addr().expect("an address");
        Self { socket, here, calls: 0 }
    }

    fn send(&mut self, method: &str, user: &str, more: &str, body: &str) {
        self.calls += 1;
        let (here, call) = (self.here, self.calls);
        let text = format!(
            "{method} sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{call}-{}\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@{DOMAIN}>;tag=f{call}\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {call}@{here}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:{user}@{here}>\r\nEvent: presence\r\nExpires: 600\r\n{more}Content-Length: {}\r\n\r\n{body}",
            here.port(),
            body.len()
        );
        self.socket.send(text.as_bytes()).expect("it is sent");
    }

    /// Waits for the answer to the last request, and gives its entity-tag.
    fn answered(&self) -> String {
        let mut octets = [0; 4096];
        loop {
            let length = self.socket.recv(&mut octets).expect("an answer");
            let text = String::from_utf8_lossy(&octets[..length]);
            if text.starts_with("SIP/2.0 200") {
                let tag = text.lines().find_map(|line| line.strip_prefix("SIP-ETag: "));
                return tag.unwrap_or_default().to_owned();
            }
            assert!(!text.starts_with("SIP/2.0 5"), "{text}");
        }
    }

    /// Publishes something new, as a modification of what this tag names.
    fn publish(&mut self, user: &str, tag: &str, note: u64) -> String {
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@{DOMAIN}\"><tuple id=\"t\"><status>\
             <basic>open</basic></status><note>{note}</note></tuple></presence>"
        );
        let condition = if tag.is_empty() { String::new() } else { format!("SIP-If-Match: {tag}\r\n") };
        self.send("PUBLISH", user, &format!("{condition}Content-Type: application/pidf+xml\r\n"), &body);
        self.answered()
    }
}

/// Answers every NOTIFY, and tells when one about the quiet user came.
fn answer_notifies(peer: &Peer, told: &Sender<(Instant, String)>, count: &AtomicU64, over: &AtomicBool) {
    let mut octets = [0; 65_536];
    while !over.load(Ordering::Relaxed) {
        let Ok(length) = peer.socket.recv(&mut octets) else { continue };
        let at = Instant::now();
        let text = String::from_utf8_lossy(&octets[..length]);
        if !text.starts_with("NOTIFY") {
            continue;
        }
        count.fetch_add(1, Ordering::Relaxed);
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let lines: String = text
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| copied.iter().any(|name| line.starts_with(name)))
            .flat_map(|line| [line, "\r\n"])
            .collect();
        let _ = peer.socket.send(format!("SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n").as_bytes());
        if text.contains(&format!("From: <sip:{QUIET}@")) {
            let _ = told.send((at, text.into_owned()));
        }
    }
}

/// The times from a PUBLISH about the quiet user to its NOTIFY, in order.
fn latencies(peer: &mut Peer, tag: &mut String, told: &Receiver<(Instant, String)>, first: u64) -> Vec<Duration> {
    let mut all = Vec::new();
    for number in first..first + TIMES as u64 {
        let start = Instant::now();
        *tag = peer.publish(QUIET, tag, number);
        let note = format!("<note>{number}</note>");
        let at = loop {
            let (at, text) = told.recv_timeout(Duration::from_secs(10)).expect("a NOTIFY");
            if text.contains(&note) {
                break at;
            }
        };
        all.push(at.saturating_duration_since(start));
        thread::sleep(Duration::from_millis(20));
    }
    all.sort();
    all
}

#[test]
fn a_storm_on_one_presentity_leaves_the_watchers_of_others_alone() {
    let office = Office::new("storm");
    let publisher = office.network.host(host::PUBLISHER);
    let peer = format!("[[peer]]\nname = \"presence\"\naddresses = [\"sip:{publisher}\"]\npublisher = true\n");
    let mut offhook = office.offhook(&office.configuration(&peer));
    let (count, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut watcher = Peer::new(&office);
    let (told, heard) = channel();
    for user in std::iter::repeat_n(STORMY, WATCHERS).chain([QUIET]) {
        watcher.send("SUBSCRIBE", user, "", "");
        thread::sleep(Duration::from_micros(500));
    }
    let answering = {
        let (count, over) = (Arc::clone(&count), Arc::clone(&over));
        thread::spawn(move || answer_notifies(&watcher, &told, &count, &over))
    };
    let enough = Instant::now() + Duration::from_secs(20);
    while count.load(Ordering::Relaxed) <= WATCHERS as u64 {
        assert!(Instant::now() < enough, "{} of the first NOTIFYs came", count.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(10));
    }
    let (mut quiet, mut tag) = (Peer::new(&office), String::new());
    let calm = latencies(&mut quiet, &mut tag, &heard, 1_000);
    let before = count.load(Ordering::Relaxed);
    let storm = {
        let (mut stormy, over) = (Peer::new(&office), Arc::clone(&over));
        thread::spawn(move || {
            let (mut tag, mut number) = (String::new(), 0);
            while !over.load(Ordering::Relaxed) {
                tag = stormy.publish(STORMY, &tag, number);
                number += 1;
            }
            number
        })
    };
    thread::sleep(Duration::from_millis(200));
    let stormy = latencies(&mut quiet, &mut tag, &heard, 2_000);
    over.store(true, Ordering::Relaxed);
    let published = storm.join().expect("the storm ends");
    answering.join().expect("the watchers end");
    let notified = count.load(Ordering::Relaxed) - before;
    let figures = |all: &[Duration]| format!("median {:?}, 95 % within {:?}", all[TIMES / 2], all[TIMES * 95 / 100]);
    println!("calm: {}", figures(&calm));
    println!("storm of {published} PUBLISHes and {notified} NOTIFYs: {}", figures(&stormy));
    assert!(published > 100 && notified > WATCHERS as u64, "it was a storm");
    assert!(stormy[TIMES / 2] <= MEDIAN, "{}", figures(&stormy));
    offhook.assert_alive();
}
