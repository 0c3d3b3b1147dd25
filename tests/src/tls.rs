//! A certification authority of the tests' own, and what it signs.

use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};

use crate::Folder;

/// An authority that everybody in one test trusts.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The file with its certificate.
    pub certificate: PathBuf,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The file with the certificate.
    pub certificate: PathBuf,
    /// The file with the key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one; its certificate lies in `folder`.
    #[must_use]
    pub fn new(folder: &Folder) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names, no fault");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let certificate = folder.write("ca.pem", issuer.pem());
        Self { issuer, certificate }
    }

    /// Signs a certificate for these names and this address, for servers and clients alike.
    #[must_use]
    pub fn sign(&self, folder: &Folder, file: &str, names: &[&str], address: IpAddr) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common = names.first().cloned().unwrap_or_else(|| address.to_string());
        let mut params = CertificateParams::new(names).expect("names of hosts");
        params.subject_alt_names.push(SanType::IpAddress(address));
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: folder.write(&format!("{file}.pem"), certificate.pem()),
            key: folder.write(&format!("{file}.key"), key.serialize_pem()),
        }
    }
}
