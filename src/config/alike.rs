//! TLS between proxies of one configuration, which have the same certificates, or certificates of one issuer.
//!
//! They reach each other by addresses that stand in no certificate. So the other one is known by what it shows: the very
//! certificate that is shown here, or one for a name of it.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::tls::{Identity, provider};
use super::transport::{HTTP1, system_roots};

/// Takes what is shown here, and what is for the one that is asked or for a name of what is shown here.
#[derive(Debug)]
struct Alike {
    own: Vec<CertificateDer<'static>>,
    names: Vec<ServerName<'static>>,
    /// None where nobody is trusted to sign.
    signed: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// By which one that has these certificates asks another, and the first of which it shows. `clients` sign those of clients.
pub(super) fn client(identities: &[Identity], clients: Option<&RootCertStore>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has suites for each").dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(Alike::to(identities, clients)));
    let mut client = match identities.first() {
        Some(first) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(first.certified()))))
        }
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = vec![HTTP1.to_vec()];
    client
}

impl Alike {
    fn to(identities: &[Identity], clients: Option<&RootCertStore>) -> Alike {
        let chains = || identities.iter().map(|identity| identity.certified().cert.as_slice());
        let own = chains().filter_map(|chain| chain.first().cloned()).collect();
        let names = identities.iter().flat_map(Identity::names);
        let names = names.filter_map(|name| ServerName::try_from(name.to_owned()).ok()).collect();
        // Where the system has none the others have to do.
        let mut roots = system_roots().unwrap_or_else(|_| RootCertStore::empty());
        roots.extend(clients.into_iter().flat_map(|clients| clients.roots.iter().cloned()));
        roots.add_parsable_certificates(chains().flat_map(|chain| chain.iter().skip(1)).cloned());
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok();
        Alike { own, names, signed, algorithms: provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Alike {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.iter().any(|own| own == shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let signed = self.signed.as_ref().ok_or_else(unknown)?;
        let is_for = |name: &ServerName<'_>| signed.verify_server_cert(shown, chain, name, ocsp, now);
        let for_asked = is_for(asked);
        if for_asked.is_ok() {
            return for_asked;
        }
        self.names.iter().find_map(|name| is_for(name).ok()).map_or(for_asked, Ok)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
