//! Section 11: the protocol elements of PUBLISH and its responses, and how old and foreign publishers spell them.

use tests::conformance::{Peer, Rule};
use tests::conversation::{PIDF, on_the_phone, online, tag, uri};
use tests::{Seen, rules};

pub(crate) const RULES: &[Rule] = rules![
    the_response_repeats_what_rfc_3261_says,
    the_response_to_a_request_without_to_tag_has_one,
    compact_forms_and_letter_case_do_not_count,
    optional_headers_may_be_missing,
    over_udp_content_length_may_be_missing,
    a_body_with_every_refresh_is_a_refresh,
    the_media_type_may_have_parameters_and_capitals,
    the_resource_is_the_same_however_its_uri_is_written,
    an_old_branch_is_no_bad_request,
    a_package_may_have_parameters,
];

/// Section 8.2.6.2 there.
fn the_response_repeats_what_rfc_3261_says(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request =
        agent.publish_document(&user, 60, &online(&user)).and("Via", "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKbelow");
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 200, "{answer}");
    for name in ["From", "Call-ID", "CSeq"] {
        assert_eq!(answer.header(name).as_deref(), request.value(name), "{answer}");
    }
    let vias = answer.headers("Via").join(", ");
    let (top, below) = (vias.find(&agent.here().to_string()), vias.find("192.0.2.5"));
    assert!(top.is_some() && top < below, "in their order:\n{answer}");
    assert!(answer.header("To").is_some_and(|to| to.starts_with(&format!("<{}>", uri(&user)))), "{answer}");
}

fn the_response_to_a_request_without_to_tag_has_one(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)));
    assert!(answer.to_tag().is_some_and(|to| !to.is_empty()), "{answer}");
    let answer = agent.refresh(&user, "never-given", 60);
    assert!(answer.to_tag().is_some_and(|to| !to.is_empty()), "{answer}");
}

fn compact_forms_and_letter_case_do_not_count(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let usual = agent.publish_document(&user, 60, &online(&user));
    let value = |name: &str| usual.value(name).unwrap().to_owned();
    let (body, here) = (online(&user), uri(&user));
    let text = format!(
        "PUBLISH {here} SIP/2.0\r\nv: {}\r\nMAX-FORWARDS: 70\r\nf: {}\r\nt: {}\r\ni: {}\r\ncseq:  1   PUBLISH\r\n\
         o: presence\r\nexpires : 60\r\nc: {PIDF}\r\nl: {}\r\n\r\n{body}",
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID"),
        body.len(),
    );
    agent.send(text.as_bytes());
    let fits = |message: &tests::agent::Received| message.header("Call-ID").as_deref() == usual.value("Call-ID");
    let answer = agent.next(tests::agent::PATIENCE, fits).expect("an answer");
    assert_eq!(answer.code(), 200, "{answer}");
    let answer = agent.ask(&agent.publish(&user).header("sip-IF-match", tag(&answer)).header("EXPIRES", "60"));
    assert_eq!(answer.code(), 200, "{answer}");
}

/// Max-Forwards was not there in RFC 2543, and Expires need not be.
fn optional_headers_may_be_missing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let request = agent.publish_document(&user, 60, &online(&user)).without("Max-Forwards").without("Expires");
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 200, "{answer}");
}

/// RFC 3261 section 18.3: then the datagram ends the body. linphone removes without it.
fn over_udp_content_length_may_be_missing(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &on_the_phone(&user)).without("Content-Length"));
    assert_eq!(answer.code(), 200, "{answer}");
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&document.body()).is_on_the_phone(), "{document}");
    let remove = agent.publish(&user).header("SIP-If-Match", tag(&answer)).header("Expires", "0");
    let answer = agent.ask(&remove.without("Content-Length"));
    assert_eq!(answer.code(), 200, "{answer}");
}

/// As Snom's phones do, <https://github.com/OpenSIPS/opensips/pull/14>.
fn a_body_with_every_refresh_is_a_refresh(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let mut etag = agent.initial(&user, 60, &on_the_phone(&user));
    for _ in 0..3 {
        let answer = agent.modify(&user, &etag, 60, &on_the_phone(&user));
        assert_eq!(answer.code(), 200, "{answer}");
        etag = tag(&answer);
    }
    let (_, document) = agent.watch(&user, "watcher", 60);
    assert!(Seen::read(&document.body()).is_on_the_phone(), "{document}");
    assert_eq!(document.body().matches("<tuple").count(), 1, "{document}");
}

fn the_media_type_may_have_parameters_and_capitals(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    for media in
        ["application/pidf+xml;charset=\"UTF-8\"", "Application/PIDF+XML", "application/pidf+xml ; charset=utf-8"]
    {
        let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Content-Type", media));
        assert_eq!(answer.code(), 200, "{media}:\n{answer}");
    }
}

/// RFC 3261 section 19.1.4: hosts have no letter case, and what is escaped is what it stands for.
fn the_resource_is_the_same_however_its_uri_is_written(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let etag = agent.initial(&user, 60, &online(&user));
    let refresh = |agent: &tests::agent::Agent, uri: String, etag: &str| {
        agent.publish(&user).to_target(&uri).header("SIP-If-Match", etag).header("Expires", "60")
    };
    let request = refresh(&agent, format!("sip:{user}@SFB.Example"), &etag);
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 200, "{answer}");
    let escaped = user.replacen('u', "%75", 1);
    let request = refresh(&agent, format!("sip:{escaped}@sfb.example"), &tag(&answer));
    let answer = agent.ask(&request);
    assert_eq!(answer.code(), 200, "{answer}");
}

/// A branch without the cookie of RFC 3261 is one of RFC 2543 (section 17.2.3 there).
fn an_old_branch_is_no_bad_request(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let here = agent.here();
    for via in [format!("SIP/2.0/UDP {here};branch=1"), format!("SIP/2.0/UDP {here}")] {
        let request = agent.publish_document(&user, 60, &online(&user)).header("Via", via);
        let first = agent.ask(&request);
        let second = agent.ask(&request);
        assert_eq!(first.code(), 200, "{first}");
        assert_eq!(tag(&first), tag(&second), "a retransmission is known without a branch too");
    }
}

fn a_package_may_have_parameters(peer: &Peer) {
    let (mut agent, user) = (peer.udp(), peer.user());
    let answer = agent.ask(&agent.publish_document(&user, 60, &online(&user)).header("Event", "presence;x=1"));
    assert_eq!(answer.code(), 200, "{answer}");
}
