//! TLS at real sockets: who is let in, who is believed, and what is said of the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use node::configuration::IdentityId;
use node::{Boot, Closed};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use runtime::{
    ClientCertificates, Handle, IdentitySettings, Incident, Pem, Reported, Runtime, Settings, StartError, StopOutcome,
    What,
};
use sip::transport::Transport;
use tokio::sync::mpsc::Receiver as Reports;
use toy::{FIRST, Goal, Script, Seen, Toy, listener, options};

mod toy;

const PATIENCE: Duration = Duration::from_secs(20);
const OURS: IdentityId = IdentityId(1);

/// An authority that signs the certificates of one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    fn identity(&self, names: &[&str], client_certificates: ClientCertificates) -> IdentitySettings {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.push(SanType::URI("sip:example.com".try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        IdentitySettings {
            id: OURS,
            certificate_chain: Pem::Text(certificate.pem()),
            key: Pem::Text(key.serialize_pem()),
            trust: Some(Pem::Text(self.pem.clone())),
            client_certificates,
        }
    }
}

/// A runtime with its reports and what its machine sees.
struct Side {
    handle: Handle,
    reports: Reports<Reported>,
    seen: Receiver<Seen>,
}

impl Side {
    fn start(settings: Settings, script: Script) -> Self {
        let (sender, seen) = mpsc::channel();
        let make = move |boot: Boot| Toy::new(&boot, script.clone(), sender.clone());
        let mut handle = Runtime::start(settings, make).unwrap();
        let reports = handle.take_reports().unwrap();
        Self { handle, reports, seen }
    }

    fn serves(identity: IdentitySettings) -> Self {
        let listeners = vec![listener(Transport::Tls, Some(OURS))];
        Self::start(
            Settings { workers: Some(1), listeners, identities: vec![identity], ..Settings::default() },
            Script::default(),
        )
    }

    /// Connects to the server, and sends it OPTIONS at once.
    fn connects(server: &Self, identity: Option<IdentitySettings>, server_name: Option<&str>) -> Self {
        let remote = server.handle.address(FIRST).unwrap();
        let goal = Goal {
            transport: Transport::Tls,
            remote,
            server_name: server_name.map(ToOwned::to_owned),
            identity: identity.as_ref().map(|identity| identity.id),
            listener: FIRST,
            octets: options(1).into_bytes(),
        };
        let script = Script { connect: Some(goal), ..Script::default() };
        let identities = identity.into_iter().collect();
        Self::start(Settings { workers: Some(1), identities, ..Settings::default() }, script)
    }

    fn sees(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let next = self.seen.recv_timeout(PATIENCE).expect("it is seen in time");
            if wanted(&next) {
                return next;
            }
        }
    }

    fn says_of_handshake(&mut self) -> String {
        loop {
            let told = self.reports.blocking_recv().unwrap();
            if let What::Runtime(Incident::HandshakeFailed { cause, .. }) = told.what {
                return cause;
            }
        }
    }

    fn closes_with(&self) -> String {
        match self.sees(|seen| matches!(seen, Seen::Closed { .. })) {
            Seen::Closed { why: Closed::Handshake(words), .. } => words,
            other => panic!("{other:?}"),
        }
    }

    fn stop(self) {
        assert_eq!(self.handle.stop(PATIENCE, |_| {}), StopOutcome::Complete);
    }
}

#[test]
fn with_mutual_tls_each_side_learns_the_names_of_the_other() {
    let authority = Authority::new("ours");
    let server = Side::serves(authority.identity(&["sbc.example.com", "127.0.0.1"], ClientCertificates::Required));
    let phone = authority.identity(&["phone.example.com", "2001:db8::7"], ClientCertificates::None);
    let client = Side::connects(&server, Some(phone), Some("sbc.example.com"));
    let Seen::Opened { peer_names, .. } = server.sees(|seen| matches!(seen, Seen::Opened { .. })) else { panic!() };
    assert_eq!(peer_names, ["phone.example.com", "2001:db8::7", "sip:example.com"]);
    let Seen::Opened { peer_names, .. } = client.sees(|seen| matches!(seen, Seen::Opened { .. })) else { panic!() };
    assert_eq!(peer_names, ["sbc.example.com", "127.0.0.1", "sip:example.com"]);
    let answer = client.sees(|seen| matches!(seen, Seen::Message { .. }));
    assert!(matches!(answer, Seen::Message { octets, .. } if octets == toy::ok(1)));
    client.stop();
    server.stop();
}

#[test]
fn a_client_without_a_certificate_is_refused_and_both_sides_say_why() {
    let authority = Authority::new("ours");
    let mut server = Side::serves(authority.identity(&["127.0.0.1"], ClientCertificates::Required));
    let words = refused_without_certificate(&server, &authority);
    assert!(words.contains("CertificateRequired"), "{words}");
    let cause = server.says_of_handshake();
    assert!(cause.contains("sent no certificate"), "{cause}");
    server.stop();
}

/// A rustls client that shows nothing; answers what it hears.
fn refused_without_certificate(server: &Side, authority: &Authority) -> String {
    use rustls_pki_types::pem::PemObject;
    use std::sync::Arc;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address: SocketAddr = server.handle.address(FIRST).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), address.ip().into()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(b"OPTIONS");
    std::io::Read::read(&mut stream, &mut [0; 16]).unwrap_err().to_string()
}

#[test]
fn a_server_of_another_authority_is_not_believed_and_both_sides_say_why() {
    let mut server = Side::serves(Authority::new("theirs").identity(&["127.0.0.1"], ClientCertificates::Required));
    let phone = Authority::new("ours").identity(&["phone.example.com"], ClientCertificates::None);
    let client = Side::connects(&server, Some(phone), None);
    let words = client.closes_with();
    assert!(words.contains("signed by no authority that we trust"), "{words}");
    let cause = server.says_of_handshake();
    assert!(cause.contains("does not trust the authority"), "{cause}");
    client.stop();
    server.stop();
}

#[test]
fn a_client_of_another_authority_is_refused_and_both_sides_say_why() {
    let ours = Authority::new("ours");
    let mut server = Side::serves(ours.identity(&["127.0.0.1"], ClientCertificates::Required));
    let mut phone = Authority::new("theirs").identity(&["phone.example.com"], ClientCertificates::None);
    phone.trust = Some(Pem::Text(ours.pem.clone()));
    let client = Side::connects(&server, Some(phone), None);
    let words = client.closes_with();
    assert!(words.contains("does not trust the authority that signed our certificate"), "{words}");
    let cause = server.says_of_handshake();
    assert!(cause.contains("signed by no authority that we trust"), "{cause}");
    client.stop();
    server.stop();
}

#[test]
fn where_a_certificate_is_optional_who_shows_none_has_no_names() {
    let authority = Authority::new("ours");
    let server = Side::serves(authority.identity(&["127.0.0.1"], ClientCertificates::Optional));
    let client = Side::connects(&server, Some(authority.identity(&["a.example"], ClientCertificates::None)), None);
    let Seen::Opened { peer_names, .. } = server.sees(|seen| matches!(seen, Seen::Opened { .. })) else { panic!() };
    assert_eq!(peer_names, ["a.example", "sip:example.com"]);
    client.stop();
    server.stop();
}

#[test]
fn a_server_that_does_not_bear_the_name_is_not_believed() {
    let authority = Authority::new("ours");
    let server = Side::serves(authority.identity(&["other.example.com"], ClientCertificates::None));
    let phone = authority.identity(&["phone.example.com"], ClientCertificates::None);
    for name in [Some("sbc.example.com"), None] {
        let mut client = Side::connects(&server, Some(phone.clone()), name);
        let words = client.closes_with();
        assert!(words.contains("alternative names are") && words.contains("other.example.com"), "{words}");
        assert_eq!(client.says_of_handshake(), words);
        client.stop();
    }
    server.stop();
}

#[test]
fn plain_text_on_a_tls_port_is_called_so() {
    let mut server = Side::serves(Authority::new("ours").identity(&["127.0.0.1"], ClientCertificates::None));
    let mut stream = TcpStream::connect(server.handle.address(FIRST).unwrap()).unwrap();
    stream.write_all(options(1).as_bytes()).unwrap();
    let cause = server.says_of_handshake();
    assert!(cause.contains("does not speak TLS"), "{cause}");
    server.stop();
}

#[test]
fn a_key_of_another_certificate_is_an_error_at_the_start() {
    let authority = Authority::new("ours");
    let mut identity = authority.identity(&["a.example"], ClientCertificates::None);
    identity.key = authority.identity(&["b.example"], ClientCertificates::None).key;
    let settings = Settings { identities: vec![identity], ..Settings::default() };
    let (sender, _) = mpsc::channel();
    let error = Runtime::start(settings, move |boot| Toy::new(&boot, Script::default(), sender.clone())).unwrap_err();
    assert!(matches!(error, StartError::Identity(_)));
    assert!(error.to_string().contains("does not belong to the certificate"), "{error}");
}

#[test]
fn a_tls_listener_without_an_identity_is_an_error_at_the_start() {
    let settings = Settings { listeners: vec![listener(Transport::Tls, None)], ..Settings::default() };
    let (sender, _) = mpsc::channel();
    let error = Runtime::start(settings, move |boot| Toy::new(&boot, Script::default(), sender.clone())).unwrap_err();
    assert!(error.to_string().contains("needs an identity"), "{error}");
}
