//! PUBLISH, step by step as RFC 3903 section 6 has it.

use std::sync::Arc;
use std::time::Duration;

use sip::transaction::ServerKey;
use sip::{Aor, Random, Response};
use wire::sip::{Contact, HeaderName, Headers, Message};

use super::compositor::Compositor;
use super::presentity::Publication;
use super::record::{Answer, Content, EntityTag, Forgotten, Life, Origin, Record};
use super::refusal::{Refusal, Subject};
use super::report::name_of;
use super::shares::Source;
use super::{BodyFault, EventPackage, Identity, PresenceServer, Report, limits};

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
        let stays = |p: &Publication| origin.is_none() || p.origin != origin;
        self.compositor.room(subject, body, stays)?;
        let known = self.compositor.publications_of(subject.package, &subject.presentity);
        let superseded = known.iter().filter(|p| !stays(p)).map(|p| (p.source, p.body.len()));
        self.compositor.shares.room(grant.source, body.len(), superseded)?;
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
        let (number, old) = publications.get(position).map(|p| (p.number, p.body.len())).unzip();
        self.compositor.room(subject, body, |p| Some(p.number) != number)?;
        self.compositor.shares.room_to_grow(grant.source, body.len().saturating_sub(old.unwrap_or_default()))?;
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
