//! Publishers and watchers: PUBLISH in a closed loop of so many in flight, SUBSCRIBE, and the NOTIFY that follow.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::request::{From, Publish, Subscribe, document};
use super::socket::Batch;
use super::{Outcome, TRIES, message, request, socket, wait};

/// The lifetime that is asked for, in seconds.
const EXPIRES: u32 = 3600;

/// How often requests are looked through for one to be sent again.
const SCAN: Duration = Duration::from_millis(100);

/// One piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An initial PUBLISH of each presentity.
    Initial,
    /// A refresh of each: no body.
    Refresh,
    /// A new body for each.
    Modify,
    /// The end of each.
    Remove,
    /// Each watcher subscribes to its presentity; done with the 200 and the first NOTIFY.
    Subscribe,
    /// So many times, a new body for each; done when every watcher has it.
    Fan(usize),
    /// Each watcher unsubscribes; done with the 200 and the last NOTIFY.
    Unsubscribe,
}

/// One presentity and its publication.
#[derive(Clone, Default)]
struct Publication {
    entity_tag: String,
    cseq: u32,
    /// The number in its body.
    content: u32,
    answered: bool,
    /// Watchers that have not been told yet.
    untold: usize,
}

/// One watcher of one presentity.
#[derive(Clone, Default)]
struct Subscription {
    to_tag: String,
    contact: String,
    cseq: u32,
    answered: bool,
    notified: bool,
    /// The number in the last body.
    content: u32,
}

/// One operation under way.
struct Flying {
    number: usize,
    began: Instant,
    sent: Instant,
    tries: u32,
}

/// All publishers and watchers of one server.
pub(crate) struct Presence {
    server: SocketAddr,
    publisher: UdpSocket,
    watcher: UdpSocket,
    run: String,
    publications: Vec<Publication>,
    subscriptions: Vec<Subscription>,
    watchers: usize,
    content: u32,
    flying: Vec<Flying>,
    phase: Phase,
    outcome: Outcome,
    text: String,
}

impl Presence {
    /// `presentities` with `watchers` each; `run` makes the names of this one unlike those of any other.
    pub(crate) fn new(server: SocketAddr, run: &str, presentities: usize, watchers: usize) -> io::Result<Self> {
        Ok(Self {
            server,
            publisher: socket::bind()?,
            watcher: socket::bind()?,
            run: run.to_owned(),
            publications: vec![Publication::default(); presentities],
            subscriptions: vec![Subscription::default(); presentities * watchers],
            watchers,
            content: 0,
            flying: Vec::new(),
            phase: Phase::Initial,
            outcome: Outcome::default(),
            text: String::new(),
        })
    }

    /// Does one piece of work with so many operations in flight.
    pub(crate) fn work(&mut self, phase: Phase, in_flight: usize) -> io::Result<Outcome> {
        let presentities = 0..self.publications.len();
        let numbers: VecDeque<usize> = match phase {
            Phase::Subscribe | Phase::Unsubscribe => (0..self.subscriptions.len()).collect(),
            Phase::Fan(rounds) => (0..rounds).flat_map(|_| presentities.clone()).collect(),
            _ => presentities.collect(),
        };
        self.work_on(phase, numbers, in_flight)
    }

    /// Does one piece of work with these presentities, or these watchers.
    pub(crate) fn work_on(
        &mut self,
        phase: Phase,
        mut waiting: VecDeque<usize>,
        in_flight: usize,
    ) -> io::Result<Outcome> {
        self.phase = phase;
        self.outcome = Outcome::default();
        let mut scanned = Instant::now();
        let mut batch = Batch::default();
        while !waiting.is_empty() || !self.flying.is_empty() {
            while self.flying.len() < in_flight
                && let Some(number) = waiting.front().copied()
                && !self.flying.iter().any(|flying| flying.number == number)
            {
                waiting.pop_front();
                self.begin(number)?;
            }
            socket::wait([&self.publisher, &self.watcher], Duration::from_millis(20));
            self.drain(&mut batch)?;
            if scanned.elapsed() > SCAN {
                scanned = Instant::now();
                self.repeat()?;
            }
        }
        Ok(std::mem::take(&mut self.outcome))
    }

    fn begin(&mut self, number: usize) -> io::Result<()> {
        let changes = matches!(self.phase, Phase::Initial | Phase::Modify | Phase::Fan(_));
        match self.phase {
            Phase::Subscribe | Phase::Unsubscribe => {
                let subscription = &mut self.subscriptions[number];
                subscription.cseq += 1;
                (subscription.answered, subscription.notified) = (false, false);
            }
            _ => {
                self.content += u32::from(changes);
                let publication = &mut self.publications[number];
                publication.cseq += 1;
                publication.answered = false;
                publication.untold = if matches!(self.phase, Phase::Fan(_)) { self.watchers } else { 0 };
                publication.content = self.content;
            }
        }
        let now = Instant::now();
        self.flying.push(Flying { number, began: now, sent: now, tries: 0 });
        self.send(number)
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        match self.phase {
            Phase::Subscribe | Phase::Unsubscribe => self.subscribe(number),
            _ => self.publish(number),
        }
    }

    fn publish(&mut self, number: usize) -> io::Result<()> {
        let publication = &self.publications[number];
        let here = self.publisher.local_addr()?;
        let body = if matches!(self.phase, Phase::Refresh | Phase::Remove) {
            String::new()
        } else {
            document(number, publication.content)
        };
        let expires = if self.phase == Phase::Remove { 0 } else { EXPIRES };
        let entity_tag = (self.phase != Phase::Initial).then_some(publication.entity_tag.as_str());
        let request = Publish { number, cseq: publication.cseq, expires, entity_tag, body: &body };
        request.write(&mut self.text, From { run: &self.run, here });
        self.publisher.send_to(self.text.as_bytes(), self.server).map(drop)
    }

    fn subscribe(&mut self, number: usize) -> io::Result<()> {
        let subscription = &self.subscriptions[number];
        let request = Subscribe {
            number,
            presentity: number / self.watchers,
            watcher: number % self.watchers,
            cseq: subscription.cseq,
            expires: if self.phase == Phase::Unsubscribe { 0 } else { EXPIRES },
            to_tag: &subscription.to_tag,
            contact: &subscription.contact,
        };
        request.write(&mut self.text, From { run: &self.run, here: self.watcher.local_addr()? });
        self.watcher.send_to(self.text.as_bytes(), self.server).map(drop)
    }

    fn drain(&mut self, batch: &mut Batch) -> io::Result<()> {
        loop {
            let count = batch.take(&self.publisher)?;
            for text in (0..count).filter_map(|number| batch.text(number)) {
                self.published(text);
            }
            if count == 0 {
                break;
            }
        }
        loop {
            let count = batch.take(&self.watcher)?;
            let now = Instant::now();
            for number in 0..count {
                let Some(text) = batch.text(number) else { continue };
                if text.starts_with("NOTIFY ") {
                    self.notified(text, now);
                    batch.answer(number, |answer, text| request::confirmed(answer, text, "w"));
                } else {
                    self.subscribed(text);
                }
            }
            batch.send(&self.watcher)?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// An answer to a PUBLISH.
    fn published(&mut self, text: &str) {
        let Some(status) = message::status(text).filter(|status| *status >= 200) else { return };
        let Some(number) = message::number(text, &self.run, 'p') else { return };
        let Some(publication) = self.publications.get_mut(number) else { return };
        if !is_of(text, publication.cseq) || publication.answered {
            return;
        }
        publication.answered = true;
        if status >= 300 {
            publication.untold = 0;
            return self.end(number, Some(status));
        }
        if let Some(tag) = message::header(text, "sip-etag", "") {
            publication.entity_tag.clear();
            publication.entity_tag.push_str(tag);
        }
        if publication.untold == 0 {
            self.end(number, None);
        }
    }

    /// An answer to a SUBSCRIBE.
    fn subscribed(&mut self, text: &str) {
        let Some(status) = message::status(text).filter(|status| *status >= 200) else { return };
        let Some(number) = message::number(text, &self.run, 's') else { return };
        let Some(subscription) = self.subscriptions.get_mut(number) else { return };
        if !is_of(text, subscription.cseq) || subscription.answered {
            return;
        }
        subscription.answered = true;
        if status >= 300 {
            return self.end(number, Some(status));
        }
        if let Some(tag) = message::header(text, "to", "t").and_then(|to| message::param(to, ";tag=")) {
            tag.clone_into(&mut subscription.to_tag);
        }
        if let Some(contact) = message::header(text, "contact", "m").and_then(message::bracketed) {
            contact.clone_into(&mut subscription.contact);
        }
        if subscription.notified {
            self.end(number, None);
        }
    }

    /// A NOTIFY.
    fn notified(&mut self, text: &str, now: Instant) {
        let Some(number) = message::number(text, &self.run, 's') else { return };
        let Some(subscription) = self.subscriptions.get_mut(number) else { return };
        let state = message::header(text, "subscription-state", "").unwrap_or_default();
        match self.phase {
            Phase::Subscribe => {
                subscription.notified = true;
                if subscription.answered {
                    self.end(number, None);
                }
            }
            Phase::Unsubscribe if state.starts_with("terminated") => {
                subscription.notified = true;
                if subscription.answered {
                    self.end(number, None);
                }
            }
            Phase::Fan(_) => {
                let Some(content) = content(message::body(text)).filter(|content| *content != subscription.content)
                else {
                    return;
                };
                subscription.content = content;
                let number = number / self.watchers;
                let publication = &mut self.publications[number];
                if content != publication.content || publication.untold == 0 {
                    return;
                }
                publication.untold -= 1;
                let over = publication.untold == 0 && publication.answered;
                if let Some(flying) = self.flying.iter().find(|flying| flying.number == number) {
                    self.outcome.latencies.push(now.duration_since(flying.began));
                    self.outcome.notified += 1;
                }
                if over {
                    self.end(number, None);
                }
            }
            _ => {}
        }
    }

    /// An operation is over.
    fn end(&mut self, number: usize, refusal: Option<u16>) {
        let Some(place) = self.flying.iter().position(|flying| flying.number == number) else { return };
        let flying = self.flying.swap_remove(place);
        if refusal.is_some() {
            self.outcome.failed += 1;
            self.outcome.refusal = refusal;
            return;
        }
        self.outcome.done += 1;
        if !matches!(self.phase, Phase::Fan(_)) {
            self.outcome.latencies.push(flying.began.elapsed());
        }
    }

    /// Sends again what had no answer, and gives up what never has one.
    fn repeat(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let late = |flying: &Flying| now.duration_since(flying.sent) > wait(flying.tries);
        for number in self.flying.iter().filter(|flying| late(flying)).map(|flying| flying.number).collect::<Vec<_>>() {
            let Some(flying) = self.flying.iter_mut().find(|flying| flying.number == number) else { continue };
            flying.tries += 1;
            flying.sent = now;
            if flying.tries > TRIES {
                self.outcome.failed += 1;
                self.flying.retain(|flying| flying.number != number);
                continue;
            }
            let answered = match self.phase {
                Phase::Subscribe | Phase::Unsubscribe => self.subscriptions[number].answered,
                _ => self.publications[number].answered,
            };
            if !answered {
                self.outcome.repeated += 1;
                self.send(number)?;
            }
        }
        Ok(())
    }
}

/// Whether an answer is to the request with this number.
fn is_of(text: &str, cseq: u32) -> bool {
    let found = message::header(text, "cseq", "").and_then(|value| value.split(' ').next());
    found.and_then(|number| number.parse().ok()) == Some(cseq)
}

/// The number in a document.
fn content(document: &str) -> Option<u32> {
    document.split_once("note>q")?.1.split_once('e')?.0.parse().ok()
}
