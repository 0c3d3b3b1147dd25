//! Who and what there is in a world: addresses, users, phones, presence servers, and what the nodes are told of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, PresenceServer, User};
use node::port::{Known, Who};
use sip::transport::{Flow, ListenerId, SentBy, Transport};
use sip::{Aor, Random};
use ua::phone::{self, Phone};

use crate::swarm::{Feature, Swarm, stream};

const DOMAIN: &str = "sfb.example";

/// The listener of each transport.
pub(crate) const UDP: ListenerId = ListenerId(0);
pub(crate) const TCP: ListenerId = ListenerId(1);

/// How many people a world has.
pub(crate) fn people(swarm: &Swarm) -> usize {
    if swarm.has(Feature::Crowd) { 8 } else { 4 }
}

/// The names of the presence servers.
pub(crate) fn servers(swarm: &Swarm) -> &'static [&'static str] {
    if swarm.has(Feature::TwoServers) { &["stand-in", "other"] } else { &["stand-in"] }
}

/// What the nodes are told; `here` says who of the people is a user at the moment.
pub(crate) fn configuration(seed: u64, swarm: &Swarm, here: &[bool]) -> Arc<Configuration> {
    let listener = |id: ListenerId, transport: Transport| Listener { id, transport, advertise: None, identity: None };
    let streams = swarm.has(Feature::Streams);
    let presence_servers = servers(swarm).iter().enumerate().map(|(place, name)| {
        let mut random = stream(seed, 3, place as u64);
        let mut server = presence::publisher::Server::new(name);
        if random.chance(300) {
            server.first_expires = Some(Duration::from_secs(60));
        }
        let transport = if streams && place == 0 { ";transport=tcp" } else { "" };
        PresenceServer {
            server,
            uri: Some(format!("sip:{}{transport}", server_address(place)).into()),
            local_name: None,
            shared_state: false,
            supersedes: false,
            keepalive: random.chance(500).then(|| Duration::from_secs(30)),
            identity: None,
        }
    });
    let user =
        |number| User { aor: user(number), aliases: Vec::new(), numbers: Vec::new(), password: Some("secret".into()) };
    Arc::new(Configuration {
        domains: vec![DOMAIN.to_owned()],
        listeners: match streams {
            true => vec![listener(UDP, Transport::Udp), listener(TCP, Transport::Tcp)],
            false => vec![listener(UDP, Transport::Udp)],
        },
        routes: vec![call::routing::Route {
            from: call::routing::From::Registered,
            callee: None,
            to: call::routing::To::Registered,
        }],
        users: here.iter().enumerate().filter(|(_, here)| **here).map(|(number, _)| user(number)).collect(),
        presence_servers: presence_servers.collect(),
        ..Configuration::default()
    })
}

/// A phone in one of its lives.
pub(crate) fn phone(seed: u64, number: usize, life: u64, now: Instant) -> Phone {
    let mut random = stream(seed, 4, number as u64 * 1_000 + life);
    let answers_after = random.chance(800).then(|| random.between(Duration::ZERO, Duration::from_secs(5)));
    let settings = phone::Settings {
        aor: user(number),
        display_name: format!("User {number}"),
        password: "secret".to_owned(),
        server: here(),
        sent_by: SentBy {
            transport: Transport::Udp,
            host_port: phone_address(number).to_string().into(),
            alias: false,
        },
        expires: Duration::from_secs(3600),
        answers_after,
    };
    Phone::new(settings, Random::from_seed(random.seed()), now)
}

pub(crate) fn user(number: usize) -> Aor {
    #[allow(clippy::expect_used, reason = "the text is right there")]
    Aor::parse(&format!("sip:user{number}@{DOMAIN}")).expect("a SIP URI")
}

/// The directory: users are found while they are here.
pub(crate) fn who_is(who: &Who, here: &[bool]) -> Known {
    let found = here.iter().enumerate().filter(|(_, here)| **here).map(|(number, _)| user(number));
    let mut found = found.filter(|aor| matches!(who, Who::Aor(known) if known == aor));
    found.next().map_or(Known::Nobody, |aor| Known::User { aor, display_name: None, publish: true })
}

pub(crate) fn node_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5060))
}

pub(crate) fn server_address(server: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 2, u8::try_from(server + 1).unwrap_or(255)], 5060))
}

pub(crate) fn phone_address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, u8::try_from(number + 1).unwrap_or(255)], 5060))
}

/// How phones reach the nodes.
pub(crate) fn here() -> Flow {
    Flow::Udp { listener: UDP, remote: node_address() }
}

/// What the wall clock says.
pub(crate) fn unix_ms(now: Instant, start: Instant, skew_ms: i64) -> u64 {
    let passed = u64::try_from((now - start).as_millis()).unwrap_or(0);
    1_795_000_000_000_u64.saturating_add(passed).saturating_add_signed(skew_ms)
}
