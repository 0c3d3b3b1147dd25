//! Death: Offhook is killed in a call; after its restart nobody goes on talking unseen, and no lamp sticks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tests::office::{LIMIT, Leg, Office, host, told};
use tests::{Authentication, Kamailio, Seen, Transport, until};

/// How long a leftover may live after the restart.
const SETTLED: Duration = Duration::from_secs(5);

fn a_killed_node_comes_back_and_settles(test: &str, leg: Leg) {
    let office = Office::new(test);
    let kamailio =
        Kamailio::start(&office.folder, &office.network, host::KAMAILIO, &office.authority, Authentication::None);
    let mut offhook = office.offhook(&office.configuration(&office.published_to_kamailio(leg, "")));
    let watcher = office.watcher("john.doe", "jane.roe", host::WATCHES_JOHN, host::KAMAILIO);

    let mut callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let mut caller = office.sipp("caller_hung_up", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    let users = ["john.doe", "jane.roe"];
    until("both are published", LIMIT, || {
        users.iter().all(|user| kamailio.presentities(user).len() == 1).then_some(())
    });
    until("the watcher sees it", LIMIT, || told(&watcher, Duration::ZERO, Seen::is_on_the_phone));

    offhook.kill();
    let held: usize = users.iter().map(|user| kamailio.presentities(user).len()).sum();
    assert_eq!(held, 2, "a killed node cannot have removed anything");

    offhook.restart();
    let back = Instant::now();
    caller.succeed(LIMIT);
    callee.succeed(LIMIT);
    until("nothing is held", SETTLED.saturating_sub(back.elapsed()), || {
        users.iter().all(|user| kamailio.presentities(user).is_empty()).then_some(())
    });
    println!("{test}: settled {:?} after it answered again", back.elapsed());
    until("the watcher sees it", LIMIT, || watcher.notified().last()?.1.is_clear().then_some(()));
}

#[test]
fn after_a_kill_both_phones_are_hung_up_and_kamailio_holds_nothing() {
    a_killed_node_comes_back_and_settles("death-udp", Leg::Udp);
}

#[test]
fn after_a_kill_what_was_published_over_tls_is_removed_over_tls() {
    a_killed_node_comes_back_and_settles("death-tls", Leg::Tls);
}

#[test]
fn an_orderly_stop_removes_everything_that_is_published() {
    let office = Office::new("stop");
    let kamailio =
        Kamailio::start(&office.folder, &office.network, host::KAMAILIO, &office.authority, Authentication::None);
    let mut offhook = office.offhook(&office.configuration(&office.published_to_kamailio(Leg::Tcp, "")));
    let _callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let _caller = office.sipp("caller_hung_up", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    let users = ["john.doe", "jane.roe"];
    until("both are published", LIMIT, || {
        users.iter().all(|user| kamailio.presentities(user).len() == 1).then_some(())
    });
    let status = offhook.stop(LIMIT);
    assert!(status.success(), "{status}: {}", offhook.log());
    for user in users {
        assert_eq!(kamailio.presentities(user), [], "{user} is still published after the stop; {}", offhook.log());
    }
}

#[test]
fn a_second_signal_ends_a_stop_that_a_silent_presence_server_holds_up() {
    let office = Office::new("stop-at-once");
    let silent = UdpSocket::bind(office.network.sip(host::KAMAILIO)).unwrap();
    silent.set_read_timeout(Some(LIMIT)).unwrap();
    let mut offhook = office.offhook(&office.configuration(&office.published_to_kamailio(Leg::Udp, "")));
    let _callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
    let keys = [("caller", "john.doe"), ("callee", "jane.roe")];
    let _caller = office.sipp("caller_hung_up", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
    let mut octets = [0; 2048];
    let length = silent.recv(&mut octets).unwrap();
    assert!(octets[..length].starts_with(b"PUBLISH "));
    offhook.terminate();
    until("it says what it waits for", LIMIT, || offhook.log().contains("stopping: ").then_some(()));
    offhook.terminate();
    let status = offhook.end(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1), "{}", offhook.log());
    assert!(offhook.log().contains("ended at once"));
}
