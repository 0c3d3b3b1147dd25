//! What a node is told once, at its start: listeners, peers, routes, users, presence servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use presence::server::authorization::Rules;
use presence::server::list::Lists;
use presence::server::{EventPackage, HardStates, Identity, PACKAGES, Settings};
use sip::Aor;
use sip::digest::Algorithm;
use sip::transport::{ListenerId, Transport};

use crate::numbers::{Numbers, Plan};
use crate::on_the_phone::Role;

/// The number of a certificate with its key and trust; the runtime knows the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(pub u16);

/// Everything a node is told.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The domains whose users are ours.
    pub domains: Vec<String>,
    /// Where we listen.
    pub listeners: Vec<Listener>,
    /// Trunks, PBXs and servers, known by address or certificate.
    pub peers: Vec<Peer>,
    /// Where calls go; the first match counts.
    pub routes: Vec<call::routing::Route>,
    /// Who may register and authenticate.
    pub users: Users,
    /// How long calls live without a refresh, and at all.
    pub session: call::session::Settings,
    /// How phones register.
    pub registrar: call::registrar::Settings,
    /// The presence servers that the publisher tells.
    pub presence_servers: Vec<PresenceServer>,
    /// The embedded presence server, if it runs.
    pub presence_server_here: Option<PresenceServerHere>,
    /// With what phones and watchers prove who they are.
    pub digest: Digest,
}

/// The digest algorithms that a challenge offers (RFC 8760 section 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// MD5 alone: every phone knows it, and many know nothing beside it.
    #[default]
    Md5,
    /// SHA-256 alone.
    Sha256,
    /// SHA-256 first, then MD5.
    Both,
}

impl Digest {
    /// In the order of the challenge.
    #[must_use]
    pub fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Md5 => &[Algorithm::Md5],
            Self::Sha256 => &[Algorithm::Sha256],
            Self::Both => &[Algorithm::Sha256, Algorithm::Md5],
        }
    }
}

impl Configuration {
    /// What the calls need to know of it.
    #[must_use]
    pub fn calls(&self) -> call::Settings {
        call::Settings {
            domain: self.domains.first().map_or_else(|| "offhook.invalid".into(), |domain| domain.as_str().into()),
            routes: self.routes.clone(),
            peers: self.peers.iter().map(|peer| (Arc::clone(&peer.name), peer.uri.clone())).collect(),
            session: self.session,
            beside: self.beside(),
            legs: self.presence_server_here.as_ref().is_some_and(PresenceServerHere::has_lamps),
        }
    }

    /// Who may watch whom, by whichever of their names a rule knows a user.
    pub(crate) fn rules(&self, here: &PresenceServerHere) -> Arc<Rules> {
        Arc::new(here.rules.known_by(|aor| match self.user(aor) {
            Some(user) => [aor, &user.aor].into_iter().chain(&user.aliases).cloned().collect(),
            None => vec![aor.clone()],
        }))
    }

    /// The user of this name: an address-of-record of theirs, or a number in one of our domains.
    pub(crate) fn user(&self, aor: &Aor) -> Option<&User> {
        let is_here = || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(aor.host()));
        self.users.of_aor(aor).or_else(|| self.users.of_number(aor.user()).filter(|_| is_here()))
    }

    /// Who somebody is by now that has proved to be a user or a peer; `None` where nobody is that any more.
    pub(crate) fn who_is(&self, who: &Identity) -> Option<Identity> {
        match (&who.user, &who.peer) {
            (Some(user), _) => self.users.of_aor(user).filter(|user| user.password.is_some()).map(|_| who.clone()),
            (None, Some(name)) => self.peers.iter().find(|peer| peer.name == *name).map(Peer::identity),
            (None, None) => Some(who.clone()),
        }
    }

    /// What is taken beside calls: registrations, and what the presence server inside takes.
    fn beside(&self) -> call::Beside {
        let mut beside = call::Beside { methods: vec!["REGISTER"], events: Vec::new() };
        if let Some(here) = &self.presence_server_here {
            beside.methods.extend(["PUBLISH", "SUBSCRIBE"]);
            beside.events.extend(here.packages().iter().map(|package| package.name));
        }
        beside
    }
}

/// One listening address.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// The host, or host and port, that Via and Contact show; the bound address where it is absent.
    pub advertise: Option<String>,
    /// The certificate of a TLS listener, also used for connections that leave through it.
    pub identity: Option<IdentityId>,
}

/// A trunk, PBX or server.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in routes and reports.
    pub name: Arc<str>,
    /// Where calls to it go: a SIP URI.
    pub uri: Box<str>,
    /// The addresses it may call from.
    pub addresses: Vec<IpAddr>,
    /// Names of its certificate by which it is known on TLS.
    pub certificate_names: Vec<String>,
    /// Whose presence its calls show.
    pub presence: Presence,
    /// Whether it may publish for our users, and its newer publication replaces its older one.
    pub publisher: bool,
    /// The domains that it may publish and watch for; all that the presence server serves where it is absent.
    pub domains: Option<Arc<[Box<str>]>>,
}

impl Peer {
    /// Who it is to the presence server.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            peer: Some(Arc::clone(&self.name)),
            domains: self.domains.clone(),
            publisher: self.publisher,
            ..Identity::default()
        }
    }
}

/// Whose presence the calls of a peer show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Both parties'.
    #[default]
    Both,
    /// Only the caller's.
    Caller,
    /// Only the callee's.
    Callee,
    /// Nobody's: the peer reports presence itself.
    None,
}

impl Presence {
    /// Whether the party in this role is shown.
    #[must_use]
    pub fn shows(self, role: Role) -> bool {
        match self {
            Self::Both => true,
            Self::Caller => role == Role::Caller,
            Self::Callee => role == Role::Callee,
            Self::None => false,
        }
    }
}

/// The users, found by address-of-record or by the name that they give for digest. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Users(Arc<Indexed>);

#[derive(Debug, Default)]
struct Indexed {
    all: Vec<User>,
    by_aor: BTreeMap<Aor, usize>,
    /// By the user part alone; the first who has it.
    by_user: BTreeMap<Box<str>, usize>,
    by_number: Numbers<usize>,
}

impl Users {
    /// Users whose numbers are dialled by this plan.
    #[must_use]
    pub fn dialled(all: Vec<User>, plan: Plan) -> Self {
        let mut indexed = Indexed { by_number: Numbers::new(plan), ..Indexed::default() };
        for (place, user) in all.iter().enumerate() {
            for aor in user.aliases.iter().chain([&user.aor]) {
                indexed.by_aor.entry(aor.clone()).or_insert(place);
                indexed.by_user.entry(aor.user().into()).or_insert(place);
            }
            for number in &user.numbers {
                indexed.by_number.claim(number, &place);
            }
        }
        Self(Arc::new(Indexed { all, ..indexed }))
    }

    /// Whose address-of-record, or other address-of-record, this is.
    #[must_use]
    pub fn of_aor(&self, aor: &Aor) -> Option<&User> {
        self.0.by_aor.get(aor).and_then(|place| self.0.all.get(*place))
    }

    /// Whose number this is, in whatever form it is dialled; nobody's where two claim it.
    #[must_use]
    pub fn of_number(&self, number: &str) -> Option<&User> {
        // Most names are no numbers, and this is asked of every name that is not known.
        if !number.starts_with(|first: char| first == '+' || first.is_ascii_digit()) {
            return None;
        }
        match self.0.by_number.of(number) {
            [place] => self.0.all.get(*place),
            _ => None,
        }
    }

    /// Who calls themselves so: by the whole URI, without its scheme, or by its user part alone.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<&User> {
        let place = self.0.by_user.get(name).copied().or_else(|| {
            let uri = if name.starts_with("sip:") { name.to_owned() } else { format!("sip:{name}") };
            self.0.by_aor.get(&Aor::parse(&uri)?).copied()
        });
        place.and_then(|place| self.0.all.get(place))
    }
}

impl From<Vec<User>> for Users {
    fn from(all: Vec<User>) -> Self {
        Self::dialled(all, Plan::default())
    }
}

impl FromIterator<User> for Users {
    fn from_iter<I: IntoIterator<Item = User>>(users: I) -> Self {
        users.into_iter().collect::<Vec<_>>().into()
    }
}

impl std::ops::Deref for Users {
    type Target = [User];

    fn deref(&self) -> &[User] {
        &self.0.all
    }
}

/// A user who may register and authenticate.
#[derive(Clone, Debug)]
pub struct User {
    /// Their address-of-record.
    pub aor: Aor,
    /// Further addresses-of-record that are theirs.
    pub aliases: Vec<Aor>,
    /// Their numbers, by which phones address them, too.
    pub numbers: Vec<String>,
    /// Their password; without one they cannot register.
    pub password: Option<Box<str>>,
}

/// A presence server that the publisher tells.
#[derive(Clone, Debug)]
pub struct PresenceServer {
    /// What the publisher needs to know of it.
    pub server: presence::publisher::Server,
    /// The URI that requests go to, or `None` for the embedded one.
    pub uri: Option<Box<str>>,
    /// The name in Via and Contact towards it.
    pub local_name: Option<String>,
    /// The certificate to show it.
    pub identity: Option<IdentityId>,
    /// Whether all of its addresses share one state, so that a publication may be refreshed at any of them.
    pub shared_state: bool,
    /// Whether it replaces what this node published before a restart, known by `+sip.instance`.
    pub supersedes: bool,
    /// How often it is asked by OPTIONS whether it is there, while anything is published there; never where it is absent.
    pub keepalive: Option<Duration>,
}

/// The embedded presence server.
#[derive(Clone, Debug)]
pub struct PresenceServerHere {
    /// The domains it serves.
    pub domains: Vec<String>,
    /// The shortest lifetime it grants, in seconds.
    pub min_expires: u32,
    /// The longest lifetime it grants, in seconds.
    pub max_expires: u32,
    /// The shortest time between two NOTIFYs to one watcher.
    pub notify_interval: Duration,
    /// Whether there is a store, so that a stop ends no subscription.
    pub outlives: bool,
    /// Who may watch whom.
    pub rules: Arc<Rules>,
    /// The names of its event packages.
    pub packages: Vec<String>,
    /// What is shown of users who publish nothing, where it is more than that they are closed.
    pub hard_states: Arc<HardStates>,
    /// The lists that can be watched by one subscription.
    pub lists: Arc<Lists>,
}

impl PresenceServerHere {
    /// Its event packages, in the order of those that there are.
    #[must_use]
    pub fn packages(&self) -> Vec<EventPackage> {
        PACKAGES.into_iter().filter(|package| self.packages.iter().any(|name| name == package.name)).collect()
    }

    /// What the presence server is told of it at its start.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            domains: self.domains.iter().map(|domain| domain.as_str().into()).collect(),
            min_expires: Duration::from_secs(u64::from(self.min_expires)),
            max_expires: Duration::from_secs(u64::from(self.max_expires)),
            notify_interval: self.notify_interval,
            outlives: self.outlives,
            rules: Arc::clone(&self.rules),
            packages: self.packages(),
            lists: Arc::clone(&self.lists),
            ..Settings::default()
        }
    }

    /// Whether it has busy lamps.
    fn has_lamps(&self) -> bool {
        self.packages.iter().any(|name| name == "dialog")
    }

    /// The same, with what a running one takes over from a new configuration.
    pub(crate) fn with(mut self, new: &Configuration) -> Self {
        if let Some(new) = &new.presence_server_here {
            self.rules = Arc::clone(&new.rules);
            self.hard_states = Arc::clone(&new.hard_states);
            self.lists = Arc::clone(&new.lists);
        }
        self
    }
}

/// The bound addresses and names of the listeners.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    pub(crate) address: SocketAddr,
}
