//! From a configuration to what the node and the runtime are told.

use std::net::IpAddr;
use std::sync::Arc;

use adapters::directory::{Entry, Table};
use call::routing::{self, From, To};
use node::configuration::{self as of_node, IdentityId};
use presence::publisher::Server;
use runtime::{IdentitySettings, ListenerSettings, Pem, Settings};
use sip::transport::ListenerId;
use wire::sip::Uri;

use super::option::HERE;
use super::{ClientCertificates, Configuration, End, Peer, Presence, PresenceServer, hard_state};

impl Configuration {
    /// What a node is told. The addresses of peers that are known by host name are not yet among it.
    #[must_use]
    pub fn node(&self) -> of_node::Configuration {
        let listeners = self.listeners.iter().zip(0..).map(|(listener, number)| of_node::Listener {
            id: ListenerId(number),
            transport: listener.transport,
            advertise: listener.advertise.clone(),
            identity: listener.identity.and_then(identity),
        });
        let routes = self.routes.iter().filter_map(|route| {
            let from = match route.from {
                None => From::Any,
                Some(End::Registered) => From::Registered,
                Some(End::Peer(place)) => From::Peer(self.peer(place)?),
            };
            let to = match route.to {
                End::Registered => To::Registered,
                End::Peer(place) => To::Peer(self.peer(place)?),
            };
            Some(routing::Route { from, callee: route.callee.clone(), to })
        });
        let users = self.users.iter().map(|user| of_node::User {
            aor: user.aor.clone(),
            aliases: user.aliases.clone(),
            numbers: user.numbers.clone(),
            password: user.password.clone(),
        });
        let here = self.presence_server_here.as_ref().map(|_| of_node::PresenceServer {
            server: Server::new(HERE),
            uri: None,
            local_name: None,
            identity: None,
            shared_state: true,
            supersedes: false,
            keepalive: None,
        });
        of_node::Configuration {
            domains: vec![self.domain.clone()],
            listeners: listeners.collect(),
            peers: self.peers.iter().map(peer).collect(),
            routes: routes.collect(),
            users: of_node::Users::dialled(users.collect(), self.numbers.clone()),
            digest: self.digest,
            session: self.session,
            registrar: call::registrar::Settings::default(),
            presence_servers: self.presence_servers.iter().map(presence_server).chain(here).collect(),
            presence_server_here: self.presence_server_here.as_ref().map(|here| of_node::PresenceServerHere {
                domains: here.domains.clone(),
                min_expires: u32::try_from(here.min_expires.as_secs()).unwrap_or(u32::MAX),
                max_expires: u32::try_from(here.max_expires.as_secs()).unwrap_or(u32::MAX),
                notify_interval: here.notify_interval,
                outlives: self.store.is_some(),
                lists: Arc::new(here.lists.iter().cloned().collect()),
                rules: Arc::new(here.rules.iter().cloned().collect()),
                packages: here.packages.clone(),
                hard_states: hard_state::all(&self.users),
            }),
        }
    }

    /// What the runtime is told, without a store and a resolver, which are opened when it starts.
    #[must_use]
    pub fn runtime(&self) -> Settings {
        let listeners = self.listeners.iter().zip(0..).map(|(listener, number)| ListenerSettings {
            id: ListenerId(number),
            transport: listener.transport,
            address: listener.address,
            identity: listener.identity.and_then(identity),
        });
        let identities = self.identities.iter().zip(0..).map(|(identity, number)| IdentitySettings {
            id: IdentityId(number),
            certificate_chain: Pem::File(identity.certificate.clone()),
            key: Pem::File(identity.key.clone()),
            trust: identity.trust.clone().map(Pem::File),
            client_certificates: match identity.client_certificates {
                ClientCertificates::None => runtime::ClientCertificates::None,
                ClientCertificates::Optional => runtime::ClientCertificates::Optional,
                ClientCertificates::Required => runtime::ClientCertificates::Required,
            },
        });
        let users = self.users.iter().map(|user| Entry {
            aor: user.aor.clone(),
            aliases: user.aliases.clone(),
            numbers: user.numbers.clone(),
            display_name: user.name.clone(),
            publish: user.publish,
        });
        Settings {
            workers: self.workers,
            listeners: listeners.collect(),
            identities: identities.collect(),
            directory: Some(Arc::new(Table::new(users.collect(), self.numbers.clone()))),
            ..Settings::default()
        }
    }

    fn peer(&self, place: usize) -> Option<Arc<str>> {
        self.peers.get(place).map(|peer| peer.name.as_str().into())
    }
}

impl Peer {
    /// The hosts of its URIs, as they stand there.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.uris.iter().filter_map(|uri| Some(Uri::parse(uri.as_bytes()).ok()?.host_str()))
    }
}

/// A host that is an address.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn identity(place: usize) -> Option<IdentityId> {
    u16::try_from(place).ok().map(IdentityId)
}

fn peer(peer: &Peer) -> of_node::Peer {
    of_node::Peer {
        name: peer.name.as_str().into(),
        uri: peer.uris.first().cloned().unwrap_or_default().into(),
        addresses: peer.hosts().filter_map(literal).collect(),
        certificate_names: peer.certificate_names.clone(),
        presence: match peer.presence {
            Presence::Both => of_node::Presence::Both,
            Presence::Caller => of_node::Presence::Caller,
            Presence::Callee => of_node::Presence::Callee,
            Presence::None => of_node::Presence::None,
        },
        publisher: peer.publisher,
        domains: (!peer.domains.is_empty()).then(|| peer.domains.iter().map(|domain| domain.as_str().into()).collect()),
    }
}

fn presence_server(server: &PresenceServer) -> of_node::PresenceServer {
    of_node::PresenceServer {
        server: Server {
            spelling: server.spelling,
            expires: server.expires,
            first_expires: server.first_expires,
            max_expires: server.max_expires,
            credentials: server.credentials.clone(),
            route: server.route.as_deref().map(Into::into),
            follow_redirects: server.follow_redirects,
            ..Server::new(&server.name)
        },
        uri: Some(server.uri.as_str().into()),
        local_name: server.local_name.clone(),
        identity: server.identity.and_then(identity),
        shared_state: server.shared_state,
        supersedes: server.supersedes,
        keepalive: server.keepalive,
    }
}
