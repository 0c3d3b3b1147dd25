//! RFC 4320: what waits long for an answer to anything but INVITE is told so once, and never gets 408.

use std::time::Duration;

use crate::world::{World, header, request, tcp, udp};

const VIA: &str = "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKslow";
const VIA_TCP: &str = "SIP/2.0/TCP 192.0.2.7:5066;branch=z9hG4bKslow";

#[test]
fn a_request_without_an_answer_gets_100_when_its_client_has_slowed_down() {
    for (flow, via) in [(udp(), VIA), (tcp(), VIA_TCP)] {
        let mut world = World::new();
        world.receive(flow, &request("INFO", via, ""));
        assert!(world.wait(Duration::from_millis(3499)).is_empty(), "no 100 before");
        let log = world.wait(Duration::from_millis(1));
        assert_eq!(log.len(), 1);
        assert!(log[0].1.starts_with("SIP/2.0 100 "), "{}", log[0].1);
        assert!(!header(&log[0].1, "To").unwrap().contains("tag="), "{}", log[0].1);
        assert!(world.wait(Duration::from_secs(20)).is_empty(), "one is enough");
        world.respond(world.requests[0], 200);
        assert!(world.take()[0].starts_with("SIP/2.0 200 "));
    }
}

#[test]
fn a_request_that_is_answered_in_time_gets_no_100() {
    let mut world = World::new();
    world.receive(udp(), &request("PUBLISH", VIA, ""));
    world.wait(Duration::from_secs(3));
    world.respond(world.requests[0], 200);
    world.take();
    assert!(world.wait(Duration::from_secs(40)).is_empty());
    assert!(world.layer.is_empty());
}

#[test]
fn what_comes_again_after_the_100_gets_it_again() {
    let mut world = World::new();
    world.receive(udp(), &request("INFO", VIA, ""));
    world.wait(Duration::from_millis(500));
    world.receive(udp(), &request("INFO", VIA, ""));
    assert!(world.take().is_empty(), "before it a retransmission is absorbed");
    world.wait(Duration::from_secs(4));
    world.receive(udp(), &request("INFO", VIA, ""));
    assert!(world.take()[0].starts_with("SIP/2.0 100 "));
    assert_eq!(world.requests.len(), 1);
}

#[test]
fn each_of_many_is_told_at_its_own_time() {
    let mut world = World::new();
    for number in 0..10 {
        let via = format!("SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKs{number}");
        world.receive(udp(), &request("INFO", &via, "").replace("theirs", &format!("c{number}")));
        world.wait(Duration::from_millis(100));
    }
    for key in world.requests.clone().into_iter().step_by(2) {
        world.respond(key, 200);
    }
    world.take();
    let log = world.wait(Duration::from_secs(5));
    let times: Vec<u64> = log.iter().map(|(at, _)| u64::try_from(at.as_millis()).unwrap()).collect();
    assert_eq!(times, [2600, 2800, 3000, 3200, 3400]);
}

#[test]
fn nothing_but_invite_gets_408() {
    let mut world = World::new();
    world.receive(udp(), &request("INFO", VIA, ""));
    world.respond(world.requests[0], 408);
    assert!(world.take().is_empty());
    assert!(world.layer.is_empty());
    world.receive(udp(), &request("INVITE", "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bKi", ""));
    world.take();
    world.respond(world.requests[1], 408);
    assert!(world.take()[0].starts_with("SIP/2.0 408 "), "INVITE does");
}

/// RFC 3261 section 8.2.6.1.
#[test]
fn a_100_tells_the_timestamp_back() {
    let mut world = World::new();
    world.receive(udp(), &request("INVITE", VIA, "Timestamp: 54.21\r\n"));
    assert_eq!(header(&world.take()[0], "Timestamp"), Some("54.21"));
    world.respond(world.requests[0], 180);
    assert_eq!(header(&world.take()[0], "Timestamp"), None);
}
