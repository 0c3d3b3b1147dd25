//! Calls whose end never reaches us: presence clears within Session-Expires all the same, and the other side is hung up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use tests::office::{LIMIT, Leg, Office, host};
use tests::{Sipp, StandIn, Transport, until};

const USERS: [&str; 2] = ["john.doe", "jane.roe"];

/// The shortest that RFC 4028 allows.
const SESSION_EXPIRES: Duration = Duration::from_secs(90);

/// A call whose caller does not end it; how long both stayed on the phone.
fn dies(test: &str, caller: &str, then: impl FnOnce(&mut Sipp)) -> Duration {
    let office = Office::new(test);
    let server = StandIn::start(office.network.sip(host::KAMAILIO), None);
    let section = office.published_to_kamailio(Leg::Udp, "");
    let calls = "[calls]\nsession_expires = \"90s\"\n";
    let _offhook = office.offhook(&office.configuration(&format!("{section}\n{calls}")));
    let mut callee = office.sipp("callee_alive", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", USERS[0]), ("callee", USERS[1])];
    let mut caller = office.sipp(caller, Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &["-d", "600000"]);
    for user in USERS {
        until("both are published", LIMIT, || (server.holds(user) == 1).then_some(()));
    }
    let began = Instant::now();
    then(&mut caller);
    for user in USERS {
        until("both are cleared", SESSION_EXPIRES + LIMIT, || (server.holds(user) == 0).then_some(()));
    }
    let lasted = began.elapsed();
    callee.succeed(LIMIT);
    for user in USERS {
        let _ = server.expect(user, &["initial", "remove"]);
    }
    lasted
}

#[test]
fn a_caller_that_has_vanished_is_off_the_phone_within_session_expires() {
    let lasted = dies("dead-vanished", "caller", Sipp::kill);
    assert!(lasted <= SESSION_EXPIRES, "{lasted:?}");
}

#[test]
fn a_caller_whose_bye_was_lost_is_off_the_phone_when_it_is_asked() {
    let lasted = dies("dead-lost-bye", "caller_forgets", |_| {});
    assert!(lasted <= SESSION_EXPIRES / 2 + Duration::from_secs(5), "{lasted:?}");
}
