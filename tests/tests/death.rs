//! Death: Offhook is killed in a call; after its restart nobody goes on talking unseen, and no lamp sticks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

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
    until("the watcher sees it", LIMIT, || told(&watcher, Seen::is_on_the_phone));

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

/// How many deaths; `cargo xtask death --times N` sets another number.
const TIMES: &str = "OFFHOOK_DEATHS";

/// What one death left behind.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Publications whose entity-tag the next run knew.
    known: u32,
    /// Publications that it could only wait for.
    unknown: u32,
    slowest_known: Duration,
    slowest_unknown: Duration,
}

#[test]
fn at_whatever_instant_of_a_call_it_dies_nobody_stays_on_the_phone() {
    let times: u32 = std::env::var(TIMES).ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed = std::env::var("OFFHOOK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("{times} deaths, OFFHOOK_SEED={seed}");
    let mut random = seed;
    let mut below = |bound: u64| {
        // The multiplier of Knuth's MMIX; the high bits are the good ones.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let office = Office::new("deaths");
    let kamailio =
        Kamailio::start(&office.folder, &office.network, host::KAMAILIO, &office.authority, Authentication::None);
    let section = office.published_to_kamailio(Leg::Udp, "expires = \"10s\"\n");
    let mut offhook = office.offhook(&office.configuration(&section));
    let users = ["john.doe", "jane.roe"];
    let mut all = Left::default();
    for time in 0..times {
        let _callee = office.sipp("callee", Transport::Udp, host::CALLEE, host::OFFHOOK, &[], &[]);
        let keys = [("caller", users[0]), ("callee", users[1])];
        let caller = office.sipp("caller_hung_up", Transport::Udp, host::CALLER, host::OFFHOOK, &keys, &[]);
        // Most instants fall around the answer, where everything happens at once.
        let ringing = |message: &tests::Logged| message.received && message.answers("INVITE", 180);
        if below(4) > 0 {
            until("it rings", LIMIT, || caller.message(ringing));
            // The callee answers 300 ms later.
            std::thread::sleep(Duration::from_micros(285_000 + below(25_000)));
        } else {
            std::thread::sleep(Duration::from_millis(below(1_500)));
        }
        offhook.kill();
        let told = offhook.log().len();
        let held: usize = users.iter().map(|user| kamailio.presentities(user).len()).sum();
        let back = Instant::now();
        offhook.restart();
        let unknown: Vec<&str> = users
            .into_iter()
            .filter(|user| offhook.log()[told..].contains(&format!("a PUBLISH of sip:{user}@sfb.example")))
            .collect();
        let mut left: Vec<(&str, bool)> = users
            .into_iter()
            .filter(|user| !kamailio.presentities(user).is_empty())
            .map(|user| (user, !unknown.contains(&user)))
            .collect();
        if held > 0 && left.is_empty() {
            all.slowest_known = all.slowest_known.max(back.elapsed());
        }
        while !left.is_empty() {
            left.retain(|(user, is_known)| {
                let is_gone = kamailio.presentities(user).is_empty();
                let slowest = if *is_known { &mut all.slowest_known } else { &mut all.slowest_unknown };
                *slowest = (*slowest).max(back.elapsed());
                // Kamailio sweeps once a second.
                let bound = if *is_known { SETTLED } else { Duration::from_secs(10 + 2) };
                assert!(back.elapsed() <= bound, "death {time}: {user} is still shown, tag known: {is_known}");
                !is_gone
            });
            std::thread::sleep(Duration::from_millis(10));
        }
        all.unknown += u32::try_from(unknown.len()).unwrap();
        let removed = offhook.log()[told..].matches("is off the phone at").count();
        all.known += u32::try_from(removed).unwrap();
    }
    println!(
        "{times} deaths left {} publications with a known tag, gone within {:?} of the restart,",
        all.known, all.slowest_known
    );
    println!("and {} intents without one, gone within {:?}", all.unknown, all.slowest_unknown);
}
