//! Nothing that arrives can make a reader panic, loop, or look outside of what arrived.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]
#![allow(clippy::disallowed_methods, reason = "the material is read from its files")]

use wire::pidf;
use wire::sip::{Contact, Framed, Framer, HeaderName, Headers, Message, NameAddr, Params, Uri, Via};

const MATERIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/material/");

fn material(folders: &[&str]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for folder in folders {
        let mut paths: Vec<_> =
            std::fs::read_dir(format!("{MATERIAL}{folder}")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        all.extend(
            paths
                .iter()
                .filter(|path| path.extension().is_some_and(|e| e == "dat" || e == "xml"))
                .map(|path| std::fs::read(path).unwrap()),
        );
    }
    all
}

fn messages() -> Vec<Vec<u8>> {
    material(&["torture/rfc4475", "torture/rfc5118", "torture/rfc5118-fixed", "torture/extra"])
}

/// A sequence of numbers that is the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// Changes a few octets: others in their place, some left out, some doubled, pieces of grammar put in.
    fn mutate(&mut self, octets: &mut Vec<u8>) {
        const PIECES: [&[u8]; 24] = [
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b"\0",
            b"\"",
            b"\\",
            b"<",
            b">",
            b";",
            b",",
            b":",
            b"@",
            b"=",
            b"%",
            b"%0",
            b"[",
            b"]",
            b"\r\n ",
            b"99999999999999999999",
            b"\xff\xfe",
            b"\xc3",
            b"\r\n\r\n",
        ];
        for _ in 0..=self.below(4) {
            let at = self.below(octets.len());
            match self.below(4) {
                0 if !octets.is_empty() => octets[at] = u8::try_from(self.below(256)).unwrap(),
                1 if !octets.is_empty() => {
                    let end = (at + 1 + self.below(8)).min(octets.len());
                    octets.drain(at..end);
                }
                2 => {
                    let end = (at + self.below(40)).min(octets.len());
                    let again = octets[at..end].to_vec();
                    octets.splice(at..at, again);
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    octets.splice(at..at, piece.iter().copied());
                }
            }
        }
    }
}

/// Whether `part` lies inside of `whole`, or is empty.
fn lies_within(part: &[u8], whole: &[u8]) -> bool {
    let (part_ends, whole_ends) = (part.as_ptr_range(), whole.as_ptr_range());
    part.is_empty() || (part_ends.start >= whole_ends.start && part_ends.end <= whole_ends.end)
}

/// Reads everything there is to read.
fn read_all(octets: &[u8]) {
    let Ok(message) = Message::parse(octets) else { return };
    let good = message.check().is_ok();
    let mut copied = Headers::new();
    for header in message.headers() {
        assert!(lies_within(header.line, octets) && lies_within(header.value, header.line));
        copied.copy(&header);
        let _ = Via::parse(header.value);
        let _ = NameAddr::parse(header.value).map(|n| (n.tag().map(str::len), n.display_name()));
        let _ = Uri::parse(header.value).map(|uri| (uri.host(), uri.address_of_record(), uri.is_loose_router()));
        assert!(Params::new(header.value).into_iter().count() <= header.value.len());
        assert!(message.values(header.name).count() <= octets.len());
    }
    assert!(lies_within(message.body(), octets));
    for via in message.vias().flatten() {
        let _ = (via.branch().map(str::len), via.rport(), via.received(), via.alias());
    }
    let _ = (message.from_tag(), message.to_tag(), message.contacts().count(), message.routes().count());
    let _ = (message.event(), message.accepts("application/sdp"), message.retry_after(), message.min_expires());
    let _ = message.content_type().map(|media| media.is("application/sdp"));
    let _ = message.option_tags(HeaderName::Require).count();
    if good {
        assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
        assert!(message.call_id().is_ok() && message.cseq().is_ok());
        assert!(message.max_forwards().is_ok() || !message.is_request());
        if message.is_request() {
            assert_eq!(message.cseq().unwrap().token, message.request().unwrap().token);
            assert!(Uri::parse(message.request().unwrap().uri).is_ok());
            assert!(message.contacts().all(|contact| matches!(contact, Ok(Contact::Star | Contact::Address(_)))));
        }
    }
}

#[test]
fn a_message_cut_off_anywhere_is_harmless() {
    for message in messages() {
        for end in 0..=message.len() {
            read_all(&message[..end]);
            read_all(&message[end..]);
        }
    }
}

#[test]
fn a_message_changed_anywhere_is_harmless() {
    let messages = messages();
    let mut numbers = Numbers(4475);
    for round in 0..40_000 {
        let mut octets = messages[round % messages.len()].clone();
        numbers.mutate(&mut octets);
        read_all(&octets);
    }
}

#[test]
fn noise_is_harmless() {
    let mut numbers = Numbers(5118);
    for _ in 0..20_000 {
        let length = numbers.below(200);
        let noise: Vec<u8> = (0..length).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        read_all(&noise);
        read_all(&[b"INVITE sip:a SIP/2.0\r\nVia:", noise.as_slice(), b"\r\n\r\n"].concat());
        let _ = (Uri::parse(&noise).is_ok(), NameAddr::parse(&noise).is_ok(), Via::parse(&noise).is_ok());
        let _ = pidf::read(&noise);
    }
}

#[test]
fn a_stream_changed_anywhere_is_harmless_and_ends() {
    let all = messages();
    let mut numbers = Numbers(3261);
    for round in 0..4_000 {
        let mut stream = [all[round % all.len()].as_slice(), b"\r\n\r\n", &all[(round * 7) % all.len()]].concat();
        numbers.mutate(&mut stream);
        let (mut framer, mut out) = (Framer::new(), 0);
        let mut rest = stream.as_slice();
        'stream: while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + numbers.below(300)));
            rest = later;
            framer.push(now);
            loop {
                match framer.cut() {
                    Ok(Some(Framed::Message(message))) => {
                        out += message.len();
                        read_all(&message);
                    }
                    Ok(Some(Framed::Ping)) => out += 4,
                    Ok(Some(Framed::Pong)) => out += 2,
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
        }
        assert!(out <= stream.len());
    }
}

#[test]
fn a_presence_document_changed_anywhere_is_harmless() {
    let documents = material(&["pidf"]);
    let mut numbers = Numbers(3863);
    for document in &documents {
        for end in 0..document.len() {
            assert!(pidf::read(&document[..end]).is_err() || document[end..].trim_ascii().is_empty());
        }
    }
    for round in 0..20_000 {
        let mut octets = documents[round % documents.len()].clone();
        numbers.mutate(&mut octets);
        let _ = pidf::read(&octets);
    }
}
