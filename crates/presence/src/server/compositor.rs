//! The event state compositor: PUBLISH by RFC 3903 section 6, step by step, and the table of presentities.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::transaction::ServerKey;
use sip::{Aor, KeyedMap, KeyedState, Random, Response};
use wire::sip::{Contact, HeaderName, Headers, Message};

use super::calendar::{Calendar, NEVER};
use super::presentity::{Presentity, Publication};
use super::record::{Answer, Content, EntityTag, Forgotten, Life, Origin, Record};
use super::refusal::{Refusal, Subject};
use super::report::name_of;
use super::shares::{Share, Shares, Source};
use super::{BodyFault, EventPackage, Identity, Mutant, PresenceServer, Report, View, limits};

/// The event state of every presentity, for every package.
#[derive(Debug)]
pub(super) struct Compositor {
    /// A table per package. What lies in a table has one word there, so that its empty places cost little.
    presentities: Vec<KeyedMap<Aor, Box<Presentity>>>,
    /// What is provisioned, for each package.
    hard: Vec<BTreeMap<Aor, Arc<[u8]>>>,
    /// The presentities whose document may have changed and whose watchers must learn of it.
    pub(super) changed: VecDeque<(usize, Aor)>,
    /// When a publication of a presentity may run out: one entry for each that has any.
    calendar: Calendar<(u8, Aor)>,
    /// How many publications and contents there ever were.
    numbered: u64,
    /// Who has how many of them.
    shares: Shares,
}

/// How many entries of the calendar are looked at for each that is left behind.
const SWEPT: usize = 4;

/// What a PUBLISH that is accepted gives a publication.
#[derive(Clone, Copy)]
struct Grant {
    seconds: u32,
    entity_tag: EntityTag,
    /// What the request is known by, should it come again.
    mark: u64,
    /// Who sent it.
    source: Source,
}

/// What a PUBLISH asks for, by the table of RFC 3903 section 4.1.
#[derive(Clone, Copy)]
enum Publish<'a> {
    Initial { body: &'a [u8] },
    Refresh { position: usize },
    Modify { position: usize, body: &'a [u8] },
    Remove { position: usize },
}

impl PresenceServer {
    /// A PUBLISH arrived.
    pub(super) fn publish(
        &mut self,
        random: &mut Random,
        key: ServerKey,
        message: &Message<'_>,
        presentity: Option<Aor>,
        who: &Identity,
    ) {
        let saved = self.saves.issued();
        let response = match self.published(random, message, presentity, who) {
            Ok(response) => response,
            Err(refusal) => {
                let uri = shortened_uri(message);
                self.report(Report::PublishRefused { uri, by: name_of(who), code: refusal.code, why: refusal.why });
                refusal.response()
            }
        };
        self.answer(key, response, saved);
    }

    fn published(
        &mut self,
        random: &mut Random,
        message: &Message<'_>,
        presentity: Option<Aor>,
        who: &Identity,
    ) -> Result<Response, Refusal> {
        let subject = self.subject(message, presentity, true)?;
        let package = self.package(subject.package).ok_or_else(|| Refusal::new(500, "no such package"))?;
        if !may_publish(who, &subject.presentity) {
            return Err(Refusal::new(403, "may not publish for this presentity"));
        }
        let mark = self.saves.mark(message);
        if let Some(again) = self.saves.answered(self.now, mark) {
            return Ok(accepted(again.entity_tag, again.granted));
        }
        let tag = entity_tag(message)?;
        let position = match tag {
            Some(tag) => Some(
                self.compositor
                    .position(&subject, tag)
                    .ok_or_else(|| Refusal::new(412, "the entity-tag belongs to no live publication"))?,
            ),
            None => None,
        };
        let seconds = self.granted(message, &package)?;
        let body = message.body();
        let publish = match position {
            Some(position) if seconds == 0 => Publish::Remove { position },
            Some(position) if body.is_empty() => Publish::Refresh { position },
            Some(position) => Publish::Modify { position, body },
            None => Publish::Initial { body },
        };
        if let Publish::Initial { body } | Publish::Modify { body, .. } = publish {
            check_body(message, body, &package)?;
        }
        self.saves.keeps_up()?;
        let entity_tag = EntityTag::new(&self.names.etag(random)).ok_or_else(|| Refusal::new(500, "no entity-tag"))?;
        let source = self.compositor.shares.source(who);
        let grant = Grant { seconds, entity_tag, mark, source };
        self.carry_out(&subject, &package, publish, grant, origin(message, who))?;
        Ok(accepted(entity_tag, seconds))
    }

    fn carry_out(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        publish: Publish<'_>,
        grant: Grant,
        origin: Option<Box<Origin>>,
    ) -> Result<(), Refusal> {
        match publish {
            Publish::Initial { body } => self.initial(subject, package, body, grant, origin),
            Publish::Refresh { position } => {
                self.refresh(subject, position, grant);
                Ok(())
            }
            Publish::Modify { position, body } => self.modify(subject, package, position, body, grant),
            Publish::Remove { position } => {
                self.remove(subject, position);
                self.once_more(grant);
                Ok(())
            }
        }
    }

    fn initial(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        body: &[u8],
        grant: Grant,
        origin: Option<Box<Origin>>,
    ) -> Result<(), Refusal> {
        let state = (package.read)(body).map_err(Refusal::from)?;
        self.compositor.room(subject, body, |p| origin.is_none() || p.origin != origin)?;
        self.compositor.shares.room(grant.source, body.len())?;
        self.supersede(subject, origin.as_deref());
        if grant.seconds == 0 {
            // Over as soon as it begins: its tag is never good for anything.
            self.once_more(grant);
            return Ok(());
        }
        let expires = self.compositor.calendar.tick(self.now + Duration::from_secs(grant.seconds.into()));
        let number = self.compositor.next_number();
        let presentity = self
            .compositor
            .presentity_mut(subject.package, &subject.presentity)
            .ok_or_else(|| Refusal::overloaded("too many presentities"))?;
        let body: Arc<[u8]> = body.into();
        presentity.add(Publication {
            number,
            expires,
            body: Arc::clone(&body),
            state: Some(state).filter(|_| presentity.is_watched()),
            origin: origin.clone(),
            version: 0,
            entity_tag: grant.entity_tag,
            source: grant.source,
            extended: false,
        });
        let is_due_earlier = presentity.comes_due(expires);
        self.compositor.shares.add(grant.source, body.len());
        if is_due_earlier {
            self.compositor.enter(subject.package, &subject.presentity, expires);
        }
        self.compositor.change(subject.package, &subject.presentity);
        let content = Content { package: package.name.into(), received: number, origin, body };
        let (presentity, life) = (subject.presentity.clone(), self.life(grant, 0));
        self.save(Record::Publication { presentity, number, content, life });
        Ok(())
    }

    /// Extends a publication's life under a new tag. No document is read or composed.
    fn refresh(&mut self, subject: &Subject, position: usize, grant: Grant) {
        let Some((number, version)) = self.extend(subject, position, grant, true) else { return };
        let (presentity, life) = (subject.presentity.clone(), self.life(grant, version));
        self.save(Record::Extended { presentity, number, life });
    }

    /// Gives a publication its new tag and time, which go to the store by themselves or with its content; answers its number
    /// and version.
    fn extend(&mut self, subject: &Subject, position: usize, grant: Grant, by_itself: bool) -> Option<(u64, u32)> {
        let expires = self.compositor.calendar.tick(self.now + Duration::from_secs(grant.seconds.into()));
        let Compositor { presentities, shares, .. } = &mut self.compositor;
        let presentity = presentities.get_mut(subject.package)?.get_mut(&subject.presentity)?;
        let publication = presentity.publications.get_mut(position)?;
        // Whose those of an earlier run are shows when somebody goes on with them.
        shares.passed_on(&mut publication.source, grant.source, publication.body.len());
        publication.entity_tag = grant.entity_tag;
        publication.expires = expires;
        publication.version = publication.version.saturating_add(1);
        publication.extended |= by_itself;
        let known = (publication.number, publication.version);
        if presentity.comes_due(expires) {
            self.compositor.enter(subject.package, &subject.presentity, expires);
        }
        Some(known)
    }

    /// Replaces a publication's content. Phones that send the body with every refresh are not modifying anything, and
    /// do not become the publication received last.
    fn modify(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        position: usize,
        body: &[u8],
        grant: Grant,
    ) -> Result<(), Refusal> {
        let publications = self.compositor.publications_of(subject.package, &subject.presentity);
        if publications.get(position).is_some_and(|p| *p.body == *body) {
            self.refresh(subject, position, grant);
            return Ok(());
        }
        let number = publications.get(position).map(|p| p.number);
        self.compositor.room(subject, body, |p| Some(p.number) != number)?;
        let state = (package.read)(body).map_err(Refusal::from)?;
        let Some((number, version)) = self.extend(subject, position, grant, false) else { return Ok(()) };
        let body: Arc<[u8]> = body.into();
        let is_watched = self.compositor.is_watched(subject);
        let Some(publication) = self.compositor.publication_mut(subject, position) else { return Ok(()) };
        let old = std::mem::replace(&mut publication.body, Arc::clone(&body)).len();
        let source = publication.source;
        publication.state = Some(state).filter(|_| is_watched);
        let origin = publication.origin.clone();
        self.compositor.shares.remove(source, old);
        self.compositor.shares.add(source, body.len());
        self.compositor.received_last(subject, position);
        self.compositor.change(subject.package, &subject.presentity);
        let received = self.compositor.next_number();
        let content = Content { package: package.name.into(), received, origin, body };
        let (presentity, life) = (subject.presentity.clone(), self.life(grant, version));
        self.save(Record::Publication { presentity, number, content, life });
        Ok(())
    }

    fn remove(&mut self, subject: &Subject, position: usize) {
        if let Some(removed) = self.compositor.remove(subject.package, &subject.presentity, position) {
            let (presentity, number) = (subject.presentity.clone(), removed.number);
            self.unsave(Forgotten::Publication { presentity, number, extended: removed.extended });
        }
    }

    /// A request that leaves no publication behind may come again all the same.
    fn once_more(&mut self, grant: Grant) {
        let Grant { seconds: granted, entity_tag, mark, .. } = grant;
        self.save_answer(Answer { mark, entity_tag, granted, at: self.now });
    }

    fn life(&self, grant: Grant, version: u32) -> Life {
        let Grant { seconds: granted, entity_tag, mark, .. } = grant;
        Life { entity_tag, version, expires_at: self.now + Duration::from_secs(granted.into()), granted, mark }
    }

    /// Deletes what the same publisher published before it was restarted; that tag now answers 412.
    fn supersede(&mut self, subject: &Subject, origin: Option<&Origin>) {
        while let Some(position) = self.compositor.of_origin(subject, origin) {
            self.remove(subject, position);
            let peer = origin.and_then(|o| o.peer.clone());
            self.report(Report::Superseded { presentity: subject.presentity.clone(), peer });
        }
    }

    /// Takes back a publication of an earlier run. Those of one presentity come in the order of their content.
    pub(super) fn take_back(&mut self, presentity: &Aor, number: u64, content: Content, life: &Life) {
        let now = self.now;
        let package = self.settings.packages.iter().position(|package| package.name == content.package);
        let answered_at = life.expires_at.checked_sub(Duration::from_secs(life.granted.into()));
        // A clock that was set back must not make anything live longer than it was granted.
        let expires_at = life.expires_at.min(now + Duration::from_secs(life.granted.into()));
        self.compositor.numbered = self.compositor.numbered.max(number + 1).max(content.received + 1);
        // What this node published of its own calls has ended with them.
        let is_over = expires_at <= now || content.origin.as_ref().is_some_and(|origin| origin.is_own());
        let is_over = is_over || self.is_broken(Mutant::PublicationsForgotten);
        let kept = package.filter(|_| !is_over && self.serves(presentity.host()));
        let expires = self.compositor.calendar.tick(expires_at);
        let octets = content.body.len();
        let place = kept.and_then(|package| Some((package, self.compositor.presentity_mut(package, presentity)?)));
        let Some((package, place)) = place else {
            self.unsave(Forgotten::Publication { presentity: presentity.clone(), number, extended: true });
            return;
        };
        place.add(Publication {
            number,
            expires,
            body: content.body,
            state: None,
            origin: content.origin,
            version: life.version,
            entity_tag: life.entity_tag,
            source: Source::default(),
            extended: true,
        });
        let is_due_earlier = place.comes_due(expires);
        self.compositor.shares.add(Source::default(), octets);
        if is_due_earlier {
            self.compositor.enter(package, presentity, expires);
        }
        if let Some(at) = answered_at {
            let (mark, entity_tag, granted) = (life.mark, life.entity_tag, life.granted);
            self.saves.restore(now, Answer { mark, entity_tag, granted, at });
        }
    }

    /// The time of every publication that is over.
    pub(super) fn expire_publications(&mut self) {
        while let Some((tick, (index, aor))) = self.compositor.calendar.take(self.now) {
            let package = usize::from(index);
            let over = self.compositor.expired(package, &aor, tick);
            if !over.is_empty() && !self.is_broken(Mutant::ExpiryNotTold) {
                self.compositor.change(package, &aor);
            }
            for (number, extended) in over {
                let name = self.package(package).map_or("", |p| p.name);
                self.report(Report::PublicationExpired { presentity: aor.clone(), package: name });
                self.unsave(Forgotten::Publication { presentity: aor.clone(), number, extended });
            }
        }
    }

    /// When the next publication may run out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.compositor.calendar.next()
    }

    /// Composes what has changed, and lets the watchers know where the document is another one.
    pub(super) fn announce(&mut self) {
        let is_mute = self.is_broken(Mutant::ChangeNotTold);
        while let Some((index, aor)) = self.compositor.changed.pop_front() {
            let Some(package) = self.package(index) else { continue };
            let others = self.watchers_of(&package, &aor);
            let Some(presentity) = self.compositor.presentities.get_mut(index).and_then(|t| t.get_mut(&aor)) else {
                continue;
            };
            presentity.stale = false;
            if presentity.subscriptions.is_empty() {
                presentity.unwatched();
                self.compositor.tidy(index, &aor);
                continue;
            }
            let remembered = presentity.remember(&package, &aor, &others);
            for view in package.views() {
                let is_another = presentity.recompose(&package, &aor, *view) && !remembered.is_first;
                if (is_another || remembered.has_ended) && !is_mute {
                    for subscription in &presentity.subscriptions {
                        if !self.notifier.document_changed(*subscription, &package, *view, &mut self.timers) {
                            self.followers.document_changed(*subscription, &package, *view);
                        }
                    }
                }
            }
            presentity.composed_for_all();
        }
    }
}

impl Compositor {
    pub(super) fn new(packages: usize, share: Share, keyed: KeyedState, now: Instant) -> Self {
        Self {
            presentities: (0..packages).map(|_| KeyedMap::with_hasher(keyed)).collect(),
            hard: vec![BTreeMap::new(); packages],
            changed: VecDeque::new(),
            calendar: Calendar::new(now),
            numbered: 1,
            shares: Shares::new(share),
        }
    }

    /// Other hard states of a package; where one differs, its watchers will learn of it.
    pub(super) fn provision(&mut self, package: usize, hard: BTreeMap<Aor, Arc<[u8]>>) {
        let Some(place) = self.hard.get_mut(package) else { return };
        let old = std::mem::replace(place, hard);
        let new = place.clone();
        let differs: BTreeSet<&Aor> = old.keys().chain(new.keys()).filter(|aor| old.get(aor) != new.get(aor)).collect();
        for aor in differs {
            if let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) {
                presentity.hard = new.get(aor).cloned();
                self.change(package, aor);
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered - 1
    }

    pub(super) fn publications(&self) -> usize {
        self.shares.publications()
    }

    /// A presentity's entry, made where there is none yet; none, where the table is full.
    pub(super) fn presentity_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        let table = self.presentities.get_mut(package)?;
        if table.len() >= limits::PRESENTITIES && !table.contains_key(aor) {
            return None;
        }
        let hard = self.hard.get(package).filter(|hard| !hard.is_empty());
        let made = || Box::new(Presentity::provisioned(hard.and_then(|hard| hard.get(aor)).cloned()));
        Some(table.entry(aor.clone()).or_insert_with(made))
    }

    /// What a watcher is sent: the cached document, composed now where there is none. Without a view it is that of a
    /// presentity that nobody ever heard of.
    pub(super) fn document(
        &mut self,
        package: &EventPackage,
        index: usize,
        aor: &Aor,
        view: Option<View>,
    ) -> Arc<[u8]> {
        let presentity = self.presentities.get_mut(index).and_then(|table| table.get_mut(aor));
        let (Some(view), Some(presentity)) = (view.map(|view| package.view(view)), presentity) else {
            return Presentity::default().compose(package, aor, View::Plain).into();
        };
        presentity.document(package, aor, view)
    }

    /// The document as it would be now, without keeping it.
    pub(super) fn composed(&self, package: &EventPackage, index: usize, aor: &Aor) -> Arc<[u8]> {
        let presentity = self.presentities.get(index).and_then(|table| table.get(aor));
        let view = package.view(View::Detailed);
        let hard = self.hard.get(index).and_then(|hard| hard.get(aor)).cloned();
        let nobody = Presentity::provisioned(hard);
        presentity.map_or(&nobody, Box::as_ref).would_be(package, aor, view).into()
    }

    /// Forgets a subscription, and the presentity if nothing else is known of it.
    pub(super) fn unsubscribed(&mut self, package: usize, aor: &Aor, subscription: u64) {
        if let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) {
            presentity.subscriptions.remove(&subscription);
            if presentity.subscriptions.is_empty() {
                presentity.unwatched();
            }
        }
        self.tidy(package, aor);
    }

    fn tidy(&mut self, package: usize, aor: &Aor) {
        let Some(table) = self.presentities.get_mut(package) else { return };
        if table.get(aor).is_some_and(|presentity| presentity.is_over()) {
            table.remove(aor);
            // Its entry in the calendar is left behind. For each of those some others are looked at, so that there are never
            // many, however often somebody publishes and removes.
            let tables = &self.presentities;
            self.calendar.sweep(SWEPT, |tick, (package, aor)| {
                let table = tables.get(usize::from(*package));
                table.and_then(|table| table.get(aor)).is_none_or(|presentity| presentity.due != tick)
            });
        }
    }

    /// A presentity's entry, if there is one.
    pub(super) fn known_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        self.presentities.get_mut(package)?.get_mut(aor).map(Box::as_mut)
    }

    pub(super) fn change(&mut self, package: usize, aor: &Aor) {
        let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor)) else { return };
        if presentity.stale {
            return;
        }
        if presentity.is_watched() {
            presentity.stale = true;
            self.changed.push_back((package, aor.clone()));
        } else {
            // Most are watched by nobody: there is nothing to compose.
            presentity.unwatched();
            self.tidy(package, aor);
        }
    }

    fn publications_of(&self, package: usize, aor: &Aor) -> &[Publication] {
        let presentity = self.presentities.get(package).and_then(|table| table.get(aor));
        presentity.map_or(&[], |p| p.publications.as_slice())
    }

    fn publication_mut(&mut self, subject: &Subject, position: usize) -> Option<&mut Publication> {
        self.presentities.get_mut(subject.package)?.get_mut(&subject.presentity)?.publications.get_mut(position)
    }

    /// Whether a body finds room beside the publications that stay.
    fn room(&self, subject: &Subject, body: &[u8], stays: impl Fn(&Publication) -> bool) -> Result<(), Refusal> {
        let publications = self.publications_of(subject.package, &subject.presentity);
        let (count, size) =
            publications.iter().filter(|p| stays(p)).fold((0, 0), |(n, sum), p| (n + 1, sum + p.body.len()));
        if count >= limits::PUBLICATIONS_PER_PRESENTITY {
            return Err(Refusal::full("too many publications for one presentity"));
        }
        if size + body.len() > limits::BODIES_PER_PRESENTITY {
            return Err(BodyFault::TooLarge.into());
        }
        Ok(())
    }

    fn position(&self, subject: &Subject, tag: &str) -> Option<usize> {
        self.publications_of(subject.package, &subject.presentity).iter().position(|p| p.entity_tag.as_str() == tag)
    }

    fn is_watched(&self, subject: &Subject) -> bool {
        let table = self.presentities.get(subject.package);
        table.and_then(|table| table.get(&subject.presentity)).is_some_and(|p| p.is_watched())
    }

    /// Enters a presentity in the calendar.
    fn enter(&mut self, package: usize, aor: &Aor, tick: u64) {
        self.calendar.enter(tick, (u8::try_from(package).unwrap_or(u8::MAX), aor.clone()));
    }

    /// Takes out what has run out of a presentity at this tick: numbers, and whether each has a record of its life.
    fn expired(&mut self, package: usize, aor: &Aor, tick: u64) -> Vec<(u64, bool)> {
        let mut over = Vec::new();
        let table = self.presentities.get_mut(package);
        let Some(presentity) = table.and_then(|table| table.get_mut(aor)).filter(|p| p.due == tick) else {
            return over;
        };
        let shares = &mut self.shares;
        presentity.publications.retain(|publication| {
            let lives = publication.expires > tick;
            if !lives {
                shares.remove(publication.source, publication.body.len());
                over.push((publication.number, publication.extended));
            }
            lives
        });
        let next = presentity.publications.iter().map(|publication| publication.expires).min();
        presentity.due = next.unwrap_or(NEVER);
        if let Some(next) = next {
            self.calendar.enter(next, (u8::try_from(package).unwrap_or(u8::MAX), aor.clone()));
        }
        over
    }

    fn of_origin(&self, subject: &Subject, origin: Option<&Origin>) -> Option<usize> {
        let mut publications = self.publications_of(subject.package, &subject.presentity).iter();
        publications.position(|p| p.origin.is_some() && p.origin.as_deref() == origin)
    }

    fn received_last(&mut self, subject: &Subject, position: usize) {
        if let Some(presentity) =
            self.presentities.get_mut(subject.package).and_then(|table| table.get_mut(&subject.presentity))
            && let Some(later) = presentity.publications.get_mut(position..)
        {
            later.rotate_left(1);
        }
    }

    fn remove(&mut self, package: usize, aor: &Aor, position: usize) -> Option<Publication> {
        let presentity = self.presentities.get_mut(package)?.get_mut(aor)?;
        if position >= presentity.publications.len() {
            return None;
        }
        let removed = presentity.publications.remove(position);
        presentity.publications.shrink_to_fit();
        self.shares.remove(removed.source, removed.body.len());
        self.change(package, aor);
        Some(removed)
    }
}

/// The authenticated user for itself, whom the configuration trusts for its domains.
fn may_publish(who: &Identity, presentity: &Aor) -> bool {
    who.user.as_ref() == Some(presentity) || who.speaks_for(presentity.host())
}

/// The one entity-tag of SIP-If-Match; 400 where there is more than one, or none in it.
fn entity_tag<'a>(message: &Message<'a>) -> Result<Option<&'a str>, Refusal> {
    let mut values = message.values(HeaderName::SipIfMatch);
    let Some(value) = values.next() else {
        return match message.header(HeaderName::SipIfMatch) {
            Some(_) => Err(Refusal::new(400, "SIP-If-Match is empty")),
            None => Ok(None),
        };
    };
    if values.next().is_some() {
        return Err(Refusal::new(400, "more than one entity-tag in SIP-If-Match"));
    }
    match str::from_utf8(value) {
        Ok(tag) if !tag.is_empty() && tag.len() <= limits::TOKEN => Ok(Some(tag)),
        _ => Err(Refusal::new(400, "SIP-If-Match is no entity-tag")),
    }
}

/// Whether a body can be read: there, within the bound, of the package's type, and not encoded.
fn check_body(message: &Message<'_>, body: &[u8], package: &EventPackage) -> Result<(), Refusal> {
    if body.is_empty() {
        return Err(Refusal::new(400, "an initial publication without a body"));
    }
    if body.len() > limits::BODY {
        return Err(Refusal::new(413, "the body is too large"));
    }
    if !message.content_type().is_some_and(|media| media.is(package.media_type)) {
        return Err(Refusal::new(415, "a body of another type").with(HeaderName::Accept, package.media_type));
    }
    if message.header(HeaderName::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::new(415, "an encoded body").with(HeaderName::AcceptEncoding, "identity"));
    }
    Ok(())
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Malformed(why) => Self::new(400, why),
            BodyFault::TooLarge => Self::new(413, "the body is beyond a bound"),
        }
    }
}

/// Of which running publisher a PUBLISH is: known of this very node, and of peers configured as publishers that send
/// `+sip.instance`.
fn origin(message: &Message<'_>, who: &Identity) -> Option<Box<Origin>> {
    if who.internal {
        return Some(Box::new(Origin::own()));
    }
    if !who.publisher {
        return None;
    }
    let Some(Ok(Contact::Address(contact))) = message.contact() else { return None };
    let instance = contact.param("+sip.instance").flatten().filter(|i| !i.is_empty() && i.len() <= limits::TOKEN)?;
    Some(Box::new(Origin { peer: who.peer.clone(), instance: instance.into() }))
}

fn accepted(entity_tag: EntityTag, granted: u32) -> Response {
    let mut headers = Headers::with_capacity(64);
    headers.push(HeaderName::SipETag, entity_tag.as_str()).push(HeaderName::Expires, granted.to_string());
    Response { headers, ..Response::new(200) }
}

/// A Request-URI for a report.
pub(super) fn shortened_uri(message: &Message<'_>) -> Box<str> {
    let uri = message.request().map(|line| line.uri).unwrap_or_default();
    String::from_utf8_lossy(uri.get(..uri.len().min(limits::TOKEN)).unwrap_or_default()).into()
}
