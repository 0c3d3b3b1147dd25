//! The work whose instructions are counted: parts of the pure core, and whole conversations through a node.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::Random;
use sip::timer::Wheel;
use wire::sip::Message;

use super::world::{CALLEE, HERE, OFFICE, Sent, Shown, World};
use crate::load::message;
use crate::load::request::{Call, From, Publish, Subscribe, answered, confirmed, document, ringing};
use crate::parse::{INVITE, PUBLISH};

/// Something that can be done again and again, and costs the same each time.
pub(crate) struct Item {
    pub(crate) name: &'static str,
    /// How often it is done in the two runs, of which the difference counts. In the first one the tables have filled and
    /// the transactions of the beginning are over.
    pub(crate) times: (u32, u32),
    prepare: fn(u32) -> Work,
}

/// Does it once, the next time under the next number.
type Work = Box<dyn FnMut(u32) -> Result<(), String>>;

/// How long to wait after each operation. A transaction lives for 32 seconds after its answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How many octets are looked at in one step, at the most.
const VECTOR: u32 = 32;

/// What is counted.
pub(crate) const ITEMS: [Item; 11] = [
    Item { name: "read a PUBLISH", times: (VECTOR, 64 * VECTOR), prepare: |_| reading(PUBLISH) },
    Item { name: "read an INVITE", times: (VECTOR, 64 * VECTOR), prepare: |_| reading(INVITE) },
    Item { name: "set a timer, or take it back", times: (10_000, 60_000), prepare: |_| timers() },
    Item { name: "PUBLISH initial, and its expiry", times: (100, 300), prepare: |_| initial() },
    Item { name: "PUBLISH refresh", times: (100, 300), prepare: |_| again(Kind::Refresh, 50) },
    Item { name: "PUBLISH modify", times: (100, 300), prepare: |_| again(Kind::Modify, 50) },
    Item { name: "PUBLISH remove", times: (100, 300), prepare: |most| again(Kind::Remove, most) },
    Item { name: "SUBSCRIBE, and the end of it", times: (100, 200), prepare: |_| subscribing() },
    Item { name: "PUBLISH modify, 10 watchers", times: (50, 100), prepare: |_| watched(10) },
    Item { name: "call", times: (50, 150), prepare: |_| calling(Shown::Nowhere) },
    Item { name: "call, published inside", times: (50, 100), prepare: |most| calling(Shown::Here(most as usize)) },
];

impl Item {
    /// Does it so many times. What is prepared for it is the same however often that is.
    pub(crate) fn run(&self, times: u32) -> Result<(), String> {
        let mut work = (self.prepare)(self.times.1);
        for number in 0..times {
            work(number).map_err(|why| format!("{}, number {number}: {why}", self.name))?;
        }
        // To take everything down would count as work, and the more there is the more.
        std::mem::forget(work);
        Ok(())
    }
}

/// What routing reads of a message, and every check. What is searched for takes more steps or less by where the octets begin, so
/// they begin everywhere in turn.
fn reading(text: &'static str) -> Work {
    let message = text.replace('\n', "\r\n").into_bytes();
    let places = VECTOR as usize;
    let apart = message.len().next_multiple_of(places) + 1;
    let mut octets = vec![0; apart * places];
    for place in octets.chunks_exact_mut(apart) {
        place[..message.len()].copy_from_slice(&message);
    }
    Box::new(move |number| {
        let start = number as usize % places * apart;
        let octets = octets.get(start..start + message.len()).unwrap_or_default();
        let message = Message::parse(black_box(octets)).map_err(|fault| format!("{fault:?}"))?;
        message.check().map_err(|fault| format!("{fault:?}"))?;
        let read = (message.via(), message.from(), message.to(), message.call_id(), message.cseq(), message.contact());
        black_box(read).3.map(drop).map_err(|fault| format!("{fault:?}"))
    })
}

/// A wheel in which 10,000 timers are set, as with 300 transactions a second: three are set, two taken back, one fires.
fn timers() -> Work {
    let start = Instant::now();
    let mut random = Random::from_number(1);
    let mut wheel = Wheel::new(start);
    let mut now = start;
    let mut keys = std::collections::VecDeque::new();
    for number in 0..10_000 {
        keys.push_back(wheel.schedule(now + random.between(Duration::ZERO, Duration::from_secs(32)), number));
    }
    Box::new(move |number| {
        now += Duration::from_millis(1);
        let ahead = if number % 3 == 0 { 500 } else { 32_000 };
        keys.push_back(wheel.schedule(now + Duration::from_millis(ahead), number));
        if let Some(key) = keys.pop_front().filter(|_| number % 3 != 0) {
            black_box(wheel.cancel(key));
        }
        while let Some(fired) = wheel.expire(now) {
            black_box(fired);
        }
        if wheel.is_empty() { Err("no timer is set".to_owned()) } else { Ok(()) }
    })
}

/// The four kinds of RFC 3903, but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Refresh,
    Modify,
    Remove,
}

/// A world with a presence server, and its publishers.
struct Publishers {
    world: World,
    text: String,
    tags: Vec<String>,
    cseq: u32,
}

impl Publishers {
    fn new() -> Self {
        Self { world: World::new(Shown::Here(0)), text: String::new(), tags: Vec::new(), cseq: 0 }
    }

    /// One PUBLISH with its 200; answers what else was sent.
    fn publish(&mut self, number: usize, expires: u32, body: &str) -> Result<Sent, String> {
        self.cseq += 1;
        let entity_tag = self.tags.get(number).map(String::as_str);
        let request = Publish { number, cseq: self.cseq, expires, entity_tag, body };
        request.write(&mut self.text, from(OFFICE));
        let sent = self.world.datagram(OFFICE, self.text.as_bytes());
        let answer = only(&sent, "SIP/2.0 200")?;
        let tag = message::header(answer, "sip-etag", "").ok_or("no SIP-ETag")?.to_owned();
        match self.tags.get_mut(number) {
            Some(known) => *known = tag,
            None => self.tags.push(tag),
        }
        Ok(sent)
    }
}

/// The steady state of publications that live for a minute, one more each second.
fn initial() -> Work {
    let mut publishers = Publishers::new();
    Box::new(move |number| {
        let number = number as usize;
        publishers.publish(number, 60, &document(number, 0))?;
        publishers.world.pass(PAUSE);
        Ok(())
    })
}

/// So many publications are there; one after the other is refreshed, modified or removed.
fn again(kind: Kind, many: u32) -> Work {
    let mut publishers = Publishers::new();
    let many = many as usize;
    let mut fault = (0..many).find_map(|number| publishers.publish(number, 3600, &document(number, 0)).err());
    Box::new(move |number| {
        fault.take().map_or(Ok(()), Err)?;
        let place = number as usize % many;
        match kind {
            Kind::Refresh => publishers.publish(place, 3600, "")?,
            Kind::Modify => publishers.publish(place, 3600, &document(place, number))?,
            Kind::Remove => publishers.publish(place, 0, "")?,
        };
        publishers.world.pass(PAUSE);
        Ok(())
    })
}

/// A SUBSCRIBE with its first NOTIFY, then its end with the last one.
fn subscribing() -> Work {
    let mut publishers = Publishers::new();
    let mut fault = publishers.publish(0, 3600, &document(0, 0)).err();
    Box::new(move |number| {
        fault.take().map_or(Ok(()), Err)?;
        let number = number as usize;
        let subscribe =
            Subscribe { number, presentity: 0, watcher: 0, cseq: 1, expires: 3600, to_tag: "", contact: "" };
        let answer = subscribe_once(&mut publishers, subscribe)?;
        let to_tag = message::header(&answer, "to", "t").and_then(|to| message::param(to, ";tag="));
        let contact = message::header(&answer, "contact", "m").and_then(message::bracketed);
        let (to_tag, contact) = (to_tag.ok_or("no tag")?, contact.ok_or("no Contact")?);
        let end = Subscribe { cseq: 2, expires: 0, to_tag, contact, ..subscribe };
        subscribe_once(&mut publishers, end)?;
        publishers.world.pass(PAUSE);
        Ok(())
    })
}

/// The answer to a SUBSCRIBE; its NOTIFY is answered.
fn subscribe_once(publishers: &mut Publishers, subscribe: Subscribe<'_>) -> Result<String, String> {
    subscribe.write(&mut publishers.text, from(OFFICE));
    let sent = publishers.world.datagram(OFFICE, publishers.text.as_bytes());
    let answer = only(&sent, "SIP/2.0 2")?.to_owned();
    match notified(publishers, &sent)? {
        1 => Ok(answer),
        others => Err(format!("{others} NOTIFYs")),
    }
}

/// Answers every NOTIFY; how many there are.
fn notified(publishers: &mut Publishers, sent: &[(SocketAddr, Arc<[u8]>)]) -> Result<usize, String> {
    let mut count = 0;
    for (_, octets) in sent.iter().filter(|(_, octets)| octets.starts_with(b"NOTIFY ")) {
        confirmed(&mut publishers.text, text_of(octets)?, "w");
        let more = publishers.world.datagram(OFFICE, publishers.text.as_bytes());
        count += 1 + notified(publishers, &more)?;
    }
    Ok(count)
}

/// A presentity with so many watchers, all of whom are told of each change.
fn watched(watchers: usize) -> Work {
    let mut publishers = Publishers::new();
    let mut fault = publishers.publish(0, 3600, &document(0, 0)).err();
    for number in 0..watchers {
        let subscribe =
            Subscribe { number, presentity: 0, watcher: number, cseq: 1, expires: 3600, to_tag: "", contact: "" };
        fault = fault.or(subscribe_once(&mut publishers, subscribe).err());
    }
    Box::new(move |number| {
        fault.take().map_or(Ok(()), Err)?;
        let sent = publishers.publish(0, 3600, &document(0, number + 1))?;
        let told = notified(&mut publishers, &sent)?;
        publishers.world.pass(PAUSE);
        if told == watchers { Ok(()) } else { Err(format!("{told} NOTIFYs for {watchers} watchers")) }
    })
}

/// INVITE, 180, 200, ACK, a second, BYE, 200.
fn calling(shown: Shown) -> Work {
    let mut world = World::new(shown);
    let mut text = String::new();
    Box::new(move |number| {
        let mut call = Call { number: number as usize, server: HERE, to_tag: "", contact: "", routes: "" };
        call.write(&mut text, from(OFFICE), "INVITE");
        let sent = world.datagram(OFFICE, text.as_bytes());
        only(&sent, "SIP/2.0 100")?;
        let invite = only(&sent, "INVITE ")?;
        ringing(&mut text, invite, CALLEE);
        only(&world.datagram(CALLEE, text.as_bytes()), "SIP/2.0 180")?;
        answered(&mut text, invite, CALLEE);
        let sent = world.datagram(CALLEE, text.as_bytes());
        let answer = only(&sent, "SIP/2.0 200")?;
        let to_tag = message::header(answer, "to", "t").and_then(|to| message::param(to, ";tag="));
        let contact = message::header(answer, "contact", "m").and_then(message::bracketed);
        (call.to_tag, call.contact) = (to_tag.ok_or("no tag")?, contact.ok_or("no Contact")?);
        call.write(&mut text, from(OFFICE), "ACK");
        world.datagram(OFFICE, text.as_bytes());
        world.pass(PAUSE);
        call.write(&mut text, from(OFFICE), "BYE");
        let mut sent = world.datagram(OFFICE, text.as_bytes());
        confirmed(&mut text, only(&sent, "BYE ")?, "callee");
        sent.extend(world.datagram(CALLEE, text.as_bytes()));
        only(&sent, "SIP/2.0 200")?;
        world.pass(PAUSE);
        Ok(())
    })
}

fn from(here: SocketAddr) -> From<'static> {
    From { run: "i", here }
}

/// The one message that begins so.
fn only<'a>(sent: &'a [(SocketAddr, Arc<[u8]>)], start: &str) -> Result<&'a str, String> {
    let mut fitting = sent.iter().filter(|(_, octets)| octets.starts_with(start.as_bytes()));
    match (fitting.next(), fitting.next()) {
        (Some((_, octets)), None) => text_of(octets),
        _ => {
            let lines = sent.iter().map(|(_, octets)| octets.split(|octet| *octet == b'\r').next().unwrap_or_default());
            let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
            Err(format!("not one {start} among {lines:?}"))
        }
    }
}

fn text_of(octets: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(octets).map_err(|error| error.to_string())
}
