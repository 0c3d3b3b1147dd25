//! A node without sockets, and time that passes when it is told: the same octets and the same seed in every run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, Peer, Presence, PresenceServer, PresenceServerHere, User};
use node::port::{Known, Who};
use node::{Answer, Boot, Input, Machine, Node, Output, Question, Records, Wall, WriteId};
use sip::transport::{ListenerId, Transport};
use sip::{Aor, Owner};

use crate::load::request::DOMAIN;

/// Where the node is.
pub(crate) const HERE: SocketAddr = address(1);
/// Who publishes, watches and calls.
pub(crate) const OFFICE: SocketAddr = address(9);
/// Who is called.
pub(crate) const CALLEE: SocketAddr = address(20);

const UDP: ListenerId = ListenerId(0);

const fn address(last: u8) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last)), 5060)
}

/// What of a node is there beside its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing: calls show nowhere.
    Nowhere,
    /// The presence server inside; so many users are published there.
    Here(usize),
}

/// What a node has sent, in order, with where it went.
pub(crate) type Sent = Vec<(SocketAddr, Arc<[u8]>)>;

/// A node, its store that writes everything at once, and what it has sent.
pub(crate) struct World {
    node: Node,
    now: Instant,
    written: Option<WriteId>,
    sent: Sent,
}

impl World {
    pub(crate) fn new(shown: Shown) -> Self {
        let now = Instant::now();
        let boot = Boot {
            owner: Owner(0),
            owners: 1,
            wall: Wall { at: now, unix_ms: 1_795_000_000_000 },
            seed: [1; 32],
            shared_seed: [2; 32],
            listeners: vec![(UDP, HERE)],
            records: Records::default(),
        };
        let node = Node::new(now, Arc::new(configuration(shown)), boot);
        let mut world = Self { node, now, written: None, sent: Vec::new() };
        world.drain();
        world
    }

    /// A datagram arrives; answers what was sent since, and nothing that was sent before it.
    pub(crate) fn datagram(&mut self, remote: SocketAddr, octets: &[u8]) -> Sent {
        self.sent.clear();
        self.handle(Input::Datagram { listener: UDP, remote, octets });
        std::mem::take(&mut self.sent)
    }

    /// Lets time pass; every timeout is met at its moment.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.node.next_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.drain();
    }

    /// Does what the node asks for. What it writes is written before the next input, as in one batch of a worker.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.node.poll() {
                match output {
                    Output::Transmit { flow, octets } => {
                        self.sent.extend(flow.remote().map(|remote| (remote, octets)));
                    }
                    Output::Write { id, .. } => self.written = Some(id),
                    Output::Ask { id, question } => {
                        let answer = match question {
                            Question::WhoIs(Who::Aor(aor)) => {
                                Answer::User(Known::User { aor, display_name: None, publish: true })
                            }
                            Question::WhoIs(Who::Number(_)) => Answer::User(Known::Nobody),
                            Question::Resolve(_) => Answer::Places(Vec::new()),
                        };
                        self.node.handle(self.now, Input::Answer { id, answer });
                    }
                    _ => {}
                }
            }
            let Some(up_to) = self.written.take() else { return };
            self.node.handle(self.now, Input::Written { up_to });
        }
    }
}

/// What the configurations of `beside` say, as the node is told it.
fn configuration(shown: Shown) -> Configuration {
    let peer = |name: &str, address: SocketAddr, presence| Peer {
        name: name.into(),
        uri: format!("sip:{address}").into(),
        addresses: vec![address.ip()],
        certificate_names: Vec::new(),
        presence,
        publisher: true,
        domains: None,
    };
    let presence = if shown == Shown::Nowhere { Presence::None } else { Presence::Both };
    let route = call::routing::Route {
        from: call::routing::From::Any,
        callee: None,
        to: call::routing::To::Peer("callee".into()),
    };
    let mut configuration = Configuration {
        domains: vec![DOMAIN.to_owned()],
        listeners: vec![Listener { id: UDP, transport: Transport::Udp, advertise: None, identity: None }],
        peers: vec![peer("office", OFFICE, presence), peer("callee", CALLEE, presence)],
        routes: vec![route],
        ..Configuration::default()
    };
    if let Shown::Here(users) = shown {
        configuration.users = (0..users).flat_map(|number| [user('a', number), user('b', number)]).flatten().collect();
        configuration.presence_servers = vec![PresenceServer {
            server: presence::publisher::Server::new("here"),
            uri: None,
            local_name: None,
            shared_state: false,
            supersedes: false,
            keepalive: None,
            identity: None,
        }];
        configuration.presence_server_here = Some(PresenceServerHere {
            domains: vec![DOMAIN.to_owned()],
            min_expires: 60,
            max_expires: 3600,
            notify_interval: Duration::ZERO,
            outlives: true,
            rules: Arc::default(),
            packages: presence::server::PACKAGES.iter().map(|package| package.name.to_owned()).collect(),
            hard_states: Arc::default(),
            lists: Arc::default(),
        });
    }
    configuration
}

fn user(side: char, number: usize) -> Option<User> {
    Some(User {
        aor: Aor::parse(&format!("sip:{side}{number}@{DOMAIN}"))?,
        aliases: Vec::new(),
        numbers: Vec::new(),
        password: None,
    })
}
