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
                    _ => Self::from_long(name),
                }
            }

            /// Its long name; empty for one that we do not know.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $long,)* Self::Other => "" }
            }

            fn from_long(name: &[u8]) -> Self {
                // The length tells most names apart before any letter is compared.
                $(if name.len() == $long.len() && name.eq_ignore_ascii_case($long.as_bytes()) { return Self::$variant; })*
                Self::Other
            }
        }
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
