//! A call between scripted phones that registered at Offhook, and who watches them.

use tests::agent::{Agent, Received, Request};
use tests::conversation::{Watch, uri};
use tests::office::{DOMAIN, Office, host};
use tests::{Offhook, SIP};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// An Offhook that phones register at, and a peer that calls them and is trusted to watch and to publish.
pub(crate) struct Ground {
    pub(crate) office: Office,
    pub(crate) offhook: Offhook,
}

impl Ground {
    /// Starts it; `more` is added to its configuration.
    pub(crate) fn new(test: &str, more: &str) -> Self {
        Self::of(Office::new(test), more)
    }

    /// The same, in an office where others are already.
    pub(crate) fn of(office: Office, more: &str) -> Self {
        let (here, known) = (office.network.host(host::OFFHOOK), office.network.sip(host::PUBLISHER));
        office.folder.write("password", "secret");
        let store = office.folder.join("store");
        let store = store.display();
        let users: String = ["john.doe", "jane.roe"]
            .map(|user| format!("[[user]]\nuri = \"sip:{user}@{DOMAIN}\"\npassword_file = \"password\"\n\n"))
            .concat();
        let configuration = format!(
            "domain = \"{DOMAIN}\"\n\n[[listen]]\ntransport = \"udp\"\naddress = \"{here}:{SIP}\"\n\n\
             [[peer]]\nname = \"known\"\naddresses = [\"sip:{known}\"]\npublisher = true\n\n\
             [[route]]\nto = \"registered\"\n\n{users}[store]\npath = \"{store}\"\n\n{more}"
        );
        let offhook = office.offhook(&configuration);
        Self { office, offhook }
    }

    /// Somebody at an address that is trusted.
    pub(crate) fn known(&self) -> Agent {
        Agent::udp(self.office.network.host(host::PUBLISHER), self.office.network.sip(host::OFFHOOK))
    }

    /// A phone that has registered for a user.
    pub(crate) fn phone(&self, user: &str) -> Agent {
        let mut phone = Agent::udp(self.office.network.host(host::PHONE), self.office.network.sip(host::OFFHOOK));
        let register = phone
            .request("REGISTER", &format!("sip:{DOMAIN}"), user)
            .header("To", format!("<{}>", uri(user)))
            .header("Contact", phone.contact(user))
            .header("Expires", "600");
        let answer = phone.prove(&register, user, "secret");
        assert_eq!(answer.code(), 200, "{answer}");
        phone
    }

    /// Somebody watches a package of a user.
    pub(crate) fn watch(agent: &mut Agent, user: &str, event: &str, accept: &str) -> Watch {
        let request = agent.subscribe(user, "watcher", 600).header("Event", event).header("Accept", accept);
        let watch = agent.watch_by(&request, user, "watcher");
        watch.notified(agent);
        watch
    }
}

/// A call from somebody who is known to a user with phones.
pub(crate) struct Call {
    invite: Request,
    to: String,
    target: String,
}

impl Call {
    /// Calls; the INVITE is on its way.
    pub(crate) fn begin(caller: &mut Agent, from: &str, to: &str) -> Self {
        let invite = caller
            .request("INVITE", &uri(to), from)
            .header("Contact", caller.contact(from))
            .header("Content-Type", "application/sdp")
            .body(SDP);
        caller.send(&invite.octets());
        Self { invite, to: String::new(), target: String::new() }
    }

    /// A phone rings.
    pub(crate) fn ring(phone: &mut Agent, user: &str) -> Received {
        let invite = phone.expect("INVITE");
        let contact = phone.contact(user);
        phone.answer(&invite, 180, &[("Contact", &contact)]);
        invite
    }

    /// A phone answers, and the caller acknowledges it.
    pub(crate) fn answer(&mut self, phone: &mut Agent, user: &str, invite: &Received, caller: &mut Agent) {
        let contact = phone.contact(user);
        phone.answer_with(invite, 200, &[("Contact", &contact), ("Content-Type", "application/sdp")], SDP);
        let ok = self.answered(caller);
        assert_eq!(ok.code(), 200, "{ok}");
        self.to = ok.header("To").expect("a To");
        let target = ok.header("Contact").expect("a Contact");
        target.split(['<', '>']).nth(1).expect("a URI").clone_into(&mut self.target);
        let ack = self.within(caller, "ACK", 1);
        caller.send(&ack.octets());
        phone.expect("ACK");
    }

    /// The final answer to the INVITE.
    pub(crate) fn answered(&self, caller: &mut Agent) -> Received {
        let fits = |message: &Received| self.invite.is_answered_by(message) && message.code() >= 200;
        caller.next(tests::agent::PATIENCE, fits).expect("an answer to the INVITE")
    }

    /// The caller hangs up, from wherever it is now, and the phone confirms.
    pub(crate) fn end(&self, caller: &mut Agent, phone: &mut Agent) {
        let bye = self.within(caller, "BYE", 2);
        let answer = caller.ask(&bye);
        assert_eq!(answer.code(), 200, "{answer}");
        let bye = phone.expect("BYE");
        phone.answer(&bye, 200, &[]);
    }

    fn within(&self, caller: &Agent, method: &str, cseq: u32) -> Request {
        let value = |name: &str| self.invite.value(name).unwrap_or_default().to_owned();
        caller
            .request(method, &self.target, "caller")
            .header("From", value("From"))
            .header("To", self.to.clone())
            .header("Call-ID", value("Call-ID"))
            .header("CSeq", format!("{cseq} {method}"))
    }
}
