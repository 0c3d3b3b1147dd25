//! What is provisioned for users who publish nothing: the `hard_state` of a `[[user]]`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use presence::server::{BodyFault, HardStates};
use sip::Aor;

use super::User;

/// The package whose documents they are.
const PACKAGE: &str = "presence";

/// Reads a document that is shown while nothing is published; what is wrong with it, and the cure.
pub(super) fn read(file: &Path) -> Result<Box<[u8]>, (String, &'static str)> {
    let cure = "name a file that this user may read";
    let document = fs::read(file).map_err(|error| (format!("{} cannot be read: {error}", file.display()), cure))?;
    let anybody = Aor::parse("sip:anybody@example.com");
    let fault = anybody.and_then(|anybody| HardStates::new().provision(PACKAGE, anybody, &document).err());
    match fault {
        None => Ok(document.into()),
        Some(BodyFault::Malformed(why)) => {
            Err((format!("{}: {why}", file.display()), "write a presence document as it would be published (RFC 3863)"))
        }
        Some(BodyFault::TooLarge) => {
            Err((format!("{} is larger than what may be published", file.display()), "leave something out"))
        }
    }
}

/// All of them, for the presence server.
pub(super) fn all(users: &[User]) -> Arc<HardStates> {
    let mut all = HardStates::new();
    for user in users {
        if let Some(document) = &user.hard_state {
            // It has been read already, so that it is one.
            let _ = all.provision(PACKAGE, user.aor.clone(), document);
        }
    }
    Arc::new(all)
}
