//! Via: the way a response takes back (RFC 3261 section 20.42, RFC 3581).

use super::scan::{is_space, text, trim};
use super::uri::split_host;
use super::{Fault, HeaderName, Params};

const BAD: Fault = Fault::bad(HeaderName::Via, "Bad Via");

/// One Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport, as written: `UDP`, `TLS`, ...
    pub transport: &'a str,
    /// The host of sent-by, an IPv6 reference with its brackets.
    pub host: &'a str,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one element of a Via header.
    ///
    /// # Errors
    /// 400 when it is none; 505 when the version is not 2.0.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Fault> {
        let octets = trim(octets);
        let end = octets.iter().position(|octet| *octet == b';').unwrap_or(octets.len());
        let (head, params) = octets.split_at_checked(end).ok_or(BAD)?;
        let mut parts = head.splitn(3, |octet| *octet == b'/');
        let (Some(protocol), Some(version), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BAD);
        };
        if !trim(protocol).eq_ignore_ascii_case(b"SIP") || trim(version) != b"2.0" {
            return Err(BAD);
        }
        let rest = trim(rest);
        let gap = rest.iter().position(|octet| is_space(*octet)).ok_or(BAD)?;
        let (transport, sent_by) = rest.split_at_checked(gap).ok_or(BAD)?;
        let sent_by = trim(sent_by);
        let (host, port) = match text(sent_by).map(split_host) {
            Some(Ok(split)) => split,
            // White space around the colon is legal here and nowhere else.
            _ => spaced(sent_by).ok_or(BAD)?,
        };
        Ok(Self { transport: text(transport).ok_or(BAD)?, host, port, params: Params::new(params) })
    }

    /// The branch.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// The address the request came from, where a server has written it down.
    #[must_use]
    pub fn received(&self) -> Option<&'a str> {
        self.params.value("received")
    }

    /// The `rport` parameter: `Some(None)` asks for it, `Some(Some(port))` is the answer (RFC 3581).
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|value| value.and_then(|port| port.parse().ok()))
    }

    /// Whether the sender offers its connection for requests to it (RFC 5923).
    #[must_use]
    pub fn alias(&self) -> bool {
        self.params.get("alias").is_some()
    }
}

fn spaced(sent_by: &[u8]) -> Option<(&str, Option<u16>)> {
    let colon = sent_by.iter().rposition(|octet| *octet == b':')?;
    let (host, port) = sent_by.split_at_checked(colon)?;
    let port = super::scan::number(port.get(1..)?).and_then(|port| u16::try_from(port).ok())?;
    let (host, none) = split_host(text(trim(host))?).ok()?;
    none.is_none().then_some((host, Some(port)))
}
