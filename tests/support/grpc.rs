//! A service of gRPC and a server of it, of the tonic crate, without a schema: a message is its bytes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, Stream, StreamExt};
use http::uri::PathAndQuery;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use super::{DEADLINE, Shows};

#[derive(Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The service `test.Echo`. What it answers begins with its name.
///
/// | method | takes | answers |
/// |---|---|---|
/// | `Say` | one | that one, or DEADLINE_EXCEEDED at once where it is given a time |
/// | `Collect` | many | all of them in one |
/// | `Repeat` | one | that one, three times |
/// | `Talk` | many | each one at once |
/// | `Fail` | a code | that status |
/// | `FailLate` | a code | one message, and that status |
/// | `Hang` | one | nothing |
/// | `HangLate` | one | a head, and nothing more |
#[derive(Clone)]
pub struct Echo {
    name: &'static str,
    /// Says UNAVAILABLE to `Say`, and after one message to `Repeat`.
    broken: Arc<AtomicBool>,
    hanging: Option<mpsc::Sender<Hanging>>,
    metadata: Arc<Mutex<HashMap<String, String>>>,
}

/// What becomes of a call of `Hang` or `HangLate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hanging {
    Began,
    /// Nobody waits for it any more.
    Dropped,
}

/// Answers that come one by one.
type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a failed call brings along, in trailers as in a head.
pub const DETAILS: &[u8] = &[0, 1, 254, 255];
pub const TOKEN: &[u8] = b"\xff\x00 bytes";

pub fn message(code: Code) -> String {
    format!("ünwell: 100 % of {code:?}\n")
}

fn failure(code: &Bytes) -> Status {
    let code = std::str::from_utf8(code).ok().and_then(|code| code.parse::<i32>().ok()).expect("a code");
    let mut metadata = MetadataMap::new();
    metadata.insert_bin("x-token-bin", tonic::metadata::MetadataValue::from_bytes(TOKEN));
    let code = Code::from_i32(code);
    Status::with_details_and_metadata(code, message(code), DETAILS.into(), metadata)
}

/// For as long as a call hangs.
struct Held(Option<mpsc::Sender<Hanging>>);

impl Held {
    fn tell(&self, what: Hanging) {
        // An error means that the test does not ask.
        self.0.as_ref().map(|hanging| hanging.send(what).ok());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell(Hanging::Dropped);
    }
}

impl Echo {
    pub fn new(name: &'static str) -> Echo {
        Echo { name, broken: Arc::default(), hanging: None, metadata: Arc::default() }
    }

    /// As a part of another server, which is called `echo`.
    pub fn failing_with(broken: Arc<AtomicBool>) -> Echo {
        Echo { broken, ..Echo::new("echo") }
    }

    fn says(&self, message: &[u8]) -> Bytes {
        [self.name.as_bytes(), b": ", message].concat().into()
    }

    fn hang(&self) -> Held {
        let held = Held(self.hanging.clone());
        held.tell(Hanging::Began);
        held
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    fn keep(&self, metadata: &MetadataMap) {
        let text = metadata.clone().into_headers();
        let text = text.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        self.metadata.lock().expect("no panic with it").extend(text);
    }

    fn one(self, method: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.keep(request.metadata());
        if method == "Fail" {
            return Err(failure(request.get_ref()));
        }
        if self.is_broken() {
            return Err(Status::unavailable(self.name));
        }
        if request.metadata().contains_key("grpc-timeout") {
            return Err(Status::deadline_exceeded("it takes longer than that"));
        }
        let mut response = Response::new(self.says(request.get_ref()));
        *response.metadata_mut() = request.metadata().clone();
        Ok(response)
    }

    fn many(self, method: &str, request: Request<Bytes>) -> Response<Answers> {
        let message = request.into_inner();
        let answers: Answers = match method {
            "FailLate" => Box::pin(stream::iter([Ok(self.says(b"well")), Err(failure(&message))])),
            "HangLate" => {
                let held = self.hang();
                Box::pin(stream::poll_fn(move |_| {
                    let _: &Held = &held;
                    Poll::Pending
                }))
            }
            _ if self.is_broken() => {
                Box::pin(stream::iter([Ok(self.says(b"well")), Err(Status::unavailable(self.name))]))
            }
            _ => {
                let answers: Vec<_> = (0..3).map(|_| Ok(self.says(&message))).collect();
                Box::pin(stream::iter(answers))
            }
        };
        Response::new(answers)
    }

    async fn collect(self, request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
        let (mut messages, mut all) = (request.into_inner(), Vec::new());
        while let Some(message) = messages.message().await? {
            all.push(message);
        }
        Ok(Response::new(self.says(&all.join(&b' '))))
    }

    fn talk(self, request: Request<Streaming<Bytes>>) -> Response<Answers> {
        let messages = request.into_inner();
        Response::new(Box::pin(stream::unfold((self, messages), |(echo, mut messages)| async {
            let answer = messages.message().await.transpose()?.map(|message| echo.says(&message));
            Some((answer, (echo, messages)))
        })))
    }

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let mut grpc = tonic::server::Grpc::new(Raw);
        let method = request.uri().path().strip_prefix("/test.Echo/").unwrap_or_default().to_owned();
        match method.as_str() {
            "Say" | "Fail" => {
                let one = |request| std::future::ready(self.clone().one(&method, request));
                grpc.unary(service_fn(one), request).await
            }
            "Hang" => {
                let held = self.hang();
                let hang = |_: Request<Bytes>| std::future::pending::<Result<Response<Bytes>, Status>>();
                let response = grpc.unary(service_fn(hang), request).await;
                drop(held);
                response
            }
            "Collect" => grpc.client_streaming(service_fn(|request| self.clone().collect(request)), request).await,
            "Repeat" | "FailLate" | "HangLate" => {
                let many = |request| std::future::ready(Ok(self.clone().many(&method, request)));
                grpc.server_streaming(service_fn(many), request).await
            }
            "Talk" => {
                let talk = |request| std::future::ready(Ok(self.clone().talk(request)));
                grpc.streaming(service_fn(talk), request).await
            }
            _ => Status::unimplemented(method).into_http(),
        }
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async { Ok(echo.answer(request).await) })
    }
}

/// A method of [`Echo`].
pub fn path(method: &str) -> PathAndQuery {
    format!("/test.Echo/{method}").parse().expect("a path")
}

/// An endpoint. Listens on a port of its own for as long as the test runs.
pub struct GrpcUpstream {
    pub address: SocketAddr,
    hanging: mpsc::Receiver<Hanging>,
    broken: Arc<AtomicBool>,
    metadata: Arc<Mutex<HashMap<String, String>>>,
}

impl GrpcUpstream {
    /// With TLS as `shows` says; none is clear text.
    pub fn start(name: &'static str, shows: Option<&Shows<'_>>) -> GrpcUpstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        listener.set_nonblocking(true).expect("a socket");
        let (tell, hanging) = mpsc::channel();
        let echo = Echo { hanging: Some(tell), ..Echo::new(name) };
        let (broken, metadata) = (Arc::clone(&echo.broken), Arc::clone(&echo.metadata));
        let acceptor = shows.map(|shows| TlsAcceptor::from(shows.config()));
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let accept = |listener: tokio::net::TcpListener| async {
                    let accepted = listener.accept().await.map(|(stream, _)| stream);
                    Some((accepted, listener))
                };
                let incoming = stream::unfold(listener, accept);
                match acceptor {
                    None => serve(echo, incoming).await,
                    Some(acceptor) => {
                        let secure = |stream: io::Result<_>| async { acceptor.accept(stream?).await };
                        serve(echo, incoming.then(secure)).await;
                    }
                }
            });
        });
        GrpcUpstream { address, hanging, broken, metadata }
    }

    /// The next that becomes of a call that hangs.
    #[track_caller]
    pub fn until(&self, what: Hanging) {
        assert_eq!(self.hanging.recv_timeout(DEADLINE), Ok(what));
    }

    pub fn break_down(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// What came along with the calls.
    pub fn metadata(&self, name: &str) -> Option<String> {
        self.metadata.lock().expect("no panic with it").get(name).cloned()
    }
}

async fn serve<I>(echo: Echo, incoming: impl Stream<Item = io::Result<I>>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
{
    Server::builder().serve_with_incoming(echo, incoming).await.expect("it serves");
}

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
