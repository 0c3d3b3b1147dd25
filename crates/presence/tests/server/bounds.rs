//! Nothing that a peer sends makes the server grow without bound, or lose what others said.

use presence::server::limits;

use crate::world::{JOHN, PIDF, World, header, jane, john, on_the_phone, pidf};

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
    for _ in 0..limits::SUBSCRIPTIONS_PER_PRESENTITY {
        assert_eq!(world.subscribe_with(&jane(), None, &["Event: presence"]).response.code, 200);
    }
    let outcome = world.subscribe_with(&jane(), None, &["Event: presence"]);
    assert_eq!(outcome.response.code, 500);
    assert!(header(&outcome.response.headers, "Retry-After").is_some());
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
