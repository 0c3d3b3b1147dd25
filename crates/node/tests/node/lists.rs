//! A list whose members belong to several owners is one subscription all the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, Peer, Presence, PresenceServerHere};
use node::{Boot, Input, Machine, Node, Output, Records, Tell, Wall};
use presence::server::list::{Lists, Resource};
use sip::transport::{ListenerId, Transport};
use sip::{Aor, Owner};

use crate::world::header;

const HERE: &str = "192.0.2.9:5060";
const THERE: &str = "192.0.2.1:5060";
const TEAM: &str = "sip:team@sfb.example";
const OWNERS: u16 = 3;

/// Three nodes of one process, and a peer that watches and publishes.
struct Process {
    nodes: Vec<Node>,
    now: Instant,
    sent: VecDeque<String>,
    /// How many times one owner told another of lists.
    told: usize,
    calls: u32,
    configuration: Arc<Configuration>,
}

fn user(number: usize) -> String {
    format!("sip:user{number}@sfb.example")
}

fn lists(members: usize) -> Arc<Lists> {
    let members = (0..members).map(|number| Resource { uri: user(number).into(), name: None }).collect();
    Arc::new([(Aor::parse(TEAM).unwrap(), members)].into_iter().collect())
}

fn configuration(members: usize) -> Arc<Configuration> {
    Arc::new(Configuration {
        domains: vec!["sfb.example".to_owned()],
        listeners: vec![Listener { id: ListenerId(0), transport: Transport::Udp, advertise: None, identity: None }],
        peers: vec![Peer {
            name: "there".into(),
            uri: format!("sip:{THERE}").into(),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            certificate_names: Vec::new(),
            presence: Presence::Both,
            publisher: true,
            domains: None,
        }],
        presence_server_here: Some(PresenceServerHere {
            domains: vec!["sfb.example".to_owned()],
            min_expires: 60,
            max_expires: 3600,
            notify_interval: Duration::ZERO,
            rules: Arc::default(),
            lists: lists(members),
            outlives: false,
            hard_states: Arc::default(),
            packages: vec!["presence".to_owned()],
        }),
        ..Configuration::default()
    })
}

impl Process {
    fn new(members: usize) -> Self {
        let configuration = configuration(members);
        let now = Instant::now();
        let node = |owner| {
            let boot = Boot {
                owner: Owner(owner),
                owners: OWNERS,
                wall: Wall { at: now, unix_ms: 1_795_000_000_000 },
                seed: [u8::try_from(owner).unwrap(); 32],
                shared_seed: [9; 32],
                listeners: vec![(ListenerId(0), HERE.parse().unwrap())],
                records: Records::default(),
            };
            Node::new(now, Arc::clone(&configuration), boot)
        };
        let nodes = (0..OWNERS).map(node).collect();
        Self { nodes, now, sent: VecDeque::new(), told: 0, calls: 0, configuration }
    }

    /// A message arrives at the node that the system happens to choose.
    fn receive(&mut self, at: usize, text: &str) {
        let remote = THERE.parse().unwrap();
        let input = Input::Datagram { listener: ListenerId(0), remote, octets: text.as_bytes() };
        self.nodes[at].handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for place in 0..self.nodes.len() {
                while let Some(output) = self.nodes[place].poll() {
                    quiet = false;
                    self.carry_out(place, output);
                }
                let due = self.nodes[place].next_timeout().is_some_and(|(at, _)| at <= self.now);
                if due {
                    quiet = false;
                    self.nodes[place].handle(self.now, Input::Timeout);
                }
            }
        }
    }

    fn carry_out(&mut self, place: usize, output: Output) {
        match output {
            Output::Transmit { octets, .. } => self.sent.push_back(String::from_utf8(octets.to_vec()).unwrap()),
            Output::Tell { owner, tell } => {
                if let Tell::Follow { .. } | Tell::Followed { .. } = &tell {
                    self.told += 1;
                }
                self.nodes[usize::from(owner.0)].handle(self.now, Input::Told(tell));
            }
            Output::Forward { owner, flow, peer_names, octets } => {
                let input = Input::Forwarded { flow, peer_names, octets: &octets };
                self.nodes[usize::from(owner.0)].handle(self.now, input);
            }
            Output::Write { id, .. } => self.nodes[place].handle(self.now, Input::Written { up_to: id }),
            _ => {}
        }
    }

    fn request(&mut self, method: &str, uri: &str, headers: &str, body: &str) {
        self.calls += 1;
        let call = self.calls;
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {THERE};branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
             From: <sip:jane@sfb.example>;tag=f{call}\r\nTo: <{uri}>\r\nCall-ID: c{call}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:jane@{THERE}>\r\nEvent: presence\r\nExpires: 3600\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let at = usize::try_from(call).unwrap() % self.nodes.len();
        self.receive(at, &text);
    }

    fn publish(&mut self, number: usize) {
        let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"><tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>";
        self.request("PUBLISH", &user(number), "Content-Type: application/pidf+xml\r\n", body);
        assert!(self.next("SIP/2.0").starts_with("SIP/2.0 200"));
    }

    fn subscribe(&mut self) {
        self.request("SUBSCRIBE", TEAM, "Supported: eventlist\r\n", "");
        assert!(self.next("SIP/2.0").starts_with("SIP/2.0 200"));
    }

    /// The first message with these first words.
    fn next(&mut self, words: &str) -> String {
        let place = self.sent.iter().position(|text| text.starts_with(words)).expect("such a message");
        self.sent.remove(place).unwrap()
    }

    /// Answers all NOTIFYs, and takes what they say of each member.
    fn learn(&mut self, known: &mut BTreeMap<String, String>) -> usize {
        let mut count = 0;
        while let Some(place) = self.sent.iter().position(|text| text.starts_with("NOTIFY")) {
            let notify = self.sent.remove(place).unwrap();
            count += 1;
            for resource in notify.split("<resource uri=\"").skip(1) {
                let (uri, rest) = resource.split_once('"').unwrap();
                let Some((_, cid)) = rest.split_once("</resource>").unwrap().0.split_once("cid=\"") else { continue };
                let id = format!("Content-ID: <{}>", cid.split('"').next().unwrap());
                let (_, part) = notify.split_once(&id).expect("the part");
                let basic = part.split("<basic>").nth(1).unwrap().split('<').next().unwrap();
                known.insert(uri.to_owned(), basic.to_owned());
            }
            let answer = format!(
                "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
                header(&notify, "Via"),
                header(&notify, "From"),
                header(&notify, "To"),
                header(&notify, "Call-ID"),
                header(&notify, "CSeq")
            );
            self.receive(0, &answer);
        }
        count
    }
}

#[test]
fn members_of_all_owners_are_seen_and_their_changes_too() {
    let mut process = Process::new(30);
    for number in (0..30).step_by(3) {
        process.publish(number);
    }
    process.subscribe();
    let mut known = BTreeMap::new();
    process.learn(&mut known);
    assert_eq!(known.len(), 30);
    for number in 0..30 {
        assert_eq!(known[&user(number)], if number % 3 == 0 { "open" } else { "closed" }, "{number}");
    }
    assert!(process.told >= 4, "other owners were asked, and have answered");
    for number in 0..30 {
        process.publish(number);
        process.learn(&mut known);
        assert_eq!(known[&user(number)], "open");
    }
}

#[test]
fn a_list_that_is_watched_no_longer_is_followed_by_nobody() {
    let mut process = Process::new(30);
    process.subscribe();
    process.learn(&mut BTreeMap::new());
    let gone = Configuration {
        presence_server_here: Some(PresenceServerHere {
            lists: Arc::default(),
            ..process.configuration.presence_server_here.clone().unwrap()
        }),
        ..(*process.configuration).clone()
    };
    for place in 0..process.nodes.len() {
        process.nodes[place].handle(process.now, Input::Configure(Arc::new(gone.clone())));
    }
    process.drain();
    assert!(process.next("NOTIFY").contains("Subscription-State: terminated;reason=noresource"));
    let before = process.told;
    for number in 0..30 {
        process.publish(number);
    }
    assert_eq!(process.told, before, "nobody is told of anything");
}

#[test]
fn a_thousand_members_of_three_owners_come_whole() {
    let mut process = Process::new(1_000);
    process.subscribe();
    let mut known = BTreeMap::new();
    let notifies = process.learn(&mut known);
    assert_eq!(known.len(), 1_000);
    assert!(notifies < 25, "{notifies} NOTIFYs");
}
