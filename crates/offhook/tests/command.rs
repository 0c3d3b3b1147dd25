//! The program as a person or a service manager runs it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn offhook(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offhook")).args(arguments).output().unwrap()
}

fn file(name: &str, text: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("offhook.toml");
    fs::write(&file, text).unwrap();
    file
}

/// A running `offhook run`, killed where a test forgets it.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(file: &PathBuf) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
            .args(["run", "--config"])
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LEAST: &str = "domain = \"a.example\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n";

#[test]
fn the_example_that_is_printed_passes_the_check() {
    let example = offhook(&["config", "example"]);
    assert!(example.status.success());
    let file = file("example", &String::from_utf8(example.stdout).unwrap());
    let checked = offhook(&["check", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.ends_with("in order: 1 listener, 0 peers, 0 routes, 1 presence server, 1 user\n"), "{said}");
}

#[test]
fn the_reference_is_markdown_with_a_table_for_each_section() {
    let reference = offhook(&["config", "reference"]);
    assert!(reference.status.success());
    let text = String::from_utf8(reference.stdout).unwrap();
    assert!(text.starts_with("# The configuration file\n") && text.contains("\n## `[[presence_server]]`"), "{text}");
    for row in text.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(row.matches('|').count(), 5, "{row}");
    }
}

#[test]
fn a_faulty_file_ends_with_2_and_the_place_of_the_fault() {
    let file = file("faulty", "domain = \"a\"\n[[listen]]\ntransport = \"sctp\"\naddress = \"127.0.0.1:0\"\n");
    for arguments in [&["check"][..], &["run", "--config"]] {
        let ended = offhook(&[arguments, &[file.to_str().unwrap()]].concat());
        assert_eq!(ended.status.code(), Some(2));
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(told.contains("offhook.toml:3:13: \"sctp\" is no transport\n  3 | transport"), "{told}");
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_2() {
    let ended = offhook(&["check", "/nowhere/offhook.toml"]);
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("/nowhere/offhook.toml: the file cannot be read: No such file"), "{told}");
}

#[test]
fn help_and_version_end_with_0_and_nonsense_with_2() {
    for (arguments, code) in [(&["--help"][..], 0), (&["--version"], 0), (&[], 2), (&["dance"], 2), (&["run"], 2)] {
        assert_eq!(offhook(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_node_says_where_it_listens_and_stops_in_order_when_told() {
    let text =
        format!("{LEAST}[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n");
    for signal in ["-TERM", "-INT"] {
        let mut running = Running::start(&file(&format!("run{signal}"), &text));
        let (udp, tcp) = (running.line(), running.line());
        assert!(udp.starts_with("listening on udp 127.0.0.1:") && !udp.ends_with(":0"), "{udp}");
        assert!(tcp.starts_with("listening on tcp 127.0.0.1:"), "{tcp}");
        running.signal(signal);
        assert_eq!(running.line(), "stopping; a second signal ends at once");
        assert_eq!(running.lines.by_ref().map(Result::unwrap).last().as_deref(), Some("stopped"));
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_the_log_tells_is_json_where_programs_read_it() {
    let text =
        format!("{LEAST}[[peer]]\nname = \"pbx\"\naddresses = [\"sip:nobody.invalid\"]\n[log]\nformat = \"json\"\n");
    let file = file("json", &text);
    let mut child = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["run", "--config"])
        .arg(file)
        .env_remove("OFFHOOK_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with('{') && line.contains("nobody.invalid") && line.contains("WARN"), "{line}");
}

#[test]
fn an_address_that_is_taken_ends_with_1_and_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!("domain = \"a\"\n[[listen]]\ntransport = \"tcp\"\naddress = \"{address}\"\n");
    let ended = offhook(&["run", "--config", file("taken", &text).to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains(&format!("cannot listen on TCP {address}")), "{told}");
}
