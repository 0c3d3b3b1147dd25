//! The event state compositor: PUBLISH by RFC 3903 section 6, step by step, and the table of presentities.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::timer::TimerKey;
use sip::transaction::ServerKey;
use sip::{Aor, KeyedMap, KeyedState, Random, Response};
use wire::sip::{Contact, HeaderName, Headers, Message};

use super::ledger::{KNOWS_ALL, Ledger};
use super::refusal::{Refusal, Subject};
use super::report::name_of;
use super::{
    BodyFault, Composing, Due, EventPackage, EventState, Identity, Live, Output, PresenceServer, Report, View, limits,
};

/// The event state of every presentity, for every package.
#[derive(Debug)]
pub(super) struct Compositor {
    /// A table per package.
    presentities: Vec<KeyedMap<Aor, Presentity>>,
    /// The presentities whose document may have changed and whose watchers must learn of it.
    pub(super) changed: VecDeque<(usize, Aor)>,
    /// Told to bodies, so that one that comes again is known without being read.
    keyed: KeyedState,
    /// How many publications there ever were.
    numbered: u64,
    publications: usize,
    /// The octets of all their bodies.
    octets: usize,
}

/// One presentity's state in one package.
#[derive(Debug, Default)]
pub(super) struct Presentity {
    /// Live publications, in the order in which their content was received.
    publications: Vec<Publication>,
    /// The numbers of the subscriptions to it.
    pub(super) subscriptions: BTreeSet<u64>,
    /// What its watchers were sent last.
    documents: Documents,
    /// What lies beside the publications.
    pub(super) ledger: Option<Box<Ledger>>,
    /// Whether it waits in [`Compositor::changed`].
    stale: bool,
}

/// The documents of one presentity, by view; none while nobody watches.
#[derive(Debug, Default)]
struct Documents {
    plain: Option<Arc<[u8]>>,
    detailed: Option<Arc<[u8]>>,
}

impl Documents {
    fn of(&mut self, view: View) -> &mut Option<Arc<[u8]>> {
        match view {
            View::Plain => &mut self.plain,
            View::Detailed => &mut self.detailed,
        }
    }
}

/// A publication (RFC 3903 section 2): one piece of event state with a life of its own.
struct Publication {
    number: u64,
    entity_tag: Box<str>,
    expiry: TimerKey,
    expires_at: Instant,
    state: EventState,
    /// A keyed hash of the body.
    fingerprint: u64,
    /// The octets of the body.
    size: usize,
    /// Of which running publisher it is, if that may supersede itself.
    origin: Option<Origin>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("number", &self.number).field("expires_at", &self.expires_at).finish()
    }
}

/// A publisher that keeps its instance across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    peer: Option<Arc<str>>,
    instance: Box<str>,
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
    pub(super) fn publish(&mut self, random: &mut Random, key: ServerKey, message: &Message<'_>, who: &Identity) {
        let response = match self.published(random, message, who) {
            Ok(response) => response,
            Err(refusal) => {
                let uri = shortened_uri(message);
                self.report(Report::PublishRefused { uri, by: name_of(who), code: refusal.code, why: refusal.why });
                refusal.response()
            }
        };
        self.outputs.push_back(Output::Respond { key, response });
    }

    fn published(&mut self, random: &mut Random, message: &Message<'_>, who: &Identity) -> Result<Response, Refusal> {
        let subject = self.subject(message, true)?;
        let package = self.package(subject.package).ok_or_else(|| Refusal::new(500, "no such package"))?;
        if !may_publish(who, &subject.presentity) {
            return Err(Refusal::new(403, "may not publish for this presentity"));
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
        let granted = self.granted(message, &package)?;
        let body = message.body();
        let publish = match position {
            Some(position) if granted == 0 => Publish::Remove { position },
            Some(position) if body.is_empty() => Publish::Refresh { position },
            Some(position) => Publish::Modify { position, body },
            None => Publish::Initial { body },
        };
        if let Publish::Initial { body } | Publish::Modify { body, .. } = publish {
            check_body(message, body, &package)?;
        }
        let entity_tag = self.names.etag(random);
        self.carry_out(&subject, &package, publish, granted, &entity_tag, origin(message, who))?;
        Ok(accepted(&entity_tag, granted))
    }

    fn carry_out(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        publish: Publish<'_>,
        granted: u32,
        entity_tag: &str,
        origin: Option<Origin>,
    ) -> Result<(), Refusal> {
        match publish {
            Publish::Initial { body } => self.initial(subject, package, body, granted, entity_tag, origin),
            Publish::Refresh { position } => {
                self.refresh(subject, position, granted, entity_tag);
                Ok(())
            }
            Publish::Modify { position, body } => self.modify(subject, package, position, body, granted, entity_tag),
            Publish::Remove { position } => {
                self.remove(subject, position);
                Ok(())
            }
        }
    }

    fn initial(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        body: &[u8],
        granted: u32,
        entity_tag: &str,
        origin: Option<Origin>,
    ) -> Result<(), Refusal> {
        let state = (package.read)(body).map_err(Refusal::from)?;
        self.compositor.room(subject, body, |p| origin.is_none() || p.origin != origin)?;
        if self.compositor.is_full(body.len()) {
            return Err(Refusal::overloaded("too many publications"));
        }
        self.supersede(subject, origin.as_ref());
        if granted == 0 {
            // Over as soon as it begins: its tag is never good for anything.
            return Ok(());
        }
        let fingerprint = self.compositor.keyed.hash_one(body);
        let number = self.compositor.numbered;
        let presentity = self
            .compositor
            .presentity_mut(subject.package, &subject.presentity)
            .ok_or_else(|| Refusal::overloaded("too many presentities"))?;
        let expires_at = self.now + Duration::from_secs(granted.into());
        let due = Due::Publication { package: subject.package, presentity: subject.presentity.clone(), number };
        let expiry = self.timers.schedule(expires_at, due);
        presentity.publications.push(Publication {
            number,
            entity_tag: entity_tag.into(),
            expiry,
            expires_at,
            state,
            fingerprint,
            size: body.len(),
            origin,
        });
        self.compositor.numbered += 1;
        self.compositor.publications += 1;
        self.compositor.octets += body.len();
        self.compositor.change(subject.package, &subject.presentity);
        Ok(())
    }

    /// Extends a publication's life under a new tag. No document is read or composed.
    fn refresh(&mut self, subject: &Subject, position: usize, granted: u32, entity_tag: &str) {
        let now = self.now;
        let Some(publication) = self.compositor.publication_mut(subject, position) else { return };
        publication.entity_tag = entity_tag.into();
        publication.expires_at = now + Duration::from_secs(granted.into());
        let (expires_at, old, number) = (publication.expires_at, publication.expiry, publication.number);
        self.timers.cancel(old);
        let due = Due::Publication { package: subject.package, presentity: subject.presentity.clone(), number };
        let expiry = self.timers.schedule(expires_at, due);
        if let Some(publication) = self.compositor.publication_mut(subject, position) {
            publication.expiry = expiry;
        }
    }

    /// Replaces a publication's content. Phones that send the body with every refresh are not modifying anything, and
    /// do not become the publication received last.
    fn modify(
        &mut self,
        subject: &Subject,
        package: &EventPackage,
        position: usize,
        body: &[u8],
        granted: u32,
        entity_tag: &str,
    ) -> Result<(), Refusal> {
        let fingerprint = self.compositor.keyed.hash_one(body);
        let publications = self.compositor.publications_of(subject.package, &subject.presentity);
        if publications.get(position).is_some_and(|p| p.fingerprint == fingerprint) {
            self.refresh(subject, position, granted, entity_tag);
            return Ok(());
        }
        let number = publications.get(position).map(|p| p.number);
        self.compositor.room(subject, body, |p| Some(p.number) != number)?;
        let state = (package.read)(body).map_err(Refusal::from)?;
        if let Some(publication) = self.compositor.publication_mut(subject, position) {
            let old = publication.size;
            (publication.state, publication.fingerprint, publication.size) = (state, fingerprint, body.len());
            self.compositor.octets = (self.compositor.octets + body.len()).saturating_sub(old);
        }
        self.refresh(subject, position, granted, entity_tag);
        self.compositor.received_last(subject, position);
        self.compositor.change(subject.package, &subject.presentity);
        Ok(())
    }

    fn remove(&mut self, subject: &Subject, position: usize) {
        if let Some(removed) = self.compositor.remove(subject.package, &subject.presentity, position) {
            self.timers.cancel(removed.expiry);
        }
    }

    /// Deletes what the same publisher published before it was restarted; that tag now answers 412.
    fn supersede(&mut self, subject: &Subject, origin: Option<&Origin>) {
        while let Some(position) = self.compositor.of_origin(subject, origin) {
            self.remove(subject, position);
            let peer = origin.and_then(|o| o.peer.clone());
            self.report(Report::Superseded { presentity: subject.presentity.clone(), peer });
        }
    }

    /// A publication's time is over.
    pub(super) fn publication_expired(&mut self, package: usize, presentity: &Aor, number: u64) {
        let Some(position) = self.compositor.numbered(package, presentity, number) else { return };
        if self.compositor.remove(package, presentity, position).is_some() {
            let name = self.package(package).map_or("", |p| p.name);
            self.report(Report::PublicationExpired { presentity: presentity.clone(), package: name });
        }
    }

    /// Composes what has changed, and lets the watchers know where the document is another one.
    pub(super) fn announce(&mut self) {
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
            let has_ended = presentity.remember(&package, &aor, &others);
            for view in package.views() {
                if presentity.recompose(&package, &aor, *view) || has_ended {
                    for subscription in &presentity.subscriptions {
                        self.notifier.document_changed(*subscription, &package, *view, &mut self.timers);
                    }
                }
            }
        }
    }
}

impl Compositor {
    pub(super) fn new(packages: usize, keyed: KeyedState) -> Self {
        Self {
            presentities: (0..packages).map(|_| KeyedMap::with_hasher(keyed)).collect(),
            changed: VecDeque::new(),
            keyed,
            numbered: 1,
            publications: 0,
            octets: 0,
        }
    }

    pub(super) fn publications(&self) -> usize {
        self.publications
    }

    /// A presentity's entry, made where there is none yet; none, where the table is full.
    pub(super) fn presentity_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        let table = self.presentities.get_mut(package)?;
        if table.len() >= limits::PRESENTITIES && !table.contains_key(aor) {
            return None;
        }
        Some(table.entry(aor.clone()).or_default())
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
        if presentity.documents.of(view).is_none() {
            let document = presentity.compose(package, aor, view);
            *presentity.documents.of(view) = Some(document.into());
        }
        presentity.documents.of(view).clone().unwrap_or_default()
    }

    /// The document as it would be now, without keeping it.
    pub(super) fn composed(&self, package: &EventPackage, index: usize, aor: &Aor) -> Arc<[u8]> {
        let presentity = self.presentities.get(index).and_then(|table| table.get(aor));
        let view = package.view(View::Detailed);
        let nobody = Presentity::default();
        presentity.unwrap_or(&nobody).compose(package, aor, view).into()
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
        if table.get(aor).is_some_and(Presentity::is_over) {
            table.remove(aor);
        }
    }

    /// A presentity's entry, if there is one.
    pub(super) fn known_mut(&mut self, package: usize, aor: &Aor) -> Option<&mut Presentity> {
        self.presentities.get_mut(package)?.get_mut(aor)
    }

    pub(super) fn change(&mut self, package: usize, aor: &Aor) {
        if let Some(presentity) = self.presentities.get_mut(package).and_then(|table| table.get_mut(aor))
            && !presentity.stale
        {
            presentity.stale = true;
            self.changed.push_back((package, aor.clone()));
        }
    }

    fn publications_of(&self, package: usize, aor: &Aor) -> &[Publication] {
        let presentity = self.presentities.get(package).and_then(|table| table.get(aor));
        presentity.map_or(&[], |p| p.publications.as_slice())
    }

    fn publication_mut(&mut self, subject: &Subject, position: usize) -> Option<&mut Publication> {
        self.presentities.get_mut(subject.package)?.get_mut(&subject.presentity)?.publications.get_mut(position)
    }

    /// Whether the server has no room for another publication of so many octets.
    fn is_full(&self, octets: usize) -> bool {
        self.publications >= limits::PUBLICATIONS || self.octets + octets > limits::BODIES
    }

    /// Whether a body finds room beside the publications that stay.
    fn room(&self, subject: &Subject, body: &[u8], stays: impl Fn(&Publication) -> bool) -> Result<(), Refusal> {
        let publications = self.publications_of(subject.package, &subject.presentity);
        let (count, size) = publications.iter().filter(|p| stays(p)).fold((0, 0), |(n, sum), p| (n + 1, sum + p.size));
        if count >= limits::PUBLICATIONS_PER_PRESENTITY {
            return Err(Refusal::full("too many publications for one presentity"));
        }
        if size + body.len() > limits::BODIES_PER_PRESENTITY {
            return Err(BodyFault::TooLarge.into());
        }
        Ok(())
    }

    fn position(&self, subject: &Subject, tag: &str) -> Option<usize> {
        self.publications_of(subject.package, &subject.presentity).iter().position(|p| &*p.entity_tag == tag)
    }

    fn of_origin(&self, subject: &Subject, origin: Option<&Origin>) -> Option<usize> {
        let mut publications = self.publications_of(subject.package, &subject.presentity).iter();
        publications.position(|p| p.origin.is_some() && p.origin.as_ref() == origin)
    }

    fn numbered(&self, package: usize, aor: &Aor, number: u64) -> Option<usize> {
        self.publications_of(package, aor).iter().position(|p| p.number == number)
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
        self.publications = self.publications.saturating_sub(1);
        self.octets = self.octets.saturating_sub(removed.size);
        self.change(package, aor);
        Some(removed)
    }
}

impl Presentity {
    /// Composes the document of a view again, where there is one. Whether it may be another than its watchers know.
    fn recompose(&mut self, package: &EventPackage, aor: &Aor, view: View) -> bool {
        let Some(old) = self.documents.of(view).take() else { return true };
        let document = self.compose(package, aor, view);
        let is_another = *old != *document;
        *self.documents.of(view) = Some(if is_another { document.into() } else { old });
        is_another
    }

    fn compose(&self, package: &EventPackage, aor: &Aor, view: View) -> Vec<u8> {
        let told = self.ledger.iter().flat_map(|ledger| ledger.told());
        let live: Vec<Live<'_, EventState>> = told.chain(self.live()).collect();
        let memory = self.ledger.as_ref().and_then(|ledger| ledger.memory());
        (package.compose)(&Composing { presentity: aor, live: &live, view, memory, since: KNOWS_ALL })
    }

    /// The live publications.
    pub(super) fn live(&self) -> impl Iterator<Item = Live<'_, EventState>> {
        self.publications.iter().map(|p| Live { number: p.number, state: &p.state })
    }

    /// The last watcher has gone: what was kept for watchers alone is let go.
    fn unwatched(&mut self) {
        self.documents = Documents::default();
        self.forget();
    }

    /// Whether nothing is known of it any more.
    fn is_over(&self) -> bool {
        let alone = self.publications.is_empty() && self.subscriptions.is_empty();
        alone && !self.stale && self.ledger.as_ref().is_none_or(|ledger| ledger.is_empty())
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

/// Of which running publisher a PUBLISH is: known only for peers configured as publishers that send `+sip.instance`.
fn origin(message: &Message<'_>, who: &Identity) -> Option<Origin> {
    if !who.publisher {
        return None;
    }
    let Some(Ok(Contact::Address(contact))) = message.contact() else { return None };
    let instance = contact.param("+sip.instance").flatten().filter(|i| !i.is_empty() && i.len() <= limits::TOKEN)?;
    Some(Origin { peer: who.peer.clone(), instance: instance.into() })
}

fn accepted(entity_tag: &str, granted: u32) -> Response {
    let mut headers = Headers::new();
    headers.push(HeaderName::SipETag, entity_tag).push(HeaderName::Expires, granted.to_string());
    Response { headers, ..Response::new(200) }
}

/// A Request-URI for a report.
pub(super) fn shortened_uri(message: &Message<'_>) -> Box<str> {
    let uri = message.request().map(|line| line.uri).unwrap_or_default();
    String::from_utf8_lossy(uri.get(..uri.len().min(limits::TOKEN)).unwrap_or_default()).into()
}
