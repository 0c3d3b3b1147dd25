//! Where messages cross: forks, CANCEL, lost ACKs.

use std::time::Duration;

use call::Input;
use call::event::Evidence;
use call::registrar::{self, Binding, Registrar};
use sip::transaction::ServerKey;
use sip::{Aor, KeyedState, Random};
use wire::sip::{Message, Method};

use crate::world::{ANSWER, SDP, Sent, World, flow, from_callee, from_caller, header};

/// The bindings that a phone with these contacts has.
fn bindings(world: &World, contacts: &[&str], extra: &str) -> Vec<Binding> {
    let mut random = Random::from_number(1);
    let mut registrar = Registrar::new(registrar::Settings::default(), KeyedState::new(&mut random), world.now);
    let user = Aor::parse("sip:200@sbc.example").unwrap();
    let octets = format!(
        "REGISTER sip:sbc.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKr\r\nFrom: <sip:200@sbc.example>;tag=r\r\n\
         To: <sip:200@sbc.example>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\nContact: {}\r\n{extra}Content-Length: 0\r\n\r\n",
        contacts.join(", ")
    );
    let message = Message::parse(octets.as_bytes()).unwrap();
    registrar.handle(
        world.now,
        registrar::Input::Register { key: ServerKey::from(1), message: &message, flow: flow(7000), user: user.clone() },
    );
    registrar.bindings(world.now, &user)
}

/// A call that rings at these contacts.
fn forked(contacts: &[&str]) -> (World, ServerKey, Vec<Sent>) {
    let mut world = World::to_phones();
    let (invite, asked) = world.request(&from_caller("INVITE", 1, None, &[], SDP));
    let question = asked.0.iter().find_map(|output| match output {
        call::Output::Locate { question, aor } if aor.as_str() == "sip:200@sbc.example" => Some(*question),
        _ => None,
    });
    let bindings = bindings(&world, contacts, "");
    let rang = world.handle(Input::Located { question: question.unwrap(), bindings });
    (world, invite, rang.all_sent(Method::Invite))
}

const TWO: [&str; 2] = ["<sip:200@192.0.2.11>", "<sip:200@192.0.2.12>"];

#[test]
fn a_user_without_a_phone_is_unavailable() {
    let (world, _, sent) = forked(&["<sip:x@h>;expires=0"]);
    assert!(sent.is_empty());
    assert!(world.calls.is_empty());
}

#[test]
fn every_phone_rings_on_the_flow_it_registered_on() {
    let (_, _, sent) = forked(&TWO);
    let mut uris: Vec<&str> = sent.iter().map(|sent| &*sent.request.uri).collect();
    uris.sort_unstable();
    assert_eq!(uris, ["sip:200@192.0.2.11", "sip:200@192.0.2.12"]);
    assert!(sent.iter().all(|sent| sent.target.flow == Some(flow(7000))));
    let ids: Vec<_> = sent.iter().map(|sent| header(&sent.request.headers, "Call-ID")).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn the_first_answer_wins_and_the_others_are_given_up() {
    let (mut world, invite, sent) = forked(&TWO);
    world.respond(&sent[1], 180, "two", &[], "");
    let answered = world.accept(&sent[0], "one");
    assert_eq!(answered.response(invite).code, 200);
    assert_eq!(answered.cancels(), [sent[1].key]);
    let late = world.respond(&sent[1], 487, "two", &[], "");
    assert!(late.responses(invite).is_empty() && late.ends().is_empty());
}

#[test]
fn an_answer_of_a_loser_is_acknowledged_and_hung_up() {
    let (mut world, invite, sent) = forked(&TWO);
    world.accept(&sent[0], "one");
    let crossed = world.accept(&sent[1], "two");
    let acks = crossed.acks();
    assert_eq!(acks.len(), 1);
    let bye = crossed.sent(Method::Bye);
    assert!(header(&bye.request.headers, "To").unwrap().ends_with(";tag=two"));
    assert_eq!(header(&bye.request.headers, "Call-ID"), header(&sent[1].request.headers, "Call-ID"));
    assert!(crossed.responses(invite).is_empty() && crossed.ends().is_empty() && crossed.answers() == 0);
    let keep = acks[0].1;
    let again = world.accept(&sent[1], "two");
    assert_eq!(again.acks_again(), [keep]);
    assert!(again.all_sent(Method::Bye).is_empty());
}

#[test]
fn a_second_answer_to_one_invite_with_another_tag_is_acknowledged_and_hung_up() {
    let mut world = World::to_trunk();
    let up = world.up();
    let second = world.accept(&up.sent, "carol");
    assert_eq!(second.acks().len(), 1);
    assert!(header(&second.sent(Method::Bye).request.headers, "To").unwrap().ends_with(";tag=carol"));
    assert!(second.ends().is_empty() && second.answers() == 0);
}

#[test]
fn the_winners_answer_again_gets_the_same_ack_again() {
    let mut world = World::to_trunk();
    let up = world.up();
    let again = world.accept(&up.sent, "bob");
    assert_eq!(again.acks_again().len(), 1);
    assert_eq!((again.0.len(), again.answers()), (1, 0));
}

#[test]
fn the_best_failure_of_all_phones_reaches_the_caller() {
    for (first, second, best) in [(404, 500, 404), (500, 486, 486), (486, 603, 603), (600, 404, 600)] {
        let (mut world, invite, sent) = forked(&TWO);
        assert!(world.respond(&sent[0], first, "one", &[], "").responses(invite).is_empty());
        let last = world.respond(&sent[1], second, "two", &[], "");
        assert_eq!(last.response(invite).code, best, "{first} and {second}");
        assert_eq!(last.ends(), [Evidence::Refused(best)]);
        assert!(world.calls.is_empty());
    }
}

#[test]
fn a_cancel_gives_up_every_phone_and_the_call_ends_once() {
    let (mut world, invite, sent) = forked(&TWO);
    let cancelled = world.handle(Input::Cancelled { invite });
    assert_eq!(cancelled.response(invite).code, 487);
    assert_eq!(cancelled.cancels().len(), 2);
    assert_eq!(cancelled.ends(), [Evidence::Cancelled]);
    let rest = world.respond(&sent[0], 487, "one", &[], "").and(world.respond(&sent[1], 487, "two", &[], ""));
    assert!(rest.0.is_empty(), "{rest:?}");
    assert!(world.calls.is_empty());
}

#[test]
fn a_cancel_while_the_callee_is_looked_up_ends_the_call_and_the_late_answer_rings_nobody() {
    let mut world = World::to_phones();
    let (invite, asked) = world.request(&from_caller("INVITE", 1, None, &[], SDP));
    let Some(call::Output::Locate { question, .. }) =
        asked.0.iter().find(|output| matches!(output, call::Output::Locate { .. }))
    else {
        panic!("nobody is looked up: {asked:?}");
    };
    let cancelled = world.handle(Input::Cancelled { invite });
    assert_eq!((cancelled.response(invite).code, cancelled.ends().len()), (487, 1));
    let bindings = bindings(&world, &TWO, "");
    assert!(world.handle(Input::Located { question: *question, bindings }).0.is_empty());
    assert!(world.calls.is_empty());
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    world.respond(&sent, 180, "bob", &[], "");
    let cancelled = world.handle(Input::Cancelled { invite });
    assert_eq!((cancelled.response(invite).code, cancelled.cancels().len()), (487, 1));
    let crossed = world.accept(&sent, "bob");
    assert_eq!(crossed.acks().len(), 1);
    let bye = crossed.sent(Method::Bye);
    assert!(crossed.responses(invite).is_empty());
    assert_eq!((crossed.answers(), crossed.ends().len()), (0, 0));
    world.respond(&bye, 200, "", &[], "");
    world.later(Duration::from_secs(40));
    assert!(world.calls.is_empty());
}

#[test]
fn a_cancel_that_crosses_the_answer_changes_nothing() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    world.accept(&sent, "bob");
    let late = world.handle(Input::Cancelled { invite });
    assert!(late.0.is_empty(), "{late:?}");
}

#[test]
fn an_answer_without_an_ack_ends_the_call_on_both_sides() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    world.accept(&sent, "bob");
    let ended = world.handle(Input::AckMissing { key: invite });
    assert_eq!(ended.ends(), [Evidence::NoAck]);
    assert_eq!(ended.all_sent(Method::Bye).len(), 2);
    assert!(world.handle(Input::AckMissing { key: invite }).ends().is_empty());
}

#[test]
fn an_unacknowledged_late_offer_is_acknowledged_before_it_is_hung_up() {
    let mut world = World::to_trunk();
    let (invite, followed) = world.request(&from_caller("INVITE", 1, None, &[], ""));
    world.accept(&followed.sent(Method::Invite), "bob");
    let ended = world.handle(Input::AckMissing { key: invite });
    assert_eq!((ended.acks().len(), ended.all_sent(Method::Bye).len(), ended.ends().len()), (1, 2, 1));
}

#[test]
fn both_sides_may_hang_up_at_once() {
    let mut world = World::to_trunk();
    let up = world.up();
    let (one, first) = world.request(&from_caller("BYE", 2, Some(&up.tag), &[], ""));
    let (other, second) = world.request(&from_callee(&up.sent.request, "bob", "BYE", 1, &[], ""));
    assert_eq!(first.response(one).code, 200);
    assert!([200, 481].contains(&second.response(other).code));
    assert_eq!(first.and(second).ends(), [Evidence::CallerHungUp]);
}

#[test]
fn a_bye_before_the_answer_is_a_cancel() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let tag = world.respond(&sent, 180, "bob", &[], "").response(invite).to_tag.clone().unwrap();
    let (bye, ended) = world.request(&from_caller("BYE", 2, Some(&tag), &[], ""));
    assert_eq!((ended.response(bye).code, ended.response(invite).code), (200, 487));
    assert_eq!((ended.cancels().len(), ended.ends().len()), (1, 1));
}

#[test]
fn a_caller_whose_ack_is_under_way_is_hung_up_after_it() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let tag = world.accept(&sent, "bob").response(invite).to_tag.clone().unwrap();
    let (_, ended) = world.request(&from_callee(&sent.request, "bob", "BYE", 1, &[], ""));
    assert!(ended.all_sent(Method::Bye).is_empty());
    let acked = world.ack(&from_caller("ACK", 1, Some(&tag), &[], ""));
    assert!(acked.acknowledges(invite), "the 2xx would go out again and again");
    acked.sent(Method::Bye);
}

#[test]
fn a_phone_behind_an_edge_proxy_is_reached_along_its_path() {
    let mut world = World::to_phones();
    let (_, asked) = world.request(&from_caller("INVITE", 1, None, &[], SDP));
    let Some(call::Output::Locate { question, .. }) =
        asked.0.iter().find(|output| matches!(output, call::Output::Locate { .. }))
    else {
        panic!("nobody is looked up: {asked:?}");
    };
    let bindings = bindings(&world, &TWO[..1], "Path: <sip:edge.example;lr>\r\n");
    let sent = world.handle(Input::Located { question: *question, bindings }).sent(Method::Invite);
    assert_eq!(&*sent.target.uri, "sip:edge.example;lr");
    assert_eq!(header(&sent.request.headers, "Route").as_deref(), Some("<sip:edge.example;lr>"));
}

#[test]
fn a_second_answer_after_the_end_is_still_acknowledged_and_hung_up() {
    let mut world = World::to_trunk();
    let up = world.up();
    world.request(&from_caller("BYE", 2, Some(&up.tag), &[], ""));
    let second = world.respond(&up.sent, 200, "carol", &["Contact: <sip:carol@192.0.2.3>"], ANSWER);
    assert_eq!((second.acks().len(), second.all_sent(Method::Bye).len()), (1, 1));
}

#[test]
fn a_caller_who_hangs_up_instead_of_acknowledging_needs_no_answer_again() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let tag = world.accept(&sent, "bob").response(invite).to_tag.clone().unwrap();
    let (_, ended) = world.request(&from_caller("BYE", 2, Some(&tag), &[], ""));
    assert_eq!(ended.ends().len(), 1);
    assert!(ended.acknowledges(invite));
}

#[test]
fn a_caller_whose_ack_never_comes_is_hung_up_then() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    world.accept(&sent, "bob");
    let (_, ended) = world.request(&from_callee(&sent.request, "bob", "BYE", 1, &[], ""));
    assert_eq!((ended.all_sent(Method::Bye).len(), ended.ends().len()), (0, 1));
    let missing = world.handle(Input::AckMissing { key: invite });
    missing.sent(Method::Bye);
    assert!(missing.ends().is_empty());
}
