//! The ground itself: Kamailio and SIPp among themselves, before Offhook stands between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use tests::{Authentication, Authority, Folder, Kamailio, Network, Running, Sipp, Transport, until};

const LIMIT: Duration = Duration::from_secs(15);

fn a_foreign_publisher_lights_and_clears(transport: Transport, authentication: Authentication, test: &str) {
    let (folder, network) = (Folder::new(test), Network::claim());
    let authority = Authority::new(&folder);
    let kamailio = Kamailio::start(&folder, &network, 2, &authority, authentication);
    let keys = [("presentity", "john.doe"), ("watcher", "jane.roe"), ("domain", "sfb.example")];
    let watcher = Sipp::start(&folder, "watcher", transport, network.sip(13), network.sip(2), &keys, &[]);
    until("the first NOTIFY", LIMIT, || (!watcher.notified().is_empty()).then_some(()));

    let keys = [("user", "john.doe"), ("domain", "sfb.example")];
    let (scenario, more): (_, &[&str]) = match authentication {
        Authentication::None | Authentication::Strangers => ("publisher", &["-d", "700"]),
        Authentication::Digest => ("publisher_digest", &["-d", "700", "-au", "john.doe", "-ap", "secret"]),
    };
    let mut publisher = Sipp::start(&folder, scenario, transport, network.sip(14), network.sip(2), &keys, more);
    until("on the phone", LIMIT, || watcher.notified().last()?.1.is_on_the_phone().then_some(()));
    assert_eq!(kamailio.presentities("john.doe").len(), 1);
    publisher.succeed(LIMIT);
    until("clear", LIMIT, || watcher.notified().last()?.1.is_clear().then_some(()));
    until("nothing is held", LIMIT, || kamailio.presentities("john.doe").is_empty().then_some(()));
}

#[test]
fn kamailio_shows_a_publication_to_a_watcher_over_udp() {
    a_foreign_publisher_lights_and_clears(Transport::Udp, Authentication::None, "ground-udp");
}

#[test]
fn kamailio_shows_a_publication_to_a_watcher_over_tcp() {
    a_foreign_publisher_lights_and_clears(Transport::Tcp, Authentication::None, "ground-tcp");
}

#[test]
fn kamailio_asks_a_publisher_for_digest() {
    a_foreign_publisher_lights_and_clears(Transport::Udp, Authentication::Digest, "ground-digest");
}

#[test]
fn kamailio_takes_a_publication_over_mutual_tls_and_from_nobody_without_a_certificate() {
    let (folder, network) = (Folder::new("ground-tls"), Network::claim());
    let authority = Authority::new(&folder);
    let kamailio = Kamailio::start(&folder, &network, 2, &authority, Authentication::None);
    let identity = authority.sign(&folder, "publisher", &["sbc.sfb.example"], network.host(1).into());
    let target = network.sips(2).to_string();
    let trust = authority.certificate.to_str().unwrap();
    let shown = ["-cert", identity.certificate.to_str().unwrap(), "-key", identity.key.to_str().unwrap()];
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:john.doe@sfb.example\"/>";
    let request = format!(
        "PUBLISH sip:john.doe@sfb.example SIP/2.0\r\nVia: SIP/2.0/TLS {target};branch=z9hG4bKtls\r\n\
         Max-Forwards: 70\r\nFrom: <sip:john.doe@sfb.example>;tag=tls\r\nTo: <sip:john.doe@sfb.example>\r\n\
         Call-ID: tls\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: 600\r\n\
         Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let ask = |name: &str, certificate: &[&str]| {
        let mut arguments = vec!["s_client", "-quiet", "-verify_return_error", "-CAfile", trust, "-connect", &target];
        arguments.extend(certificate);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let output = folder.join(&format!("{name}.log"));
        let mut client = Running::start(name, Path::new("/usr/bin/openssl"), &arguments, folder.path(), output);
        client.tell(&request);
        client
    };
    let with = ask("with a certificate", &shown);
    until("200 over TLS", LIMIT, || with.output().contains("SIP/2.0 200 ").then_some(()));
    assert_eq!(kamailio.presentities("john.doe").len(), 1);

    let mut without = ask("without a certificate", &[]);
    until("the end of the connection", LIMIT, || without.ended());
    assert!(!without.output().contains("SIP/2.0"), "{}", without.output());
    assert_eq!(kamailio.presentities("john.doe").len(), 1);
}
