//! Hard state (RFC 3903 section 2): what shows of who publishes nothing.

use presence::server::{BodyFault, HardStates};
use sip::Aor;

use crate::world::{JOHN, World, john, on_the_phone, pidf};

fn away() -> String {
    pidf("desk", "open", "<rpid:activities><rpid:vacation/></rpid:activities><dm:note>back in May</dm:note>")
}

fn provisioned() -> World {
    let mut world = World::new();
    world.provision(&hard(&away()));
    world
}

fn hard(document: &str) -> HardStates {
    let mut hard = HardStates::new();
    hard.provision("presence", Aor::parse(JOHN).unwrap(), document.as_bytes()).unwrap();
    hard
}

#[test]
fn what_is_provisioned_shows_while_nothing_is_published() {
    let mut world = provisioned();
    for needed in ["<basic>open</basic>", "<rpid:vacation/>", "back in May"] {
        assert!(world.document().contains(needed), "{needed}: {}", world.document());
    }
    let tag = world.initial(&on_the_phone());
    assert!(!world.document().contains("vacation") && world.document().contains("on-the-phone"));
    assert_eq!(world.refresh(&tag, 0).response.code, 200);
    assert!(world.document().contains("vacation") && !world.document().contains("on-the-phone"));
}

#[test]
fn a_watcher_is_told_when_it_shows_again() {
    let mut world = provisioned();
    let tag = world.initial(&on_the_phone());
    world.subscribe();
    let outcome = world.refresh(&tag, 0);
    assert!(outcome.notifies[0].body().contains("vacation"), "{}", outcome.notifies[0].body());
}

#[test]
fn others_are_closed() {
    let world = provisioned();
    assert!(world.document_of("sip:jane@sfb.example").contains("<basic>closed</basic>"));
}

#[test]
fn another_one_is_told_to_who_watches_and_none_is_closed() {
    let mut world = provisioned();
    world.subscribe();
    let told = world.provision(&hard(&away().replace("May", "June")));
    assert!(told[0].body().contains("back in June"), "{}", told[0].body());
    world.answer(told[0].key, 200, &[]);
    assert!(world.provision(&hard(&away().replace("May", "June"))).is_empty(), "nothing has changed");
    let told = world.provision(&HardStates::new());
    assert!(told[0].body().contains("<basic>closed</basic>"), "{}", told[0].body());
}

#[test]
fn it_has_no_tag_and_nobody_can_modify_it() {
    let mut world = provisioned();
    assert_eq!(world.server.publications(), 0);
    assert_eq!(world.publish(&john(), JOHN, &["Event: presence", "SIP-If-Match: 0"], "").response.code, 412);
}

#[test]
fn what_could_not_be_published_cannot_be_provisioned() {
    let mut hard = HardStates::new();
    let john = || Aor::parse(JOHN).unwrap();
    assert!(matches!(hard.provision("presence", john(), b"away"), Err(BodyFault::Malformed(_))));
    assert!(matches!(hard.provision("weather", john(), away().as_bytes()), Err(BodyFault::Malformed(_))));
    assert_eq!(hard.provision("presence", john(), &[b' '; 20_000]), Err(BodyFault::TooLarge));
}
