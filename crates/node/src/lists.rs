//! Lists whose members belong to several owners: questions and answers between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use presence::server::list::Following;
use presence::server::{Input, Output};
use sip::{Aor, Owner};

use crate::contract::Tell;
use crate::node::Node;

impl Node {
    /// What the presence server says about lists.
    pub(crate) fn about_lists(&mut self, now: Instant, output: Output) {
        match output {
            Output::Follow { following, members, lasts } => self.follow(now, &following, members, lasts),
            Output::Unfollow { list } => {
                for owner in self.ownership.all() {
                    self.tell(now, owner, Tell::Unfollow { asker: self.owner, list });
                }
            }
            Output::Followed { asker, list, asked, news } => {
                self.tell(now, asker, Tell::Followed { list, asked, news });
            }
            _ => {}
        }
    }

    /// Each member's owner is asked for it.
    fn follow(&mut self, now: Instant, following: &Arc<Following>, members: Vec<(u32, Aor)>, lasts: Duration) {
        // Those that had members of this list before may have none now.
        let mut of: BTreeMap<Owner, Vec<(u32, Aor)>> = self.ownership.all().map(|owner| (owner, Vec::new())).collect();
        for (place, aor) in members {
            let aor = self.canonical(aor);
            of.entry(self.ownership.of_aor(&aor)).or_default().push((place, aor));
        }
        for (owner, members) in of {
            let tell = Tell::Follow { asker: self.owner, following: Arc::clone(following), members, lasts };
            self.tell(now, owner, tell);
        }
    }

    /// What another owner, or this one itself, tells about lists.
    pub(crate) fn told_of_lists(&mut self, now: Instant, tell: &Tell) {
        let Some(server) = &mut self.presence_server else { return };
        let input = match tell {
            Tell::Follow { asker, following, members, lasts } => {
                Input::Follow { asker: *asker, following, members, lasts: *lasts }
            }
            Tell::Unfollow { asker, list } => Input::Unfollow { asker: *asker, list: *list },
            Tell::Followed { list, asked, news } => Input::Followed { list: *list, asked: *asked, news },
            _ => return,
        };
        server.handle(now, &mut self.random, input);
    }
}
