//! A presence server that behaves as a test orders it: RFC 3903 by default, and every way of getting it wrong on request.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::Identity;
use crate::office::LIMIT;
use crate::running::until;

/// How long a read waits before the end is looked for.
const NAP: Duration = Duration::from_millis(20);

/// What is to be done with one PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// What RFC 3903 says.
    Right,
    /// This status with these header lines; nothing is kept.
    Status(u16, Vec<String>),
    /// It is right, and grants so many seconds.
    Grant(u32),
    /// It is right, and tells no entity-tag.
    NoTag,
    /// Nothing is done, nothing is answered, however often it comes.
    Silence,
    /// It is done, and the first answer is lost: a repetition of the same request gets it again.
    LoseAnswer,
    /// It is done, and answered after this.
    Late(Duration),
    /// What comes back is no SIP.
    Garbage,
    /// Everything that is held is forgotten first; then it is right.
    Forget,
    /// Nothing is done, and the connection is closed.
    Reset,
}

/// A PUBLISH that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// When.
    pub at: Instant,
    /// The message.
    pub text: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
}

impl Came {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.text, name)
    }

    /// The user of the Request-URI.
    #[must_use]
    pub fn user(&self) -> &str {
        self.text.split([':', '@']).nth(1).unwrap_or_default()
    }

    /// `initial`, `refresh`, `modify` or `remove`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let has_body = self.text.split_once("\r\n\r\n").is_some_and(|(_, body)| !body.is_empty());
        match (self.header("SIP-If-Match"), self.header("Expires"), has_body) {
            (None, _, true) => "initial",
            (Some(_), Some("0"), false) => "remove",
            (Some(_), _, false) => "refresh",
            (Some(_), _, true) => "modify",
            (None, _, false) => "nonsense",
        }
    }
}

#[derive(Default)]
struct State {
    came: Vec<Came>,
    orders: BTreeMap<String, VecDeque<Act>>,
    /// By entity-tag: the user, and until when.
    held: BTreeMap<String, (String, Instant)>,
    /// By branch and CSeq: what was decided, for repetitions.
    answers: BTreeMap<String, Option<String>>,
    tags: u32,
}

/// A running stand-in; it ends with the test.
pub struct StandIn {
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    sockets: Vec<thread::JoinHandle<()>>,
}

impl StandIn {
    /// Starts one at these addresses; TLS with this identity.
    #[must_use]
    pub fn start(sip: SocketAddr, tls: Option<(SocketAddr, &Identity)>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let over = Arc::new(AtomicBool::new(false));
        let mut sockets = Vec::new();
        let socket = UdpSocket::bind(sip).expect("the stand-in's UDP socket");
        socket.set_read_timeout(Some(NAP)).expect("a timeout");
        let (own, end) = (Arc::clone(&state), Arc::clone(&over));
        sockets.push(thread::spawn(move || datagrams(&socket, &own, &end)));
        sockets.push(listen(sip, None, &state, &over));
        if let Some((address, identity)) = tls {
            let configuration = Arc::new(server(identity));
            sockets.push(listen(address, Some(configuration), &state, &over));
        }
        Self { state, over, sockets }
    }

    /// What is to be done with this user's next requests, one after the other; after them all is right.
    pub fn order(&self, user: &str, acts: impl IntoIterator<Item = Act>) {
        self.state().orders.entry(user.to_owned()).or_default().extend(acts);
    }

    /// Every PUBLISH that has come, without repetitions.
    #[must_use]
    pub fn came(&self) -> Vec<Came> {
        self.state().came.clone()
    }

    /// The kinds of this user's requests so far.
    #[must_use]
    pub fn kinds(&self, user: &str) -> Vec<&'static str> {
        self.came().iter().filter(|came| came.user() == user).map(Came::kind).collect()
    }

    /// Waits for this user's requests to be of these kinds, and gives them.
    #[must_use]
    pub fn expect(&self, user: &str, kinds: &[&str]) -> Vec<Came> {
        let begin = Instant::now();
        while self.kinds(user).len() < kinds.len() && begin.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.kinds(user), kinds, "of {user}");
        self.came().into_iter().filter(|came| came.user() == user).collect()
    }

    /// Waits until nothing is held of this user.
    pub fn expect_clear(&self, user: &str) {
        until(&format!("nothing is held of {user}"), LIMIT, || (self.holds(user) == 0).then_some(()));
    }

    /// How many publications of this user live here.
    #[must_use]
    pub fn holds(&self, user: &str) -> usize {
        let now = Instant::now();
        self.state().held.values().filter(|(own, until)| own == user && *until > now).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        for socket in self.sockets.drain(..) {
            // A thread that panicked has failed its test already.
            let _ = socket.join();
        }
    }
}

/// What goes back.
enum Back {
    Nothing,
    Text(String),
    After(Duration, String),
    Octets(&'static [u8]),
    Close,
}

impl State {
    fn receive(&mut self, text: &str, transport: &'static str) -> Back {
        if !text.starts_with("PUBLISH ") {
            let is_request = !text.starts_with("SIP/2.0") && !text.starts_with("ACK ");
            return if is_request { Back::Text(response(text, 200, &[])) } else { Back::Nothing };
        }
        let name = format!("{} {}", header(text, "Via").unwrap_or_default(), header(text, "CSeq").unwrap_or_default());
        if let Some(known) = self.answers.get(&name) {
            return known.clone().map_or(Back::Nothing, Back::Text);
        }
        let came = Came { at: Instant::now(), text: text.to_owned(), transport };
        let user = came.user().to_owned();
        let act = self.orders.get_mut(&user).and_then(VecDeque::pop_front).unwrap_or(Act::Right);
        let granted = header(text, "Expires").and_then(|value| value.parse().ok()).unwrap_or(600);
        self.came.push(came);
        let (back, answer) = match act {
            Act::Status(code, lines) => both(response(text, code, &lines)),
            Act::Right => both(self.right(text, &user, granted, true)),
            Act::Grant(seconds) => both(self.right(text, &user, seconds.min(granted), true)),
            Act::NoTag => both(self.right(text, &user, granted, false)),
            Act::Silence => (Back::Nothing, None),
            Act::LoseAnswer => (Back::Nothing, Some(self.right(text, &user, granted, true))),
            Act::Late(after) => {
                let answer = self.right(text, &user, granted, true);
                (Back::After(after, answer), None)
            }
            Act::Garbage => (Back::Octets(b"\x16\x03\x01 this is \x00 no SIP\r\n\r\n"), None),
            Act::Forget => {
                self.held.clear();
                both(self.right(text, &user, granted, true))
            }
            Act::Reset => (Back::Close, None),
        };
        self.answers.insert(name, answer);
        back
    }

    /// RFC 3903 section 6.
    fn right(&mut self, text: &str, user: &str, granted: u32, tells_tag: bool) -> String {
        let now = Instant::now();
        self.held.retain(|_, (_, until)| *until > now);
        if let Some(tag) = header(text, "SIP-If-Match")
            && self.held.remove(tag).is_none()
        {
            return response(text, 412, &[]);
        }
        self.tags += 1;
        let tag = format!("stand-in-{}", self.tags);
        if granted > 0 {
            self.held.insert(tag.clone(), (user.to_owned(), now + Duration::from_secs(u64::from(granted))));
        }
        let mut lines = vec![format!("Expires: {granted}")];
        if tells_tag {
            lines.push(format!("SIP-ETag: {tag}"));
        }
        response(text, 200, &lines)
    }
}

fn both(answer: String) -> (Back, Option<String>) {
    (Back::Text(answer.clone()), Some(answer))
}

fn response(request: &str, code: u16, lines: &[String]) -> String {
    let echoed = ["Via", "From", "Call-ID", "CSeq"]
        .map(|name| format!("{name}: {}\r\n", header(request, name).unwrap_or_default()));
    let to = header(request, "To").unwrap_or_default();
    let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=stand-in") };
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {code} As Ordered\r\n{}To: {to}\r\n{lines}Content-Length: 0\r\n\r\n", echoed.concat())
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next()?;
    let mut found = head.split("\r\n").filter_map(|line| line.split_once(": "));
    found.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn datagrams(socket: &UdpSocket, state: &Mutex<State>, over: &AtomicBool) {
    let mut octets = vec![0; 65_536];
    let mut later: Vec<(Instant, SocketAddr, String)> = Vec::new();
    while !over.load(Ordering::Acquire) {
        later.retain(|(at, to, text)| {
            let due = *at <= Instant::now();
            if due {
                let _ = socket.send_to(text.as_bytes(), to);
            }
            !due
        });
        let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
        let text = String::from_utf8_lossy(octets.get(..length).unwrap_or_default()).into_owned();
        let back = state.lock().expect("nobody panics with it").receive(&text, "udp");
        match back {
            Back::Text(text) => drop(socket.send_to(text.as_bytes(), from)),
            Back::After(after, text) => later.push((Instant::now() + after, from, text)),
            Back::Octets(octets) => drop(socket.send_to(octets, from)),
            Back::Nothing | Back::Close => {}
        }
    }
}

fn listen(
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    state: &Arc<Mutex<State>>,
    over: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind(address).expect("the stand-in's TCP socket");
    listener.set_nonblocking(true).expect("a socket that does not wait");
    let (state, over) = (Arc::clone(state), Arc::clone(over));
    thread::spawn(move || {
        let mut connections = Vec::new();
        while !over.load(Ordering::Acquire) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            stream.set_nonblocking(false).expect("a socket that waits");
            stream.set_read_timeout(Some(NAP)).expect("a timeout");
            let (state, over, tls) = (Arc::clone(&state), Arc::clone(&over), tls.clone());
            connections.push(thread::spawn(move || match tls {
                None => connection(stream, "tcp", &state, &over),
                Some(configuration) => {
                    let session = ServerConnection::new(configuration).expect("a TLS session");
                    connection(StreamOwned::new(session, stream), "tls", &state, &over);
                }
            }));
        }
        for connection in connections {
            let _ = connection.join();
        }
    })
}

fn connection(mut stream: impl Read + Write, transport: &'static str, state: &Mutex<State>, over: &AtomicBool) {
    let mut gathered: Vec<u8> = Vec::new();
    let mut octets = [0; 8192];
    while !over.load(Ordering::Acquire) {
        match stream.read(&mut octets) {
            Ok(0) => return,
            Ok(length) => gathered.extend_from_slice(octets.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(_) => return,
        }
        while let Some(text) = cut(&mut gathered) {
            let back = state.lock().expect("nobody panics with it").receive(&text, transport);
            let sent = match back {
                Back::Text(text) => stream.write_all(text.as_bytes()).and_then(|()| stream.flush()),
                Back::After(after, text) => {
                    thread::sleep(after);
                    stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
                }
                Back::Octets(octets) => stream.write_all(octets).and_then(|()| stream.flush()),
                Back::Nothing => Ok(()),
                Back::Close => return,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// The first whole message, by its Content-Length.
fn cut(gathered: &mut Vec<u8>) -> Option<String> {
    while gathered.starts_with(b"\r\n") {
        gathered.drain(..2);
    }
    let end = gathered.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(gathered.get(..end)?).into_owned();
    let length: usize = header(&head, "Content-Length")?.parse().ok()?;
    (gathered.len() >= end + length)
        .then(|| String::from_utf8_lossy(&gathered.drain(..end + length).collect::<Vec<u8>>()).into_owned())
}

fn server(identity: &Identity) -> ServerConfig {
    let certificate = fs::read(&identity.certificate).expect("the certificate");
    let key = fs::read(&identity.key).expect("the key");
    let chain = CertificateDer::pem_slice_iter(&certificate).map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key")
}
