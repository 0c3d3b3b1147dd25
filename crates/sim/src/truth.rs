//! What can be seen on the wire of each user's publication at each presence server, and what must never be seen there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sip::transport::StreamId;
use wire::sip::{HeaderName, Message, Method};

/// How long a PUBLISH awaits its answer (64 times T1).
const PATIENCE: Duration = Duration::from_secs(32);

/// Publications by server and user, in one life of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Truth(BTreeMap<(usize, String), Seen>);

#[derive(Debug, Default)]
struct Seen {
    flight: Option<Flight>,
    /// The newest tag that the node has been told, and until when it is good.
    held: Option<(String, Instant)>,
    told_at: Option<Instant>,
    /// Whether a PUBLISH has left since.
    has_asked: bool,
}

#[derive(Debug)]
struct Flight {
    branch: String,
    sent_at: Instant,
    is_remove: bool,
    stream: Option<StreamId>,
}

impl Truth {
    /// The nodes have died; their successors know what was written down.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// A message leaves for a server; what is wrong with it.
    pub(crate) fn leaves(
        &mut self,
        now: Instant,
        server: usize,
        octets: &[u8],
        stream: Option<StreamId>,
    ) -> Option<String> {
        let message = Message::parse(octets).ok().filter(|message| message.method() == Method::Publish)?;
        let user = message.to().ok()?.uri.as_str().to_owned();
        let branch = message.via().ok()?.branch()?.to_owned();
        let seen = self.0.entry((server, user.clone())).or_default();
        seen.has_asked = true;
        if seen.flight.as_ref().is_some_and(|flight| flight.branch == branch) {
            return None;
        }
        let awaited = seen.flight.as_ref().is_some_and(|flight| now < flight.sent_at + PATIENCE);
        let is_initial = message.header(HeaderName::SipIfMatch).is_none();
        let holds = seen.held.as_ref().filter(|(_, until)| *until > now).map(|(tag, _)| tag.clone());
        let is_remove = message.expires() == Ok(Some(0));
        seen.flight = Some(Flight { branch, sent_at: now, is_remove, stream });
        match (awaited, is_initial, holds) {
            (true, _, _) => Some(format!("a PUBLISH of {user} while an earlier one awaits its answer")),
            (_, true, Some(tag)) => Some(format!("an initial PUBLISH of {user} while {tag} is held, which met no 412")),
            _ => None,
        }
    }

    /// A response reaches the node.
    pub(crate) fn arrives(&mut self, now: Instant, server: usize, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else { return };
        let Some(code) = message.status().map(|status| status.code).filter(|code| *code >= 200) else { return };
        let (Ok(to), Ok(via)) = (message.to(), message.via()) else { return };
        let Some(seen) = self.0.get_mut(&(server, to.uri.as_str().to_owned())) else { return };
        let Some(flight) = seen.flight.take_if(|flight| Some(flight.branch.as_str()) == via.branch()) else {
            // It comes late, or twice. What is held from now on is the node's to say.
            if code < 300 && now >= seen.told_at.unwrap_or(now) + PATIENCE {
                seen.held = None;
            }
            return;
        };
        let tag = message.header(HeaderName::SipETag).map(|tag| String::from_utf8_lossy(tag).into_owned());
        let granted = Duration::from_secs(u64::from(message.expires().ok().flatten().unwrap_or(0)));
        match code {
            _ if now >= flight.sent_at + PATIENCE => seen.held = None,
            200..300 if !flight.is_remove => {
                seen.held = tag.map(|tag| (tag, now + granted));
                seen.told_at = Some(now);
                seen.has_asked = false;
            }
            200..300 | 412 => seen.held = None,
            _ => {}
        }
    }

    /// A stream is gone, and with it the wait for what left on it.
    pub(crate) fn broke(&mut self, id: StreamId) {
        for seen in self.0.values_mut() {
            seen.flight.take_if(|flight| flight.stream == Some(id));
        }
    }

    /// Since when the node has known of what this tag names, where nobody has asked the server for anything since.
    pub(crate) fn unasked_since(&self, server: usize, user: &str, tag: &str) -> Option<Instant> {
        let seen = self.0.get(&(server, user.to_owned()))?;
        let told_at = seen.told_at?;
        let newest = seen.held.as_ref().is_some_and(|(held, _)| held == tag);
        (newest && !seen.has_asked).then_some(told_at)
    }
}
