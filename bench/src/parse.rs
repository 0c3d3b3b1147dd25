//! How long it takes to read a message and what routing needs of it, and how often memory is asked for meanwhile.

use std::hint::black_box;
use std::time::{Duration, Instant};

use wire::sip::Message;

use crate::allocation;

pub(crate) const INVITE: &str = include_str!("../messages/invite.sip");
pub(crate) const PUBLISH: &str = include_str!("../messages/publish.sip");

/// Measures and prints.
pub(crate) fn run() {
    for (name, text) in [("INVITE", INVITE), ("PUBLISH", PUBLISH)] {
        let octets = text.replace('\n', "\r\n").into_bytes();
        let parse = || drop(black_box(Message::parse(black_box(&octets))));
        let route = || {
            if let Ok(message) = Message::parse(black_box(&octets)) {
                let _ = black_box((
                    message.via(),
                    message.from(),
                    message.to(),
                    message.call_id(),
                    message.cseq(),
                    message.contact(),
                ));
            }
        };
        let check = || {
            let _ = black_box(Message::parse(black_box(&octets)).map(|message| message.check()));
        };
        println!("{name} of {} octets:", octets.len());
        for (what, work) in
            [("parse", &parse as &dyn Fn()), ("and what routing reads", &route), ("and every check", &check)]
        {
            let allocations = allocation::of(work);
            println!("  {what:<24} {:>5} ns  {allocations} allocations", best(work).as_nanos());
        }
    }
}

/// The best of fifteen rounds: what it costs when nothing else goes on.
fn best(work: impl Fn()) -> Duration {
    const TIMES: u32 = 20_000;
    let round = || {
        let began = Instant::now();
        for _ in 0..TIMES {
            work();
        }
        began.elapsed() / TIMES
    };
    (0..15).map(|_| round()).min().unwrap_or_default()
}
