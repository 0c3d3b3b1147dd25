//! A SIP message as it lies in a datagram: one pass over the octets, nothing copied, nothing allocated.

use super::head::{RequestLine, Slot, Start, StatusLine, empty_line, header_line, start_line};
use super::scan::{elements, is_a_token, number, split_before, text, trim};
use super::{Fault, Header, HeaderName, Method, NameAddr, Params, Unframeable, Uri, Via};
use crate::limits;

/// Headers without which a message is none (RFC 3261 section 8.1.1).
const MANDATORY: [(HeaderName, &str); 5] = [
    (HeaderName::Via, "Missing Via"),
    (HeaderName::From, "Missing From"),
    (HeaderName::To, "Missing To"),
    (HeaderName::CallId, "Missing Call-ID"),
    (HeaderName::CSeq, "Missing CSeq"),
];

/// Headers that hold one value.
const ONCE: [(HeaderName, &str); 9] = [
    (HeaderName::From, "Repeated From"),
    (HeaderName::To, "Repeated To"),
    (HeaderName::CallId, "Repeated Call-ID"),
    (HeaderName::CSeq, "Repeated CSeq"),
    (HeaderName::MaxForwards, "Repeated Max-Forwards"),
    (HeaderName::Event, "Repeated Event"),
    (HeaderName::Expires, "Repeated Expires"),
    (HeaderName::ContentType, "Repeated Content-Type"),
    (HeaderName::SipIfMatch, "Repeated SIP-If-Match"),
];

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
    /// All parameters, the id included.
    pub params: Params<'a>,
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
    /// A bit for each header that is there.
    seen: u64,
    /// A bit for each header that is there on more than one line.
    repeated: u64,
    /// The first thing that was wrong in the head.
    fault: Option<Fault>,
    body: &'a [u8],
    length: Length,
    read: Read<'a>,
}

/// What almost everyone who handles a message asks it for: read once.
#[derive(Clone, Copy, Debug)]
struct Read<'a> {
    uri: Option<Uri<'a>>,
    via: Result<Via<'a>, Fault>,
    from: Result<NameAddr<'a>, Fault>,
    to: Result<NameAddr<'a>, Fault>,
}

impl<'a> Read<'a> {
    /// Nothing is there.
    const NOTHING: Self = Self {
        uri: None,
        via: Err(Fault::bad(HeaderName::Via, "Missing Via")),
        from: Err(Fault::bad(HeaderName::From, "Bad From")),
        to: Err(Fault::bad(HeaderName::To, "Bad To")),
    };

    fn of(message: &Message<'a>) -> Self {
        let address = |name, none| message.header(name).map_or(none, |value| NameAddr::parse(value).or(none));
        Self {
            uri: message.request().and_then(|line| Uri::parse(line.uri).ok()),
            via: message.vias().next().unwrap_or(Self::NOTHING.via),
            from: address(HeaderName::From, Self::NOTHING.from),
            to: address(HeaderName::To, Self::NOTHING.to),
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a datagram, or one message that was framed on a stream. Line ends before the first line are passed over.
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
        let (start, mut at) = start_line(octets)?;
        let mut message = Self {
            octets,
            start,
            slots: [Slot::EMPTY; limits::HEADERS],
            count: 0,
            seen: 0,
            repeated: 0,
            fault: None,
            body: &[],
            length: Length::Absent,
            read: Read::NOTHING,
        };
        let mut announced = 0;
        let body = loop {
            if let Some(body) = empty_line(octets, at) {
                break body;
            }
            let line = header_line(octets, at)?;
            at = line.end;
            if line.bare {
                message.accuse("Lone CR In A Header");
            }
            match line.slot {
                Some(slot) => message.keep(slot, &mut announced)?,
                None => message.accuse("Bad Header Line"),
            }
        };
        let rest = octets.get(body..).unwrap_or_default();
        message.body = rest;
        if message.length == Length::Right {
            match rest.get(..announced) {
                Some(body) => message.body = body,
                None => message.length = Length::Short,
            }
        }
        message.read = Read::of(&message);
        Ok(message)
    }

    fn keep(&mut self, slot: Slot, announced: &mut usize) -> Result<(), Unframeable> {
        if slot.name == HeaderName::ContentLength {
            let number = number(slot.value(self.octets)).and_then(|number| usize::try_from(number).ok());
            self.length = match (self.length, number) {
                (Length::Absent, Some(number)) => {
                    *announced = number;
                    Length::Right
                }
                (Length::Right, Some(number)) if number == *announced => Length::Right,
                // Once bad, it stays bad.
                _ => Length::Bad,
            };
        }
        *self.slots.get_mut(self.count).ok_or(Unframeable::TooManyHeaders)? = slot;
        self.count += 1;
        let bit = slot.name.bit();
        self.repeated |= self.seen & bit;
        self.seen |= bit;
        Ok(())
    }

    fn accuse(&mut self, reason: &'static str) {
        self.fault.get_or_insert(Fault { status: 400, reason, header: None });
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

    /// The Request-URI, if it is a request and that can be read.
    #[must_use]
    pub fn uri(&self) -> Option<Uri<'a>> {
        self.read.uri
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
        if self.seen & name.bit() == 0 {
            return None;
        }
        self.used().find(|slot| slot.name == name).map(|slot| slot.value(self.octets))
    }

    /// The value of the first header with this name, in any letter case; for headers we have no name for.
    #[must_use]
    pub fn header_named(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|header| header.raw_name.eq_ignore_ascii_case(name.as_bytes())).map(|header| header.value)
    }

    /// Every comma-separated element of every header with this name, in order.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.used().filter(move |slot| slot.name == name).flat_map(|slot| elements(slot.value(self.octets)))
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
        self.read.via
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
        self.read.from
    }

    /// To.
    ///
    /// # Errors
    /// 400 when there is none, or it is bad.
    pub fn to(&self) -> Result<NameAddr<'a>, Fault> {
        self.read.to
    }

    /// The tag of From. A message that [`Message::check`] has not seen may have one beside a bad URI.
    #[must_use]
    pub fn from_tag(&self) -> Option<&'a str> {
        self.read.from.map_or_else(|_| NameAddr::tag_of(self.header(HeaderName::From)?), |from| from.tag())
    }

    /// The tag of To. A message that [`Message::check`] has not seen may have one beside a bad URI.
    #[must_use]
    pub fn to_tag(&self) -> Option<&'a str> {
        self.read.to.map_or_else(|_| NameAddr::tag_of(self.header(HeaderName::To)?), |to| to.tag())
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
        if method.len() == token.len() || !is_a_token(method) {
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
        Some(Event { package, id: params.value("id"), params })
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

    /// Whether the sender takes this media type: the most exact range of Accept that covers it decides, and `q=0` says
    /// no (RFC 3261 section 20.1). Without an Accept header it does.
    #[must_use]
    pub fn accepts(&self, essence: &str) -> bool {
        if self.header(HeaderName::Accept).is_none() {
            return true;
        }
        let wanted = essence.split_once('/').map_or(essence, |(kind, _)| kind);
        let mut best = (0, false);
        for (range, params) in self.values(HeaderName::Accept).filter_map(with_params) {
            let exactness = match range.split_once('/') {
                _ if (MediaType { essence: range, params }).is(essence) => 3,
                Some(("*", "*")) => 1,
                Some((kind, "*")) if kind.eq_ignore_ascii_case(wanted) => 2,
                _ => continue,
            };
            let refused = params.value("q").is_some_and(|q| q.bytes().all(|octet| matches!(octet, b'0' | b'.')));
            if exactness > best.0 {
                best = (exactness, !refused);
            }
        }
        best.1
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
                if self.uri().is_none() {
                    return Err(Fault { status: 400, reason: "Bad Request-URI", header: None });
                }
                if self.cseq()?.token != line.token {
                    return Err(Fault::bad(HeaderName::CSeq, "CSeq Method Differs"));
                }
            }
            Start::Status(line) => {
                if !line.version.eq_ignore_ascii_case(b"SIP/2.0") {
                    return Err(Fault { status: 505, reason: "Version Not Supported", header: None });
                }
                if !(100..700).contains(&line.code) {
                    return Err(Fault { status: 400, reason: "Bad Status Code", header: None });
                }
                self.cseq()?;
            }
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.check_counts()?;
        self.via()?;
        self.values(HeaderName::Via).skip(1).try_for_each(|via| Via::parse(via).map(drop))?;
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
        for (name, reason) in &MANDATORY {
            if self.seen & name.bit() == 0 {
                return Err(Fault::bad(*name, reason));
            }
        }
        for (name, reason) in &ONCE {
            if self.repeated & name.bit() != 0 {
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
        Header { name: slot.name, raw_name, value: slot.value(self.octets), line }
    }

    fn name_addrs(&self, name: HeaderName, fault: Fault) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + '_ {
        self.values(name).map(move |value| NameAddr::parse(value).map_err(|_| fault))
    }

    fn number(&self, name: HeaderName, most: u32, fault: Fault) -> Result<Option<u32>, Fault> {
        self.header(name).map(|value| number(value).filter(|number| *number <= most).ok_or(fault)).transpose()
    }
}

/// A value and the parameters behind it.
fn with_params(value: &[u8]) -> Option<(&str, Params<'_>)> {
    let (head, params) = split_before(value, b';');
    let head = text(trim(head)).filter(|head| !head.is_empty())?;
    Some((head, Params::new(params)))
}
