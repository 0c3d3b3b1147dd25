//! Each line of the publisher's table over real sockets: calls of SIPp through Offhook, and a presence server that answers as ordered.
//!
//! What takes minutes (long pauses, Retry-After, expiry) is shown in virtual time by the tests of `presence` and `node`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use tests::office::{DOMAIN, LIMIT, Leg, Office, host};
use tests::{Act, Came, Offhook, SIP, Sipp, StandIn, Transport, until};

const USERS: [&str; 2] = ["john.doe", "jane.roe"];

/// An office whose presence server is a stand-in.
struct Scene {
    // In this order they end: the network is given back last.
    offhook: Offhook,
    server: StandIn,
    office: Office,
}

impl Scene {
    /// `more` belongs to the presence server's section.
    fn new(test: &str, leg: Leg, more: &str) -> Self {
        let office = Office::new(test);
        let at = office.network.host(host::KAMAILIO);
        let identity = office.authority.sign(&office.folder, "presence", &["presence.sfb.example"], at.into());
        let tls = (leg == Leg::Tls).then(|| (office.network.sips(host::KAMAILIO), &identity));
        let server = StandIn::start(office.network.sip(host::KAMAILIO), tls);
        let section = office.published_to_kamailio(leg, more);
        let offhook = office.offhook(&office.configuration(&section));
        Self { offhook, server, office }
    }

    /// A call that lasts so many milliseconds; it has begun.
    fn call(&self, lasts: u32) -> (Sipp, Sipp) {
        let callee = self.office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
        let keys = [("caller", USERS[0]), ("callee", USERS[1])];
        let lasts = lasts.to_string();
        let caller = self.office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", &lasts]);
        (caller, callee)
    }

    /// A whole call of a second and a half.
    fn whole_call(&self) {
        let (mut caller, mut callee) = self.call(1500);
        caller.succeed(LIMIT);
        callee.succeed(LIMIT);
    }
}

fn status(code: u16, lines: &[&str]) -> Act {
    Act::Status(code, lines.iter().map(|&line| line.to_owned()).collect())
}

fn gap(came: &[Came], first: usize) -> Duration {
    came[first + 1].at - came[first].at
}

fn right_over(test: &str, leg: Leg, transport: &str) {
    let scene = Scene::new(test, leg, "");
    scene.whole_call();
    for user in USERS {
        let came = scene.server.expect(user, &["initial", "remove"]);
        assert!(came.iter().all(|came| came.transport == transport));
        assert_eq!(came[1].header("SIP-If-Match").map(|tag| tag.starts_with("stand-in-")), Some(true));
        scene.server.expect_clear(user);
    }
}

#[test]
fn all_is_right_over_udp() {
    right_over("table-udp", Leg::Udp, "udp");
}

#[test]
fn all_is_right_over_tcp() {
    right_over("table-tcp", Leg::Tcp, "tcp");
}

#[test]
fn all_is_right_over_tls() {
    right_over("table-tls", Leg::Tls, "tls");
}

#[test]
fn a_shorter_grant_is_refreshed_in_time_under_each_new_tag() {
    let scene = Scene::new("table-grant", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::Grant(2), Act::Grant(2), Act::Grant(2), Act::Grant(60)]);
    let (mut caller, _callee) = scene.call(4000);
    caller.succeed(LIMIT);
    let came = scene.server.expect(USERS[0], &["initial", "refresh", "refresh", "refresh", "remove"]);
    let tags: Vec<_> = came.iter().filter_map(|came| came.header("SIP-If-Match")).collect();
    assert_eq!(tags.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{tags:?}");
    for first in 0..3 {
        let gap = gap(&came, first);
        assert!(gap > Duration::from_millis(900) && gap < Duration::from_millis(1900), "{gap:?}");
    }
    scene.server.expect_clear(USERS[0]);
    assert!(scene.offhook.log().contains("only 2 s"), "it is reported:\n{}", scene.offhook.log());
}

#[test]
fn a_server_that_forgets_gets_a_fresh_initial() {
    let scene = Scene::new("table-412", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::Grant(2), Act::Forget, Act::Right]);
    let (mut caller, _callee) = scene.call(3000);
    // The refresh meets 412; a fresh initial may not follow sooner than ten seconds after the first one, so the call ends before.
    caller.succeed(LIMIT);
    let came = scene.server.expect(USERS[0], &["initial", "refresh"]);
    assert!(gap(&came, 0) < Duration::from_millis(1900));
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn a_server_that_is_started_anew_is_noticed_and_gets_everything_again() {
    let mut scene = Scene::new("table-restart", Leg::Tcp, "");
    let (mut caller, _callee) = scene.call(14_000);
    for user in USERS {
        until("both are published", LIMIT, || (scene.server.holds(user) == 1).then_some(()));
    }
    let at = scene.office.network.sip(host::KAMAILIO);
    // It is gone before another one takes its place, and knows of nothing.
    drop(scene.server);
    scene.server = StandIn::start(at, None);
    // Each refresh meets 412; a fresh initial may not follow sooner than ten seconds after the first one.
    for user in USERS {
        until("both are published anew", Duration::from_secs(13), || (scene.server.holds(user) == 1).then_some(()));
        assert_eq!(scene.server.kinds(user), ["refresh", "initial"]);
    }
    assert!(caller.message(|message| !message.received && message.is("BYE")).is_none(), "the call still lasts");
    caller.succeed(LIMIT);
    for user in USERS {
        let _ = scene.server.expect(user, &["refresh", "initial", "remove"]);
    }
}

#[test]
fn a_removal_that_meets_412_is_done() {
    let scene = Scene::new("table-412-removal", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::Right, status(412, &[])]);
    scene.whole_call();
    let _ = scene.server.expect(USERS[0], &["initial", "remove"]);
    std::thread::sleep(Duration::from_secs(2));
    let _ = scene.server.expect(USERS[0], &["initial", "remove"]);
}

#[test]
fn an_interval_too_brief_is_asked_for_again_with_what_the_server_wants() {
    let scene = Scene::new("table-423", Leg::Tcp, "");
    scene.server.order(USERS[0], [status(423, &["Min-Expires: 1800"])]);
    scene.whole_call();
    let came = scene.server.expect(USERS[0], &["initial", "initial", "remove"]);
    assert_eq!(came[1].header("Expires"), Some("1800"));
    assert_eq!(came[1].header("Call-ID"), came[0].header("Call-ID"));
    assert_eq!(came[1].header("CSeq"), Some("2 PUBLISH"));
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn an_interval_too_brief_without_saying_what_would_do_refuses_the_user() {
    let scene = Scene::new("table-423-mute", Leg::Udp, "");
    scene.server.order(USERS[0], [status(423, &[])]);
    scene.whole_call();
    let _ = scene.server.expect(USERS[1], &["initial", "remove"]);
    assert_eq!(scene.server.kinds(USERS[0]), ["initial"]);
    assert!(scene.offhook.log().contains("refuses sip:john.doe@sfb.example: 423"), "{}", scene.offhook.log());
}

fn challenged(test: &str, code: u16, challenge: &str, answer: &str) {
    let scene = Scene::new(test, Leg::Udp, "username = \"sbc\"\npassword_file = \"password\"");
    scene.server.order(USERS[0], [status(code, &[challenge])]);
    scene.whole_call();
    let came = scene.server.expect(USERS[0], &["initial", "initial", "remove"]);
    let name = if code == 401 { "Authorization" } else { "Proxy-Authorization" };
    assert_eq!(came[0].header(name), None);
    for came in &came[1..] {
        let proof = came.header(name).expect("credentials");
        assert!(proof.contains(answer) && proof.contains("username=\"sbc\""), "{proof}");
    }
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn a_challenge_with_md5_and_qop_is_answered() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    challenged("table-401", 401, challenge, "qop=auth, nc=0000000");
}

#[test]
fn a_proxy_s_challenge_with_sha_256_is_answered() {
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-int,auth\", algorithm=SHA-256";
    challenged("table-407", 407, challenge, "algorithm=SHA-256");
}

#[test]
fn an_old_challenge_without_qop_is_answered() {
    challenged("table-401-old", 401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"", "response=\"");
}

#[test]
fn a_user_who_is_refused_is_left_alone_and_the_other_is_shown() {
    for code in [403, 404, 410, 604] {
        let scene = Scene::new(&format!("table-{code}"), Leg::Udp, "");
        let refusal = status(code, &["Warning: 399 lync \"no such user\"", "ms-diagnostics: 4004;reason=\"gone\""]);
        scene.server.order(USERS[0], [refusal]);
        scene.whole_call();
        let _ = scene.server.expect(USERS[1], &["initial", "remove"]);
        assert_eq!(scene.server.kinds(USERS[0]), ["initial"], "{code}");
        let log = scene.offhook.log();
        assert!(log.contains(&code.to_string()) && log.contains("no such user") && log.contains("4004"), "{log}");
    }
}

#[test]
fn a_server_that_takes_no_presence_is_reported_once() {
    let scene = Scene::new("table-489", Leg::Udp, "");
    for user in USERS {
        scene.server.order(user, [status(489, &["Allow-Events: dialog"])]);
    }
    scene.whole_call();
    for user in USERS {
        let _ = scene.server.expect(user, &["initial"]);
    }
    assert_eq!(scene.offhook.log().matches("takes no presence").count(), 1, "{}", scene.offhook.log());
}

#[test]
fn a_server_that_takes_no_more_bodies_still_gets_the_removal_of_what_it_took() {
    let scene = Scene::new("table-415", Leg::Udp, "");
    // Jane's was taken before John's is refused for its kind.
    scene.server.order(USERS[0], [status(503, &["Retry-After: 1"]), status(415, &["Accept: text/plain"])]);
    let (mut caller, _callee) = scene.call(2500);
    caller.succeed(LIMIT);
    let _ = scene.server.expect(USERS[1], &["initial", "remove"]);
    scene.server.expect_clear(USERS[1]);
}

#[test]
fn an_overloaded_server_is_asked_again_when_it_said() {
    let scene = Scene::new("table-503", Leg::Tcp, "");
    scene.server.order(USERS[0], [status(503, &["Retry-After: 2"])]);
    let (mut caller, _callee) = scene.call(3500);
    caller.succeed(LIMIT);
    let came = scene.server.expect(USERS[0], &["initial", "initial", "remove"]);
    assert!(gap(&came, 0) >= Duration::from_secs(2), "{:?}", gap(&came, 0));
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn an_answer_that_is_lost_once_comes_with_the_repetition() {
    let scene = Scene::new("table-lost", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::LoseAnswer, Act::LoseAnswer]);
    scene.whole_call();
    let _ = scene.server.expect(USERS[0], &["initial", "remove"]);
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn an_answer_that_comes_after_the_end_of_the_call_is_followed_by_a_removal() {
    let scene = Scene::new("table-late", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::Late(Duration::from_secs(4))]);
    scene.whole_call();
    assert_eq!(scene.server.kinds(USERS[0]), ["initial"]);
    let came = scene.server.expect(USERS[0], &["initial", "remove"]);
    assert!(gap(&came, 0) >= Duration::from_secs(4));
    scene.server.expect_clear(USERS[0]);
}

#[test]
fn a_connection_that_is_reset_is_made_anew_and_what_may_stick_is_told() {
    for (test, leg) in [("table-reset-tcp", Leg::Tcp), ("table-reset-tls", Leg::Tls)] {
        let scene = Scene::new(test, leg, "");
        scene.server.order(USERS[0], [Act::Reset]);
        let (mut caller, _callee) = scene.call(3500);
        caller.succeed(LIMIT);
        let came = scene.server.expect(USERS[0], &["initial", "initial", "remove"]);
        assert!(gap(&came, 0) < Duration::from_secs(2));
        scene.server.expect_clear(USERS[0]);
    }
}

#[test]
fn octets_that_are_no_sip_are_dropped() {
    let scene = Scene::new("table-garbage", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::Garbage]);
    scene.whole_call();
    let _ = scene.server.expect(USERS[1], &["initial", "remove"]);
}

#[test]
fn a_publication_without_a_tag_is_neither_repeated_nor_removed() {
    let scene = Scene::new("table-no-tag", Leg::Udp, "");
    scene.server.order(USERS[0], [Act::NoTag]);
    scene.whole_call();
    let _ = scene.server.expect(USERS[1], &["initial", "remove"]);
    assert_eq!(scene.server.kinds(USERS[0]), ["initial"]);
    assert!(scene.offhook.log().contains("without SIP-ETag"), "{}", scene.offhook.log());
}

#[test]
fn a_redirection_is_followed_where_the_file_says_so() {
    let scene = Scene::new("table-302", Leg::Tcp, "follow_redirects = true");
    let other = StandIn::start(scene.office.network.sip(host::PUBLISHER), None);
    let contact = format!("Contact: <sip:{};transport=udp>", scene.office.network.sip(host::PUBLISHER));
    scene.server.order(USERS[0], [status(302, &[&contact])]);
    scene.whole_call();
    let came = other.expect(USERS[0], &["initial"]);
    assert_eq!(came[0].transport, "udp");
    assert_eq!(came[0].header("CSeq"), Some("2 PUBLISH"));
}

#[test]
fn one_server_that_misbehaves_leaves_the_other_alone() {
    let office = Office::new("table-two");
    let (one, two) = (office.network.sip(host::KAMAILIO), office.network.sip(host::PUBLISHER));
    let (bad, good) = (StandIn::start(one, None), StandIn::start(two, None));
    for user in USERS {
        bad.order(user, std::iter::repeat_n(Act::Silence, 50));
    }
    let sections = format!(
        "[[presence_server]]\nname = \"bad\"\nuri = \"sip:{one}\"\n\n[[presence_server]]\nname = \"good\"\nuri = \"sip:{two}\"\n"
    );
    let offhook = office.offhook(&office.configuration(&sections));
    let server = good;
    let scene = Scene { offhook, server, office };
    scene.whole_call();
    for user in USERS {
        let _ = scene.server.expect(user, &["initial", "remove"]);
        scene.server.expect_clear(user);
        assert_eq!(bad.kinds(user), ["initial"]);
    }
}

#[test]
fn a_silent_server_does_not_delay_calls() {
    let set_up = |scene: &Scene| {
        let (mut caller, mut callee) = scene.call(300);
        caller.succeed(LIMIT);
        callee.succeed(LIMIT);
        let invite = caller.message(|message| !message.received && message.is("INVITE")).unwrap().at;
        caller.message(|message| message.received && message.answers("INVITE", 200)).unwrap().at - invite
    };
    let scene = Scene::new("table-silent", Leg::Udp, "");
    let before = set_up(&scene);
    for user in USERS {
        scene.server.order(user, std::iter::repeat_n(Act::Silence, 50));
    }
    let during = set_up(&scene);
    // A whole retransmission interval would be 500 ms; what a machine that is busy adds is far below.
    assert!(during < before + Duration::from_millis(250), "{before:?}, then {during:?}");
}

#[test]
fn a_call_that_is_cancelled_or_refused_publishes_nothing() {
    let scene = Scene::new("table-no-call", Leg::Udp, "");
    let mut busy = scene.office.sipp("busy", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", USERS[0]), ("callee", USERS[1])];
    let mut refused = scene.office.sipp("refused", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    refused.succeed(LIMIT);
    busy.succeed(LIMIT);
    let mut ringing = scene.office.sipp("cancelled", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let mut cancels = scene.office.sipp("cancels", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    cancels.succeed(LIMIT);
    ringing.succeed(LIMIT);
    scene.whole_call();
    for user in USERS {
        let _ = scene.server.expect(user, &["initial", "remove"]);
    }
}

#[test]
fn hold_keeps_the_lamp() {
    let scene = Scene::new("table-hold", Leg::Udp, "");
    let mut callee = scene.office.sipp("callee_held", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", USERS[0]), ("callee", USERS[1])];
    let mut caller = scene.office.sipp("holds", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    let ended = caller.message(|message| !message.received && message.is("BYE")).unwrap().at;
    let held = caller.message(|message| !message.received && message.text.contains("a=sendonly")).unwrap().at;
    assert!(ended > held);
    for user in USERS {
        let came = scene.server.expect(user, &["initial", "remove"]);
        assert!(gap(&came, 0) > Duration::from_millis(900), "it was not removed by the hold");
    }
}

#[test]
fn two_calls_of_one_user_clear_once() {
    let scene = Scene::new("table-overlap", Leg::Udp, "");
    let (network, folder) = (&scene.office.network, &scene.office.folder);
    // The last of two bounds holds: this callee takes two calls.
    let mut callee = scene.office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &["-m", "2"]);
    let keys = [("caller", USERS[0]), ("callee", USERS[1])];
    let mut long = scene.office.sipp("caller", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "2500"]);
    until("the first is published", LIMIT, || (scene.server.holds(USERS[0]) == 1).then_some(()));
    let second = SocketAddr::new(network.host(host::CALLER).into(), SIP + 10);
    let keys = [("domain", DOMAIN), ("caller", USERS[0]), ("callee", USERS[1])];
    let to = network.sip(host::OFFHOOK);
    let mut brief = Sipp::start(folder, "caller", Transport::Udp, second, to, &keys, &["-d", "500"]);
    brief.succeed(LIMIT);
    assert!(long.message(|message| !message.received && message.is("BYE")).is_none(), "the first still lasts");
    long.succeed(LIMIT);
    callee.succeed(LIMIT);
    let came = scene.server.expect(USERS[0], &["initial", "remove"]);
    assert!(gap(&came, 0) >= Duration::from_millis(2400));
}
