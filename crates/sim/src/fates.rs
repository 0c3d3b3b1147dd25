//! What people do, and what befalls them, the servers and the nodes.

use std::time::Duration;

use node::Input;
use ua::phone::Command;

use crate::oracle::SESSION;
use crate::setting::{self, user};
use crate::swarm::{Act, Deed};
use crate::world::World;

/// How long an orderly stop is given.
const STOP: Duration = Duration::from_secs(10);

/// The longest time between two copies of a request that is repeated (T2), and some air.
const BETWEEN: Duration = Duration::from_secs(5);

impl World {
    /// Something that a person, or fate, does.
    pub(crate) fn act(&mut self, act: Act) {
        let (one, other) = (act.one, act.other);
        // Where the only presence server is the nodes' own, what befalls others befalls nobody.
        let server = one.checked_rem(self.servers.len()).unwrap_or(0);
        let length = |most: u64| Duration::from_millis(1_000 + act.share * (most - 1));
        self.note(|| format!("deed {}: {:?} {one} {other}", act.number, act.deed));
        match act.deed {
            Deed::Call => self.command(one, Command::Call(user(other).to_string())),
            Deed::HangUp => self.command(one, Command::HangUp),
            Deed::Answer => self.command(one, Command::Answer),
            Deed::Reject => self.command(one, Command::Reject(603)),
            Deed::Hold => self.command(one, Command::Hold),
            Deed::Resume => self.command(one, Command::Resume),
            Deed::Crash => self.crash(false),
            Deed::PowerCut => self.power_cut(),
            Deed::Stop => self.stop(),
            Deed::Forget => {
                if let Some(known) = self.servers.get_mut(server) {
                    known.model.forget();
                    known.forgot_at = Some(self.now);
                }
            }
            Deed::Silence => {
                if let Some(known) = self.servers.get_mut(server) {
                    known.silent_until = Some(self.now + length(60));
                }
            }
            Deed::LoseAnswers => {
                if let Some(known) = self.servers.get_mut(server) {
                    known.answers_lost_until = Some(self.now + length(60));
                }
            }
            Deed::Refuse => {
                if let Some(known) = self.servers.get_mut(server) {
                    known.refuses_until = Some(self.now + length(90));
                }
            }
            Deed::CutOff => self.cut_off(one, length(120)),
            Deed::Vanish => self.vanish(one),
            Deed::Reset => self.reset(server),
            Deed::Reload => self.reload(one),
            Deed::Watch => self.watch(one, act.share),
            Deed::Deafen => self.deafen(one, length(60)),
            Deed::WatchAnew => self.watch_anew(one),
            Deed::Publish => self.publish_by_hand(act.share),
            Deed::Unplug => self.unplug(one, act.share),
        }
    }

    fn cut_off(&mut self, number: usize, length: Duration) {
        let now = self.now;
        let Some(person) = self.people.get_mut(number) else { return };
        // One follows the other, and what is repeated in the moment between them may be lost with it.
        let goes_on = person.cut_off_until.is_some_and(|until| until + BETWEEN > now);
        let since = person.cut_off_since.filter(|_| goes_on).unwrap_or(now);
        let until = person.cut_off_until.max(Some(now + length)).unwrap_or(now);
        (person.cut_off_since, person.cut_off_until) = (Some(since), Some(until));
        person.doubtful_until = person.doubtful_until.max(Some(until + SESSION));
        // For so long a BYE is not repeated.
        person.unheard |= until - since > Duration::from_secs(30);
    }

    fn vanish(&mut self, number: usize) {
        let now = self.now;
        let Some(person) = self.people.get_mut(number) else { return };
        person.lives += 1;
        person.phone = setting::phone(self.play.seed, number, person.lives, now);
        person.doubtful_until = person.doubtful_until.max(Some(now + SESSION));
        self.command(number, Command::Register);
    }

    /// What the store had not synced is gone. Of a call whose record went that way the phones alone know; they hang up.
    fn power_cut(&mut self) {
        self.disk.lose_power(self.now);
        self.powerless_at = Some(self.now);
        self.crash(true);
        for number in 0..self.people.len() {
            self.command(number, Command::HangUp);
        }
    }

    /// An orderly stop, and a start.
    fn stop(&mut self) {
        self.is_first = false;
        self.is_stopping = true;
        for owner in 0..self.nodes.len() {
            self.at_node(owner, Input::Stop);
        }
        let life = self.life;
        self.run_for(STOP);
        // Fate may have killed it meanwhile.
        if life == self.life {
            self.check_the_stop();
            self.crash(false);
        }
    }

    /// A user leaves, or comes back, and the nodes are told so while they run.
    fn reload(&mut self, number: usize) {
        let Some(here) = self.here.get_mut(number) else { return };
        *here = !*here;
        let is_back = *here;
        self.reloaded_at = Some(self.now);
        self.configuration = setting::configuration(self.play.seed, &self.swarm, &self.here);
        for owner in 0..self.nodes.len() {
            self.at_node(owner, Input::Configure(std::sync::Arc::clone(&self.configuration)));
        }
        self.note_engagement(number);
        if is_back {
            self.command(number, Command::Register);
        }
    }
}
