//! A process of ours: started in a group of its own, its words kept in a file, ended by its id.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process that was asked to end may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Polls until there is something, and fails the test when `deadline` has passed.
pub fn until<T>(what: &str, deadline: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(begin.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running process; it ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts a program with its output in `output`. Should this thread die, the process gets a SIGTERM.
    #[must_use]
    pub fn start(name: &str, program: &Path, arguments: &[String], folder: &Path, output: PathBuf) -> Self {
        Self::start_with(name, program, arguments, folder, output, &[])
    }

    /// As [`Running::start`], with more in its environment.
    #[must_use]
    pub fn start_with(
        name: &str,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        output: PathBuf,
        environment: &[(&str, &str)],
    ) -> Self {
        let words = File::options().create(true).append(true).open(&output).expect("a file for the output");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(words.try_clone().expect("a second handle"))
            .stderr(words)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, output }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        let input: &mut ChildStdin = self.child.stdin.as_mut().expect("its input is ours");
        writeln!(input, "{line}").and_then(|()| input.flush()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Fails the test if it is no longer there.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} ended with {status}:\n{}", self.name, self.output());
        }
    }

    /// Waits for its end.
    #[must_use]
    pub fn end(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("the end of {} (process {})", self.name, self.id());
        until(&what, deadline, || self.ended())
    }

    /// Asks it to end: SIGTERM.
    pub fn terminate(&mut self) {
        self.signal("TERM", "");
    }

    /// Asks it to read its configuration anew: SIGHUP.
    pub fn hang_up(&mut self) {
        self.signal("HUP", "");
    }

    /// Kills it and all that it started: SIGKILL, as a crash would.
    pub fn kill(&mut self) {
        self.signal("KILL", "-");
        // Its parent has to collect it, or its sockets would be counted as open for a moment longer.
        let _ = self.child.wait();
    }

    fn signal(&mut self, signal: &str, group: &str) {
        if self.ended().is_none() {
            let script = format!("kill -s {signal} -- {group}{} 2>/dev/null", self.child.id());
            // It may have ended in between.
            let _ = Command::new("sh").args(["-c", &script]).status();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        let begin = Instant::now();
        while self.ended().is_none() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}
