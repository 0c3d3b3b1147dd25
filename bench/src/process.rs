//! A server under test: started, asked whether it is there, its processor time read from the kernel, ended by its id.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to answer for the first time: it may have a million records to read, on a busy machine.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// A running server and all that it started.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it in a process group of its own. Should this command die, it gets a SIGTERM.
    pub(crate) fn start(program: &Path, arguments: &[String], log: PathBuf) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", program.display());
        let output = File::create(&log).map_err(told)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(told)?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(told)?;
        Ok(Self { child, log })
    }

    /// Waits until it answers OPTIONS over UDP.
    pub(crate) fn answers(&mut self, at: SocketAddr) -> Result<(), String> {
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let here = probe.local_addr().map_err(|error| error.to_string())?;
        let _ = probe.set_read_timeout(Some(Duration::from_millis(100)));
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < FIRST_ANSWER {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}, see {}", self.log.display()));
            }
            number += 1;
            let request = format!(
                "OPTIONS sip:{at} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKprobe{number}\r\nMax-Forwards: 70\r\n\
                 From: <sip:probe@{here}>;tag=1\r\nTo: <sip:{at}>\r\nCall-ID: probe{number}@{here}\r\n\
                 CSeq: {number} OPTIONS\r\nContact: <sip:probe@{here}>\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = probe.send_to(request.as_bytes(), at);
            match probe.recv(&mut [0; 4096]) {
                Ok(_) => return Ok(()),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
        Err(format!("it does not answer within {FIRST_ANSWER:?}, see {}", self.log.display()))
    }

    /// The time that it and all that it started spent on a processor, user and system: of every thread that lives.
    pub(crate) fn on_processor(&self) -> Duration {
        let of_thread = |task: PathBuf| -> u64 {
            let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            text.split_ascii_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
        };
        let of_process = |id: &u32| -> u64 { entries(&format!("/proc/{id}/task")).map(of_thread).sum() };
        Duration::from_nanos(self.tree().iter().map(of_process).sum())
    }

    /// The octets of memory that are its own, what it shares by its part (PSS).
    pub(crate) fn memory(&self) -> u64 {
        let of_process = |id: &u32| -> u64 {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
            line.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0) * 1024
        };
        self.tree().iter().map(of_process).sum()
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL", "-");
        let _ = self.child.wait();
    }

    /// Its process and all that descend from it.
    fn tree(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = entries("/proc").filter_map(|path| parent(&path)).collect();
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(process) = tree.get(next).copied() {
            next += 1;
            tree.extend(parents.iter().filter(|(_, parent)| *parent == process).map(|(child, _)| *child));
        }
        tree
    }

    fn signal(&self, signal: &str, group: &str) {
        let script = format!("kill -s {signal} -- {group}{} 2>/dev/null", self.child.id());
        // It may have ended in between.
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("TERM", "");
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        // What its workers left behind is of the same group.
        self.signal("KILL", "-");
        let _ = self.child.wait();
    }
}

fn entries(folder: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The id of a process of `/proc`, and its parent's.
fn parent(path: &Path) -> Option<(u32, u32)> {
    let id = path.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(path.join("stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((id, parent))
}
