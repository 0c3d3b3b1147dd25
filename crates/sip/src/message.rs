//! Messages as the transaction user makes them: what it decides, without what the transaction layer adds.

use std::sync::Arc;

use wire::sip::{Headers, Method};

use crate::transport::Flow;

/// A body, shared by all who send it.
pub type Body = Arc<[u8]>;

/// A request. The transaction layer adds Via, Max-Forwards, Contact and Content-Length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Box<str>,
    /// What stands in Contact, if one is sent.
    pub contact: Option<ContactUser>,
    /// How many more elements may forward it.
    pub max_forwards: u8,
    /// From, To, Call-ID, CSeq, Route and all others.
    pub headers: Headers,
    /// The body; its Content-Type is among the headers.
    pub body: Body,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, uri: impl Into<Box<str>>) -> Self {
        Self { method, uri: uri.into(), contact: None, max_forwards: 70, headers: Headers::new(), body: Arc::from([]) }
    }
}

/// A response. The transaction layer echoes Via, From, To, Call-ID, CSeq and, where a dialog is made, Record-Route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub code: u16,
    /// The reason phrase, where it is not the usual one.
    pub reason: Option<Box<str>>,
    /// The tag to add to To; without one the layer makes one for a final response that needs it.
    pub to_tag: Option<Box<str>>,
    /// What stands in Contact, if one is sent.
    pub contact: Option<ContactUser>,
    /// All other headers.
    pub headers: Headers,
    /// The body; its Content-Type is among the headers.
    pub body: Body,
}

impl Response {
    /// A response without headers and body.
    #[must_use]
    pub fn new(code: u16) -> Self {
        Self { code, reason: None, to_tag: None, contact: None, headers: Headers::new(), body: Arc::from([]) }
    }
}

/// What a transaction user wants in Contact; the layer fills in host, port and transport of the flow it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactUser {
    /// The user part.
    pub user: Option<Box<str>>,
    /// Parameters of the URI, each with its semicolon.
    pub uri_params: Box<str>,
    /// Parameters of the header, each with its semicolon.
    pub params: Box<str>,
    /// Whether it is a SIPS URI, as a dialog begun under one wants it (RFC 3261 sections 8.1.1.8 and 12.1.1).
    pub secure: bool,
}

impl ContactUser {
    /// A Contact with this user part.
    #[must_use]
    pub fn of(user: impl Into<Box<str>>) -> Self {
        Self { user: Some(user.into()), ..Self::default() }
    }
}

/// Where a request is wanted; the node finds the flow (RFC 3261 section 8.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URI of the next hop.
    pub uri: Box<str>,
    /// The flow to prefer while it stands: the way to a phone behind a NAT.
    pub flow: Option<Flow>,
}
