//! The crowd: publishers and watchers on one socket, who act at random, lose datagrams, and keep the bookkeeper's books.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::bookkeeper::{Bookkeeper, Known, Number};
use crate::wire::{Outline, body, cseq, document, header, ok, status, tag};

/// People who are watched.
const USERS: usize = 200;

/// Publications of one of them at most.
const PER_USER: usize = 3;

/// Watchers at most.
const WATCHERS: usize = 500;

/// Of a thousand datagrams so many are lost, each way.
const LOST: u64 = 20;

/// A request is repeated for so long, and then given up (Timer F, RFC 3261 section 17.1.2.2).
const TIMER_F: Duration = Duration::from_secs(32);

/// What a request was for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Publish { number: Number, kind: Kind, asked: u64 },
    Subscribe { watcher: u64, ends: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial(bool),
    Modify(bool),
    /// What it said before goes on.
    Refresh(bool),
    Remove,
}

/// A request that awaits its answer.
struct Pending {
    text: String,
    purpose: Purpose,
    sent: Instant,
    again_at: Instant,
    interval: Duration,
}

/// Somebody who watches.
struct Watcher {
    user: usize,
    from: String,
    call_id: String,
    remote_tag: Option<String>,
    cseq: u32,
    /// The CSeq of the newest NOTIFY.
    heard: u32,
    /// What the newest NOTIFY showed.
    sees: Option<bool>,
    until: Instant,
    /// Answers nothing any more.
    dead: bool,
}

/// What has been done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    publishes: u64,
    subscribes: u64,
    notifies: u64,
    unanswered: u64,
    checked: u64,
}

/// What one check has seen.
pub(crate) struct Checked {
    publications: usize,
    watchers: usize,
    certain: usize,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publications, watchers, certain } = self;
        write!(f, "{publications} publications, {watchers} watchers, {certain} of them see what is certain")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publishes, subscribes, notifies, unanswered, checked } = self;
        write!(
            f,
            "{publishes} PUBLISH, {subscribes} SUBSCRIBE, {notifies} NOTIFY, {unanswered} without an answer, {checked} documents compared"
        )
    }
}

/// Everybody.
pub(crate) struct Crowd {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
    books: Bookkeeper,
    /// What each publication with a tag says.
    says: BTreeMap<Number, bool>,
    pending: BTreeMap<String, Pending>,
    /// Publications with a request on its way.
    busy: BTreeSet<Number>,
    watchers: BTreeMap<u64, Watcher>,
    named: u64,
    random: u64,
    tally: Tally,
}

impl Crowd {
    pub(crate) fn new(local: SocketAddr, server: SocketAddr, books: Bookkeeper) -> Self {
        let socket = UdpSocket::bind(local).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        Self {
            socket,
            local,
            server,
            books,
            says: BTreeMap::new(),
            pending: BTreeMap::new(),
            busy: BTreeSet::new(),
            watchers: BTreeMap::new(),
            named: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            tally: Tally::default(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Everybody acts for so long.
    pub(crate) fn act(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let mut next = Instant::now();
        while Instant::now() < end {
            while next <= Instant::now() {
                self.one();
                next += Duration::from_millis(4);
            }
            self.turn();
        }
    }

    /// Nobody begins anything; once what is on its way has arrived, every watcher is compared with the books.
    pub(crate) fn check(&mut self, settle: Duration) -> Checked {
        let end = Instant::now() + settle;
        let mut wrong = self.wrong();
        while Instant::now() < end && !(wrong.is_empty() && self.pending.is_empty()) {
            self.turn();
            wrong = self.wrong();
        }
        assert!(wrong.is_empty(), "{} watchers see what is not so:\n{}", wrong.len(), wrong.join("\n"));
        let now = Instant::now();
        let live = || self.watchers.values().filter(|watcher| watcher.is_live(now));
        let certain = live().filter(|watcher| self.books.known(watcher.user, now) != Known::Doubtful).count();
        self.tally.checked += certain as u64;
        Checked { publications: self.books.len(), watchers: live().count(), certain }
    }

    /// Everything is taken back; at the end everybody must be seen to be free.
    pub(crate) fn leave(&mut self, settle: Duration) {
        let end = Instant::now() + settle;
        while Instant::now() < end {
            for (number, user, tag) in self.books.tagged(Instant::now()) {
                if !self.busy.contains(&number) {
                    self.publish(number, user, Some(&tag), Kind::Remove);
                }
            }
            self.turn();
            if self.books.len() == 0 {
                break;
            }
        }
        let _ = self.check(settle);
    }

    /// How many watchers are told everything, or have just asked to be.
    fn live(&self, now: Instant) -> usize {
        let lives = |watcher: &&Watcher| watcher.is_live(now) || (watcher.remote_tag.is_none() && !watcher.dead);
        self.watchers.values().filter(lives).count()
    }

    /// The watchers who do not see what is certain.
    fn wrong(&self) -> Vec<String> {
        let now = Instant::now();
        let compare = |(id, watcher): (&u64, &Watcher)| {
            let expected = match self.books.known(watcher.user, now) {
                Known::OnThePhone => true,
                Known::Not => false,
                Known::Doubtful => return None,
            };
            (watcher.is_live(now) && watcher.sees != Some(expected))
                .then(|| format!("watcher {id} of user{}: {expected} is so, {:?} is seen", watcher.user, watcher.sees))
        };
        self.watchers.iter().filter_map(compare).collect()
    }

    /// Somebody does something.
    fn one(&mut self) {
        let now = Instant::now();
        match self.below(20) {
            0..=3 => {
                let user = self.below(USERS as u64) as usize;
                if self.books.count(user) < PER_USER {
                    let number = self.books.begins(user, now);
                    let on_the_phone = self.below(2) == 0;
                    self.publish(number, user, None, Kind::Initial(on_the_phone));
                }
            }
            4..=12 => self.touch(now),
            13..=15 if self.live(now) < WATCHERS => {
                self.subscribe_anew(now);
            }
            16..=17 => self.resubscribe(now),
            18 => self.rubbish(),
            _ => {
                let due: Vec<u64> = self.watchers.keys().copied().collect();
                let id = due.get(self.below(due.len().max(1) as u64) as usize).copied();
                // One in eighty falls silent; the others only pause.
                if let Some(watcher) = id.filter(|_| self.below(80) == 0).and_then(|id| self.watchers.get_mut(&id)) {
                    watcher.dead = true;
                }
            }
        }
    }

    /// A publication is refreshed, modified or removed.
    fn touch(&mut self, now: Instant) {
        let tagged = self.books.tagged(now);
        let at = self.below(tagged.len().max(1) as u64) as usize;
        let Some((number, user, tag)) = tagged.get(at).cloned().filter(|(number, ..)| !self.busy.contains(number))
        else {
            return;
        };
        let says = self.says.get(&number).copied().unwrap_or_default();
        let kind = match self.below(10) {
            0..=3 => Kind::Refresh(says),
            4..=6 => Kind::Modify(self.below(2) == 0),
            _ => Kind::Remove,
        };
        self.publish(number, user, Some(&tag), kind);
    }

    fn publish(&mut self, number: Number, user: usize, tag: Option<&str>, kind: Kind) {
        let asked = if kind == Kind::Remove { 0 } else { 10 + self.below(50) };
        let uri = format!("sip:user{user}@sfb.example");
        self.named += 1;
        let named = self.named;
        let document = match kind {
            Kind::Initial(says) | Kind::Modify(says) => document(&uri, says, named),
            Kind::Refresh(_) | Kind::Remove => String::new(),
        };
        let mut more = format!("Event: presence\r\nExpires: {asked}\r\n");
        if let Some(tag) = tag {
            more.push_str(&format!("SIP-If-Match: {tag}\r\n"));
        }
        if !document.is_empty() {
            more.push_str("Content-Type: application/pidf+xml\r\n");
        }
        if !matches!(kind, Kind::Refresh(_) | Kind::Initial(_)) {
            self.books.doubts(number, Instant::now());
        }
        let outline = Outline {
            method: "PUBLISH",
            uri: &uri,
            from: &format!("<{uri}>;tag=p{named}"),
            to: &format!("<{uri}>"),
            call_id: &format!("p{named}@crowd"),
            cseq: 1,
            more: &more,
            body: &document,
        };
        let branch = format!("z9hG4bKsoak{named}");
        let text = outline.text(self.local, &branch);
        self.busy.insert(number);
        self.tally.publishes += 1;
        self.send(branch, text, Purpose::Publish { number, kind, asked });
    }

    fn subscribe_anew(&mut self, now: Instant) {
        self.named += 1;
        let id = self.named;
        let user = self.below(USERS as u64) as usize;
        let watcher = Watcher {
            user,
            from: format!("<sip:watcher{id}@sfb.example>;tag=w{id}"),
            call_id: format!("w{id}@crowd"),
            remote_tag: None,
            cseq: 0,
            heard: 0,
            sees: None,
            until: now,
            dead: false,
        };
        self.watchers.insert(id, watcher);
        let expires = 20 + self.below(40);
        self.subscribe(id, expires);
    }

    /// A subscription is prolonged, or ended.
    fn resubscribe(&mut self, now: Instant) {
        let on_their_way = |id: u64, pending: &BTreeMap<String, Pending>| {
            pending.values().any(|p| matches!(p.purpose, Purpose::Subscribe { watcher, .. } if watcher == id))
        };
        let can = |(_, watcher): &(&u64, &Watcher)| watcher.is_live(now) && watcher.remote_tag.is_some();
        let live: Vec<u64> = self.watchers.iter().filter(can).map(|(id, _)| *id).collect();
        let at = self.below(live.len().max(1) as u64) as usize;
        let Some(id) = live.get(at).copied().filter(|id| !on_their_way(*id, &self.pending)) else { return };
        let expires = if self.below(4) == 0 { 0 } else { 20 + self.below(40) };
        self.subscribe(id, expires);
    }

    fn subscribe(&mut self, id: u64, expires: u64) {
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        watcher.cseq += 1;
        let uri = format!("sip:user{}@sfb.example", watcher.user);
        let to = watcher.remote_tag.as_ref().map_or(format!("<{uri}>"), |tag| format!("<{uri}>;tag={tag}"));
        let more = format!("Event: presence\r\nAccept: application/pidf+xml\r\nExpires: {expires}\r\n");
        let request_uri = if watcher.remote_tag.is_some() { format!("sip:{}", self.server) } else { uri };
        let outline = Outline {
            method: "SUBSCRIBE",
            uri: &request_uri,
            from: &watcher.from,
            to: &to,
            call_id: &watcher.call_id,
            cseq: watcher.cseq,
            more: &more,
            body: "",
        };
        self.named += 1;
        let branch = format!("z9hG4bKsoak{}", self.named);
        let text = outline.text(self.local, &branch);
        self.tally.subscribes += 1;
        self.send(branch, text, Purpose::Subscribe { watcher: id, ends: expires == 0 });
    }

    fn rubbish(&mut self) {
        let rubbish: [&[u8]; 4] = [
            b"\x00\xff\xfe rubbish",
            b"PUBLISH sip:user1@sfb.example SIP/2.0\r\nContent-Length: 99999\r\n\r\n",
            b"SUBSCRIBE sip:user1@sfb.example SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=1\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\r\n",
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnobody\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 NOTIFY\r\n\r\n",
        ];
        let at = self.below(4) as usize;
        let _ = self.socket.send_to(rubbish[at], self.server);
    }

    fn send(&mut self, branch: String, text: String, purpose: Purpose) {
        let now = Instant::now();
        self.put(&text);
        let interval = Duration::from_millis(500);
        self.pending.insert(branch, Pending { text, purpose, sent: now, again_at: now + interval, interval });
    }

    /// A datagram leaves, unless it is lost.
    fn put(&mut self, text: &str) {
        if self.below(1000) >= LOST {
            // While the server is dead nobody takes it.
            let _ = self.socket.send_to(text.as_bytes(), self.server);
        }
    }

    /// Takes what has arrived, and repeats what has no answer.
    fn turn(&mut self) {
        let mut octets = [0; 65_536];
        for _ in 0..200 {
            match self.socket.recv(&mut octets) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                    if self.below(1000) >= LOST {
                        self.receive(&text);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                // The server is dead, and the system says so.
                Err(_) => {}
            }
        }
        let now = Instant::now();
        let due: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.again_at <= now)
            .map(|(branch, _)| branch.clone())
            .collect();
        for branch in due {
            let Some(pending) = self.pending.get_mut(&branch) else { continue };
            if now.duration_since(pending.sent) >= TIMER_F {
                let pending = self.pending.remove(&branch).unwrap();
                self.given_up(pending.purpose, now);
                continue;
            }
            pending.interval = (pending.interval * 2).min(Duration::from_secs(4));
            pending.again_at = now + pending.interval;
            let text = pending.text.clone();
            self.put(&text);
        }
        self.books.expire(now);
        self.watchers.retain(|_, watcher| watcher.until + TIMER_F * 2 > now);
    }

    fn given_up(&mut self, purpose: Purpose, now: Instant) {
        self.tally.unanswered += 1;
        match purpose {
            Purpose::Publish { number, asked, .. } => {
                self.busy.remove(&number);
                self.books.unanswered(number, now, asked);
            }
            Purpose::Subscribe { watcher, .. } => drop(self.watchers.remove(&watcher)),
        }
    }

    fn receive(&mut self, text: &str) {
        if let Some(code) = status(text) {
            let branch = header(text, "Via").and_then(|via| via.split(";branch=").nth(1)).unwrap_or_default();
            let branch = branch.split(';').next().unwrap_or_default().to_owned();
            if code >= 200
                && let Some(pending) = self.pending.remove(&branch)
            {
                self.answered(code, text, &pending);
            }
        } else if text.starts_with("NOTIFY ") {
            self.notified(text);
        }
    }

    fn answered(&mut self, code: u16, text: &str, pending: &Pending) {
        let now = Instant::now();
        let granted = header(text, "Expires").and_then(|value| value.parse().ok()).unwrap_or(0);
        match pending.purpose {
            Purpose::Publish { number, kind, .. } => {
                self.busy.remove(&number);
                let etag = header(text, "SIP-ETag").unwrap_or_default();
                match (code, kind) {
                    (200, Kind::Remove) => self.books.removed(number),
                    (200, Kind::Initial(says) | Kind::Modify(says) | Kind::Refresh(says)) => {
                        assert!(!etag.is_empty(), "a 200 without SIP-ETag:\n{text}");
                        self.says.insert(number, says);
                        self.books.acknowledged(number, says, etag, pending.sent, now, granted);
                    }
                    (412, _) => {
                        // Before a loss is cried the sending counts: on its way it may have run out.
                        assert!(
                            !self.books.is_lost(number, now),
                            "an acknowledged publication is lost:\n{}\n{text}",
                            pending.text
                        );
                        self.books.removed(number);
                    }
                    _ => panic!("{code} to\n{}\n{text}", pending.text),
                }
            }
            Purpose::Subscribe { watcher: id, ends } => match code {
                200 | 202 => {
                    if let Some(watcher) = self.watchers.get_mut(&id) {
                        watcher.remote_tag = tag(text, "To").map(str::to_owned);
                        watcher.until = if ends { now } else { pending.sent + Duration::from_secs(granted) };
                    }
                }
                481 => {
                    let lives = self.watchers.remove(&id).is_some_and(|watcher| watcher.is_live(now));
                    assert!(!lives, "an acknowledged subscription is lost:\n{}\n{text}", pending.text);
                }
                _ => panic!("{code} to\n{}\n{text}", pending.text),
            },
        }
    }

    fn notified(&mut self, text: &str) {
        let call_id = header(text, "Call-ID").unwrap_or_default();
        let id =
            call_id.strip_prefix('w').and_then(|rest| rest.split('@').next()).and_then(|id| id.parse::<u64>().ok());
        let Some(watcher) = id.and_then(|id| self.watchers.get_mut(&id)) else { return self.put(&gone(text)) };
        if watcher.dead {
            return;
        }
        self.tally.notifies += 1;
        let number = cseq(text).unwrap_or_default();
        // The same one again, or an older one that was overtaken.
        if number > watcher.heard {
            watcher.heard = number;
            if !body(text).is_empty() {
                watcher.sees = Some(body(text).contains("on-the-phone"));
            }
            let state = header(text, "Subscription-State").unwrap_or_default();
            if state.starts_with("terminated") {
                let early = watcher.is_live(Instant::now()) && !state.contains("timeout");
                assert!(!early, "a subscription is ended before its time:\n{text}");
                watcher.until = Instant::now();
            }
        }
        let answer = ok(text);
        self.put(&answer);
    }

    fn below(&mut self, n: u64) -> u64 {
        // xorshift64*: the same acts each time; what the network makes of them is another matter.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

impl Watcher {
    /// Whether it has a subscription that must be told everything.
    fn is_live(&self, now: Instant) -> bool {
        !self.dead && self.remote_tag.is_some() && now + Duration::from_secs(2) < self.until
    }
}

/// 481: a watcher who has left knows of no subscription.
fn gone(request: &str) -> String {
    ok(request).replace("200 OK", "481 Subscription Does Not Exist")
}
