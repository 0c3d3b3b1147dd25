//! A SIP message as it lies in a datagram: one pass over the octets, nothing copied, nothing allocated.

use memchr::memchr;

use super::scan::{elements, is_token, number, text, trim};
use super::{Fault, Header, HeaderName, Method, NameAddr, Params, Unframeable, Uri, Via};
use crate::limits;

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: Method,
    /// The method as written.
    pub token: &'a [u8],
    /// The Request-URI as written.
    pub uri: &'a [u8],
    version: &'a [u8],
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// The status code; 0 where what stands there is none.
    pub code: u16,
    /// The reason phrase.
    pub reason: &'a [u8],
}

/// CSeq: a number and a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
    /// The method as written.
    pub token: &'a [u8],
}

/// One element of a Contact header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: all bindings.
    Star,
    /// An address.
    Address(NameAddr<'a>),
}

/// Event: a package and perhaps an id (RFC 6665).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The package.
    pub package: &'a str,
    /// The id.
    pub id: Option<&'a str>,
}

/// Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// `type/subtype` as written.
    pub essence: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl MediaType<'_> {
    /// Whether it is this type, in any letter case.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        match (self.essence.split_once('/'), essence.split_once('/')) {
            (Some((kind, sub)), Some((wanted, wanted_sub))) => {
                kind.trim().eq_ignore_ascii_case(wanted) && sub.trim().eq_ignore_ascii_case(wanted_sub)
            }
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Start<'a> {
    Request(RequestLine<'a>),
    Status(StatusLine<'a>),
}

/// Where one header lies.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: HeaderName,
    name_length: u8,
    start: u16,
    value: u16,
    value_end: u16,
    end: u16,
}

const EMPTY: Slot = Slot { name: HeaderName::Other, name_length: 0, start: 0, value: 0, value_end: 0, end: 0 };

/// How the body's length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// No Content-Length: the rest of the datagram (RFC 3261 section 18.3).
    Absent,
    Right,
    /// Longer than what is there.
    Short,
    Bad,
}

/// A SIP message, borrowed from the octets it came in.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    start: Start<'a>,
    slots: [Slot; limits::HEADERS],
    count: usize,
    body: &'a [u8],
    length: Length,
}

impl<'a> Message<'a> {
    /// Reads a datagram, or one message that was framed on a stream.
    ///
    /// # Errors
    /// When the octets cannot be framed; what is merely wrong is found by [`Message::check`].
    pub fn parse(octets: &'a [u8]) -> Result<Self, Unframeable> {
        if octets.len() > limits::MESSAGE {
            return Err(Unframeable::TooLong);
        }
        let skipped = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n' | 0)).count();
        let octets = octets.get(skipped..).unwrap_or_default();
        if octets.is_empty() {
            return Err(Unframeable::KeepAlive);
        }
        let first = line_end(octets, 0).ok_or(Unframeable::Unterminated)?;
        let start = start_line(trim_end(octets.get(..first).unwrap_or_default()))?;
        let mut slots = [EMPTY; limits::HEADERS];
        let mut count = 0;
        let mut at = first;
        let mut length = Length::Absent;
        let mut announced = 0_usize;
        loop {
            if let Some(after) = empty_line(octets, at) {
                at = after;
                break;
            }
            let slot = header_line(octets, at)?;
            at = usize::from(slot.end);
            if slot.name == HeaderName::ContentLength {
                let value = octets.get(usize::from(slot.value)..usize::from(slot.value_end)).unwrap_or_default();
                match number(value).and_then(|number| usize::try_from(number).ok()) {
                    Some(number) if length == Length::Absent || number == announced => {
                        length = Length::Right;
                        announced = number;
                    }
                    _ => length = Length::Bad,
                }
            }
            *slots.get_mut(count).ok_or(Unframeable::TooManyHeaders)? = slot;
            count += 1;
        }
        let rest = octets.get(at..).unwrap_or_default();
        let body = if length == Length::Right {
            rest.get(..announced).unwrap_or_else(|| {
                length = Length::Short;
                rest
            })
        } else {
            rest
        };
        Ok(Self { octets, start, slots, count, body, length })
    }

    /// The octets of the message, what follows the body included.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The request line, if it is a request.
    #[must_use]
    pub fn request(&self) -> Option<RequestLine<'a>> {
        match self.start {
            Start::Request(line) => Some(line),
            Start::Status(_) => None,
        }
    }

    /// The status line, if it is a response.
    #[must_use]
    pub fn status(&self) -> Option<StatusLine<'a>> {
        match self.start {
            Start::Status(line) => Some(line),
            Start::Request(_) => None,
        }
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request(_))
    }

    /// The method: of the request line, or of CSeq in a response.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.start {
            Start::Request(line) => line.method,
            Start::Status(_) => self.cseq().map_or(Method::Unknown, |cseq| cseq.method),
        }
    }

    /// Every header, in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + '_ {
        self.used().map(|slot| self.header_at(slot))
    }

    /// The value of the first header with this name.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.used().find(|slot| slot.name == name).map(|slot| self.value_at(slot))
    }

    /// The value of the first header with this name, in any letter case; for headers we have no name for.
    #[must_use]
    pub fn header_named(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|header| header.raw_name.eq_ignore_ascii_case(name.as_bytes())).map(|header| header.value)
    }

    /// Every comma-separated element of every header with this name, in order.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.used().filter(move |slot| slot.name == name).flat_map(|slot| elements(self.value_at(slot)))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// 400 when there is none, or it is bad.
    pub fn via(&self) -> Result<Via<'a>, Fault> {
        self.vias().next().unwrap_or(Err(Fault::bad(HeaderName::Via, "Missing Via")))
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Fault>> + '_ {
        self.values(HeaderName::Via).map(Via::parse)
    }

    /// From.
    ///
    /// # Errors
    /// 400 when there is none, or it is bad.
    pub fn from(&self) -> Result<NameAddr<'a>, Fault> {
        self.name_addr(HeaderName::From, Fault::bad(HeaderName::From, "Bad From"))
    }

    /// To.
    ///
    /// # Errors
    /// 400 when there is none, or it is bad.
    pub fn to(&self) -> Result<NameAddr<'a>, Fault> {
        self.name_addr(HeaderName::To, Fault::bad(HeaderName::To, "Bad To"))
    }

    /// The tag of From.
    #[must_use]
    pub fn from_tag(&self) -> Option<&'a str> {
        self.from().ok()?.tag()
    }

    /// The tag of To.
    #[must_use]
    pub fn to_tag(&self) -> Option<&'a str> {
        self.to().ok()?.tag()
    }

    /// Call-ID.
    ///
    /// # Errors
    /// 400 when there is none, or it is empty or no text.
    pub fn call_id(&self) -> Result<&'a str, Fault> {
        self.header(HeaderName::CallId)
            .and_then(text)
            .filter(|id| !id.is_empty() && !id.contains(|c: char| c.is_ascii_whitespace()))
            .ok_or(Fault::bad(HeaderName::CallId, "Bad Call-ID"))
    }

    /// CSeq.
    ///
    /// # Errors
    /// 400 when there is none, the number is not below 2^31, or the method is no token.
    pub fn cseq(&self) -> Result<CSeq<'a>, Fault> {
        const BAD: Fault = Fault::bad(HeaderName::CSeq, "Bad CSeq");
        let value = self.header(HeaderName::CSeq).ok_or(BAD)?;
        let digits = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let (digits, token) = value.split_at_checked(digits).ok_or(BAD)?;
        let number = number(digits).filter(|number| *number < 1 << 31).ok_or(BAD)?;
        let method = trim(token);
        if method.len() == token.len() || method.is_empty() || !method.iter().all(|octet| is_token(*octet)) {
            return Err(BAD);
        }
        Ok(CSeq { number, method: Method::from_token(method), token: method })
    }

    /// The first Contact.
    #[must_use]
    pub fn contact(&self) -> Option<Result<Contact<'a>, Fault>> {
        self.contacts().next()
    }

    /// Every Contact.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, Fault>> + '_ {
        self.values(HeaderName::Contact).map(|value| match value {
            b"*" => Ok(Contact::Star),
            _ => {
                NameAddr::parse(value).map(Contact::Address).map_err(|_| Fault::bad(HeaderName::Contact, "Bad Contact"))
            }
        })
    }

    /// Every Route, topmost first.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + '_ {
        self.name_addrs(HeaderName::Route, Fault::bad(HeaderName::Route, "Bad Route"))
    }

    /// Every Record-Route, topmost first.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + '_ {
        self.name_addrs(HeaderName::RecordRoute, Fault::bad(HeaderName::RecordRoute, "Bad Record-Route"))
    }

    /// Max-Forwards.
    ///
    /// # Errors
    /// 400 when it is no number up to 255.
    pub fn max_forwards(&self) -> Result<Option<u32>, Fault> {
        self.number(HeaderName::MaxForwards, 255, Fault::bad(HeaderName::MaxForwards, "Bad Max-Forwards"))
    }

    /// Expires, in seconds.
    ///
    /// # Errors
    /// 400 when it is no number below 2^32.
    pub fn expires(&self) -> Result<Option<u32>, Fault> {
        self.number(HeaderName::Expires, u32::MAX, Fault::bad(HeaderName::Expires, "Bad Expires"))
    }

    /// Min-Expires, in seconds.
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        self.header(HeaderName::MinExpires).and_then(number)
    }

    /// Retry-After, in seconds; what stands behind the number is for people.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header(HeaderName::RetryAfter)?;
        let digits = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
        value.get(..digits).and_then(number)
    }

    /// Event.
    #[must_use]
    pub fn event(&self) -> Option<Event<'a>> {
        let (package, params) = with_params(self.header(HeaderName::Event)?)?;
        Some(Event { package, id: params.value("id") })
    }

    /// Content-Type.
    #[must_use]
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        let (essence, params) = with_params(self.header(HeaderName::ContentType)?)?;
        Some(MediaType { essence, params })
    }

    /// The option tags of Require, Supported and their like.
    pub fn option_tags(&self, name: HeaderName) -> impl Iterator<Item = &'a str> + '_ {
        self.values(name).filter_map(text).filter(|tag| !tag.is_empty())
    }

    /// Whether the sender takes this media type; without an Accept header it does.
    #[must_use]
    pub fn accepts(&self, essence: &str) -> bool {
        let mut stated = false;
        for value in self.values(HeaderName::Accept) {
            stated = true;
            let Some((offered, _)) = with_params(value) else { continue };
            let kind = essence.split_once('/').map_or(essence, |(kind, _)| kind);
            let all = offered
                .split_once('/')
                .is_some_and(|(k, sub)| sub == "*" && (k == "*" || k.eq_ignore_ascii_case(kind)));
            if all || (MediaType { essence: offered, params: Params::default() }).is(essence) {
                return true;
            }
        }
        !stated && self.header(HeaderName::Accept).is_none()
    }

    /// Everything that must hold before a message is worked on (RFC 3261 sections 8.1.1, 8.2 and 20).
    ///
    /// # Errors
    /// What a request is answered with; a response with a fault is dropped.
    pub fn check(&self) -> Result<(), Fault> {
        const LENGTH: Fault = Fault::bad(HeaderName::ContentLength, "Bad Content-Length");
        match self.start {
            Start::Request(line) => {
                if !line.version.eq_ignore_ascii_case(b"SIP/2.0") {
                    let known = line.version.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case(b"SIP/"));
                    return Err(match known && text(line.version).is_some_and(|v| !v.contains(' ')) {
                        true => Fault { status: 505, reason: "Version Not Supported", header: None },
                        false => Fault { status: 400, reason: "Bad Request-Line", header: None },
                    });
                }
                if Uri::parse(line.uri).is_err() {
                    return Err(Fault { status: 400, reason: "Bad Request-URI", header: None });
                }
                if self.cseq()?.token != line.token {
                    return Err(Fault::bad(HeaderName::CSeq, "CSeq Method Differs"));
                }
            }
            Start::Status(line) => {
                if !(100..700).contains(&line.code) {
                    return Err(Fault { status: 400, reason: "Bad Status Code", header: None });
                }
                self.cseq()?;
            }
        }
        self.check_counts()?;
        self.vias().try_for_each(|via| via.map(drop))?;
        self.from()?;
        self.to()?;
        self.call_id()?;
        self.max_forwards()?;
        self.expires()?;
        self.contacts().try_for_each(|contact| contact.map(drop))?;
        self.routes().try_for_each(|route| route.map(drop))?;
        match self.length {
            Length::Right | Length::Absent => Ok(()),
            Length::Short | Length::Bad => Err(LENGTH),
        }
    }

    /// Mandatory headers stand there, and headers of one value stand there once.
    fn check_counts(&self) -> Result<(), Fault> {
        use HeaderName as H;
        const ONCE: [(HeaderName, &str, bool); 9] = [
            (H::From, "Need One From", true),
            (H::To, "Need One To", true),
            (H::CallId, "Need One Call-ID", true),
            (H::CSeq, "Need One CSeq", true),
            (H::MaxForwards, "Repeated Max-Forwards", false),
            (H::Event, "Repeated Event", false),
            (H::Expires, "Repeated Expires", false),
            (H::ContentType, "Repeated Content-Type", false),
            (H::SipIfMatch, "Repeated SIP-If-Match", false),
        ];
        let mut counts = [0_u8; ONCE.len()];
        let mut via = false;
        for slot in self.used() {
            via |= slot.name == H::Via;
            for ((name, _, _), count) in ONCE.iter().zip(&mut counts) {
                *count = count.saturating_add(u8::from(*name == slot.name));
            }
        }
        if !via {
            return Err(Fault::bad(H::Via, "Missing Via"));
        }
        for ((name, reason, mandatory), count) in ONCE.iter().zip(counts) {
            if count > 1 || (*mandatory && count == 0) {
                return Err(Fault::bad(*name, reason));
            }
        }
        Ok(())
    }

    fn used(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.iter().take(self.count)
    }

    fn header_at(&self, slot: &Slot) -> Header<'a> {
        let line = self.octets.get(usize::from(slot.start)..usize::from(slot.end)).unwrap_or_default();
        let raw_name = line.get(..usize::from(slot.name_length)).unwrap_or_default();
        Header { name: slot.name, raw_name, value: self.value_at(slot), line }
    }

    fn value_at(&self, slot: &Slot) -> &'a [u8] {
        self.octets.get(usize::from(slot.value)..usize::from(slot.value_end)).unwrap_or_default()
    }

    fn name_addr(&self, name: HeaderName, fault: Fault) -> Result<NameAddr<'a>, Fault> {
        NameAddr::parse(self.header(name).ok_or(fault)?).map_err(|_| fault)
    }

    fn name_addrs(&self, name: HeaderName, fault: Fault) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + '_ {
        self.values(name).map(move |value| NameAddr::parse(value).map_err(|_| fault))
    }

    fn number(&self, name: HeaderName, most: u32, fault: Fault) -> Result<Option<u32>, Fault> {
        self.header(name).map(|value| number(value).filter(|number| *number <= most).ok_or(fault)).transpose()
    }
}

/// The octet after the line that starts at `at`, folds not looked at.
fn line_end(octets: &[u8], at: usize) -> Option<usize> {
    memchr(b'\n', octets.get(at..)?).map(|found| at + found + 1)
}

/// The octet after the empty line, if one starts at `at`.
fn empty_line(octets: &[u8], at: usize) -> Option<usize> {
    match octets.get(at..)? {
        [b'\r', b'\n', ..] => Some(at + 2),
        [b'\n', ..] => Some(at + 1),
        _ => None,
    }
}

fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}

fn start_line(line: &[u8]) -> Result<Start<'_>, Unframeable> {
    if line.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case(b"SIP/")) {
        let mut parts = line.splitn(3, |octet| *octet == b' ');
        let _version = parts.next();
        let code = parts.next().filter(|code| code.len() == 3).and_then(number);
        let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        return Ok(Start::Status(StatusLine { code, reason: parts.next().unwrap_or_default() }));
    }
    let first = memchr(b' ', line).ok_or(Unframeable::NotSip)?;
    let (token, rest) = line.split_at_checked(first).ok_or(Unframeable::NotSip)?;
    if token.is_empty() || !token.iter().all(|octet| is_token(*octet)) {
        return Err(Unframeable::NotSip);
    }
    // What is wrong inside the line is kept in the URI or the version, and earns its 400 later.
    let at = rest.windows(5).rposition(|five| five.eq_ignore_ascii_case(b" SIP/")).ok_or(Unframeable::NotSip)?;
    let (uri, version) = rest.split_at_checked(at).ok_or(Unframeable::NotSip)?;
    let uri = uri.get(1..).unwrap_or_default();
    let version = version.get(1..).unwrap_or_default();
    Ok(Start::Request(RequestLine { method: Method::from_token(token), token, uri, version }))
}

/// The header that starts at `at`, folds included.
fn header_line(octets: &[u8], at: usize) -> Result<Slot, Unframeable> {
    let mut end = line_end(octets, at).ok_or(Unframeable::Unterminated)?;
    while let Some(b' ' | b'\t') = octets.get(end) {
        end = line_end(octets, end).ok_or(Unframeable::Unterminated)?;
    }
    let line = octets.get(at..end).unwrap_or_default();
    let colon = memchr(b':', line).ok_or(Unframeable::NoColon)?;
    let raw_name = line.get(..colon).unwrap_or_default();
    let mut name_length = raw_name.len();
    while name_length > 0 && matches!(raw_name.get(name_length - 1), Some(b' ' | b'\t')) {
        name_length -= 1;
    }
    let raw_name = raw_name.get(..name_length).unwrap_or_default();
    if raw_name.is_empty() || raw_name.len() > limits::HEADER_NAME {
        return Err(Unframeable::NoColon);
    }
    let after = line.get(colon + 1..).unwrap_or_default();
    let value = trim(after);
    let lead = after.iter().take_while(|octet| super::scan::is_space(**octet)).count().min(after.len());
    let value_start = at + colon + 1 + if value.is_empty() { 0 } else { lead };
    let place = |number: usize| u16::try_from(number).map_err(|_| Unframeable::TooLong);
    Ok(Slot {
        name: HeaderName::from_bytes(raw_name),
        name_length: u8::try_from(name_length).map_err(|_| Unframeable::NoColon)?,
        start: place(at)?,
        value: place(value_start)?,
        value_end: place(value_start + value.len())?,
        end: place(end)?,
    })
}

/// A value and the parameters behind it.
fn with_params(value: &[u8]) -> Option<(&str, Params<'_>)> {
    let end = memchr(b';', value).unwrap_or(value.len());
    let (head, params) = value.split_at_checked(end)?;
    let head = text(trim(head)).filter(|head| !head.is_empty())?;
    Some((head, Params::new(params)))
}
