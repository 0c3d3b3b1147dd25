//! Names of headers, long and compact, and one header as it lies in the message.

/// One header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which one.
    pub name: HeaderName,
    /// The name as it was written.
    pub raw_name: &'a [u8],
    /// The value without white space around it; folds inside are kept.
    pub value: &'a [u8],
    /// The whole line or lines, with the line end.
    pub line: &'a [u8],
}

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $long:literal $(| $compact:literal)?,)*) => {
        /// The headers we know.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs)]
        pub enum HeaderName { $($(#[$doc])* $variant,)* Other }

        impl HeaderName {
            /// The header with this name, in any letter case, long or compact (RFC 3261 section 7.3.3).
            #[must_use]
            pub fn from_bytes(name: &[u8]) -> Self {
                match name {
                    [one] => match one.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    },
                    _ => from_long(name),
                }
            }

            /// Its long name; empty for one that we do not know.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $long,)* Self::Other => "" }
            }

            /// One bit for each, so that a set of headers is a number.
            pub(super) const fn bit(self) -> u64 {
                // There are fewer than 64 names, or `PLACES` does not compile.
                1 << (self as u32)
            }
        }

        const LONG: &[(HeaderName, &str)] = &[$((HeaderName::$variant, $long),)*];
    };
}

names! {
    Via = "Via" | b'v',
    From = "From" | b'f',
    To = "To" | b't',
    CallId = "Call-ID" | b'i',
    CSeq = "CSeq",
    MaxForwards = "Max-Forwards",
    Contact = "Contact" | b'm',
    ContentLength = "Content-Length" | b'l',
    ContentType = "Content-Type" | b'c',
    Expires = "Expires",
    Event = "Event" | b'o',
    SipIfMatch = "SIP-If-Match",
    SipETag = "SIP-ETag",
    Route = "Route",
    RecordRoute = "Record-Route",
    Supported = "Supported" | b'k',
    Allow = "Allow",
    Accept = "Accept",
    UserAgent = "User-Agent",
    Server = "Server",
    Require = "Require",
    ProxyRequire = "Proxy-Require",
    Unsupported = "Unsupported",
    Authorization = "Authorization",
    ProxyAuthorization = "Proxy-Authorization",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthenticate = "Proxy-Authenticate",
    AuthenticationInfo = "Authentication-Info",
    MinExpires = "Min-Expires",
    AllowEvents = "Allow-Events" | b'u',
    SubscriptionState = "Subscription-State",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" | b'e',
    ContentLanguage = "Content-Language",
    MimeVersion = "MIME-Version",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    RetryAfter = "Retry-After",
    Warning = "Warning",
    Reason = "Reason",
    Path = "Path",
    PAssertedIdentity = "P-Asserted-Identity",
    Privacy = "Privacy",
    SessionExpires = "Session-Expires" | b'x',
    MinSe = "Min-SE",
    RSeq = "RSeq",
    RAck = "RAck",
    Replaces = "Replaces",
    ReferTo = "Refer-To" | b'r',
    ReferredBy = "Referred-By" | b'b',
    Subject = "Subject" | b's',
    Date = "Date",
    Timestamp = "Timestamp",
    AlertInfo = "Alert-Info",
    InReplyTo = "In-Reply-To",
}

/// How many names may share one place of [`PLACES`].
const SHARED: usize = 4;

/// Long names, found by their length and two of their letters. An entry is 1 + the index into [`LONG`]; 0 ends a place.
const PLACES: [[u8; SHARED]; 256] = {
    assert!(LONG.len() < 64);
    let mut places = [[0_u8; SHARED]; 256];
    let mut index = 0;
    while index < LONG.len() {
        // The loop ends with the table.
        let place = place(LONG[index].1.as_bytes());
        let mut free = 0;
        // More names in one place than it has room for do not compile.
        while places[place][free] != 0 {
            free += 1;
        }
        index += 1;
        places[place][free] = index as u8;
    }
    places
};

/// Where a name would stand: below 256.
const fn place(name: &[u8]) -> usize {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let letters = (first.to_ascii_lowercase() as usize) * 7 + (last.to_ascii_lowercase() as usize) * 3;
    (letters + name.len() * 29) & 0xff
}

fn from_long(name: &[u8]) -> HeaderName {
    // `place` is below 256.
    for entry in PLACES[place(name)] {
        let Some((found, long)) = usize::from(entry).checked_sub(1).and_then(|index| LONG.get(index)) else { break };
        // Nearly everybody writes names as the RFCs do, and that is compared faster.
        if name == long.as_bytes() || name.eq_ignore_ascii_case(long.as_bytes()) {
            return *found;
        }
    }
    HeaderName::Other
}
