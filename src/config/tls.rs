//! Certificates and keys, and what the listener makes of them.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Http2, alike};

/// What the listener needs to speak TLS, whole.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    identities: Arc<BySni>,
    /// What signs the certificates of clients.
    clients: Option<Arc<RootCertStore>>,
    /// Made when another proxy is asked for the first time.
    client: Arc<OnceLock<Arc<ClientConfig>>>,
    files: Arc<[PathBuf]>,
}

/// A certificate with its key, and the names that it is for.
#[derive(Debug)]
pub(super) struct Identity {
    certified: Arc<CertifiedKey>,
    /// In lower case; a wildcard is `*.` and a suffix.
    names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Which clients are let in.
pub(super) enum Clients {
    All,
    /// Those with a certificate that one of these has signed.
    SignedBy(RootCertStore),
}

/// What a file or a pair of files is not.
#[derive(Debug)]
pub(super) enum Unfit {
    NoCertificate,
    NoKey,
    /// The key is another certificate's.
    Mismatch,
    /// As whoever reads it says.
    Broken(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::NoCertificate => "there is no certificate",
            Unfit::NoKey => "there is no private key",
            Unfit::Mismatch => "the key is not the certificate's",
            Unfit::Broken(why) => why,
        })
    }
}

/// The certificates of the listener; the first is the default.
#[derive(Debug)]
struct BySni(Vec<Identity>);

impl Tls {
    /// `identities` are at least one, `files` what all of it was read from.
    pub(super) fn new(
        identities: Vec<Identity>,
        versions: &[&'static SupportedProtocolVersion],
        clients: Clients,
        http2: Http2,
        files: Vec<PathBuf>,
    ) -> Result<Tls, Unfit> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(versions).map_err(broken)?;
        let clients = match clients {
            Clients::All => None,
            Clients::SignedBy(roots) => Some(Arc::new(roots)),
        };
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(broken)?)
            }
        };
        let identities = Arc::new(BySni(identities));
        let mut server = builder.with_cert_resolver(Arc::clone(&identities) as Arc<dyn ResolvesServerCert>);
        let protocols: &[&[u8]] = match http2 {
            Http2::Off => &[b"http/1.1"],
            Http2::On { .. } => &[b"h2", b"http/1.1"],
        };
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // What is known of a session is with the client, sealed, so that workers share nothing and hold nothing for it.
        server.ticketer = ring::Ticketer::new().map_err(broken)?;
        let (server, client) = (Arc::new(server), Arc::default());
        Ok(Tls { server, identities, clients, client, files: files.into() })
    }

    pub fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// What another proxy of the same configuration is asked by. Reads what the system trusts where nobody has yet.
    pub fn client(&self) -> Arc<ClientConfig> {
        let make = || Arc::new(alike::client(&self.identities.0, self.clients.as_deref()));
        Arc::clone(self.client.get_or_init(make))
    }

    /// All that it was read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// Without what is secret, and that is nearly all.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Identity {
    /// `certificates` begins with the certificate itself, and those that lead to a root follow; both texts are PEM.
    pub(super) fn new(certificates: &str, key: &str) -> Result<Identity, Unfit> {
        let chain = chain(certificates)?;
        let (names, not_before, not_after) = read(&chain[0])?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| match error {
            pem::Error::NoItemsFound => Unfit::NoKey,
            other => broken(other),
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Unfit::Mismatch,
            other => broken(other),
        })?;
        Ok(Identity { certified: Arc::new(certified), names, not_before, not_after })
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// From when until when others take it.
    pub(super) fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// `name` is in lower case. A wildcard stands for one label (RFC 9525, section 6.3).
    fn is_for(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names
            .iter()
            .any(|known| known == name || known.strip_prefix("*.").is_some_and(|rest| parent == Some(rest)))
    }
}

impl ResolvesServerCert for BySni {
    /// An exact name comes before a wildcard.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let named = asked.and_then(|name| {
            let exact = self.0.iter().find(|identity| identity.names.contains(&name));
            exact.or_else(|| self.0.iter().find(|identity| identity.is_for(&name)))
        });
        named.or(self.0.first()).map(|identity| Arc::clone(&identity.certified))
    }
}

/// What signs certificates, from PEM.
pub(super) fn authorities(certificates: &str) -> Result<RootCertStore, Unfit> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(certificates)? {
        roots.add(certificate).map_err(broken)?;
    }
    Ok(roots)
}

fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(broken)?;
    if chain.is_empty() { Err(Unfit::NoCertificate) } else { Ok(chain) }
}

/// The names of a certificate, and from when until when it holds.
fn read(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, Timestamp, Timestamp), Unfit> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(broken)?;
    let others = certificate.subject_alternative_name().map_err(broken)?;
    let names = others.into_iter().flat_map(|others| &others.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let names = names.collect();
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).map_err(broken);
    Ok((names, at(certificate.validity().not_before)?, at(certificate.validity().not_after)?))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn broken(error: impl fmt::Display) -> Unfit {
    Unfit::Broken(error.to_string())
}
