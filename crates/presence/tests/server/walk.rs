//! Random walks: whatever publishers, watchers and the network do, the promise holds after every step.

use std::time::Duration;

use sip::Random;

use crate::world::{Notify, World, header, jane, on_the_phone, online};

/// A publication as its publisher sees it.
struct Phone {
    tag: String,
    talking: bool,
    until: Duration,
}

/// What a walk keeps.
struct Walk {
    world: World,
    random: Random,
    clock: Duration,
    phones: Vec<Phone>,
    in_flight: Vec<Notify>,
    shown: Option<String>,
}

impl Walk {
    fn new(seed: u8) -> Self {
        let mut world = World::new();
        let first = world.subscribe_with(&jane(), None, &["Event: presence", "Expires: 3600"]);
        let random = Random::from_seed([seed; 32]);
        Self { world, random, clock: Duration::ZERO, phones: Vec::new(), in_flight: first.notifies, shown: None }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.random.u64() >> 33).unwrap() % n
    }

    fn step(&mut self) {
        let talking = self.below(2) == 0;
        let body = if talking { on_the_phone() } else { online() };
        let until = self.clock + Duration::from_secs(600);
        match self.below(8) {
            0 | 1 if self.phones.len() < 6 => {
                let outcome = self.world.publish(
                    &crate::world::john(),
                    crate::world::JOHN,
                    &["Event: presence", crate::world::PIDF, "Expires: 600"],
                    &body,
                );
                let tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
                self.in_flight.extend(outcome.notifies);
                self.phones.push(Phone { tag, talking, until });
            }
            2 | 3 if !self.phones.is_empty() => {
                let index = self.below(self.phones.len());
                let tag = self.phones[index].tag.clone();
                let refresh = self.below(2) == 0;
                let outcome = if refresh { self.world.refresh(&tag, 600) } else { self.world.modify(&tag, &body) };
                assert_eq!(outcome.response.code, 200);
                self.in_flight.extend(outcome.notifies);
                let phone = &mut self.phones[index];
                phone.tag = header(&outcome.response.headers, "SIP-ETag").unwrap();
                phone.talking = if refresh { phone.talking } else { talking };
                phone.until = until;
            }
            4 if !self.phones.is_empty() => {
                let index = self.below(self.phones.len());
                let phone = self.phones.remove(index);
                let outcome = self.world.refresh(&phone.tag, 0);
                assert_eq!(outcome.response.code, 200);
                self.in_flight.extend(outcome.notifies);
            }
            5 => {
                let seconds = u64::try_from(self.below(200)).unwrap();
                self.pass(Duration::from_secs(seconds));
            }
            6 if self.below(4) == 0 => {
                if let Some(lost) = self.in_flight.pop() {
                    let next = self.world.fail(lost.key);
                    self.in_flight.extend(next);
                }
            }
            _ => self.deliver(),
        }
    }

    fn pass(&mut self, duration: Duration) {
        let next = self.world.wait(duration);
        self.in_flight.extend(next);
        self.clock += duration;
        let clock = self.clock;
        self.phones.retain(|phone| phone.until > clock);
    }

    fn deliver(&mut self) {
        if let Some(notify) = self.in_flight.pop() {
            self.shown = Some(notify.body().to_owned());
            let next = self.world.answer(notify.key, 200, &[]);
            self.in_flight.extend(next);
        }
    }

    fn check(&self) {
        let talking = self.phones.iter().any(|phone| phone.talking);
        let document = self.world.document();
        assert_eq!(document.contains("<rpid:on-the-phone/>"), talking);
        assert_eq!(document.contains("<ep:activity>on-the-phone</ep:activity>"), talking);
        assert_eq!(document.contains("<basic>open</basic>"), !self.phones.is_empty());
        assert_eq!(self.world.server.publications(), self.phones.len());
        assert!(self.in_flight.len() <= 1, "one NOTIFY is on its way");
    }
}

#[test]
fn the_document_says_on_the_phone_while_and_only_while_a_live_publication_does() {
    for seed in 0..40 {
        let mut walk = Walk::new(seed);
        for _ in 0..200 {
            walk.step();
            walk.check();
            if walk.clock > Duration::from_secs(3000) {
                break;
            }
        }
    }
}

#[test]
fn a_watcher_that_can_be_reached_again_shows_what_is_true() {
    for seed in 0..40 {
        let mut walk = Walk::new(seed);
        for _ in 0..60 {
            walk.step();
            if walk.clock > Duration::from_secs(3000) || walk.world.server.subscriptions() == 0 {
                break;
            }
        }
        while walk.world.server.subscriptions() == 1 && walk.clock < Duration::from_secs(3400) {
            walk.deliver();
            walk.pass(Duration::from_secs(20));
        }
        if walk.world.server.subscriptions() == 1 {
            while !walk.in_flight.is_empty() {
                walk.deliver();
            }
            assert_eq!(walk.shown.as_deref(), Some(walk.world.document().as_str()), "seed {seed}");
        }
    }
}
