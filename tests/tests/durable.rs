//! Durability: what the presence server has answered is there after `kill -9`, and nothing is answered that would not be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tests::office::{DOMAIN, LIMIT, host};
use tests::{Folder, Network, Offhook, Running, until};

/// Presentities, each with a publisher and a watcher.
const USERS: usize = 300;

/// Requests that are on their way at once.
const IN_FLIGHT: usize = 24;

/// What one publisher and its watcher know.
#[derive(Default)]
struct User {
    /// The newest entity-tag that was acknowledged.
    tag: Option<String>,
    cseq: u32,
    /// The PUBLISH that has no answer yet.
    publish: Option<String>,
    /// The SUBSCRIBE that has no answer yet.
    subscribe: Option<String>,
    /// Our tag in the dialog, once the subscription was acknowledged.
    dialog: Option<String>,
    /// The CSeq of every NOTIFY since the start, or the restart.
    notified: BTreeSet<u32>,
}

/// All of them, behind one socket.
struct Users {
    socket: UdpSocket,
    server: SocketAddr,
    all: Vec<User>,
    acknowledged: usize,
}

impl Users {
    fn new(network: &Network) -> Self {
        let socket = UdpSocket::bind(network.sip(host::PHONE)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let all = std::iter::repeat_with(User::default).take(USERS).collect();
        Self { socket, server: network.sip(host::OFFHOOK), all, acknowledged: 0 }
    }

    fn request(&self, method: &str, number: usize, to_tag: &str, cseq: u32, headers: &str, body: &str) -> String {
        let here = self.socket.local_addr().unwrap();
        format!(
            "{method} sip:u{number}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}{number}.{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{method}{number}@{DOMAIN}>;tag=f{number}\r\nTo: <sip:u{number}@{DOMAIN}>{to_tag}\r\n\
             Call-ID: {method}-{number}\r\nCSeq: {cseq} {method}\r\nContact: <sip:w{number}@{here}>\r\nEvent: presence\r\n\
             Expires: 600\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// The next PUBLISH of a user: initial, then refreshes and modifications in turn.
    fn publish(&mut self, number: usize) {
        self.all[number].cseq += 1;
        let cseq = self.all[number].cseq;
        let matched = self.all[number].tag.as_ref().map(|tag| format!("SIP-If-Match: {tag}\r\n")).unwrap_or_default();
        let text = if matched.is_empty() || cseq.is_multiple_of(2) {
            let body = format!(
                "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:u{number}@{DOMAIN}\"><tuple id=\"t\"><status>\
                 <basic>open</basic></status><note>{cseq}</note></tuple></presence>"
            );
            let headers = format!("{matched}Content-Type: application/pidf+xml\r\n");
            self.request("PUBLISH", number, "", cseq, &headers, &body)
        } else {
            self.request("PUBLISH", number, "", cseq, &matched, "")
        };
        self.send(&text);
        self.all[number].publish = Some(text);
    }

    fn subscribe(&mut self, number: usize) {
        let text = self.request("SUBSCRIBE", number, "", 1, "", "");
        self.send(&text);
        self.all[number].subscribe = Some(text);
    }

    /// Takes one message, if there is one.
    fn take(&mut self) -> bool {
        let mut octets = [0; 65_536];
        let Ok(length) = self.socket.recv(&mut octets) else { return false };
        let text = String::from_utf8_lossy(&octets[..length]).into_owned();
        let call_id = header(&text, "Call-ID");
        let number: usize = call_id.rsplit('-').next().unwrap().parse().unwrap();
        let cseq: u32 = header(&text, "CSeq").split(' ').next().unwrap().parse().unwrap();
        let user = &mut self.all[number];
        if text.starts_with("NOTIFY ") {
            user.notified.insert(cseq);
            let lines =
                ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(&text, name)));
            self.send(&format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.concat()));
            return true;
        }
        assert!(text.starts_with("SIP/2.0 200 "), "{text}");
        if call_id.starts_with("SUBSCRIBE") {
            user.subscribe = None;
            user.dialog = header(&text, "To").split_once(";tag=").map(|(_, tag)| tag.to_owned());
        } else if cseq == user.cseq && user.publish.take().is_some() {
            user.tag = Some(header(&text, "SIP-ETag").to_owned());
            self.acknowledged += 1;
        }
        true
    }

    /// Sends everything again that has no answer, as it was: over UDP a datagram may find no room.
    fn repeat(&self) {
        for user in &self.all {
            user.publish.iter().chain(&user.subscribe).for_each(|text| self.send(text));
        }
    }

    /// Takes what comes until it is enough; what has no answer is repeated (Timer E, RFC 3261 section 17.1.2.1).
    fn wait(&mut self, what: &str, is_enough: impl Fn(&Self) -> bool) {
        let mut again = Instant::now();
        until(what, LIMIT, || {
            if again.elapsed() >= Duration::from_millis(500) {
                self.repeat();
                again = Instant::now();
            }
            while self.take() {}
            is_enough(self).then_some(())
        });
    }

    /// Whether nothing waits for an answer.
    fn is_answered(&self) -> bool {
        self.all.iter().all(|user| user.publish.is_none() && user.subscribe.is_none())
    }

    /// Publishes and subscribes as fast as it is answered.
    fn load(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut next = 0;
        while Instant::now() < until {
            let flying = self.all.iter().filter(|user| user.publish.is_some() || user.subscribe.is_some()).count();
            if flying < IN_FLIGHT && self.all[next % USERS].publish.is_none() {
                self.publish(next % USERS);
                if next < USERS {
                    self.subscribe(next);
                }
                next += 1;
                continue;
            }
            self.take();
        }
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

fn offhook(folder: &Folder, network: &Network) -> Offhook {
    let (here, phones) = (network.sip(host::OFFHOOK), network.host(host::PHONE));
    let store = folder.join("store");
    let configuration = format!(
        "domain = \"{DOMAIN}\"\n\n[[listen]]\ntransport = \"udp\"\naddress = \"{here}\"\n\n[store]\npath = \"{}\"\n\n\
         [[peer]]\nname = \"phones\"\naddresses = [\"{phones}\"]\npublisher = true\n\n[presence_server_here]\n",
        store.display()
    );
    Offhook::start(folder, network, host::OFFHOOK, &configuration)
}

#[test]
fn after_a_kill_under_load_everything_acknowledged_is_there() {
    let folder = Folder::new("durable");
    let network = Network::claim();
    let mut offhook = offhook(&folder, &network);
    let mut users = Users::new(&network);
    for death in 0..3 {
        users.load(Duration::from_millis(700));
        offhook.kill();
        // What has arrived was sent, and counts as acknowledged.
        while users.take() {}
        let last: Vec<u32> = users.all.iter().map(|user| user.notified.last().copied().unwrap_or_default()).collect();
        users.all.iter_mut().for_each(|user| user.notified.clear());
        let subscribed: Vec<usize> = (0..USERS).filter(|number| users.all[*number].dialog.is_some()).collect();
        assert!(subscribed.len() > 100, "{} subscriptions were acknowledged", subscribed.len());
        offhook.restart();
        let told = |users: &Users| subscribed.iter().filter(|number| !users.all[**number].notified.is_empty()).count();
        until("each watcher is told once how things are", LIMIT, || {
            while users.take() {}
            (told(&users) == subscribed.len()).then_some(())
        });
        // Whatever came twice would come by now.
        let quiet = Instant::now() + Duration::from_millis(600);
        while Instant::now() < quiet {
            users.take();
        }
        for number in &subscribed {
            let notified = &users.all[*number].notified;
            assert_eq!(notified.len(), 1, "death {death}: the watcher of u{number} got {notified:?}");
            assert!(*notified.first().unwrap() > last[*number], "death {death}: {notified:?} after {}", last[*number]);
        }
        // What had no answer comes again as it was, whether or not it had been done.
        users.repeat();
        users.wait("what comes again is answered", Users::is_answered);
        let before = users.acknowledged;
        let published: Vec<usize> = (0..USERS).filter(|number| users.all[*number].tag.is_some()).collect();
        for number in &published {
            users.publish(*number);
            users.take();
        }
        users.wait("every acknowledged tag is good", |users| users.acknowledged - before == published.len());
    }
    println!("{} PUBLISH requests were acknowledged, and each was true", users.acknowledged);
}

#[test]
fn a_stop_ends_no_subscription_and_the_next_run_goes_on() {
    let folder = Folder::new("durable-stop");
    let network = Network::claim();
    let mut offhook = offhook(&folder, &network);
    let mut users = Users::new(&network);
    users.load(Duration::from_millis(500));
    users.wait("all is answered", Users::is_answered);
    let last: Vec<u32> = users.all.iter().map(|user| user.notified.last().copied().unwrap_or_default()).collect();
    users.all.iter_mut().for_each(|user| user.notified.clear());
    assert!(offhook.stop(LIMIT).success(), "{}", offhook.log());
    while users.take() {}
    assert!(users.all.iter().all(|user| user.notified.is_empty()), "a stop says nothing");
    offhook.restart();
    until("each watcher is told how things are", LIMIT, || {
        while users.take() {}
        users.all.iter().all(|user| user.dialog.is_none() || !user.notified.is_empty()).then_some(())
    });
    for (user, last) in users.all.iter().zip(last) {
        assert!(user.notified.iter().all(|cseq| *cseq > last));
    }
}

#[test]
fn the_store_has_a_publication_before_its_answer_is_sent() {
    let folder = Folder::new("durable-strace");
    let network = Network::claim();
    let offhook = offhook(&folder, &network);
    let mut users = Users::new(&network);
    let trace = folder.join("trace");
    let calls = "trace=write,writev,pwrite64,sendto,sendmsg,sendmmsg";
    let arguments =
        ["-f", "-qq", "-s", "65536", "-e", calls, "-o", &trace.to_string_lossy(), "-p", &offhook.id().to_string()];
    let arguments = arguments.map(str::to_owned);
    let mut strace =
        Running::start("strace", "/usr/bin/strace".as_ref(), &arguments, folder.path(), folder.join("strace.log"));
    let mut tags = Vec::new();
    until("something is traced", LIMIT, || {
        users.publish(0);
        while users.take() {}
        tags.extend(users.all[0].tag.clone());
        fs::read_to_string(&trace).is_ok_and(|text| text.contains("sendmmsg(")).then_some(())
    });
    tags.clear();
    users.load(Duration::from_millis(300));
    until("all is answered", LIMIT, || {
        while users.take() {}
        users.all.iter().all(|user| user.publish.is_none() && user.subscribe.is_none()).then_some(())
    });
    tags.extend(users.all.iter().filter_map(|user| user.tag.clone()));
    strace.terminate();
    until("the trace is whole", LIMIT, || strace.ended());
    let trace = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    assert!(tags.len() > 20, "{} answers are to be looked at", tags.len());
    let mut seen = 0;
    for tag in &tags {
        let sent = lines.iter().position(|line| line.contains("send") && line.contains(&format!("SIP-ETag: {tag}\\r")));
        // An answer from before the trace began.
        let Some(sent) = sent else { continue };
        let wrote = lines.iter().position(|line| line.contains("write") && line.contains(tag.as_str()));
        let wrote = wrote.unwrap_or_else(|| panic!("{tag} was answered and never written"));
        assert!(end_of(&lines, wrote) < sent, "{tag} was answered in line {sent} and written in line {wrote}");
        seen += 1;
    }
    println!("{seen} of {} answers were traced, each after its write", tags.len());
    assert!(seen > 20);
}

/// The line in which a call has returned: another thread's may stand between.
fn end_of(lines: &[&str], call: usize) -> usize {
    if !lines[call].ends_with("<unfinished ...>") {
        return call;
    }
    let thread = lines[call].split(' ').next().unwrap();
    let resumed = |line: &&str| line.starts_with(thread) && line.contains("resumed>");
    call + lines[call..].iter().position(resumed).unwrap_or(usize::MAX / 2)
}
