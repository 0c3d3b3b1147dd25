//! One document from many publications (RFC 3903 section 2, RFC 4479 section 3): what a watcher of `presence` is sent.

use std::collections::BTreeSet;

use super::published::{Activities, Basic, Part, Published, Tuple};
use super::rpid::ACTIVITIES;
use crate::server::limits;
use crate::server::package::Live;
use crate::server::xml::{DATA_MODEL, Fragment, PIDF, Prefixes, escape, is_ncname, uri};

/// Composes the live publications, given in the order in which their content was received.
///
/// Services stay apart, the open ones first; devices are told apart by their deviceID; persons become one. Activities
/// are united, and stand in the person and, for watchers of the older form, in the tuples. Of everything else, the
/// publication received last that has it wins.
pub(super) fn compose(entity: &str, live: &[Live<'_, Published>]) -> Vec<u8> {
    let document = all(entity, live);
    if document.len() > limits::COMPOSED { least(entity, live) } else { document }
}

/// Whether the presentity is there, and what it is doing: what is told where not everything fits into a message.
fn least(entity: &str, live: &[Live<'_, Published>]) -> Vec<u8> {
    let activities = Activities { known: united(live).known, ..Activities::default() };
    let mut said = live.iter().flat_map(|l| &l.state.tuples).filter_map(|tuple| tuple.basic);
    let any_open = said.clone().any(|basic| basic == Basic::Open);
    let basic = if any_open { Some(Basic::Open) } else { said.next() };
    let basic = basic.or_else(|| activities.on_the_phone().then_some(Basic::Open));
    let mut body = Fragment::default();
    write_tuple(&mut body, "t0", &Tuple { basic, ..Tuple::default() }, Some(&activities));
    person(&mut body, &[], &activities);
    document(entity, &body)
}

fn all(entity: &str, live: &[Live<'_, Published>]) -> Vec<u8> {
    let mut ids = Ids { taken: BTreeSet::from(["person".to_owned()]) };
    let activities = united(live);
    let mut body = Fragment::default();
    tuples(&mut body, &mut ids, live, &activities);
    if let Some(last) = live.iter().rev().find(|l| !l.state.notes.is_empty()) {
        body.append(&last.state.notes);
    }
    person(&mut body, live, &activities);
    devices(&mut body, &mut ids, live);
    let mut extensions: Vec<&Part> = Vec::new();
    newest(&mut extensions, live.iter().rev().map(|l| l.state.extensions.as_slice()));
    for part in extensions {
        body.append(&part.xml);
    }
    document(entity, &body)
}

fn document(entity: &str, body: &Fragment) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.octets.len() + 512);
    out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"");
    out.extend_from_slice(PIDF.as_bytes());
    out.extend_from_slice(b"\"");
    body.prefixes.declare(&mut out);
    out.extend_from_slice(b" entity=\"");
    escape(&mut out, &uri(entity));
    out.extend_from_slice(b"\">");
    out.extend_from_slice(&body.octets);
    out.extend_from_slice(b"</presence>\n");
    out
}

fn united(live: &[Live<'_, Published>]) -> Activities {
    let mut all = Activities::default();
    for publication in live {
        let said = &publication.state.activities;
        all.known |= said.known;
        for other in &said.others {
            if all.others.len() < limits::OTHER_ACTIVITIES && !all.others.contains(other) {
                all.others.push(other.clone());
            }
        }
        if !said.notes.is_empty() {
            all.notes = said.notes.clone();
        }
    }
    all
}

fn tuples(out: &mut Fragment, ids: &mut Ids, live: &[Live<'_, Published>], activities: &Activities) {
    let mut all: Vec<(usize, &Tuple, String)> = Vec::new();
    let mut by_age: Vec<(usize, &Live<'_, Published>)> = live.iter().rev().enumerate().collect();
    by_age.sort_by_key(|(_, publication)| publication.number);
    // The oldest publication keeps its ids, whatever comes and goes after it.
    for (newness, publication) in by_age {
        for tuple in &publication.state.tuples {
            all.push((newness, tuple, ids.assign("t", &tuple.id, publication.number)));
        }
    }
    all.sort_by_key(|(newness, tuple, _)| (rank(tuple), *newness));
    let any_open = all.iter().any(|(_, tuple, _)| tuple.basic == Some(Basic::Open));
    for (index, (_, tuple, id)) in all.iter().enumerate() {
        let carries = if any_open { tuple.basic == Some(Basic::Open) } else { index == 0 };
        let activities = Some(activities).filter(|_| carries);
        write_tuple(out, id, tuple, activities);
    }
    if all.is_empty() {
        // Nothing published is closed; a person on the phone without a service can still be reached.
        let basic = match (live.is_empty(), activities.on_the_phone()) {
            (true, _) => Basic::Closed,
            (false, true) => Basic::Open,
            (false, false) => return,
        };
        let tuple = Tuple { basic: Some(basic), ..Tuple::default() };
        write_tuple(out, &ids.assign("t", "t0", 0), &tuple, Some(activities));
    }
}

fn rank(tuple: &Tuple) -> u8 {
    match tuple.basic {
        Some(Basic::Open) => 0,
        None => 1,
        Some(Basic::Closed) => 2,
    }
}

fn write_tuple(out: &mut Fragment, id: &str, tuple: &Tuple, activities: Option<&Activities>) {
    out.raw("<tuple id=\"");
    out.raw(id);
    out.raw("\"><status>");
    match tuple.basic {
        Some(Basic::Open) => out.raw("<basic>open</basic>"),
        Some(Basic::Closed) => out.raw("<basic>closed</basic>"),
        None => {}
    }
    if let Some(activities) = activities.filter(|a| a.known != 0) {
        out.prefixes |= Prefixes::RPID_STATUS;
        out.raw("<ep:activities>");
        for activity in known(activities) {
            for piece in ["<ep:activity>", activity, "</ep:activity>"] {
                out.raw(piece);
            }
        }
        out.raw("</ep:activities>");
    }
    out.append(&tuple.status);
    out.raw("</status>");
    out.append(&tuple.rest);
    out.raw("</tuple>");
}

fn person(out: &mut Fragment, live: &[Live<'_, Published>], activities: &Activities) {
    let mut parts: Vec<&Part> = Vec::new();
    newest(&mut parts, live.iter().rev().map(|l| l.state.person.as_slice()));
    if activities.is_empty() && parts.is_empty() {
        return;
    }
    out.prefixes |= Prefixes::DATA_MODEL;
    out.raw("<dm:person id=\"person\">");
    if !activities.is_empty() {
        out.prefixes |= Prefixes::RPID;
        out.raw("<rpid:activities>");
        out.append(&activities.notes);
        for activity in known(activities) {
            for piece in ["<rpid:", activity, "/>"] {
                out.raw(piece);
            }
        }
        for other in &activities.others {
            out.append(other);
        }
        out.raw("</rpid:activities>");
    }
    // The schema wants the notes after the rest, and the timestamp after the notes.
    parts.sort_by_key(|p| match p.name.strip_prefix(DATA_MODEL) {
        Some(" note") => 1,
        Some(" timestamp") => 2,
        _ => 0,
    });
    for part in parts {
        out.append(&part.xml);
    }
    out.raw("</dm:person>");
}

fn devices(out: &mut Fragment, ids: &mut Ids, live: &[Live<'_, Published>]) {
    let mut seen: Vec<&str> = Vec::new();
    for publication in live.iter().rev() {
        for device in &publication.state.devices {
            if seen.contains(&&*device.device_id) {
                continue;
            }
            seen.push(&device.device_id);
            out.prefixes |= Prefixes::DATA_MODEL;
            out.raw("<dm:device id=\"");
            out.raw(&ids.assign("d", &device.id, publication.number));
            out.raw("\">");
            out.append(&device.inner);
            out.raw("</dm:device>");
        }
    }
}

/// Of the parts of each name, those of the first publication that has them.
fn newest<'a>(chosen: &mut Vec<&'a Part>, newest_first: impl Iterator<Item = &'a [Part]>) {
    for parts in newest_first {
        let of_others = chosen.len();
        for part in parts {
            let taken = chosen.iter().take(of_others).any(|c| c.name == part.name);
            if !taken && !part.xml.is_empty() {
                chosen.push(part);
            }
        }
    }
}

fn known(activities: &Activities) -> impl Iterator<Item = &'static str> + '_ {
    ACTIVITIES.iter().enumerate().filter(|(bit, _)| activities.known & (1 << bit) != 0).map(|(_, name)| *name)
}

/// The ids of one document, each of which may stand there once (`xs:ID`).
struct Ids {
    taken: BTreeSet<String>,
}

impl Ids {
    /// The id itself, where it is a name and free; else one made from it.
    fn assign(&mut self, prefix: &str, id: &str, publication: u64) -> String {
        let mut base = if id.len() > limits::ID { prefix.to_owned() } else { id.to_owned() };
        if !is_ncname(&base) {
            base = format!("{prefix}{id}");
        }
        if !is_ncname(&base) || base.len() > limits::ID {
            base = prefix.to_owned();
        }
        let mut assigned = base.clone();
        let mut attempt = 0u32;
        while !self.taken.insert(assigned.clone()) {
            assigned =
                if attempt == 0 { format!("{base}-{publication}") } else { format!("{base}-{publication}.{attempt}") };
            attempt += 1;
        }
        assigned
    }
}
