//! Address-of-record: the public URI of a user, in the one form in which two can be compared.

use std::fmt;
use std::sync::Arc;

use wire::sip::Uri;

/// An address-of-record in normal form: `sip:user@host`, or `tel:` and digits (RFC 3261 section 10.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aor(Arc<str>);

impl Aor {
    /// Reads one; `None` where it is no sip, sips, tel or pres URI.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        Self::from_uri(&Uri::parse(uri.as_bytes()).ok()?)
    }

    /// The address-of-record that a URI names.
    #[must_use]
    pub fn from_uri(uri: &Uri<'_>) -> Option<Self> {
        uri.address_of_record().map(|text| Self(text.into()))
    }

    /// The whole of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user part; empty where there is none.
    #[must_use]
    pub fn user(&self) -> &str {
        let rest = self.0.split_once(':').map_or("", |(_, rest)| rest);
        match rest.rsplit_once('@') {
            Some((user, _)) => user,
            None if self.0.starts_with("tel:") => rest,
            None => "",
        }
    }

    /// The host; empty for a tel URI.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("sip:").unwrap_or("");
        rest.rsplit_once('@').map_or(rest, |(_, host)| host)
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
