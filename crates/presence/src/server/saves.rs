//! What is on its way to the store, and what waits until it is there: no answer is given before what it promises is safe.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use sip::transaction::ServerKey;
use sip::{KeyedMap, KeyedState, Response};
use wire::sip::{Message, Via};

use super::record::{Answer, Forgotten, Record};
use super::refusal::Refusal;
use super::{Output, PresenceServer, limits};

/// The longest that the same request may come again: the life of a transaction (RFC 3261 section 17.2.2).
const AGAIN: Duration = Duration::from_secs(32);

/// The store's side of the presence server.
#[derive(Debug)]
pub(super) struct Saves {
    /// The number of the last thing that went to the store.
    issued: u64,
    /// Everything up to this one is there.
    written: u64,
    /// What waits, in order.
    held: VecDeque<(u64, Held)>,
    /// Requests of the time before the restart that may come again, with their answers.
    answers: KeyedMap<u64, Answer>,
    /// Until when they may.
    answers_until: Option<Instant>,
    /// The next slot for an answer.
    slot: u32,
    /// Tells requests apart; the same in every run.
    keyed: KeyedState,
}

/// What waits for the store.
#[derive(Debug)]
enum Held {
    Answer(ServerKey, Response),
    /// The NOTIFY of a subscription.
    Notify(u64),
}

impl Saves {
    pub(super) fn new(keyed: KeyedState) -> Self {
        Self {
            issued: 0,
            written: 0,
            held: VecDeque::new(),
            answers: KeyedMap::with_hasher(keyed),
            answers_until: None,
            slot: 0,
            keyed,
        }
    }

    /// The number of the last thing that went to the store.
    pub(super) fn issued(&self) -> u64 {
        self.issued
    }

    /// Whether the store keeps up with what is promised.
    pub(super) fn keeps_up(&self) -> Result<(), Refusal> {
        if self.held.len() >= limits::HELD { Err(Refusal::overloaded("the store does not keep up")) } else { Ok(()) }
    }

    /// What a request is known by, should it come again: branch, sent-by, Call-ID, CSeq.
    pub(super) fn mark(&self, message: &Message<'_>) -> u64 {
        let via = message.via();
        let via = via.as_ref().ok();
        let branch = via.and_then(Via::branch);
        let sent_by = via.map(|via| (via.host, via.port));
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        self.keyed.hash_one((branch, sent_by, message.call_id().unwrap_or_default(), cseq))
    }

    /// The answer that a request got before the restart.
    pub(super) fn answered(&mut self, now: Instant, mark: u64) -> Option<Answer> {
        if now > self.answers_until? {
            self.answers.clear();
            self.answers_until = None;
            return None;
        }
        self.answers.get(&mark).filter(|answer| now.saturating_duration_since(answer.at) <= AGAIN).copied()
    }

    /// Takes back an answer, if it is young enough to be asked for again.
    pub(super) fn restore(&mut self, now: Instant, answer: Answer) {
        if now.saturating_duration_since(answer.at) <= AGAIN && self.answers.len() < limits::ANSWERS {
            self.answers.insert(answer.mark, answer);
            self.answers_until = Some(now + AGAIN);
        }
    }
}

impl PresenceServer {
    /// Has something saved; answers its number.
    pub(super) fn save(&mut self, record: Record) -> u64 {
        self.saves.issued += 1;
        self.outputs.push_back(Output::Save { number: self.saves.issued, record });
        self.saves.issued
    }

    /// Keeps an answer that nothing else would tell after a restart.
    pub(super) fn save_answer(&mut self, answer: Answer) {
        let slot = self.saves.slot;
        self.saves.slot = (slot + 1) % limits::ANSWERS_SAVED;
        self.save(Record::Answer { slot, answer });
    }

    /// Has something forgotten; answers its number.
    pub(super) fn unsave(&mut self, what: Forgotten) -> u64 {
        self.saves.issued += 1;
        self.outputs.push_back(Output::Forget { number: self.saves.issued, what });
        self.saves.issued
    }

    /// Answers a request, as soon as everything is safe that was saved since `before`.
    pub(super) fn answer(&mut self, key: ServerKey, response: Response, before: u64) {
        let Saves { issued, written, .. } = self.saves;
        if issued > before && issued > written {
            self.saves.held.push_back((issued, Held::Answer(key, response)));
        } else {
            self.outputs.push_back(Output::Respond { key, response });
        }
    }

    /// Whether something that was saved is not yet safe; then the NOTIFY of this subscription comes when it is.
    pub(super) fn holds_notify(&mut self, saved: u64, subscription: u64) -> bool {
        let waits = saved > self.saves.written;
        if waits {
            // What is held is in order: a number of the past is safe together with the last.
            self.saves.held.push_back((self.saves.issued, Held::Notify(subscription)));
        }
        waits
    }

    /// Everything up to this number is safe.
    pub(super) fn written(&mut self, up_to: u64) {
        self.saves.written = self.saves.written.max(up_to);
        while self.saves.held.front().is_some_and(|(number, _)| *number <= self.saves.written) {
            match self.saves.held.pop_front() {
                Some((_, Held::Answer(key, response))) => self.outputs.push_back(Output::Respond { key, response }),
                Some((_, Held::Notify(subscription))) => self.notifier.due_now(subscription),
                None => {}
            }
        }
    }
}
