//! The two kinds of wrong: what cannot be framed, and what can be read but earns an answer.

use std::fmt;

use super::HeaderName;

/// Octets that are no SIP message; they are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframeable {
    /// Nothing, or only line ends: a keep-alive (RFC 5626).
    KeepAlive,
    /// The first line is neither a request line nor a status line.
    NotSip,
    /// The empty line after the headers is missing.
    Unterminated,
    /// More headers than the bound.
    TooManyHeaders,
    /// Longer than the bound.
    TooLong,
    /// On a stream: the Content-Length cannot be read, so the end is unknown.
    ContentLength,
}

impl fmt::Display for Unframeable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepAlive => "a keep-alive",
            Self::NotSip => "the first line is neither a request line nor a status line",
            Self::Unterminated => "the empty line after the headers is missing",
            Self::TooManyHeaders => "more headers than the bound",
            Self::TooLong => "longer than the bound",
            Self::ContentLength => "the Content-Length cannot be read",
        })
    }
}

impl std::error::Error for Unframeable {}

/// A message that can be read but is wrong; a request earns this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status code that answers it.
    pub status: u16,
    /// What is wrong, for the status line and the report.
    pub reason: &'static str,
    /// The header at fault, where it is one.
    pub header: Option<HeaderName>,
}

impl Fault {
    /// A 400 that names a header.
    #[must_use]
    pub const fn bad(header: HeaderName, reason: &'static str) -> Self {
        Self { status: 400, reason, header: Some(header) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        self.header.map_or(Ok(()), |header| write!(f, " ({})", header.as_str()))
    }
}

impl std::error::Error for Fault {}
