//! Reading the configuration anew while the program runs: what changes at once, and what has to wait for a restart.

use std::path::Path;

use runtime::Update;

use crate::configuration::{Configuration, Faults, PresenceServerHere};
use crate::run::node;

/// A configuration that can be taken over.
pub(crate) struct Reloaded {
    pub(crate) configuration: Configuration,
    pub(crate) update: Update,
    /// Sections that differ but cannot change before a restart.
    pub(crate) waiting: Vec<&'static str>,
}

/// Reads the file, and merges what can change into what is in force.
pub(crate) fn read(file: &Path, in_force: &Configuration) -> Result<Reloaded, Faults> {
    let new = Configuration::load(file)?;
    let waiting = waiting(in_force, &new);
    // Listeners and presence servers name identities by their place.
    let same_identities = names(in_force).eq(names(&new));
    let configuration = Configuration {
        identities: if same_identities { new.identities } else { in_force.identities.clone() },
        peers: new.peers,
        routes: new.routes,
        users: new.users,
        numbers: new.numbers,
        session: new.session,
        digest: new.digest,
        presence_server_here: here(in_force, new.presence_server_here.as_ref()),
        warnings: new.warnings,
        ..in_force.clone()
    };
    let settings = configuration.runtime();
    let update =
        Update { node: node(&configuration).into(), directory: settings.directory, identities: settings.identities };
    Ok(Reloaded { configuration, update, waiting })
}

/// The presence server inside, with what it can take over: who may watch whom, and which lists there are.
fn here(in_force: &Configuration, new: Option<&PresenceServerHere>) -> Option<PresenceServerHere> {
    let here = in_force.presence_server_here.clone();
    match new {
        Some(new) => here.map(|here| PresenceServerHere { rules: new.rules.clone(), lists: new.lists.clone(), ..here }),
        None => here,
    }
}

fn names(configuration: &Configuration) -> impl Iterator<Item = &str> {
    configuration.identities.iter().map(|identity| identity.name.as_str())
}

/// The sections that cannot change while the program runs, of those that differ.
fn waiting(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    [
        ("domain", old.domain == new.domain),
        ("workers", old.workers == new.workers),
        ("listen", old.listeners == new.listeners),
        ("identity (which there are)", names(old).eq(names(new))),
        ("presence_server", old.presence_servers == new.presence_servers),
        ("presence_server_here", here(old, new.presence_server_here.as_ref()) == new.presence_server_here),
        ("store", old.store == new.store),
        ("dns", old.name_servers == new.name_servers),
        ("log", old.log == new.log),
    ]
    .into_iter()
    .filter_map(|(section, same)| (!same).then_some(section))
    .collect()
}
