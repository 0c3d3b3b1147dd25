//! Printing messages: headers under construction, start lines, lengths.

use std::fmt::{self, Write as _};

use memchr::memchr3;

use super::scan::is_token;
use super::{Header, HeaderName};

/// Header lines under construction. A line end or NUL inside a value becomes a space, so no value can add a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<u8>);

impl Headers {
    /// No lines.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No lines, with room for so many octets.
    #[must_use]
    pub fn with_capacity(octets: usize) -> Self {
        Self(Vec::with_capacity(octets))
    }

    /// Adds a line.
    pub fn push(&mut self, name: HeaderName, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.as_str().as_bytes(), value.as_ref());
        self.0.reserve(name.len() + value.len() + 4);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        self.0.extend_from_slice(value);
        self.seal(start)
    }

    /// Adds a line with a name of its own; what is no letter of a token is left out of the name.
    pub fn push_named(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.0.extend(name.bytes().filter(|octet| is_token(*octet)));
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        self.0.extend_from_slice(value.as_ref());
        self.seal(start)
    }

    /// Adds a line whose value is formatted in place.
    pub fn push_fmt(&mut self, name: HeaderName, value: fmt::Arguments<'_>) -> &mut Self {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        // Writing into a vector cannot fail.
        let _ = Octets(&mut self.0).write_fmt(value);
        self.seal(start)
    }

    /// Adds a line whose value is these parts, one after the other: what formatting would do, at a fraction of its cost.
    pub fn push_parts(&mut self, name: HeaderName, parts: &[&str]) -> &mut Self {
        let name = name.as_str().as_bytes();
        self.0.reserve(name.len() + parts.iter().map(|part| part.len()).sum::<usize>() + 4);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        for part in parts {
            self.0.extend_from_slice(part.as_bytes());
        }
        self.seal(start)
    }

    /// Adds a line whose value is a number, and what stands behind it.
    pub fn push_count(&mut self, name: HeaderName, number: u32, behind: &[&str]) -> &mut Self {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        let start = self.0.len();
        push_number(&mut self.0, usize::try_from(number).unwrap_or(usize::MAX));
        for part in behind {
            self.0.extend_from_slice(part.as_bytes());
        }
        self.seal(start)
    }

    /// Adds a header of another message as it was written, folds included.
    pub fn copy(&mut self, header: &Header<'_>) -> &mut Self {
        self.0.extend_from_slice(header.line);
        if !header.line.ends_with(b"\r\n") {
            while self.0.last().is_some_and(|octet| matches!(octet, b'\r' | b'\n')) {
                self.0.pop();
            }
            self.0.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Adds all lines of another.
    pub fn extend(&mut self, other: &Self) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// The lines, each with its line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn seal(&mut self, start: usize) -> &mut Self {
        let value = self.0.get_mut(start..).unwrap_or_default();
        // Hardly ever is there one.
        if memchr3(b'\r', b'\n', 0, value).is_some() {
            for octet in value {
                if matches!(octet, b'\r' | b'\n' | 0) {
                    *octet = b' ';
                }
            }
        }
        self.0.extend_from_slice(b"\r\n");
        self
    }
}

/// A vector that can be formatted into.
struct Octets<'a>(&'a mut Vec<u8>);

impl fmt::Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Prints a request: start line, blocks of header lines in order, Content-Length, body.
pub fn request(out: &mut Vec<u8>, method: &str, uri: &str, headers: &[&[u8]], body: &[u8]) {
    out.reserve(method.len() + uri.len() + headers.iter().map(|block| block.len()).sum::<usize>() + body.len() + 48);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    // No URI holds white space, so none can end the line.
    out.extend(uri.bytes().filter(|octet| *octet > b' '));
    out.extend_from_slice(b" SIP/2.0\r\n");
    rest(out, headers, body);
}

/// Prints a response: status line, blocks of header lines in order, Content-Length, body.
pub fn response(out: &mut Vec<u8>, code: u16, reason: &str, headers: &[&[u8]], body: &[u8]) {
    out.reserve(reason.len() + headers.iter().map(|block| block.len()).sum::<usize>() + body.len() + 64);
    out.extend_from_slice(b"SIP/2.0 ");
    push_number(out, usize::from(code));
    out.push(b' ');
    let start = out.len();
    out.extend_from_slice(reason.as_bytes());
    for octet in out.iter_mut().skip(start) {
        if matches!(octet, b'\r' | b'\n' | 0) {
            *octet = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
    rest(out, headers, body);
}

fn rest(out: &mut Vec<u8>, headers: &[&[u8]], body: &[u8]) {
    for block in headers {
        out.extend_from_slice(block);
    }
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, body.len());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// Appends a number in decimal digits.
pub fn push_number(out: &mut Vec<u8>, number: usize) {
    let first = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.get_mut(first..).unwrap_or_default().reverse();
}

/// A display name as a quoted string, with what needs it escaped (RFC 3261 section 25.1).
#[must_use]
pub fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for letter in name.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\r' | '\n' | '\0' => quoted.push(' '),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// The reason phrase of a status code (RFC 3261 section 21 and the registry).
#[must_use]
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match code / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
