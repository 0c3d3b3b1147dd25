//! The office of the tests: Offhook in the middle, a phone system on each side, presence at Kamailio or at Offhook.

use std::fmt::Write as _;
use std::time::Duration;

use crate::{Authority, Folder, Network, Offhook, SIP, SIPS, Seen, Sipp, Transport, until};

/// The hosts of the office's network, by what stands there.
pub mod host {
    /// Offhook.
    pub const OFFHOOK: u8 = 1;
    /// Kamailio.
    pub const KAMAILIO: u8 = 2;
    /// The peer that calls.
    pub const CALLER: u8 = 11;
    /// The peer that is called.
    pub const CALLEE: u8 = 12;
    /// Who watches john.doe.
    pub const WATCHES_JOHN: u8 = 13;
    /// Who watches jane.roe.
    pub const WATCHES_JANE: u8 = 14;
    /// Somebody who publishes.
    pub const PUBLISHER: u8 = 15;
    /// A phone.
    pub const PHONE: u8 = 21;
    /// Another phone.
    pub const OTHER_PHONE: u8 = 22;
}

/// How long anything may take that has no bound of its own.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The domain of the office.
pub const DOMAIN: &str = "sfb.example";

/// One office: a folder, a network, an authority.
pub struct Office {
    /// Where its files are.
    pub folder: Folder,
    /// Where its hosts are.
    pub network: Network,
    /// Whom its certificates are from.
    pub authority: Authority,
}

/// How Offhook is connected to Kamailio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Mutual TLS.
    Tls,
}

impl Office {
    /// An empty one.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let folder = Folder::new(test);
        let authority = Authority::new(&folder);
        Self { folder, network: Network::claim(), authority }
    }

    /// A configuration that takes calls from [`host::CALLER`] to [`host::CALLEE`]; `more` is added to it.
    #[must_use]
    pub fn configuration(&self, more: &str) -> String {
        self.configuration_with(Transport::Udp, more)
    }

    /// As [`Office::configuration`], with the callee called over this transport.
    #[must_use]
    pub fn configuration_with(&self, calls_over: Transport, more: &str) -> String {
        let transport = calls_over.word();
        let here = self.network.host(host::OFFHOOK);
        let (caller, callee) = (self.network.sip(host::CALLER), self.network.sip(host::CALLEE));
        let identity = self.authority.sign(&self.folder, "offhook", &["sbc.sfb.example"], here.into());
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let trust = self.authority.certificate.display();
        let store = self.folder.join("store");
        self.folder.write("password", "secret");
        let store = store.display();
        format!(
            r#"domain = "{DOMAIN}"

[[listen]]
transport = "udp"
address   = "{here}:{SIP}"

[[listen]]
transport = "tcp"
address   = "{here}:{SIP}"

[[listen]]
transport = "tls"
address   = "{here}:{SIPS}"
advertise = "sbc.sfb.example"
identity  = "office"

[identity.office]
certificate = "{certificate}"
key         = "{key}"
trust       = "{trust}"
client_certificates = "required"

[[peer]]
name      = "caller"
addresses = ["sip:{caller}"]

[[peer]]
name      = "callee"
addresses = ["sip:{callee};transport={transport}"]

[[route]]
from = "caller"
to   = "callee"

[[route]]
from = "registered"
to   = "registered"

[[user]]
uri     = "sip:john.doe@{DOMAIN}"
name    = "John Doe"
numbers = ["+49 89 1234-56", "1056"]
password_file = "password"

[[user]]
uri     = "sip:jane.roe@{DOMAIN}"
name    = "Jane Roe"
numbers = ["+49 89 1234-57", "1057"]
password_file = "password"

[store]
path = "{store}"

{more}"#
        )
    }

    /// What makes Offhook publish to Kamailio.
    #[must_use]
    pub fn published_to_kamailio(&self, leg: Leg, more: &str) -> String {
        let (address, transport) = match leg {
            Leg::Udp => (self.network.sip(host::KAMAILIO), "udp"),
            Leg::Tcp => (self.network.sip(host::KAMAILIO), "tcp"),
            Leg::Tls => (self.network.sips(host::KAMAILIO), "tls"),
        };
        let mut section =
            format!("[[presence_server]]\nname = \"kamailio\"\nuri  = \"sip:{address};transport={transport}\"\n");
        if leg == Leg::Tls {
            section.push_str("local_name = \"sbc.sfb.example\"\nidentity = \"office\"\n");
        }
        let _ = writeln!(section, "{more}");
        section
    }

    /// Starts Offhook with a configuration.
    #[must_use]
    pub fn offhook(&self, configuration: &str) -> Offhook {
        Offhook::start(&self.folder, &self.network, host::OFFHOOK, configuration)
    }

    /// A SIPp of the office that speaks to `to`.
    #[must_use]
    pub fn sipp(
        &self,
        scenario: &str,
        transport: Transport,
        at: u8,
        to: u8,
        keys: &[(&str, &str)],
        more: &[&str],
    ) -> Sipp {
        let mut all = vec![("domain", DOMAIN)];
        all.extend(keys);
        Sipp::start(&self.folder, scenario, transport, self.network.sip(at), self.network.sip(to), &all, more)
    }

    /// Somebody who watches `presentity` at the presence server of host `to`; the first NOTIFY is there.
    #[must_use]
    pub fn watcher(&self, presentity: &str, watcher: &str, at: u8, to: u8) -> Sipp {
        let keys = [("presentity", presentity), ("watcher", watcher)];
        let sipp = self.sipp("watcher", Transport::Udp, at, to, &keys, &["-au", watcher, "-ap", "secret"]);
        until("the first NOTIFY", LIMIT, || (!sipp.notified().is_empty()).then_some(()));
        sipp
    }
}

/// How much later than it left SIPp may note what it has sent: it does so afterwards, and may have to wait for its turn.
pub const NOTED_LATE: Duration = Duration::from_millis(50);

/// When a watcher was first told something that fits.
#[must_use]
pub fn told(watcher: &Sipp, fits: impl Fn(&Seen) -> bool) -> Option<Duration> {
    watcher.notified().into_iter().find(|(_, seen)| fits(seen)).map(|(at, _)| at)
}

/// How long it took from `sent`, when a SIPp noted that it had sent something, until a watcher was told what fits.
#[must_use]
pub fn told_after(watcher: &Sipp, sent: Duration, fits: impl Fn(&Seen) -> bool) -> Option<Duration> {
    let left = sent.saturating_sub(NOTED_LATE);
    let (at, _) = watcher.notified().into_iter().find(|(at, seen)| *at >= left && fits(seen))?;
    Some(at.saturating_sub(sent))
}
