//! One publication: one user at one presence server, and what is to be done about it next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::digest::{self, Challenged, Credentials};
use sip::timer::TimerKey;
use sip::transaction::Failure;
use sip::{Aor, ContactUser, Random};
use wire::sip::{Contact, HeaderName, Message};

use super::publish::Names;
use super::{Due, Late, Mutant, Output, Publish, PublishKey, Publisher, Record, Report, Server, limits};
use crate::document;

/// What the server has granted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    tag: Box<str>,
    /// Counted from the answer.
    until: Instant,
    /// Counted from the sending.
    refresh_at: Instant,
    /// Whether the attempt that every grant gets before its end, whatever Retry-After says, has been made.
    last_chance_taken: bool,
}

/// A PUBLISH that awaits its final answer.
#[derive(Debug)]
struct Flight {
    number: u32,
    publish: Publish,
    names: Names,
    asked: Duration,
    sent_at: Instant,
    retries: u8,
    /// It asks for the time that a 423 named; a second 423 is a refusal.
    lengthened: bool,
    /// It removes an entity-tag that came late, not the publication itself.
    orphan: bool,
    instead: Option<Box<str>>,
}

/// One user at one presence server.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) user: Aor,
    pub(super) server: usize,
    pub(super) timer: Option<TimerKey>,
    /// Whether the user is in an answered call.
    wanted: bool,
    /// Whether the server holds a document that is no longer right.
    outdated: bool,
    /// Makes the ids in the document unique.
    document_id: String,
    grant: Option<Grant>,
    /// What a late answer to the refresh in flight brought; it counts once that one meets 412.
    newer: Option<Grant>,
    /// Publications that late answers brought to light; they are removed first.
    orphans: Vec<Grant>,
    flight: Option<Flight>,
    /// A PUBLISH that leaves once the record is written that covers it.
    postponed: Option<Flight>,
    /// The number of the record that must be written before the first PUBLISH.
    storing: Option<u64>,
    /// Whether the store has a record.
    recorded: bool,
    /// Until when something may live, as the newest record has it.
    recorded_until: Option<Instant>,
    /// Nothing is sent before this.
    not_before: Option<Instant>,
    /// The server itself asked for that pause.
    told_to_wait: bool,
    attempts: u32,
    /// Something may live until then whose entity-tag is unknown.
    may_live_until: Option<Instant>,
    /// A refresh whose answer is lost may have changed the tag that we hold; what it made lives until then.
    unsure_until: Option<Instant>,
    stick_reported: bool,
    last_initial: Option<Instant>,
    /// What the server asked for by 423.
    expires: Option<Duration>,
    authentication: Option<digest::Client>,
    credentials: Option<Credentials>,
    short_reported: bool,
    sent: u32,
}

/// What is to be done.
enum Next {
    /// An answer is awaited.
    Wait,
    /// Come back then.
    At(Instant),
    /// Write the intent first.
    Save,
    /// Send it; whether it removes an orphan.
    Send(Publish, bool),
    /// Nothing can be done but wait until it has run out.
    Stick(Instant),
    /// Nothing of ours is left.
    Forget,
}

impl Publication {
    pub(super) fn new(user: Aor, server: usize, random: &mut Random, credentials: Option<Credentials>) -> Self {
        Self {
            user,
            server,
            timer: None,
            wanted: false,
            outdated: false,
            document_id: format!("{:016x}", random.u64()),
            grant: None,
            newer: None,
            orphans: Vec::new(),
            flight: None,
            postponed: None,
            storing: None,
            recorded: false,
            recorded_until: None,
            not_before: None,
            told_to_wait: false,
            attempts: 0,
            may_live_until: None,
            unsure_until: None,
            stick_reported: false,
            last_initial: None,
            expires: None,
            authentication: None,
            credentials,
            short_reported: false,
            sent: 0,
        }
    }

    /// The first call was answered, or the last one ended. What a refusal forbade may be tried anew.
    pub(super) fn hook_changed(&mut self, now: Instant, wanted: bool) {
        self.wanted = wanted;
        // Nothing is asked for on behalf of a call that is over, and its end does not wait for the store.
        if !wanted && let Some(postponed) = self.postponed.take() {
            self.not_sent(&postponed.publish);
            self.storing = None;
        }
        if !self.told_to_wait || self.not_before.is_none_or(|at| at <= now) {
            self.not_before = None;
            self.told_to_wait = false;
        }
    }

    /// What is published of the user has changed.
    pub(super) fn document_changed(&mut self) {
        self.outdated = true;
    }

    /// What a refusal forbade may be tried anew; whether there is anything to try.
    pub(super) fn reconsider(&mut self) -> bool {
        let waits = self.wanted && self.grant.is_none() && !self.told_to_wait;
        if waits {
            self.not_before = None;
        }
        waits
    }

    /// A record is with the operating system.
    pub(super) fn written(&mut self, number: u64) {
        if self.storing.is_some_and(|storing| storing <= number) {
            self.storing = None;
            self.recorded = true;
        }
    }

    /// The longest lifetime that a PUBLISH asks for.
    fn lifetime(&self, server: &Server) -> Duration {
        self.expires.unwrap_or(server.expires).max(server.first_expires.unwrap_or_default())
    }

    /// Whether the newest record says that what asks for so long now may live.
    fn covers(&self, now: Instant, asked: Duration) -> bool {
        self.recorded_until.is_some_and(|until| now + limits::TRANSACTION + asked <= until)
    }

    /// Takes up what an earlier run has left. The wall clock may have jumped meanwhile: what has a tag is removed even
    /// where it seems to have run out, and nothing lives longer than was ever asked for.
    pub(super) fn restored(&mut self, record: Record, server: &Server, now: Instant, at: Instant) {
        let longest = now + server.max_expires.max(server.expires) * 2;
        let tries = at + server.expires;
        let until = record.until.min(longest);
        self.may_live_until = record.nameless_until.map(|until| until.min(longest));
        match record.tag {
            Some(tag) => {
                // A refresh may have been on its way when the earlier run died; should the removal meet 412, what that made
                // lives on under a tag that nobody knows.
                self.unsure_until = Some(until);
                self.grant = Some(Grant { tag, until: until.max(tries), refresh_at: at, last_chance_taken: false });
            }
            None => self.may_live_until = self.may_live_until.max(Some(until)),
        }
        let orphans = record.orphans.into_iter().take(limits::ORPHANS);
        self.orphans.extend(orphans.map(|(tag, until)| Grant {
            tag,
            until: until.min(longest).max(tries),
            refresh_at: at,
            last_chance_taken: false,
        }));
        self.recorded = true;
        self.not_before = Some(at);
        self.told_to_wait = true;
    }

    pub(super) fn reachable(&mut self, at: Instant) {
        // A pause that the server itself asked for holds.
        if !self.told_to_wait || self.not_before.is_none_or(|until| until <= at) {
            self.not_before = Some(at);
            self.told_to_wait = false;
            self.attempts = 0;
        }
        if let Some(grant) = &mut self.grant {
            grant.refresh_at = grant.refresh_at.min(at);
        }
    }

    /// A PUBLISH could not leave: it is due as before.
    fn not_sent(&mut self, publish: &Publish) {
        match publish {
            // No initial has left, so none has to be waited after.
            Publish::Initial { .. } => self.last_initial = None,
            Publish::Modify { .. } => self.outdated = true,
            Publish::Refresh { .. } | Publish::Remove { .. } => {}
        }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.recorded || self.storing.is_some()
    }

    /// Whether anything can still be taken back.
    pub(super) fn is_unsettled(&self) -> bool {
        self.flight.is_some() || self.grant.is_some() || !self.orphans.is_empty() || self.storing.is_some()
    }

    fn next(&mut self, now: Instant, server_refused: Option<Instant>, is_covered: bool) -> Next {
        if self.flight.is_some() || self.storing.is_some() {
            return Next::Wait;
        }
        // The server has let go of the tag that we hold: what a late answer brought in its place is all there is.
        if self.grant.as_ref().is_some_and(|grant| grant.until <= now)
            && let Some(newer) = self.newer.take_if(|newer| newer.until > now)
        {
            self.grant = Some(newer);
        }
        let pause = self.not_before.filter(|at| *at > now);
        self.orphans.retain(|orphan| orphan.until > now);
        if let Some(orphan) = self.orphans.first() {
            return match pause {
                Some(at) => Next::At(at.min(orphan.until)),
                None => Next::Send(Publish::Remove { tag: orphan.tag.clone() }, true),
            };
        }
        match (&mut self.grant, self.wanted) {
            (Some(grant), true) => {
                let wanted_at = if self.outdated { now } else { grant.refresh_at };
                let mut due = wanted_at.max(pause.unwrap_or(now));
                let chance = grant.until.checked_sub(Duration::from_secs(5)).unwrap_or(now).max(now);
                if due > chance && grant.until > now && !grant.last_chance_taken {
                    due = chance.max(grant.refresh_at.min(grant.until));
                }
                if due > now {
                    return Next::At(due);
                }
                grant.last_chance_taken = pause.is_some();
                let tag = grant.tag.clone();
                let modify = std::mem::take(&mut self.outdated);
                Next::Send(
                    if modify { Publish::Modify { tag, body: Vec::new() } } else { Publish::Refresh { tag } },
                    false,
                )
            }
            // A server that takes no presence is asked for nothing new; what it holds is refreshed and removed all the same.
            (None, true) => match self.not_before.max(server_refused).filter(|at| *at > now) {
                Some(at) => Next::At(at),
                None if is_covered => Next::Send(Publish::Initial { body: Vec::new() }, false),
                None => Next::Save,
            },
            (Some(grant), false) => {
                let over = grant.until.max(self.unsure_until.unwrap_or(grant.until));
                match pause {
                    _ if over <= now => Next::Forget,
                    Some(at) => Next::At(at.min(over)),
                    None => Next::Send(Publish::Remove { tag: grant.tag.clone() }, false),
                }
            }
            (None, false) => match self.may_live_until.filter(|until| *until > now) {
                Some(until) => Next::Stick(until),
                None => Next::Forget,
            },
        }
    }

    /// The pause after another failure.
    fn back_off(&mut self, now: Instant, random: &mut Random, retry_after: Option<u32>) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        let doubled = limits::FIRST_BACK_OFF.saturating_mul(1 << (self.attempts - 1).min(6)).min(limits::BACK_OFF);
        let pause = random.between(doubled / 2, doubled);
        let told = Duration::from_secs(u64::from(retry_after.unwrap_or(0))).min(Duration::from_secs(3600));
        self.told_to_wait = retry_after.is_some();
        let pause = pause.max(told);
        self.not_before = Some(now + pause);
        pause
    }

    fn at_ease(&mut self) {
        self.attempts = 0;
        self.not_before = None;
        self.told_to_wait = false;
    }
}

/// When to refresh, counted from the sending: between 50 % and 85 % of the grant, and at least 32 s before its end where
/// it is long enough; a very short one at half, but not more than once a second.
fn refresh_after(granted: Duration, random: &mut Random) -> Duration {
    if granted < limits::SHORT_GRANT {
        return (granted / 2).max(Duration::from_secs(1));
    }
    let mut latest = granted * 85 / 100;
    if granted >= limits::MARGIN * 2 {
        latest = latest.min(granted - limits::MARGIN);
    }
    random.between(granted / 2, latest.max(granted / 2))
}

/// What a response says about its own failure: reason phrase, Warning, ms-diagnostics.
fn words(message: &Message<'_>) -> String {
    let mut words =
        message.status().map(|status| String::from_utf8_lossy(status.reason).into_owned()).unwrap_or_default();
    for extra in [message.header(HeaderName::Warning), message.header_named("ms-diagnostics")].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(&String::from_utf8_lossy(extra));
    }
    words
}

impl Publisher {
    /// Does what is next for a publication.
    pub(super) fn step(&mut self, now: Instant, random: &mut Random, id: u64) {
        self.proceed(now, random, id, self.mutant == Some(Mutant::NoIntent));
    }

    /// Does what is next for a publication; `is_covered` where a first PUBLISH needs no other record.
    fn proceed(&mut self, now: Instant, random: &mut Random, id: u64, is_covered: bool) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        if let Some(timer) = publication.timer.take() {
            self.wheel.cancel(timer);
        }
        let refused = self.refused.get(publication.server).copied().flatten();
        if self.mutant == Some(Mutant::RemoveLost) && !publication.wanted && publication.flight.is_none() {
            return self.forget(id);
        }
        publication.newer.take_if(|_| self.mutant == Some(Mutant::NewerForgotten));
        let server = self.servers.get(publication.server);
        let is_covered =
            is_covered || server.is_some_and(|server| publication.covers(now, publication.lifetime(server)));
        match publication.next(now, refused, is_covered) {
            Next::Wait => {}
            Next::At(at) => self.schedule(id, at),
            Next::Save => self.save_intent(now, id),
            Next::Send(publish, orphan) => self.begin_flight(now, random, id, publish, orphan),
            Next::Stick(until) => {
                let reported = std::mem::replace(&mut publication.stick_reported, true);
                let user = publication.user.clone();
                if let Some(server) = self.servers.get(publication.server).filter(|_| !reported) {
                    let server = Arc::clone(&server.name);
                    self.report(Report::MayStick { user, server, at_most: until - now });
                }
                self.schedule(id, until);
            }
            Next::Forget => self.forget(id),
        }
    }

    /// Writes down that something of this user may live at this server, before it does.
    fn save_intent(&mut self, now: Instant, id: u64) {
        let number = self.save(now, id);
        if let (Some(number), Some(publication)) = (number, self.publications.get_mut(&id)) {
            publication.storing = Some(number);
            self.unwritten.insert(number, id);
        }
    }

    /// Writes the record of a publication; its number.
    fn save(&mut self, now: Instant, id: u64) -> Option<u64> {
        let publication = self.publications.get_mut(&id)?;
        let server = self.servers.get(publication.server)?;
        let asked = publication.lifetime(server);
        // One more PUBLISH may be on its way when we die.
        let begins = publication.grant.as_ref().map_or(now, |grant| grant.until) + limits::ON_ITS_WAY;
        let until = begins + asked;
        publication.recorded_until = Some(until);
        self.saved += 1;
        let record = Record {
            user: publication.user.clone(),
            server: Arc::clone(&server.name),
            tag: publication.grant.as_ref().map(|grant| grant.tag.clone()),
            until,
            // What comes in the place of the tag once that meets 412 would be one, should we die before.
            orphans: publication
                .orphans
                .iter()
                .chain(&publication.newer)
                .map(|orphan| (orphan.tag.clone(), orphan.until))
                .collect(),
            nameless_until: publication.may_live_until.filter(|until| *until > now),
        };
        self.outputs.push_back(Output::Save { number: self.saved, record });
        Some(self.saved)
    }

    fn begin_flight(&mut self, now: Instant, random: &mut Random, id: u64, publish: Publish, orphan: bool) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        let usual = publication.expires.unwrap_or(server.expires);
        let publish = match publish {
            Publish::Refresh { .. } if self.mutant == Some(Mutant::RefreshIsInitial) => {
                Publish::Initial { body: Vec::new() }
            }
            other => other,
        };
        let name = self.users.get(&publication.user).and_then(|user| user.display_name.as_deref());
        let body = || document::on_the_phone(server.spelling, &publication.user, name, &publication.document_id);
        let (publish, asked) = match publish {
            Publish::Initial { .. } => {
                let body = body();
                publication.outdated = false;
                publication.last_initial = Some(now);
                (
                    Publish::Initial { body },
                    server.first_expires.map_or(usual, |first| first.max(publication.expires.unwrap_or(first))),
                )
            }
            Publish::Modify { tag, .. } => (Publish::Modify { tag, body: body() }, usual),
            other => (other, usual),
        };
        let names =
            Names { call_id: self.names.call_id(random).into(), from_tag: self.names.tag(random).into(), cseq: 1 };
        let flight = Flight {
            number: 0,
            publish,
            names,
            asked,
            sent_at: now,
            retries: 0,
            lengthened: false,
            orphan,
            instead: None,
        };
        self.fly(random, id, flight);
    }

    /// Sends a PUBLISH, for the first time or again with credentials or a longer interval.
    fn fly(&mut self, random: &mut Random, id: u64, mut flight: Flight) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        publication.sent = publication.sent.wrapping_add(1);
        flight.number = publication.sent;
        let contact = contact(&publication.user, server);
        let mut request = flight.publish.request(&publication.user, &flight.names, flight.asked, contact);
        if let Some(route) = &server.route {
            request.headers.push_fmt(HeaderName::Route, format_args!("<{route}>"));
        }
        if let Some(authentication) = &mut publication.authentication {
            for (name, value) in authentication.authorize(random, "PUBLISH", publication.user.as_str()) {
                request.headers.push(name, value);
            }
        }
        let key = PublishKey { publication: id, number: flight.number };
        let (server, instead) = (publication.server, flight.instead.clone());
        publication.flight = Some(flight);
        self.outputs.push_back(Output::Send { key, server, instead, request });
    }

    fn land(&mut self, key: PublishKey) -> Option<Flight> {
        let publication = self.publications.get_mut(&key.publication)?;
        if publication.flight.as_ref().is_none_or(|flight| flight.number != key.number) {
            return None;
        }
        publication.flight.take()
    }

    pub(super) fn answer(&mut self, now: Instant, random: &mut Random, key: PublishKey, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return };
        let Some(flight) = self.land(key) else { return };
        let id = key.publication;
        match code {
            200..300 => self.accepted(now, random, id, &flight, message),
            412 if !self.is_broken(Mutant::Ignores412) => self.forgotten(now, id, &flight),
            423 => match self.longer(id, &flight, message) {
                Some(asked) => return self.again(now, random, id, Flight { asked, lengthened: true, ..flight }),
                None => self.refused_user(now, random, id, &flight, code, message),
            },
            401 | 407 => match self.challenged(id, &flight, message) {
                Challenged::Retry if flight.retries < limits::RETRIES => return self.again(now, random, id, flight),
                Challenged::Stale if flight.retries < limits::RETRIES => return self.again(now, random, id, flight),
                _ => self.refused_user(now, random, id, &flight, code, message),
            },
            300..=399 => match self.redirected(id, &flight, message) {
                Some(uri) => return self.again(now, random, id, Flight { instead: Some(uri), ..flight }),
                None => self.refused_user(now, random, id, &flight, code, message),
            },
            405 | 415 | 420 | 489 | 501 => self.refused_server(now, random, id, &flight, code, message),
            408 | 500..600 | 412 => {
                self.fate_unknown(now, id, &flight);
                self.trouble(now, random, id, message.retry_after(), format!("{code} {}", words(message)));
            }
            _ => self.refused_user(now, random, id, &flight, code, message),
        }
        self.step(now, random, id);
    }

    /// Sends a PUBLISH again, with credentials, a longer interval, or to another URI. Where it may outlive what the record
    /// says, that is written first.
    fn again(&mut self, now: Instant, random: &mut Random, id: u64, flight: Flight) {
        let names = Names { cseq: flight.names.cseq.saturating_add(1), ..flight.names };
        let flight = Flight { names, retries: flight.retries.saturating_add(1), ..flight };
        let Some(publication) = self.publications.get_mut(&id) else { return };
        if publication.covers(now, flight.asked) || flight.publish.is_remove() || self.mutant == Some(Mutant::NoIntent)
        {
            return self.fly(random, id, flight);
        }
        publication.postponed = Some(flight);
        self.save_intent(now, id);
    }

    /// A record was written: what has waited for it leaves, however long that took.
    pub(super) fn go_on(&mut self, now: Instant, random: &mut Random, id: u64) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let is_covered = publication.storing.is_none();
        match publication.postponed.take_if(|_| is_covered) {
            Some(flight) => self.fly(random, id, flight),
            None => self.proceed(now, random, id, is_covered),
        }
    }

    fn accepted(&mut self, now: Instant, random: &mut Random, id: u64, flight: &Flight, message: &Message<'_>) {
        let mutant = self.mutant;
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        let (user, server) = (publication.user.clone(), Arc::clone(&server.name));
        publication.at_ease();
        if flight.orphan {
            publication.orphans.retain(|orphan| flight.publish.tag() != Some(&*orphan.tag));
            return;
        }
        // The tag that we held was good: a refresh whose answer was lost has never happened.
        publication.newer = None;
        publication.unsure_until = None;
        if flight.publish.is_remove() {
            publication.grant = None;
            return self.report(Report::Removed { user, server });
        }
        let Some(mut grant) = granted(now, random, flight.sent_at, flight.asked, message) else {
            let until = now + flight.asked;
            publication.grant = None;
            publication.may_live_until = Some(until);
            publication.not_before = Some(until);
            publication.told_to_wait = true;
            publication.stick_reported = true;
            return self.report(Report::NoEntityTag { user, server });
        };
        if mutant == Some(Mutant::TagNotUpdated)
            && let Some(old) = &publication.grant
        {
            grant.tag = old.tag.clone();
        }
        if mutant == Some(Mutant::GrantIgnored) {
            grant.until = now + flight.asked;
            grant.refresh_at = now + flight.asked / 2;
        }
        if mutant == Some(Mutant::RefreshesLate) {
            grant.refresh_at = grant.until + Duration::from_secs(1);
            grant.last_chance_taken = true;
        }
        let length = grant.until - now;
        publication.grant = Some(grant);
        let short = length < limits::SHORT_GRANT && !std::mem::replace(&mut publication.short_reported, true);
        let over = mutant == Some(Mutant::EndInFlightForgotten) && !publication.wanted;
        self.save(now, id);
        if short {
            self.report(Report::ShortGrant { user: user.clone(), server: Arc::clone(&server), granted: length });
        }
        if matches!(flight.publish, Publish::Initial { .. }) {
            self.report(Report::Published { user, server });
        }
        if over {
            self.forget(id);
        }
    }

    /// 412: the server does not know the entity-tag.
    fn forgotten(&mut self, now: Instant, id: u64, flight: &Flight) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        publication.at_ease();
        if flight.orphan {
            publication.orphans.retain(|orphan| flight.publish.tag() != Some(&*orphan.tag));
            return;
        }
        publication.grant = publication.newer.take();
        if publication.grant.is_some() {
            return;
        }
        // What an unanswered refresh has made lives on under a tag that nobody told us.
        if let Some(until) = publication.unsure_until.take() {
            publication.may_live_until = publication.may_live_until.max(Some(until));
            publication.stick_reported = false;
        }
        let (user, server) = (publication.user.clone(), Arc::clone(&server.name));
        if flight.publish.is_remove() {
            // Where something may live on, that is reported instead.
            if publication.may_live_until.is_none_or(|until| until <= now) {
                self.report(Report::Removed { user, server });
            }
            return;
        }
        publication.not_before = publication.last_initial.map(|last| last + limits::AFTER_412).filter(|at| *at > now);
        publication.told_to_wait = publication.not_before.is_some();
        self.report(Report::Forgotten { user, server });
    }

    fn longer(&mut self, id: u64, flight: &Flight, message: &Message<'_>) -> Option<Duration> {
        let publication = self.publications.get_mut(&id)?;
        let server = self.servers.get(publication.server)?;
        let least = Duration::from_secs(u64::from(message.min_expires()?));
        if flight.lengthened || flight.publish.is_remove() || least <= flight.asked || least > server.max_expires {
            return None;
        }
        publication.expires = Some(least);
        Some(least)
    }

    fn challenged(&mut self, id: u64, flight: &Flight, message: &Message<'_>) -> Challenged {
        let Some(publication) = self.publications.get_mut(&id) else { return Challenged::Refused };
        let Some(credentials) = publication.credentials.clone() else { return Challenged::Refused };
        let preference = self.servers.get(publication.server).map(|server| server.preference).unwrap_or_default();
        let new = || digest::Client::new(credentials, preference);
        let authentication = publication.authentication.get_or_insert_with(new);
        let mut verdict = authentication.challenged(message);
        if verdict == Challenged::Refused {
            authentication.forget();
            // Many servers do not say that a nonce is stale: what was proved with one of an earlier PUBLISH gets one attempt.
            if flight.retries == 0 {
                verdict = authentication.challenged(message);
            }
        }
        verdict
    }

    fn redirected(&mut self, id: u64, flight: &Flight, message: &Message<'_>) -> Option<Box<str>> {
        let server = self.servers.get(self.publications.get(&id)?.server)?;
        if !server.follow_redirects || flight.instead.is_some() {
            return None;
        }
        match message.contact()?.ok()? {
            Contact::Address(address) => Some(address.uri.as_str().into()),
            Contact::Star => None,
        }
    }

    fn refused_user(
        &mut self,
        now: Instant,
        random: &mut Random,
        id: u64,
        flight: &Flight,
        code: u16,
        message: &Message<'_>,
    ) {
        let why = words(message);
        if flight.publish.is_remove() {
            return self.trouble(now, random, id, None, format!("{code} {why}"));
        }
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        publication.not_before = Some(now + limits::REFUSED);
        publication.told_to_wait = false;
        let (user, server) = (publication.user.clone(), Arc::clone(&server.name));
        self.report(Report::UserRefused { user, server, code, why });
    }

    fn refused_server(
        &mut self,
        now: Instant,
        random: &mut Random,
        id: u64,
        flight: &Flight,
        code: u16,
        message: &Message<'_>,
    ) {
        let why = words(message);
        let Some(publication) = self.publications.get(&id) else { return };
        let index = publication.server;
        let Some(server) = self.servers.get(index).map(|server| Arc::clone(&server.name)) else { return };
        if flight.publish.is_remove() {
            return self.trouble(now, random, id, None, format!("{code} {why}"));
        }
        let Some(refused) = self.refused.get_mut(index) else { return };
        let known = refused.replace(now + limits::REFUSED).is_some_and(|until| until > now);
        if !known {
            self.report(Report::ServerRefused { server, code, why });
        }
    }

    pub(super) fn failed(&mut self, now: Instant, random: &mut Random, key: PublishKey, cause: Failure) {
        let Some(flight) = self.land(key) else { return };
        let id = key.publication;
        // What has not left has done nothing.
        let is_unknown = cause != Failure::Unreached;
        if is_unknown {
            self.fate_unknown(now, id, &flight);
        } else if let Some(publication) = self.publications.get_mut(&id) {
            publication.not_sent(&flight.publish);
        }
        if is_unknown && !flight.publish.is_remove() {
            let call_id = flight.names.call_id.clone();
            self.wheel.schedule(now + flight.asked, Due::Late(call_id.clone()));
            let late = Late { publication: id, publish: flight.publish, asked: flight.asked, sent_at: flight.sent_at };
            self.late.insert(call_id, late);
        }
        let why = match cause {
            Failure::TimedOut => "no answer",
            Failure::Transport => "the connection failed",
            Failure::Unreached => "it cannot be reached",
        };
        self.trouble(now, random, id, None, why.to_owned());
        self.step(now, random, id);
    }

    /// It may have arrived, and what it made may live as long as it asked for.
    fn fate_unknown(&mut self, now: Instant, id: u64, flight: &Flight) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let until = Some(now + flight.asked);
        match flight.publish {
            Publish::Initial { .. } => {
                publication.may_live_until = publication.may_live_until.max(until);
                publication.stick_reported = false;
            }
            Publish::Refresh { .. } => publication.unsure_until = until,
            Publish::Modify { .. } => {
                publication.unsure_until = until;
                publication.outdated = true;
            }
            // It may be gone: should a call come before we know, the refresh that tells must not wait.
            Publish::Remove { .. } => {
                if let Some(grant) = publication.grant.as_mut().filter(|_| !flight.orphan) {
                    grant.refresh_at = now;
                }
            }
        }
    }

    fn trouble(&mut self, now: Instant, random: &mut Random, id: u64, retry_after: Option<u32>, why: String) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let Some(server) = self.servers.get(publication.server) else { return };
        let mut again = publication.back_off(now, random, retry_after);
        if self.mutant == Some(Mutant::NoRetry) {
            again = Duration::from_secs(3600);
            publication.not_before = Some(now + again);
            publication.told_to_wait = true;
        }
        let (user, server) = (publication.user.clone(), Arc::clone(&server.name));
        self.report(Report::Trouble { user, server, why, again });
    }

    /// An answer came after we had given up waiting: what it made is ours, under the tag that it brings.
    pub(super) fn late_answer(&mut self, now: Instant, random: &mut Random, message: &Message<'_>) {
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return };
        let Ok(call_id) = message.call_id() else { return };
        if self.is_broken(Mutant::Late2xxIgnored) {
            return;
        }
        let Some(late) = self.late.remove(call_id) else { return };
        let id = late.publication;
        let Some(publication) = self.publications.get_mut(&id) else { return };
        let initial = matches!(late.publish, Publish::Initial { .. });
        if code >= 300 {
            return;
        }
        let Some(grant) = granted(now, random, late.sent_at, late.asked, message) else { return };
        if !initial {
            publication.unsure_until = None;
        }
        let replaces = |tag: Option<&str>| !initial && tag.is_some() && tag == late.publish.tag();
        let in_flight = publication.flight.as_ref().or(publication.postponed.as_ref());
        let in_flight = in_flight.filter(|flight| !flight.orphan).map(|flight| &flight.publish);
        match (in_flight, &publication.grant) {
            // The same tag is on its way again, and will meet 412.
            (Some(publish), _) if replaces(publish.tag()) => {
                publication.newer = Some(grant);
                self.save(now, id);
            }
            (None, None) => {
                publication.at_ease();
                publication.grant = Some(grant);
                self.save(now, id);
            }
            (None, Some(held)) if replaces(Some(&held.tag)) => {
                publication.at_ease();
                publication.grant = Some(grant);
                self.save(now, id);
            }
            _ if publication.orphans.len() < limits::ORPHANS => {
                publication.orphans.push(grant);
                self.save(now, id);
            }
            // So many that its tag cannot be kept: it is waited for, and reported.
            _ => {
                publication.may_live_until = publication.may_live_until.max(Some(grant.until));
                publication.stick_reported = false;
            }
        }
        self.step(now, random, id);
    }
}

/// The grant that a 2xx brings; `None` without an entity-tag. What it grants beyond what was asked does not count.
fn granted(
    now: Instant,
    random: &mut Random,
    sent_at: Instant,
    asked: Duration,
    message: &Message<'_>,
) -> Option<Grant> {
    let tag = message
        .header(HeaderName::SipETag)
        .and_then(|tag| std::str::from_utf8(tag).ok())
        .filter(|tag| !tag.is_empty())?;
    let stated = message.expires().ok().flatten().map_or(asked, |seconds| Duration::from_secs(u64::from(seconds)));
    let granted = stated.min(asked);
    let refresh_at = sent_at + refresh_after(granted, random);
    Some(Grant { tag: tag.into(), until: now + granted, refresh_at, last_chance_taken: false })
}

fn contact(user: &Aor, server: &Server) -> ContactUser {
    let params =
        server.instance.as_ref().map(|instance| format!(";+sip.instance=\"<{instance}>\"")).unwrap_or_default();
    ContactUser { params: params.into(), ..ContactUser::of(user.user()) }
}
