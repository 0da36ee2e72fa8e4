//! TLS between us and an endpoint: below what sends, so that what is written in one event batch is sealed as one.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::stream::Stream;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(in crate::proxy) struct Secured {
    tls: TlsStream<Stream>,
    /// How many of the bytes that were offered last are sealed, and not all given to the kernel. Whoever was told that there
    /// is no room offers them again.
    sealed: usize,
}

/// What the kernel has or takes by now.
struct Direct<'s>(&'s mut Stream);

/// As [`Direct`], also where it has not told that there is something.
struct Asked<'s>(&'s Stream);

impl Secured {
    pub(in crate::proxy) fn new(tls: TlsStream<Stream>) -> Secured {
        Secured { tls, sealed: 0 }
    }

    pub(super) fn stream(&self) -> &Stream {
        self.tls.get_ref().0
    }

    /// The protocol that was agreed on, if any was.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.tls.get_ref().1.alpn_protocol()
    }

    /// Ready when a read may have something to tell: also where TLS holds what the kernel has given away already.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tls.get_ref() {
            (stream, session) if session.wants_read() => stream.poll_read_ready(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What came says nothing to whoever uses the connection, and neither does what the kernel knows of: at most what TLS says
    /// to itself, such as a ticket for another session.
    pub(super) fn is_silent(&mut self) -> bool {
        let (stream, session) = self.tls.get_mut();
        loop {
            if !session.wants_read() {
                return false;
            }
            match session.read_tls(&mut Asked(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(0) | Err(_) => return false,
                Ok(_) if session.process_new_packets().is_err() => return false,
                Ok(_) => {}
            }
        }
    }

    /// How many bytes the kernel has taken all of; those that it has only taken a part of have to be offered again.
    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.give()?;
        if self.sealed == 0 {
            self.sealed = self.tls.get_mut().1.writer().write_vectored(slices)?;
            self.give()?;
        }
        Ok(std::mem::take(&mut self.sealed))
    }

    /// Gives what is sealed to the kernel.
    fn give(&mut self) -> io::Result<()> {
        let (stream, session) = self.tls.get_mut();
        while session.wants_write() {
            session.write_tls(&mut Direct(stream))?;
        }
        Ok(())
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream().poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    /// Says that this is the end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Asked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*socket2::SockRef::from(self.0)).read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Waker;

    use rcgen::{CertificateParams, KeyPair};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    type Peer = StreamOwned<ServerConnection, std::net::TcpStream>;

    /// Both ends of a connection: ours, and the peer's.
    async fn connected() -> (Secured, Peer) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let client = client.expect("ring has both").with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = server.expect("ring has both").with_no_client_auth();
        let der = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let server = Arc::new(server.with_single_cert(vec![certificate], der).expect("a pair"));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let mut socket = listener.accept().expect("it connected").0;
        socket.set_nodelay(true).expect("a socket");
        let peer = std::thread::spawn(move || {
            let mut session = ServerConnection::new(server).expect("a session");
            while session.is_handshaking() {
                session.complete_io(&mut socket).expect("they agree");
            }
            StreamOwned::new(session, socket)
        });
        let name = ServerName::try_from("a.example").expect("a name");
        let tls = TlsConnector::from(Arc::new(client)).connect(name, Stream::Tcp(stream)).await.expect("they agree");
        let mut secured = Secured::new(tls);
        let peer = peer.join().expect("no panic");
        assert!(secured.is_silent(), "tickets are for nobody else");
        (secured, peer)
    }

    #[tokio::test]
    async fn what_the_kernel_knows_is_asked_before_it_has_told_and_what_tls_says_to_itself_is_nothing() {
        let ends: [fn(&mut Peer); 4] = [
            |peer| peer.write_all(b"x").expect("an open connection"),
            |peer| peer.conn.send_close_notify(),
            |peer| peer.sock.shutdown(std::net::Shutdown::Write).expect("an open socket"),
            |peer| peer.sock.write_all(b"this is no TLS").expect("an open socket"),
        ];
        for (number, end) in ends.into_iter().enumerate() {
            let (mut secured, mut peer) = connected().await;
            peer.conn.refresh_traffic_keys().expect("TLS 1.3");
            peer.flush().expect("an open connection");
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(secured.poll_read_ready(&mut nobody).is_pending(), "nothing has been waited for since");
            assert!(secured.is_silent(), "{number}");
            end(&mut peer);
            // An error means that there is nothing to send.
            peer.flush().ok();
            assert!(
                secured.poll_read_ready(&mut nobody).is_pending() || number == 0,
                "nothing has been waited for since"
            );
            assert!(!secured.is_silent(), "{number}");
        }
    }

    #[tokio::test]
    async fn what_was_not_taken_whole_is_offered_again_and_sent_once() {
        let (mut secured, mut peer) = connected().await;
        let bytes: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
        let mut offered = &bytes[..];
        loop {
            match secured.try_write_vectored(&[IoSlice::new(&offered[..30_000])]) {
                Ok(taken) => offered = &offered[taken..],
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let sent = bytes.len() - offered.len();
        assert!(sent > 0 && offered.len() > 30_000, "the kernel takes {sent} bytes at first");
        // What counts as written is with the kernel, though nobody writes or flushes any more.
        let mut read = vec![0; bytes.len()];
        peer.sock.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a socket");
        peer.read_exact(&mut read[..sent]).expect("all that counts as written");
        let reader = std::thread::spawn(move || {
            peer.read_exact(&mut read[sent..]).expect("the rest");
            read
        });
        while !offered.is_empty() {
            let slices = [IoSlice::new(&offered[..offered.len().min(30_000)])];
            let taken = std::future::poll_fn(|cx| Pin::new(&mut secured).poll_write_vectored(cx, &slices)).await;
            offered = &offered[taken.expect("an open connection")..];
        }
        assert!(reader.join().expect("no panic") == bytes);
    }
}
