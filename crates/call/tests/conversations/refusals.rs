//! What becomes no call, and how it is refused.

use call::routing::{From, Route, To};
use call::{Input, Output};
use wire::sip::Method;

use crate::world::{Followed, SDP, World, from_caller, header};

fn code(world: &mut World, octets: &[u8]) -> (u16, Followed) {
    let (key, followed) = world.request(octets);
    (followed.response(key).code, followed)
}

/// The header of the one response.
fn told(followed: &Followed, name: &str) -> Option<String> {
    followed.0.iter().find_map(|output| match output {
        Output::Respond { response, .. } => header(&response.headers, name),
        _ => None,
    })
}

fn replaced(octets: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(octets).unwrap().replace(from, to).into_bytes()
}

#[test]
fn options_tells_what_we_can() {
    let (code, followed) = code(&mut World::to_trunk(), &from_caller("OPTIONS", 1, None, &[], ""));
    assert_eq!(code, 200);
    assert!(told(&followed, "Allow").unwrap().contains("INVITE"));
    assert!(told(&followed, "Accept").unwrap().contains("application/sdp"));
}

#[test]
fn options_tells_the_extensions() {
    let (_, followed) = code(&mut World::to_trunk(), &from_caller("OPTIONS", 1, None, &[], ""));
    assert!(told(&followed, "Supported").is_some());
}

#[test]
fn an_invite_that_cannot_become_a_call_is_refused_with_the_right_status() {
    let invite = |extra: &[&str], body: &str| from_caller("INVITE", 1, None, extra, body);
    let cases = [
        (invite(&["Max-Forwards: 0"], SDP), 483),
        (invite(&["Require: 100rel"], SDP), 420),
        (invite(&["Content-Type: text/plain"], "hello"), 415),
        (invite(&["Accept: text/plain"], SDP), 406),
        (replaced(invite(&[], SDP), "INVITE sip:200@sbc.example", "INVITE mailto:bob@sbc.example"), 416),
        (replaced(invite(&[], SDP), "Contact: <sip:100@192.0.2.1:5060>\r\n", ""), 400),
    ];
    for (octets, wanted) in cases {
        let mut world = World::to_trunk();
        let (code, followed) = code(&mut world, &octets);
        assert_eq!(code, wanted, "{}", String::from_utf8_lossy(&octets));
        assert!(followed.events().is_empty() && followed.all_sent(Method::Invite).is_empty());
        assert!(world.calls.is_empty());
    }
}

#[test]
fn a_refusal_tells_what_would_do() {
    let mut world = World::to_trunk();
    let (_, followed) = code(&mut world, &from_caller("INVITE", 1, None, &["Require: 100rel, timer"], SDP));
    assert_eq!(told(&followed, "Unsupported").as_deref(), Some("100rel"));
    let (_, followed) = code(&mut world, &from_caller("INVITE", 2, None, &["Content-Type: text/plain"], "hello"));
    assert!(told(&followed, "Accept").unwrap().contains("application/sdp"));
}

#[test]
fn a_body_of_several_parts_is_taken() {
    let mut world = World::to_trunk();
    let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
    let (_, followed) =
        world.request(&from_caller("INVITE", 1, None, &["Content-Type: multipart/mixed;boundary=b"], body));
    let sent = followed.sent(Method::Invite);
    assert_eq!(&sent.request.body[..], body.as_bytes());
    assert_eq!(header(&sent.request.headers, "Content-Type").as_deref(), Some("multipart/mixed;boundary=b"));
}

#[test]
fn methods_that_we_do_not_take_are_refused() {
    for (method, wanted) in [("JUMP", 501), ("REFER", 405), ("BYE", 481), ("INFO", 481), ("UPDATE", 481)] {
        let (code, followed) = code(&mut World::to_trunk(), &from_caller(method, 1, None, &[], ""));
        assert_eq!(code, wanted, "{method}");
        assert_eq!(told(&followed, "Allow").is_some(), matches!(wanted, 405 | 501));
    }
    let (code, _) = code(&mut World::to_trunk(), &from_caller("INVITE", 1, Some("nobody"), &[], SDP));
    assert_eq!(code, 481);
}

#[test]
fn a_number_without_a_route_does_not_exist() {
    let only_nines = regex::Regex::new("^9").unwrap();
    let routes = vec![Route { from: From::Any, callee: Some(only_nines), to: To::Peer("trunk".into()) }];
    let (code, followed) = code(&mut World::new(routes), &from_caller("INVITE", 1, None, &[], SDP));
    assert_eq!((code, followed.events().len()), (404, 0));
}

#[test]
fn a_node_that_stops_ends_its_calls_and_takes_no_new_one() {
    let mut world = World::to_trunk();
    let up = world.up();
    let stopped = world.handle(Input::Stop);
    assert_eq!((stopped.all_sent(Method::Bye).len(), stopped.ends().len()), (2, 1));
    let byes = stopped.all_sent(Method::Bye);
    assert!(!world.respond(&byes[0], 200, "", &[], "").forgets(&up.record.id), "one side has not confirmed");
    assert!(world.respond(&byes[1], 200, "", &[], "").forgets(&up.record.id));
    assert!(world.handle(Input::Stop).ends().is_empty());
    let (code, followed) = code(&mut world, &from_caller("INVITE", 9, None, &[], SDP));
    assert_eq!(code, 503);
    assert!(told(&followed, "Retry-After").is_some());
}

#[test]
fn a_call_that_rings_when_the_node_stops_is_given_up() {
    let mut world = World::to_trunk();
    let (invite, sent) = world.ring();
    let stopped = world.handle(Input::Stop);
    assert_eq!((stopped.response(invite).code, stopped.cancels()), (503, vec![sent.key]));
    assert_eq!(stopped.ends().len(), 1);
}

#[test]
fn a_call_of_an_earlier_run_is_hung_up_on_both_sides_and_then_forgotten() {
    let up = World::to_trunk().up();
    let mut world = World::to_trunk();
    let restored = world.handle(Input::Restore(Box::new(up.record.clone())));
    let byes = restored.all_sent(Method::Bye);
    let numbers: Vec<_> = byes.iter().filter_map(|bye| header(&bye.request.headers, "CSeq")).collect();
    let wanted = up.record.legs.iter().map(|leg| format!("{} BYE", leg.dialog.local_cseq + 101)).collect::<Vec<_>>();
    assert_eq!(numbers, wanted);
    let tags: Vec<_> = byes.iter().filter_map(|bye| header(&bye.request.headers, "To")).collect();
    assert!(tags[0].ends_with(";tag=alice") && tags[1].ends_with(";tag=bob"));
    let first = world.respond(&byes[0], 200, "", &[], "");
    assert!(!first.forgets(&up.record.id));
    let cause = sip::transaction::Failure::TimedOut;
    let second = world.handle(Input::Failed { key: byes[1].key, cause });
    assert!(!second.forgets(&up.record.id), "our BYE may have overtaken a 2xx");
    let later = world.later(std::time::Duration::from_secs(41));
    assert!(later.forgets(&up.record.id));
    let last = later.all_sent(Method::Bye);
    assert_eq!(last.len(), 1, "who has not confirmed is told once more");
    assert!(header(&last[0].request.headers, "To").is_some_and(|to| to.ends_with(";tag=bob")));
    world.respond(&last[0], 481, "", &[], "");
    assert!(restored.and(first).and(second).events().is_empty());
    assert!(world.calls.is_empty());
}
