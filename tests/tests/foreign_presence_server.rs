//! Somebody else's presence server: calls of SIPp through Offhook light and clear at Kamailio, over every transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use tests::office::{LIMIT, Leg, NOTED_LATE, Office, host, told, told_after};
use tests::{Authentication, Kamailio, Seen, Sipp, Transport, until};

/// What a watcher may wait for at most.
const SOON: Duration = Duration::from_secs(1);

fn a_call_lights_and_clears(test: &str, leg: Leg, authentication: Authentication, calls_over: Transport) {
    let office = Office::new(test);
    let kamailio = Kamailio::start(&office.folder, &office.network, host::KAMAILIO, &office.authority, authentication);
    let credentials = match authentication {
        Authentication::None | Authentication::Strangers => "",
        Authentication::Digest => "username = \"john.doe\"\npassword_file = \"password\"",
    };
    let _offhook =
        office.offhook(&office.configuration_with(calls_over, &office.published_to_kamailio(leg, credentials)));
    let watchers = [
        office.watcher("john.doe", "jane.roe", host::WATCHES_JOHN, host::KAMAILIO),
        office.watcher("jane.roe", "john.doe", host::WATCHES_JANE, host::KAMAILIO),
    ];

    let mut callee = office.sipp("callee", calls_over, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller", calls_over, host::CALLER, host::OFFHOOK, &keys, &["-d", "1500"]);
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);

    let answered = sent(&callee, "the answer", |message| message.answers("INVITE", 200));
    let ended = sent(&caller, "the BYE", |message| message.is("BYE"));
    for (watcher, user) in watchers.iter().zip(["john.doe", "jane.roe"]) {
        let lit =
            until(&format!("{user} on the phone"), LIMIT, || told_after(watcher, answered, Seen::is_on_the_phone));
        let cleared = until(&format!("{user} clear"), LIMIT, || told_after(watcher, ended, Seen::is_clear));
        println!("{test}, {user}: lit after {lit:?}, clear after {cleared:?}");
        assert!(lit <= SOON, "{user} is shown {lit:?} after the answer");
        assert!(cleared <= SOON, "{user} clears {cleared:?} after the BYE");
        let first = told(watcher, |seen| seen.on_the_phone);
        assert!(first >= Some(answered.saturating_sub(NOTED_LATE)), "{user} is shown too early");
        until("nothing is held", LIMIT, || kamailio.presentities(user).is_empty().then_some(()));
    }
}

fn sent(sipp: &Sipp, what: &str, fits: impl Fn(&tests::Logged) -> bool) -> Duration {
    sipp.message(|message| !message.received && fits(message)).unwrap_or_else(|| panic!("{what} was sent")).at
}

#[test]
fn a_call_lights_both_lamps_at_kamailio_over_udp() {
    a_call_lights_and_clears("presence-udp", Leg::Udp, Authentication::None, Transport::Udp);
}

#[test]
fn a_call_lights_both_lamps_at_kamailio_over_tcp() {
    a_call_lights_and_clears("presence-tcp", Leg::Tcp, Authentication::None, Transport::Udp);
}

#[test]
fn a_call_lights_both_lamps_at_kamailio_over_mutual_tls() {
    a_call_lights_and_clears("presence-tls", Leg::Tls, Authentication::None, Transport::Udp);
}

#[test]
fn a_call_over_tcp_lights_both_lamps_too() {
    a_call_lights_and_clears("calls-tcp", Leg::Udp, Authentication::None, Transport::Tcp);
}

#[test]
fn offhook_shows_who_it_is_when_kamailio_asks() {
    a_call_lights_and_clears("presence-digest", Leg::Udp, Authentication::Digest, Transport::Udp);
}
