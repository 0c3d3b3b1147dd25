//! RFC 4475 and RFC 5118 at a running Offhook, for which the sender is a known peer and whose domain routes: each message gets
//! what it deserves over UDP, TCP and TLS, the node lives on, and its memory stays flat.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tests::office::{Office, host};
use tests::{Offhook, material};

/// How long an answer may take. Silence is waited for a fifth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a message gets: one of these, where 0 is silence. Over streams the few that say so get something else.
const FATES: [(&str, &[u16]); 61] = [
    // INVITEs go to a callee that is busy; what has a tag in To and no dialog is 481.
    ("rfc4475/wsinv", &[481]),
    ("rfc4475/intmeth", &[501]),
    ("rfc4475/esc01", &[486]),
    ("rfc4475/escnull", &[401]),
    ("rfc4475/esc02", &[501]),
    ("rfc4475/lwsdisp", &[200]),
    ("rfc4475/longreq", &[486]),
    ("rfc4475/dblreq", &[401]),
    ("rfc4475/semiuri", &[200]),
    ("rfc4475/transports", &[200]),
    ("rfc4475/mpart01", &[405]),
    ("rfc4475/unreason", &[0]),
    ("rfc4475/noreason", &[0]),
    ("rfc4475/badinv01", &[400]),
    // Over a stream the rest may still come.
    ("rfc4475/clerr", &[400, 0]),
    ("rfc4475/ncl", &[400]),
    ("rfc4475/scalar02", &[400]),
    ("rfc4475/scalarlg", &[0]),
    ("rfc4475/quotbal", &[400]),
    ("rfc4475/ltgtruri", &[400]),
    ("rfc4475/lwsruri", &[400]),
    ("rfc4475/lwsstart", &[400]),
    ("rfc4475/trws", &[400]),
    ("rfc4475/escruri", &[486]),
    ("rfc4475/baddate", &[486]),
    ("rfc4475/regbadct", &[400]),
    ("rfc4475/badaspec", &[200]),
    ("rfc4475/baddn", &[400]),
    ("rfc4475/badvers", &[505]),
    ("rfc4475/mismatch01", &[400]),
    ("rfc4475/mismatch02", &[400]),
    ("rfc4475/bigcode", &[0]),
    ("rfc4475/badbranch", &[200]),
    ("rfc4475/insuf", &[400]),
    ("rfc4475/unkscm", &[416]),
    ("rfc4475/novelsc", &[416]),
    ("rfc4475/unksm2", &[401]),
    ("rfc4475/bext01", &[420]),
    ("rfc4475/invut", &[415]),
    ("rfc4475/regaut01", &[401]),
    ("rfc4475/multi01", &[400]),
    ("rfc4475/mcl01", &[400]),
    ("rfc4475/bcast", &[0]),
    ("rfc4475/zeromf", &[200]),
    ("rfc4475/cparam01", &[401]),
    ("rfc4475/cparam02", &[401]),
    ("rfc4475/regescrt", &[401]),
    ("rfc4475/sdp01", &[406]),
    ("rfc4475/inv2543", &[486]),
    ("rfc5118/ipv6-good", &[401]),
    ("rfc5118/ipv6-bad", &[400]),
    ("rfc5118/port-ambiguous", &[401]),
    ("rfc5118/port-unambiguous", &[401]),
    ("rfc5118/via-received-param-with-delim", &[481]),
    ("rfc5118/via-received-param-no-delim", &[200]),
    ("rfc5118-fixed/ipv6-in-sdp", &[486]),
    ("rfc5118/mult-ip-in-header", &[481]),
    ("rfc5118-fixed/mult-ip-in-sdp", &[486]),
    ("rfc5118-fixed/ipv4-mapped-ipv6", &[486]),
    ("rfc5118/ipv6-bug-abnf-3-colons", &[200]),
    ("rfc5118/ipv6-correct-abnf-2-colons", &[200]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
    Tls,
}

/// A callee that refuses every call, until it is dropped.
struct Busy(Option<thread::JoinHandle<()>>, Arc<AtomicBool>);

impl Busy {
    fn at(at: SocketAddr) -> Self {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut octets = [0; 65_536];
            while !end.load(Ordering::Acquire) {
                let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
                let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                if text.starts_with("INVITE ") {
                    let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
                    let head = text.split("\r\n\r\n").next().unwrap();
                    let lines = head.split("\r\n").filter(|line| wanted.iter().any(|name| line.starts_with(name)));
                    let lines: String = lines
                        .map(|line| {
                            if line.starts_with("To:") { format!("{line};tag=busy\r\n") } else { format!("{line}\r\n") }
                        })
                        .collect();
                    let answer = format!("SIP/2.0 486 Busy Here\r\n{lines}Content-Length: 0\r\n\r\n");
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        Self(Some(thread), over)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Release);
        let _ = self.0.take().map(thread::JoinHandle::join);
    }
}

struct Field {
    offhook: Offhook,
    _busy: Busy,
    ca: Vec<u8>,
    office: Office,
}

impl Field {
    fn new(test: &str) -> Self {
        let office = Office::new(test);
        let busy = Busy::at(office.network.sip(host::CALLEE));
        // The tests speak from any address of loopback, and the office's own domain is example.com here.
        let configuration = office.configuration("").replace("client_certificates = \"required\"\n", "");
        let configuration = configuration
            .replace("domain = \"sfb.example\"", "domain = \"example.com\"")
            .replace("name      = \"caller\"\n", "name      = \"caller\"\n# who sends the torture\n")
            .replace("[[route]]\nfrom = \"caller\"\n", "[[route]]\n");
        let ca = fs::read(&office.authority.certificate).unwrap();
        let offhook = office.offhook(&configuration);
        Self { offhook, _busy: busy, ca, office }
    }

    /// Sends one message and gives the status of the first final answer; 0 for silence.
    fn send(&self, name: &str, round: u32, over: Over) -> u16 {
        let octets = fs::read(material(&format!("torture/{name}.dat"))).unwrap();
        let from = SocketAddr::new(self.office.network.host(host::CALLER).into(), 0);
        let is_silent = FATES.iter().any(|(own, fate)| *own == name && fate.contains(&0));
        let patience = if is_silent { PATIENCE / 5 } else { PATIENCE };
        match over {
            Over::Udp => {
                let socket = UdpSocket::bind(from).unwrap();
                socket.connect(self.office.network.sip(host::OFFHOOK)).unwrap();
                socket.set_read_timeout(Some(patience)).unwrap();
                let octets = readdressed(&octets, "UDP", socket.local_addr().unwrap(), round);
                socket.send(&octets).unwrap();
                final_status(|buffer| socket.recv(buffer).ok())
            }
            Over::Tcp => {
                let mut stream = connect(from, self.office.network.sip(host::OFFHOOK), patience);
                let octets = readdressed(&octets, "TCP", stream.local_addr().unwrap(), round);
                stream.write_all(&octets).unwrap();
                final_status(|buffer| stream.read(buffer).ok().filter(|length| *length > 0))
            }
            Over::Tls => {
                let stream = connect(from, self.office.network.sips(host::OFFHOOK), patience);
                let octets = readdressed(&octets, "TLS", stream.local_addr().unwrap(), round);
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(&self.ca).unwrap()).unwrap();
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let client = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name = "sbc.sfb.example".try_into().unwrap();
                let session = ClientConnection::new(Arc::new(client), name).unwrap();
                let mut stream = StreamOwned::new(session, stream);
                stream.write_all(&octets).unwrap();
                stream.flush().unwrap();
                final_status(|buffer| stream.read(buffer).ok().filter(|length| *length > 0))
            }
        }
    }

    fn lives(&self) -> bool {
        let socket = UdpSocket::bind(SocketAddr::new(self.office.network.host(host::CALLER).into(), 0)).unwrap();
        socket.connect(self.office.network.sip(host::OFFHOOK)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let local = socket.local_addr().unwrap();
        let nonce = Instant::now();
        let text = format!(
            "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{}\r\nMax-Forwards: 5\r\n\
             From: <sip:ping@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: {nonce:?}{local}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            local.port()
        );
        socket.send(text.as_bytes()).unwrap();
        socket.recv(&mut [0; 2048]).is_ok()
    }
}

fn connect(from: SocketAddr, to: SocketAddr, patience: Duration) -> TcpStream {
    // The peer is known by its address, so that has to be bound before the connection is made.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream
}

/// The message with our own address in the topmost Via, so that its answer comes back, and names of its own for each round.
fn readdressed(octets: &[u8], transport: &str, local: SocketAddr, round: u32) -> Vec<u8> {
    let text: String = octets.iter().map(|octet| char::from(*octet)).collect();
    let via = regex::Regex::new(r"(?is)((?:^|\r\n)(?:via|v)\s*:\s*SIP\s*/\s*2\.0\s*/\s*)\w+(\s+)[^;\s,]+").unwrap();
    let text =
        via.replace(&text, |found: &regex::Captures<'_>| format!("{}{transport}{}{local}", &found[1], &found[2]));
    let call_id = regex::Regex::new(r"(?i)(\r\n(?:call-id|i)\s*:\s*)").unwrap();
    let text = call_id.replace(&text, |found: &regex::Captures<'_>| format!("{}r{round}{transport}", &found[1]));
    // Each round is a request of its own; the bare cookie of `badbranch` stays what it is.
    let branch = regex::Regex::new(r"(?i)(;\s*branch\s*=\s*z9hG4bK)([\w.-]+)").unwrap();
    let text = branch.replace(&text, |found: &regex::Captures<'_>| format!("{}r{round}{}", &found[1], &found[2]));
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

fn final_status(mut read: impl FnMut(&mut [u8]) -> Option<usize>) -> u16 {
    let mut buffer = vec![0; 65_536];
    let mut gathered = String::new();
    while let Some(length) = read(&mut buffer) {
        gathered.push_str(&String::from_utf8_lossy(&buffer[..length]));
        let statuses = gathered.split("SIP/2.0 ").skip(1).filter_map(|rest| rest.get(..3)?.parse::<u16>().ok());
        if let Some(code) = statuses.filter(|code| *code >= 200).last() {
            return code;
        }
    }
    0
}

fn every_message_meets_its_fate(test: &str, over: Over) {
    let field = Field::new(test);
    let mut wrong = Vec::new();
    for (name, fate) in FATES {
        let got = field.send(name, 0, over);
        // Over a stream the second message of that file is answered, too.
        let is_second = name == "rfc4475/dblreq" && over != Over::Udp && got == 400;
        if !fate.contains(&got) && !is_second {
            wrong.push(format!("{name}: {got}, not {fate:?}"));
        }
        assert!(field.lives(), "dead after {name}:\n{}", field.offhook.log());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn over_udp_every_message_meets_its_fate() {
    every_message_meets_its_fate("torture-udp", Over::Udp);
}

#[test]
fn over_tcp_every_message_meets_its_fate() {
    every_message_meets_its_fate("torture-tcp", Over::Tcp);
}

#[test]
fn over_tls_every_message_meets_its_fate() {
    every_message_meets_its_fate("torture-tls", Over::Tls);
}

#[test]
fn all_of_it_a_hundred_times_leaves_the_memory_where_it_was() {
    let field = Field::new("torture-memory");
    let socket = UdpSocket::bind(SocketAddr::new(field.office.network.host(host::CALLER).into(), 0)).unwrap();
    socket.connect(field.office.network.sip(host::OFFHOOK)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let local = socket.local_addr().unwrap();
    let mut round = 0;
    let mut rounds = |count: u32| {
        for _ in 0..count {
            round += 1;
            for (name, _) in FATES {
                let octets = fs::read(material(&format!("torture/{name}.dat"))).unwrap();
                let _ = socket.send(&readdressed(&octets, "UDP", local, round));
                while socket.recv(&mut [0; 65_536]).is_ok() {}
            }
        }
    };
    // Until what the first rounds left (Timer H, J and L) runs out while the next ones come.
    rounds(80);
    let before = field.offhook.memory();
    rounds(100);
    let after = field.offhook.memory();
    assert!(after < before + 4 * 1024 * 1024, "{before} octets, then {after}");
    assert!(field.lives());
}
