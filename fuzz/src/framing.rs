//! A stream, cut anywhere: it must bring the same messages as in one piece.

use wire::limits;
use wire::sip::{Framed, Framer, Message};

/// The first octet says how many cuts there are and how long the pieces; the rest is the stream.
pub(crate) fn run(octets: &[u8]) {
    let Some((manner, stream)) = octets.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    let size = usize::from(*manner) + 1;
    let pieces = frames(stream.chunks(size));
    agrees(&whole, &pieces, size);
    // Pieces of uneven lengths, drawn from the stream itself.
    let mut rest = stream;
    let mut lengths = stream.iter().map(|octet| usize::from(octet % 61) + 1);
    let uneven = std::iter::from_fn(|| {
        let (piece, later) = rest.split_at(lengths.next()?.min(rest.len()));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    });
    agrees(&whole, &frames(uneven), 0);
}

/// What a stream brought, and whether it ended in an error.
struct Brought {
    messages: Vec<Vec<u8>>,
    lost: bool,
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Brought {
    let (mut framer, mut messages, mut cut) = (Framer::new(), Vec::new(), 0);
    let mut arrived = 0;
    for piece in pieces {
        framer.push(piece);
        arrived += piece.len();
        loop {
            match framer.cut() {
                Ok(Some(Framed::Message(message))) => {
                    assert!(message.len() <= limits::MESSAGE, "a message of {} octets", message.len());
                    cut += message.len();
                    let _ = Message::parse(&message).map(|message| message.check().is_ok());
                    messages.push(message);
                }
                Ok(Some(Framed::Ping)) => cut += 4,
                Ok(Some(Framed::Pong)) => cut += 2,
                Ok(None) => break,
                Err(_) => return Brought { messages, lost: true },
            }
        }
        assert_eq!(cut + framer.pending().len(), arrived, "octets came from nowhere, or went there");
        assert!(framer.pending().len() <= limits::MESSAGE + piece.len(), "it holds more than one message");
    }
    Brought { messages, lost: false }
}

fn agrees(whole: &Brought, pieces: &Brought, size: usize) {
    assert_eq!(whole.messages, pieces.messages, "in pieces of {size} the stream brings other messages");
    assert_eq!(whole.lost, pieces.lost, "in pieces of {size} the framing is lost where it was not, or the other way");
}
