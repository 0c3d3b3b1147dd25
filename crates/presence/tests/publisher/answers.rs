//! What each answer to a PUBLISH makes the publisher do.

use presence::publisher::{Report, Server};

use crate::world::{JANE, JOHN, Sent, World, seconds};

#[test]
fn provisional_answers_change_nothing() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 100, &[]);
    world.accept(&initial, "a");
    world.ended(1);
    world.sent().removes("a");
}

#[test]
fn a_2xx_without_expires_grants_what_was_asked() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 200, &["SIP-ETag: a"]);
    let (_, waited) = world.wait_for_publish(seconds(600));
    assert!(waited >= seconds(300) && waited <= seconds(510));
}

#[test]
fn a_2xx_that_grants_more_than_asked_grants_what_was_asked() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 200, &["SIP-ETag: a", "Expires: 86400"]);
    let (_, waited) = world.wait_for_publish(seconds(600));
    assert!(waited <= seconds(510));
}

#[test]
fn a_2xx_that_grants_less_is_refreshed_sooner() {
    for granted in [64, 90, 120, 300] {
        let mut world = World::new();
        world.answered(1);
        let initial = world.sent();
        world.answer(&initial, 200, &["SIP-ETag: a", &format!("Expires: {granted}")]);
        let (_, waited) = world.wait_for_publish(seconds(granted));
        assert!(waited >= seconds(granted) / 2 && waited <= seconds(granted - 32), "{granted}: {waited:?}");
    }
}

#[test]
fn a_refresh_counts_from_its_sending_not_from_its_answer() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.wait(seconds(30));
    world.accept(&initial, "a");
    let (refresh, _) = world.wait_for_publish(seconds(600));
    assert!(refresh.at - initial.at <= seconds(510));
}

#[test]
fn a_very_short_grant_is_refreshed_at_half_at_most_once_a_second_and_reported_once() {
    for (granted, pause) in [(8, 4_000), (1, 1_000)] {
        let mut world = World::new();
        world.answered(1);
        let mut last = world.sent();
        for round in 0..5 {
            world.answer(&last, 200, &[&format!("SIP-ETag: {round}"), &format!("Expires: {granted}")]);
            let (next, waited) = world.wait_for_publish(seconds(10));
            assert_eq!(waited.as_millis(), pause);
            last = next;
        }
        assert_eq!(world.reports.iter().filter(|report| matches!(report, Report::ShortGrant { .. })).count(), 1);
    }
}

#[test]
fn a_2xx_without_entity_tag_is_reported_and_not_repeated_until_it_has_run_out() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 200, &["Expires: 600"]);
    assert!(matches!(world.reports.as_slice(), [Report::NoEntityTag { .. }]));
    let (again, waited) = world.wait_for_publish(seconds(601));
    assert_eq!(waited, seconds(600));
    again.is_initial();
}

#[test]
fn what_has_no_entity_tag_is_never_removed() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 200, &["Expires: 600"]);
    world.ended(1);
    world.wait(seconds(601));
    world.silent();
    assert!(world.publisher.is_empty());
}

#[test]
fn a_412_makes_a_fresh_initial() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.answer(&refresh, 412, &[]);
    let initial = world.sent();
    initial.is_initial();
    assert_ne!(initial.header("Call-ID"), refresh.header("Call-ID"));
    world.accept(&initial, "b");
    world.ended(1);
    world.sent().removes("b");
}

#[test]
fn a_server_that_always_forgets_gets_an_initial_every_ten_seconds_at_most() {
    let mut world = World::new();
    world.answered(1);
    let mut initial = world.sent();
    for round in 0..6 {
        world.answer(&initial, 200, &[&format!("SIP-ETag: {round}"), "Expires: 4"]);
        let (refresh, _) = world.wait_for_publish(seconds(4));
        world.answer(&refresh, 412, &[]);
        let (next, _) = world.wait_for_publish(seconds(10));
        next.is_initial();
        assert_eq!(next.at - initial.at, seconds(10));
        initial = next;
    }
}

#[test]
fn a_412_to_a_removal_means_that_it_is_gone() {
    let mut world = World::published();
    world.ended(1);
    let remove = world.sent();
    world.answer(&remove, 412, &[]);
    world.wait(seconds(3600));
    world.silent();
    assert!(world.publisher.is_empty());
}

#[test]
fn a_423_is_tried_once_more_with_the_time_it_names() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 423, &["Min-Expires: 1800"]);
    let again = world.sent();
    again.is_initial();
    assert_eq!(again.expires(), 1800);
    assert_eq!(again.header("Call-ID"), initial.header("Call-ID"));
    assert_eq!(again.header("From"), initial.header("From"));
    assert_eq!(again.cseq(), 2);
    world.accept(&again, "a");
    let (refresh, _) = world.wait_for_publish(seconds(1800));
    assert_eq!(refresh.expires(), 1800, "the next one asks for it at once");
}

#[test]
fn a_423_without_a_time_or_with_one_too_long_or_no_longer_refuses_the_user() {
    for header in [&[][..], &["Min-Expires: 3601"], &["Min-Expires: 600"], &["Min-Expires: many"]] {
        let mut world = World::new();
        world.answered(1);
        let initial = world.sent();
        world.answer(&initial, 423, header);
        world.silent();
        assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 423, .. }]), "{header:?}");
    }
}

#[test]
fn a_423_again_and_again_is_not_followed_for_ever() {
    let mut world = World::new();
    world.answered(1);
    let mut sent = world.sent();
    for more in 1..100 {
        world.answer(&sent, 423, &[&format!("Min-Expires: {}", 600 + more)]);
        match world.next() {
            Some(next) => sent = next,
            None => break,
        }
        assert!(more < 2, "once more, not {more} times");
    }
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 423, .. }]));
}

const MD5: &str = "WWW-Authenticate: Digest realm=\"sfb.example\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
const SHA256: &str = "WWW-Authenticate: Digest realm=\"sfb.example\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";

#[test]
fn a_challenge_is_answered_with_the_strongest_algorithm() {
    let mut world = World::with_password();
    world.answered(1);
    let initial = world.sent();
    assert_eq!(initial.header("Authorization"), None);
    world.answer(&initial, 401, &[MD5, SHA256]);
    let proved = world.sent();
    proved.is_initial();
    let authorization = proved.header("Authorization").unwrap();
    assert!(authorization.contains("algorithm=SHA-256") && authorization.contains("nc=00000001"), "{authorization}");
    assert_eq!((proved.header("Call-ID"), proved.cseq()), (initial.header("Call-ID"), 2));
    world.accept(&proved, "a");
    let (refresh, _) = world.wait_for_publish(seconds(510));
    assert!(refresh.header("Authorization").unwrap().contains("nc=00000002"), "the next one proves itself at once");
}

#[test]
fn a_proxy_s_challenge_is_answered_in_its_own_header() {
    let mut world = World::with_password();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 407, &[&MD5.replace("WWW-", "Proxy-")]);
    let proved = world.sent();
    assert!(proved.header("Proxy-Authorization").is_some() && proved.header("Authorization").is_none());
}

#[test]
fn a_stale_nonce_does_not_count_as_a_failure() {
    let mut world = World::with_password();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 401, &[MD5]);
    let proved = world.sent();
    world.answer(&proved, 401, &[&MD5.replace("n1", "n2").replace("Digest ", "Digest stale=true, ")]);
    let again = world.sent();
    assert!(again.header("Authorization").unwrap().contains("nonce=\"n2\""));
    world.accept(&again, "a");
    assert!(!world.reports.iter().any(|report| matches!(report, Report::UserRefused { .. })));
}

#[test]
fn a_wrong_password_refuses_the_user_after_one_attempt() {
    let mut world = World::with_password();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 401, &[MD5]);
    let proved = world.sent();
    world.answer(&proved, 401, &[&MD5.replace("n1", "n2")]);
    world.silent();
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 401, .. }]));
}

#[test]
fn nonces_that_are_always_stale_are_not_followed_for_ever() {
    let mut world = World::with_password();
    world.answered(1);
    let mut sent = world.sent();
    for round in 0.. {
        assert!(round < 10);
        world.answer(&sent, 401, &[&MD5.replace("n1", &format!("n{round}")).replace("Digest ", "Digest stale=true, ")]);
        match world.next() {
            Some(next) => sent = next,
            None => break,
        }
    }
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 401, .. }]));
}

#[test]
fn a_challenge_to_who_has_no_password_refuses_the_user() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 401, &[MD5]);
    world.silent();
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 401, .. }]));
}

#[test]
fn a_redirection_is_followed_once_where_it_is_allowed() {
    let mut world = World::with(vec![Server { follow_redirects: true, ..Server::new("skype") }]);
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 302, &["Contact: <sip:other.example:5070;transport=tcp>"]);
    let again = world.sent();
    assert_eq!(again.instead.as_deref(), Some("sip:other.example:5070;transport=tcp"));
    assert_eq!(&*again.request.uri, JOHN);
    assert_eq!((again.header("Call-ID"), again.cseq()), (initial.header("Call-ID"), 2));
    world.answer(&again, 302, &["Contact: <sip:third.example>"]);
    world.silent();
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 302, .. }]));
}

#[test]
fn a_redirection_is_a_refusal_where_it_is_not_allowed() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 302, &["Contact: <sip:attacker.example>"]);
    world.silent();
    assert!(matches!(world.reports.as_slice(), [Report::UserRefused { code: 302, .. }]));
}

#[test]
fn a_refused_user_is_left_alone_for_five_minutes_and_the_report_says_why() {
    for code in [403, 404, 410, 604, 400, 488, 603] {
        let mut world = World::new();
        world.answered(1);
        let initial = world.sent();
        world.answer(
            &initial,
            code,
            &["Warning: 399 lync \"no such user\"", "ms-diagnostics: 4004;reason=\"unknown\""],
        );
        let Some(Report::UserRefused { code: told, why, user, .. }) = world.reports.pop() else { panic!("{code}") };
        assert_eq!((told, user.as_str()), (code, JOHN));
        assert!(why.contains("no such user") && why.contains("4004"), "{why}");
        let (again, waited) = world.wait_for_publish(seconds(301));
        assert_eq!(waited, seconds(300));
        again.is_initial();
    }
}

#[test]
fn a_refusal_ends_with_the_call_and_the_next_one_tries_at_once() {
    let mut world = World::new();
    world.answered(1);
    let initial = world.sent();
    world.answer(&initial, 403, &[]);
    world.ended(1);
    world.silent();
    world.answered(2);
    world.sent().is_initial();
}

#[test]
fn a_server_that_takes_no_presence_is_reported_once_and_for_all_its_users() {
    for code in [405, 415, 420, 489, 501] {
        let mut world = World::new();
        world.hook(JOHN, 1, true);
        world.hook(JANE, 2, true);
        let (john, jane) = (world.next().unwrap(), world.next().unwrap());
        world.answer(&john, code, &[]);
        world.answer(&jane, code, &[]);
        world.hook("sip:third@sfb.example", 3, true);
        world.silent();
        let refusals = world.reports.iter().filter(|report| matches!(report, Report::ServerRefused { .. })).count();
        assert_eq!((refusals, world.reports.len()), (1, 1), "{code}");
        world.wait(seconds(300));
        let all: Vec<Sent> = std::iter::from_fn(|| world.next()).collect();
        assert_eq!(all.len(), 3, "after five minutes all three are tried again");
    }
}

#[test]
fn a_server_that_takes_no_more_presence_is_told_the_end_of_what_it_took() {
    let mut world = World::new();
    world.hook(JANE, 1, true);
    let jane = world.sent();
    world.answer(&jane, 200, &["SIP-ETag: jane", "Expires: 60"]);
    world.hook(JOHN, 2, true);
    let john = world.sent();
    world.answer(&john, 415, &[]);
    let (refresh, _) = world.wait_for_publish(seconds(60));
    refresh.refreshes("jane");
    world.accept(&refresh, "jane-2");
    world.hook(JANE, 1, false);
    world.sent().removes("jane-2");
}

#[test]
fn a_server_that_refuses_leaves_another_alone() {
    let mut world = World::with(vec![Server::new("old"), Server::new("new")]);
    world.answered(1);
    let (old, new) = (world.next().unwrap(), world.next().unwrap());
    world.answer(&old, 489, &[]);
    world.accept(&new, "n");
    world.ended(1);
    let remove = world.sent();
    assert_eq!(remove.server, 1);
    remove.removes("n");
}

#[test]
fn an_answer_to_what_is_no_longer_awaited_changes_nothing() {
    let mut world = World::published();
    let (refresh, _) = world.wait_for_publish(seconds(510));
    world.accept(&refresh, "b");
    world.accept(&refresh, "c");
    world.answer(&refresh, 412, &[]);
    world.silent();
    world.ended(1);
    world.sent().removes("b");
}
