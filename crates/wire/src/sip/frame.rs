//! Framing on streams: where one message ends and the next begins (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

use super::head::{head_end, header_line};
use super::scan::number;
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
    /// Where in the buffer the next message begins.
    start: usize,
    /// How far behind `start` the end of the head has been looked for.
    looked: usize,
    /// How long the message that begins at `start` is, once its head is there.
    whole: Option<usize>,
}

impl Framer {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These octets arrived. Cut until `None` after each push: then it never holds more than one message.
    pub fn push(&mut self, octets: &[u8]) {
        // What has been cut is given up here, once for each arrival and not once for each message.
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// The octets that have arrived and are not cut yet. After an error they begin with the message at fault.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The next whole thing, or `None` until more arrives.
    ///
    /// # Errors
    /// When the head or the message is longer than the bound, or its length cannot be read.
    pub fn cut(&mut self) -> Result<Option<Framed>, Unframeable> {
        let pending = self.pending();
        match pending {
            [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(self.take(4).map(|_| Framed::Ping)),
            // A third octet tells a lone CRLF from the first half of a double one.
            [b'\r', b'\n', third, ..] if *third != b'\r' => return Ok(self.take(2).map(|_| Framed::Pong)),
            [b'\r', b'\n'] => return Ok(self.take(2).map(|_| Framed::Pong)),
            [b'\r'] | [b'\r', b'\n', b'\r'] | [] => return Ok(None),
            [b'\n' | b'\r', ..] => return Err(Unframeable::NotSip),
            _ => {}
        }
        let whole = match self.whole {
            Some(whole) => whole,
            None => {
                let Some(head) = head_end(pending, self.looked) else {
                    let length = pending.len();
                    // The last line end may still turn out to stand before the empty line.
                    self.looked = length.saturating_sub(2);
                    return if length > limits::HEAD { Err(Unframeable::TooLong) } else { Ok(None) };
                };
                if head > limits::HEAD {
                    return Err(Unframeable::TooLong);
                }
                let body = content_length(pending.get(..head).unwrap_or_default())?;
                head.checked_add(body).filter(|whole| *whole <= limits::MESSAGE).ok_or(Unframeable::TooLong)?
            }
        };
        self.whole = Some(whole);
        Ok(self.take(whole).map(Framed::Message))
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let taken = self.pending().get(..count)?.to_vec();
        self.start += count;
        self.looked = 0;
        self.whole = None;
        if self.start == self.buffer.len() {
            // Idle streams are many: they hold no memory.
            self.buffer = Vec::new();
            self.start = 0;
        }
        Some(taken)
    }
}

/// The Content-Length of a head; none is 0, since on a stream nothing else could end the body.
fn content_length(head: &[u8]) -> Result<usize, Unframeable> {
    let mut length = None;
    let mut at = 0;
    while at < head.len() {
        // The start line and the empty one are lines without a name, and passed over.
        let Ok(line) = header_line(head, at) else { break };
        at = line.end;
        let Some(slot) = line.slot.filter(|slot| slot.name == HeaderName::ContentLength) else { continue };
        let value = number(slot.value(head)).and_then(|value| usize::try_from(value).ok());
        let value = value.ok_or(Unframeable::ContentLength)?;
        if length.is_some_and(|other| other != value) {
            return Err(Unframeable::ContentLength);
        }
        length = Some(value);
    }
    Ok(length.unwrap_or(0))
}
