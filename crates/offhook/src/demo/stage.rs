//! The demo's stage: a border controller and its presence server on free ports of loopback, with TLS between them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::directory::{Entry, Table};
use call::routing::{From, Route, To};
use node::Node;
use node::configuration::{
    Configuration, IdentityId, Listener, Peer, Presence, PresenceServer, PresenceServerHere, User,
};
use node::numbers::Plan;
use presence::publisher::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use runtime::{ClientCertificates, Direction, Handle, IdentitySettings, ListenerSettings, Pem, Runtime, Settings, Tap};
use sip::Aor;
use sip::transport::{Flow, ListenerId, SentBy, Transport};
use tokio::sync::mpsc;
use ua::{phone, watcher};

use super::Failed;

/// The domain of the demo's people.
pub(super) const DOMAIN: &str = "sfb.example";

/// The name in the certificate.
const NAME: &str = "sbc.sfb.example";

/// What the presence server grants at most, in seconds: short, so that the demo sees a refresh.
const GRANT: u32 = 6;

/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(5);

const UDP: ListenerId = ListenerId(0);
const TLS: ListenerId = ListenerId(1);
const IDENTITY: IdentityId = IdentityId(0);

/// One message at a socket of the border controller.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) direction: Direction,
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
    pub(super) octets: Vec<u8>,
    pub(super) at: Instant,
}

/// Who has which address.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) john: SocketAddr,
    pub(super) jane: SocketAddr,
    pub(super) watchers: [SocketAddr; 2],
    /// The presence server's end of the TLS connection.
    pub(super) presence_server: SocketAddr,
}

/// Everything that stands before the first message.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) john: UdpSocket,
    pub(super) jane: UdpSocket,
    pub(super) watches_john: UdpSocket,
    pub(super) watches_jane: UdpSocket,
    handle: Handle,
    /// Where the border controller listens for phones.
    here: SocketAddr,
    cast: Cast,
}

impl Stage {
    /// Sets it up; what passes the border controller's sockets comes out of the receiver.
    pub(super) fn set(break_publisher: bool) -> Result<(Self, mpsc::UnboundedReceiver<Seen>), Failed> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = || UdpSocket::bind(loopback);
        let (john, jane, watches_john, watches_jane) = (socket()?, socket()?, socket()?, socket()?);
        // The publisher must know the port before anything is bound.
        let tls = TcpListener::bind(loopback)?.local_addr()?;
        let (tap, seen) = mpsc::unbounded_channel();
        let settings = Settings {
            workers: Some(1),
            listeners: vec![
                ListenerSettings { id: UDP, transport: Transport::Udp, address: loopback, identity: None },
                ListenerSettings { id: TLS, transport: Transport::Tls, address: tls, identity: Some(IDENTITY) },
            ],
            identities: vec![identity()?],
            directory: Some(Arc::new(Table::new(
                vec![entry("john.doe", "John Doe", !break_publisher), entry("jane.roe", "Jane Roe", !break_publisher)],
                Plan::default(),
            ))),
            tap: Some(Tap::new(move |tapped| {
                // Nobody looks any more only when the demo is over.
                let _ = tap.send(Seen {
                    direction: tapped.direction,
                    transport: tapped.transport,
                    remote: tapped.remote,
                    octets: tapped.octets.to_vec(),
                    at: tapped.at,
                });
            })),
            ..Settings::default()
        };
        let configuration = Arc::new(configuration(tls));
        let handle = Runtime::start(settings, move |boot| Node::new(Instant::now(), Arc::clone(&configuration), boot))
            .map_err(|error| Failed::Stage(error.to_string()))?;
        let here = handle.address(UDP).ok_or_else(|| Failed::Stage("the UDP listener has no address".to_owned()))?;
        let cast = Cast {
            john: john.local_addr()?,
            jane: jane.local_addr()?,
            watchers: [watches_john.local_addr()?, watches_jane.local_addr()?],
            presence_server: tls,
        };
        Ok((Self { john, jane, watches_john, watches_jane, handle, here, cast }, seen))
    }

    pub(super) fn cast(&self) -> Cast {
        self.cast.clone()
    }

    /// How one of the two phones is set up.
    pub(super) fn phone(&self, number: usize) -> (usize, phone::Settings) {
        let (user, name, own) = match number {
            0 => ("john.doe", "John Doe", self.cast.john),
            _ => ("jane.roe", "Jane Roe", self.cast.jane),
        };
        let settings = phone::Settings {
            aor: aor(user),
            display_name: name.to_owned(),
            password: password(user),
            server: Flow::Udp { listener: UDP, remote: self.here },
            sent_by: sent_by(own),
            expires: Duration::from_secs(3600),
            answers_after: (number == 1).then_some(Duration::from_millis(800)),
        };
        (number, settings)
    }

    /// How the watcher is set up for one of the two presentities: Jane watches John, and John watches Jane.
    pub(super) fn watcher(&self, number: usize) -> (usize, watcher::Settings) {
        let (who, whom) = if number == 0 { ("jane.roe", "john.doe") } else { ("john.doe", "jane.roe") };
        let own = self.cast.watchers.get(number).copied().unwrap_or(self.here);
        let settings = watcher::Settings {
            aor: aor(who),
            password: password(who),
            presentity: aor(whom),
            server: Flow::Udp { listener: UDP, remote: self.here },
            sent_by: sent_by(own),
            expires: Duration::from_secs(600),
        };
        (number, settings)
    }

    /// Stops in order; blocks until it has.
    pub(super) fn strike(self) {
        let _ = self.handle.stop(STOP, |_| {});
    }
}

fn configuration(tls: SocketAddr) -> Configuration {
    let listener = |id, transport, identity| Listener { id, transport, advertise: None, identity };
    let server = Server { expires: Duration::from_secs(600), ..Server::new("demo") };
    Configuration {
        domains: vec![DOMAIN.to_owned()],
        listeners: vec![listener(UDP, Transport::Udp, None), listener(TLS, Transport::Tls, Some(IDENTITY))],
        peers: vec![Peer {
            name: "publisher".into(),
            uri: format!("sip:{tls};transport=tls").into(),
            addresses: Vec::new(),
            certificate_names: vec![NAME.to_owned()],
            presence: Presence::None,
            publisher: true,
            domains: None,
        }],
        routes: vec![Route { from: From::Registered, callee: None, to: To::Registered }],
        users: ["john.doe", "jane.roe"].map(user).into_iter().collect(),
        presence_servers: vec![PresenceServer {
            server,
            uri: Some(format!("sip:{tls};transport=tls").into()),
            local_name: Some(NAME.to_owned()),
            shared_state: false,
            supersedes: false,
            keepalive: None,
            identity: Some(IDENTITY),
        }],
        presence_server_here: Some(PresenceServerHere {
            domains: vec![DOMAIN.to_owned()],
            min_expires: 1,
            max_expires: GRANT,
            notify_interval: Duration::ZERO,
            outlives: false,
            rules: Arc::default(),
            packages: vec!["presence".to_owned()],
            hard_states: Arc::default(),
            lists: Arc::default(),
        }),
        ..Configuration::default()
    }
}

fn user(name: &str) -> User {
    User { aor: aor(name), aliases: Vec::new(), numbers: Vec::new(), password: Some(password(name).into()) }
}

fn entry(user: &str, name: &str, publish: bool) -> Entry {
    Entry { aor: aor(user), aliases: Vec::new(), numbers: Vec::new(), display_name: Some(name.to_owned()), publish }
}

fn password(user: &str) -> String {
    format!("the password of {user}")
}

#[allow(clippy::expect_used, reason = "the text is right there")]
fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@{DOMAIN}")).expect("a SIP URI")
}

fn sent_by(own: SocketAddr) -> SentBy {
    SentBy { transport: Transport::Udp, host_port: own.to_string().into(), alias: false }
}

/// An authority and a certificate of its own, made for this one performance.
fn identity() -> Result<IdentitySettings, Failed> {
    let wrong = |error: rcgen::Error| Failed::Stage(format!("no certificate could be made: {error}"));
    let mut authority = CertificateParams::new(Vec::new()).map_err(wrong)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(wrong)?).map_err(wrong)?;
    let mut own = CertificateParams::new(vec![NAME.to_owned()]).map_err(wrong)?;
    own.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = own.signed_by(&key, &authority).map_err(wrong)?;
    Ok(IdentitySettings {
        id: IDENTITY,
        certificate_chain: Pem::Text(certificate.pem()),
        key: Pem::Text(key.serialize_pem()),
        trust: Some(Pem::Text(authority.pem())),
        client_certificates: ClientCertificates::Required,
    })
}
