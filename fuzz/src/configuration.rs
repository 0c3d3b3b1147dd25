//! A configuration file: whatever stands in it, it is read or every fault is shown at its place.

use offhook::configuration::{Configuration, Surroundings};

/// Reads a file's text.
pub(crate) fn run(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let surroundings = Surroundings {
        // Nothing lies here.
        directory: "/nonexistent".into(),
        environment: [("SECRET".to_owned(), "secret".to_owned())].into(),
    };
    match Configuration::parse("fuzz.toml", text, &surroundings) {
        Ok(configuration) => {
            let node = configuration.node();
            assert_eq!(node.listeners.len(), configuration.listeners.len(), "a listener is lost");
            assert_eq!(node.domains.first(), Some(&configuration.domain), "the domain is lost");
            let _ = (configuration.runtime(), configuration.warnings.to_string());
        }
        Err(faults) => {
            assert!(!faults.faults.is_empty(), "refused without a reason");
            assert!(!faults.to_string().is_empty(), "faults without a word");
        }
    }
}
