//! Nothing that a peer sends makes the server grow without bound, or lose what others said.

use std::time::Duration;

use presence::server::{Identity, Settings, Share, limits};

use sip::Aor;

use crate::world::{JOHN, PIDF, World, header, jane, john, on_the_phone, online, pidf, publisher};

const XMLNS: &str = "xmlns=\"urn:ietf:params:xml:ns:pidf\"";

#[test]
fn a_body_beyond_the_bound_is_too_large() {
    let mut world = World::new();
    let body = pidf("t0", "open", &" ".repeat(limits::BODY));
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], &body).response.code, 413);
}

#[test]
fn a_body_that_is_deep_wide_or_long_in_pieces_is_too_large() {
    let mut world = World::new();
    let deep = format!("<presence {XMLNS}>{}{}</presence>", "<x:a xmlns:x=\"u\">".repeat(1000), "</x:a>".repeat(1000));
    let wide = format!("<presence {XMLNS}>{}</presence>", "<note/>".repeat(5000));
    let tuples = format!("<presence {XMLNS}>{}</presence>", "<tuple/>".repeat(limits::TUPLES + 1));
    let parts: String = (0..=limits::PARTS).map(|n| format!("<a{n} xmlns=\"urn:x\"/>")).collect();
    let parts = format!("<presence {XMLNS}>{parts}</presence>");
    for body in [deep, wide, tuples, parts] {
        assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], &body).response.code, 413);
    }
}

#[test]
fn the_bodies_of_one_presentity_fit_into_a_message_together() {
    let mut world = World::new();
    let mut large = || {
        let body = pidf("t0", "open", &" ".repeat(limits::BODY - 1000));
        let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &body);
        (outcome.response.code, header(&outcome.response.headers, "SIP-ETag"))
    };
    assert_eq!(large().0, 200);
    let (_, tag) = large();
    assert_eq!(large().0, 413);
    let tag = tag.unwrap();
    let larger = pidf("t9", "open", &" ".repeat(limits::BODY - 1000));
    assert_eq!(world.modify(&tag, &larger).response.code, 200, "what is replaced does not count");
}

#[test]
fn a_document_that_grows_when_it_is_written_anew_is_too_large() {
    let mut world = World::new();
    let namespace = format!("urn:{}", "x".repeat(6000));
    let body = format!("<presence {XMLNS} xmlns:x=\"{namespace}\">{}</presence>", "<x:a/>".repeat(1500));
    assert!(body.len() < limits::BODY);
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], &body).response.code, 413);
    let often = "<x:a/>".repeat(20);
    let small = format!("<presence {XMLNS} xmlns:x=\"urn:oma:xml:prs:pidf:oma-pres\">{often}</presence>");
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], &small).response.code, 200);
}

#[test]
fn where_not_everything_fits_into_a_message_a_call_is_told_all_the_same() {
    let mut world = World::new();
    let tuples = "<tuple id=\"t\"><status><basic>open</basic></status></tuple>".repeat(limits::TUPLES);
    let many: Vec<String> = (0..14).map(|_| world.initial(&format!("<presence {XMLNS}>{tuples}</presence>"))).collect();
    let busy = ["appointment", "away", "busy", "holiday", "meal", "meeting", "travel", "vacation", "working"];
    let doing: String = busy.iter().map(|activity| format!("<rpid:{activity}/>")).collect();
    world.initial(&pidf("b", "closed", &format!("<rpid:activities>{doing}</rpid:activities>")));
    let call = world.initial(&on_the_phone());
    let document = world.document();
    assert!(document.len() <= limits::COMPOSED, "{} octets", document.len());
    for told in ["<basic>open</basic>", "<ep:activity>on-the-phone</ep:activity>", "<rpid:on-the-phone/>"] {
        assert!(document.contains(told), "{told}");
    }
    assert_eq!(world.refresh(&call, 0).response.code, 200);
    assert!(!world.document().contains("on-the-phone"));
    for tag in many {
        world.refresh(&tag, 0);
    }
    assert!(world.document().contains("<tuple id=\"b\">"), "all of it, where there is room");
}

#[test]
fn a_presentity_has_room_for_so_many_publications() {
    let mut world = World::new();
    let mut tags: Vec<String> =
        (0..limits::PUBLICATIONS_PER_PRESENTITY).map(|_| world.initial(&on_the_phone())).collect();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone());
    assert_eq!(outcome.response.code, 500);
    assert!(header(&outcome.response.headers, "Retry-After").is_some());
    let tag = tags.pop().unwrap();
    assert_eq!(world.refresh(&tag, 0).response.code, 200, "those that are there go on");
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], &on_the_phone()).response.code, 200);
}

#[test]
fn a_presentity_has_room_for_so_many_subscriptions() {
    let mut world = World::new();
    for number in 0..limits::SUBSCRIPTIONS_PER_PRESENTITY {
        let outcome = world.subscribe_with(&user(number % 50), None, &["Event: presence"]);
        assert_eq!(outcome.response.code, 200, "{number}");
    }
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence"]);
    assert_eq!(outcome.response.code, 500);
    assert!(header(&outcome.response.headers, "Retry-After").is_some());
}

fn user(number: usize) -> Identity {
    Identity { user: Aor::parse(&format!("sip:u{number}@sfb.example")), ..Identity::default() }
}

#[test]
fn one_watcher_leaves_room_for_the_others() {
    let mut world = World::new();
    for _ in 0..limits::SUBSCRIPTIONS_PER_PRESENTITY / 2 {
        assert_eq!(world.subscribe_with(&jane(), None, &["Event: presence"]).response.code, 200);
    }
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence"]);
    assert_eq!(outcome.response.code, 500);
    assert!(header(&outcome.response.headers, "Retry-After").is_some());
    assert_eq!(world.subscribe_with(&user(1), None, &["Event: presence"]).response.code, 200);
    assert_eq!(world.subscribe_to("sip:bob@sfb.example", &jane(), &["Event: presence"]).response.code, 200);
}

fn with_share(share: Share) -> World {
    World::with(Settings { domains: vec!["sfb.example".into()], share, ..Settings::default() })
}

fn peer(name: &str) -> Identity {
    Identity { peer: Some(name.into()), ..Identity::default() }
}

#[test]
fn a_peer_that_runs_wild_leaves_room_for_the_others() {
    let mut world = with_share(Share { publications: 2, ..Share::default() });
    let mut publish = |who: &Identity, user: &str, more: &[&str]| {
        let headers = [&["Event: presence", PIDF], more].concat();
        let outcome = world.publish(who, &format!("sip:{user}@sfb.example"), &headers, &on_the_phone());
        (outcome.response.code, header(&outcome.response.headers, "SIP-ETag").unwrap_or_default())
    };
    let (wild, other) = (peer("wild"), peer("other"));
    let (_, tag) = publish(&wild, "u1", &[]);
    assert_eq!(publish(&wild, "u2", &[]).0, 200);
    assert_eq!(publish(&wild, "u3", &[]).0, 500, "it has its share");
    assert_eq!(publish(&other, "u3", &[]).0, 200);
    assert_eq!(publish(&john(), "john.doe", &[]).0, 200, "users are no peers");
    assert_eq!(publish(&wild, "u1", &[&format!("SIP-If-Match: {tag}"), "Expires: 0"]).0, 200);
    assert_eq!(publish(&wild, "u4", &[]).0, 200, "what is removed does not count");
    let _ = world.wait(Duration::from_secs(4000));
    let again = world.publish(&wild, "sip:u5@sfb.example", &["Event: presence", PIDF], &on_the_phone());
    assert_eq!(again.response.code, 200, "nor does what has run out");
}

#[test]
fn the_bodies_of_a_peer_have_a_bound() {
    let body = on_the_phone();
    let mut world = with_share(Share { octets: body.len() * 2, ..Share::default() });
    let mut publish = |user: &str| world.publish(&peer("wild"), user, &["Event: presence", PIDF], &body).response.code;
    assert_eq!(
        [publish("sip:u1@sfb.example"), publish("sip:u2@sfb.example"), publish("sip:u3@sfb.example")],
        [200, 200, 500]
    );
}

#[test]
fn a_modification_does_not_lead_beyond_the_bound() {
    let (small, large) = (online(), pidf("t1", "open", &" ".repeat(2_000)));
    let mut world = with_share(Share { octets: small.len() + large.len(), ..Share::default() });
    let wild = peer("wild");
    let mut publish = |user: &str, more: &[&str], body: &str| {
        let outcome = world.publish(&wild, user, &[&["Event: presence", PIDF], more].concat(), body);
        (outcome.response.code, header(&outcome.response.headers, "SIP-ETag").unwrap_or_default())
    };
    let tags = ["sip:u1@sfb.example", "sip:u2@sfb.example"].map(|user| (user, publish(user, &[], &small).1));
    let [first, second] = tags.map(|(user, tag)| {
        let answer = publish(user, &[&format!("SIP-If-Match: {tag}")], &large);
        (user, if answer.0 == 200 { answer.1.clone() } else { tag }, answer.0)
    });
    assert_eq!((first.2, second.2), (200, 500), "one may become longer, not both");
    for (user, tag, _) in [first, second] {
        let condition = format!("SIP-If-Match: {tag}");
        assert_eq!(publish(user, &[&condition], &small).0, 200, "what becomes no longer always finds room");
    }
}

#[test]
fn what_a_publisher_supersedes_makes_room_for_what_it_publishes() {
    let body = on_the_phone();
    let mut world = with_share(Share { publications: 1, octets: body.len(), ..Share::default() });
    let instance = "Contact: <sip:sbc@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\"";
    for _ in 0..3 {
        let headers = ["Event: presence", PIDF, instance];
        assert_eq!(world.publish(&publisher("sbc"), JOHN, &headers, &body).response.code, 200);
    }
    assert_eq!(world.server.publications(), 1);
}

#[test]
fn what_an_earlier_run_left_counts_for_who_goes_on_with_it() {
    let mut world = with_share(Share { publications: 1, ..Share::default() });
    let wild = peer("wild");
    let outcome = world.publish(&wild, "sip:u1@sfb.example", &["Event: presence", PIDF], &on_the_phone());
    let tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
    let _ = world.restart(Duration::from_secs(1));
    let refreshed =
        world.publish(&wild, "sip:u1@sfb.example", &["Event: presence", &format!("SIP-If-Match: {tag}")], "");
    assert_eq!(refreshed.response.code, 200);
    let another = world.publish(&wild, "sip:u2@sfb.example", &["Event: presence", PIDF], &on_the_phone());
    assert_eq!(another.response.code, 500);
}

#[test]
fn the_subscriptions_of_a_peer_have_a_bound() {
    let mut world = with_share(Share { subscriptions: 1, ..Share::default() });
    let mut subscribe = |who: &Identity| world.subscribe_with(who, None, &["Event: presence"]).response.code;
    assert_eq!([subscribe(&peer("wild")), subscribe(&peer("wild")), subscribe(&peer("other"))], [200, 500, 200]);
}

#[test]
fn names_that_could_break_the_document_are_escaped() {
    let mut world = World::new();
    let person = "<dm:note>&lt;/dm:note&gt; &amp; \"quoted\"</dm:note>";
    world.initial(&pidf("\"&gt;&lt;x", "open", person).replace("id=\"\"", "id=\"&quot;"));
    let document = world.document();
    assert!(document.contains("&lt;/dm:note&gt; &amp; &quot;quoted&quot;"));
    assert!(!document.contains("<x"));
}
