//! The program under test, as a user starts it: `offhook run --config FILE`.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use crate::{Folder, Network, Running, repository, until};

/// The crates that the program is made of: a change in one of them makes a built program old.
const MADE_OF: [&str; 10] =
    ["wire", "sip", "call", "presence", "node", "runtime", "adapters", "offhook", "ua", "media"];

/// The octets that its store keeps in memory at the most, of what it has yet to write out in order, with all that holds that
/// together: a constant, reached after some hundred thousand records.
pub const STORE_IN_MEMORY: u64 = 64 << 20;

/// A running `offhook run`.
#[derive(Debug)]
pub struct Offhook {
    running: Running,
    configuration: PathBuf,
    log: PathBuf,
    /// Where it tells a service manager how it is.
    manager: UnixDatagram,
    manager_at: PathBuf,
    target: SocketAddr,
    probe: UdpSocket,
}

impl Offhook {
    /// Starts it with a configuration, and waits until it answers over UDP at a host of the network.
    #[must_use]
    pub fn start(folder: &Folder, network: &Network, host: u8, configuration: &str) -> Self {
        let configuration = folder.write("offhook.toml", configuration);
        let log = folder.join("offhook.log");
        let probe = UdpSocket::bind((network.host(251), 0)).expect("a socket");
        probe.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let manager_at = folder.join("manager");
        let manager = UnixDatagram::bind(&manager_at).expect("a socket for the service manager");
        manager.set_nonblocking(true).expect("it does not wait");
        let running = run(&configuration, &log, &manager_at);
        let mut offhook = Self { running, configuration, log, manager, manager_at, target: network.sip(host), probe };
        offhook.wait();
        offhook
    }

    /// The program: the one that `OFFHOOK` names, or the one that was built beside the test.
    #[must_use]
    pub fn program() -> PathBuf {
        if let Some(named) = std::env::var_os("OFFHOOK") {
            return named.into();
        }
        let deps = std::env::current_exe().expect("a test is a program");
        let built = deps.parent().and_then(Path::parent).expect("target/debug/deps").join("offhook");
        let cure = "`cargo build --package offhook` builds it; `cargo test --workspace` does so by itself";
        let Ok(age) = fs::metadata(&built).and_then(|metadata| metadata.modified()) else {
            panic!("{} is not there: {cure}", built.display());
        };
        for crate_name in MADE_OF {
            let newest = newest(&repository().join("crates").join(crate_name).join("src"));
            assert!(newest <= age, "{} is older than crates/{crate_name}: {cure}", built.display());
        }
        built
    }

    /// Fails the test if it is no longer there.
    pub fn assert_alive(&mut self) {
        self.running.assert_alive();
    }

    /// Kills it as a crash would, and with it nothing else.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again with the same configuration, and waits until it answers.
    pub fn restart(&mut self) {
        self.running = run(&self.configuration, &self.log, &self.manager_at);
        self.wait();
    }

    /// Gives it another configuration, asks it to take that over, and waits for the line that says what became of it.
    pub fn reload(&mut self, configuration: &str) -> String {
        fs::write(&self.configuration, configuration).expect("the configuration is ours");
        let lines = |log: &str| log.lines().filter(|line| line.starts_with("configuration ")).count();
        let before = lines(&self.log());
        self.running.hang_up();
        until("the configuration is read anew", Duration::from_secs(20), || {
            let log = self.log();
            (lines(&log) > before)
                .then(|| log.lines().rfind(|line| line.starts_with("configuration ")).map(str::to_owned))
        })
        .expect("there is such a line")
    }

    /// What it has told the service manager since this was last asked, one message each.
    #[must_use]
    pub fn told_the_manager(&self) -> Vec<String> {
        let mut octets = [0; 1024];
        std::iter::from_fn(|| {
            let length = self.manager.recv(&mut octets).ok()?;
            Some(String::from_utf8_lossy(&octets[..length]).into_owned())
        })
        .collect()
    }

    /// From now on the service manager does not listen: its socket is full.
    pub fn deafen_the_manager(&self) {
        let other = UnixDatagram::unbound().expect("a socket");
        other.set_nonblocking(true).expect("it does not wait");
        while other.send_to(b"X=1", &self.manager_at).is_ok() {}
    }

    /// Asks it to stop, and waits until it has.
    #[must_use]
    pub fn stop(&mut self, deadline: Duration) -> ExitStatus {
        self.terminate();
        self.end(deadline)
    }

    /// Asks it to stop, and does not wait.
    pub fn terminate(&mut self) {
        self.running.terminate();
    }

    /// Waits for its end.
    #[must_use]
    pub fn end(&mut self, deadline: Duration) -> ExitStatus {
        self.running.end(deadline)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// The octets of memory that it holds now.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.id())).expect("it is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.output()
    }

    fn wait(&mut self) {
        until("Offhook answers OPTIONS", Duration::from_secs(20), || {
            self.running.assert_alive();
            crate::sipp::answers_options(&self.probe, self.target).then_some(())
        });
    }
}

fn run(configuration: &Path, log: &Path, manager: &Path) -> Running {
    let arguments = ["run".to_owned(), "--config".to_owned(), configuration.to_string_lossy().into_owned()];
    let folder = configuration.parent().expect("it lies in a folder");
    let manager = manager.to_string_lossy();
    let environment = [("NOTIFY_SOCKET", &*manager)];
    Running::start_with("offhook", &Offhook::program(), &arguments, folder, log.to_owned(), &environment)
}

fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ages = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        if metadata.is_dir() { Some(newest(&entry.path())) } else { metadata.modified().ok() }
    });
    ages.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
