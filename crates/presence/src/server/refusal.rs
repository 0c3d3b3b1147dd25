//! An answer other than 2xx, and what both PUBLISH and SUBSCRIBE are checked for before they are worked on.

use sip::{Aor, Response};
use wire::sip::{Fault, HeaderName, Headers, Message};

use super::package::listed;
use super::{EventPackage, PresenceServer, limits, list};

/// A request that is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    /// Why, in a few words.
    pub(super) why: &'static str,
    pub(super) headers: Headers,
}

impl Refusal {
    pub(super) fn new(code: u16, why: &'static str) -> Self {
        Self { code, why, headers: Headers::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// A bound of one presentity or one watcher is reached: try again later. No 503, which would say that this server is
    /// of no use to anybody (RFC 3261 section 21.5.4).
    pub(super) fn full(why: &'static str) -> Self {
        Self::new(500, why).with(HeaderName::RetryAfter, limits::FULL_RETRY_AFTER.as_secs().to_string())
    }

    /// A bound of the whole server is reached: try again later, or elsewhere. What is there goes on.
    pub(super) fn overloaded(why: &'static str) -> Self {
        Self::new(503, why).with(HeaderName::RetryAfter, limits::FULL_RETRY_AFTER.as_secs().to_string())
    }

    pub(super) fn response(self) -> Response {
        Response { headers: self.headers, ..Response::new(self.code) }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::new(fault.status, fault.reason)
    }
}

/// What a request is about.
pub(super) struct Subject {
    /// The package's index.
    pub(super) package: usize,
    pub(super) presentity: Aor,
}

/// 420 for an extension that is required and not supported (RFC 3261 section 8.2.2.3).
pub(super) fn understood(required: &[&str], published: bool) -> Result<(), Refusal> {
    let knows = |tag: &str| !published && list::EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = required.iter().copied().filter(|tag| !knows(tag)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(420, "an extension that is not supported").with(HeaderName::Unsupported, unknown.join(", ")))
}

impl PresenceServer {
    /// Whose state of which package a request is about: 404 for a presentity that is not ours, 420 for an extension
    /// that it requires, 489 for a package that we don't have (RFC 3903 section 6 steps 1 and 2).
    pub(super) fn subject(
        &self,
        message: &Message<'_>,
        known: Option<Aor>,
        published: bool,
    ) -> Result<Subject, Refusal> {
        let required = message.option_tags(HeaderName::Require).collect::<Vec<_>>();
        // A list in the request may be sent to the domain as such.
        let takes_list = !published && required.iter().any(|tag| tag.eq_ignore_ascii_case(list::RECIPIENT_LIST));
        let uri = message.uri().ok_or_else(|| Refusal::new(400, "the Request-URI is malformed"))?;
        let presentity = known
            .or_else(|| Aor::from_uri(&uri))
            .filter(|aor| (takes_list || !aor.user().is_empty()) && self.serves(aor.host()))
            .ok_or_else(|| Refusal::new(404, "not a presentity of this server"))?;
        understood(&required, published)?;
        let package = message
            .event()
            .and_then(|event| {
                self.settings.packages.iter().position(|p| p.name == event.package && (p.published || !published))
            })
            .ok_or_else(|| self.bad_event(published))?;
        Ok(Subject { package, presentity })
    }

    /// How many seconds are granted for a package: what was asked, within the bounds; 423 for less than the shortest.
    pub(super) fn granted(&self, message: &Message<'_>, package: &EventPackage) -> Result<u32, Refusal> {
        let asked = message.expires()?.unwrap_or(package.default_expires);
        let shortest = u32::try_from(self.settings.min_expires.as_secs()).unwrap_or(3600);
        let longest = u32::try_from(self.settings.max_expires.as_secs()).unwrap_or(u32::MAX);
        if asked > 0 && asked < shortest {
            return Err(Refusal::new(423, "shorter than the shortest time that is granted")
                .with(HeaderName::MinExpires, shortest.to_string()));
        }
        Ok(asked.min(longest))
    }

    pub(super) fn package(&self, index: usize) -> Option<EventPackage> {
        self.settings.packages.get(index).copied()
    }

    pub(super) fn serves(&self, domain: &str) -> bool {
        self.settings.domains.iter().any(|served| served.eq_ignore_ascii_case(domain))
    }

    fn bad_event(&self, published: bool) -> Refusal {
        Refusal::new(489, "an event package that this server does not have")
            .with(HeaderName::AllowEvents, listed(&self.settings.packages, published))
    }
}
