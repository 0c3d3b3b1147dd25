//! Framing on streams: where one message ends and the next begins (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

use memchr::memmem;

use super::scan::{is_space, number, trim};
use super::{HeaderName, Unframeable};
use crate::limits;

/// What a stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A double CRLF: answer it with a single one.
    Ping,
    /// A single CRLF: the answer to ours.
    Pong,
    /// One whole message.
    Message(Vec<u8>),
}

/// Collects what arrives on one stream and cuts it into messages. After an error the stream is beyond repair.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// How far the end of the head has been looked for.
    looked: usize,
}

impl Framer {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These octets arrived.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole thing, or `None` until more arrives.
    ///
    /// # Errors
    /// When the head or the message is longer than the bound, or its length cannot be read.
    pub fn cut(&mut self) -> Result<Option<Framed>, Unframeable> {
        match self.buffer.as_slice() {
            [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(self.take(4).map(|_| Framed::Ping)),
            // A third octet tells a lone CRLF from the first half of a double one.
            [b'\r', b'\n', third, ..] if *third != b'\r' => return Ok(self.take(2).map(|_| Framed::Pong)),
            [b'\r', b'\n'] => return Ok(self.take(2).map(|_| Framed::Pong)),
            [b'\r'] | [b'\r', b'\n', b'\r'] | [] => return Ok(None),
            [b'\n' | b'\r', ..] => return Err(Unframeable::NotSip),
            _ => {}
        }
        let from = self.looked.saturating_sub(3);
        let found = self.buffer.get(from..).and_then(|rest| memmem::find(rest, b"\r\n\r\n"));
        let Some(head) = found.map(|at| from + at + 4) else {
            self.looked = self.buffer.len();
            return if self.buffer.len() > limits::HEAD { Err(Unframeable::TooLong) } else { Ok(None) };
        };
        if head > limits::HEAD {
            return Err(Unframeable::TooLong);
        }
        let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
        let whole = head.checked_add(length).filter(|whole| *whole <= limits::MESSAGE).ok_or(Unframeable::TooLong)?;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        Ok(self.take(whole).map(Framed::Message))
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        self.looked = 0;
        if count == self.buffer.len() {
            return Some(std::mem::take(&mut self.buffer));
        }
        (count < self.buffer.len()).then(|| self.buffer.drain(..count).collect())
    }
}

/// The Content-Length of a head; none is 0, since on a stream nothing else could end the body.
fn content_length(head: &[u8]) -> Result<usize, Unframeable> {
    let mut length = None;
    for line in head.split(|octet| *octet == b'\n') {
        if line.first().copied().is_none_or(is_space) {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        if HeaderName::from_bytes(trim(name)) == HeaderName::ContentLength {
            let value = number(value.get(1..).unwrap_or_default()).and_then(|value| usize::try_from(value).ok());
            let value = value.ok_or(Unframeable::ContentLength)?;
            if length.is_some_and(|other| other != value) {
                return Err(Unframeable::ContentLength);
            }
            length = Some(value);
        }
    }
    Ok(length.unwrap_or(0))
}
