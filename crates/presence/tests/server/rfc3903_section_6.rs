//! RFC 3903 section 6: what the event state compositor does with a PUBLISH, in the order of its steps.

use std::collections::BTreeSet;
use std::time::Duration;

use presence::server::{Identity, Report};
use sip::Aor;

use crate::world::{JOHN, PIDF, World, header, jane, john, on_the_phone, online, publisher};

#[test]
fn a_presentity_of_another_domain_is_not_found() {
    let mut world = World::new();
    let outcome = world.publish(&publisher("sbc"), "sip:john@elsewhere.example", &["Event: presence", PIDF], &online());
    assert_eq!(outcome.response.code, 404);
}

#[test]
fn a_uri_that_is_no_sip_uri_is_not_found() {
    let mut world = World::new();
    assert_eq!(
        world.publish(&publisher("sbc"), "tel:+4930123", &["Event: presence", PIDF], &online()).response.code,
        404
    );
}

#[test]
fn another_event_package_is_answered_with_those_that_are_known() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: conference", PIDF], &online());
    assert_eq!(outcome.response.code, 489);
    assert_eq!(header(&outcome.response.headers, "Allow-Events").as_deref(), Some("presence, dialog, message-summary"));
}

#[test]
fn a_publish_without_event_is_a_bad_event() {
    let mut world = World::new();
    assert_eq!(world.publish(&john(), JOHN, &[PIDF], &online()).response.code, 489);
}

#[test]
fn an_extension_that_is_required_and_unknown_is_named() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", "Require: teleport", PIDF], &online());
    assert_eq!(outcome.response.code, 420);
    assert_eq!(header(&outcome.response.headers, "Unsupported").as_deref(), Some("teleport"));
}

#[test]
fn nobody_publishes_for_somebody_else() {
    let mut world = World::new();
    for who in [jane(), Identity::default()] {
        assert_eq!(world.publish(&who, JOHN, &["Event: presence", PIDF], &online()).response.code, 403);
    }
    assert!(matches!(&world.reports[..], [Report::PublishRefused { code: 403, .. }, _]));
}

#[test]
fn a_trusted_peer_publishes_for_its_domains_and_no_others() {
    let mut world = World::new();
    let who = Identity { domains: Some(["other.example".into()].into()), ..publisher("sbc") };
    assert_eq!(world.publish(&who, JOHN, &["Event: presence", PIDF], &online()).response.code, 403);
    let there = "sip:kim@other.example";
    assert_eq!(world.publish(&who, there, &["Event: presence", PIDF], &online()).response.code, 200);
}

#[test]
fn this_node_publishes_for_everyone() {
    let mut world = World::new();
    let who = Identity { internal: true, ..Identity::default() };
    assert_eq!(world.publish(&who, JOHN, &["Event: presence", PIDF], &online()).response.code, 200);
}

#[test]
fn an_initial_publication_gets_a_tag_and_the_time_it_asked_for() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 600"], &online());
    assert_eq!(outcome.response.code, 200);
    assert!(header(&outcome.response.headers, "SIP-ETag").is_some_and(|tag| tag.len() >= 16));
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("600"));
}

#[test]
fn every_version_has_a_tag_of_its_own_that_never_comes_again() {
    let mut world = World::new();
    let mut tag = world.initial(&online());
    let mut seen = BTreeSet::from([tag.clone()]);
    for round in 0..200 {
        let outcome = if round % 2 == 0 { world.refresh(&tag, 600) } else { world.modify(&tag, &on_the_phone()) };
        assert_eq!(outcome.response.code, 200);
        tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
        assert!(seen.insert(tag.clone()));
    }
    assert_eq!(world.server.publications(), 1);
}

#[test]
fn a_tag_that_belongs_to_nothing_fails_the_condition() {
    let mut world = World::new();
    assert_eq!(world.refresh("never-given", 600).response.code, 412);
}

#[test]
fn the_tag_of_an_older_version_fails_the_condition() {
    let mut world = World::new();
    let first = world.initial(&online());
    assert_eq!(world.refresh(&first, 600).response.code, 200);
    assert_eq!(world.refresh(&first, 600).response.code, 412);
    assert_eq!(world.modify(&first, &on_the_phone()).response.code, 412);
    assert_eq!(world.refresh(&first, 0).response.code, 412);
    assert!(!world.document().contains("on-the-phone"));
}

#[test]
fn a_tag_of_one_presentity_is_worth_nothing_at_another() {
    let mut world = World::new();
    let tag = format!("SIP-If-Match: {}", world.initial(&online()));
    let outcome = world.publish(&jane(), "sip:jane@sfb.example", &["Event: presence", &tag], "");
    assert_eq!(outcome.response.code, 412);
}

#[test]
fn two_tags_are_a_bad_request() {
    let mut world = World::new();
    let tag = world.initial(&online());
    let both = format!("SIP-If-Match: {tag}, other");
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", &both], "").response.code, 400);
}

#[test]
fn the_condition_is_checked_before_the_time() {
    let mut world = World::new();
    assert_eq!(world.refresh("never-given", 1).response.code, 412);
}

#[test]
fn a_time_too_short_is_answered_with_the_shortest() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 59"], &online());
    assert_eq!(outcome.response.code, 423);
    assert_eq!(header(&outcome.response.headers, "Min-Expires").as_deref(), Some("60"));
    assert_eq!(world.server.publications(), 0);
}

#[test]
fn a_time_too_long_is_shortened() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 86400"], &online());
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("3600"));
}

#[test]
fn without_a_time_the_package_decides() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF], &online());
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("3600"));
}

#[test]
fn a_time_that_is_no_number_is_a_bad_request() {
    let mut world = World::new();
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: soon"], &online()).response.code, 400);
}

#[test]
fn a_time_of_zero_removes_the_publication() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    let outcome = world.refresh(&tag, 0);
    assert_eq!(outcome.response.code, 200);
    assert_eq!(header(&outcome.response.headers, "Expires").as_deref(), Some("0"));
    assert_eq!(world.server.publications(), 0);
    assert!(world.document().contains("<basic>closed</basic>"));
    assert_eq!(world.refresh(&tag, 600).response.code, 412);
}

#[test]
fn an_initial_publication_of_no_time_leaves_nothing() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", PIDF, "Expires: 0"], &online());
    assert_eq!(outcome.response.code, 200);
    assert_eq!(world.server.publications(), 0);
}

#[test]
fn a_body_of_another_type_is_answered_with_the_type_that_is_read() {
    let mut world = World::new();
    let outcome = world.publish(&john(), JOHN, &["Event: presence", "Content-Type: application/xpidf+xml"], &online());
    assert_eq!(outcome.response.code, 415);
    assert_eq!(header(&outcome.response.headers, "Accept").as_deref(), Some("application/pidf+xml"));
}

#[test]
fn a_body_without_a_type_is_unsupported() {
    let mut world = World::new();
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence"], &online()).response.code, 415);
}

#[test]
fn the_type_of_a_body_may_be_written_in_capitals_and_with_parameters() {
    let mut world = World::new();
    let media = "Content-Type: Application/PIDF+XML;charset=\"UTF-8\"";
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", media], &online()).response.code, 200);
}

#[test]
fn an_encoded_body_is_unsupported() {
    let mut world = World::new();
    let headers = ["Event: presence", PIDF, "Content-Encoding: gzip"];
    assert_eq!(world.publish(&john(), JOHN, &headers, &online()).response.code, 415);
}

#[test]
fn an_initial_publication_without_a_body_is_a_bad_request() {
    let mut world = World::new();
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", PIDF], "").response.code, 400);
}

#[test]
fn a_body_that_is_no_pidf_is_a_bad_request_and_changes_nothing() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    for body in
        ["<presence/>", "<presence xmlns=", "hello", "<!DOCTYPE a><presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>"]
    {
        assert_eq!(world.modify(&tag, body).response.code, 400, "{body}");
    }
    assert!(world.document().contains("on-the-phone"));
    assert_eq!(world.refresh(&tag, 600).response.code, 200, "the tag outlives a refused modification");
}

#[test]
fn a_refresh_with_a_body_modifies() {
    let mut world = World::new();
    let tag = world.initial(&online());
    assert_eq!(world.modify(&tag, &on_the_phone()).response.code, 200);
    assert!(world.document().contains("<rpid:on-the-phone/>"));
    assert_eq!(world.server.publications(), 1);
}

#[test]
fn a_removal_with_a_body_removes() {
    let mut world = World::new();
    let tag = format!("SIP-If-Match: {}", world.initial(&on_the_phone()));
    let outcome = world.publish(&john(), JOHN, &["Event: presence", &tag, PIDF, "Expires: 0"], &on_the_phone());
    assert_eq!(outcome.response.code, 200);
    assert_eq!(world.server.publications(), 0);
}

#[test]
fn a_publication_lives_exactly_as_long_as_was_granted() {
    let mut world = World::new();
    world.initial(&on_the_phone());
    world.wait(Duration::from_millis(599_999));
    assert_eq!(world.server.publications(), 1);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.server.publications(), 0);
    assert!(
        world
            .reports
            .iter()
            .any(|r| matches!(r, Report::PublicationExpired { presentity, .. } if presentity.as_str() == JOHN))
    );
}

#[test]
fn a_refresh_counts_from_its_own_time() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    world.wait(Duration::from_secs(500));
    assert_eq!(world.refresh(&tag, 600).response.code, 200);
    world.wait(Duration::from_millis(599_999));
    assert_eq!(world.server.publications(), 1);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.server.publications(), 0);
}

#[test]
fn a_tag_whose_time_is_over_fails_the_condition() {
    let mut world = World::new();
    let tag = world.initial(&on_the_phone());
    world.wait(Duration::from_secs(600));
    assert_eq!(world.refresh(&tag, 600).response.code, 412);
}

#[test]
fn the_presentity_is_the_same_however_its_uri_is_written() {
    let mut world = World::new();
    world.initial(&online());
    let outcome = world.publish(
        &john(),
        "sip:john.doe@SFB.example:5060;transport=tcp",
        &["Event: presence", PIDF],
        &on_the_phone(),
    );
    assert_eq!(outcome.response.code, 200);
    assert!(world.document().contains("on-the-phone"));
    assert_eq!(Aor::parse(JOHN).unwrap().as_str(), JOHN);
}
