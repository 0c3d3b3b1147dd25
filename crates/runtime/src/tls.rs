//! TLS: identities, what a peer's certificate proves, and plain words for handshakes that fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use node::configuration::IdentityId;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, PeerIncompatible, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sip::transport::{ListenerId, Transport};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::settings::{ClientCertificates, IdentitySettings, ListenerSettings, Pem};
use crate::start::StartError;

/// Where systems keep the authorities that they trust.
const SYSTEM_TRUST: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// All identities, ready for use.
pub(crate) struct Tls {
    identities: BTreeMap<IdentityId, Identity>,
    listeners: BTreeMap<ListenerId, IdentityId>,
    /// For connections that leave without an identity: no certificate, the system's trust.
    anonymous: TlsConnector,
}

struct Identity {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// Reads the identities. The error says which and why.
    pub(crate) fn new(identities: &[IdentitySettings], listeners: &[ListenerSettings]) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut read = BTreeMap::new();
        for settings in identities {
            let identity = identity(settings, &provider).map_err(|why| format!("identity {}: {why}", settings.id.0))?;
            if read.insert(settings.id, identity).is_some() {
                return Err(format!("identity {}: there are two of that number", settings.id.0));
            }
        }
        let roots = Arc::new(system_trust());
        let anonymous = client(&provider, roots, None)?;
        let of = |listener: &ListenerSettings| Some((listener.id, listener.identity?));
        Ok(Self { identities: read, listeners: listeners.iter().filter_map(of).collect(), anonymous })
    }

    /// Whether a listener can be served: one for TLS needs an identity that there is.
    pub(crate) fn serves(&self, listener: &ListenerSettings) -> Result<(), StartError> {
        let ListenerSettings { id, transport, identity, .. } = *listener;
        let has_identity = identity.is_some_and(|identity| self.identities.contains_key(&identity));
        if transport == Transport::Tls && !has_identity {
            return Err(StartError::NoIdentity { listener: id, identity });
        }
        Ok(())
    }

    /// What accepts connections at a listener.
    pub(crate) fn acceptor(&self, listener: ListenerId) -> Option<TlsAcceptor> {
        self.listeners.get(&listener).and_then(|id| self.identities.get(id)).map(|identity| identity.acceptor.clone())
    }

    /// What makes a connection, and the name that the server's certificate must bear.
    pub(crate) fn connector(
        &self,
        identity: Option<IdentityId>,
        listener: ListenerId,
        server_name: Option<&str>,
        remote: IpAddr,
    ) -> Result<(TlsConnector, ServerName<'static>), String> {
        let connector = match identity.or_else(|| self.listeners.get(&listener).copied()) {
            Some(id) => {
                self.identities.get(&id).map(|identity| identity.connector.clone()).ok_or("no such identity")?
            }
            None => self.anonymous.clone(),
        };
        let name = match server_name {
            Some(name) => ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                .map_err(|_| format!("{name:?} is no name that a certificate can bear"))?,
            None => ServerName::from(remote),
        };
        Ok((connector, name))
    }
}

fn identity(settings: &IdentitySettings, provider: &Arc<CryptoProvider>) -> Result<Identity, String> {
    let chain = certificates(&settings.certificate_chain)?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in {}", named(&settings.certificate_chain)));
    }
    let key = PrivateKeyDer::from_pem_slice(&octets(&settings.key)?)
        .map_err(|why| format!("there is no private key in {}: {why}", named(&settings.key)))?;
    let own_trust = match &settings.trust {
        Some(pem) => Some(Arc::new(trust(pem)?)),
        None => None,
    };
    let acceptor = server(settings, provider, own_trust.clone(), chain.clone(), key.clone_key())?;
    let roots = own_trust.unwrap_or_else(|| Arc::new(system_trust()));
    let connector = client(provider, roots, Some((chain, key)))?;
    Ok(Identity { acceptor, connector })
}

fn server(
    settings: &IdentitySettings,
    provider: &Arc<CryptoProvider>,
    trust: Option<Arc<RootCertStore>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    let builder = match settings.client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        asked => {
            let roots =
                trust.ok_or("to ask clients for certificates it needs `trust`: the authorities that sign them")?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            let verifier =
                if asked == ClientCertificates::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|why| why.to_string())?)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|why| unusable(&why))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn client(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<TlsConnector, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    let builder = if roots.is_empty() {
        // A machine without any authority trusts nobody: every handshake fails, with words that say so.
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
        builder.with_webpki_verifier(verifier.build().map_err(|why| why.to_string())?)
    };
    let config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|why| unusable(&why))?,
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn unusable(why: &Error) -> String {
    match why {
        Error::InconsistentKeys(_) => "the private key does not belong to the certificate".into(),
        why => format!("the certificate or its key cannot be used: {why}"),
    }
}

fn trust(pem: &Pem) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem)? {
        roots.add(authority).map_err(|why| format!("a certificate in {} cannot be trusted: {why}", named(pem)))?;
    }
    if roots.is_empty() {
        return Err(format!("there is no certificate in {}", named(pem)));
    }
    Ok(roots)
}

fn system_trust() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if let Some(file) = SYSTEM_TRUST.iter().map(Path::new).find(|path| path.exists())
        && let Ok(all) = CertificateDer::pem_file_iter(file)
    {
        roots.add_parsable_certificates(all.filter_map(Result::ok));
    }
    roots
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(&octets(pem)?)
        .collect::<Result<_, _>>()
        .map_err(|why| format!("{} is no PEM text with certificates: {why}", named(pem)))
}

fn octets(pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::Text(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => fs::read(path).map_err(|why| format!("{} cannot be read: {why}", path.display())),
    }
}

fn named(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => path.display().to_string(),
        Pem::Text(_) => "the text given".into(),
    }
}

/// The names that a chain of certificates proves, ours or a peer's: the subject alternative names of its first one, which are
/// DNS names, addresses and URIs (RFC 5922 section 7.1).
#[must_use]
pub fn certificate_names(chain: &[CertificateDer<'_>]) -> Vec<String> {
    let parsed = chain.first().and_then(|certificate| X509Certificate::from_der(certificate).ok());
    let Some((_, certificate)) = parsed else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .map(|address| address.to_string())
            .ok(),
        _ => None,
    }
}

/// What went wrong in a handshake, and whose fault it is.
pub(crate) fn accuse(error: &io::Error) -> String {
    if let Some(cause) = accused(error) {
        return cause;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the peer closed the connection during the handshake".into(),
        io::ErrorKind::ConnectionReset => "the peer reset the connection during the handshake".into(),
        _ => error.to_string(),
    }
}

/// The same, where TLS itself is at fault and not the connection below it.
pub(crate) fn accused(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::NoCertificatesPresented => "the peer sent no certificate, and we require one".into(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the peer requires a certificate, and we have shown none".into()
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "the peer does not trust the authority that signed our certificate".into()
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => format!("the peer refused our certificate ({error})"),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => format!(
            "the peer found no common version or cipher ({error}); \
             we speak TLS 1.2 and 1.3 with ephemeral elliptic-curve keys and authenticated ciphers only"
        ),
        Error::AlertReceived(_) => format!("the peer refused the handshake ({error})"),
        Error::PeerIncompatible(why) => incompatible(why),
        Error::InvalidCertificate(why) => format!("the peer's certificate is not accepted: {}", refused(why)),
        Error::InvalidMessage(_) => format!("the peer does not speak TLS on this connection ({error})"),
        error => error.to_string(),
    })
}

fn incompatible(why: &PeerIncompatible) -> String {
    let cure = match why {
        PeerIncompatible::NoCipherSuitesInCommon => {
            "no cipher in common: the peer may offer only CBC ciphers, or RSA or DHE key exchange"
        }
        PeerIncompatible::Tls12NotOffered | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the peer offers only TLS 1.0 or 1.1"
        }
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange group in common",
        PeerIncompatible::NoSignatureSchemesInCommon => "no signature scheme in common",
        _ => return format!("the peer is incompatible: {why:?}"),
    };
    cure.into()
}

fn refused(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "it is signed by no authority that we trust".into(),
        CertificateError::BadSignature => {
            "it is not signed by the authority that it names, or by another of the same name".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (expected, presented) = (expected.to_str(), presented.join(", "));
            format!("its subject alternative names are {presented}, not {expected} that we connected to")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow this use".into()
        }
        why => Error::InvalidCertificate(why.clone()).to_string(),
    }
}
