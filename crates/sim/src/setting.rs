//! Who and what there is in a world: addresses, users, phones, presence servers, and what the nodes are told of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, Peer, Presence, PresenceServer, PresenceServerHere, User};
use node::port::{Known, Who};
use presence::server::list::Resource;
use sip::transport::{Flow, ListenerId, SentBy, Transport};
use sip::{Aor, Random};
use ua::phone::{self, Phone};

use crate::lines::Reach;
use crate::notified::Package;
use crate::press::Press;
use crate::swarm::{Feature, Swarm, stream};
use crate::watcher::{self, Watcher};

const DOMAIN: &str = "sfb.example";

const PASSWORD: &str = "secret";

/// The listener of each transport.
pub(crate) const UDP: ListenerId = ListenerId(0);
pub(crate) const TCP: ListenerId = ListenerId(1);

/// How many people a world has.
pub(crate) fn people(swarm: &Swarm) -> usize {
    if swarm.has(Feature::Crowd) { 8 } else { 4 }
}

/// The names of the foreign presence servers.
pub(crate) fn servers(swarm: &Swarm) -> &'static [&'static str] {
    if swarm.has(Feature::ServerHere) && swarm.has(Feature::Alone) {
        return &[];
    }
    if swarm.has(Feature::TwoServers) { &["stand-in", "other"] } else { &["stand-in"] }
}

/// Who a watcher is to the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A peer, known by its address.
    Peer,
    /// A user who makes no calls.
    Watcher,
    /// One of the people, who may leave.
    Person(usize),
}

/// The watchers of a world.
pub(crate) fn watchers(seed: u64, swarm: &Swarm) -> Vec<Identity> {
    if !swarm.has(Feature::ServerHere) {
        return Vec::new();
    }
    let mut random = stream(seed, 10, 0);
    let count = 1 + random.below(3);
    let place = |number: u64| usize::try_from(number).unwrap_or(0);
    let mut drawn = |_| match random.below(3) {
        0 => Identity::Peer,
        1 => Identity::Watcher,
        _ => Identity::Person(place(random.below(people(swarm) as u64))),
    };
    (0..count).map(&mut drawn).collect()
}

/// How a watcher reaches the nodes.
pub(crate) fn reach(seed: u64, swarm: &Swarm, number: usize) -> Reach {
    match stream(seed, 15, number as u64).below(3) {
        0 if swarm.has(Feature::WatcherStreams) => Reach::Listening,
        1 if swarm.has(Feature::WatcherStreams) => Reach::BehindNat,
        _ => Reach::Datagrams,
    }
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
    let known = |aor| User { aor, aliases: Vec::new(), numbers: Vec::new(), password: Some(PASSWORD.into()) };
    let people = here.iter().enumerate().filter(|(_, here)| **here).map(|(number, _)| known(user(number)));
    let watchers = watchers(seed, swarm);
    let watching = (0..watchers.len()).map(|number| known(watcher(number)));
    let of_this_node = swarm.has(Feature::ServerHere).then(of_this_node);
    Arc::new(Configuration {
        domains: vec![DOMAIN.to_owned()],
        listeners: match streams || swarm.has(Feature::WatcherStreams) {
            true => vec![listener(UDP, Transport::Udp), listener(TCP, Transport::Tcp)],
            false => vec![listener(UDP, Transport::Udp)],
        },
        routes: vec![call::routing::Route {
            from: call::routing::From::Registered,
            callee: None,
            to: call::routing::To::Registered,
        }],
        peers: peers(&watchers),
        users: people.chain(watching).collect(),
        presence_servers: presence_servers.chain(of_this_node).collect(),
        presence_server_here: swarm.has(Feature::ServerHere).then(|| presence_server_here(seed, here)),
        ..Configuration::default()
    })
}

/// The presence server inside, as the publisher knows it.
fn of_this_node() -> PresenceServer {
    PresenceServer {
        server: presence::publisher::Server::new("here"),
        uri: None,
        local_name: None,
        shared_state: true,
        supersedes: false,
        keepalive: None,
        identity: None,
    }
}

fn presence_server_here(seed: u64, here: &[bool]) -> PresenceServerHere {
    let mut random = stream(seed, 11, 0);
    let max_expires = if random.chance(300) { 90 } else { 3600 };
    PresenceServerHere {
        domains: vec![DOMAIN.to_owned()],
        min_expires: 60,
        max_expires,
        notify_interval: if random.chance(300) { Duration::from_secs(2) } else { Duration::ZERO },
        outlives: true,
        rules: Arc::default(),
        packages: ["presence", "dialog", "presence.winfo"].map(str::to_owned).into(),
        hard_states: Arc::default(),
        lists: Arc::new([(list(), listed(here).iter().map(resource).collect())].into_iter().collect()),
    }
}

fn resource(aor: &Aor) -> Resource {
    Resource { uri: aor.as_str().into(), name: None }
}

/// The watchers that are peers, and where there are watchers who publishes for a desk.
fn peers(watchers: &[Identity]) -> Vec<Peer> {
    let peer = |name: String, address: SocketAddr, publisher| Peer {
        name: name.into(),
        uri: format!("sip:{address}").into(),
        addresses: vec![address.ip()],
        certificate_names: Vec::new(),
        presence: Presence::None,
        publisher,
        domains: None,
    };
    let watching = watchers.iter().enumerate().filter(|(_, who)| **who == Identity::Peer);
    let watching = watching.map(|(number, _)| peer(format!("watcher{number}"), watcher_address(number), false));
    let assistant = (!watchers.is_empty()).then(|| peer("assistant".to_owned(), press_address(), true));
    watching.chain(assistant).collect()
}

/// Who publishes for a desk, where there is somebody to see it.
pub(crate) fn press(seed: u64, swarm: &Swarm, now: Instant) -> Option<Press> {
    let mut random = stream(seed, 14, 0);
    let random = Random::from_seed(random.seed());
    swarm.has(Feature::ServerHere).then(|| Press::new(desk(), here(), sent_by(press_address()), random, now))
}

/// A watcher in one of its lives, and whom it watches.
pub(crate) fn watching(seed: u64, swarm: &Swarm, number: usize, life: u64, now: Instant) -> Watcher {
    // Whom it watches is the same in every life.
    let mut taste = stream(seed, 12, number as u64);
    let mut random = stream(seed, 13, number as u64 * 1_000 + life);
    let who = watchers(seed, swarm).get(number).copied();
    let settings = watcher::Settings {
        aor: match who {
            Some(Identity::Person(person)) => user(person),
            Some(Identity::Peer | Identity::Watcher) | None => watcher(number),
        },
        password: PASSWORD.to_owned(),
        server: here(),
        sent_by: match reach(seed, swarm, number) {
            Reach::Datagrams => sent_by(watcher_address(number)),
            _ => SentBy { transport: Transport::Tcp, ..sent_by(watcher_address(number)) },
        },
    };
    let mut watcher = Watcher::new(settings, Random::from_seed(random.seed()), now);
    for person in 0..people(swarm) {
        // One of them asks for less than is granted.
        let expires = [30, 60, 120, 300, 600, 600][usize::try_from(taste.below(6)).unwrap_or(0)];
        if taste.chance(600) {
            watcher.watch(now, user(person), Package::Presence, expires);
        }
        if taste.chance(250) {
            watcher.watch(now, user(person), Package::Dialog, expires);
        }
    }
    if taste.chance(600) {
        watcher.watch(now, desk(), Package::Presence, 120);
    }
    if taste.chance(500) {
        watcher.watch(now, list(), Package::ListPresence, 600);
    }
    if let Some(Identity::Person(person)) = who
        && taste.chance(700)
    {
        watcher.watch(now, user(person), Package::Watchers, 600);
    }
    watcher
}

/// A phone in one of its lives.
pub(crate) fn phone(seed: u64, number: usize, life: u64, now: Instant) -> Phone {
    let mut random = stream(seed, 4, number as u64 * 1_000 + life);
    let answers_after = random.chance(800).then(|| random.between(Duration::ZERO, Duration::from_secs(5)));
    let settings = phone::Settings {
        aor: user(number),
        display_name: format!("User {number}"),
        password: PASSWORD.to_owned(),
        server: here(),
        sent_by: sent_by(phone_address(number)),
        expires: Duration::from_secs(3600),
        answers_after,
    };
    Phone::new(settings, Random::from_seed(random.seed()), now)
}

fn sent_by(address: SocketAddr) -> SentBy {
    SentBy { transport: Transport::Udp, host_port: address.to_string().into(), alias: false }
}

/// A watcher's own address-of-record.
fn watcher(number: usize) -> Aor {
    #[allow(clippy::expect_used, reason = "the text is right there")]
    Aor::parse(&format!("sip:watcher{number}@{DOMAIN}")).expect("a SIP URI")
}

/// Somebody without a phone, of whom only is known what is published by hand.
fn desk() -> Aor {
    #[allow(clippy::expect_used, reason = "the text is right there")]
    Aor::parse(&format!("sip:desk@{DOMAIN}")).expect("a SIP URI")
}

/// A list that the nodes know.
fn list() -> Aor {
    #[allow(clippy::expect_used, reason = "the text is right there")]
    Aor::parse(&format!("sip:all@{DOMAIN}")).expect("a SIP URI")
}

/// Who is on the list: the people who are users at the moment, and the desk.
pub(crate) fn listed(here: &[bool]) -> Vec<Aor> {
    let people = here.iter().enumerate().filter(|(_, here)| **here).map(|(number, _)| user(number));
    people.chain([desk()]).collect()
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

pub(crate) fn watcher_address(watcher: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 3, u8::try_from(watcher + 1).unwrap_or(255)], 5060))
}

pub(crate) fn press_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 4, 1], 5060))
}

/// How phones and watchers reach the nodes.
pub(crate) fn here() -> Flow {
    Flow::Udp { listener: UDP, remote: node_address() }
}

/// What the wall clock says.
pub(crate) fn unix_ms(now: Instant, start: Instant, skew_ms: i64) -> u64 {
    let passed = u64::try_from((now - start).as_millis()).unwrap_or(0);
    1_795_000_000_000_u64.saturating_add(passed).saturating_add_signed(skew_ms)
}
