//! The log ahead of the store: a batch of writes goes to the system in one call, and into the store later, folded.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, BufReader, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node::WriteId;
use node::port::adapter::Write;
use siphasher::sip::SipHasher13;

use crate::limits;

/// The folder of the logs, inside the store's.
const FOLDER: &str = "ahead";

/// What a frame begins with.
const MAGIC: u32 = u32::from_be_bytes(*b"Ofk1");

/// Octets before a frame's records: magic, length, checksum.
const HEAD: usize = 16;

/// The length that stands for a record that is deleted.
const DELETED: u32 = u32::MAX;

/// One writer's log: a file that only grows until another takes its place.
pub(crate) struct Log {
    path: PathBuf,
    file: Arc<File>,
    /// The octets of whole frames.
    length: u64,
    /// Whether something stands behind them that could not be taken back.
    torn: bool,
    /// Reused for each frame.
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a log; its name is on the disk when this returns.
    pub(crate) fn begin(store: &Path, writer: usize, generation: u64) -> io::Result<Self> {
        let folder = store.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{writer}-{generation}"));
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.set_len(0)?;
        File::open(&folder)?.sync_all()?;
        Ok(Self { path, file: Arc::new(file), length: 0, torn: false, buffer: Vec::new() })
    }

    /// Hands these writes to the system, all or none. `writes` are few enough for one frame: [`limits::HANDOVER`].
    pub(crate) fn append(&mut self, writes: &[Write]) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::new(ErrorKind::InvalidData, "the end of the log is torn"));
        }
        self.buffer.clear();
        frame(&mut self.buffer, writes)?;
        let result = (&*self.file).write_all(&self.buffer);
        match result {
            Ok(()) => self.length += self.buffer.len() as u64,
            Err(_) => self.torn = self.file.set_len(self.length).is_err(),
        }
        self.buffer.shrink_to(limits::FRAME_KEPT);
        result
    }

    /// Whether it is time for another file.
    pub(crate) fn is_over(&self) -> bool {
        self.torn || self.length >= limits::LOG
    }

    /// The file, to be forced to the disk by somebody who has the time.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn frame(buffer: &mut Vec<u8>, writes: &[Write]) -> io::Result<()> {
    let length = |octets: &[u8]| u32::try_from(octets.len()).map_err(|_| ErrorKind::FileTooLarge);
    buffer.resize(HEAD, 0);
    for Write { key, value, .. } in writes {
        let value_length = value.as_deref().map_or(Ok(DELETED), length)?;
        buffer.extend(length(key)?.to_be_bytes());
        buffer.extend(value_length.to_be_bytes());
        buffer.extend(key);
        buffer.extend(value.as_deref().unwrap_or_default());
    }
    let (head, records) = buffer.split_at_mut(HEAD);
    let parts = MAGIC.to_be_bytes().into_iter().chain(length(records)?.to_be_bytes());
    let parts = parts.chain(checksum(records).to_be_bytes());
    head.iter_mut().zip(parts).for_each(|(place, octet)| *place = octet);
    Ok(())
}

fn checksum(octets: &[u8]) -> u64 {
    // The key is no secret: this guards against a torn end, not against somebody who may write to the file.
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(octets);
    hasher.finish()
}

/// What logs say: the newest of each key.
#[derive(Default)]
pub(crate) struct Changes(HashMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// Adds what a log says, which is newer than what is here. A torn end, as a power cut leaves it, is passed over.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut log = BufReader::with_capacity(limits::FRAME_KEPT, File::open(path)?);
        let mut left = log.get_ref().metadata()?.len();
        let mut frame = Vec::new();
        while let Some(length) = next_frame(&mut log, left, &mut frame)? {
            left -= length;
            let mut records = &*frame;
            while let Some((key, value, after)) = first_record(records) {
                records = after;
                self.0.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
        }
        if left > 0 {
            tracing::warn!("the last {left} octets of {} cannot be read", path.display());
        }
        Ok(())
    }

    /// As writes, for the store.
    pub(crate) fn into_writes(self) -> Vec<Write> {
        self.0.into_iter().map(|(key, value)| Write { id: WriteId(0), key, value }).collect()
    }
}

/// The logs that an earlier process left, older ones of a writer before newer ones.
pub(crate) fn left(store: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(store.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
        if let Some((writer, generation)) = name
            && let (Ok(writer), Ok(generation)) = (writer.parse::<usize>(), generation.parse::<u64>())
        {
            found.push((writer, generation, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, _, path)| path).collect())
}

/// Removes a log, or at least what it says.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|_| File::create(path).map(drop))
}

/// Reads the records of the next frame, of a log of which so much is `left`; answers the frame's octets, if it is whole.
fn next_frame(log: &mut impl Read, left: u64, records: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut head = [0; HEAD];
    if left < HEAD as u64 {
        return Ok(None);
    }
    log.read_exact(&mut head)?;
    let Some((length, sum)) = read_head(&head) else { return Ok(None) };
    let whole = HEAD as u64 + u64::from(length);
    if whole > left {
        return Ok(None);
    }
    records.clear();
    log.take(length.into()).read_to_end(records)?;
    Ok((sum == checksum(records)).then_some(whole))
}

/// How long a frame's records are, and their checksum.
fn read_head(head: &[u8]) -> Option<(u32, u64)> {
    let (magic, rest) = number(head)?;
    let (length, rest) = number(rest)?;
    let sum = rest.split_first_chunk::<8>()?.0;
    (magic == MAGIC).then_some((length, u64::from_be_bytes(*sum)))
}

type Record<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// Key and value of the first record, and what stands behind it.
fn first_record(octets: &[u8]) -> Option<Record<'_>> {
    let (key_length, rest) = number(octets)?;
    let (value_length, rest) = number(rest)?;
    let (key, rest) = rest.split_at_checked(usize::try_from(key_length).ok()?)?;
    if value_length == DELETED {
        return Some((key, None, rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(value_length).ok()?)?;
    Some((key, Some(value), rest))
}

fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, value: Option<&str>) -> Write {
        Write { id: WriteId(1), key: key.into(), value: value.map(Into::into) }
    }

    fn folder(test: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("offhook-ahead-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn said(store: &Path) -> Vec<(String, Option<String>)> {
        let mut changes = Changes::default();
        for path in left(store).unwrap() {
            changes.read(&path).unwrap();
        }
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        let mut all: Vec<_> = changes.0.into_iter().map(|(key, value)| (text(key), value.map(text))).collect();
        all.sort();
        all
    }

    #[test]
    fn the_newest_write_of_each_key_is_what_logs_say() {
        let store = folder("newest");
        let mut first = Log::begin(&store, 0, 9).unwrap();
        first.append(&[write("a", Some("1")), write("b", Some("2"))]).unwrap();
        first.append(&[write("a", Some(""))]).unwrap();
        Log::begin(&store, 0, 10).unwrap().append(&[write("b", None), write("c", Some("3"))]).unwrap();
        let expected = [("a", Some("")), ("b", None), ("c", Some("3"))];
        assert_eq!(said(&store), expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))));
        fs::remove_dir_all(&store).unwrap();
    }

    #[test]
    fn a_torn_or_damaged_end_takes_nothing_else_with_it() {
        let store = folder("torn");
        let mut log = Log::begin(&store, 0, 0).unwrap();
        log.append(&[write("a", Some("1"))]).unwrap();
        let whole = fs::read(log.path()).unwrap();
        log.append(&[write("b", Some("2"))]).unwrap();
        let both = fs::read(log.path()).unwrap();
        for length in whole.len()..both.len() {
            fs::write(log.path(), &both[..length]).unwrap();
            assert_eq!(said(&store), [("a".to_owned(), Some("1".to_owned()))], "{length} octets");
        }
        for place in whole.len()..both.len() {
            let mut damaged = both.clone();
            damaged[place] ^= 0x10;
            fs::write(log.path(), &damaged).unwrap();
            assert_eq!(said(&store), [("a".to_owned(), Some("1".to_owned()))], "octet {place}");
        }
        fs::remove_dir_all(&store).unwrap();
    }
}
