//! Who may watch whom, and which lists there are: the `[[watch_rule]]` and `[[list]]` sections.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use presence::server::authorization::{Action, Pattern, Rule};
use presence::server::limits;
use presence::server::list::Resource;
use sip::Aor;

use super::fault::Fault;
use super::reader::{At, Document, Entry};

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

/// The lists. Each has a URI of its own, and room for its members.
pub(super) fn lists(document: &Document, faults: &mut Vec<Fault>) -> Vec<(Aor, Vec<Resource>)> {
    let mut lists: Vec<(Aor, Vec<Resource>)> = Vec::new();
    let mut seen: BTreeMap<Aor, Range<usize>> = BTreeMap::new();
    for entry in document.all("list") {
        let Some(At { what, span }) = entry.text("uri") else { continue };
        let Some(uri) = Aor::parse(what).filter(|aor| !aor.user().is_empty()) else {
            faults.push(Fault::new(span, "a list's URI names it", "write one like \"sip:team@example.com\""));
            continue;
        };
        if let Some(first) = seen.get(&uri) {
            let fault = Fault::new(span, format!("there already is a list {uri}"), "keep one of the two");
            faults.push(fault.with(first.clone(), "the first"));
            continue;
        }
        seen.insert(uri.clone(), span);
        lists.push((uri, members(entry, faults)));
    }
    for entry in document.all("list") {
        for At { what, span } in entry.texts("members") {
            if let Some(other) = Aor::parse(what).and_then(|aor| seen.get(&aor)) {
                let fault = Fault::new(span.clone(), "a list as a member of a list", "write its members instead");
                faults.push(fault.with(other.clone(), "this is the other list"));
            }
        }
    }
    lists
}

fn members(entry: &Entry, faults: &mut Vec<Fault>) -> Vec<Resource> {
    let mut own = BTreeSet::new();
    let mut resources = Vec::new();
    for At { what, .. } in entry.texts("members") {
        if Aor::parse(what).is_some_and(|aor| own.insert(aor)) {
            resources.push(Resource { uri: what.as_str().into(), name: None });
        }
    }
    let span = || entry.span_of("members");
    if resources.is_empty() {
        faults.push(Fault::new(span(), "a list without members", "write at least one, or leave the list out"));
    }
    let octets: usize = resources.iter().map(Resource::octets).sum();
    if resources.len() > limits::LIST || octets > limits::LIST_OCTETS {
        let words = format!("{} members do not fit into one list", resources.len());
        faults.push(Fault::new(span(), words, format!("make several lists of at most {} members", limits::LIST)));
    }
    resources
}

/// Warns of rules and lists for a presence server that does not run.
pub(super) fn in_vain(document: &Document, warnings: &mut Vec<Fault>) {
    for (section, name) in [("watch_rule", "presentity"), ("list", "uri")] {
        if let Some(entry) = document.all(section).next() {
            let words = "the presence server inside does not run";
            warnings.push(Fault::new(entry.span_of(name), words, "add a section [presence_server_here]"));
        }
    }
}
