//! Certificates of our own making, and a client that speaks TLS and tells a clean end from any other.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::message::{self, Response, Source};
use super::{Client, Proxy};

/// Signs certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Signed {
    pub cert: String,
    pub key: String,
}

/// How a client begins.
pub struct Hello<'a> {
    pub trusts: &'a Authority,
    /// A name, or an address, which is not told to the proxy.
    pub name: &'a str,
    pub identity: Option<&'a Signed>,
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub alpn: &'a [&'a str],
}

static ONLY_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

pub struct TlsClient {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

/// How a TLS connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsEnd {
    /// With the word for it.
    Said,
    /// Without.
    Cut,
}

/// Whoever trusts one authority.
pub fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
    roots.add(root).expect("a certificate");
    roots
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    pub fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 4096)
    }

    /// A certificate that holds until the first day of `year`.
    pub fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Signed { cert, key: key.serialize_pem() }
    }
}

impl Signed {
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("PEM")
    }

    /// Writes `name.crt` and `name.key`, and returns how a configuration names them.
    pub fn write(&self, folder: &Path, name: &str) -> String {
        let path = |extension: &str| folder.join(format!("{name}.{extension}"));
        std::fs::write(path("key"), &self.key).expect("the folder is writable");
        std::fs::write(path("crt"), &self.cert).expect("the folder is writable");
        format!("{{ cert: {}, key: \"file:{}\" }}", path("crt").display(), path("key").display())
    }
}

impl<'a> Hello<'a> {
    pub fn new(trusts: &'a Authority) -> Hello<'a> {
        Hello { trusts, name: "localhost", identity: None, versions: ONLY_1_3, alpn: &["http/1.1"] }
    }

    pub fn config(&self) -> ClientConfig {
        let roots = roots(self.trusts);
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder =
            builder.with_protocol_versions(self.versions).expect("ring has both").with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![identity.der()], key).expect("a pair")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Shakes hands.
    pub fn try_connect(&self, proxy: &Proxy) -> io::Result<TlsClient> {
        self.on(Client::connect(proxy.listen))
    }

    /// Shakes hands on a connection that stands.
    pub fn on(&self, client: Client) -> io::Result<TlsClient> {
        let name = ServerName::try_from(self.name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::new(self.config()), name).expect("a session");
        let mut stream = StreamOwned::new(session, client.stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsClient { stream, buffer: Vec::new() })
    }

    #[track_caller]
    pub fn connect(&self, proxy: &Proxy) -> TlsClient {
        self.try_connect(proxy).expect("they agree")
    }
}

impl TlsClient {
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut TlsClient {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).expect("the proxy reads");
        self
    }

    pub fn try_response(&mut self) -> io::Result<Response> {
        message::read_response(self, "")
    }

    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().expect("a whole response")
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")).response()
    }

    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        message::read_bytes(self, length)
    }

    /// Reads whatever still comes.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, TlsEnd) {
        let mut bytes = std::mem::take(&mut self.buffer);
        loop {
            match self.more() {
                Ok(Some(more)) => bytes.extend(more),
                Ok(None) => return (bytes, TlsEnd::Said),
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                    return (bytes, TlsEnd::Cut);
                }
                Err(error) => panic!("no end of the connection: {error}"),
            }
        }
    }

    /// Says that nothing more will come, and ends our side.
    pub fn half_close(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("an open connection");
        self.stream.sock.shutdown(Shutdown::Write).expect("an open socket");
    }

    /// The certificate that the proxy has shown.
    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().expect("a handshake")[0].clone().into_owned()
    }
}

impl Source for TlsClient {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 64 * 1024];
        let read = loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}
