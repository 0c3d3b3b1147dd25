//! Who may watch whom: the `[[watch_rule]]` sections.

use std::collections::BTreeMap;
use std::ops::Range;

use presence::server::authorization::{Action, Pattern, Rule};

use super::fault::Fault;
use super::reader::Document;

/// The rules, in the order of the file. One that can never count is warned of.
pub(super) fn rules(document: &Document, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut seen = BTreeMap::new();
    for entry in document.all("watch_rule") {
        let pattern = |name| entry.text(name).and_then(|at| Pattern::parse(at.what));
        let (Some(presentity), Some(watcher)) = (pattern("presentity"), pattern("watcher")) else { continue };
        let action = match entry.text("action").map(|at| at.what) {
            Some("allow") => Action::Allow,
            Some("block") => Action::Block,
            Some("polite-block") => Action::PoliteBlock,
            Some("confirm") => Action::Confirm,
            _ => continue,
        };
        let details = entry.flag("details");
        if details && action != Action::Allow {
            let words = "who is not allowed to watch sees no details";
            faults.push(
                Fault::new(entry.span_of("details"), words, "leave it out, or write: action = \"allow\"")
                    .with(entry.span_of("action"), "this is the action"),
            );
        }
        let mut wider =
            presentity.wider().into_iter().flat_map(|p| watcher.wider().into_iter().map(move |w| (p.clone(), w)));
        let first: Option<Range<usize>> = wider.find_map(|pair| seen.get(&pair).cloned());
        if let Some(first) = first {
            warnings.push(
                Fault::new(entry.span_of("presentity"), "this rule never counts", "put it before the other one")
                    .with(first, "this one comes first, and fits all that it fits"),
            );
        }
        seen.entry((presentity.clone(), watcher.clone())).or_insert_with(|| entry.span_of("presentity"));
        rules.push(Rule { presentity, watcher, action, details });
    }
    rules
}

/// Warns of rules for a presence server that does not run.
pub(super) fn in_vain(document: &Document, warnings: &mut Vec<Fault>) {
    if let Some(entry) = document.all("watch_rule").next() {
        let words = "the presence server inside does not run";
        warnings.push(Fault::new(entry.span_of("presentity"), words, "add a section [presence_server_here]"));
    }
}
