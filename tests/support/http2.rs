//! Clients of HTTP/2: one of the h2 crate, which sends nothing that is malformed, and one of bare frames.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::client::cut;
use super::message::Source;
use super::{Client, Cut, DEADLINE, Hello, Proxy};

/// A connection whose frames are read on a thread of its own.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    ended: mpsc::Receiver<Option<Reason>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

/// An answer that broke off.
pub struct Broken {
    /// None where there was no head.
    pub status: Option<u16>,
    pub body: Vec<u8>,
    /// None where the connection ended.
    pub reason: Option<Reason>,
}

/// A frame as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A client that sends what it is told, and reads frames one by one.
pub struct Frames {
    pub client: Client,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A GET, or whatever the test makes of it.
pub fn get(target: &str) -> Request<()> {
    Request::builder().uri(format!("http://test{target}")).body(()).expect("a request")
}

pub fn post(target: &str) -> Request<()> {
    Request::builder().method("POST").uri(format!("http://test{target}")).body(()).expect("a request")
}

impl Http2 {
    pub fn connect(address: SocketAddr) -> Http2 {
        Http2::with(address, &Builder::new())
    }

    /// With settings of the client.
    pub fn with(address: SocketAddr, builder: &Builder) -> Http2 {
        let (stream, builder) = (TcpStream::connect(address).expect("the proxy listens"), builder.clone());
        Http2::driven(move |socket| async move { Ok(socket) }, stream, builder)
    }

    /// Over TLS, where the proxy must choose `h2`.
    pub fn secured(proxy: &Proxy, hello: &Hello<'_>) -> Http2 {
        let config = Hello { alpn: &["h2", "http/1.1"], ..*hello }.config();
        let name = hello.name.to_owned().try_into().expect("a name");
        let stream = TcpStream::connect(proxy.listen).expect("the proxy listens");
        let secure = move |socket| async move {
            let stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, socket).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            Ok(stream)
        };
        Http2::driven(secure, stream, Builder::new())
    }

    fn driven<S, F>(
        secure: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static,
        stream: TcpStream,
        builder: Builder,
    ) -> Http2
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = io::Result<S>>,
    {
        let (opened, open) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).expect("a socket");
                let socket = tokio::net::TcpStream::from_std(stream).expect("a socket");
                let secured = secure(socket).await.expect("they agree on keys");
                let (sender, connection) = builder.handshake(secured).await.expect("they agree on HTTP/2");
                opened.send(sender).expect("the test waits");
                // An error means that the test does not ask.
                end.send(connection.await.err().and_then(|error| error.reason())).ok();
            });
        });
        let sender = open.recv_timeout(DEADLINE).expect("the proxy speaks HTTP/2");
        Http2 { runtime: runtime(), sender, ended }
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(DEADLINE, future).await };
        self.runtime.block_on(bounded).unwrap_or_else(|_| panic!("not within {} s", DEADLINE.as_secs()))
    }

    /// Begins a request without a body.
    #[track_caller]
    pub fn ask(&mut self, request: Request<()>) -> ResponseFuture {
        self.try_ask(request).expect("a stream")
    }

    pub fn try_ask(&mut self, request: Request<()>) -> Result<ResponseFuture, h2::Error> {
        self.sender = self.wait(self.sender.clone().ready())?;
        Ok(self.sender.send_request(request, true)?.0)
    }

    /// Begins a request whose body is to come.
    #[track_caller]
    pub fn begin(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.sender = self.wait(self.sender.clone().ready()).expect("an open connection");
        self.sender.send_request(request, false).expect("a stream")
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        let response = self.ask(get(target));
        self.answer(response)
    }

    #[track_caller]
    pub fn answer(&self, response: ResponseFuture) -> Answer {
        self.try_answer(response).unwrap_or_else(|broken| panic!("no whole answer: {broken:?}"))
    }

    /// The head alone.
    #[track_caller]
    pub fn head(&self, response: ResponseFuture) -> http::Response<h2::RecvStream> {
        self.wait(response).expect("a head")
    }

    pub fn try_answer(&self, response: ResponseFuture) -> Result<Answer, Broken> {
        self.wait(async {
            let broken = |error: h2::Error, status, body| Broken { status, body, reason: error.reason() };
            let response = response.await.map_err(|error| broken(error, None, Vec::new()))?;
            let (head, mut incoming) = response.into_parts();
            let (status, mut body) = (head.status.as_u16(), Vec::new());
            while let Some(data) = incoming.data().await {
                match data {
                    Ok(data) => {
                        body.extend(&data);
                        incoming.flow_control().release_capacity(data.len()).expect("it has come");
                    }
                    Err(error) => return Err(broken(error, Some(status), body)),
                }
            }
            match incoming.trailers().await {
                Ok(trailers) => {
                    let trailers = trailers.unwrap_or_default();
                    Ok(Answer { status, fields: head.headers, body, trailers })
                }
                Err(error) => Err(broken(error, Some(status), body)),
            }
        })
    }

    /// Sends up to `length` bytes and returns how many were taken before `for_so_long` passed without a window for more.
    pub fn send_until_held_back(&self, body: &mut SendStream<Bytes>, length: usize, for_so_long: Duration) -> usize {
        let mut sent = 0;
        while sent < length {
            body.reserve_capacity(64 * 1024);
            let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx));
            let bounded = async { tokio::time::timeout(for_so_long, capacity).await };
            match self.runtime.block_on(bounded) {
                Ok(Some(Ok(capacity))) => {
                    body.send_data(vec![b'a'; capacity].into(), false).expect("an open stream");
                    sent += capacity;
                }
                Ok(_) | Err(_) => break,
            }
        }
        sent
    }

    /// Waits until the connection has ended, and says with what; none at a clean end.
    #[track_caller]
    pub fn until_ended(self) -> Option<Reason> {
        let Http2 { sender, ended, .. } = self;
        let reason = ended.recv_timeout(DEADLINE).expect("the end of the connection");
        drop(sender);
        reason
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Frame {
    /// What a GOAWAY or a `RST_STREAM` says.
    pub fn code(&self) -> Reason {
        let code = &self.payload[if self.kind == GOAWAY { 4..8 } else { 0..4 }];
        u32::from_be_bytes(code.try_into().expect("four bytes")).into()
    }
}

/// With the beginning of the body, which may be long.
impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let begins = String::from_utf8_lossy(&self.body[..self.body.len().min(100)]);
        let Broken { status, body, reason } = self;
        write!(f, "status {status:?}, {} bytes: {begins:?}, {reason:?}", body.len())
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them where nothing is compressed and nothing remembered (RFC 7541, 6.2.3).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| {
        // A length of seven bits, and what is left of a longer one.
        let mut bytes = Vec::new();
        match text.len() {
            length @ ..127 => bytes.push(length as u8),
            length => {
                bytes.push(127);
                let mut left = length - 127;
                while left > 127 {
                    bytes.push(left as u8 | 0x80);
                    left >>= 7;
                }
                bytes.push(left as u8);
            }
        }
        [bytes, text.as_bytes().to_vec()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0x10], string(name), string(value)].concat()).collect()
}

/// The pseudo fields of a request, and others.
pub fn fields<'a>(method: &'a str, path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)][..], more].concat()
}

impl Frames {
    /// On a connection that has begun with a preface and empty settings.
    pub fn connect(address: SocketAddr) -> Frames {
        let mut frames = Frames { client: Client::connect(address) };
        frames.client.send(PREFACE);
        frames.send(SETTINGS, 0, 0, &[]);
        frames
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Frames {
        self.client.send(frame(kind, flags, stream, payload));
        self
    }

    /// A GET without a body.
    pub fn get(&mut self, stream: u32, path: &str) -> &mut Frames {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields("GET", path, &[])))
    }

    /// The next frame; none at the end of the connection, however it ends.
    #[track_caller]
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.bytes(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
        Some(Frame { kind: head[3], flags: head[4], stream, payload: self.bytes(length)? })
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.client.buffer().len() < length {
            match self.client.more() {
                Ok(Some(more)) => self.client.buffer().extend(more),
                Ok(None) => return None,
                Err(error) => match cut(&error) {
                    Cut::Reset => return None,
                    other => panic!("no frame: {other:?}"),
                },
            }
        }
        Some(self.client.buffer().drain(..length).collect())
    }

    /// The next frame of this kind that is no ACK.
    #[track_caller]
    pub fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|| panic!("the connection ended before a frame of kind {kind}"));
            if frame.kind == kind && (kind == HEADERS || kind == DATA || frame.flags & ACK == 0) {
                return frame;
            }
        }
    }

    /// Reads to the end, and returns all frames of this kind.
    #[track_caller]
    pub fn rest(&mut self, kind: u8) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).filter(|frame| frame.kind == kind).collect()
    }

    /// Waits until everything sent before has been looked at.
    #[track_caller]
    pub fn sync(&mut self) {
        self.send(PING, 0, 0, b"12345678");
        while self.next().expect("an answer to the ping").kind != PING {}
    }

    /// Offers bytes until the proxy takes no more, or `most` have been sent.
    pub fn flood(&mut self, bytes: &[u8], most: usize) {
        self.client.stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket");
        let mut sent = 0;
        while sent < most && self.client.offer(bytes).is_ok() {
            sent += bytes.len();
        }
    }
}
