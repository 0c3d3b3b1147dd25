//! A presence server with a clock of its own, peers made of text, and everything that came out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use presence::server::authorization::Rules;
use presence::server::list::Lists;
use presence::server::{CallDialog, HardStates, Identity, Input, NotifyKey, Output, PresenceServer, Report, Settings};
use sip::transaction::ServerKey;
use sip::transport::{Flow, ListenerId};
use sip::{Aor, KeyedState, Names, Owner, Random, Request, Response, Target};
use wire::sip::Message;

use crate::store::Store;

/// The presentity of most tests.
pub(crate) const JOHN: &str = "sip:john.doe@sfb.example";

/// A presence server and its surroundings.
pub(crate) struct World {
    pub(crate) server: PresenceServer,
    pub(crate) reports: Vec<Report>,
    /// How SUBSCRIBEs come in.
    pub(crate) flow: Flow,
    /// How often members of lists were asked for.
    pub(crate) followed: u32,
    pub(crate) store: Store,
    settings: Settings,
    /// The last thing that the store was told, where it does not answer for now.
    held: Option<u64>,
    /// The PUBLISH that was handed in last.
    last: Vec<u8>,
    /// The SUBSCRIBE that was handed in last.
    last_subscribe: Vec<u8>,
    random: Random,
    now: Instant,
    keys: u64,
    calls: u32,
}

/// A NOTIFY that left the server.
pub(crate) struct Notify {
    pub(crate) key: NotifyKey,
    pub(crate) target: Target,
    pub(crate) request: Request,
}

/// What a request caused.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    pub(crate) notifies: Vec<Notify>,
}

/// A watcher's dialog as it sees it.
pub(crate) struct Watcher {
    pub(crate) call: u32,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Settings { domains: vec!["sfb.example".into(), "other.example".into()], ..Settings::default() })
    }

    #[allow(clippy::disallowed_methods, reason = "one reading to start from; it never moves by itself")]
    pub(crate) fn with(settings: Settings) -> Self {
        let now = Instant::now();
        let random = Random::from_seed([7; 32]);
        let server = PresenceServer::new(settings.clone(), Names::new(Owner(1)), keyed(), now);
        Self {
            server,
            reports: Vec::new(),
            flow: udp(),
            followed: 0,
            store: Store::default(),
            settings,
            held: None,
            last: Vec::new(),
            last_subscribe: Vec::new(),
            random,
            now,
            keys: 0,
            calls: 0,
        }
    }

    /// The server dies, and after a while another one takes up what the store has; gives the NOTIFYs of its start.
    pub(crate) fn restart(&mut self, after: Duration) -> Vec<Notify> {
        self.now += after;
        self.server = PresenceServer::new(self.settings.clone(), Names::new(Owner(1)), keyed(), self.now);
        self.store.clone().restore(&mut self.server, self.now);
        self.drain().1
    }

    /// From now on the store takes its time.
    pub(crate) fn hold_the_store(&mut self) {
        self.held = Some(0);
    }

    /// The store has everything; gives the answers that waited for it.
    pub(crate) fn release_the_store(&mut self) -> Vec<(ServerKey, Response)> {
        let up_to = self.held.take().unwrap_or_default();
        self.server.handle(self.now, &mut self.random, Input::Written { up_to });
        self.drain().0
    }

    /// The same, with the NOTIFYs that waited for it.
    pub(crate) fn release_the_store_for_all(&mut self) -> (Vec<(ServerKey, Response)>, Vec<Notify>) {
        let up_to = self.held.take().unwrap_or_default();
        self.server.handle(self.now, &mut self.random, Input::Written { up_to });
        self.drain()
    }

    fn written(&mut self, number: u64) {
        match &mut self.held {
            Some(held) => *held = number,
            None => self.server.handle(self.now, &mut self.random, Input::Written { up_to: number }),
        }
    }

    /// Lets time pass to each timeout on the way, and gives the NOTIFYs that it caused.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<Notify> {
        let end = self.now + duration;
        let mut notifies = Vec::new();
        while let Some(at) = self.server.next_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.server.handle(self.now, &mut self.random, Input::Timeout);
            notifies.extend(self.drain().1);
        }
        self.now = end;
        self.server.handle(self.now, &mut self.random, Input::Timeout);
        notifies.extend(self.drain().1);
        notifies
    }

    /// Hands in a PUBLISH of this shape.
    pub(crate) fn publish(&mut self, who: &Identity, uri: &str, headers: &[&str], body: &str) -> Outcome {
        self.publish_octets(who, uri, headers, body.as_bytes())
    }

    /// Hands in John's PUBLISH and gives the answers that come at once.
    pub(crate) fn publish_unanswered(
        &mut self,
        who: &Identity,
        headers: &[&str],
        body: &str,
    ) -> Vec<(ServerKey, Response)> {
        self.print_publish(JOHN, headers, body.as_bytes());
        self.hand_in(who);
        self.drain().0
    }

    /// Hands in the last PUBLISH once more, as a new transaction.
    pub(crate) fn again(&mut self, who: &Identity) -> Outcome {
        let key = self.hand_in(who);
        self.outcome(key)
    }

    /// Hands in a PUBLISH whose body need not be text.
    pub(crate) fn publish_octets(&mut self, who: &Identity, uri: &str, headers: &[&str], body: &[u8]) -> Outcome {
        self.print_publish(uri, headers, body);
        self.again(who)
    }

    fn hand_in(&mut self, who: &Identity) -> ServerKey {
        self.keys += 1;
        let message = Message::parse(&self.last).expect("a message");
        let key = ServerKey::from(self.keys);
        self.server.handle(
            self.now,
            &mut self.random,
            Input::Publish { key, message: &message, presentity: None, who },
        );
        key
    }

    fn print_publish(&mut self, uri: &str, headers: &[&str], body: &[u8]) {
        self.calls += 1;
        let call = self.calls;
        let user = if uri.starts_with("sip:") { uri } else { JOHN };
        let mut text = format!(
            "PUBLISH {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
             From: <{user}>;tag=f{call}\r\nTo: <{user}>\r\nCall-ID: p{call}@192.0.2.1\r\nCSeq: 1 PUBLISH\r\n\
             {}Content-Length: {}\r\n\r\n",
            lines(headers),
            body.len(),
        )
        .into_bytes();
        text.extend_from_slice(body);
        self.last = text;
    }

    /// John's initial publication of a body for ten minutes; gives the entity-tag.
    pub(crate) fn initial(&mut self, body: &str) -> String {
        let outcome = self.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 600"], body);
        assert_eq!(outcome.response.code, 200);
        header(&outcome.response.headers, "SIP-ETag").expect("an entity-tag")
    }

    /// John's PUBLISH with an entity-tag and no body.
    pub(crate) fn refresh(&mut self, tag: &str, expires: u32) -> Outcome {
        let (tag, expires) = (format!("SIP-If-Match: {tag}"), format!("Expires: {expires}"));
        self.publish(&john(), JOHN, &["Event: presence", &tag, &expires], "")
    }

    /// John's PUBLISH with an entity-tag and a body.
    pub(crate) fn modify(&mut self, tag: &str, body: &str) -> Outcome {
        let tag = format!("SIP-If-Match: {tag}");
        self.publish(&john(), JOHN, &["Event: presence", PIDF, &tag, "Expires: 600"], body)
    }

    /// A SUBSCRIBE to John, with Jane in From; within the watcher's dialog where there is one.
    pub(crate) fn subscribe_with(&mut self, who: &Identity, watcher: Option<&Watcher>, headers: &[&str]) -> Outcome {
        self.subscribe_in(JOHN, who, watcher, headers, "")
    }

    /// A SUBSCRIBE to somebody, with Jane in From.
    pub(crate) fn subscribe_to(&mut self, uri: &str, who: &Identity, headers: &[&str]) -> Outcome {
        self.subscribe_in(uri, who, None, headers, "")
    }

    /// A SUBSCRIBE with a body, with Jane in From.
    pub(crate) fn subscribe_in(
        &mut self,
        uri: &str,
        who: &Identity,
        watcher: Option<&Watcher>,
        headers: &[&str],
        body: &str,
    ) -> Outcome {
        self.print_subscribe(uri, watcher, headers, body);
        self.subscribe_again(who)
    }

    fn print_subscribe(&mut self, uri: &str, watcher: Option<&Watcher>, headers: &[&str], body: &str) {
        if watcher.is_none() {
            self.calls += 1;
        }
        let (call, cseq) = watcher.map_or((self.calls, 1), |w| (w.call, w.cseq));
        let tag = watcher.map(|w| format!(";tag={}", w.tag)).unwrap_or_default();
        let contact = if headers.iter().any(|h| h.starts_with("Contact:")) {
            ""
        } else {
            "Contact: <sip:jane@192.0.2.2:5060>\r\n"
        };
        let text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKs{call}-{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:jane@sfb.example>;tag=w{call}\r\nTo: <{uri}>{tag}\r\nCall-ID: s{call}@192.0.2.2\r\n\
             CSeq: {cseq} SUBSCRIBE\r\n{contact}{}Content-Length: {}\r\n\r\n{body}",
            lines(headers),
            body.len(),
        );
        self.last_subscribe = text.into_bytes();
    }

    /// Hands in a SUBSCRIBE and gives what comes at once.
    pub(crate) fn subscribe_unanswered(
        &mut self,
        who: &Identity,
        headers: &[&str],
    ) -> (Vec<(ServerKey, Response)>, Vec<Notify>) {
        self.print_subscribe(JOHN, None, headers, "");
        self.hand_in_subscribe(who);
        self.drain()
    }

    /// Hands in the last SUBSCRIBE once more, as a new transaction.
    pub(crate) fn subscribe_again(&mut self, who: &Identity) -> Outcome {
        let key = self.hand_in_subscribe(who);
        self.outcome(key)
    }

    fn hand_in_subscribe(&mut self, who: &Identity) -> ServerKey {
        self.keys += 1;
        let message = Message::parse(&self.last_subscribe).expect("a message");
        let key = ServerKey::from(self.keys);
        let input = Input::Subscribe { key, message: &message, flow: self.flow, presentity: None, who, place: 7 };
        self.server.handle(self.now, &mut self.random, input);
        key
    }

    /// Jane subscribes to John for an hour, and answers the first NOTIFY.
    pub(crate) fn subscribe(&mut self) -> Watcher {
        let outcome = self.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
        assert_eq!(outcome.response.code, 200);
        assert_eq!(outcome.notifies.len(), 1);
        assert!(self.answer(outcome.notifies[0].key, 200, &[]).is_empty());
        Watcher { call: self.calls, tag: outcome.response.to_tag.expect("a tag").into(), cseq: 1 }
    }

    /// The dialog of the SUBSCRIBE that was just answered.
    pub(crate) fn watcher(&self, outcome: &Outcome) -> Watcher {
        Watcher { call: self.calls, tag: outcome.response.to_tag.clone().expect("a tag").into(), cseq: 1 }
    }

    /// Jane's SUBSCRIBE within her dialog.
    pub(crate) fn resubscribe(&mut self, watcher: &mut Watcher, expires: u32) -> Outcome {
        watcher.cseq += 1;
        self.subscribe_with(&jane(), Some(watcher), &["Event: presence", &format!("Expires: {expires}")])
    }

    /// Hands in Jane's SUBSCRIBE within her dialog and gives the answers that come at once.
    pub(crate) fn resubscribe_unanswered(&mut self, watcher: &mut Watcher, expires: u32) -> Vec<(ServerKey, Response)> {
        watcher.cseq += 1;
        self.print_subscribe(JOHN, Some(watcher), &["Event: presence", &format!("Expires: {expires}")], "");
        self.hand_in_subscribe(&jane());
        self.drain().0
    }

    /// Answers a NOTIFY, and gives those that follow.
    pub(crate) fn answer(&mut self, key: NotifyKey, code: u16, headers: &[&str]) -> Vec<Notify> {
        let text = format!(
            "SIP/2.0 {code} Answer\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKn\r\nFrom: <{JOHN}>;tag=a\r\n\
             To: <sip:jane@sfb.example>;tag=b\r\nCall-ID: n\r\nCSeq: 1 NOTIFY\r\n{}Content-Length: 0\r\n\r\n",
            lines(headers),
        );
        let message = Message::parse(text.as_bytes()).expect("a message");
        self.server.handle(self.now, &mut self.random, Input::NotifyAnswered { key, message: &message });
        self.drain().1
    }

    /// A NOTIFY gets no answer.
    pub(crate) fn fail(&mut self, key: NotifyKey) -> Vec<Notify> {
        self.server.handle(self.now, &mut self.random, Input::NotifyFailed { key });
        self.drain().1
    }

    /// The rules change, and who the watchers are.
    pub(crate) fn configure(&mut self, rules: Arc<Rules>, who: impl Fn(&Identity) -> Option<Identity>) -> Vec<Notify> {
        self.reconfigure(rules, Arc::default(), who)
    }

    /// The rules and the lists change, and who the watchers are.
    pub(crate) fn reconfigure(
        &mut self,
        rules: Arc<Rules>,
        lists: Arc<Lists>,
        who: impl Fn(&Identity) -> Option<Identity>,
    ) -> Vec<Notify> {
        self.server.configure(rules, lists, who);
        self.drain().1
    }

    /// The node tells of a dialog of John's, or that it is over.
    pub(crate) fn tell(&mut self, source: u64, dialog: CallDialog, last: bool) -> Vec<Notify> {
        let presentity = Aor::parse(JOHN).unwrap();
        let (package, state) = ("dialog", Box::new(dialog));
        let input = Input::Told { package, presentity: &presentity, source, state, last };
        self.server.handle(self.now, &mut self.random, input);
        self.drain().1
    }

    /// The server is stopped.
    pub(crate) fn stop(&mut self) -> Vec<Notify> {
        self.server.handle(self.now, &mut self.random, Input::Stop);
        self.drain().1
    }

    /// Other hard states are provisioned while it runs.
    pub(crate) fn provision(&mut self, hard: &HardStates) -> Vec<Notify> {
        self.server.provision(hard);
        self.drain().1
    }

    /// What watchers of John would be sent now.
    pub(crate) fn document(&self) -> String {
        self.document_of(JOHN)
    }

    /// What watchers of somebody would be sent now.
    pub(crate) fn document_of(&self, presentity: &str) -> String {
        let document = self.server.document("presence", &Aor::parse(presentity).unwrap()).unwrap();
        String::from_utf8(document.to_vec()).unwrap()
    }

    fn outcome(&mut self, key: ServerKey) -> Outcome {
        let (mut answers, notifies) = self.drain();
        assert_eq!(answers.len(), 1, "a request has one answer");
        let (answered, response) = answers.remove(0);
        assert_eq!(answered, key);
        Outcome { response, notifies }
    }

    fn drain(&mut self) -> (Vec<(ServerKey, Response)>, Vec<Notify>) {
        let (mut answers, mut notifies) = (Vec::new(), Vec::new());
        while let Some(output) = self.server.poll() {
            match output {
                Output::Save { number, record } => {
                    self.store.save(record);
                    self.written(number);
                }
                Output::Forget { number, what } => {
                    self.store.forget(what);
                    self.written(number);
                }
                Output::Respond { key, response } => {
                    assert!(notifies.is_empty(), "the answer comes before its NOTIFYs");
                    answers.push((key, response));
                }
                Output::Send { key, target, request } => notifies.push(Notify { key, target, request }),
                Output::Follow { following, members, lasts } => {
                    self.followed += 1;
                    let input = Input::Follow { asker: Owner(1), following: &following, members: &members, lasts };
                    self.server.handle(self.now, &mut self.random, input);
                }
                Output::Unfollow { list } => {
                    self.server.handle(self.now, &mut self.random, Input::Unfollow { asker: Owner(1), list });
                }
                Output::Followed { list, asked, news, .. } => {
                    let input = Input::Followed { list, asked, news: &news };
                    self.server.handle(self.now, &mut self.random, input);
                }
                Output::Report(report) => self.reports.push(report),
            }
        }
        (answers, notifies)
    }
}

impl Notify {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.request.headers, name)
    }

    pub(crate) fn body(&self) -> &str {
        str::from_utf8(&self.request.body).unwrap()
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap()
    }
}

/// The usual Content-Type.
pub(crate) const PIDF: &str = "Content-Type: application/pidf+xml";

/// A document with one open tuple and these activities in its person.
pub(crate) fn pidf(tuple: &str, basic: &str, person: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{JOHN}\"><tuple id=\"{tuple}\"><status><basic>{basic}</basic>\
         </status></tuple><dm:person id=\"p1\">{person}</dm:person></presence>"
    )
}

/// A document that says that John is on the phone.
pub(crate) fn on_the_phone() -> String {
    pidf("t0", "open", "<rpid:activities><rpid:on-the-phone/></rpid:activities>")
}

/// A document that says nothing but that John is there.
pub(crate) fn online() -> String {
    pidf("t1", "open", "")
}

/// A document whose one tuple, which has this id, bears it as a note.
pub(crate) fn noted(id: &str) -> String {
    pidf(id, "open", "").replace("</status>", &format!("</status><note>{id}</note>"))
}

/// John, authenticated.
pub(crate) fn john() -> Identity {
    Identity { user: Aor::parse(JOHN), ..Identity::default() }
}

/// Jane, authenticated.
pub(crate) fn jane() -> Identity {
    Identity { user: Aor::parse("sip:jane@sfb.example"), ..Identity::default() }
}

/// A trusted peer that is configured as a publisher.
pub(crate) fn publisher(name: &str) -> Identity {
    Identity { peer: Some(Arc::from(name)), publisher: true, ..Identity::default() }
}

/// The value of a header under construction.
pub(crate) fn header(headers: &wire::sip::Headers, name: &str) -> Option<String> {
    let text = String::from_utf8(headers.as_bytes().to_vec()).unwrap();
    text.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The same in every run, as the store keeps it.
fn keyed() -> KeyedState {
    KeyedState::new(&mut Random::from_seed([8; 32]))
}

fn udp() -> Flow {
    Flow::Udp { listener: ListenerId(0), remote: "192.0.2.2:5060".parse().unwrap() }
}

fn lines(headers: &[&str]) -> String {
    headers.iter().map(|h| format!("{h}\r\n")).collect()
}
