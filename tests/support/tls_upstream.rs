//! An endpoint that speaks TLS and does what a test's script says.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::message::{self, Request, Source};
use super::tls::{Authority, Signed, roots};

/// Listens on a port of its own for as long as the test runs.
pub struct TlsUpstream {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

/// How it agrees with whoever connects.
pub struct Shows<'a> {
    pub signed: &'a Signed,
    /// Whose certificates it lets in; everybody when there is none.
    pub clients: Option<&'a Authority>,
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub alpn: &'a [&'a str],
}

/// What one handshake came to.
#[derive(Clone, Debug)]
pub struct Shaken {
    pub name: Option<String>,
    pub alpn: Option<String>,
    pub resumed: bool,
    /// The certificate of whoever connected, as DER.
    pub client: Option<Vec<u8>>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    shaken: Vec<Shaken>,
    failed: Vec<String>,
    requests: Vec<Request>,
}

/// One connection, in the hands of the script.
pub struct TlsConnection {
    /// Counted from 0, of those that have agreed.
    pub number: usize,
    pub stream: StreamOwned<ServerConnection, TcpStream>,
    buffer: Vec<u8>,
    log: Arc<Mutex<Log>>,
}

static BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

impl<'a> Shows<'a> {
    pub fn new(signed: &'a Signed) -> Shows<'a> {
        Shows { signed, clients: None, versions: BOTH, alpn: &[] }
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).expect("ring has both");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(roots(authority));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.expect("an authority"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.signed.key.as_bytes()).expect("PEM");
        let mut config = builder.with_single_cert(vec![self.signed.der()], key).expect("a pair");
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl TlsUpstream {
    /// Runs `script` on a thread of its own for each connection that has agreed; it is ended, with the word for it, when the
    /// script returns.
    pub fn scripted(shows: &Shows<'_>, script: impl Fn(&mut TlsConnection) + Send + Sync + 'static) -> TlsUpstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (log, config) = (Arc::<Mutex<Log>>::default(), Arc::new(Mutex::new(shows.config())));
        let upstream = TlsUpstream { address, log: Arc::clone(&log), config: Arc::clone(&config) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                log.lock().expect("no panic with it").connections += 1;
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let config = Arc::clone(&config.lock().expect("no panic with it"));
                std::thread::spawn(move || {
                    if let Some(mut connection) = TlsConnection::agree(stream, config, log) {
                        script(&mut connection);
                        connection.close();
                    }
                });
            }
        });
        upstream
    }

    /// Answers every request with 200 and its own method and target.
    pub fn ok(shows: &Shows<'_>) -> TlsUpstream {
        TlsUpstream::scripted(shows, |connection| {
            while let Some(request) = connection.request() {
                connection.send(ok(&format!("{} {}", request.method, request.target)));
            }
        })
    }

    /// As a configuration names it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Agrees in another way from here on.
    pub fn show(&self, shows: &Shows<'_>) {
        *self.config.lock().expect("no panic with it") = shows.config();
    }

    /// How many connections were made, whatever became of them.
    pub fn connections(&self) -> usize {
        self.log.lock().expect("no panic with it").connections
    }

    pub fn shaken(&self) -> Vec<Shaken> {
        self.log.lock().expect("no panic with it").shaken.clone()
    }

    /// Why handshakes failed.
    pub fn failed(&self) -> Vec<String> {
        self.log.lock().expect("no panic with it").failed.clone()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().expect("no panic with it").requests.clone()
    }
}

/// A whole answer.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

impl TlsConnection {
    fn agree(mut stream: TcpStream, config: Arc<ServerConfig>, log: Arc<Mutex<Log>>) -> Option<TlsConnection> {
        stream.set_nodelay(true).expect("a socket");
        let mut session = ServerConnection::new(config).expect("a session");
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut stream) {
                log.lock().expect("no panic with it").failed.push(error.to_string());
                return None;
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shaken = Shaken {
            name: session.server_name().map(str::to_owned),
            alpn: session.alpn_protocol().map(text),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            client: session.peer_certificates().map(|chain| chain[0].to_vec()),
        };
        let number = {
            let mut log = log.lock().expect("no panic with it");
            log.shaken.push(shaken);
            log.shaken.len() - 1
        };
        let stream = StreamOwned::new(session, stream);
        Some(TlsConnection { number, stream, buffer: Vec::new(), log })
    }

    pub fn speaks_http2(&self) -> bool {
        self.stream.conn.alpn_protocol() == Some(b"h2")
    }

    /// The next whole request; none when the proxy has ended the connection.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = message::read_request_head(self).ok()??;
        message::read_request_body(self, &mut request).ok()?;
        self.log.lock().expect("no panic with it").requests.push(request.clone());
        Some(request)
    }

    /// Sends; whether the proxy took it is for the test to see.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).ok();
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            match self.more() {
                Ok(Some(more)) => self.buffer.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// Whether whoever connected ends with the word for it; reads until then.
    pub fn ends_with_the_word(&mut self) -> bool {
        loop {
            match self.more() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Says something to TLS alone, of which no HTTP knows.
    pub fn renew_keys(&mut self) {
        self.stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        self.stream.flush().expect("an open connection");
    }

    /// Ends with the word for it.
    pub fn close(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().ok();
        self.cut();
    }

    /// Ends without it.
    pub fn cut(&mut self) {
        self.stream.sock.shutdown(Shutdown::Both).ok();
    }
}

impl Source for TlsConnection {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 64 * 1024];
        let read = self.stream.read(&mut bytes)?;
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}
