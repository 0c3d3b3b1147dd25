//! The simulator itself: a seed is one history, and a failing one becomes short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use presence::publisher::Mutant as Publisher;
use presence::server::Mutant as Server;
use sim::{Feature, Mutant, Play, run, shortest};

#[test]
fn a_seed_is_one_history() {
    for seed in 0..6 {
        let play = Play { seed, told: true, ..Play::default() };
        let (one, other) = (run(&play), run(&play));
        assert_eq!(one.log, other.log);
        assert_eq!(one.broken, other.broken);
    }
}

#[test]
fn every_feature_has_a_name_of_its_own() {
    for feature in Feature::ALL {
        assert_eq!(Feature::parse(feature.name()), Some(*feature));
    }
}

#[test]
fn a_failing_seed_becomes_short_and_fails_still() {
    let mutant = Some(Mutant::Node(node::Mutant::Publisher(Publisher::Ignores412)));
    let fails = |play: &Play| !run(play).broken.is_empty();
    let long = (0..200).map(|seed| Play { seed, mutant, ..Play::default() }).find(fails).expect("a seed that fails");
    let short = shortest(&long);
    let (before, after) = (run(&long), run(&short));
    assert!(!after.broken.is_empty(), "{} does not fail", short.command());
    assert!(after.acts.len() * 3 <= before.acts.len(), "{} deeds of {}", after.acts.len(), before.acts.len());
    assert!(after.features.len() <= before.features.len());
    assert!(short.command().starts_with(&format!("--seed {}", long.seed)));
}

#[test]
fn what_the_presence_server_inside_does_wrong_is_seen_by_a_watcher() {
    let mutant = Some(Mutant::Node(node::Mutant::PresenceServer(Server::ExpiryNotTold)));
    let broken = |seed| run(&Play { seed, mutant, ..Play::default() }).broken;
    let found = (0..200).map(broken).find(|broken| !broken.is_empty()).expect("a seed that finds it");
    assert!(found[0].contains("to watcher"), "{found:?}");
}

#[test]
fn the_presence_server_inside_is_there_alone_and_beside_others_and_often_not_at_all() {
    let shape = |seed| {
        let features = run(&Play { seed, keep: Some([].into()), ..Play::default() }).features;
        (features.contains(&Feature::ServerHere), features.contains(&Feature::Alone))
    };
    let shapes: Vec<(bool, bool)> = (0..40).map(shape).collect();
    for shape in [(true, true), (true, false), (false, false)] {
        assert!(shapes.iter().filter(|drawn| **drawn == shape).count() >= 3, "{shapes:?}");
    }
}
