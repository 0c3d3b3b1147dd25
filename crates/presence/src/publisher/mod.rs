//! The publisher (event publication agent, RFC 3903): one machine for each user and presence server, fed with the calls
//! that are answered and ended.

pub mod limits;
mod publication;
mod publish;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::digest::{Credentials, Preference};
use sip::timer::{TimerKey, Wheel};
use sip::transaction::Failure;
use sip::{Aor, KeyedMap, KeyedState, Names, NumberMap, Random, Request};
use wire::sip::Message;

use crate::document::Spelling;
use publication::Publication;
pub use publish::Publish;
pub use report::Report;

/// What the publisher is told of a presence server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in records and reports.
    pub name: Arc<str>,
    /// How on-the-phone is spelled for it.
    pub spelling: Spelling,
    /// The lifetime that is asked for.
    pub expires: Duration,
    /// The lifetime that the first PUBLISH of a call asks for, where it differs: the shorter it is, the less harm a
    /// lost answer does.
    pub first_expires: Option<Duration>,
    /// The longest lifetime that is asked for after a 423.
    pub max_expires: Duration,
    /// What we prove ourselves with.
    pub credentials: Option<Credentials>,
    /// Which of several digest challenges is answered.
    pub preference: Preference,
    /// Whether a 3xx is followed.
    pub follow_redirects: bool,
    /// A route that every PUBLISH takes.
    pub route: Option<Box<str>>,
    /// A name of this node that is the same after a restart, as `+sip.instance`; lets a presence server of ours supersede.
    pub instance: Option<Box<str>>,
}

impl Server {
    /// A server with the settings of the manual's page: 600 seconds, `both` spellings.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            spelling: Spelling::Both,
            expires: Duration::from_secs(600),
            first_expires: None,
            max_expires: Duration::from_secs(3600),
            credentials: None,
            preference: Preference::Strongest,
            follow_redirects: false,
            route: None,
            instance: None,
        }
    }
}

/// A deliberate fault, so that tests can show that they would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// The entity-tag of a refresh's answer is not kept.
    TagNotUpdated,
    /// A 412 is taken for a passing failure.
    Ignores412,
    /// The removal is not sent.
    RemoveLost,
    /// A 2xx that comes after its transaction has timed out is not looked at.
    Late2xxIgnored,
    /// The refresh leaves when the grant is over, as the manual has it.
    RefreshesLate,
    /// The answer to a PUBLISH whose call has ended meanwhile is not followed by a removal.
    EndInFlightForgotten,
    /// The first PUBLISH leaves without its intent being written.
    NoIntent,
    /// What an earlier run left over is not taken up.
    LeftoversForgotten,
    /// A refresh is an initial.
    RefreshIsInitial,
    /// What the server grants is taken for what was asked.
    GrantIgnored,
    /// After a failure nothing is tried again for an hour.
    NoRetry,
    /// The end of one call is taken for the end of all.
    OneCallOnly,
    /// What a late answer brought while its tag was on its way again is not looked at.
    NewerForgotten,
}

/// The handle of a PUBLISH on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishKey {
    publication: u64,
    number: u32,
}

/// What the store keeps of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The user.
    pub user: Aor,
    /// The presence server's name.
    pub server: Arc<str>,
    /// The newest entity-tag; none while the first answer is awaited.
    pub tag: Option<Box<str>>,
    /// When nothing of this publication can live any more, whatever a PUBLISH on its way makes of it.
    pub until: Instant,
    /// The entity-tags that late answers brought, each with when what it names has run out.
    pub orphans: Vec<(Box<str>, Instant)>,
    /// When what an unanswered first PUBLISH may have made, beside what the tags name, has run out.
    pub nameless_until: Option<Instant>,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A call of a user was answered, or an answered one ended.
    Hook {
        /// The user.
        user: Aor,
        /// Their name, for documents.
        display_name: Option<String>,
        /// The call's number.
        call: u64,
        /// Whether it is up.
        up: bool,
    },
    /// A response to a PUBLISH; provisional ones change nothing.
    Answer {
        /// The PUBLISH.
        key: PublishKey,
        /// The response.
        message: &'a Message<'a>,
    },
    /// A PUBLISH got no answer, or could not be sent.
    Failed {
        /// The PUBLISH.
        key: PublishKey,
        /// Why.
        cause: Failure,
    },
    /// A response that belongs to no transaction: it may be the late answer to a PUBLISH.
    Late {
        /// The response.
        message: &'a Message<'a>,
    },
    /// Every record up to this number is with the operating system.
    Written {
        /// The number of an [`Output::Save`].
        up_to: u64,
    },
    /// A record that an earlier run left over.
    Restore(Record),
    /// The connection to a server, or its answer to OPTIONS, has come back.
    Reachable {
        /// The server's name.
        server: &'a str,
    },
    /// The configuration has changed: whom a server has refused may be published anew.
    Reconsider,
    /// Take everything back; [`Output::Stopped`] follows.
    Stop,
    /// The time of [`Publisher::next_timeout`] has come. Harmless when early.
    Timeout,
}

/// One thing that follows.
#[derive(Debug)]
pub enum Output {
    /// Send this PUBLISH.
    Send {
        /// Its handle.
        key: PublishKey,
        /// The index of the server.
        server: usize,
        /// Another URI to send it to, after a redirection.
        instead: Option<Box<str>>,
        /// The request.
        request: Request,
    },
    /// Keep this record; [`Input::Written`] follows.
    Save {
        /// Ascending.
        number: u64,
        /// The record.
        record: Record,
    },
    /// Drop the record of this user and server.
    Forget {
        /// The user.
        user: Aor,
        /// The presence server's name.
        server: Arc<str>,
    },
    /// Something that a person or a counter wants to know.
    Report(Report),
    /// Everything has been taken back.
    Stopped,
}

/// All publications of one node.
#[derive(Debug)]
pub struct Publisher {
    servers: Vec<Server>,
    /// For each server that takes no presence, until when it is left alone.
    refused: Vec<Option<Instant>>,
    names: Names,
    users: KeyedMap<Aor, User>,
    by_user: KeyedMap<(Aor, usize), u64>,
    publications: NumberMap<Publication>,
    /// Call-IDs of PUBLISH requests that timed out, whose answers may yet come.
    late: KeyedMap<Box<str>, Late>,
    /// Publications that wait for a record to be written.
    unwritten: BTreeMap<u64, u64>,
    wheel: Wheel<Due>,
    outputs: VecDeque<Output>,
    numbered: u64,
    saved: u64,
    restored: usize,
    stopping: bool,
    mutant: Option<Mutant>,
}

#[derive(Debug, Default)]
struct User {
    calls: BTreeSet<u64>,
    display_name: Option<String>,
}

#[derive(Debug)]
struct Late {
    publication: u64,
    publish: Publish,
    asked: Duration,
    sent_at: Instant,
}

#[derive(Clone, Debug)]
enum Due {
    Step(u64),
    Late(Box<str>),
}

impl Publisher {
    /// A publisher for these servers.
    #[must_use]
    pub fn new(servers: Vec<Server>, names: Names, keyed: KeyedState, now: Instant) -> Self {
        Self {
            refused: vec![None; servers.len()],
            servers,
            names,
            users: KeyedMap::with_hasher(keyed),
            by_user: KeyedMap::with_hasher(keyed),
            publications: NumberMap::default(),
            late: KeyedMap::with_hasher(keyed),
            unwritten: BTreeMap::new(),
            wheel: Wheel::new(now),
            outputs: VecDeque::new(),
            numbered: 0,
            saved: 0,
            restored: 0,
            stopping: false,
            mutant: None,
        }
    }

    /// Breaks it on purpose.
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// One thing happened; drain [`Publisher::poll`] after it.
    pub fn handle(&mut self, now: Instant, random: &mut Random, input: Input<'_>) {
        match input {
            Input::Hook { user, display_name, call, up } => self.hook(now, random, &user, display_name, call, up),
            Input::Answer { key, message } => self.answer(now, random, key, message),
            Input::Failed { key, cause } => self.failed(now, random, key, cause),
            Input::Late { message } => self.late_answer(now, random, message),
            Input::Written { up_to } => self.written(now, random, up_to),
            Input::Restore(record) => self.restore(now, random, record),
            Input::Reachable { server } => self.reachable(now, server),
            Input::Reconsider => self.reconsider(now),
            Input::Stop => self.stop(now, random),
            Input::Timeout => {}
        }
        while let Some(due) = self.wheel.expire(now) {
            match due {
                Due::Step(id) => self.step(now, random, id),
                Due::Late(call_id) => drop(self.late.remove(&call_id)),
            }
        }
        if self.stopping && self.unsettled() == 0 {
            self.stopping = false;
            self.outputs.push_back(Output::Stopped);
        }
    }

    /// What follows; drained to `None` after each input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// How many publications live, or may live, at servers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.publications.len()
    }

    /// Whether nothing of ours lives at any server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }

    /// Whether anything lives, or may live, at this server.
    #[must_use]
    pub fn holds(&self, server: usize) -> bool {
        self.publications.values().any(|publication| publication.server == server)
    }

    /// How many publications an orderly stop still waits for.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.publications.values().filter(|publication| publication.is_unsettled()).count()
    }

    fn is_broken(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn hook(
        &mut self,
        now: Instant,
        random: &mut Random,
        aor: &Aor,
        display_name: Option<String>,
        call: u64,
        up: bool,
    ) {
        let user = self.users.get_or_default(aor.clone());
        let was = !user.calls.is_empty();
        let renamed = up && was && user.display_name != display_name;
        if up {
            user.display_name = display_name;
            if user.calls.len() < limits::CALLS_PER_USER {
                user.calls.insert(call);
            }
        } else {
            user.calls.remove(&call);
            if self.mutant == Some(Mutant::OneCallOnly) {
                user.calls.clear();
            }
        }
        let is = !user.calls.is_empty();
        if !is {
            self.users.remove(aor);
        }
        if renamed {
            return self.renamed(now, random, aor);
        }
        if was == is {
            return;
        }
        for server in 0..self.servers.len() {
            let id = match self.by_user.get(&(aor.clone(), server)) {
                Some(id) => *id,
                None if is => match self.begin(random, aor, server) {
                    Some(id) => id,
                    None => continue,
                },
                None => continue,
            };
            if let Some(publication) = self.publications.get_mut(&id) {
                publication.hook_changed(now, is);
            }
            self.step(now, random, id);
        }
    }

    /// The document bears the name: what was published is modified.
    fn renamed(&mut self, now: Instant, random: &mut Random, aor: &Aor) {
        for server in 0..self.servers.len() {
            let Some(id) = self.by_user.get(&(aor.clone(), server)).copied() else { continue };
            if let Some(publication) = self.publications.get_mut(&id) {
                publication.document_changed();
            }
            self.step(now, random, id);
        }
    }

    fn begin(&mut self, random: &mut Random, user: &Aor, server: usize) -> Option<u64> {
        if self.publications.len() >= limits::PUBLICATIONS {
            return None;
        }
        self.numbered += 1;
        let id = self.numbered;
        let credentials = self.servers.get(server)?.credentials.clone();
        self.by_user.insert((user.clone(), server), id);
        self.publications.insert(id, Publication::new(user.clone(), server, random, credentials));
        Some(id)
    }

    fn written(&mut self, now: Instant, random: &mut Random, up_to: u64) {
        while let Some(entry) = self.unwritten.first_entry().filter(|entry| *entry.key() <= up_to) {
            let (number, id) = entry.remove_entry();
            if let Some(publication) = self.publications.get_mut(&id) {
                publication.written(number);
            }
            self.go_on(now, random, id);
        }
    }

    /// A record of an earlier run: what its tag names is removed, and where there is none we can only wait.
    fn restore(&mut self, now: Instant, random: &mut Random, record: Record) {
        if self.is_broken(Mutant::LeftoversForgotten) {
            return;
        }
        let Some(server) = self.servers.iter().position(|server| server.name == record.server) else {
            // The configuration no longer has this server: there is nobody to tell.
            self.outputs.push_back(Output::Forget { user: record.user, server: record.server });
            return;
        };
        let Some(id) = self.begin(random, &record.user, server) else { return };
        let place = self.restored;
        self.restored += 1;
        let pace = u32::try_from(place.saturating_sub(limits::AT_ONCE)).unwrap_or(u32::MAX);
        let at = now + limits::PACE.saturating_mul(pace);
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(server) else { return };
        publication.restored(record, server, now, at);
        self.step(now, random, id);
    }

    /// The server is back: what is published there is refreshed, and what failed is tried again, one after the other.
    fn reachable(&mut self, now: Instant, server: &str) {
        let Some(index) = self.servers.iter().position(|known| &*known.name == server) else { return };
        if let Some(refused) = self.refused.get_mut(index) {
            *refused = None;
        }
        self.one_after_the_other(now, |publication, at| {
            let concerned = publication.server == index;
            if concerned {
                publication.reachable(at);
            }
            concerned
        });
    }

    /// The configuration has changed, perhaps for the sake of those whom a server has refused.
    fn reconsider(&mut self, now: Instant) {
        self.refused.fill(None);
        self.one_after_the_other(now, |publication, _| publication.reconsider());
    }

    /// Lets publications take their next step, paced; `concerned` says which, and is told when.
    fn one_after_the_other(&mut self, now: Instant, mut concerned: impl FnMut(&mut Publication, Instant) -> bool) {
        let mut ids: Vec<u64> = self.publications.keys().copied().collect();
        ids.sort_unstable();
        let mut at = now;
        for id in ids {
            if self.publications.get_mut(&id).is_some_and(|publication| concerned(publication, at)) {
                self.schedule(id, at);
                at += limits::PACE;
            }
        }
    }

    fn stop(&mut self, now: Instant, random: &mut Random) {
        self.stopping = true;
        self.users.clear();
        let mut ids: Vec<u64> = self.publications.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(publication) = self.publications.get_mut(&id) {
                publication.hook_changed(now, false);
            }
            self.step(now, random, id);
        }
    }

    fn schedule(&mut self, id: u64, at: Instant) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        if let Some(old) = publication.timer.take() {
            self.wheel.cancel(old);
        }
        let timer: TimerKey = self.wheel.schedule(at, Due::Step(id));
        publication.timer = Some(timer);
    }

    fn forget(&mut self, id: u64) {
        let Some(publication) = self.publications.remove(&id) else { return };
        if let Some(timer) = publication.timer {
            self.wheel.cancel(timer);
        }
        let Some(server) = self.servers.get(publication.server) else { return };
        if publication.is_recorded() {
            self.outputs.push_back(Output::Forget { user: publication.user.clone(), server: Arc::clone(&server.name) });
        }
        self.by_user.remove(&(publication.user, publication.server));
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }
}
