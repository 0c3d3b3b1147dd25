//! What a runtime is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use node::configuration::IdentityId;
use node::port::adapter::{Directory, Resolver, Store};
use sip::transport::{ListenerId, Transport};

use crate::tap::Tap;

/// Everything a runtime needs besides the machines it drives. [`Settings::default`] listens nowhere and stores nothing.
#[derive(Clone, Default)]
pub struct Settings {
    /// How many workers; one on a machine with at most two cores, else one for each core, where it is absent.
    pub workers: Option<u16>,
    /// Where to listen.
    pub listeners: Vec<ListenerSettings>,
    /// Certificates with their keys and trust.
    pub identities: Vec<IdentitySettings>,
    /// The bounds of connections.
    pub streams: StreamSettings,
    /// The store. Without one every write is acknowledged at once and forgotten.
    pub store: Option<Arc<dyn Store>>,
    /// Answers [`node::Question::WhoIs`]. Without one nobody is known.
    pub directory: Option<Arc<dyn Directory>>,
    /// Answers [`node::Question::Resolve`]. Without one only addresses are resolved.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Sees every SIP message that passes a socket. Costs nothing where it is absent.
    pub tap: Option<Tap>,
    /// The seed of all randomness; the system's randomness where it is absent. A known seed makes tags and tokens
    /// guessable: for tests only.
    pub seed: Option<[u8; 32]>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("workers", &self.workers)
            .field("listeners", &self.listeners)
            .field("identities", &self.identities)
            .field("streams", &self.streams)
            .field("store", &self.store.is_some())
            .field("directory", &self.directory.is_some())
            .field("resolver", &self.resolver.is_some())
            .field("tap", &self.tap.is_some())
            .finish_non_exhaustive()
    }
}

/// One listening address.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its number, unique among the listeners.
    pub id: ListenerId,
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// The address; with port 0 the system picks one, the same for all workers.
    pub address: SocketAddr,
    /// The identity of a TLS listener; also shown by connections that leave through this listener.
    pub identity: Option<IdentityId>,
}

/// A certificate with its key, and whom it trusts.
#[derive(Clone)]
pub struct IdentitySettings {
    /// Its number, unique among the identities.
    pub id: IdentityId,
    /// The certificate, followed by the intermediate ones.
    pub certificate_chain: Pem,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: Pem,
    /// The authorities that sign peers' certificates. The system's, for connections that leave, where it is absent.
    pub trust: Option<Pem>,
    /// What a client that connects to us must prove.
    pub client_certificates: ClientCertificates,
}

impl fmt::Debug for IdentitySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySettings")
            .field("id", &self.id)
            .field("client_certificates", &self.client_certificates)
            .finish_non_exhaustive()
    }
}

/// PEM text, in a file or at hand.
#[derive(Clone)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// This text.
    Text(String),
}

/// Whether a client that connects by TLS must show a certificate. One that is shown is always verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    None,
    /// One is asked for; a client without one is accepted and has no names.
    Optional,
    /// A client without one is refused: mutual TLS.
    Required,
}

/// The bounds of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Connections that one worker has at once, accepted and opened. No address has more than three quarters of them.
    pub at_most: usize,
    /// How long a connection may take to be made, TLS handshake not included.
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// An accepted connection that has sent nothing for so long after it was opened is closed.
    pub first_octets: Duration,
    /// A connection on which nothing has passed for so long, either way, is closed.
    pub idle: Duration,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            at_most: 50_000,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(8),
            first_octets: Duration::from_secs(60),
            idle: Duration::from_secs(2 * 3600),
        }
    }
}
