//! The files of an identity: readable, and fitting each other.

use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a PEM file.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: pem::Error| format!("{} cannot be read: {}", file.display(), words(&error));
    let chain = CertificateDer::pem_file_iter(file).map_err(said)?.collect::<Result<Vec<_>, _>>().map_err(said)?;
    if chain.is_empty() { Err(format!("{} holds no certificate", file.display())) } else { Ok(chain) }
}

/// The key of a PEM file.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("{} holds no private key", file.display()),
        error => format!("{} cannot be read: {}", file.display(), words(&error)),
    })
}

/// Whether the key is the certificate's.
pub(super) fn fit(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("the key is not the certificate's".into()),
        Err(error) => Err(format!("the certificate and key cannot be used: {error}")),
    }
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
