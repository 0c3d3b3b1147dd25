//! The simulator itself: a seed is one history, and a failing one becomes short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers are tests")]

use presence::publisher::Mutant as Publisher;
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
