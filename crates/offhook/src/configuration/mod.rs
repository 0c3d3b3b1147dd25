//! The configuration file: read, checked, and resolved into plain values.

mod certificate;
pub mod convert;
pub mod fault;
mod hard_state;
pub mod option;
pub mod print;
mod reader;
mod resolve;
mod table;
mod watching;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::configuration::Digest;
use node::numbers::Plan;
use presence::server::authorization::Rule;
use presence::server::list::Resource;
use regex::Regex;
use sip::Aor;
use sip::digest::Credentials;
use sip::transport::Transport;
use wire::pidf::Spelling;

pub use fault::{Fault, Faults, Source};

/// Everything that a configuration file says, checked and with its defaults.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The domain whose users are ours.
    pub domain: String,
    /// Where SIP arrives.
    pub listeners: Vec<Listener>,
    /// Certificates, in the order of their names.
    pub identities: Vec<Identity>,
    /// PBXs, trunks, servers.
    pub peers: Vec<Peer>,
    /// Where calls go; the first that fits is taken.
    pub routes: Vec<Route>,
    /// The presence servers that are told who is on the phone.
    pub presence_servers: Vec<PresenceServer>,
    /// People.
    pub users: Vec<User>,
    /// How their numbers are dialled.
    pub numbers: Plan,
    /// The presence server inside, if it runs.
    pub presence_server_here: Option<PresenceServerHere>,
    /// How long calls live.
    pub session: call::session::Settings,
    /// With what phones and watchers prove who they are.
    pub digest: Digest,
    /// What outlives a restart, if anything does.
    pub store: Option<Store>,
    /// Threads that carry SIP, where the file says how many.
    pub workers: Option<u16>,
    /// The DNS servers that are asked; those of the system where there are none.
    pub name_servers: Vec<SocketAddr>,
    /// What is told about the node's doings.
    pub log: Log,
    /// What can be served, but is hardly meant so.
    pub warnings: Faults,
}

/// One `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The transport.
    pub transport: Transport,
    /// The address to bind.
    pub address: SocketAddr,
    /// What Via, Contact and SDP show instead.
    pub advertise: Option<String>,
    /// The place of its identity in [`Configuration::identities`].
    pub identity: Option<usize>,
}

/// One `[identity.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
    /// The file of the authorities.
    pub trust: Option<PathBuf>,
    /// What a client must show.
    pub client_certificates: ClientCertificates,
    /// The subject alternative names of the certificate.
    pub names: Vec<String>,
}

/// What a client that connects by TLS must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing is asked for.
    None,
    /// A certificate is verified where there is one.
    Optional,
    /// A certificate: mutual TLS.
    Required,
}

/// One `[[peer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its SIP URIs; calls go to the first.
    pub uris: Vec<String>,
    /// The names of its certificate.
    pub certificate_names: Vec<String>,
    /// Whose presence its calls show.
    pub presence: Presence,
    /// Whether it may publish for our users.
    pub publisher: bool,
    /// The domains that it may publish and watch for; all where there are none.
    pub domains: Vec<String>,
}

/// Whose presence the calls of a peer show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Both parties'.
    Both,
    /// The caller's.
    Caller,
    /// The callee's.
    Callee,
    /// Nobody's.
    None,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Who calls; anybody where it is absent.
    pub from: Option<End>,
    /// What the called user must match; everybody where it is absent.
    pub callee: Option<Regex>,
    /// Where the call goes.
    pub to: End,
}

/// One end of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The phones that registered here.
    Registered,
    /// The peer in this place of [`Configuration::peers`].
    Peer(usize),
}

/// One `[[presence_server]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceServer {
    /// Its name.
    pub name: String,
    /// Where PUBLISH goes.
    pub uri: String,
    /// Our name towards it.
    pub local_name: Option<String>,
    /// How on-the-phone is spelled for it.
    pub spelling: Spelling,
    /// The lifetime that is asked for.
    pub expires: Duration,
    /// The lifetime that the first PUBLISH asks for.
    pub first_expires: Option<Duration>,
    /// The longest lifetime that is asked for after a 423.
    pub max_expires: Duration,
    /// A route that every PUBLISH takes.
    pub route: Option<String>,
    /// The place of its identity in [`Configuration::identities`].
    pub identity: Option<usize>,
    /// Who we are when it asks.
    pub credentials: Option<Credentials>,
    /// Whether all of its addresses share one state.
    pub shared_state: bool,
    /// Whether it replaces what this node published before a restart.
    pub supersedes: bool,
    /// How often it is asked whether it is there.
    pub keepalive: Option<Duration>,
    /// Whether a 3xx is followed.
    pub follow_redirects: bool,
}

/// One `[[user]]`.
#[derive(Clone)]
pub struct User {
    /// Whose presence is shown.
    pub aor: Aor,
    /// What else is theirs.
    pub aliases: Vec<Aor>,
    /// Their name.
    pub name: Option<String>,
    /// Their numbers, as the file has them.
    pub numbers: Vec<String>,
    /// The password of their phone.
    pub password: Option<Box<str>>,
    /// Whether their presence is shown at all.
    pub publish: bool,
    /// The document that shows while they publish nothing.
    pub hard_state: Option<Box<[u8]>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("aor", &self.aor)
            .field("aliases", &self.aliases)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

/// The `[presence_server_here]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceServerHere {
    /// The domains whose users' presence it keeps.
    pub domains: Vec<String>,
    /// The shortest lifetime that it grants.
    pub min_expires: Duration,
    /// The longest lifetime that it grants.
    pub max_expires: Duration,
    /// The shortest time between two NOTIFYs to one watcher.
    pub notify_interval: Duration,
    /// Every `[[watch_rule]]`, in the order of the file.
    pub rules: Vec<Rule>,
    /// The names of its event packages.
    pub packages: Vec<String>,
    /// Every `[[list]]`.
    pub lists: Vec<(Aor, Vec<Resource>)>,
}

/// The `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where it is kept.
    pub path: PathBuf,
    /// How much a power cut may lose; nothing where it is absent.
    pub sync: Option<Duration>,
}

/// The `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: String,
    /// Whether programs read it.
    pub json: bool,
}

/// What a configuration draws from outside its file.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where relative paths begin.
    pub directory: PathBuf,
    /// The environment, for `password_env`.
    pub environment: BTreeMap<String, String>,
}

impl Configuration {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        let name = file.display().to_string();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                let words = format!("the file cannot be read: {error}");
                let fault = Fault::new(0..0, words, "`offhook config example` prints one to begin with");
                return Err(Faults { sources: vec![Source { name, text: String::new() }], faults: vec![fault] });
            }
        };
        let surroundings = Surroundings {
            directory: file.parent().map(Path::to_owned).unwrap_or_default(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        };
        Self::parse(&name, &text, &surroundings)
    }

    /// Checks a file's text.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub fn parse(file: &str, text: &str, surroundings: &Surroundings) -> Result<Self, Faults> {
        // A text that is empty still has a place to show.
        let text = if text.is_empty() { "\n" } else { text };
        let source = Source { name: file.to_owned(), text: text.to_owned() };
        let mut findings = Findings { sources: vec![source], ..Findings::default() };
        let mut document = reader::document(text, &mut findings.faults);
        table::users(&mut document, surroundings, &mut findings);
        let resolved = resolve::resolve(&document, surroundings, &mut findings);
        let Findings { sources, mut faults, mut warnings } = findings;
        match resolved {
            Some(configuration) if faults.is_empty() => {
                warnings.sort_by_key(|warning| warning.span.start);
                let sources = if warnings.is_empty() { Vec::new() } else { sources };
                Ok(Self { warnings: Faults { sources, faults: warnings }, ..configuration })
            }
            _ => {
                faults.sort_by_key(|fault| fault.span.start);
                Err(Faults { sources, faults })
            }
        }
    }
}

/// What is found while files are read.
#[derive(Default)]
struct Findings {
    sources: Vec<Source>,
    /// What cannot be served.
    faults: Vec<Fault>,
    /// What can be, but is hardly meant so.
    warnings: Vec<Fault>,
}

impl Findings {
    /// Where the spans of the next source begin.
    fn length(&self) -> usize {
        self.sources.iter().map(|source| source.text.len() + 1).sum()
    }
}
