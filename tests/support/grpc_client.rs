//! A client of gRPC, of the tonic crate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

use super::grpc::{Raw, path, runtime};
use super::{DEADLINE, Hello};

/// A client, whose connection is driven on a thread of its own.
pub struct GrpcClient {
    pub calls: Calls,
    handle: Handle,
}

type Calls = tonic::client::Grpc<Channel>;

/// Makes its connection when it is needed, and another when that has ended.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("a URI").connect_lazy()
}

/// As [`channel`], over TLS with ALPN.
pub fn secured_channel(address: SocketAddr, hello: &Hello<'_>) -> Channel {
    let connector = TlsConnector::from(Arc::new(Hello { alpn: &["h2"], ..*hello }.config()));
    let name = hello.name.to_owned();
    let endpoint = Endpoint::from_shared(format!("https://{name}:{}", address.port())).expect("a URI");
    endpoint.connect_with_connector_lazy(service_fn(move |_| {
        let (connector, name) = (connector.clone(), name.clone().try_into().expect("a name"));
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(name, stream).await?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other("HTTP/2 was not chosen"));
            }
            Ok(TokioIo::new(stream))
        }
    }))
}

impl GrpcClient {
    pub fn connect(address: SocketAddr) -> GrpcClient {
        GrpcClient::with(|| channel(address))
    }

    /// Over TLS, where the proxy must choose `h2`.
    pub fn secured(address: SocketAddr, hello: &Hello<'_>) -> GrpcClient {
        GrpcClient::with(|| secured_channel(address, hello))
    }

    fn with(channel: impl FnOnce() -> Channel) -> GrpcClient {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let calls = {
            let _inside = handle.enter();
            Calls::new(channel())
        };
        GrpcClient { calls, handle }
    }

    #[track_caller]
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(DEADLINE, future).await };
        self.handle.block_on(bounded).unwrap_or_else(|_| panic!("not within {} s", DEADLINE.as_secs()))
    }

    #[track_caller]
    pub fn unary(&self, method: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut calls = self.calls.clone();
        self.wait(async {
            calls.ready().await.expect("a connection");
            calls.unary(request, path(method), Raw).await
        })
    }

    /// A unary call that goes on by itself until it is aborted.
    #[track_caller]
    pub fn begin(&self, method: &'static str) -> JoinHandle<Result<Response<Bytes>, Status>> {
        let mut calls = self.calls.clone();
        self.wait(calls.ready()).expect("a connection");
        self.handle.spawn(async move { calls.unary(Request::new(Bytes::new()), path(method), Raw).await })
    }

    #[track_caller]
    pub fn say(&self, text: &'static str) -> Result<Bytes, Status> {
        self.unary("Say", Request::new(text.into())).map(Response::into_inner)
    }

    #[track_caller]
    pub fn server_streaming(&self, method: &str, text: &'static str) -> Result<Streaming<Bytes>, Status> {
        let mut calls = self.calls.clone();
        self.wait(async {
            calls.ready().await.expect("a connection");
            let request = Request::new(text.into());
            calls.server_streaming(request, path(method), Raw).await.map(Response::into_inner)
        })
    }

    #[track_caller]
    pub fn client_streaming(&self, method: &str, texts: &[&'static str]) -> Result<Bytes, Status> {
        let mut calls = self.calls.clone();
        let messages: Vec<Bytes> = texts.iter().copied().map(Bytes::from).collect();
        self.wait(async {
            calls.ready().await.expect("a connection");
            let request = Request::new(stream::iter(messages));
            calls.client_streaming(request, path(method), Raw).await.map(Response::into_inner)
        })
    }

    /// Begins a call whose messages are sent by what is returned first.
    #[track_caller]
    pub fn streaming(&self, method: &str) -> (Messages, Streaming<Bytes>) {
        let mut calls = self.calls.clone();
        let (send, messages) = tokio::sync::mpsc::unbounded_channel();
        let messages = stream::unfold(messages, |mut messages| async {
            let message = messages.recv().await?;
            Some((message, messages))
        });
        let answers = self.wait(async {
            calls.ready().await.expect("a connection");
            calls.streaming(Request::new(messages), path(method), Raw).await.map(Response::into_inner)
        });
        (send, answers.expect("a call"))
    }

    /// The next message; none at a good end.
    #[track_caller]
    pub fn next(&self, answers: &mut Streaming<Bytes>) -> Result<Option<Bytes>, Status> {
        self.wait(answers.message())
    }

    /// All messages and the status.
    #[track_caller]
    pub fn rest(&self, answers: &mut Streaming<Bytes>) -> (Vec<Bytes>, Result<(), Status>) {
        let mut all = Vec::new();
        loop {
            match self.next(answers) {
                Ok(Some(message)) => all.push(message),
                Ok(None) => return (all, Ok(())),
                Err(status) => return (all, Err(status)),
            }
        }
    }
}

/// Of a call that goes on; dropped, it has no more.
pub type Messages = tokio::sync::mpsc::UnboundedSender<Bytes>;
