//! What carries the requests of the load, and what comes of them as a client sees it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

use super::endpoints::{FAILED, ID};
use super::ledger::{Asked, Failure, Ledger};
use crate::support::grpc_client::{channel, secured_channel};
use crate::support::{Authority, Hello};

pub struct World {
    pub listen: SocketAddr,
    /// Trusted by clients that speak TLS.
    pub authority: Option<Arc<Authority>>,
    pub ledger: Arc<Ledger>,
    pub stop: AtomicBool,
}

pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

pub type Wire = Box<dyn Duplex>;
pub type Ask = Request<Full<Bytes>>;

/// What carries the requests of a client: made when it is needed, and again when it has been closed.
pub enum Link {
    Http1(Option<http1::SendRequest<Full<Bytes>>>),
    /// Shared by several clients.
    Http2(Rc<Mutex<Option<http2::SendRequest<Full<Bytes>>>>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Closes {
    Cleanly,
    /// So that the proxy sees at once that nobody waits for an answer any more.
    ByReset,
}

pub struct Client {
    pub world: Arc<World>,
    kind: &'static str,
    pub link: Link,
    pub closes: Closes,
    used: Instant,
}

impl World {
    pub fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub async fn dial(&self, alpn: &'static str, closes: Closes) -> io::Result<Wire> {
        let stream = TcpStream::connect(self.listen).await?;
        stream.set_nodelay(true)?;
        if closes == Closes::ByReset {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        let Some(authority) = &self.authority else { return Ok(Box::new(stream)) };
        let hello = Hello { alpn: &[alpn], ..Hello::new(authority) };
        let connector = TlsConnector::from(Arc::new(hello.config()));
        let stream = connector.connect(hello.name.to_owned().try_into().expect("a name"), stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
        Ok(Box::new(stream))
    }

    pub fn calls(&self) -> Channel {
        match &self.authority {
            None => channel(self.listen),
            Some(authority) => secured_channel(self.listen, &Hello::new(authority)),
        }
    }
}

pub fn other(error: impl std::fmt::Debug) -> Failure {
    Failure::Other(format!("{error:?}"))
}

/// An error and whatever it came of.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

pub fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

/// Why there was no head.
fn unanswered(error: &hyper::Error) -> Failure {
    if is_unprocessed(error) { Failure::Unprocessed } else { other(error) }
}

impl Link {
    pub fn http1() -> Link {
        Link::Http1(None)
    }

    /// Sends `request`, on a new connection where the one that was there turns out to have been closed before any of it was sent.
    pub async fn send(
        &mut self,
        world: &World,
        closes: Closes,
        mut request: Ask,
    ) -> Result<Response<Incoming>, Failure> {
        for _ in 0..MOST_DIALS {
            let sent = match self {
                Link::Http1(open) => {
                    let mut rested = open.take();
                    if let Some(sender) = &mut rested
                        && sender.ready().await.is_err()
                    {
                        rested = None;
                    }
                    let mut sender = match rested {
                        Some(sender) => sender,
                        None => {
                            let wire = TokioIo::new(world.dial("http/1.1", closes).await.map_err(other)?);
                            let (sender, connection) = http1::handshake(wire).await.map_err(other)?;
                            spawn_local(connection.with_upgrades());
                            sender
                        }
                    };
                    let sent = sender.try_send_request(request).await;
                    *open = Some(sender);
                    sent
                }
                Link::Http2(shared) => {
                    let mut open = shared.lock().await;
                    if let Some(sender) = &mut *open
                        && sender.ready().await.is_err()
                    {
                        *open = None;
                    }
                    let mut sender = match &*open {
                        Some(sender) => sender.clone(),
                        None => {
                            let wire = TokioIo::new(world.dial("h2", closes).await.map_err(other)?);
                            let (sender, connection) =
                                http2::handshake(TokioExecutor::new(), wire).await.map_err(other)?;
                            spawn_local(connection);
                            open.insert(sender).clone()
                        }
                    };
                    drop(open);
                    sender.try_send_request(request).await
                }
            };
            match sent {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(unanswered(&error.into_error())),
                },
            }
        }
        Err(Failure::Other("never sent".to_owned()))
    }
}

/// For a request that is never sent.
const MOST_DIALS: usize = 10;

impl Client {
    pub fn new(world: &Arc<World>, kind: &'static str, link: Link) -> Client {
        Client { world: Arc::clone(world), kind, link, closes: Closes::Cleanly, used: Instant::now() }
    }

    pub fn ask(&self, method: &str) -> Asked {
        let asked = self.world.ledger.ask(self.kind, method == "GET");
        Asked { rested: self.used.elapsed(), ..asked }
    }

    pub fn request(&self, asked: &Asked, method: &str, target: &str, body: Bytes) -> Ask {
        let request = Request::builder().method(method).header(ID, asked.id);
        let request = match &self.link {
            Link::Http1(_) => request.uri(target).header(header::HOST, "test"),
            Link::Http2(_) => request.uri(format!("http://test{target}")),
        };
        request.body(Full::new(body)).expect("a request")
    }

    /// The body of a whole answer of 200.
    pub async fn exchange(&mut self, request: Ask) -> Result<Bytes, Failure> {
        let response = self.link.send(&self.world, self.closes, request).await?;
        let body = whole(response).await;
        self.used = Instant::now();
        body
    }

    pub async fn get(&mut self, length: usize) {
        let asked = self.ask("GET");
        let request = self.request(&asked, "GET", &format!("/bytes/{length}"), Bytes::new());
        let came = self.exchange(request).await;
        self.judge(asked, came, |body| body.len() == length);
    }

    pub async fn post(&mut self, length: usize) {
        let asked = self.ask("POST");
        let request = self.request(&asked, "POST", "/count", vec![b'a'; length].into());
        let came = self.exchange(request).await;
        self.judge(asked, came, |body| *body == *length.to_string());
    }

    pub fn judge(&self, asked: Asked, came: Result<Bytes, Failure>, is_right: impl FnOnce(&Bytes) -> bool) {
        let came = came.and_then(|body| match is_right(&body) {
            true => Ok(()),
            false => Err(Failure::Other(format!("{} wrong bytes", body.len()))),
        });
        self.world.ledger.judge(asked, came);
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let (head, body) = response.into_parts();
    if let Some(failure) = failure(head.status, &head.headers) {
        return Err(failure);
    }
    body.collect().await.map(|body| body.to_bytes()).map_err(|error| Failure::BrokeOff(format!("{error:?}")))
}

pub fn failure(status: StatusCode, fields: &http::HeaderMap) -> Option<Failure> {
    if fields.contains_key(FAILED) {
        return Some(Failure::OfGreen);
    }
    match fields.get("proxy-status").and_then(|why| why.to_str().ok()) {
        Some("portcullis; error=connection_terminated") => Some(Failure::Terminated),
        why if !status.is_success() && status != StatusCode::SWITCHING_PROTOCOLS => Some(other((status, why))),
        _ => None,
    }
}
