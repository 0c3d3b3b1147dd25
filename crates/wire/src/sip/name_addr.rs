//! `name-addr` and `addr-spec`: the value of From, To, Contact, Route and their like.

use std::borrow::Cow;

use super::scan::{find_outside, is_space, is_token, trim};
use super::{BadUri, Params, Uri};

/// A URI with a display name before it and parameters behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included.
    pub display: Option<&'a [u8]>,
    /// The URI.
    pub uri: Uri<'a>,
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When a quote or bracket is open, the URI is bad, or a URI without brackets holds what needs them.
    pub fn parse(octets: &'a [u8]) -> Result<Self, BadUri> {
        let octets = trim(octets);
        match find_angle(octets)? {
            Some((open, close)) => {
                let display = trim(octets.get(..open).unwrap_or_default());
                if !display.is_empty() && !is_display_name(display) {
                    return Err(BadUri("the display name is neither tokens nor a quoted string"));
                }
                let uri = Uri::parse(trim(octets.get(open + 1..close).unwrap_or_default()))?;
                let params = trim(octets.get(close + 1..).unwrap_or_default());
                if !params.is_empty() && params.first() != Some(&b';') {
                    return Err(BadUri("something other than parameters stands behind the URI"));
                }
                Ok(Self { display: (!display.is_empty()).then_some(display), uri, params: Params::new(params) })
            }
            None => {
                // Without brackets every parameter belongs to the header (RFC 3261 section 20).
                let end = find_outside(octets, b';').unwrap_or(octets.len());
                let (uri, params) = octets.split_at_checked(end).unwrap_or((octets, &[]));
                let uri = Uri::parse(trim(uri))?;
                if uri.as_str().contains(['?', ',']) {
                    return Err(BadUri("a URI with a question mark or a comma needs angle brackets"));
                }
                Ok(Self { display: None, uri, params: Params::new(params) })
            }
        }
    }

    /// The tag of a value that need not be read as a whole: what is wrong elsewhere in it does not show.
    pub(super) fn tag_of(octets: &'a [u8]) -> Option<&'a str> {
        let behind = match find_angle(octets).ok()? {
            Some((_, close)) => octets.get(close + 1..)?,
            None => octets.get(find_outside(octets, b';')?..)?,
        };
        if behind.is_empty() { None } else { Params::new(behind).value("tag") }
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }

    /// The parameter of the header with this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params.get(name)
    }

    /// The display name without quotes and escapes.
    #[must_use]
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        let display = self.display?;
        let Some(inner) = display.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
            return Some(String::from_utf8_lossy(display));
        };
        if !inner.contains(&b'\\') {
            return Some(String::from_utf8_lossy(inner));
        }
        let mut plain = Vec::with_capacity(inner.len());
        let mut escaped = false;
        for octet in inner {
            if *octet == b'\\' && !escaped {
                escaped = true;
            } else {
                plain.push(*octet);
                escaped = false;
            }
        }
        Some(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
    }
}

/// Where the angle brackets are, outside a quoted display name.
fn find_angle(octets: &[u8]) -> Result<Option<(usize, usize)>, BadUri> {
    let mut quoted = false;
    let mut escaped = false;
    for (place, octet) in octets.iter().copied().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match octet {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if octet == b'"' {
            quoted = true;
        } else if octet == b'<' {
            let after = octets.get(place..).unwrap_or_default();
            let close = after.iter().position(|o| *o == b'>').ok_or(BadUri("the angle bracket is open"))?;
            return Ok(Some((place, place + close)));
        } else if octet == b';' {
            return Ok(None);
        }
    }
    if quoted { Err(BadUri("the quote of the display name is open")) } else { Ok(None) }
}

fn is_display_name(display: &[u8]) -> bool {
    match display {
        [b'"', .., b'"'] => display.len() > 1,
        _ => display.iter().all(|octet| is_token(*octet) || is_space(*octet) || *octet >= 0x80),
    }
}
