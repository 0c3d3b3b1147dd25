//! URIs: sip, sips, tel, and others that are only carried (RFC 3261 section 19.1, RFC 3966).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use super::Params;
use super::scan::{number, text};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`.
    Sip,
    /// `sips`: TLS on every hop.
    Sips,
    /// `tel`: a number.
    Tel,
    /// Any other.
    Other,
}

/// The host of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A name to be resolved.
    Name(&'a str),
    /// An address.
    Address(IpAddr),
    /// A scheme without hosts.
    None,
}

/// These octets are no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUri(pub &'static str);

impl fmt::Display for BadUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadUri {}

/// What an octet may be in a URI.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// It may stand in the name of a host.
    Host,
    At,
    /// It ends a host and its port.
    Delimiter,
    Illegal,
}

/// The kind of every octet.
const KIND: [Kind; 256] = {
    let mut table = [Kind::Plain; 256];
    let mut octet = 0_u8;
    loop {
        // A table of 256 has a place for every octet.
        table[octet as usize] = match octet {
            0..=b' ' | b'<' | b'>' | b'"' | 0x7f => Kind::Illegal,
            b'@' => Kind::At,
            b';' | b'?' => Kind::Delimiter,
            _ if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_') => Kind::Host,
            _ => Kind::Plain,
        };
        if octet == u8::MAX {
            break table;
        }
        octet += 1;
    }
};

/// A URI, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    whole: &'a str,
    scheme: Scheme,
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    ///
    /// # Errors
    /// When there is no scheme, or a sip URI has no host, a bad port, or white space inside.
    pub fn parse(octets: &'a [u8]) -> Result<Self, BadUri> {
        let whole = text(octets).ok_or(BadUri("the URI is not text"))?;
        let mut at_sign = None;
        for (place, octet) in octets.iter().enumerate() {
            match kind(*octet) {
                Kind::Plain | Kind::Host | Kind::Delimiter => {}
                Kind::Illegal => return Err(BadUri("white space or a bracket inside the URI")),
                // The first counts; whether there may be another depends on the scheme.
                Kind::At => at_sign = at_sign.or(Some(place)),
            }
        }
        let colon = octets.iter().position(|octet| *octet == b':').ok_or(BadUri("the URI has no scheme"))?;
        let (scheme, rest) = (whole.get(..colon).unwrap_or_default(), whole.get(colon + 1..).unwrap_or_default());
        match scheme {
            s if s.eq_ignore_ascii_case("sip") => Self::with_host(whole, Scheme::Sip, colon + 1, at_sign),
            s if s.eq_ignore_ascii_case("sips") => Self::with_host(whole, Scheme::Sips, colon + 1, at_sign),
            s if s.eq_ignore_ascii_case("tel") => {
                let (user, params) = split_at_byte(rest, b';');
                if user.is_empty() {
                    return Err(BadUri("the tel URI has no number"));
                }
                Ok(Self { whole, scheme: Scheme::Tel, user: Some(user), host: "", port: None, params, headers: None })
            }
            _ => {
                let starts = scheme.bytes().next().is_some_and(|octet| octet.is_ascii_alphabetic());
                if !starts || !scheme.bytes().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'-' | b'.')) {
                    return Err(BadUri("the scheme of the URI is no name"));
                }
                Ok(Self { whole, scheme: Scheme::Other, user: None, host: "", port: None, params: "", headers: None })
            }
        }
    }

    /// `start` is the octet after the scheme's colon, `at_sign` the first at sign of all.
    fn with_host(whole: &'a str, scheme: Scheme, start: usize, at_sign: Option<usize>) -> Result<Self, BadUri> {
        // Semicolons and question marks may stand in the user part, so the at sign comes first.
        let (user, rest) = match at_sign {
            Some(at) if at == start => return Err(BadUri("the URI has an at sign and no user")),
            Some(at) => (whole.get(start..at), whole.get(at + 1..).unwrap_or_default()),
            None => (None, whole.get(start..).unwrap_or_default()),
        };
        let end =
            rest.bytes().position(|octet| matches!(kind(octet), Kind::Delimiter | Kind::At)).unwrap_or(rest.len());
        let (host_port, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (params, headers) = match behind.as_bytes() {
            [] => ("", None),
            behind_octets if behind_octets.contains(&b'@') => return Err(BadUri("two at signs in the URI")),
            _ => match split_once(behind, b'?') {
                Some((params, headers)) => (params, Some(headers)),
                None => (behind, None),
            },
        };
        let (host, port) = split_host(host_port)?;
        // A password is legal, unsafe, and nobody's business.
        let user = user
            .map(|user| user.bytes().position(|octet| octet == b':').and_then(|end| user.get(..end)).unwrap_or(user));
        if user == Some("") {
            return Err(BadUri("the URI has a password and no user"));
        }
        Ok(Self { whole, scheme, user, host, port, params, headers })
    }

    /// The whole of it, as written.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.whole
    }

    /// Its scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part, escapes and all; the number of a tel URI.
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The host as written, an IPv6 reference with its brackets.
    #[must_use]
    pub fn host_str(&self) -> &'a str {
        self.host
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        if self.host.is_empty() {
            return Host::None;
        }
        if let Some(inside) = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return match lenient_ipv6(inside) {
                Some(address) => Host::Address(IpAddr::V6(address)),
                None => Host::Name(self.host),
            };
        }
        self.host.parse::<Ipv4Addr>().map_or(Host::Name(self.host), |address| Host::Address(IpAddr::V4(address)))
    }

    /// The port, where one is written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params.as_bytes())
    }

    /// The parameter with this name: `None` if it is absent, `Some(None)` if it has no value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params().get(name)
    }

    /// The transport parameter.
    #[must_use]
    pub fn transport(&self) -> Option<&'a str> {
        self.params().value("transport")
    }

    /// Whether it names a loose router (RFC 3261 section 16.12).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The headers behind the question mark.
    #[must_use]
    pub fn headers(&self) -> Option<&'a str> {
        self.headers
    }

    /// The address-of-record in normal form (RFC 3261 section 10.3): `sip:user@host`, the user unescaped, the host in
    /// lower case, nothing behind it; a tel URI without visual separators; of a pres URI the sip form (RFC 3859). `None` for other
    /// schemes, and where there is no number between the separators.
    #[must_use]
    pub fn address_of_record(&self) -> Option<String> {
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                let host = self.host.to_ascii_lowercase();
                Some(match self.user {
                    Some(user) => ["sip:", &normal_user(user), "@", &host].concat(),
                    None => ["sip:", &host].concat(),
                })
            }
            Scheme::Tel => {
                let number = self.user.unwrap_or_default();
                let digits = number.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect::<String>();
                (!digits.is_empty()).then(|| format!("tel:{digits}"))
            }
            Scheme::Other => {
                let (scheme, named) = self.whole.split_once(':')?;
                let is_presentity = scheme.eq_ignore_ascii_case("pres");
                let named = is_presentity.then(|| ["sip:", named].concat())?;
                Uri::parse(named.as_bytes()).ok()?.address_of_record()
            }
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whole)
    }
}

/// Splits before the first `octet`, which stays with the second part.
fn split_at_byte(text: &str, octet: u8) -> (&str, &str) {
    memchr(octet, text.as_bytes()).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

/// Splits at the first `octet`, which is an ASCII letter and belongs to neither part.
fn split_once(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = memchr(octet, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn kind(octet: u8) -> Kind {
    // A table of 256 has a place for every octet.
    KIND[usize::from(octet)]
}

/// Splits host and port; a host is a name, an IPv4 address or an IPv6 reference in brackets.
pub(super) fn split_host(host_port: &str) -> Result<(&str, Option<u16>), BadUri> {
    let (host, port) = if host_port.starts_with('[') {
        let end = host_port.find(']').ok_or(BadUri("the bracket of the IPv6 address is open"))?;
        let (host, rest) = host_port.split_at_checked(end + 1).ok_or(BadUri("no host"))?;
        if lenient_ipv6(host.trim_matches(['[', ']'])).is_none() {
            return Err(BadUri("what stands in brackets is no IPv6 address"));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(BadUri("something stands behind the IPv6 address")),
        }
    } else {
        let end = host_port.bytes().position(|octet| kind(octet) != Kind::Host).unwrap_or(host_port.len());
        match host_port.split_at_checked(end) {
            Some((host, "")) if end > 0 => (host, None),
            Some((host, port)) if end > 0 && port.starts_with(':') => (host, port.get(1..)),
            _ => return Err(BadUri("the host is no name and no address")),
        }
    };
    let port = match port {
        None => None,
        Some(port) => {
            let port = number(port.as_bytes()).and_then(|port| u16::try_from(port).ok());
            Some(port.ok_or(BadUri("the port is no number up to 65535"))?)
        }
    };
    Ok((host, port))
}

/// An IPv6 address; three colons before an IPv4 part are taken as two (RFC 5118 section 4.10).
fn lenient_ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.replacen(":::", "::", 1).parse().ok())
}

/// The user part in normal form: what needs no escape is not escaped, hexadecimal digits are upper case, and a percent sign
/// that begins no escape is escaped itself, or it might begin one with what follows.
fn normal_user(user: &str) -> String {
    let mut normal = String::with_capacity(user.len());
    let mut rest = user;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                if value.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&value) {
                    normal.push(char::from(value));
                } else {
                    normal.push('%');
                    normal.push_str(&after.get(..2).unwrap_or_default().to_ascii_uppercase());
                }
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                normal.push_str("%25");
                rest = after;
            }
        }
    }
    normal.push_str(rest);
    normal
}
