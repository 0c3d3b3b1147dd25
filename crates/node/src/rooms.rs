//! What the rooms ask for, carried out until all of them are quiet.

use std::sync::Arc;
use std::time::Instant;

use call::event::{Party, What};
use sip::transaction::{self, Failure};
use sip::{Aor, Owner, Request, Target};
use wire::sip::{HeaderName, Method};

use crate::configuration::Presence;
use crate::contract::{Output, Tell, WriteId};
use crate::depart::{Manner, Stick};
use crate::limits;
use crate::node::{Node, Purpose};
use crate::on_the_phone;
use crate::port::{Answer, AskId, Known, Question, Who};
use crate::record;
use crate::report::Report;

impl Node {
    /// Drains every room until none has anything left: the law of the loop, inside.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            let mut any = self.drain_transactions(now, None);
            any |= self.drain_calls(now);
            any |= self.drain_on_the_phone(now);
            any |= self.drain_publisher(now);
            any |= self.drain_presence_server(now);
            while let Some(call::registrar::Output::Respond { key, response }) = self.registrar.poll() {
                any = true;
                self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
            }
            while let Some((key, response)) = self.responses.pop_front() {
                any = true;
                self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
            }
            while let Some(purpose) = self.undeliverable.pop_front() {
                any = true;
                if let Purpose::Call(call) = purpose {
                    self.call_requests.remove(&call);
                }
                self.failed(now, purpose, Failure::Unreached);
            }
            while let Some((flow, octets)) = self.cut_off.pop_front() {
                any = true;
                self.return_anew(now, flow, &octets);
            }
            if let Some(octets) = self.inner.pop_front() {
                any = true;
                self.octets(now, sip::transport::Flow::Internal, &Arc::from([]), &octets, false);
            }
            if !any {
                return;
            }
        }
    }

    fn drain_calls(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(output) = self.calls.poll() {
            any = true;
            match output {
                call::Output::Send { key, target, request } => {
                    self.dispatch(now, Purpose::Call(key), &target, request, Manner::default());
                }
                call::Output::Cancel { key } => {
                    let client = self.call_requests.get(&key).copied();
                    if let Some(key) = client.filter(|key| !self.take_back(*key)) {
                        self.transactions.handle(now, &mut self.random, transaction::Input::Cancel { key });
                    }
                }
                call::Output::Respond { key, response } => {
                    self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
                }
                call::Output::Acknowledged { key } => {
                    self.transactions.handle(now, &mut self.random, transaction::Input::Acknowledged { key });
                }
                call::Output::Ack { target, request, keep } => self.acknowledge(now, keep, &target, request),
                call::Output::AckAgain { keep } => {
                    if let Some((flow, octets)) = self.acks.get(&keep).cloned() {
                        self.transmit(flow, octets);
                    }
                }
                call::Output::AckForget { keep } => drop(self.acks.remove(&keep)),
                call::Output::Locate { question, aor } => self.locate(now, question, aor),
                call::Output::Event(event) => {
                    let known = |party: &Party| (self.presence_of(party), self.who(party));
                    let parties = match &event.what {
                        What::Offered { caller, callee } => Some([known(caller), known(callee)]),
                        What::Leg(_) | What::Answered | What::Ended { .. } => None,
                    };
                    self.on_the_phone.handle(&event, parties);
                }
                call::Output::Save(record) => {
                    if let Some(value) = record::call(&record) {
                        self.write(record::call_key(&record.id), Some(value));
                    }
                }
                call::Output::Forget { id } => drop(self.write(record::call_key(&id), None)),
                call::Output::Report(report) => self.report(Report::Call(report)),
            }
        }
        any
    }

    fn drain_on_the_phone(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.questions.len() < limits::QUESTIONS
            && let Some((call, role, who)) = self.on_the_phone.next_question()
        {
            self.asked += 1;
            let id = AskId(self.asked);
            self.questions.insert(id, (call, role));
            self.outputs.push_back(Output::Ask { id, question: Question::WhoIs(who) });
        }
        while let Some(output) = self.on_the_phone.poll() {
            any = true;
            match output {
                on_the_phone::Output::Hook { user, display_name, call, up } => {
                    let owner = self.ownership.of_aor(&user);
                    self.tell(now, owner, Tell::Hook { user, display_name, call: self.unique(call), up });
                }
                on_the_phone::Output::Dialog { user, leg, dialog, last } => {
                    let owner = self.ownership.of_aor(&user);
                    self.tell(now, owner, Tell::Dialog { user, leg: self.unique(leg), dialog, last });
                }
                on_the_phone::Output::Ambiguous { who, users } => self.report(Report::Ambiguous { who, users }),
            }
        }
        any
    }

    fn drain_publisher(&mut self, now: Instant) -> bool {
        use presence::publisher::Output as P;
        let mut any = false;
        while let Some(output) = self.publisher.poll() {
            any = true;
            match output {
                P::Send { key, server, instead, request } => {
                    let Some(known) = self.configuration.presence_servers.get(server) else { continue };
                    let stick = Aor::parse(&request.uri).filter(|_| !known.shared_state);
                    let mut lines = request.headers.as_bytes().split(|octet| *octet == b'\n');
                    let chooses = !lines.any(|line| line.starts_with(b"SIP-If-Match:"));
                    let manner = Manner {
                        identity: known.identity,
                        local_name: known.local_name.clone(),
                        stick: stick.map(|user| Stick { user, server, chooses }),
                    };
                    let target = match instead.or_else(|| known.uri.clone()) {
                        Some(uri) => Target { uri, flow: None },
                        None => {
                            Target { uri: "sip:internal.invalid".into(), flow: Some(sip::transport::Flow::Internal) }
                        }
                    };
                    self.reach.used(now, server);
                    self.dispatch(now, Purpose::Publish { key, server }, &target, request, manner);
                }
                P::Save { number, record } => {
                    if let Some(value) = record::publication(&record, &self.wall) {
                        let id = self.write(record::publication_key(&record.user, &record.server), Some(value));
                        self.saves.push_back((id, number));
                    }
                }
                P::Forget { user, server } => {
                    self.write(record::publication_key(&user, &server), None);
                    let servers = self.configuration.presence_servers.iter();
                    if let Some(place) = servers.map(|known| &known.server.name).position(|name| *name == server) {
                        self.stuck.remove(&(user, place));
                    }
                }
                P::Report(report) => self.report(Report::Publisher(report)),
                P::Stopped => {
                    if self.stop_by.take().is_some() {
                        self.outputs.push_back(Output::Stopped);
                    }
                }
            }
        }
        any
    }

    /// A presence server has answered. If it was silent before it may have forgotten everything: that is published anew.
    pub(crate) fn server_answered(&mut self, now: Instant, server: usize) {
        if !self.reach.answered(now, server) {
            return;
        }
        let Some(server) = self.configuration.presence_servers.get(server) else { return };
        let name = Arc::clone(&server.server.name);
        self.report(Report::ServerIsBack { server: Arc::clone(&name) });
        self.publisher.handle(now, &mut self.random, presence::publisher::Input::Reachable { server: &name });
    }

    /// Asks the presence servers whose turn it is whether they are there (RFC 3261 section 11).
    pub(crate) fn ask_servers(&mut self, now: Instant) {
        while let Some(server) = self.reach.next(now, |server| self.publisher.holds(server)) {
            let Some(known) = self.configuration.presence_servers.get(server) else { continue };
            let Some(uri) = known.uri.clone() else { continue };
            let manner = Manner { identity: known.identity, local_name: known.local_name.clone(), stick: None };
            let mut request = Request::new(Method::Options, &*uri);
            let domain = self.configuration.domains.first().map_or("offhook.invalid", String::as_str);
            let names = self.calls.names();
            let (tag, call_id) = (names.tag(&mut self.random), names.call_id(&mut self.random));
            let headers = &mut request.headers;
            headers.push_fmt(HeaderName::From, format_args!("<sip:{domain}>;tag={tag}"));
            headers.push_fmt(HeaderName::To, format_args!("<{uri}>"));
            headers.push(HeaderName::CallId, call_id.as_bytes());
            headers.push(HeaderName::CSeq, "1 OPTIONS");
            if let Some(route) = &known.server.route {
                headers.push_fmt(HeaderName::Route, format_args!("<{route}>"));
            }
            self.dispatch(now, Purpose::Reach { server }, &Target { uri, flow: None }, request, manner);
        }
    }

    fn drain_presence_server(&mut self, now: Instant) -> bool {
        use presence::server::Output as S;
        let mut any = false;
        while let Some(output) = self.presence_server.as_mut().and_then(presence::server::PresenceServer::poll) {
            any = true;
            match output {
                S::Save { number, record } => match record::server::save(&record, &self.wall) {
                    Some((key, value)) => {
                        let id = self.write(key, value);
                        self.server_saves.push_back((id, number));
                    }
                    // What cannot be written down is as safe as it will ever be.
                    None => self.server_saves.push_back((WriteId(self.written), number)),
                },
                S::Forget { number, what } => {
                    for key in record::server::forget(&what).into_iter().flatten() {
                        self.write(key, None);
                    }
                    self.server_saves.push_back((WriteId(self.written), number));
                }
                S::Respond { key, response } => {
                    self.transactions.handle(now, &mut self.random, transaction::Input::Respond { key, response });
                }
                S::Send { key, target, request } => {
                    self.dispatch(now, Purpose::Notify(key), &target, request, Manner::default());
                }
                S::Report(report) => self.report(Report::PresenceServer(report)),
                list @ (S::Follow { .. } | S::Unfollow { .. } | S::Followed { .. }) => self.about_lists(now, list),
            }
        }
        any
    }

    /// Where is this user registered? The owner of the address-of-record knows.
    fn locate(&mut self, now: Instant, question: u64, aor: Aor) {
        let aor = self.canonical(aor);
        let owner = self.ownership.of_aor(&aor);
        self.tell(now, owner, Tell::Locate { asker: self.owner, question, aor });
    }

    pub(crate) fn tell(&mut self, now: Instant, owner: Owner, tell: Tell) {
        if owner == self.owner {
            self.told(now, tell);
        } else {
            self.outputs.push_back(Output::Tell { owner, tell });
        }
    }

    /// Another owner, or this one itself, tells of a change.
    pub(crate) fn told(&mut self, now: Instant, tell: Tell) {
        match tell {
            Tell::Hook { user, display_name, call, up } => {
                let input = presence::publisher::Input::Hook { user, display_name, call, up };
                self.publisher.handle(now, &mut self.random, input);
            }
            Tell::Dialog { user, leg, dialog, last } => {
                if let Some(server) = &mut self.presence_server {
                    let (package, presentity) = ("dialog", &user);
                    let input = presence::server::Input::Told { package, presentity, source: leg, state: dialog, last };
                    server.handle(now, &mut self.random, input);
                }
            }
            Tell::Locate { asker, question, aor } => {
                let bindings = self.registrar.bindings(now, &aor);
                self.tell(now, asker, Tell::Located { question, bindings });
            }
            Tell::Located { question, bindings } => {
                self.calls.handle(now, &mut self.random, call::Input::Located { question, bindings });
            }
            Tell::Follow { .. } | Tell::Unfollow { .. } | Tell::Followed { .. } => self.told_of_lists(now, &tell),
        }
    }

    /// A port has answered.
    pub(crate) fn answered(&mut self, now: Instant, id: AskId, answer: Answer) {
        match (answer, self.questions.remove(&id)) {
            (Answer::User(known), Some((call, role))) => self.on_the_phone.known(call, role, known),
            (_, Some((call, role))) => self.on_the_phone.known(call, role, Known::Nobody),
            (Answer::Places(places), None) => self.resolved(now, id, &places),
            (_, None) => self.resolved(now, id, &[]),
        }
    }

    /// The store has everything up to this write.
    pub(crate) fn written_up_to(&mut self, now: Instant, up_to: WriteId) {
        let mut saved = None;
        while let Some((id, number)) = self.saves.front().copied().filter(|(id, _)| *id <= up_to) {
            let _ = id;
            saved = Some(number);
            self.saves.pop_front();
        }
        let mut safe = None;
        while let Some((_, number)) = self.server_saves.front().copied().filter(|(id, _)| *id <= up_to) {
            safe = Some(number);
            self.server_saves.pop_front();
        }
        if let (Some(up_to), Some(server)) = (safe, &mut self.presence_server) {
            server.handle(now, &mut self.random, presence::server::Input::Written { up_to });
        }
        if let Some(up_to) = saved {
            self.publisher.handle(now, &mut self.random, presence::publisher::Input::Written { up_to });
        }
    }

    /// A call's number that is unique among all nodes of the process.
    fn unique(&self, call: u64) -> u64 {
        u64::from(self.owner.0) << 48 | call & ((1 << 48) - 1)
    }

    /// Whose presence the calls of a party's peer show.
    fn presence_of(&self, party: &Party) -> Presence {
        let peer = |name: &Arc<str>| self.configuration.peers.iter().find(|peer| peer.name == *name);
        party.peer.as_ref().and_then(peer).map_or(Presence::Both, |peer| peer.presence)
    }

    /// What to ask the directory about a party: the user who has proved it, one of our addresses-of-record, or a number.
    fn who(&self, party: &Party) -> Who {
        if let Some(user) = &party.user {
            return Who::Aor(user.clone());
        }
        let aor = party.aor.clone().map(|aor| self.canonical(aor));
        match aor {
            Some(aor) if self.configuration.domains.iter().any(|domain| domain.eq_ignore_ascii_case(aor.host())) => {
                Who::Aor(aor)
            }
            Some(aor) => Who::Number(aor.user().to_owned()),
            None => Who::Number(party.uri.to_string()),
        }
    }
}
