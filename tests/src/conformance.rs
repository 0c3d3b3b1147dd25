//! Rules of an RFC, each a sentence that is tried over the wire against the server that `OFFHOOK_PEER` names.
//!
//! One server is started for all rules of a test target, and the rules run side by side, each with users of its own. What
//! a foreign server is known to fail stands in a table with the reason: the run fails if another rule fails, and just as
//! well if one of the table passes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::agent::Agent;
use crate::office::{DOMAIN, Office, host};
use crate::{Authentication, Kamailio, Offhook, SIP};

/// How many rules run at once: they wait more than they work.
const AT_ONCE: usize = 24;

/// A stack for each is small beside them.
const STACK: usize = 2 << 20;

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Where it stands: a file of this target.
    pub section: &'static str,
    /// The sentence.
    pub name: &'static str,
    /// Tries it; panics where it is broken.
    pub check: fn(&Peer),
}

/// A rule that a foreign server is known to break.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The sentence.
    pub name: &'static str,
    /// Why it breaks it.
    pub reason: &'static str,
}

/// The rules of a section, by their functions.
#[macro_export]
macro_rules! rules {
    ($($check:ident),* $(,)?) => {
        &[$($crate::conformance::Rule { section: module_path!(), name: stringify!($check), check: $check }),*]
    };
}

/// Which software is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// This project's.
    Offhook,
    /// Kamailio of Debian, its presence modules.
    Kamailio,
}

/// The server under test, and where its users stand.
pub struct Peer {
    /// Which it is.
    pub software: Software,
    office: Office,
    users: AtomicU32,
    offhook: Option<Offhook>,
    kamailio: Option<Kamailio>,
}

impl Peer {
    /// Starts the server that the environment names.
    fn start(target: &str) -> Self {
        let named = std::env::var("OFFHOOK_PEER").unwrap_or_else(|_| "offhook".to_owned());
        let software = match named.as_str() {
            "offhook" => Software::Offhook,
            "kamailio" => Software::Kamailio,
            other => panic!("OFFHOOK_PEER is `{other}`; `offhook` and `kamailio` are known"),
        };
        let office = Office::new(&format!("{target}-{named}"));
        let mut peer = Self { software, office, users: AtomicU32::new(1), offhook: None, kamailio: None };
        match software {
            Software::Offhook => {
                let configuration = peer.configuration();
                peer.offhook = Some(peer.office.offhook(&configuration));
            }
            Software::Kamailio => {
                let office = &peer.office;
                let kamailio = Kamailio::start(
                    &office.folder,
                    &office.network,
                    host::OFFHOOK,
                    &office.authority,
                    Authentication::Strangers,
                );
                peer.kamailio = Some(kamailio);
            }
        }
        peer
    }

    fn configuration(&self) -> String {
        let network = &self.office.network;
        let (here, known) = (network.host(host::OFFHOOK), network.sip(host::PUBLISHER));
        let store = self.office.folder.join("store");
        let password = self.office.folder.write("password", "secret");
        let (store, password) = (store.display(), password.display());
        let user = |name: &str| format!("[[user]]\nuri = \"sip:{name}@{DOMAIN}\"\npassword_file = \"{password}\"\n\n");
        let users: String = ["john.doe", "jane.roe"].map(user).concat();
        format!(
            "domain = \"{DOMAIN}\"\n\n[[listen]]\ntransport = \"udp\"\naddress = \"{here}:{SIP}\"\n\n\
             [[listen]]\ntransport = \"tcp\"\naddress = \"{here}:{SIP}\"\n\n\
             [[peer]]\nname = \"known\"\naddresses = [\"sip:{known}\"]\npublisher = true\n\n{users}\
             [presence_server_here]\nmin_expires = \"2s\"\n\n[store]\npath = \"{store}\"\n"
        )
    }

    /// A user that no other rule knows.
    #[must_use]
    pub fn user(&self) -> String {
        format!("user{}", self.users.fetch_add(1, Ordering::Relaxed))
    }

    /// A user agent over UDP at an address that is trusted.
    #[must_use]
    pub fn udp(&self) -> Agent {
        Agent::udp(self.office.network.host(host::PUBLISHER), self.office.network.sip(host::OFFHOOK))
    }

    /// A user agent over TCP at an address that is trusted.
    #[must_use]
    pub fn tcp(&self) -> Agent {
        Agent::tcp(self.office.network.host(host::PUBLISHER), self.office.network.sip(host::OFFHOOK))
    }

    /// A user agent over UDP at an address that is not: it has to prove who it is.
    #[must_use]
    pub fn stranger(&self) -> Agent {
        Agent::udp(self.office.network.host(host::PHONE), self.office.network.sip(host::OFFHOOK))
    }

    /// Fails if the server has ended meanwhile.
    fn assert_alive(&mut self) {
        if let Some(offhook) = &mut self.offhook {
            offhook.assert_alive();
        }
        if let Some(kamailio) = &mut self.kamailio {
            kamailio.assert_alive();
        }
    }
}

/// Tries all rules of a target, and says what came of each; `kamailio` is what Kamailio is known to break.
///
/// Words on the command line choose rules whose section or name contains one of them, as with other tests.
#[must_use]
pub fn run(target: &str, sections: &[&'static [Rule]], kamailio: &[Exception]) -> ExitCode {
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let chosen = |rule: &&Rule| {
        let full = format!("{}::{}", rule.section, rule.name);
        words.is_empty() || words.iter().any(|word| full.contains(word.as_str()))
    };
    let all: Vec<Rule> = sections.iter().copied().flatten().copied().collect();
    let rules: Vec<Rule> = all.iter().filter(chosen).copied().collect();
    if flags.iter().any(|flag| flag == "--list") {
        rules.iter().for_each(|rule| println!("{}::{}: test", rule.section, rule.name));
        return ExitCode::SUCCESS;
    }
    // None of them is known to fail at Offhook.
    if flags.iter().any(|flag| flag == "--ignored") || rules.is_empty() {
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let mut peer = Peer::start(target);
    println!("\nrunning {} rules against {:?}", rules.len(), peer.software);
    let broken = try_all(&peer, &rules);
    let known = if peer.software == Software::Kamailio { kamailio } else { &[] };
    let mut faults = verdict(&rules, &broken, known);
    for exception in kamailio.iter().filter(|exception| all.iter().all(|rule| rule.name != exception.name)) {
        let _ = writeln!(faults, "`{}` is no rule: take it off the table", exception.name);
    }
    if panic::catch_unwind(panic::AssertUnwindSafe(|| peer.assert_alive())).is_err() {
        faults.push_str("the server has ended\n");
    }
    let (failed, took) = (broken.len(), began.elapsed().as_secs_f64());
    println!("\n{} rules, {} kept, {failed} broken, in {took:.1} s", rules.len(), rules.len() - failed);
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\n{faults}");
    // The server's own words are worth keeping: its folder goes only when nobody panics.
    panic::set_hook(Box::new(|_| {}));
    let _ = panic::catch_unwind(panic::AssertUnwindSafe(move || {
        let _peer = peer;
        panic!("kept");
    }));
    ExitCode::FAILURE
}

/// The rules that were broken, by name, with what their test said.
fn try_all(peer: &Peer, rules: &[Rule]) -> BTreeMap<&'static str, String> {
    let broken: Mutex<BTreeMap<&'static str, String>> = Mutex::new(BTreeMap::new());
    let words: &'static Mutex<BTreeMap<String, String>> = Box::leak(Box::new(Mutex::new(BTreeMap::new())));
    panic::set_hook(Box::new(move |panicked| {
        let name = thread::current().name().unwrap_or_default().to_owned();
        words.lock().expect("nobody panics with it").insert(name, panicked.to_string());
    }));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..AT_ONCE.min(rules.len()) {
            let (next, broken) = (&next, &broken);
            let own = format!("rules {worker}");
            let work = move || {
                while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = panic::catch_unwind(panic::AssertUnwindSafe(|| (rule.check)(peer)));
                    if tried.is_err() {
                        let name = thread::current().name().unwrap_or_default().to_owned();
                        let said = words.lock().expect("nobody panics with it").remove(&name).unwrap_or_default();
                        broken.lock().expect("nobody panics with it").insert(rule.name, said);
                    }
                }
            };
            thread::Builder::new().name(own).stack_size(STACK).spawn_scoped(scope, work).expect("a thread");
        }
    });
    let _ = panic::take_hook();
    broken.into_inner().expect("nobody panics with it")
}

/// What does not fit: rules that are broken and not known to be, and those that are known to be and are kept.
fn verdict(rules: &[Rule], broken: &BTreeMap<&'static str, String>, known: &[Exception]) -> String {
    let mut faults = String::new();
    for rule in rules {
        let exception = known.iter().find(|exception| exception.name == rule.name);
        let line = match (broken.get(rule.name), exception) {
            (None, None) => "ok".to_owned(),
            (Some(_), Some(exception)) => format!("broken, as known: {}", exception.reason),
            (Some(said), None) => {
                let _ = writeln!(faults, "---- {}::{} ----\n{said}\n", rule.section, rule.name);
                "BROKEN".to_owned()
            }
            (None, Some(_)) => {
                let _ = writeln!(faults, "`{}` is kept now: take it off the table", rule.name);
                "KEPT, though it stands in the table".to_owned()
            }
        };
        println!("rule {}::{} ... {line}", rule.section, rule.name);
    }
    faults
}
