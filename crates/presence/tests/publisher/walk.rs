//! Random walks against a presence server made of four rules: whatever is lost, in the end it shows what is true.

use std::time::{Duration, Instant};

use crate::world::{Sent, World, seconds};

/// What a walk holds: RFC 3903 from the other side.
struct Walk {
    world: World,
    /// Entity-tag, and until when it lives.
    held: Vec<(String, Instant)>,
    /// Taken in, with an answer that is on its way or lost.
    answers: Vec<(Sent, u16, String)>,
    /// Taken in, and the transaction has given up.
    late: Vec<(Sent, u16, String)>,
    tags: u32,
    calls: Vec<u64>,
    numbered: u64,
}

impl Walk {
    /// The server's side: the answer and the entity-tag in it.
    fn serve(&mut self, sent: &Sent) -> (u16, String) {
        self.held.retain(|(_, until)| *until > self.world.now);
        let asked = sent.expires();
        if let Some(tag) = sent.tag() {
            let Some(place) = self.held.iter().position(|(held, _)| *held == tag) else {
                return (412, String::new());
            };
            self.held.remove(place);
            if asked == 0 {
                return (200, String::new());
            }
        } else {
            assert_ne!(asked, 0, "a removal has a tag");
            assert!(!sent.request.body.is_empty(), "a beginning has a document");
        }
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.held.push((tag.clone(), self.world.now + seconds(u64::from(asked))));
        (200, tag)
    }

    fn receive(&mut self, healthy: bool) {
        while let Some(sent) = self.world.next() {
            let luck = if healthy { 9 } else { self.world.below(10) };
            match luck {
                // The request is lost.
                0 => self.world.lose(&sent),
                // The answer is lost, or late.
                1 | 2 => {
                    let (code, tag) = self.serve(&sent);
                    self.world.lose(&sent);
                    if luck == 2 {
                        self.late.push((sent, code, tag));
                    }
                }
                3 => self.world.answer(&sent, 503, &["Retry-After: 3"]),
                4 => {
                    let (code, tag) = self.serve(&sent);
                    self.answers.push((sent, code, tag));
                }
                _ => {
                    let (code, tag) = self.serve(&sent);
                    self.reply(&sent, code, &tag);
                }
            }
        }
    }

    fn reply(&mut self, sent: &Sent, code: u16, tag: &str) {
        if tag.is_empty() {
            self.world.answer(sent, code, &[]);
        } else {
            self.world.answer(sent, code, &[&format!("SIP-ETag: {tag}"), &format!("Expires: {}", sent.expires())]);
        }
    }

    fn step(&mut self) {
        match self.world.below(8) {
            0 | 1 if self.calls.len() < 3 => {
                self.numbered += 1;
                self.calls.push(self.numbered);
                self.world.answered(self.numbered);
            }
            2 | 3 if !self.calls.is_empty() => {
                let call = self.calls.remove(0);
                self.world.ended(call);
            }
            4 if !self.answers.is_empty() => {
                let (sent, code, tag) = self.answers.remove(0);
                self.reply(&sent, code, &tag);
            }
            5 if !self.late.is_empty() => {
                let (sent, code, tag) = self.late.remove(0);
                let headers = [format!("SIP-ETag: {tag}"), format!("Expires: {}", sent.expires())];
                let headers: Vec<&str> = headers.iter().map(String::as_str).filter(|_| !tag.is_empty()).collect();
                self.world.late(&sent, code, &headers);
            }
            6 => {
                // No transaction waits for so long: what is late is late for good.
                for (sent, code, tag) in std::mem::take(&mut self.answers) {
                    self.world.lose(&sent);
                    self.late.push((sent, code, tag));
                }
                let pause = self.world.below(200);
                self.world.wait(seconds(pause));
            }
            _ => self.world.wait(Duration::from_millis(300)),
        }
        self.receive(false);
    }
}

fn walk(rounds: u64) {
    let mut walk = Walk {
        world: World::new(),
        held: Vec::new(),
        answers: Vec::new(),
        late: Vec::new(),
        tags: 0,
        calls: Vec::new(),
        numbered: 0,
    };
    for round in 0..rounds {
        let steps = 5 + walk.world.below(40);
        for _ in 0..steps {
            walk.step();
        }
        // The network is well again: within the longest pause, what the server shows is what is.
        for (sent, code, tag) in std::mem::take(&mut walk.answers) {
            walk.reply(&sent, code, &tag);
        }
        walk.late.clear();
        for _ in 0..70 {
            walk.receive(true);
            walk.world.wait(seconds(1));
        }
        walk.held.retain(|(_, until)| *until > walk.world.now);
        if !walk.calls.is_empty() {
            assert!(!walk.held.is_empty(), "round {round}: somebody on the phone looks free");
        }
        // What nobody has the tag of runs out by itself; nothing else is left.
        for call in std::mem::take(&mut walk.calls) {
            walk.world.ended(call);
        }
        for _ in 0..610 {
            walk.receive(true);
            walk.world.wait(seconds(1));
        }
        walk.held.retain(|(_, until)| *until > walk.world.now);
        assert!(walk.held.is_empty(), "round {round}: somebody is stuck on the phone");
        assert!(walk.world.publisher.is_empty(), "round {round}");
    }
}

#[test]
fn whatever_is_lost_the_server_shows_what_is_true_once_the_network_is_well() {
    walk(4000);
}
