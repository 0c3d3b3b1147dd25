//! How long it takes to read a message and what routing needs of it: `cargo run --release -p bench`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a command")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use wire::sip::Message;

const INVITE: &str = include_str!("../messages/invite.sip");
const PUBLISH: &str = include_str!("../messages/publish.sip");

fn main() {
    for (name, text) in [("INVITE", INVITE), ("PUBLISH", PUBLISH)] {
        let octets = text.replace('\n', "\r\n").into_bytes();
        let parse = best(|| drop(black_box(Message::parse(black_box(&octets)))));
        let route = best(|| {
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
        });
        let check = best(|| {
            let _ = black_box(Message::parse(black_box(&octets)).map(|message| message.check()));
        });
        println!(
            "{name} of {} octets: parse {} ns, with what routing reads {} ns, with every check {} ns",
            octets.len(),
            parse.as_nanos(),
            route.as_nanos(),
            check.as_nanos()
        );
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
