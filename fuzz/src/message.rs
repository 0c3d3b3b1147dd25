//! A SIP message: read, checked, every accessor called, printed, and read again.

use wire::limits;
use wire::sip::{Contact, HeaderName, Headers, Message, NameAddr, Params, Unframeable, Uri, Via, print};

/// Reads a datagram.
pub(crate) fn run(octets: &[u8]) {
    let Ok(message) = Message::parse(octets) else { return };
    let is_good = message.check().is_ok();
    read(&message);
    if is_good {
        what_is_good_can_be_read(&message);
        let printed = print_again(&message);
        let again = Message::parse(&printed);
        if matches!(again, Err(Unframeable::TooManyHeaders)) {
            // Content-Length was added to as many headers as a message may have.
            assert!(message.headers().count() + 1 >= limits::HEADERS, "headers were added");
            return;
        }
        says_the_same(&message, &again.expect("what was printed can be read"));
    }
}

/// Calls everything there is to call.
pub(crate) fn read(message: &Message<'_>) {
    for header in message.headers() {
        value(header.value);
        assert!(header.line.len() >= header.value.len(), "a value is longer than its line");
        assert!(message.values(header.name).count() <= message.octets().len(), "more values than octets");
    }
    for via in message.vias().flatten() {
        let _ = (via.branch().map(str::len), via.rport(), via.received(), via.alias());
    }
    let _ = (message.via().is_ok(), message.from().is_ok(), message.to().is_ok(), message.call_id().is_ok());
    let _ = (message.cseq().is_ok(), message.max_forwards().is_ok(), message.expires().is_ok());
    let _ = (message.from_tag(), message.to_tag(), message.contacts().count(), message.contact().is_some());
    let _ = (message.routes().count(), message.record_routes().count(), message.min_expires(), message.retry_after());
    let _ = (message.event(), message.accepts("application/sdp"), message.header_named("X-Other"));
    let _ = message.content_type().map(|media| media.is("application/sdp"));
    let _ = message.option_tags(HeaderName::Require).count();
    let _ = (message.method(), message.request(), message.status(), message.body().len());
}

/// Reads one value as everything that it might be.
pub(crate) fn value(octets: &[u8]) {
    let _ = Via::parse(octets).map(|via| (via.branch().map(str::len), via.rport(), via.received(), via.alias()));
    let _ = NameAddr::parse(octets).map(|address| {
        uri(&address.uri);
        (address.tag().map(str::len), address.display_name().map(|name| name.len()), address.param("expires"))
    });
    if let Ok(parsed) = Uri::parse(octets) {
        uri(&parsed);
    }
    let params = Params::new(octets);
    assert!(params.into_iter().count() <= octets.len(), "more parameters than octets");
    let _ = (params.get("tag"), params.value("branch"));
}

fn uri(uri: &Uri<'_>) {
    let _ = (uri.scheme(), uri.user(), uri.host(), uri.port(), uri.transport(), uri.is_loose_router(), uri.headers());
    if let Some(aor) = uri.address_of_record() {
        assert!(Uri::parse(aor.as_bytes()).is_ok(), "the address-of-record {aor:?} of {:?} is no URI", uri.as_str());
        let ours = sip::Aor::from_uri(uri);
        let again = ours.as_ref().map(|aor| sip::Aor::parse(aor.as_str()));
        assert!(again.is_none_or(|again| again == ours), "the address-of-record {ours:?} is another when read again");
    }
}

fn what_is_good_can_be_read(message: &Message<'_>) {
    assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok(), "checked, and not readable");
    assert!(message.call_id().is_ok() && message.cseq().is_ok(), "checked, and not readable");
    let Some(request) = message.request() else { return };
    assert!(message.max_forwards().is_ok(), "checked, and Max-Forwards is not readable");
    assert_eq!(message.cseq().map(|cseq| cseq.token), Ok(request.token), "the method of CSeq is another");
    assert!(Uri::parse(request.uri).is_ok(), "checked, and the Request-URI is not readable");
    let readable = |contact| matches!(contact, Ok(Contact::Star | Contact::Address(_)));
    assert!(message.contacts().all(readable), "checked, and a Contact is not readable");
}

/// Prints a message as the transaction layer does: all headers but Content-Length as they came.
fn print_again(message: &Message<'_>) -> Vec<u8> {
    let mut headers = Headers::new();
    for header in message.headers().filter(|header| header.name != HeaderName::ContentLength) {
        headers.copy(&header);
    }
    let mut out = Vec::new();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match (message.request(), message.status()) {
        (Some(line), _) => {
            print::request(&mut out, &text(line.token), &text(line.uri), &[headers.as_bytes()], message.body());
        }
        (_, Some(line)) => {
            print::response(&mut out, line.code, &text(line.reason), &[headers.as_bytes()], message.body());
        }
        _ => unreachable!("a message is a request or a response"),
    }
    out
}

fn says_the_same(one: &Message<'_>, other: &Message<'_>) {
    assert_eq!(one.method(), other.method(), "the method changed");
    assert_eq!(one.request().map(|line| line.uri), other.request().map(|line| line.uri), "the Request-URI changed");
    assert_eq!(one.status().map(|line| line.code), other.status().map(|line| line.code), "the status changed");
    assert_eq!(one.body(), other.body(), "the body changed");
    assert_eq!(other.check(), Ok(()), "what was good is not when printed");
    let kept = |header: &wire::sip::Header<'_>| header.name != HeaderName::ContentLength;
    let values = |message: &Message<'_>| -> Vec<(Vec<u8>, Vec<u8>)> {
        let headers = message.headers().filter(kept);
        headers.map(|header| (header.raw_name.to_vec(), header.value.to_vec())).collect()
    };
    assert_eq!(values(one), values(other), "a header changed");
}
