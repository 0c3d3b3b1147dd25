//! What one input may cost: no 64 KB of anything take more than 10 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use std::time::{Duration, Instant};

use fuzz::run;

/// What the longest input may cost.
const BOUND: Duration = Duration::from_millis(10);

/// As long as a datagram may be.
const LENGTH: usize = 65_000;

/// Measured until one run is within the bound, so that a busy machine fails nothing; what is too slow never is.
const ATTEMPTS: usize = 50;

const HEAD: &str = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@fuzz.example>;tag=1\r\nTo: <sip:b@fuzz.example>\r\n\
                    Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.9>\r\n";

fn message(more: &str) -> Vec<u8> {
    format!("INVITE sip:b@fuzz.example SIP/2.0\r\nVia: {HEAD}{more}\r\n\r\n").into_bytes()
}

/// So many times as fit.
fn filled(start: &str, again: &str) -> Vec<u8> {
    message(&format!("{start}{}", again.repeat((LENGTH - 400) / again.len())))
}

fn document(open: &str, again: &str, close: &str, end: &str) -> Vec<u8> {
    let count = 60_000 / ((again.len() + close.len()).max(1));
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@fuzz.example\">{open}{}{}{end}</presence>",
        again.repeat(count),
        close.repeat(count)
    )
    .into_bytes()
}

/// The worst that we could think of for each reader.
fn shapes() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for (what, start, again) in [
        ("many headers", "", "a:\r\n"),
        ("many headers of one name", "", "Via: SIP/2.0/UDP a;branch=z9hG4bK\r\n"),
        ("one line of commas", "Contact: ", ","),
        ("many Contacts", "Contact: <sip:a@b>", ",<sip:a@b>"),
        ("many Vias in a line", "Via: SIP/2.0/UDP a", ",SIP/2.0/UDP a"),
        ("many Routes", "Route: <sip:a;lr>", ",<sip:a;lr>"),
        ("folds", "Subject: a", "\r\n "),
        ("white space", "Subject: a", " "),
        ("parameters", "Contact: <sip:a@b>", ";a"),
        ("the same parameter", "Event: presence", ";id=1"),
        ("quotation marks", "Contact: ", "\""),
        ("escapes", "Contact: \"", "\\\\"),
        ("angle brackets", "Contact: ", "<"),
        ("percent signs", "Contact: <sip:", "%41"),
        ("accepted types", "Accept: a/b", ",a/b"),
        ("option tags", "Require: a", ",a"),
        ("challenges", "Authorization: Digest a=b", ",a=b"),
        ("colons", "Contact: <sip:[", "::"),
    ] {
        all.push((what, "message", filled(start, again)));
        all.push((what, "border", filled(start, again)));
    }
    let headers = |choice: u8, again: &str| [&[choice][..], again.repeat(LENGTH / again.len()).as_bytes()].concat();
    all.push(("a value of semicolons", "headers", headers(6, ";")));
    all.push(("a value of commas", "headers", headers(19, "a=\"\",")));
    all.push(("a value of digests", "headers", headers(0xd5, "Digest realm=\"a\",")));
    all.push(("a stream of line ends", "framing", headers(0, "\r\n\r\n")));
    all.push(("a stream, octet by octet", "framing", headers(0, "INVITE a SIP/2.0\r\na: b\r\n")));
    all.push(("a stream that never ends a head", "framing", headers(0, "a")));
    all.push(("a stream of small messages", "framing", headers(1, "A b SIP/2.0\r\nl: 0\r\n\r\n")));
    all.push(("nested elements", "document", document("", "<a>", "</a>", "")));
    all.push(("elements", "document", document("", "<a/>", "", "")));
    all.push(("tuples", "document", document("", "<tuple id=\"a\"><status/></tuple>", "", "")));
    all.push(("attributes", "document", document("<a ", "a=\"\" ", "", "/>")));
    all.push(("different attributes", "document", different_attributes()));
    all.push(("namespaces", "document", document("<a ", "xmlns:a=\"b\" ", "", "/>")));
    all.push(("entities", "document", document("<note>", "&lt;", "", "</note>")));
    all.push(("unknown entities", "document", document("<note>", "&a;", "", "</note>")));
    all.push(("comments", "document", document("", "<!---->", "", "")));
    all.push(("texts", "document", document("", "<![CDATA[a]]>", "", "")));
    all.push(("a DTD", "document", format!("<!DOCTYPE a [{}]><a/>", "<!ENTITY a \"b\">".repeat(4000)).into_bytes()));
    let dialogs = |open: &str, again: &str, close: &str| {
        let text = format!("\0<dialog-info>{open}{}{close}</dialog-info>", again.repeat(15_000 / again.len()));
        text.into_bytes()
    };
    all.push(("dialogs", "package", dialogs("", "<dialog id=\"a\" call-id=\"a\"><state>early</state></dialog>", "")));
    let params = "<param pname=\"a\" pval=\"b\"/>";
    let (open, close) = ("<dialog><state>early</state><local><target uri=\"a:b\">", "</target></local></dialog>");
    all.push(("parameters of a target", "package", dialogs(open, params, close)));
    all.push(("many publications of dialogs", "package", filled_with_dialogs()));
    let summary = format!("\u{1}Messages-Waiting: yes\r\n{}", "Voice-Message: 1/1\r\n".repeat(3_200));
    all.push(("counts of messages", "package", summary.into_bytes()));
    all
}

/// Eight publications, each of as many dialogs as one may have.
fn filled_with_dialogs() -> Vec<u8> {
    let one = |number: usize| {
        let dialog = |at: usize| format!("<dialog id=\"{at}\" call-id=\"{number}.{at}\"><state>early</state></dialog>");
        format!("<dialog-info>{}</dialog-info>", (0..64).map(dialog).collect::<String>())
    };
    format!("\0{}", (0..8).map(one).collect::<Vec<_>>().join("\u{1e}")).into_bytes()
}

fn different_attributes() -> Vec<u8> {
    let attributes: Vec<String> = (0..5_000).map(|number| format!("a{number}=\"\"")).collect();
    document(&format!("<a {}/>", attributes.join(" ")), "", "", "")
}

#[test]
fn no_input_takes_longer_than_its_bound() {
    let mut slow = Vec::new();
    for (what, target, input) in shapes() {
        assert!(input.len() <= 65_600, "{what}: {} octets", input.len());
        let best = (0..ATTEMPTS).map(|_| timed(target, &input)).find_or_least(BOUND);
        if best > BOUND {
            slow.push(format!("{what}, as {target}: {best:?}"));
        }
    }
    assert!(slow.is_empty(), "longer than {BOUND:?}:\n{}", slow.join("\n"));
}

fn timed(target: &str, input: &[u8]) -> Duration {
    let begin = Instant::now();
    run(target, input);
    begin.elapsed()
}

trait Least {
    /// The first that is within a bound, or else the least.
    fn find_or_least(self, bound: Duration) -> Duration;
}

impl<I: Iterator<Item = Duration>> Least for I {
    fn find_or_least(self, bound: Duration) -> Duration {
        let mut least = Duration::MAX;
        for one in self {
            least = least.min(one);
            if least <= bound {
                break;
            }
        }
        least
    }
}
