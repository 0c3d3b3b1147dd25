//! The store keeps what it has acknowledged: across an orderly end, across `kill -9`, and beside a damaged one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use adapters::store::{Disk, OpenError, SyncWhen};
use node::WriteId;
use node::port::adapter::{Store, Write, Writer};

/// Names the directory of the store to the process that is going to be killed.
const VICTIM: &str = "OFFHOOK_TEST_STORE";

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("offhook-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A way into the store that says in one place what has been acknowledged, however the store said it.
struct Way {
    writer: Box<dyn Writer>,
    acknowledged: Sender<WriteId>,
}

impl Way {
    fn write(&mut self, writes: &mut Vec<Write>) {
        if let Some(up_to) = self.writer.write(writes) {
            let _ = self.acknowledged.send(up_to);
        }
    }
}

fn writer(disk: &Disk) -> (Way, Receiver<WriteId>) {
    let (acknowledged, written) = mpsc::channel();
    let later = acknowledged.clone();
    let writer = disk.writer(Box::new(move |up_to| {
        let _ = later.send(up_to);
    }));
    (Way { writer, acknowledged }, written)
}

fn write(id: u64, key: &str, value: Option<&str>) -> Write {
    Write { id: WriteId(id), key: key.into(), value: value.map(Into::into) }
}

fn wait_for(written: &Receiver<WriteId>, id: u64) {
    while written.recv_timeout(Duration::from_secs(20)).unwrap() < WriteId(id) {}
}

fn opened(path: &Path) -> (Disk, BTreeMap<String, String>) {
    let disk = Disk::open(path, SyncWhen::default()).unwrap();
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let records = disk.records().iter().map(|(key, value)| (text(key), text(value))).collect();
    (disk, records)
}

#[test]
fn what_was_written_in_order_is_there_after_an_orderly_end() {
    let directory = Directory::new("order");
    let (disk, records) = opened(&directory.store());
    assert!(records.is_empty());
    let (mut first, first_written) = writer(&disk);
    let (mut second, second_written) = writer(&disk);
    let mut writes = vec![write(1, "a", Some("1")), write(2, "b", Some("2")), write(3, "a", Some("3"))];
    first.write(&mut writes);
    assert!(writes.is_empty());
    second.write(&mut vec![write(1, "c", Some("4"))]);
    first.write(&mut vec![write(4, "b", None)]);
    wait_for(&first_written, 4);
    wait_for(&second_written, 1);
    disk.settle();
    drop((first, second, disk));

    let (_disk, records) = opened(&directory.store());
    let expected = [("a", "3"), ("c", "4")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(records, BTreeMap::from(expected));
}

#[test]
fn with_sync_always_a_write_is_acknowledged_too() {
    let directory = Directory::new("always");
    let disk = Disk::open(&directory.store(), SyncWhen::Always).unwrap();
    let (mut writer, written) = writer(&disk);
    writer.write(&mut vec![write(7, "a", Some("1"))]);
    wait_for(&written, 7);
}

#[test]
fn a_storm_of_writes_is_taken_as_far_as_there_is_room_and_offered_again() {
    let directory = Directory::new("storm");
    let disk = Disk::open(&directory.store(), SyncWhen::default()).unwrap();
    let (mut writer, written) = writer(&disk);
    let mut waiting: Vec<Write> = (1..=100_000).map(|id| write(id, &format!("k{}", id % 1000), Some("v"))).collect();
    let mut last = WriteId(0);
    while last < WriteId(100_000) {
        writer.write(&mut waiting);
        let next = written.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(next > last, "acknowledgements only ascend");
        last = next;
    }
    assert!(waiting.is_empty());
}

#[test]
fn what_outgrows_the_log_ahead_is_in_the_store_and_nothing_comes_back() {
    let directory = Directory::new("outgrown");
    let (disk, _) = opened(&directory.store());
    let (mut writing, written) = writer(&disk);
    let large = "x".repeat(1 << 20);
    let mut id = 0;
    // More than two logs full, with pauses in which they go into the store.
    for round in 0..5 {
        for key in ["kept", "changed", "removed"].iter().cycle().take(9) {
            id += 1;
            writing.write(&mut vec![write(id, key, Some(&large))]);
        }
        id += 1;
        let last = Some(round.to_string());
        writing.write(&mut vec![write(id, "changed", last.as_deref()), write(id, "removed", None)]);
        wait_for(&written, id);
        disk.settle();
    }
    let logs =
        || fs::read_dir(directory.store().join("ahead")).unwrap().map(|log| log.unwrap().metadata().unwrap().len());
    assert!(logs().sum::<u64>() < 2 * adapters::limits::LOG, "what is in the store is in no log any more");
    drop((writing, disk));
    let (_disk, records) = opened(&directory.store());
    assert_eq!(records.keys().collect::<Vec<_>>(), ["changed", "kept"]);
    assert_eq!((records["changed"].as_str(), records["kept"].len()), ("4", large.len()));
}

#[test]
fn a_second_process_is_refused_but_nothing_is_moved() {
    let directory = Directory::new("in-use");
    let _disk = Disk::open(&directory.store(), SyncWhen::default()).unwrap();
    let second = Disk::open(&directory.store(), SyncWhen::default()).unwrap_err();
    assert_eq!(second, OpenError::InUse(directory.store()));
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
}

#[test]
fn a_damaged_store_is_moved_aside_and_a_new_one_begun() {
    let directory = Directory::new("damaged");
    let (disk, _) = opened(&directory.store());
    let (mut writing, written) = writer(&disk);
    writing.write(&mut vec![write(1, "a", Some("1"))]);
    wait_for(&written, 1);
    drop((writing, disk));
    damage(&directory.store());

    let (disk, _) = opened(&directory.store());
    let moved = disk.moved_aside().unwrap().clone();
    assert!(moved.path.exists(), "{moved}");
    let (mut writing, written) = writer(&disk);
    writing.write(&mut vec![write(1, "b", Some("2"))]);
    wait_for(&written, 1);
    drop((writing, disk));
    let (disk, records) = opened(&directory.store());
    assert!(disk.moved_aside().is_none());
    assert_eq!(records.get("b").map(String::as_str), Some("2"));
}

/// Overwrites every file below.
fn damage(path: &Path) {
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            damage(&entry.path());
        } else if entry.file_name() != "lock" {
            fs::write(entry.path(), [0xA5; 64]).unwrap();
        }
    }
}

#[test]
fn every_acknowledged_write_outlives_kill_9() {
    let directory = Directory::new("kill");
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(VICTIM, directory.store())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = 0;
    let heard = |line: String, acknowledged: &mut u64| {
        if let Some(id) = line.strip_prefix("written ").and_then(|id| id.parse().ok()) {
            *acknowledged = id;
        }
    };
    while acknowledged < 5_000 {
        heard(lines.next().unwrap(), &mut acknowledged);
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What it had said before it died counts.
    lines.for_each(|line| heard(line, &mut acknowledged));

    let (disk, records) = opened(&directory.store());
    assert!(disk.moved_aside().is_none());
    assert!(acknowledged >= 5_000);
    for id in 1..=acknowledged {
        assert_eq!(records.get(&format!("key-{id}")), Some(&format!("value-{id}")), "of {acknowledged}");
    }
}

/// Writes for ever, and says what has been acknowledged. Does nothing unless the test above starts it.
#[test]
fn the_process_that_is_killed() {
    let Some(path) = env::var_os(VICTIM) else { return };
    let disk = Disk::open(Path::new(&path), SyncWhen::default()).unwrap();
    let (mut writer, written) = writer(&disk);
    let mut waiting = Vec::new();
    let mut said = std::io::stdout().lock();
    for id in 1.. {
        waiting.push(write(id, &format!("key-{id}"), Some(&format!("value-{id}"))));
        if id % 7 == 0 {
            writer.write(&mut waiting);
            for WriteId(up_to) in written.try_iter() {
                writeln!(said, "written {up_to}").unwrap();
            }
        }
    }
}
