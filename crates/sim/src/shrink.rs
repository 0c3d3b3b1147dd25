//! The shortest replay: features and deeds are left out as long as something is still broken (delta debugging).

use std::collections::BTreeSet;

use crate::swarm::Feature;
use crate::world::{Play, run};

/// Histories that are lived through in search of a shorter one, at the most.
const TRIES: usize = 600;

/// The shortest play that can be found and still breaks something; the play itself where that is none.
#[must_use]
pub fn shortest(play: &Play) -> Play {
    let mut search = Search { best: play.clone(), left: TRIES };
    let outcome = run(play);
    if outcome.broken.is_empty() {
        return search.best;
    }
    search.best.keep.get_or_insert_with(|| outcome.acts.iter().copied().collect());
    // What one leaves out makes room to leave out more, so both are done twice.
    for _ in 0..2 {
        search.fewer_features();
        search.fewer_deeds();
    }
    search.best
}

struct Search {
    best: Play,
    left: usize,
}

impl Search {
    /// Keeps a candidate that still breaks something.
    fn try_out(&mut self, candidate: Play) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let breaks = !run(&candidate).broken.is_empty();
        if breaks {
            self.best = candidate;
        }
        breaks
    }

    fn fewer_features(&mut self) {
        for feature in run(&self.best).features {
            let mut candidate = self.best.clone();
            candidate.without.insert(feature);
            self.try_out(candidate);
        }
    }

    /// Leaves out halves, then quarters, and so on down to single deeds.
    fn fewer_deeds(&mut self) {
        let mut size = self.kept().len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.kept().len() {
                let kept = self.kept();
                let rest: BTreeSet<usize> =
                    kept.iter().take(from).chain(kept.iter().skip(from + size)).copied().collect();
                let candidate = Play { keep: Some(rest), ..self.best.clone() };
                if !self.try_out(candidate) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn kept(&self) -> Vec<usize> {
        self.best.keep.iter().flatten().copied().collect()
    }
}

impl Play {
    /// The command that plays it, but for the program's name.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words = format!("--seed {}", self.seed);
        let without: Vec<&str> = self.without.iter().map(|feature: &Feature| feature.name()).collect();
        if !without.is_empty() {
            words.push_str(&format!(" --without {}", without.join(",")));
        }
        if let Some(keep) = &self.keep {
            let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
            words.push_str(&format!(" --keep {}", if keep.is_empty() { "none".to_owned() } else { keep.join(",") }));
        }
        words
    }
}
