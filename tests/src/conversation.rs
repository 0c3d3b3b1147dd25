//! What publishers and watchers say to a presence server, as a scripted user agent says it.

use std::time::Duration;

use crate::agent::{Agent, PATIENCE, Received, Request};
use crate::office::DOMAIN;

/// The media type of presence documents.
pub const PIDF: &str = "application/pidf+xml";

/// A watcher's subscription as it sees it.
#[derive(Clone, Debug)]
pub struct Watch {
    presentity: String,
    watcher: String,
    event: String,
    call_id: String,
    from: String,
    to: String,
    /// The remote target: the Contact of the notifier.
    pub target: String,
    cseq: u32,
    /// The answer to the SUBSCRIBE.
    pub answer: Received,
}

/// The URI of a user of the domain.
#[must_use]
pub fn uri(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

/// A document with one open tuple that says nothing else.
#[must_use]
pub fn online(user: &str) -> String {
    document(user, "open", "")
}

/// A document that says that the user is on the phone.
#[must_use]
pub fn on_the_phone(user: &str) -> String {
    document(user, "open", "<rpid:activities><rpid:on-the-phone/></rpid:activities>")
}

/// A document with one tuple, and this in its person.
#[must_use]
pub fn document(user: &str, basic: &str, person: &str) -> String {
    let entity = uri(user);
    let person = if person.is_empty() { String::new() } else { format!("<dm:person id=\"p1\">{person}</dm:person>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{entity}\"><tuple id=\"t1\"><status><basic>{basic}</basic></status></tuple>{person}</presence>\r\n"
    )
}

impl Agent {
    /// A PUBLISH for a user, without body, time or entity-tag.
    #[must_use]
    pub fn publish(&self, user: &str) -> Request {
        self.request("PUBLISH", &uri(user), user).header("Event", "presence")
    }

    /// An initial publication of a document.
    #[must_use]
    pub fn publish_document(&self, user: &str, expires: u32, document: &str) -> Request {
        let expires = expires.to_string();
        self.publish(user).header("Expires", expires).header("Content-Type", PIDF).body(document)
    }

    /// Publishes a document, and gives the entity-tag.
    pub fn initial(&mut self, user: &str, expires: u32, document: &str) -> String {
        let answer = self.ask(&self.publish_document(user, expires, document));
        assert_eq!(answer.code(), 200, "{answer}");
        tag(&answer)
    }

    /// Refreshes a publication, or with no time removes it.
    pub fn refresh(&mut self, user: &str, tag: &str, expires: u32) -> Received {
        self.ask(&self.publish(user).header("SIP-If-Match", tag).header("Expires", expires.to_string()))
    }

    /// Replaces the document of a publication.
    pub fn modify(&mut self, user: &str, tag: &str, expires: u32, document: &str) -> Received {
        self.ask(&self.publish_document(user, expires, document).header("SIP-If-Match", tag))
    }

    /// A SUBSCRIBE to a user's presence.
    #[must_use]
    pub fn subscribe(&self, presentity: &str, watcher: &str, expires: u32) -> Request {
        self.request("SUBSCRIBE", &uri(presentity), watcher)
            .header("Contact", self.contact(watcher))
            .header("Event", "presence")
            .header("Accept", PIDF)
            .header("Expires", expires.to_string())
    }

    /// Subscribes; the first NOTIFY has come and been answered, and is given too.
    pub fn watch(&mut self, presentity: &str, watcher: &str, expires: u32) -> (Watch, Received) {
        let request = self.subscribe(presentity, watcher, expires);
        let watch = self.watch_by(&request, presentity, watcher);
        let first = watch.notified(self);
        (watch, first)
    }

    /// Subscribes by this request.
    pub fn watch_by(&mut self, request: &Request, presentity: &str, watcher: &str) -> Watch {
        let answer = self.ask(request);
        assert!((200..300).contains(&answer.code()), "{answer}");
        let value = |name: &str| request.value(name).unwrap_or_default().to_owned();
        let contact = answer.header("Contact").unwrap_or_else(|| panic!("no Contact in:\n{answer}"));
        let target = contact.split(['<', '>']).nth(1).unwrap_or(&contact).to_owned();
        Watch {
            presentity: presentity.to_owned(),
            watcher: watcher.to_owned(),
            event: value("Event"),
            call_id: value("Call-ID"),
            from: value("From"),
            to: answer.header("To").expect("a To"),
            target,
            cseq: 1,
            answer,
        }
    }
}

impl Watch {
    /// A SUBSCRIBE within the dialog.
    #[must_use]
    pub fn again(&mut self, agent: &Agent, expires: u32) -> Request {
        self.cseq += 1;
        agent
            .subscribe(&self.presentity, &self.watcher, expires)
            .to_target(&self.target)
            .header("Event", self.event.clone())
            .header("Call-ID", self.call_id.clone())
            .header("From", self.from.clone())
            .header("To", self.to.clone())
            .header("CSeq", format!("{} SUBSCRIBE", self.cseq))
    }

    /// Whether a request is a NOTIFY of this subscription's dialog.
    #[must_use]
    pub fn is_mine(&self, message: &Received) -> bool {
        message.is("NOTIFY") && message.header("Call-ID").as_deref() == Some(&self.call_id)
    }

    /// The next NOTIFY, answered with 200.
    pub fn notified(&self, agent: &mut Agent) -> Received {
        self.notified_within(agent, PATIENCE)
            .unwrap_or_else(|| panic!("no NOTIFY to {} within {PATIENCE:?}", self.watcher))
    }

    /// The next NOTIFY that comes within a time, answered with 200.
    pub fn notified_within(&self, agent: &mut Agent, within: Duration) -> Option<Received> {
        let notify = agent.next(within, |message| self.is_mine(message))?;
        agent.answer(&notify, 200, &[]);
        Some(notify)
    }

    /// NOTIFYs, each answered with 200, up to the first that fits.
    pub fn notified_of(&self, agent: &mut Agent, fits: impl Fn(&Received) -> bool) -> Received {
        loop {
            let notify = self.notified(agent);
            if fits(&notify) {
                return notify;
            }
        }
    }
}

/// The one entity-tag of an answer.
#[must_use]
pub fn tag(answer: &Received) -> String {
    let tags = answer.headers("SIP-ETag");
    assert_eq!(tags.len(), 1, "{answer}");
    tags.into_iter().next().expect("one")
}

/// The Subscription-State of a NOTIFY: the state, and its parameters as they stand.
#[must_use]
pub fn state(notify: &Received) -> (String, String) {
    let value = notify.header("Subscription-State").unwrap_or_else(|| panic!("no Subscription-State in:\n{notify}"));
    let (state, params) = value.split_once(';').unwrap_or((&value, ""));
    (state.trim().to_ascii_lowercase(), params.trim().to_owned())
}

/// The value of a parameter of Subscription-State.
#[must_use]
pub fn state_param(notify: &Received, name: &str) -> Option<String> {
    let (_, params) = state(notify);
    let mut params = params.split(';').filter_map(|param| param.split_once('='));
    params.find(|(own, _)| own.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}
