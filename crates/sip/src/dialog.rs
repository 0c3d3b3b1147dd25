//! Dialogs: what two user agents must remember of each other (RFC 3261 section 12).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wire::sip::{Contact, Fault, HeaderName, Headers, Message, Method, Uri, print};

use crate::limits;
use crate::message::Request;

/// What names a dialog: the Call-ID and two tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The other side's tag; empty where an old user agent has none.
    pub remote_tag: Box<str>,
}

/// One dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Its name.
    pub id: DialogId,
    /// Our address, with the display name: what stands in From of our requests, without the tag.
    pub local: Box<str>,
    /// The other side's address, with the display name: what stands in To of our requests, without the tag.
    pub remote: Box<str>,
    /// Where requests go: the other side's Contact.
    pub remote_target: Box<str>,
    /// The proxies that requests pass, first one first.
    pub route_set: Vec<Box<str>>,
    /// The number of our last request.
    pub local_cseq: u32,
    /// The number of the other side's last request.
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that a response makes for the side that sent the request (section 12.1.2); a provisional response
    /// makes an early one.
    ///
    /// # Errors
    /// When the response lacks what a dialog needs; the fault accuses the other side.
    pub fn uac(request: &Message<'_>, response: &Message<'_>) -> Result<Self, Fault> {
        let mut route_set = routes(response)?;
        route_set.reverse();
        Ok(Self {
            id: DialogId {
                call_id: response.call_id()?.into(),
                local_tag: response.from_tag().unwrap_or_default().into(),
                remote_tag: response.to_tag().unwrap_or_default().into(),
            },
            local: address(request, HeaderName::From)?,
            remote: address(request, HeaderName::To)?,
            remote_target: remote_target(response)?,
            route_set,
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
        })
    }

    /// The dialog that a request makes for the side that answers it with this tag (section 12.1.1).
    ///
    /// # Errors
    /// When the request lacks what a dialog needs, a 400.
    pub fn uas(request: &Message<'_>, local_tag: &str) -> Result<Self, Fault> {
        Ok(Self {
            id: DialogId {
                call_id: request.call_id()?.into(),
                local_tag: local_tag.into(),
                remote_tag: request.from_tag().unwrap_or_default().into(),
            },
            local: address(request, HeaderName::To)?,
            remote: address(request, HeaderName::From)?,
            remote_target: match old_target(request) {
                Some(target) => target,
                None => remote_target(request)?,
            },
            route_set: routes(request)?,
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
        })
    }

    /// The next request inside the dialog (section 12.2.1.1). ACK and CANCEL have the number of their INVITE: see
    /// [`Dialog::ack`].
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.numbered(method, self.local_cseq)
    }

    /// The ACK of a 2xx to the INVITE with this number.
    #[must_use]
    pub fn ack(&self, number: u32) -> Request {
        self.numbered(Method::Ack, number)
    }

    /// The URI to which requests are sent: the first proxy, or the other side itself.
    #[must_use]
    pub fn next_hop(&self) -> &str {
        match self.route_set.first() {
            Some(first) => bare(first),
            None => &self.remote_target,
        }
    }

    /// Takes a request of the other side: its number must be higher than the last (section 12.2.2), and one that
    /// refreshes the target brings a new Contact.
    ///
    /// # Errors
    /// 500 when the number is not higher; 400 when a new Contact is bad.
    pub fn accept(&mut self, request: &Message<'_>) -> Result<(), Fault> {
        let number = request.cseq()?.number;
        if request.method() != Method::Ack {
            if self.remote_cseq.is_some_and(|last| number <= last) {
                return Err(Fault { status: 500, reason: "CSeq Out Of Order", header: Some(HeaderName::CSeq) });
            }
            self.remote_cseq = Some(number);
        }
        if matches!(request.method(), Method::Invite | Method::Update | Method::Subscribe | Method::Notify) {
            self.refresh_target(request)?;
        }
        Ok(())
    }

    /// Takes the Contact of a message that refreshes the target, if it has one; whether it changed anything.
    ///
    /// # Errors
    /// 400 when the Contact is bad.
    pub fn refresh_target(&mut self, message: &Message<'_>) -> Result<bool, Fault> {
        if message.header(HeaderName::Contact).is_none() {
            return Ok(false);
        }
        let target = remote_target(message)?;
        let changed = *target != *self.remote_target;
        self.remote_target = target;
        Ok(changed)
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let (uri, route) = self.way();
        let mut request = Request::new(method, uri);
        request.headers = Headers::with_capacity(384);
        let headers = &mut request.headers;
        for hop in route {
            headers.push(HeaderName::Route, hop.as_bytes());
        }
        for (name, address, tag) in
            [(HeaderName::From, &self.local, &self.id.local_tag), (HeaderName::To, &self.remote, &self.id.remote_tag)]
        {
            headers.push_parts(name, &[address, if tag.is_empty() { "" } else { ";tag=" }, tag]);
        }
        headers.push(HeaderName::CallId, self.id.call_id.as_bytes());
        headers.push_count(HeaderName::CSeq, number, &[" ", method.as_str()]);
        request
    }

    /// Request-URI and Route: a first proxy that routes strictly gets its own URI as Request-URI, and the remote target
    /// goes to the end of Route (section 12.2.1.1).
    fn way(&self) -> (&str, Vec<Cow<'_, str>>) {
        let Some(first) = self.route_set.first() else { return (&self.remote_target, Vec::new()) };
        let loose = Uri::parse(bare(first).as_bytes()).is_ok_and(|uri| uri.is_loose_router());
        let whole = |route: &str| Cow::Owned(format!("<{}>", bare(route)));
        if loose {
            return (&self.remote_target, self.route_set.iter().map(|route| whole(route)).collect());
        }
        let mut route: Vec<_> = self.route_set.iter().skip(1).map(|route| whole(route)).collect();
        route.push(Cow::Owned(format!("<{}>", self.remote_target)));
        (bare(first), route)
    }
}

/// The URI of a route, which is kept with or without brackets.
fn bare(route: &str) -> &str {
    route.trim_start_matches('<').trim_end_matches('>')
}

fn routes(message: &Message<'_>) -> Result<Vec<Box<str>>, Fault> {
    message.record_routes().take(limits::ROUTES).map(|route| Ok(route?.uri.as_str().into())).collect()
}

fn remote_target(message: &Message<'_>) -> Result<Box<str>, Fault> {
    const BAD: Fault = Fault::bad(HeaderName::Contact, "Need One Contact");
    match message.contact().ok_or(BAD)?? {
        Contact::Address(address) => Ok(address.uri.as_str().into()),
        Contact::Star => Err(BAD),
    }
}

/// Where requests go to a user agent of RFC 2543, which need not write a Contact: to its address in From.
fn old_target(request: &Message<'_>) -> Option<Box<str>> {
    let branch = request.via().ok()?.branch().unwrap_or_default();
    let is_old = !branch.starts_with("z9hG4bK") && request.header(HeaderName::Contact).is_none();
    is_old.then(|| request.from().ok().map(|from| from.uri.as_str().into()))?
}

/// From or To as it is repeated in each request: display name and URI, without parameters.
fn address(message: &Message<'_>, name: HeaderName) -> Result<Box<str>, Fault> {
    let address = if name == HeaderName::From { message.from()? } else { message.to()? };
    let uri = address.uri.as_str();
    Ok(match address.display_name() {
        Some(display) => format!("{} <{uri}>", print::quoted(&display)).into(),
        None => format!("<{uri}>").into(),
    })
}
