//! The resolver against a real name server, dnsmasq, and against the system's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use adapters::resolve::System;
use node::port::adapter::Resolver;
use node::port::{Resolve, Who};
use node::{Answer, Question};
use sip::transport::Transport;

const SERVER: &str = "127.0.53.1:20053";

/// dnsmasq with a zone of its own; it ends with the test.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start() -> Self {
        let (ip, port) = SERVER.split_once(':').unwrap();
        let child = Command::new("/usr/sbin/dnsmasq")
            .args(["--no-daemon", "--no-resolv", "--no-hosts", "--bind-interfaces", "--conf-file=/dev/null", "--user="])
            .arg(format!("--listen-address={ip}"))
            .arg(format!("--port={port}"))
            .arg("--naptr-record=example.test,50,50,s,SIP+D2T,,_sip._tcp.example.test")
            .arg("--srv-host=_sip._tcp.example.test,b.example.test,5072,20,0")
            .arg("--srv-host=_sip._tcp.example.test,a.example.test,5071,10,0")
            .arg("--srv-host=_sips._tcp.other.test,a.example.test,5081,10,0")
            .arg("--host-record=a.example.test,192.0.2.1")
            .arg("--host-record=b.example.test,192.0.2.2,2001:db8::2")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq, of the package dnsmasq-base");
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(resolver: &System, question: Question) -> Answer {
    let (sender, answers) = mpsc::channel();
    resolver.resolve(question, Box::new(move |answer| sender.send(answer).unwrap()));
    answers.recv_timeout(Duration::from_secs(20)).unwrap()
}

fn places(resolver: &System, host: &str, port: Option<u16>, secure: bool) -> Result<Vec<String>, String> {
    let ours = vec![Transport::Udp, Transport::Tcp, Transport::Tls];
    let resolve = Resolve { host: host.into(), port, transport: None, secure, ours };
    match ask(resolver, Question::Resolve(resolve)) {
        Answer::Places(places) => {
            Ok(places.iter().map(|place| format!("{} {}", place.transport.uri_param(), place.address)).collect())
        }
        Answer::Failed(words) => Err(words),
        other @ Answer::User(_) => panic!("{other:?}"),
    }
}

/// Waits until the name server takes questions at all.
fn awake() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // A question for the address of `a.example.test`.
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x04test\x00\x00\x01\x00\x01";
    for _ in 0..200 {
        let _ = socket.send_to(question, SERVER.parse::<SocketAddr>().unwrap());
        if socket.recv(&mut [0; 512]).is_ok() {
            return;
        }
    }
    panic!("dnsmasq does not answer at {SERVER}");
}

#[test]
fn a_name_server_s_records_are_followed_in_their_order() {
    let _dnsmasq = Dnsmasq::start();
    awake();
    let resolver = System::start(vec![SERVER.parse().unwrap()]).unwrap();
    let found = places(&resolver, "example.test", None, false).unwrap();
    assert_eq!(found[0], "tcp 192.0.2.1:5071");
    let mut rest = found[1..].to_vec();
    rest.sort();
    assert_eq!(rest, ["tcp 192.0.2.2:5072", "tcp [2001:db8::2]:5072"]);
    assert_eq!(places(&resolver, "other.test", None, true).unwrap(), ["tls 192.0.2.1:5081"]);
    assert_eq!(places(&resolver, "a.example.test", Some(5099), false).unwrap(), ["udp 192.0.2.1:5099"]);
    let words = places(&resolver, "nobody.test", None, false).unwrap_err();
    assert!(words.contains("nobody.test"), "{words}");
}

#[test]
fn localhost_has_an_address_of_the_system_s() {
    let resolver = System::start(Vec::new()).unwrap();
    let found = places(&resolver, "localhost", Some(5060), false).unwrap();
    assert!(found.contains(&"udp 127.0.0.1:5060".to_owned()), "{found:?}");
}

#[test]
fn another_question_fails() {
    let resolver = System::start(Vec::new()).unwrap();
    assert!(matches!(ask(&resolver, Question::WhoIs(Who::Number("1".into()))), Answer::Failed(_)));
}
