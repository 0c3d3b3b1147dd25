//! What of the messages at the sockets becomes a line of the ladder.

use std::collections::BTreeSet;
use std::time::Instant;

use runtime::Direction;
use sip::transport::Transport;
use wire::pidf;
use wire::sip::{HeaderName, Message, Method};

use super::stage::{Cast, Seen};
use crate::ladder::{self, Kind, Ladder};

const JOHN: usize = 0;
const OFFHOOK: usize = 1;
const JANE: usize = 2;
const PRESENCE_SERVER: usize = 3;
const WATCHER: usize = 4;

/// The ladder as far as it has been seen.
#[derive(Debug)]
pub(super) struct Scene {
    cast: Cast,
    ladder: Ladder,
    began: Option<Instant>,
    /// Requests that were challenged: neither they nor their ACKs are shown.
    challenged: BTreeSet<String>,
    published: usize,
    refreshes: usize,
    confirmed: usize,
    /// Whether a document has been shown whole.
    document_shown: bool,
}

impl Scene {
    pub(super) fn new(cast: Cast) -> Self {
        let participants =
            ["john.doe", "offhook", "jane.roe", "presence server", "watcher"].map(str::to_owned).to_vec();
        Self {
            cast,
            ladder: Ladder { participants, messages: Vec::new() },
            began: None,
            challenged: BTreeSet::new(),
            published: 0,
            refreshes: 0,
            confirmed: 0,
            document_shown: false,
        }
    }

    pub(super) fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// PUBLISH requests that were seen.
    pub(super) fn published(&self) -> usize {
        self.published
    }

    /// Those of them that refreshed.
    pub(super) fn refreshes(&self) -> usize {
        self.refreshes
    }

    /// PUBLISH requests that were answered with 2xx.
    pub(super) fn confirmed(&self) -> usize {
        self.confirmed
    }

    /// A message was seen at a socket; the line it becomes, unless it adds nothing to the story.
    pub(super) fn saw(&mut self, seen: &Seen) -> Option<&ladder::Message> {
        let message = Message::parse(&seen.octets).ok()?;
        let (from, to) = self.ends(seen, &message)?;
        if !self.tells(&message) {
            return None;
        }
        let began = *self.began.get_or_insert(seen.at);
        let line = match (message.request(), message.status()) {
            (Some(request), _) => String::from_utf8_lossy(request.token).into_owned(),
            (None, Some(status)) => format!("{} {}", status.code, String::from_utf8_lossy(status.reason)),
            (None, None) => return None,
        };
        let kind = match message.method() {
            _ if message.status().is_some_and(|status| status.code >= 300) => Kind::Failure,
            Method::Publish | Method::Subscribe | Method::Notify => Kind::Presence,
            _ => Kind::Call,
        };
        let details = self.details(&message);
        let at = seen.at.saturating_duration_since(began);
        self.ladder.messages.push(ladder::Message { at, from, to, kind, line, details });
        self.ladder.messages.last()
    }

    /// Whose message it is. What goes over TLS is seen at both ends, and shown at the publisher's.
    fn ends(&self, seen: &Seen, message: &Message<'_>) -> Option<(usize, usize)> {
        let (here, there) = if seen.transport == Transport::Tls {
            (seen.remote == self.cast.presence_server).then_some((OFFHOOK, PRESENCE_SERVER))?
        } else {
            let presence = matches!(message.method(), Method::Subscribe | Method::Notify);
            let here = if presence { PRESENCE_SERVER } else { OFFHOOK };
            match seen.remote {
                remote if remote == self.cast.john => (here, JOHN),
                remote if remote == self.cast.jane => (here, JANE),
                remote if self.cast.watchers.contains(&remote) => (here, WATCHER),
                _ => return None,
            }
        };
        Some(if seen.direction == Direction::Sent { (here, there) } else { (there, here) })
    }

    /// Whether a message belongs to the story; requests that are challenged are told once, with their credentials.
    fn tells(&mut self, message: &Message<'_>) -> bool {
        let name =
            format!("{} {}", message.call_id().unwrap_or_default(), message.cseq().map_or(0, |cseq| cseq.number));
        let proof =
            if message.method() == Method::Invite { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        let proved = message.header(proof).is_some();
        match (message.method(), message.status().map(|status| status.code)) {
            (Method::Register, _) | (_, Some(100)) | (Method::Notify, Some(_)) => false,
            (_, Some(401 | 407)) => {
                self.challenged.insert(name);
                false
            }
            (Method::Ack, _) => !self.challenged.contains(&name),
            // From a phone or a watcher; what we send on needs no proof.
            (Method::Invite | Method::Subscribe, None) if message.to_tag().is_none() => {
                proved || !message.via().is_ok_and(|via| self.is_of_a_person(via.port))
            }
            (Method::Publish, None) => {
                self.published += 1;
                let refresh = message.header(HeaderName::SipIfMatch).is_some() && message.expires() != Ok(Some(0));
                self.refreshes += usize::from(refresh);
                true
            }
            (Method::Publish, Some(200..300)) => {
                self.confirmed += 1;
                true
            }
            _ => true,
        }
    }

    fn is_of_a_person(&self, port: Option<u16>) -> bool {
        let people = [self.cast.john, self.cast.jane].into_iter().chain(self.cast.watchers);
        people.map(|address| address.port()).any(|own| Some(own) == port)
    }

    fn details(&mut self, message: &Message<'_>) -> Vec<String> {
        let mut details = Vec::new();
        if !matches!(message.method(), Method::Publish | Method::Notify | Method::Subscribe) {
            return details;
        }
        if let Some(uri) = message.request().filter(|_| message.method() == Method::Publish) {
            details.push(String::from_utf8_lossy(uri.uri).into_owned());
        }
        if let (Method::Notify, Ok(from)) = (message.method(), message.from()) {
            details.push(format!("of {}", from.uri));
        }
        for name in [HeaderName::SipIfMatch, HeaderName::SipETag, HeaderName::Expires] {
            if let Some(value) = message.header(name).filter(|_| message.method() == Method::Publish) {
                details.push(format!("{}: {}", name.as_str(), String::from_utf8_lossy(value)));
            }
        }
        if let Ok(reading) = pidf::read(message.body()) {
            let whole = message.method() == Method::Publish && !std::mem::replace(&mut self.document_shown, true);
            if whole {
                details.extend(String::from_utf8_lossy(message.body()).lines().map(str::to_owned));
            } else {
                let open = if reading.open == Some(true) { "open" } else { "closed" };
                details.push(if reading.is_on_the_phone() { "on the phone".to_owned() } else { open.to_owned() });
            }
        }
        details
    }
}
