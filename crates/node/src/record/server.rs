//! How what the presence server keeps is written down. The keys of one presentity lie side by side: each publication's
//! content, then its newer life, which is all that a refresh writes.

use std::borrow::Cow;
use std::sync::Arc;

use presence::server::list::Resource;
use presence::server::{
    Answer, Content, EntityTag, Forgotten, Identity, Life, Origin, Progress, Record, WatchedList, Watcher,
};
use serde::{Deserialize, Serialize};
use sip::Aor;
use sip::dialog::Dialog;
use sip::transport::Flow;

use super::{decoded, encoded};
use crate::contract::Wall;

const PUBLICATION: &[u8] = b"p/";
const SUBSCRIPTION: &[u8] = b"s/";
const ANSWER: &[u8] = b"a/";

/// What follows the number in a key: the whole record, or its part that changes.
const WHOLE: u8 = 0;
const PART: u8 = 1;

/// A key and its value; without one the record is deleted.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// What a key of the presence server's stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept<'a> {
    /// A publication, with the life that it began with.
    Publication(Place<'a>),
    /// The life of one, which is the newer of the two where both are there.
    Life(Place<'a>),
    /// A subscription, with the progress that it began with.
    Subscription(Place<'a>),
    /// The progress of one, which is the newer of the two where both are there.
    Progress(Place<'a>),
    /// An answer.
    Answer,
}

/// Whose, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) presentity: &'a str,
    pub(crate) number: u64,
}

#[derive(Serialize, Deserialize)]
struct WrittenContent<'a> {
    package: &'a str,
    received: u64,
    origin: Option<(Option<&'a str>, &'a str)>,
    #[serde(borrow)]
    life: WrittenLife<'a>,
}

#[derive(Serialize, Deserialize)]
struct WrittenLife<'a> {
    entity_tag: &'a str,
    version: u32,
    expires_unix_ms: u64,
    granted: u32,
    mark: u64,
}

#[derive(Serialize, Deserialize)]
struct WrittenWatcher<'a> {
    package: &'a str,
    dialog: Cow<'a, Dialog>,
    uri: &'a str,
    peer: Option<&'a str>,
    domains: Option<Vec<&'a str>>,
    user: Option<&'a str>,
    is_publisher: bool,
    is_internal: bool,
    event_id: Option<&'a str>,
    contact_user: Option<&'a str>,
    /// None for who watches no list; nothing in it for a list of the configuration.
    list: Option<Option<WrittenList<'a>>>,
    #[serde(borrow)]
    progress: WrittenProgress<'a>,
}

#[derive(Serialize, Deserialize)]
struct WrittenProgress<'a> {
    version: u32,
    expires_unix_ms: u64,
    granted: u32,
    mark: u64,
    answered_unix_ms: u64,
    reserved: u32,
    remote_cseq: Option<u32>,
    remote_target: &'a str,
    flow: Option<Flow>,
    rates: [Option<&'a str>; 2],
    list: Option<WrittenList<'a>>,
}

/// URIs and names.
type WrittenList<'a> = Vec<(&'a str, Option<&'a str>)>;

#[derive(Serialize, Deserialize)]
struct WrittenAnswer<'a> {
    mark: u64,
    entity_tag: &'a str,
    granted: u32,
    at_unix_ms: u64,
}

/// A record as key and value; instants become wall time.
pub(crate) fn save(record: &Record, wall: &Wall) -> Option<Entry> {
    Some(match record {
        Record::Publication { presentity, number, content, life } => {
            let origin = content.origin.as_deref();
            let written = WrittenContent {
                package: &content.package,
                received: content.received,
                origin: origin.map(|origin| (origin.peer.as_deref(), &*origin.instance)),
                life: written(life, wall),
            };
            // The body follows as it is.
            let mut value = encoded(&written, 128 + content.body.len())?;
            value.extend_from_slice(&content.body);
            (key(PUBLICATION, presentity, *number, WHOLE), Some(value))
        }
        Record::Extended { presentity, number, life } => {
            (key(PUBLICATION, presentity, *number, PART), Some(encoded(&written(life, wall), 64)?))
        }
        Record::Subscription { presentity, number, watcher, progress } => {
            let who = &watcher.who;
            let written = WrittenWatcher {
                package: &watcher.package,
                dialog: Cow::Borrowed(&watcher.dialog),
                uri: &watcher.uri,
                peer: who.peer.as_deref(),
                domains: who.domains.as_ref().map(|domains| domains.iter().map(|domain| &**domain).collect()),
                user: who.user.as_ref().map(Aor::as_str),
                is_publisher: who.publisher,
                is_internal: who.internal,
                event_id: watcher.event_id.as_deref(),
                contact_user: watcher.contact_user.as_deref(),
                list: watcher.list.as_ref().map(|list| match list {
                    WatchedList::Configured => None,
                    WatchedList::Sent(sent) => Some(written_list(sent)),
                }),
                progress: written_progress(progress, wall),
            };
            (key(SUBSCRIPTION, presentity, *number, WHOLE), Some(encoded(&written, 512)?))
        }
        Record::Refreshed { presentity, number, progress } => {
            (key(SUBSCRIPTION, presentity, *number, PART), Some(encoded(&written_progress(progress, wall), 128)?))
        }
        Record::Answer { slot, answer } => {
            let written = WrittenAnswer {
                mark: answer.mark,
                entity_tag: answer.entity_tag.as_str(),
                granted: answer.granted,
                at_unix_ms: wall.unix_ms(answer.at),
            };
            ([ANSWER, &slot.to_be_bytes()].concat(), Some(encoded(&written, 64)?))
        }
    })
}

/// The keys of what is forgotten.
pub(crate) fn forget(what: &Forgotten) -> [Option<Vec<u8>>; 2] {
    match what {
        Forgotten::Publication { presentity, number, extended } => [
            Some(key(PUBLICATION, presentity, *number, WHOLE)),
            extended.then(|| key(PUBLICATION, presentity, *number, PART)),
        ],
        Forgotten::Subscription { presentity, number, refreshed } => [
            Some(key(SUBSCRIPTION, presentity, *number, WHOLE)),
            refreshed.then(|| key(SUBSCRIPTION, presentity, *number, PART)),
        ],
    }
}

/// Whether a key is one of the presence server's.
pub(crate) fn is_one(key: &[u8]) -> bool {
    [PUBLICATION, SUBSCRIPTION, ANSWER].iter().any(|kind| key.starts_with(kind))
}

/// What a key stands for; `None` where it is damaged.
pub(crate) fn kept(key: &[u8]) -> Option<Kept<'_>> {
    if key.starts_with(ANSWER) {
        return Some(Kept::Answer);
    }
    let published = key.strip_prefix(PUBLICATION);
    let (part, rest) = published.or_else(|| key.strip_prefix(SUBSCRIPTION))?.split_last()?;
    let (rest, number) = rest.split_last_chunk::<8>()?;
    let presentity = str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    let place = Place { presentity, number: u64::from_be_bytes(*number) };
    Some(match (published.is_some(), *part == PART) {
        (true, false) => Kept::Publication(place),
        (true, true) => Kept::Life(place),
        (false, false) => Kept::Subscription(place),
        (false, true) => Kept::Progress(place),
    })
}

/// Reads a publication back; `None` where it is damaged.
pub(crate) fn publication(value: &[u8], wall: &Wall) -> Option<(Content, Life)> {
    let (written, body) = decoded::<WrittenContent<'_>>(value)?;
    let origin =
        written.origin.map(|(peer, instance)| Origin { peer: peer.map(Into::into), instance: instance.into() });
    let content = Content {
        package: Cow::Owned(written.package.to_owned()),
        received: written.received,
        origin: origin.map(Box::new),
        body: body.into(),
    };
    Some((content, read_life(&written.life, wall)?))
}

/// Reads the life of a publication back.
pub(crate) fn life(value: &[u8], wall: &Wall) -> Option<Life> {
    read_life(&decoded::<WrittenLife<'_>>(value)?.0, wall)
}

/// Reads a subscription back; `None` where it is damaged.
pub(crate) fn subscription(value: &[u8], wall: &Wall) -> Option<(Watcher, Progress)> {
    let (written, _) = decoded::<WrittenWatcher<'_>>(value)?;
    let who = Identity {
        peer: written.peer.map(Into::into),
        domains: written.domains.map(|domains| domains.into_iter().map(Into::into).collect()),
        user: written.user.and_then(Aor::parse),
        publisher: written.is_publisher,
        internal: written.is_internal,
    };
    let watcher = Watcher {
        package: Cow::Owned(written.package.to_owned()),
        dialog: written.dialog.into_owned(),
        uri: written.uri.into(),
        who,
        event_id: written.event_id.map(Into::into),
        contact_user: written.contact_user.map(Into::into),
        list: written.list.map(|list| match list {
            None => WatchedList::Configured,
            Some(sent) => WatchedList::Sent(read_list(sent)),
        }),
    };
    Some((watcher, read_progress(&written.progress, wall)))
}

fn written_list(list: &[Resource]) -> WrittenList<'_> {
    list.iter().map(|one| (&*one.uri, one.name.as_deref())).collect()
}

fn read_list(list: WrittenList<'_>) -> Arc<[Resource]> {
    list.into_iter().map(|(uri, name)| Resource { uri: uri.into(), name: name.map(Into::into) }).collect()
}

/// Reads the progress of a subscription back.
pub(crate) fn progress(value: &[u8], wall: &Wall) -> Option<Progress> {
    Some(read_progress(&decoded::<WrittenProgress<'_>>(value)?.0, wall))
}

/// Reads an answer back.
pub(crate) fn answer(value: &[u8], wall: &Wall) -> Option<Answer> {
    let (written, _) = decoded::<WrittenAnswer<'_>>(value)?;
    Some(Answer {
        mark: written.mark,
        entity_tag: EntityTag::new(written.entity_tag)?,
        granted: written.granted,
        at: wall.instant_before(written.at_unix_ms).unwrap_or(wall.at),
    })
}

fn key(kind: &[u8], presentity: &Aor, number: u64, part: u8) -> Vec<u8> {
    [kind, presentity.as_str().as_bytes(), &[0], &number.to_be_bytes(), &[part]].concat()
}

fn written<'a>(life: &'a Life, wall: &Wall) -> WrittenLife<'a> {
    WrittenLife {
        entity_tag: life.entity_tag.as_str(),
        version: life.version,
        expires_unix_ms: wall.unix_ms(life.expires_at),
        granted: life.granted,
        mark: life.mark,
    }
}

fn written_progress<'a>(progress: &'a Progress, wall: &Wall) -> WrittenProgress<'a> {
    let [max, min] = &progress.rates;
    WrittenProgress {
        version: progress.version,
        expires_unix_ms: wall.unix_ms(progress.expires_at),
        granted: progress.granted,
        mark: progress.mark,
        answered_unix_ms: wall.unix_ms(progress.answered_at),
        reserved: progress.reserved,
        remote_cseq: progress.remote_cseq,
        remote_target: &progress.remote_target,
        flow: progress.flow,
        rates: [max.as_deref(), min.as_deref()],
        list: progress.list.as_deref().map(written_list),
    }
}

fn read_progress(written: &WrittenProgress<'_>, wall: &Wall) -> Progress {
    Progress {
        version: written.version,
        expires_at: wall.instant(written.expires_unix_ms),
        granted: written.granted,
        mark: written.mark,
        answered_at: wall.instant_before(written.answered_unix_ms).unwrap_or(wall.at),
        reserved: written.reserved,
        remote_cseq: written.remote_cseq,
        remote_target: written.remote_target.into(),
        flow: written.flow,
        rates: written.rates.map(|rate| rate.map(Into::into)),
        list: written.list.clone().map(read_list),
    }
}

fn read_life(written: &WrittenLife<'_>, wall: &Wall) -> Option<Life> {
    Some(Life {
        entity_tag: EntityTag::new(written.entity_tag)?,
        version: written.version,
        expires_at: wall.instant(written.expires_unix_ms),
        granted: written.granted,
        mark: written.mark,
    })
}
