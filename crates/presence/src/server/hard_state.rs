//! Hard state (RFC 3903 section 2): what is provisioned for a presentity that publishes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use sip::Aor;

use super::package::{BodyFault, PACKAGES};
use super::{PresenceServer, limits};

/// The documents that are shown of presentities while they publish nothing; of who has none, the package's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HardStates {
    documents: BTreeMap<(&'static str, Aor), Arc<[u8]>>,
}

impl HardStates {
    /// None is provisioned.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Provisions a document, in the place of the one before.
    ///
    /// # Errors
    /// When no package has this name, or it could not be published there.
    pub fn provision(&mut self, package: &str, presentity: Aor, document: &[u8]) -> Result<(), BodyFault> {
        let package = PACKAGES.iter().find(|known| known.name == package);
        let package = package.ok_or(BodyFault::Malformed("there is no such event package"))?;
        if document.len() > limits::BODY {
            return Err(BodyFault::TooLarge);
        }
        (package.read)(document)?;
        self.documents.insert((package.name, presentity), document.into());
        Ok(())
    }

    /// Those of one package.
    pub(super) fn of(&self, package: &str) -> BTreeMap<Aor, Arc<[u8]>> {
        let of_package = self.documents.iter().filter(|((name, _), _)| *name == package);
        of_package.map(|((_, presentity), document)| (presentity.clone(), Arc::clone(document))).collect()
    }
}

impl PresenceServer {
    /// Takes other hard states, while it runs; watchers are told where that makes a difference.
    pub fn provision(&mut self, hard: &HardStates) {
        for (index, package) in self.settings.packages.iter().enumerate() {
            self.compositor.provision(index, hard.of(package.name));
        }
    }
}
