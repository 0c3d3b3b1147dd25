//! What can be changed while workers run.

use std::fmt;
use std::sync::Arc;

use node::configuration::Configuration;
use node::port::adapter::Directory;

use crate::settings::IdentitySettings;
use crate::tls::Tls;

/// A new configuration for running workers.
#[derive(Clone)]
pub struct Update {
    /// What the nodes are told, as far as a running node can change it.
    pub node: Arc<Configuration>,
    /// Answers [`node::Question::WhoIs`] from now on.
    pub directory: Option<Arc<dyn Directory>>,
    /// Certificates with their keys and trust, read anew; new connections use them.
    pub identities: Vec<IdentitySettings>,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("identities", &self.identities).finish_non_exhaustive()
    }
}

/// The same, read and checked: what a worker takes over.
pub(crate) struct Ready {
    pub(crate) node: Arc<Configuration>,
    pub(crate) directory: Option<Arc<dyn Directory>>,
    pub(crate) tls: Arc<Tls>,
}
