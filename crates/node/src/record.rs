//! What the store keeps of calls and publications, and how it is written down.

use call::CallRecord;
use presence::publisher::Record;
use serde::{Deserialize, Serialize};
use sip::Aor;

use crate::contract::Wall;

pub(crate) mod server;

/// One record of the store.
#[derive(Debug)]
pub(crate) enum Restored {
    /// What a BYE on both legs of a call needs.
    Call(Box<CallRecord>),
    /// A publication that may live at a server.
    Publication(Record),
}

#[derive(Serialize, Deserialize)]
struct Publication<'a> {
    user: &'a str,
    server: &'a str,
    tag: Option<&'a str>,
    until_unix_ms: u64,
    #[serde(borrow)]
    orphans: Vec<(&'a str, u64)>,
    nameless_until_unix_ms: Option<u64>,
}

/// The key of the seed by which owners are found. It is kept, so that what is named after an owner is still its own in the
/// next run.
pub(crate) const OWNERSHIP: &[u8] = b"ownership";

/// The form in which values are written, their first octet. Whoever changes one of them counts on: what an earlier version of the
/// program left is then reported as lost, and never misread.
pub const FORM: u8 = 1;

const CALL: &[u8] = b"call/";
const PUBLICATION: &[u8] = b"publication/";

/// The key of a call's record.
pub(crate) fn call_key(id: &str) -> Vec<u8> {
    [CALL, id.as_bytes()].concat()
}

/// The key of a publication's record; no URI holds a space.
pub(crate) fn publication_key(user: &Aor, server: &str) -> Vec<u8> {
    [PUBLICATION, user.as_str().as_bytes(), b" ", server.as_bytes()].concat()
}

/// A value as octets, with room for so many.
fn encoded(value: &impl Serialize, room: usize) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(1 + room);
    octets.push(FORM);
    postcard::to_extend(value, octets).ok()
}

/// A value read back, and what stands behind it; `None` where it is damaged, or of another form.
fn decoded<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Option<(T, &'a [u8])> {
    postcard::take_from_bytes(octets.strip_prefix(&[FORM])?).ok()
}

/// A call's record as octets.
pub(crate) fn call(record: &CallRecord) -> Option<Vec<u8>> {
    encoded(record, 512)
}

/// A publication's record as octets; instants become wall time.
pub(crate) fn publication(record: &Record, wall: &Wall) -> Option<Vec<u8>> {
    let publication = Publication {
        user: record.user.as_str(),
        server: &record.server,
        tag: record.tag.as_deref(),
        until_unix_ms: wall.unix_ms(record.until),
        orphans: record.orphans.iter().map(|(tag, until)| (&**tag, wall.unix_ms(*until))).collect(),
        nameless_until_unix_ms: record.nameless_until.map(|until| wall.unix_ms(until)),
    };
    encoded(&publication, 256)
}

/// Reads a record back; `None` where it is none of ours or damaged. One that stands under another key than its own is: it
/// would never be found again to be deleted.
pub(crate) fn restore(key: &[u8], value: &[u8], wall: &Wall) -> Option<Restored> {
    if key.starts_with(CALL) {
        let (record, _) = decoded::<CallRecord>(value)?;
        // One without a leg is damaged: there is nobody to hang up, and nothing would ever take it away.
        let is_whole = call_key(&record.id) == key && !record.legs.is_empty();
        return is_whole.then(|| Restored::Call(Box::new(record)));
    }
    if !key.starts_with(PUBLICATION) {
        return None;
    }
    let (record, _) = decoded::<Publication<'_>>(value)?;
    let user = Aor::parse(record.user)?;
    if publication_key(&user, record.server) != key {
        return None;
    }
    Some(Restored::Publication(Record {
        user,
        server: record.server.into(),
        tag: record.tag.map(Into::into),
        until: wall.instant(record.until_unix_ms),
        orphans: record.orphans.into_iter().map(|(tag, until)| (tag.into(), wall.instant(until))).collect(),
        nameless_until: record.nameless_until_unix_ms.map(|until| wall.instant(until)),
    }))
}
