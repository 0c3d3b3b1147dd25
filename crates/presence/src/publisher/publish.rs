//! The four PUBLISH requests there are (RFC 3903 section 4.1); no fifth can be written.

use std::time::Duration;

use sip::{Aor, ContactUser, Request};
use wire::sip::{HeaderName, Method};

use crate::document::PIDF;

/// A PUBLISH, by what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// The first of a publication: the document, and no entity-tag.
    Initial {
        /// The document.
        body: Vec<u8>,
    },
    /// Lives on: the newest entity-tag, and no body.
    Refresh {
        /// The newest entity-tag.
        tag: Box<str>,
    },
    /// Something else is published: the document and the newest entity-tag.
    Modify {
        /// The newest entity-tag.
        tag: Box<str>,
        /// The document.
        body: Vec<u8>,
    },
    /// The end: the newest entity-tag, no body, and a lifetime of 0.
    Remove {
        /// The newest entity-tag.
        tag: Box<str>,
    },
}

/// What distinguishes one PUBLISH from the next: each is a request of its own, outside any dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) call_id: Box<str>,
    pub(super) from_tag: Box<str>,
    pub(super) cseq: u32,
}

impl Publish {
    /// Whether it takes the publication back.
    #[must_use]
    pub fn is_remove(&self) -> bool {
        matches!(self, Self::Remove { .. })
    }

    /// The entity-tag that it carries.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Initial { .. } => None,
            Self::Refresh { tag } | Self::Modify { tag, .. } | Self::Remove { tag } => Some(tag),
        }
    }

    /// The request; `expires` is what is asked for, and 0 for a removal whatever is said.
    pub(super) fn request(&self, user: &Aor, names: &Names, expires: Duration, contact: ContactUser) -> Request {
        let mut request = Request::new(Method::Publish, user.as_str());
        request.contact = Some(contact);
        let headers = &mut request.headers;
        headers.push_fmt(HeaderName::From, format_args!("<{user}>;tag={}", names.from_tag));
        headers.push_fmt(HeaderName::To, format_args!("<{user}>"));
        headers.push(HeaderName::CallId, names.call_id.as_bytes());
        headers.push_fmt(HeaderName::CSeq, format_args!("{} PUBLISH", names.cseq));
        headers.push(HeaderName::Event, "presence");
        let seconds = if self.is_remove() { 0 } else { expires.as_secs() };
        headers.push_fmt(HeaderName::Expires, format_args!("{seconds}"));
        if let Some(tag) = self.tag() {
            headers.push(HeaderName::SipIfMatch, tag);
        }
        if let Self::Initial { body } | Self::Modify { body, .. } = self {
            headers.push(HeaderName::ContentType, PIDF);
            request.body = body.as_slice().into();
        }
        request
    }
}
