//! SIPp: the phones, watchers and publishers of the tests, and what its message log says about time.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Folder, Running, SIP, Seen, material};

/// The transport that a SIPp takes; Debian's has no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One UDP socket.
    Udp,
    /// One TCP connection.
    Tcp,
}

impl Transport {
    /// Its word in URIs and configurations.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A running SIPp with one scenario.
#[derive(Debug)]
pub struct Sipp {
    scenario: String,
    running: Running,
    messages: PathBuf,
    errors: PathBuf,
}

/// One message of a SIPp's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When: local wall time, for differences.
    pub at: Duration,
    /// Whether SIPp received it, or sent it.
    pub received: bool,
    /// The message.
    pub text: String,
}

impl Sipp {
    /// Starts a scenario of `tests/material/sipp` at an address, towards an address. `keys` fill in what the scenario
    /// leaves open; `more` goes to the command line as it is.
    #[must_use]
    pub fn start(
        folder: &Folder,
        scenario: &str,
        transport: Transport,
        at: SocketAddr,
        to: SocketAddr,
        keys: &[(&str, &str)],
        more: &[&str],
    ) -> Self {
        let name = if at.port() == SIP { format!("{scenario}-{}", at.ip()) } else { format!("{scenario}-{at}") };
        let home = folder.join(&name);
        fs::create_dir_all(&home).expect("a folder for SIPp");
        let (messages, errors) = (home.join("messages.log"), home.join("errors.log"));
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        let ip = at.ip().to_string();
        let port = at.port().to_string();
        let file = material(&format!("sipp/{scenario}.xml"));
        let file = file.to_string_lossy();
        let mut arguments: Vec<String> = ["-sf", &file, "-t", mode, "-i", &ip, "-p", &port].map(str::to_owned).into();
        arguments.extend(["-mi", &ip, "-ci", &ip, "-m", "1", "-nostdin", "-nd"].map(str::to_owned));
        arguments.extend(["-trace_msg", "-message_file"].map(str::to_owned));
        arguments.push(messages.to_string_lossy().into_owned());
        arguments.extend(["-trace_err", "-error_file"].map(str::to_owned));
        arguments.push(errors.to_string_lossy().into_owned());
        for (key, value) in keys {
            arguments.extend(["-key", key, value].map(str::to_owned));
        }
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        arguments.push(to.to_string());
        let output = home.join("output.log");
        let running = Running::start(&name, Path::new("/usr/bin/sipp"), &arguments, &home, output);
        Self { scenario: name, running, messages, errors }
    }

    /// Everything that it has sent and received so far.
    #[must_use]
    pub fn messages(&self) -> Vec<Logged> {
        let log = fs::read(&self.messages).unwrap_or_default();
        parse_log(&String::from_utf8_lossy(&log))
    }

    /// The first message that fits.
    #[must_use]
    pub fn message(&self, fits: impl Fn(&Logged) -> bool) -> Option<Logged> {
        self.messages().into_iter().find(fits)
    }

    /// Every NOTIFY that it has received so far.
    pub fn notifies(&self) -> impl Iterator<Item = Logged> + use<> {
        self.messages().into_iter().filter(|message| message.received && message.is("NOTIFY"))
    }

    /// What a watcher has been told so far: when, and what the document shows.
    #[must_use]
    pub fn notified(&self) -> Vec<(Duration, Seen)> {
        self.notifies().map(|message| (message.at, Seen::read(message.body()))).collect()
    }

    /// Waits for its end, which must be a good one.
    pub fn succeed(&mut self, deadline: Duration) {
        let status = self.running.end(deadline);
        if !status.success() {
            let errors = fs::read_to_string(&self.errors).unwrap_or_default();
            let told = fs::read_to_string(&self.messages).unwrap_or_default();
            panic!("{} ended with {status}\n{errors}\n{}\n{told}", self.scenario, self.running.output());
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.running.kill();
    }
}

impl Logged {
    /// Whether it is a request of this method.
    #[must_use]
    pub fn is(&self, method: &str) -> bool {
        self.text.strip_prefix(method).is_some_and(|rest| rest.starts_with(" sip:"))
    }

    /// Whether it answers this method with this status.
    #[must_use]
    pub fn answers(&self, method: &str, code: u16) -> bool {
        self.text.starts_with(&format!("SIP/2.0 {code} "))
            && self.header("CSeq").is_some_and(|cseq| cseq.split_whitespace().nth(1) == Some(method))
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Every header of this name.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.text.lines().take_while(|line| !line.trim().is_empty()).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What follows the empty line.
    #[must_use]
    pub fn body(&self) -> &str {
        self.body_starts().map_or("", |at| self.text[at..].trim())
    }

    fn body_starts(&self) -> Option<usize> {
        let empty_line = |line: &str| self.text.find(line).map(|at| at + line.len());
        empty_line("\r\n\r\n").or_else(|| empty_line("\n\n"))
    }

    /// Where the message ends by its Content-Length, if all of it is there. Without one it is all there is.
    fn end(&self) -> Option<usize> {
        let starts = self.body_starts()?;
        let Some(length) = self.header("Content-Length").or_else(|| self.header("l")) else {
            return Some(self.text.len());
        };
        let end = starts + length.parse::<usize>().ok()?;
        self.text.is_char_boundary(end).then_some(end)
    }
}

/// Asks with an OPTIONS whether somebody is there; any answer to it will do, but none to an earlier one.
pub(crate) fn answers_options(socket: &UdpSocket, target: SocketAddr) -> bool {
    let here = socket.local_addr().expect("it is bound");
    let branch = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
    let request = format!(
        "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@{here}>;tag={branch}\r\nTo: <sip:{target}>\r\nCall-ID: {branch}@{here}\r\n\
         CSeq: 1 OPTIONS\r\nContact: <sip:probe@{here}>\r\nContent-Length: 0\r\n\r\n"
    );
    let mut answer = [0; 2048];
    let branch = branch.to_string();
    let answers = |answer: &[u8]| answer.windows(branch.len()).any(|octets| octets == branch.as_bytes());
    if socket.send_to(request.as_bytes(), target).is_err() {
        return false;
    }
    while let Ok(length) = socket.recv(&mut answer) {
        if answers(&answer[..length]) {
            return true;
        }
    }
    false
}

/// SIPp writes a line of dashes with the time, a line that says the direction, an empty line, and the message. The last of
/// them counts when all of it is there: SIPp may be in the middle of writing it.
fn parse_log(log: &str) -> Vec<Logged> {
    let dashes = "-".repeat(40);
    let mut blocks = log.split(&dashes).skip(1).peekable();
    let mut found = Vec::new();
    while let Some(block) = blocks.next() {
        let block = block.trim_start_matches('-').trim_start();
        let Some((time, rest)) = block.split_once('\n') else { continue };
        let Some((head, text)) = rest.split_once("\n\n") else { continue };
        let (Some(at), Some(direction)) = (timestamp(time), direction(head)) else { continue };
        let logged = Logged { at, received: direction, text: text.trim_start().to_owned() };
        match logged.end() {
            Some(end) => found.push(Logged { text: logged.text[..end].to_owned(), ..logged }),
            None if blocks.peek().is_some() => found.push(logged),
            None => {}
        }
    }
    found
}

fn direction(head: &str) -> Option<bool> {
    match head {
        _ if head.contains("message received") => Some(true),
        _ if head.contains("message sent") => Some(false),
        _ => None,
    }
}

/// `2026-11-23 17:20:00.123456` as the time since some beginning.
fn timestamp(text: &str) -> Option<Duration> {
    let (date, time) = text.trim().split_once([' ', '\t'])?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.split([':', '.']);
    let mut number = || time.next().and_then(|digits| digits.trim().parse::<u64>().ok());
    let (hour, minute, second, micros) = (number()?, number()?, number()?, number()?);
    // The days of the civil calendar: years begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second) + Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_over_midnight_and_a_new_year() {
        let before = timestamp("2027-12-31 23:59:59.900000").unwrap();
        let after = timestamp("2028-01-01\t00:00:00.100000").unwrap();
        assert_eq!(after - before, Duration::from_millis(200));
        let before = timestamp("2028-02-28 00:00:00.000000").unwrap();
        let after = timestamp("2028-03-01 00:00:00.000000").unwrap();
        assert_eq!(after - before, Duration::from_secs(2 * 86_400));
    }

    #[test]
    fn a_log_becomes_messages() {
        let log = "----------------------------------------------- 2026-11-23 17:20:00.123456\n\
                   UDP message received [40] bytes :\n\nNOTIFY sip:a@b SIP/2.0\r\nCSeq: 1 NOTIFY\r\n\
                   Content-Length: 6\r\n\r\n<x/>\r\n\n\
                   ----------------------------------------------- 2026-11-23 17:20:01.123456\n\
                   UDP message sent (30 bytes):\n\nSIP/2.0 200 OK\r\nCSeq: 1 NOTIFY\r\n\r\n\n";
        let messages = parse_log(log);
        assert_eq!(messages.len(), 2);
        assert!(messages[0].received && messages[0].is("NOTIFY") && messages[0].body() == "<x/>");
        assert!(!messages[1].received && messages[1].answers("NOTIFY", 200));
        assert_eq!(messages[1].at - messages[0].at, Duration::from_secs(1));
    }

    #[test]
    fn what_is_being_written_does_not_count_yet() {
        let log = "----------------------------------------------- 2026-11-23 17:20:00.123456\n\
                   TCP message received [58] bytes :\n\nNOTIFY sip:a@b SIP/2.0\r\nCSeq: 1 NOTIFY\r\n\
                   Content-Length: 4\r\n\r\n<x/>";
        assert_eq!(parse_log(log)[0].body(), "<x/>");
        assert_eq!(parse_log(&format!("{log}\n{}", "-".repeat(30)))[0].body(), "<x/>", "and not what follows it");
        for cut in 1..log.len() {
            assert_eq!(parse_log(&log[..log.len() - cut]), [], "{cut} octets are missing");
        }
    }

    #[test]
    fn an_answer_that_was_left_over_says_nothing() {
        let [probe, target] = std::array::from_fn(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        probe.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let at = target.local_addr().unwrap();
        target.send_to(b"SIP/2.0 200 OK\r\nCall-ID: 1\r\n\r\n", probe.local_addr().unwrap()).unwrap();
        assert!(!answers_options(&probe, at));
        let mut asked = [0; 2048];
        let (length, from) = target.recv_from(&mut asked).unwrap();
        target.send_to(&asked[..length], from).unwrap();
        assert!(!answers_options(&probe, at), "that was an answer to the one before");
    }
}
