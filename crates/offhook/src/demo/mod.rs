//! The demo: a call between two phones on loopback, and a watcher who sees both of them on the phone and off again.

mod actor;
mod scene;
mod stage;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout_at;
use ua::phone::{self, Command};
use ua::watcher;

use crate::command::say;
use crate::ladder::{Colour, Ladder, Terminal, svg};
use actor::{Actor, Noticed};
use scene::Scene;
use stage::Stage;

/// After this the demo has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// The terminal's width where nobody says it.
const WIDTH: usize = 118;

/// What can be asked of the demo.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Write the ladder as a picture.
    pub svg: Option<PathBuf>,
    /// Publish nothing, to show that the demo would notice.
    pub break_publisher: bool,
}

/// Why the demo failed.
#[derive(Debug)]
pub enum Failed {
    /// Something could not be set up.
    Stage(String),
    /// It did not come in time.
    Missing(&'static str),
    /// A phone or the watcher noticed what must not happen.
    Wrong(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(why) => write!(f, "the demo could not be set up: {why}"),
            Self::Missing(what) => write!(f, "the demo failed: {what}"),
            Self::Wrong(what) => write!(f, "the demo failed: {what}"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Stage(error.to_string())
    }
}

/// Plays the demo and draws its ladder.
///
/// # Errors
/// When the watcher did not see both people on the phone and off again, or nothing could be set up.
pub fn play(wishes: &Wishes) -> Result<(), Failed> {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    control.block_on(local.run_until(perform(wishes)))
}

async fn perform(wishes: &Wishes) -> Result<(), Failed> {
    let colour = Colour::of(&io::stdout());
    let (stage, mut seen) = Stage::set(wishes.break_publisher)?;
    let (events, mut noticed) = mpsc::unbounded_channel();
    let now = Instant::now();
    let john = Actor::phone(stage.phone(0), stage.john.try_clone()?, events.clone(), now)?;
    let jane = Actor::phone(stage.phone(1), stage.jane.try_clone()?, events.clone(), now)?;
    let watches_john = Actor::watcher(stage.watcher(0), stage.watches_john.try_clone()?, events.clone(), now)?;
    let watches_jane = Actor::watcher(stage.watcher(1), stage.watches_jane.try_clone()?, events, now)?;

    let mut scene = Scene::new(stage.cast());
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH);
    let terminal = Terminal::new(&scene.ladder().participants, width, colour);
    say(&terminal.header());
    let deadline = tokio::time::Instant::now() + DEADLINE;
    john.phone_does(Command::Register);
    jane.phone_does(Command::Register);
    let mut act = Act::default();
    let outcome = loop {
        tokio::select! {
            Some(message) = seen.recv() => {
                if let Some(message) = scene.saw(&message) {
                    say(&terminal.message(message));
                }
            }
            Some(what) = noticed.recv() => act.notice(&what)?,
            () = tokio::time::sleep_until(deadline) => break Err(Failed::Missing(act.missing(&scene))),
        }
        match act.next(&scene) {
            Cue::Wait => {}
            Cue::Subscribe => {
                watches_john.subscribe();
                watches_jane.subscribe();
            }
            Cue::Call => john.phone_does(Command::Call(format!("sip:jane.roe@{}", stage::DOMAIN))),
            Cue::HangUp => john.phone_does(Command::HangUp),
            Cue::Curtain => break Ok(()),
        }
    };
    // What is still on its way belongs to the story.
    let a_moment = tokio::time::Instant::now() + Duration::from_millis(200);
    while let Ok(Some(message)) = timeout_at(a_moment, seen.recv()).await {
        if let Some(message) = scene.saw(&message) {
            say(&terminal.message(message));
        }
    }
    say(&terminal.footer());
    let ladder: &Ladder = scene.ladder();
    if let Some(file) = &wishes.svg {
        std::fs::write(file, svg(ladder))?;
    }
    tokio::task::spawn_blocking(move || stage.strike()).await.map_err(|error| Failed::Stage(error.to_string()))?;
    outcome?;
    let published = scene.published();
    let summary = format!(
        "The watcher saw john.doe and jane.roe on the phone, and off again. {published} PUBLISH requests, {} of them refreshes.\n",
        scene.refreshes()
    );
    say(&summary);
    Ok(())
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cue {
    Wait,
    Subscribe,
    Call,
    HangUp,
    Curtain,
}

/// How far the story has come: each flag is a message somebody has seen.
#[derive(Debug, Default)]
struct Act {
    registered: usize,
    subscribed: [bool; 2],
    idle: [bool; 2],
    answered: usize,
    on_the_phone: [bool; 2],
    clear: [bool; 2],
    cued: Option<Cue>,
}

impl Act {
    fn notice(&mut self, noticed: &Noticed) -> Result<(), Failed> {
        match noticed {
            Noticed::Phone(_, phone::Event::Registered) => self.registered += 1,
            Noticed::Phone(_, phone::Event::Answered) => self.answered += 1,
            Noticed::Phone(who, phone::Event::NotRegistered(code)) => {
                return Err(Failed::Wrong(format!("phone {who} could not register: {code}")));
            }
            Noticed::Phone(_, phone::Event::Failed(code)) => {
                return Err(Failed::Wrong(format!("the call was not answered: {code}")));
            }
            Noticed::Watcher(whom, watcher::Event::Subscribed) => mark(&mut self.subscribed, *whom),
            Noticed::Watcher(whom, watcher::Event::State { on_the_phone: true, .. }) => {
                mark(&mut self.on_the_phone, *whom);
            }
            Noticed::Watcher(whom, watcher::Event::State { on_the_phone: false, .. }) => {
                let was = self.on_the_phone.get(*whom).copied().unwrap_or(false);
                mark(if was { &mut self.clear } else { &mut self.idle }, *whom);
            }
            Noticed::Watcher(_, watcher::Event::Refused(code)) => {
                return Err(Failed::Wrong(format!("the watcher was refused: {code}")));
            }
            Noticed::Phone(..) | Noticed::Watcher(..) => {}
        }
        Ok(())
    }

    fn next(&mut self, scene: &Scene) -> Cue {
        let both = |flags: [bool; 2]| flags == [true, true];
        let cue = match self.cued {
            None if self.registered == 2 => Cue::Subscribe,
            Some(Cue::Subscribe) if both(self.subscribed) && both(self.idle) => Cue::Call,
            Some(Cue::Call) if self.answered == 2 && both(self.on_the_phone) && refreshed(scene) => Cue::HangUp,
            Some(Cue::HangUp) if both(self.clear) => Cue::Curtain,
            _ => return Cue::Wait,
        };
        self.cued = Some(cue);
        cue
    }

    /// What the story waited for in vain.
    fn missing(&self, scene: &Scene) -> &'static str {
        let both = |flags: [bool; 2]| flags == [true, true];
        match self.cued {
            None => "the phones could not register",
            Some(Cue::Subscribe) => "the watcher could not subscribe",
            Some(Cue::Call) if self.answered < 2 => "the call was not answered",
            Some(Cue::Call) if !both(self.on_the_phone) => "the watcher did not see both people on the phone",
            Some(Cue::Call) if !refreshed(scene) => "the publications were not refreshed",
            _ => "the watcher did not see both people clear again",
        }
    }
}

/// Whether both publications have been refreshed, and the server has confirmed it.
fn refreshed(scene: &Scene) -> bool {
    scene.refreshes() >= 2 && scene.confirmed() == scene.published()
}

fn mark(flags: &mut [bool; 2], place: usize) {
    if let Some(flag) = flags.get_mut(place) {
        *flag = true;
    }
}
