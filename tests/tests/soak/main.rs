//! Soak: mixed load with faults on the presence server, minute after minute, checked by a bookkeeper of its own.
//!
//! Publishers and watchers come, go, fall silent and lose datagrams; rubbish arrives; in the first half the server is killed
//! now and then. Whatever it has acknowledged must be there, every watcher must see what the bookkeeper knows, nothing may
//! stay once it has run out, and in the second half the memory must be flat.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bookkeeper;
mod crowd;
mod wire;

use std::time::{Duration, Instant};

use tests::office::{LIMIT, Office, host};
use tests::{Offhook, STORE_IN_MEMORY};

use bookkeeper::Bookkeeper;
use crowd::Crowd;

/// How many minutes; `cargo xtask soak --minutes N` sets another number.
const MINUTES: &str = "OFFHOOK_SOAK";

/// How long everybody acts between two checks.
const ACT: Duration = Duration::from_secs(15);

/// How long a check waits until what is on its way has arrived: a request that is repeated after a loss, or a restart.
const SETTLE: Duration = Duration::from_secs(20);

/// The octets by which the memory may grow in the second half, beside what the store takes.
const SLACK: u64 = 16 << 20;

/// The octets that one minute brings into the store's memory, at the most.
const STORED: f64 = 8.0 * 1024.0 * 1024.0;

fn configuration(office: &Office) -> String {
    let crowd = office.network.sip(host::PUBLISHER);
    let more = format!(
        "[presence_server_here]\ndomains = [\"sfb.example\"]\nmin_expires = \"10s\"\n\n[[peer]]\nname = \"crowd\"\naddresses = [\"sip:{crowd}\"]\npublisher = true\n"
    );
    office.configuration(&more)
}

#[test]
fn whatever_happens_every_watcher_sees_what_the_bookkeeper_knows() {
    let minutes: f64 = std::env::var(MINUTES).ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let whole = Duration::from_secs_f64(minutes * 60.0);
    let office = Office::new("soak");
    let mut offhook = office.offhook(&configuration(&office));
    let mut crowd =
        Crowd::new(office.network.sip(host::PUBLISHER), office.network.sip(host::OFFHOOK), Bookkeeper::new());
    let began = Instant::now();
    let mut deaths = 0;
    let mut baseline = None;
    while began.elapsed() < whole {
        let first_half = began.elapsed() < whole / 2;
        if first_half {
            crowd.act(ACT / 3);
            offhook.kill();
            // They go on meanwhile, as they would.
            crowd.act(Duration::from_secs(1));
            offhook.restart();
            deaths += 1;
        }
        crowd.act(ACT);
        let checked = crowd.check(SETTLE);
        println!("{:5.0} s: {checked}; {}", began.elapsed().as_secs_f64(), memory(&offhook));
        if !first_half {
            baseline.get_or_insert_with(|| offhook.memory());
        }
    }
    let after = offhook.memory();
    crowd.leave(SETTLE);
    println!("{}, {deaths} deaths of the server; {}", crowd.tally(), memory(&offhook));
    let baseline = baseline.unwrap_or(after);
    let stored = STORE_IN_MEMORY.min((minutes * STORED) as u64);
    assert!(after <= baseline + SLACK + stored, "the memory grows: {baseline}, then {after} octets");
    assert!(offhook.stop(LIMIT).success());
}

fn memory(offhook: &Offhook) -> String {
    format!("{:.1} MiB", offhook.memory() as f64 / f64::from(1 << 20))
}
