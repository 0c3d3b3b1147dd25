//! A scripted user agent on a raw socket: it sends exactly what a test writes, and reads what comes with `wire`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sip::digest::{Challenged, Client, Credentials, Preference};
use socket2::{Domain, Socket, Type};
use wire::sip::{Framed, Framer, HeaderName, Message};

use crate::office::DOMAIN;

/// How long an answer may take on a machine that has a lot to do.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long to look for what must not come.
pub const QUIET: Duration = Duration::from_millis(400);

/// After how long a request without an answer is sent again over UDP.
const AGAIN: Duration = Duration::from_millis(1000);

/// One message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    octets: Vec<u8>,
}

/// One request as it will be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The user agent.
#[derive(Debug)]
pub struct Agent {
    line: Line,
    here: SocketAddr,
    inbox: VecDeque<Received>,
    /// What was answered, so that what comes again gets the same.
    answered: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug)]
enum Line {
    Udp { socket: UdpSocket, to: SocketAddr },
    Tcp { stream: TcpStream, framer: Framer },
}

impl Agent {
    /// One that speaks UDP with `to`.
    #[must_use]
    pub fn udp(host: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((host, 0)).expect("a UDP socket");
        let here = socket.local_addr().expect("it is bound");
        Self::on(Line::Udp { socket, to }, here)
    }

    /// One that speaks TCP with `to`, over one connection.
    #[must_use]
    pub fn tcp(host: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a TCP socket");
        socket.bind(&SocketAddr::from((host, 0)).into()).expect("an address");
        socket.connect(&to.into()).expect("somebody listens");
        socket.set_tcp_nodelay(true).expect("an option of TCP");
        let stream = TcpStream::from(socket);
        let here = stream.local_addr().expect("it is bound");
        Self::on(Line::Tcp { stream, framer: Framer::new() }, here)
    }

    fn on(line: Line, here: SocketAddr) -> Self {
        Self { line, here, inbox: VecDeque::new(), answered: BTreeMap::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn here(&self) -> SocketAddr {
        self.here
    }

    /// How Via names its transport.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self.line {
            Line::Udp { .. } => "UDP",
            Line::Tcp { .. } => "TCP",
        }
    }

    /// The URI of its Contact, for a user.
    #[must_use]
    pub fn contact(&self, user: &str) -> String {
        format!("<sip:{user}@{};transport={}>", self.here, self.transport().to_ascii_lowercase())
    }

    /// A request outside any dialog, with the headers that every request has; From is `user`, To the Request-URI.
    #[must_use]
    pub fn request(&self, method: &str, uri: &str, user: &str) -> Request {
        let name = unique();
        let via = format!("SIP/2.0/{} {};branch=z9hG4bK{name};rport", self.transport(), self.here);
        Request { method: method.to_owned(), uri: uri.to_owned(), headers: Vec::new(), body: Vec::new() }
            .header("Via", via)
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{user}@{DOMAIN}>;tag={name}"))
            .header("To", format!("<{uri}>"))
            .header("Call-ID", format!("{name}@{}", self.here.ip()))
            .header("CSeq", format!("1 {method}"))
            .header("Content-Length", "0")
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: &[u8]) {
        match &mut self.line {
            Line::Udp { socket, to } => drop(socket.send_to(octets, *to).expect("a datagram")),
            Line::Tcp { stream, .. } => stream.write_all(octets).expect("the connection stands"),
        }
    }

    /// Sends a request and gives its final response.
    pub fn ask(&mut self, request: &Request) -> Received {
        let octets = request.octets();
        let begin = Instant::now();
        self.send(&octets);
        loop {
            let answer = self.next(AGAIN, |message| request.is_answered_by(message) && message.code() >= 200);
            match answer {
                Some(answer) => return answer,
                None => assert!(begin.elapsed() < PATIENCE, "no answer to:\n{}", String::from_utf8_lossy(&octets)),
            }
            if matches!(self.line, Line::Udp { .. }) {
                self.send(&octets);
            }
        }
    }

    /// Sends a request that is challenged, proves with digest who asks, and gives the answer to that.
    pub fn prove(&mut self, request: &Request, user: &str, password: &str) -> Received {
        let challenge = self.ask(request);
        assert_eq!(challenge.code(), 401, "{challenge}");
        let credentials = Credentials { username: user.to_owned(), password: password.to_owned() };
        let mut client = Client::new(credentials, Preference::Topmost);
        assert_eq!(client.challenged(&challenge.message()), Challenged::Retry, "{challenge}");
        let name = unique();
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(place, octet)| *place = octet);
        let mut random = sip::Random::from_seed(seed);
        let via = request.value("Via").unwrap_or_default();
        let (before, _) = via.split_once(";branch=").unwrap_or((via, ""));
        let again = request
            .clone()
            .header("Via", format!("{before};branch=z9hG4bK{name};rport"))
            .header("CSeq", format!("2 {}", request.method));
        let proofs = client.authorize(&mut random, &request.method, &request.uri);
        let again = proofs.into_iter().fold(again, |again, (header, value)| again.header(header.as_str(), value));
        self.ask(&again)
    }

    /// The first message, of those that came and those that come within this time, that fits; the others stay.
    pub fn next(&mut self, within: Duration, fits: impl Fn(&Received) -> bool) -> Option<Received> {
        let begin = Instant::now();
        loop {
            if let Some(place) = self.inbox.iter().position(&fits) {
                return self.inbox.remove(place);
            }
            let left = within.checked_sub(begin.elapsed()).filter(|left| !left.is_zero())?;
            self.receive(left);
        }
    }

    /// Answers a request; when it comes again, it is answered again.
    pub fn answer(&mut self, request: &Received, code: u16, more: &[(&str, &str)]) {
        self.answer_with(request, code, more, "");
    }

    /// As [`Agent::answer`], with a body.
    pub fn answer_with(&mut self, request: &Received, code: u16, more: &[(&str, &str)], body: &str) {
        let mut text = format!("SIP/2.0 {code} As Scripted\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                // A response that makes a dialog has a tag (RFC 3261 section 8.2.6.2).
                let tag = if name == "To" && code > 100 && request.to_tag().is_none() {
                    format!(";tag=a{}", self.here.port())
                } else {
                    String::new()
                };
                let _ = write!(text, "{name}: {value}{tag}\r\n");
            }
        }
        for (name, value) in more {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        self.send(text.as_bytes());
        self.answered.insert(name_of(request), text.into_bytes());
    }

    /// The next request of this method; the test fails if none comes.
    pub fn expect(&mut self, method: &str) -> Received {
        self.next(PATIENCE, |message| message.is(method)).unwrap_or_else(|| panic!("no {method} to {}", self.here))
    }

    /// Reads once; what is whole is put in the inbox, what was answered before is answered again.
    fn receive(&mut self, within: Duration) {
        let within = within.max(Duration::from_millis(1));
        let mut octets = vec![0; 65_536];
        let mut whole = Vec::new();
        let read = match &mut self.line {
            Line::Udp { socket, .. } => {
                socket.set_read_timeout(Some(within)).expect("a timeout");
                socket.recv(&mut octets).map(|length| whole.push(octets[..length].to_vec()))
            }
            Line::Tcp { stream, framer } => {
                stream.set_read_timeout(Some(within)).expect("a timeout");
                stream.read(&mut octets).map(|length| {
                    assert!(length > 0, "the server has closed the connection");
                    framer.push(&octets[..length]);
                    while let Some(framed) = framer.cut().expect("messages, one after the other") {
                        match framed {
                            Framed::Message(message) => whole.push(message),
                            Framed::Ping | Framed::Pong => {}
                        }
                    }
                })
            }
        };
        match read {
            Ok(()) => {}
            Err(error) if quiet(&error) => return,
            Err(error) => panic!("cannot read: {error}"),
        }
        for octets in whole {
            let message = Received { octets };
            match self.answered.get(&name_of(&message)).filter(|_| message.code() == 0).cloned() {
                Some(answer) => self.send(&answer),
                None => self.inbox.push_back(message),
            }
        }
    }
}

fn quiet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What names a request's transaction for our purposes.
fn name_of(message: &Received) -> String {
    ["Via", "Call-ID", "CSeq"].map(|name| message.header(name).unwrap_or_default()).join(" ")
}

/// A name that no other request of this process has.
#[must_use]
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("c{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Request {
    /// With this header: in the place of the one of this name, or added.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.headers.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some((_, own)) => *own = value,
            None => self.headers.push((name.to_owned(), value)),
        }
        self
    }

    /// To this Request-URI.
    #[must_use]
    pub fn to_target(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.uri);
        self
    }

    /// With one more header of this name.
    #[must_use]
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Without any header of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// With this body; Content-Length says how long it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// The value of a header.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// As it is sent.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        [text.into_bytes(), self.body.clone()].concat()
    }

    /// Whether a message is a response to this request.
    #[must_use]
    pub fn is_answered_by(&self, message: &Received) -> bool {
        let call_id = self.value("Call-ID").or_else(|| self.value("i"));
        let of_call = call_id.is_some_and(|own| message.header("Call-ID").as_deref() == Some(own));
        message.code() > 0 && of_call && message.header("CSeq").as_deref() == self.value("CSeq")
    }
}

impl Received {
    /// The status code of a response; 0 for a request.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.message().status().map_or(0, |status| status.code)
    }

    /// Whether it is a request of this method.
    #[must_use]
    pub fn is(&self, method: &str) -> bool {
        self.message().request().is_some_and(|line| line.token == method.as_bytes())
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> String {
        self.message().request().map(|line| String::from_utf8_lossy(line.uri).into_owned()).unwrap_or_default()
    }

    /// The first header of this name, in its long or its compact form.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// Every header of this name.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        let wanted = HeaderName::from_bytes(name.as_bytes());
        let message = self.message();
        let same = |header: &wire::sip::Header<'_>| match wanted {
            HeaderName::Other => header.raw_name.eq_ignore_ascii_case(name.as_bytes()),
            known => header.name == known,
        };
        let values =
            message.headers().filter(same).map(|header| String::from_utf8_lossy(header.value).trim().to_owned());
        values.collect()
    }

    /// The tag of To.
    #[must_use]
    pub fn to_tag(&self) -> Option<String> {
        self.message().to_tag().map(str::to_owned)
    }

    /// The tag of From.
    #[must_use]
    pub fn from_tag(&self) -> Option<String> {
        self.message().from_tag().map(str::to_owned)
    }

    /// The number of CSeq.
    #[must_use]
    pub fn cseq(&self) -> u32 {
        self.message().cseq().unwrap_or_else(|fault| panic!("{fault:?}\n{self}")).number
    }

    /// The body as text.
    #[must_use]
    pub fn body(&self) -> String {
        String::from_utf8_lossy(self.message().body()).into_owned()
    }

    /// The message, parsed.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.octets).unwrap_or_else(|why| panic!("no message ({why:?}):\n{self}"))
    }
}

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.octets))
    }
}
