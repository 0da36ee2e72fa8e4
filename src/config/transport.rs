//! How connections to the endpoints of a version are made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::ProxyProtocol;
use super::tls::{Identity, authorities, provider};
use super::validate::read_text;

/// What protocols are called where TLS agrees on one (RFC 7301).
pub(super) const HTTP1: &[u8] = b"http/1.1";
pub const HTTP2: &[u8] = b"h2";

/// Sessions that are kept of one endpoint to be resumed: a server gives two at a time, and each is good for one connection.
const SESSIONS: usize = 8;

/// For connections to the endpoints of one version. Two are equal that make the same of them.
#[derive(Clone)]
pub struct Transport {
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
    name: Option<ServerName<'static>>,
    pub speaks: Speaks,
    /// By which endpoints are told whose a connection is; none: they are not.
    pub proxy_protocol: Option<ProxyProtocol>,
    files: Arc<[PathBuf]>,
    /// Of all that was read.
    digest: [u8; 32],
    /// Made when the first endpoint needs it.
    client: Arc<OnceLock<ClientConfig>>,
}

/// Which HTTP is spoken with endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    #[default]
    Http1,
    /// In clear text without asking first.
    Http2,
    /// What an endpoint chooses, and in clear text the first.
    Either,
}

/// Whose signature makes an endpoint's certificate good.
#[derive(Clone)]
pub(super) enum Trust {
    These(Arc<RootCertStore>),
    /// Those that the system trusts when the first endpoint needs them.
    System,
}

impl Transport {
    /// `files` are what all of it was read from. An endpoint's certificate is for `name`, or else for the host of the endpoint.
    pub(super) fn new(
        trust: Trust,
        identity: Option<Arc<CertifiedKey>>,
        name: Option<ServerName<'static>>,
        speaks: Speaks,
        files: Vec<PathBuf>,
    ) -> Transport {
        let mut digest = Sha256::new();
        let mut take = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        match &trust {
            Trust::These(roots) => roots.roots.iter().for_each(|root| {
                take(&root.subject);
                take(&root.subject_public_key_info);
            }),
            Trust::System => take(b"system"),
        }
        take(name.as_ref().map(ServerName::to_str).unwrap_or_default().as_bytes());
        if let Some(identity) = &identity {
            identity.cert.iter().for_each(|certificate| take(certificate));
        }
        take(&[speaks as u8]);
        files.iter().for_each(|file| take(file.as_os_str().as_encoded_bytes()));
        let digest = digest.finalize().into();
        Transport {
            trust,
            identity,
            name,
            speaks,
            proxy_protocol: None,
            files: files.into(),
            digest,
            client: Arc::default(),
        }
    }

    #[must_use]
    pub(super) fn telling(self, proxy_protocol: Option<ProxyProtocol>) -> Transport {
        Transport { proxy_protocol, ..self }
    }

    /// What one worker speaks TLS with one endpoint by: it shares no sessions with another. Reads what the system trusts
    /// where nobody has yet.
    pub fn client(&self) -> ClientConfig {
        let mut client = self.client.get_or_init(|| self.make()).clone();
        client.resumption = Resumption::in_memory_sessions(SESSIONS);
        client
    }

    /// As [`Transport::client`], for a connection that has to speak HTTP/1.
    pub fn client_of_http1(&self) -> ClientConfig {
        let mut client = self.client();
        client.alpn_protocols = vec![HTTP1.to_vec()];
        client
    }

    /// What the certificate of an endpoint with this name of its own is for.
    pub fn name_for(&self, own: ServerName<'static>) -> ServerName<'static> {
        self.name.clone().unwrap_or(own)
    }

    /// All that it was read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn make(&self) -> ClientConfig {
        let roots = match &self.trust {
            Trust::These(roots) => Arc::clone(roots),
            Trust::System => Arc::new(system_roots().unwrap_or_else(|why| {
                tracing::error!("no certificate of an endpoint will do: {why}");
                RootCertStore::empty()
            })),
        };
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider has suites for each").with_root_certificates(roots);
        let mut client = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = match self.speaks {
            Speaks::Http1 => vec![HTTP1.to_vec()],
            Speaks::Http2 => vec![HTTP2.to_vec()],
            Speaks::Either => vec![HTTP2.to_vec(), HTTP1.to_vec()],
        };
        client
    }
}

/// For a client of ours: whose certificates it takes, and the certificate with its key that it shows.
///
/// # Errors
/// What is wrong with a file.
pub fn of_client(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Transport, String> {
    let read = |path: &Path| read_text(path).map_err(|error| format!("{}: {error}", path.display()));
    let trust = match ca {
        Some(file) => {
            let roots = authorities(&read(file)?).map_err(|unfit| format!("{}: {unfit}", file.display()))?;
            Trust::These(Arc::new(roots))
        }
        None => Trust::These(Arc::new(system_roots()?)),
    };
    let identity = match identity {
        Some((cert, key)) => {
            let identity = Identity::new(&read(cert)?, &read(key)?);
            Some(identity.map_err(|unfit| format!("{} with {}: {unfit}", cert.display(), key.display()))?)
        }
        None => None,
    };
    let certified = identity.map(|identity| Arc::clone(identity.certified()));
    Ok(Transport::new(trust, certified, None, Speaks::Http1, Vec::new()))
}

/// Without `tls` in the configuration.
impl Default for Transport {
    fn default() -> Transport {
        Transport::new(Trust::System, None, None, Speaks::default(), Vec::new())
    }
}

impl PartialEq for Transport {
    fn eq(&self, other: &Transport) -> bool {
        self.digest == other.digest && self.proxy_protocol == other.proxy_protocol
    }
}

/// Without what is secret.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("files", &self.files).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a certificate for `host`, a name or an address, is for; none where no certificate can be.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned()).ok()
}

/// The authorities that the system trusts, at least one. Those that cannot be read are none.
pub(super) fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs.into_iter().map(CertificateDer::into_owned));
    if taken > 0 {
        return Ok(roots);
    }
    let mut why = "the system has no certificate authorities".to_owned();
    for error in found.errors {
        why = format!("{why}: {error}");
    }
    Err(why)
}
