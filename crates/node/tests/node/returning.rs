//! Several nodes of one process die, and as many as there are cores next time take up what the store has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::configuration::{Configuration, Listener, Peer, Presence, PresenceServerHere};
use node::{Boot, Input, Machine, Node, Output, Wall};
use presence::server::authorization::Rules;
use sip::Owner;
use sip::transport::{ListenerId, Transport};

use crate::world::header;

const PHONES: &str = "192.0.2.40:5060";

/// The nodes of one process, their store, and what they have sent.
struct Process {
    nodes: Vec<Node>,
    configuration: Arc<Configuration>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    sent: Vec<String>,
    now: Instant,
    unix_ms: u64,
    life: u8,
    requests: u32,
}

impl Process {
    #[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
    fn new(owners: u16) -> Self {
        let peer = Peer {
            name: "phones".into(),
            uri: format!("sip:{PHONES}").into(),
            addresses: vec!["192.0.2.40".parse().unwrap()],
            certificate_names: Vec::new(),
            presence: Presence::Both,
            domains: None,
            publisher: true,
        };
        let listener = Listener { id: ListenerId(0), transport: Transport::Udp, advertise: None, identity: None };
        let configuration = Arc::new(Configuration {
            domains: vec!["sfb.example".to_owned()],
            listeners: vec![listener],
            peers: vec![peer],
            presence_server_here: Some(PresenceServerHere {
                domains: vec!["sfb.example".to_owned()],
                min_expires: 60,
                max_expires: 3600,
                notify_interval: Duration::ZERO,
                outlives: true,
                rules: Arc::new(Rules::default()),
                packages: vec!["presence".to_owned()],
                hard_states: Arc::default(),
                lists: Arc::default(),
            }),
            ..Configuration::default()
        });
        let mut process = Self {
            nodes: Vec::new(),
            configuration,
            store: BTreeMap::new(),
            sent: Vec::new(),
            now: Instant::now(),
            unix_ms: 1_795_000_000_000,
            life: 0,
            requests: 0,
        };
        process.start(owners);
        process
    }

    /// The process dies, and another one with so many nodes starts.
    fn start(&mut self, owners: u16) {
        self.life += 1;
        let boot = |owner| Boot {
            owner: Owner(owner),
            owners,
            wall: Wall { at: self.now, unix_ms: self.unix_ms },
            seed: [self.life * 10 + u8::try_from(owner).unwrap(); 32],
            // Every process draws its own.
            shared_seed: [self.life; 32],
            listeners: vec![(ListenerId(0), "192.0.2.1:5060".parse().unwrap())],
            records: self.store.clone().into_iter().collect(),
        };
        self.nodes =
            (0..owners).map(|owner| Node::new(self.now, Arc::clone(&self.configuration), boot(owner))).collect();
        for owner in 0..self.nodes.len() {
            self.drain(owner);
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) =
            self.nodes.iter().filter_map(Machine::next_timeout).map(|(at, _)| at).min().filter(|at| *at <= end)
        {
            self.unix_ms += u64::try_from(at.saturating_duration_since(self.now).as_millis()).unwrap();
            self.now = at.max(self.now);
            for owner in 0..self.nodes.len() {
                self.handle(owner, Input::Timeout);
            }
        }
        self.unix_ms += u64::try_from(end.saturating_duration_since(self.now).as_millis()).unwrap();
        self.now = end;
    }

    fn handle(&mut self, owner: usize, input: Input<'_>) {
        self.nodes[owner].handle(self.now, input);
        self.drain(owner);
    }

    fn drain(&mut self, owner: usize) {
        let mut written = None;
        while let Some(output) = self.nodes[owner].poll() {
            match output {
                Output::Transmit { octets, .. } => self.sent.push(String::from_utf8(octets.to_vec()).unwrap()),
                Output::Write { id, key, value } => {
                    written = Some(id);
                    match value {
                        Some(value) => drop(self.store.insert(key, value)),
                        None => drop(self.store.remove(&key)),
                    }
                }
                Output::Forward { owner, flow, peer_names, octets } => {
                    self.handle(usize::from(owner.0), Input::Forwarded { flow, peer_names, octets: &octets });
                }
                Output::Tell { owner, tell } => self.handle(usize::from(owner.0), Input::Told(tell)),
                _ => {}
            }
        }
        if let Some(up_to) = written {
            self.handle(owner, Input::Written { up_to });
        }
    }

    /// A request of the phones' comes in at one of the nodes; gives the answer.
    fn request(&mut self, first: (&str, usize), call: &str, cseq: u32, to_tag: &str, headers: &str) -> String {
        let (method, user) = first;
        let body = if headers.contains("Content-Type") { BODY } else { "" };
        self.requests += 1;
        let branch = self.requests;
        let text = format!(
            "{method} sip:u{user}@sfb.example SIP/2.0\r\nVia: SIP/2.0/UDP {PHONES};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:w{user}@sfb.example>;tag=f{user}\r\nTo: <sip:u{user}@sfb.example>{to_tag}\r\n\
             Call-ID: {call}{user}\r\nCSeq: {cseq} {method}\r\nContact: <sip:w{user}@{PHONES}>\r\n{headers}\
             Event: presence\r\nExpires: 600\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let owner = usize::try_from(branch).unwrap() % self.nodes.len();
        let remote = PHONES.parse().unwrap();
        self.handle(owner, Input::Datagram { listener: ListenerId(0), remote, octets: text.as_bytes() });
        let place = self.sent.iter().position(|sent| sent.starts_with("SIP/2.0 ")).expect("an answer");
        self.sent.remove(place)
    }

    /// The NOTIFYs that were sent; each is answered.
    fn notifies(&mut self) -> Vec<String> {
        let notifies: Vec<String> = self.sent.drain(..).filter(|sent| sent.starts_with("NOTIFY ")).collect();
        for notify in &notifies {
            let lines =
                ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(notify, name)));
            let answer = format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.concat());
            let remote = PHONES.parse().unwrap();
            self.handle(0, Input::Datagram { listener: ListenerId(0), remote, octets: answer.as_bytes() });
        }
        notifies
    }
}

const BODY: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:x\"><tuple id=\"a\"><status>\
                    <basic>open</basic></status></tuple></presence>";

#[test]
fn whatever_was_answered_is_found_by_as_many_nodes_as_there_are_next_time() {
    const USERS: usize = 40;
    let mut process = Process::new(3);
    let mut tags = Vec::new();
    let mut dialogs = Vec::new();
    for user in 0..USERS {
        let published = process.request(("PUBLISH", user), "p", 1, "", "Content-Type: application/pidf+xml\r\n");
        assert!(published.starts_with("SIP/2.0 200"), "{published}");
        tags.push(header(&published, "SIP-ETag").to_owned());
        let subscribed = process.request(("SUBSCRIBE", user), "s", 1, "", "");
        assert!(subscribed.starts_with("SIP/2.0 200"), "{subscribed}");
        dialogs.push(header(&subscribed, "To").split_once(';').map(|(_, tag)| format!(";{tag}")).unwrap());
    }
    let first = process.notifies();
    assert_eq!(first.len(), USERS);
    for (life, owners) in [(0u32, 2), (1, 1), (2, 5)] {
        process.start(owners);
        // Before anything is sent a second time.
        process.wait(Duration::from_millis(400));
        let fresh = process.notifies();
        assert_eq!(fresh.len(), USERS, "each watcher gets one fresh NOTIFY");
        assert!(fresh.iter().all(|notify| notify.contains("<basic>open</basic>")));
        for user in 0..USERS {
            let matched = format!("SIP-If-Match: {}\r\n", tags[user]);
            let refreshed = process.request(("PUBLISH", user), &format!("r{life}-"), 1, "", &matched);
            assert!(refreshed.starts_with("SIP/2.0 200"), "{refreshed}");
            tags[user] = header(&refreshed, "SIP-ETag").to_owned();
            let tag = dialogs[user].clone();
            let again = process.request(("SUBSCRIBE", user), "s", 2 + life, &tag, "");
            assert!(again.starts_with("SIP/2.0 200"), "{again}");
        }
        assert_eq!(process.notifies().len(), USERS);
        assert!(process.store.keys().filter(|key| key.starts_with(b"p/")).count() >= USERS);
    }
    process.wait(Duration::from_secs(700));
    let left: Vec<_> = process.store.keys().filter(|key| !key.starts_with(b"ownership")).collect();
    assert!(left.is_empty(), "what is over is forgotten: {left:?}");
}
