//! From sections to resolved values: what one section says of another must be there, and nothing may contradict.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use node::numbers::{self, Plan};
use regex::Regex;
use sip::Aor;
use sip::digest::Credentials;
use sip::transport::Transport;
use wire::pidf::Spelling;
use wire::sip::Uri;

use super::fault::{Fault, Faults, meant, or};
use super::option::{HERE, PASSWORD, REGISTERED, SECTIONS};
use super::reader::{At, Document, Entry, address};
use super::{
    ClientCertificates, Configuration, Digest, End, Findings, Identity, Listener, Log, Peer, Presence, PresenceServer,
    PresenceServerHere, Route, Store, Surroundings, User, certificate, hard_state, watching,
};

/// Resolves a document. What is missing is a fault already; every other fault is added.
pub(super) fn resolve(
    document: &Document,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Option<Configuration> {
    let Findings { faults, warnings, .. } = findings;
    if !faults.is_empty() && document.one("").is_none() {
        return None;
    }
    let mut resolver = Resolver { document, surroundings, faults, warnings };
    let identities = resolver.identities();
    let listeners = resolver.listeners(&identities);
    let peers = resolver.peers();
    let routes = resolver.routes(&peers);
    let presence_servers = resolver.presence_servers(&identities);
    let numbers = resolver.numbers();
    let users = resolver.users(&numbers);
    let domain = document.one("").and_then(|top| top.owned("domain"));
    let presence_server_here = resolver.presence_server_here(domain.as_deref());
    let store = document.one("store").and_then(|entry| {
        let path = surroundings.directory.join(entry.text("path")?.what);
        Some(Store { path, sync: entry.duration("sync") })
    });
    let workers = document.one("runtime").and_then(|entry| entry.count("workers"));
    let session = resolver.session();
    let name_servers = document.one("dns").map(|entry| texts(entry, "servers")).unwrap_or_default();
    let name_servers = name_servers.iter().filter_map(|text| address(text, 53)).collect();
    let default = absent("log");
    let log = document.one("log").or(default.as_ref())?;
    let digest = document.one("authentication").and_then(|entry| entry.text("digest")).map(|at| at.what);
    Some(Configuration {
        domain: domain?,
        listeners,
        identities,
        peers,
        routes,
        presence_servers,
        users,
        numbers,
        presence_server_here,
        session,
        digest: match digest {
            Some("SHA-256") => Digest::Sha256,
            Some("both") => Digest::Both,
            _ => Digest::Md5,
        },
        store,
        name_servers,
        workers: workers.and_then(|workers| u16::try_from(workers).ok()),
        log: Log { level: log.owned("level")?, json: log.text("format")?.what == "json" },
        warnings: Faults::default(),
    })
}

struct Resolver<'a> {
    document: &'a Document,
    surroundings: &'a Surroundings,
    faults: &'a mut Vec<Fault>,
    warnings: &'a mut Vec<Fault>,
}

impl Resolver<'_> {
    fn fault(&mut self, span: Range<usize>, words: impl Into<String>, cure: impl Into<String>) {
        self.faults.push(Fault::new(span, words, cure));
    }

    fn path(&self, entry: &Entry, name: &str) -> Option<PathBuf> {
        entry.text(name).map(|at| self.surroundings.directory.join(at.what))
    }

    fn identities(&mut self) -> Vec<Identity> {
        let mut entries: Vec<_> = self.document.all("identity").collect();
        entries.sort_by_key(|entry| &entry.name);
        // One with a fault stays, so that its name is not taken for unknown.
        entries.into_iter().map(|entry| self.identity(entry)).collect()
    }

    fn identity(&mut self, entry: &Entry) -> Identity {
        let certificate = self.path(entry, "certificate");
        let key = self.path(entry, "key");
        let trust = self.path(entry, "trust");
        let cure = "name a PEM file that this user may read";
        let mut tell = |name: &str, result: Result<(), String>| {
            if let Err(why) = result {
                self.faults.push(Fault::new(entry.span_of(name), why, cure));
            }
        };
        let chain = certificate.as_deref().map(certificate::chain);
        let private = key.as_deref().map(certificate::key);
        if let Some(Err(why)) = &chain {
            tell("certificate", Err(why.clone()));
        }
        if let Some(Err(why)) = &private {
            tell("key", Err(why.clone()));
        }
        if let Some(file) = &trust {
            tell("trust", certificate::chain(file).map(|_| ()));
        }
        let mut names = Vec::new();
        if let Some(Ok(chain)) = chain {
            names = runtime::certificate_names(&chain);
            if let Some(Ok(private)) = private
                && let Err(why) = certificate::fit(chain, private)
            {
                let also = (entry.span_of("certificate"), "this is the certificate".to_owned());
                self.faults.push(
                    Fault::new(entry.span_of("key"), why, "name the key that the certificate was made for")
                        .with(also.0, also.1),
                );
            }
        }
        let client_certificates = match entry.text("client_certificates").map(|at| at.what) {
            Some("required") => ClientCertificates::Required,
            Some("optional") => ClientCertificates::Optional,
            _ => ClientCertificates::None,
        };
        if client_certificates != ClientCertificates::None && entry.text("trust").is_none() {
            self.fault(
                entry.span_of("client_certificates"),
                format!("nobody's certificate can be verified: [identity.{}] has no \"trust\"", entry.name),
                "add a line like: trust = \"/etc/offhook/ca.pem\"",
            );
        }
        Identity {
            name: entry.name.clone(),
            certificate: certificate.unwrap_or_default(),
            key: key.unwrap_or_default(),
            trust,
            client_certificates,
            names,
        }
    }

    /// The place of the identity that a section names.
    fn identity_of(&mut self, entry: &Entry, identities: &[Identity]) -> Option<usize> {
        let At { what: name, span } = entry.text("identity")?;
        let place = identities.iter().position(|identity| identity.name == name);
        if place.is_none() {
            let cure = match meant(name, identities.iter().map(|identity| identity.name.as_str())) {
                Some(other) => format!("did you mean \"{other}\"?"),
                None => format!("add a section [identity.{name}]"),
            };
            self.fault(span, format!("there is no identity \"{name}\""), cure);
        }
        place
    }

    fn listeners(&mut self, identities: &[Identity]) -> Vec<Listener> {
        let mut listeners: Vec<Listener> = Vec::new();
        let mut seen: Vec<(Transport, SocketAddr, Range<usize>)> = Vec::new();
        let document = self.document;
        for entry in document.all("listen") {
            let identity = self.identity_of(entry, identities);
            let transport = entry.text("transport").and_then(|at| Transport::parse(at.what));
            let port = transport.map_or(0, Transport::default_port);
            let address = entry.text("address").and_then(|at| address(at.what, port));
            let (Some(transport), Some(address)) = (transport, address) else { continue };
            if transport == Transport::Tls && entry.text("identity").is_none() {
                let cure = match identities {
                    [one] => format!("add a line: identity = \"{}\"", one.name),
                    _ => "add a line like: identity = \"lan\", and a section [identity.lan]".to_owned(),
                };
                self.fault(entry.span_of("transport"), "TLS needs a certificate", cure);
            }
            if address.ip().is_unspecified() && entry.text("advertise").is_none() {
                self.fault(
                    entry.span_of("address"),
                    format!("nobody can answer to {}", address.ip()),
                    "bind the address that others see, or add a line like: advertise = \"sbc.example.com\"",
                );
            }
            // UDP and the two stream transports do not meet.
            let meets = |other: Transport| (other == Transport::Udp) == (transport == Transport::Udp);
            let twin = seen.iter().find(|(other, place, _)| meets(*other) && *place == address && address.port() != 0);
            if let Some((_, _, span)) = twin {
                self.faults.push(
                    Fault::new(entry.span_of("address"), format!("{address} is taken"), "choose another port")
                        .with(span.clone(), "by this listener"),
                );
            }
            seen.push((transport, address, entry.span_of("address")));
            listeners.push(Listener { transport, address, advertise: entry.owned("advertise"), identity });
        }
        if document.all("listen").next().is_none() && self.faults.is_empty() {
            self.fault(
                document.one("").map_or(0..0, |top| top.span_of("domain")),
                "nobody can reach this node: there is no [[listen]]",
                "add a section: [[listen]] with transport = \"udp\" and address = \"127.0.0.1:5060\"",
            );
        }
        listeners
    }

    fn peers(&mut self) -> Vec<Peer> {
        let mut names = Claims::new("a peer named", "keep one of the two");
        let mut peers = Vec::new();
        let document = self.document;
        for entry in document.all("peer") {
            let Some(name) = entry.text("name") else { continue };
            if name.what == REGISTERED {
                let words = format!("\"{REGISTERED}\" in a route means the phones that registered here");
                self.fault(name.span, words, "choose another name");
                continue;
            }
            names.claim(name.what, &name.span, self.faults);
            let uri = |at: &At<String>| match at.what.parse() {
                Ok(std::net::IpAddr::V6(address)) => format!("sip:[{address}]"),
                Ok(address) => format!("sip:{address}"),
                Err(_) => at.what.clone(),
            };
            peers.push(Peer {
                name: name.what.to_owned(),
                uris: entry.texts("addresses").iter().map(uri).collect(),
                certificate_names: texts(entry, "certificate_names"),
                presence: match entry.text("presence").map(|at| at.what) {
                    Some("caller") => Presence::Caller,
                    Some("callee") => Presence::Callee,
                    Some("none") => Presence::None,
                    _ => Presence::Both,
                },
                publisher: entry.flag("publisher"),
                domains: texts(entry, "domains"),
            });
        }
        peers
    }

    fn routes(&mut self, peers: &[Peer]) -> Vec<Route> {
        let document = self.document;
        let mut routes = Vec::new();
        for entry in document.all("route") {
            let mut end = |name: &str| {
                let At { what, span } = entry.text(name)?;
                if what == REGISTERED {
                    return Some(End::Registered);
                }
                let place = peers.iter().position(|peer| peer.name == what);
                if place.is_none()
                    && !document.all("peer").any(|peer| peer.text("name").is_some_and(|at| at.what == what))
                {
                    let known: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).chain([REGISTERED]).collect();
                    let cure = match meant(what, known.iter().copied()) {
                        Some(other) => format!("did you mean \"{other}\"?"),
                        None => format!("write {}, or add a [[peer]] of this name", or(&known)),
                    };
                    self.faults.push(Fault::new(span, format!("there is no peer \"{what}\""), cure));
                }
                place.map(End::Peer)
            };
            let (from, to) = (end("from"), end("to"));
            // A route that lost its condition would take calls that are not meant for it: a fault leaves it out.
            let Ok(callee) = entry.text("callee").map(|at| Regex::new(at.what)).transpose() else { continue };
            if let Some(to) = to {
                routes.push(Route { from, callee, to });
            }
        }
        routes
    }

    fn presence_servers(&mut self, identities: &[Identity]) -> Vec<PresenceServer> {
        let document = self.document;
        let mut names = Claims::new("a presence server named", "keep one of the two");
        let mut servers = Vec::new();
        for entry in document.all("presence_server") {
            if let Some(name) = entry.text("name") {
                names.claim(name.what, &name.span, self.faults);
                if name.what == HERE {
                    self.fault(name.span, format!("\"{HERE}\" is the presence server inside"), "choose another name");
                }
            }
            let mut identity = self.identity_of(entry, identities);
            let tls = entry.text("uri").is_some_and(|at| is_tls(at.what));
            if tls && entry.text("identity").is_none() && identities.len() == 1 {
                identity = Some(0);
            }
            if tls {
                self.local_name(entry, identity.and_then(|place| identities.get(place)));
            }
            self.in_order(entry, &["first_expires", "max_expires"]);
            self.in_order(entry, &["expires", "max_expires"]);
            let credentials = self.credentials(entry);
            let (Some(name), Some(uri)) = (entry.owned("name"), entry.owned("uri")) else { continue };
            servers.push(PresenceServer {
                name,
                uri,
                local_name: entry.owned("local_name"),
                spelling: match entry.text("spelling").map(|at| at.what) {
                    Some("skype") => Spelling::Skype,
                    Some("rfc4480") => Spelling::Rfc4480,
                    _ => Spelling::Both,
                },
                expires: entry.duration("expires").unwrap_or_default(),
                first_expires: entry.duration("first_expires"),
                max_expires: entry.duration("max_expires").unwrap_or_default(),
                route: entry.owned("route"),
                identity,
                credentials,
                shared_state: entry.flag("shared_state"),
                supersedes: entry.flag("supersedes"),
                keepalive: entry.duration("keepalive"),
                follow_redirects: entry.flag("follow_redirects"),
            });
        }
        servers
    }

    /// The name in Via must be a name of the certificate, or Skype's edge refuses the connection.
    fn local_name(&mut self, entry: &Entry, identity: Option<&Identity>) {
        let (Some(At { what: name, span }), Some(identity)) = (entry.text("local_name"), identity) else { return };
        let host = Uri::parse(format!("sip:{name}").as_bytes()).map_or(name, |uri| {
            // The host is borrowed from a text that ends here: find it in the name.
            name.get(..uri.host_str().len()).unwrap_or(name)
        });
        let proved = |san: &String| {
            san.eq_ignore_ascii_case(host)
                || san.strip_prefix("sip:").is_some_and(|san| san.eq_ignore_ascii_case(host))
                || san.strip_prefix("*.").is_some_and(|rest| {
                    host.split_once('.').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(rest))
                })
        };
        // Without names the certificate itself could not be read, which is told already.
        if identity.names.is_empty() || identity.names.iter().any(proved) {
            return;
        }
        let has: Vec<&str> = identity.names.iter().take(8).map(String::as_str).collect();
        self.fault(
            span,
            format!("the certificate of [identity.{}] does not bear the name \"{host}\"", identity.name),
            format!("write {}, or use a certificate with this name", or(&has)),
        );
    }

    /// Lifetimes are at least a second, and the later ones no shorter.
    fn in_order(&mut self, entry: &Entry, names: &[&str; 2]) {
        let [least, most] = names;
        for name in names {
            if entry.duration(name).is_some_and(|duration| duration < Duration::from_secs(1)) {
                self.fault(entry.span_of(name), format!("{name} is too brief"), "write at least \"1s\"");
                return;
            }
        }
        if let (Some(low), Some(high)) = (entry.duration(least), entry.duration(most))
            && low > high
        {
            let seconds = high.as_secs();
            self.faults.push(
                Fault::new(
                    entry.span_of(least),
                    format!("{least} is longer than {most}"),
                    format!("write at most \"{seconds}s\", or a longer {most}"),
                )
                .with(entry.span_of(most), format!("{most} is {seconds}s here")),
            );
        }
    }

    fn credentials(&mut self, entry: &Entry) -> Option<Credentials> {
        match (entry.text("username"), entry.text("password_file")) {
            (Some(username), Some(_)) => {
                let username = username.what.to_owned();
                Some(Credentials { username, password: self.password_file(entry)? })
            }
            (Some(At { span, .. }), None) => {
                self.fault(
                    span,
                    "a username without a password",
                    "add a line: password_file = \"/etc/offhook/password\"",
                );
                None
            }
            (None, Some(At { span, .. })) => {
                self.fault(span, "a password without a username", "add a line: username = \"sbc\"");
                None
            }
            (None, None) => None,
        }
    }

    fn password_file(&mut self, entry: &Entry) -> Option<String> {
        let file = self.path(entry, "password_file")?;
        let cure = "name a file that this user may read and that holds nothing but the password";
        match fs::read_to_string(&file) {
            Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => {
                self.fault(entry.span_of("password_file"), format!("{} is empty", file.display()), cure);
                None
            }
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                let words = format!("{} cannot be read: {error}", file.display());
                self.fault(entry.span_of("password_file"), words, cure);
                None
            }
        }
    }

    fn numbers(&mut self) -> Plan {
        let document = self.document;
        let Some(entry) = document.one("numbers") else { return Plan::default() };
        let digits = |name: &str| entry.owned(name).filter(|digits| !digits.is_empty());
        let country_code = digits("country_code");
        let extensions_of = digits("extensions_of");
        if country_code.is_none() && entry.count("national_digits").is_some() {
            let cure = "add a line like: country_code = \"1\"";
            self.fault(entry.span_of("national_digits"), "a national number without a country code", cure);
        }
        if let Some(base) = &extensions_of
            && !numbers::bare(base)
                .strip_prefix('+')
                .is_some_and(|rest| rest.bytes().all(|octet| octet.is_ascii_digit()))
        {
            let words = format!("\"{base}\" is no number of E.164");
            self.fault(entry.span_of("extensions_of"), words, "write one like \"+49 89 1234\"");
        }
        let length = |name: &str| entry.count(name).and_then(|count| usize::try_from(count).ok());
        Plan {
            country_code,
            international_prefix: entry.owned("international_prefix").unwrap_or_default(),
            national_prefix: entry.owned("national_prefix").unwrap_or_default(),
            national_digits: length("national_digits"),
            extensions_of,
            extension_digits: length("extension_digits").unwrap_or_default(),
        }
    }

    fn users(&mut self, plan: &Plan) -> Vec<User> {
        let document = self.document;
        let mut uris = Claims::new("a user with the URI", "keep one of the two");
        let mut numbers = Claims::new("a user with the number", "calls to and from it show for neither of them");
        let mut users = Vec::new();
        for entry in document.all("user") {
            let aor = entry.text("uri").and_then(|at| Some((Aor::parse(at.what)?, at.span)));
            if let Some((_, span)) = aor.as_ref().filter(|(aor, _)| aor.user().is_empty()) {
                self.fault(span.clone(), "a user's URI names a user", "write one like \"sip:john.doe@example.com\"");
            }
            let aliases = entry.texts("aliases").iter().filter_map(|at| Some((Aor::parse(&at.what)?, at.span.clone())));
            let aliases: Vec<_> = aliases.collect();
            let mut own = Vec::new();
            for (uri, span) in aor.iter().chain(&aliases) {
                if !own.contains(&uri.as_str()) {
                    own.push(uri.as_str());
                    uris.claim(uri.as_str(), span, self.faults);
                }
            }
            let mut own = Vec::new();
            for At { what, span } in entry.texts("numbers") {
                let number = plan.normalise(what);
                if number.is_empty() || !number.chars().all(|c| c.is_ascii_alphanumeric() || "+*#_".contains(c)) {
                    self.fault(span.clone(), format!("\"{what}\" is no number"), "write one like \"+49 89 1234-56\"");
                } else if !own.contains(&number) {
                    numbers.claim(&number, span, self.warnings);
                    own.push(number);
                }
            }
            let password = self.password(entry);
            let hard_state = self.path(entry, "hard_state").and_then(|file| {
                hard_state::read(&file)
                    .map_err(|(words, cure)| self.fault(entry.span_of("hard_state"), words, cure))
                    .ok()
            });
            let Some((aor, _)) = aor else { continue };
            users.push(User {
                aor,
                aliases: aliases.into_iter().map(|(alias, _)| alias).collect(),
                name: entry.owned("name"),
                numbers: texts(entry, "numbers"),
                password: password.map(String::into_boxed_str),
                publish: entry.flag("publish"),
                hard_state,
            });
        }
        users
    }

    fn password(&mut self, entry: &Entry) -> Option<String> {
        if let Some(At { what: password, span }) = entry.text(PASSWORD.name) {
            if let Some(other) = ["password_file", "password_env"].into_iter().find(|name| entry.text(name).is_some()) {
                let fault = Fault::new(span, "a password from two places", format!("keep one of password and {other}"));
                self.faults.push(fault.with(entry.span_of(other), "the other"));
            }
            return Some(password.to_owned());
        }
        let Some(At { what: variable, span }) = entry.text("password_env") else { return self.password_file(entry) };
        if let Some(At { span: other, .. }) = entry.text("password_file") {
            self.faults.push(
                Fault::new(span, "a password from two places", "keep one of password_env and password_file")
                    .with(other, "the other"),
            );
            return None;
        }
        let password = self.surroundings.environment.get(variable).filter(|password| !password.is_empty()).cloned();
        if password.is_none() {
            let words = format!("the environment variable {variable} is not set");
            self.fault(span, words, "set it for the service, or use password_file");
        }
        password
    }

    fn session(&mut self) -> call::session::Settings {
        let usual = call::session::Settings::default();
        let Some(entry) = self.document.one("calls") else { return usual };
        self.in_order(entry, &["min_session_expires", "session_expires"]);
        let settings = call::session::Settings {
            expires: entry.duration("session_expires").unwrap_or(usual.expires),
            min_expires: entry.duration("min_session_expires").unwrap_or(usual.min_expires),
            longest: entry.duration("longest"),
        };
        if settings.min_expires < usual.min_expires {
            let span = entry.span_of("min_session_expires");
            self.fault(span, "RFC 4028 allows no session below 90 seconds", "write \"90s\" or more");
        }
        settings
    }

    fn presence_server_here(&mut self, domain: Option<&str>) -> Option<PresenceServerHere> {
        let document = self.document;
        let left_out;
        let entry = match document.one("presence_server_here") {
            Some(entry) => {
                self.in_order(entry, &["min_expires", "max_expires"]);
                entry
            }
            None if document.all("presence_server").next().is_some() => {
                watching::in_vain(document, self.warnings);
                return None;
            }
            None => {
                left_out = absent("presence_server_here")?;
                &left_out
            }
        };
        let mut domains = texts(entry, "domains");
        if domains.is_empty() {
            domains.extend(domain.map(str::to_owned));
        }
        let (min, max) = (entry.duration("min_expires"), entry.duration("max_expires"));
        let rules = watching::rules(document, self.faults, self.warnings);
        let packages = texts(entry, "packages");
        if !packages.iter().any(|package| package == "presence") {
            let (what, cure) = ("a presence server without the package presence", "write \"presence\" into the list");
            self.fault(entry.span_of("packages"), what, cure);
        }
        let lists = watching::lists(document, self.faults);
        Some(PresenceServerHere {
            domains,
            min_expires: min.unwrap_or_default(),
            max_expires: max.unwrap_or_default(),
            notify_interval: entry.duration("notify_interval").unwrap_or_default(),
            rules,
            packages,
            lists,
        })
    }
}

/// What only one may have.
struct Claims {
    what: &'static str,
    /// What to do about it, or what comes of it.
    cure: &'static str,
    taken: BTreeMap<String, Range<usize>>,
}

impl Claims {
    fn new(what: &'static str, cure: &'static str) -> Self {
        Self { what, cure, taken: BTreeMap::new() }
    }

    fn claim(&mut self, name: &str, span: &Range<usize>, faults: &mut Vec<Fault>) {
        if let Some(first) = self.taken.get(name) {
            faults.push(
                Fault::new(span.clone(), format!("there already is {} {name}", self.what), self.cure)
                    .with(first.clone(), "the first"),
            );
        } else {
            self.taken.insert(name.to_owned(), span.clone());
        }
    }
}

/// What a section says that is left out.
fn absent(name: &str) -> Option<Entry> {
    SECTIONS.iter().find(|section| section.name == name).map(Entry::absent)
}

fn texts(entry: &Entry, name: &str) -> Vec<String> {
    entry.texts(name).iter().map(|at| at.what.clone()).collect()
}

/// Whether requests to this URI leave by TLS.
fn is_tls(uri: &str) -> bool {
    Uri::parse(uri.as_bytes()).is_ok_and(|parsed| {
        parsed.transport().is_some_and(|transport| transport.eq_ignore_ascii_case("tls"))
            || uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
    })
}
