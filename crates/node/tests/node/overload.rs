//! Under more than it can do, a node turns new work away and goes on with what is there.

use node::Input;

use crate::world::{CALLEE, CALLER, World, header};

#[test]
fn new_calls_get_503_with_a_retry_after_while_the_node_is_overloaded() {
    let mut world = World::new();
    world.handle(Input::Overloaded(true));
    world.invite();
    let refusal = world.take_from(CALLER, "SIP/2.0 503").remove(0);
    let after: u32 = header(&refusal, "Retry-After").parse().unwrap();
    assert!((5..15).contains(&after));
    assert!(world.take_from(CALLEE, "INVITE").is_empty());
    world.handle(Input::Overloaded(false));
    world.invite_again(2);
    assert_eq!(world.take_from(CALLEE, "INVITE").len(), 1);
}

#[test]
fn a_call_that_is_up_ends_as_ever_while_the_node_is_overloaded() {
    let mut world = World::new();
    world.call();
    world.handle(Input::Overloaded(true));
    world.hang_up();
}

#[test]
fn what_the_node_itself_publishes_goes_on_while_it_is_overloaded() {
    let mut world = World::new();
    world.call();
    for publish in world.take("PUBLISH") {
        world.answer(&publish, "200 OK", "SIP-ETag: a\r\nExpires: 600\r\n");
    }
    world.handle(Input::Overloaded(true));
    world.hang_up();
    assert_eq!(world.take("PUBLISH").len(), 2);
}
