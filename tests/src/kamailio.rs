//! Kamailio as the presence server of somebody else: over UDP, TCP and mutual TLS, its state in a sqlite file.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::office::host;
use crate::{Authority, Folder, Network, Running, material, until};

/// Whether it asks who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Everybody may publish.
    None,
    /// Digest; every user's password is `secret`.
    Digest,
    /// The same for who comes from elsewhere than [`host::PUBLISHER`], publishing or watching; and only the domain's
    /// users are served, as [`crate::conformance`] expects of every server.
    Strangers,
}

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    running: Running,
    database: String,
}

/// One publication that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentity {
    /// The user.
    pub username: String,
    /// The entity-tag.
    pub entity_tag: String,
    /// The document.
    pub body: String,
}

impl Kamailio {
    /// Starts one at a host of the network and waits until it answers.
    #[must_use]
    pub fn start(
        folder: &Folder,
        network: &Network,
        host: u8,
        authority: &Authority,
        authentication: Authentication,
    ) -> Self {
        let address = network.host(host);
        let home = folder.join("kamailio");
        fs::create_dir_all(&home).expect("a folder for Kamailio");
        // In memory: on a disk that is busy a commit takes long enough for its processes to find the file locked.
        let database = Path::new("/dev/shm").join(format!("offhook-kamailio-{address}.sqlite"));
        forget(&database);
        create_tables(&database);
        let identity = authority.sign(folder, "kamailio", &["presence.sfb.example"], address.into());
        let fill = |name: &str| {
            let text = fs::read_to_string(material(name)).expect("its configuration");
            text.replace("%ADDRESS%", &address.to_string())
                .replace("%KNOWN%", &network.host(host::PUBLISHER).to_string())
                .replace("%HOME%", &home.to_string_lossy())
                .replace("%DATABASE%", &database.to_string_lossy())
                .replace("%CERTIFICATE%", &identity.certificate.to_string_lossy())
                .replace("%KEY%", &identity.key.to_string_lossy())
                .replace("%AUTHORITY%", &authority.certificate.to_string_lossy())
        };
        let tls = home.join("tls.cfg");
        fs::write(tls, fill("kamailio/tls.cfg")).expect("its TLS configuration");
        let configuration = home.join("kamailio.cfg");
        fs::write(&configuration, fill("kamailio/kamailio.cfg")).expect("its configuration");

        let mut arguments: Vec<String> = ["-DD", "-E", "-m", "64", "-M", "8", "-f"].map(str::to_owned).into();
        arguments.push(configuration.to_string_lossy().into_owned());
        arguments.extend(["-Y".to_owned(), home.to_string_lossy().into_owned()]);
        let defined = match authentication {
            Authentication::None => None,
            Authentication::Digest => Some("WITH_DIGEST"),
            Authentication::Strangers => Some("WITH_STRANGERS"),
        };
        arguments.extend(defined.into_iter().flat_map(|name| ["-A".to_owned(), name.to_owned()]));
        let program = Path::new("/usr/sbin/kamailio");
        let mut running = Running::start("kamailio", program, &arguments, &home, folder.join("kamailio.log"));
        let target = network.sip(host);
        let probe = UdpSocket::bind((network.host(250), 0)).expect("a socket");
        probe.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        until("Kamailio answers OPTIONS", Duration::from_secs(20), || {
            running.assert_alive();
            crate::sipp::answers_options(&probe, target).then_some(())
        });
        Self { running, database: database.to_string_lossy().into_owned() }
    }

    /// The publications that it holds for the user.
    #[must_use]
    pub fn presentities(&self, user: &str) -> Vec<Presentity> {
        let query = format!(
            "SELECT hex(username), hex(etag), hex(body) FROM presentity WHERE username = '{user}' ORDER BY id;"
        );
        let rows = sqlite(&self.database, &query);
        rows.lines()
            .map(|row| {
                let mut columns = row.split('|').map(from_hex);
                let mut column = || columns.next().expect("three columns");
                Presentity { username: column(), entity_tag: column(), body: column() }
            })
            .collect()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.output()
    }

    /// Fails the test if it is no longer there.
    pub fn assert_alive(&mut self) {
        self.running.assert_alive();
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.running.kill();
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.running.kill();
        forget(Path::new(&self.database));
    }
}

/// Removes a database with what sqlite keeps beside it.
fn forget(database: &Path) {
    for beside in ["", "-wal", "-shm"] {
        // Most have never been there.
        let _ = fs::remove_file(format!("{}{beside}", database.display()));
    }
}

fn create_tables(database: &Path) {
    let database = database.to_string_lossy();
    for table in ["standard", "presence"] {
        let script = format!("/usr/share/kamailio/db_sqlite/{table}-create.sql");
        sqlite(&database, &format!(".read {script}"));
    }
    sqlite(&database, "PRAGMA journal_mode = WAL;");
}

fn sqlite(database: &str, command: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-batch", "-cmd", ".timeout 5000", database, command])
        .output()
        .expect("sqlite3 (Debian: sqlite3)");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn from_hex(digits: &str) -> String {
    let octets = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
    });
    String::from_utf8_lossy(&octets.collect::<Vec<u8>>()).into_owned()
}
