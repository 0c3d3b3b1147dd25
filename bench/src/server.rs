//! The servers that are compared: Offhook with its store, and Kamailio at its fastest, in memory only.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::request::DOMAIN;
use crate::load::socket;
use crate::process::Process;

const KAMAILIO: &str = "/usr/sbin/kamailio";
const PRESENCE: &str = include_str!("../conf/kamailio_presence.cfg");
const PROXY: &str = include_str!("../conf/kamailio_proxy.cfg");

/// The tables that Kamailio's text database starts with (Debian's kamailio package).
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// How it was started.
    again: Again,
}

/// What it takes to start a server once more.
struct Again {
    program: PathBuf,
    arguments: Vec<String>,
    run: PathBuf,
}

impl Server {
    /// Kills it as a crash would, and starts it again; answers how long it took until it served.
    pub(crate) fn die_and_return(&mut self) -> Result<Duration, String> {
        self.process.kill();
        let began = Instant::now();
        let mut process = Process::start(&self.again.program, &self.again.arguments, self.again.run.join("log"))?;
        process.answers(self.address)?;
        let took = began.elapsed();
        self.process = process;
        Ok(took)
    }
}

/// Where the servers' files are, and which Offhook is measured.
pub(crate) struct Ground {
    out: PathBuf,
    offhook: PathBuf,
    started: std::cell::Cell<u32>,
}

/// Whether calls show in somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No.
    Nowhere,
    /// At a presence server of its own kind of configuration, over UDP.
    At(SocketAddr),
    /// At the presence server inside.
    Here,
}

impl Ground {
    /// A ground in `bench/out`. Without a path the program is the one that lies beside this command.
    pub(crate) fn new(offhook: Option<PathBuf>) -> Result<Self, String> {
        let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.join("offhook")) };
        let offhook = offhook.or_else(beside).ok_or("where is offhook? say --offhook PATH")?;
        if !offhook.exists() {
            return Err(format!("{} is missing: cargo build --release -p offhook -p bench", offhook.display()));
        }
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        Ok(Self { out, offhook, started: std::cell::Cell::new(0) })
    }

    /// What is measured, in a line.
    pub(crate) fn describe(&self) -> String {
        let version = |program: &Path, argument: &str| {
            let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
            String::from_utf8_lossy(&output).lines().next().unwrap_or("?").to_owned()
        };
        format!("{}; {} -x fm -X fm", version(&self.offhook, "--version"), version(Path::new(KAMAILIO), "-v"))
    }

    /// Offhook as presence server: whoever publishes from here may.
    pub(crate) fn offhook_presence(&self) -> Result<Server, String> {
        self.offhook("[[peer]]\nname = \"office\"\naddresses = [\"127.0.0.1\"]\npublisher = true\n", 0)
    }

    /// Offhook between callers and one callee.
    pub(crate) fn offhook_calls(&self, callee: SocketAddr, shown: Shown, users: usize) -> Result<Server, String> {
        let presence = if shown == Shown::Nowhere { "none" } else { "both" };
        let mut more = format!(
            "[[peer]]\nname = \"office\"\naddresses = [\"sip:{callee}\"]\npresence = \"{presence}\"\n\n\
             [[route]]\nto = \"office\"\n\n"
        );
        match shown {
            Shown::At(server) => {
                let _ =
                    write!(more, "[[presence_server]]\nname = \"server\"\nuri = \"sip:{server};transport=udp\"\n\n");
            }
            Shown::Here => more.push_str("[presence_server_here]\n\n"),
            Shown::Nowhere => {}
        }
        self.offhook(&more, if shown == Shown::Nowhere { 0 } else { users })
    }

    fn offhook(&self, more: &str, users: usize) -> Result<Server, String> {
        let (run, address) = self.place("offhook")?;
        let mut configuration = format!(
            "domain = \"{DOMAIN}\"\n\n[[listen]]\ntransport = \"udp\"\naddress = \"{address}\"\n\n\
             [store]\npath = \"{}\"\n\n[log]\nlevel = \"warn\"\n\n{more}",
            run.join("store").display()
        );
        if users > 0 {
            let mut table = String::from("uri\n");
            for number in 0..users {
                let _ = writeln!(table, "sip:a{number}@{DOMAIN}\nsip:b{number}@{DOMAIN}");
            }
            let path = run.join("users.csv");
            written(&path, &table)?;
            let _ = write!(configuration, "\n[users]\ncsv = \"{}\"\n", path.display());
        }
        let file = run.join("offhook.toml");
        written(&file, &configuration)?;
        let arguments = ["run".to_owned(), "--config".to_owned(), file.to_string_lossy().into_owned()];
        self.start(&self.offhook, &arguments, &run, address)
    }

    /// Kamailio as presence server.
    pub(crate) fn kamailio_presence(&self) -> Result<Server, String> {
        let (run, address) = self.place("kamailio")?;
        self.kamailio(PRESENCE, &run, address, &[])
    }

    /// Kamailio as proxy: alone, with dialogs, with dialogs that are published.
    pub(crate) fn kamailio_calls(&self, callee: SocketAddr, dialog: bool, shown: Shown) -> Result<Server, String> {
        let (run, address) = self.place("kamailio")?;
        let mut text = PROXY.replace("%CALLEE%", &callee.to_string());
        let mut defined = Vec::new();
        if dialog {
            defined.push("WITH_DIALOG");
        }
        if let Shown::At(server) = shown {
            defined.push("WITH_PRESENCE");
            text = text.replace("%PRESENCE%", &server.to_string());
        }
        self.kamailio(&text, &run, address, &defined)
    }

    fn kamailio(&self, text: &str, run: &Path, address: SocketAddr, defined: &[&str]) -> Result<Server, String> {
        let database = run.join("db");
        let copied = Command::new("cp").args(["-r", TABLES]).arg(&database).status();
        if !copied.is_ok_and(|status| status.success()) {
            return Err(format!("{TABLES} is missing (Debian: kamailio)"));
        }
        let file = run.join("kamailio.cfg");
        let text = text.replace("%ADDRESS%", &address.to_string()).replace("%RUN%", &run.to_string_lossy());
        written(&file, &text)?;
        // Debian's default allocator is a debugging one that doubles the cost: `fm` is what its users take for speed.
        let mut arguments: Vec<String> =
            ["-x", "fm", "-X", "fm", "-DD", "-E", "-m", "4096", "-M", "64"].map(str::to_owned).into();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        arguments.extend(["-f".into(), path(&file), "-Y".into(), path(run), "-P".into(), path(&run.join("pid"))]);
        for name in defined {
            arguments.extend(["-A".to_owned(), (*name).to_owned()]);
        }
        self.start(Path::new(KAMAILIO), &arguments, run, address)
    }

    fn start(&self, program: &Path, arguments: &[String], run: &Path, address: SocketAddr) -> Result<Server, String> {
        let mut process = Process::start(program, arguments, run.join("log"))?;
        process.answers(address).map_err(|why| format!("{}: {why}", program.display()))?;
        let again = Again { program: program.into(), arguments: arguments.into(), run: run.into() };
        Ok(Server { process, address, again })
    }

    /// An empty folder and a free address for a server.
    fn place(&self, name: &str) -> Result<(PathBuf, SocketAddr), String> {
        let number = self.started.get();
        self.started.set(number + 1);
        let run = self.out.join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&run).map_err(|error| format!("{}: {error}", run.display()))?;
        Ok((run, socket::free_port().map_err(|error| error.to_string())?))
    }

    /// A file of this run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}-{}", std::process::id()))
    }

    /// Removes what this run left behind.
    pub(crate) fn clear(&self) {
        // Most comparisons have none.
        let _ = fs::remove_file(self.file("floor"));
        for number in 0..self.started.get() {
            for name in ["offhook", "kamailio"] {
                // One of the two is not there.
                let _ = fs::remove_dir_all(self.out.join(format!("{name}-{}-{number}", std::process::id())));
            }
        }
    }
}

fn written(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
