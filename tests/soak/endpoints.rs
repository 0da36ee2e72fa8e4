//! An endpoint that speaks all that the load speaks, dies and returns.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tonic::body::Body;

use super::ledger::{Ledger, Life};
use crate::support::grpc::Echo;

/// A field that numbers a request.
pub const ID: &str = "x-soak-id";
/// A field of an answer that is green's own failure.
pub const FAILED: &str = "x-soak-failed";

/// What WebSocket messages of the load are long; small enough for a length of seven bits.
pub const MESSAGE: usize = 32;

pub struct Site {
    pub address: SocketAddr,
    of_green: bool,
    shows: Option<Arc<ServerConfig>>,
    ledger: Arc<Ledger>,
    broken: Arc<AtomicBool>,
    running: Option<Running>,
}

struct Running {
    life: Life,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What handles a request.
#[derive(Clone)]
struct Handler {
    life: Life,
    ledger: Arc<Ledger>,
    broken: Arc<AtomicBool>,
    echo: Echo,
}

impl Site {
    /// Starts at this address with a port of its own, which no other test is given for as long as it is dead, because none
    /// has this address.
    pub fn start(
        host: [u8; 4],
        of_green: bool,
        shows: Option<Arc<ServerConfig>>,
        ledger: &Arc<Ledger>,
        broken: &Arc<AtomicBool>,
    ) -> Site {
        let (ledger, broken) = (Arc::clone(ledger), Arc::clone(broken));
        let mut site = Site { address: (host, 0).into(), of_green, shows, ledger, broken, running: None };
        site.revive();
        site
    }

    pub fn revive(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).expect("nobody else has this address");
        listener.set_nonblocking(true).expect("a socket");
        self.address = listener.local_addr().expect("a bound socket");
        let life = self.ledger.life(self.of_green);
        let echo = Echo::failing_with(Arc::clone(&self.broken));
        let handler = Handler { life, ledger: Arc::clone(&self.ledger), broken: Arc::clone(&self.broken), echo };
        let acceptor = self.shows.clone().map(TlsAcceptor::from);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                tokio::select! {
                    () = accept(listener, acceptor, handler) => {}
                    _ = stopped => {}
                }
            });
            // With the runtime all connections are gone.
        });
        self.running = Some(Running { life, stop, thread });
    }

    /// Ends all it has at once.
    pub fn kill(&mut self) {
        let Some(Running { life, stop, thread }) = self.running.take() else { return };
        self.ledger.kills(life);
        stop.send(()).expect("it runs");
        thread.join().expect("it does not panic");
        self.ledger.has_died(life);
    }
}

async fn accept(listener: tokio::net::TcpListener, acceptor: Option<TlsAcceptor>, handler: Handler) {
    loop {
        let (stream, _) = listener.accept().await.expect("descriptors");
        stream.set_nodelay(true).expect("a socket");
        let (acceptor, handler) = (acceptor.clone(), handler.clone());
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else { return serve(stream, false, handler).await };
            // An error is the proxy's to tell.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(stream, is_http2, handler).await;
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, is_http2: bool, handler: Handler) {
    let service = service_fn(move |request| handler.clone().answer(request));
    // An error is a client that has gone.
    if is_http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .ok();
    } else {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connection.with_upgrades().await.ok();
    }
}

impl Handler {
    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let id = request.headers().get(ID).and_then(|id| id.to_str().ok()?.parse().ok());
        if let Some(id) = id {
            self.ledger.take(id, self.life);
        }
        let path = request.uri().path().to_owned();
        let mut words = path.split('/').skip(1);
        match words.next() {
            Some("test.Echo") => tower::Service::call(&mut self.echo, request.map(Body::new)).await,
            Some("hang") => std::future::pending().await,
            _ if self.broken.load(Ordering::SeqCst) => {
                let failed = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).header(FAILED, "green");
                Ok(failed.body(Body::empty()).expect("a head"))
            }
            Some("socket") => Ok(upgrade(request)),
            Some("bytes") => {
                let length = words.next().and_then(|length| length.parse().ok()).expect("a length");
                Ok(Response::new(Body::new(Full::new(Bytes::from(vec![b'a'; length])))))
            }
            _ => {
                let mut length = 0;
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    length += frame.data_ref().map_or(0, Bytes::len);
                }
                Ok(Response::new(Body::new(Full::from(length.to_string()))))
            }
        }
    }
}

fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async {
        // An error is a client that has gone.
        if let Ok(upgraded) = upgrade.await {
            echo(TokioIo::new(upgraded)).await.ok();
        }
    });
    let head = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let head = head.header("connection", "upgrade").header("upgrade", "websocket");
    head.body(Body::empty()).expect("a head")
}

/// Sends the messages of the load back, until there is a frame of another kind.
async fn echo(mut tunnel: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    // Two bytes, the mask, which is none, and the message.
    let mut frame = [0; 6 + MESSAGE];
    loop {
        tunnel.read_exact(&mut frame[..2]).await?;
        if frame[0] != 0x82 {
            return Ok(());
        }
        tunnel.read_exact(&mut frame[2..]).await?;
        let answer = [&[0x82, MESSAGE as u8], &frame[6..]].concat();
        tunnel.write_all(&answer).await?;
    }
}
