//! Endpoints that speak HTTP/2: one that answers as HTTP does, and one that sends the frames that a test writes.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

use super::tls_upstream::Shows;

/// Listens on a port of its own for as long as the test runs.
pub struct Http2Upstream {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    /// Requests under way of each connection, and the most there were at a time.
    connections: Vec<(usize, usize)>,
    requests: Vec<(Request<()>, Vec<u8>, Option<HeaderMap>)>,
}

/// One request, in the hands of the script.
pub struct Call {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
    log: Arc<Mutex<Log>>,
}

pub type Answering = Pin<Box<dyn Future<Output = ()>>>;

impl Http2Upstream {
    /// Runs `script` for each request, with TLS as `shows` says; none is clear text.
    pub fn scripted(
        shows: Option<&Shows<'_>>,
        tune: fn(&mut Builder),
        script: impl Fn(Call) -> Answering + Send + Sync + 'static,
    ) -> Http2Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        listener.set_nonblocking(true).expect("a socket");
        let log = Arc::<Mutex<Log>>::default();
        let upstream = Http2Upstream { address, log: Arc::clone(&log) };
        let (acceptor, script) = (shows.map(|shows| TlsAcceptor::from(shows.config())), Arc::new(script));
        std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).expect("a socket");
                    let number = {
                        let mut log = log.lock().expect("no panic with it");
                        log.connections.push((0, 0));
                        log.connections.len() - 1
                    };
                    let (log, script, acceptor) = (Arc::clone(&log), Arc::clone(&script), acceptor.clone());
                    let mut builder = Builder::new();
                    tune(&mut builder);
                    tokio::task::spawn_local(async move {
                        match acceptor {
                            None => serve(builder, stream, number, log, script).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(builder, stream, number, log, script).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        upstream
    }

    /// Answers every request with 200, its own method and target, and the length of its body.
    pub fn ok(shows: Option<&Shows<'_>>) -> Http2Upstream {
        Http2Upstream::scripted(shows, |_| {}, |call| Box::pin(call.echo()))
    }

    /// As a configuration names it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.log.lock().expect("no panic with it").connections.len()
    }

    /// The most requests that each connection had at a time.
    pub fn at_a_time(&self) -> Vec<usize> {
        self.log.lock().expect("no panic with it").connections.iter().map(|(_, most)| *most).collect()
    }

    /// How many requests are under way.
    pub fn open(&self) -> usize {
        self.log.lock().expect("no panic with it").connections.iter().map(|(now, _)| now).sum()
    }

    /// Those whose body was read whole, with it and its trailers.
    pub fn requests(&self) -> Vec<(Request<()>, Vec<u8>, Option<HeaderMap>)> {
        self.log.lock().expect("no panic with it").requests.clone()
    }
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    builder: Builder,
    stream: S,
    number: usize,
    log: Arc<Mutex<Log>>,
    script: Arc<impl Fn(Call) -> Answering + 'static>,
) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        {
            let mut log = log.lock().expect("no panic with it");
            let (now, most) = &mut log.connections[number];
            *now += 1;
            *most = (*most).max(*now);
        }
        let answering = script(Call { request, respond, log: Arc::clone(&log) });
        let log = Arc::clone(&log);
        tokio::task::spawn_local(async move {
            answering.await;
            log.lock().expect("no panic with it").connections[number].0 -= 1;
        });
    }
}

impl Call {
    /// Reads the body to its end and keeps all of it.
    pub async fn read(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let incoming = self.request.body_mut();
        while let Some(Ok(data)) = incoming.data().await {
            incoming.flow_control().release_capacity(data.len()).ok();
            body.extend(data);
        }
        let trailers = incoming.trailers().await.unwrap_or_default();
        self.note(body.clone(), trailers);
        body
    }

    /// Keeps the head with this body.
    pub fn note(&self, body: Vec<u8>, trailers: Option<HeaderMap>) {
        let mut head = Request::new(());
        *head.method_mut() = self.request.method().clone();
        *head.uri_mut() = self.request.uri().clone();
        *head.headers_mut() = self.request.headers().clone();
        *head.extensions_mut() = self.request.extensions().clone();
        self.log.lock().expect("no panic with it").requests.push((head, body, trailers));
    }

    /// Sends a head; the body is for the test.
    pub fn head(&mut self, fields: &[(&str, &str)]) -> SendStream<Bytes> {
        let response =
            fields.iter().fold(Response::builder(), |response, (name, value)| response.header(*name, *value));
        self.respond.send_response(response.body(()).expect("a head"), false).expect("an open stream")
    }

    /// Reads the request and answers with this status.
    pub async fn fail(mut self, status: u16) {
        self.read().await;
        let response = Response::builder().status(status).body(()).expect("a head");
        // Whoever asked may have gone.
        self.respond.send_response(response, true).ok();
    }

    pub async fn echo(mut self) {
        let body = self.read().await;
        let text = format!("{} {} {}", self.request.method(), self.request.uri().path(), body.len());
        self.head(&[]).send_data(text.into(), true).ok();
    }
}

/// Sends what it is told.
pub struct Frames {
    stream: TcpStream,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;

impl Frames {
    /// Runs `script` on a thread of its own for each connection, whose number it is given too. Both sides have said what they
    /// have to say first.
    pub fn scripted(script: impl Fn(usize, &mut Frames) + Send + Sync + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let script = Arc::clone(&script);
                std::thread::spawn(move || {
                    stream.set_nodelay(true).expect("a socket");
                    let mut frames = Frames { stream };
                    let mut preface = [0; 24];
                    if frames.stream.read_exact(&mut preface).is_ok() {
                        frames.send(4, 0, 0, &[]);
                        script(number, &mut frames);
                        frames.close();
                    }
                });
            }
        });
        address
    }

    /// The stream of the next request; none when the proxy has ended the connection.
    pub fn request(&mut self) -> Option<u32> {
        self.until(HEADERS).map(|(stream, _)| stream)
    }

    /// The next frame of a kind.
    pub fn until(&mut self, kind: u8) -> Option<(u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).ok()?;
            if head[3] == 4 && head[4] == 0 {
                self.send(4, 1, 0, &[]);
            }
            if head[3] == kind {
                return Some((u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]), payload));
            }
        }
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // Whether the proxy takes it is for the test to see.
        self.stream.write_all(&frame).ok();
    }

    /// A whole answer: 200, without a body.
    pub fn ok(&mut self, stream: u32) {
        self.send(HEADERS, 5, stream, &[0x88]);
    }

    /// The head of an answer: 200, and a body follows.
    pub fn head(&mut self, stream: u32) {
        self.send(HEADERS, 4, stream, &[0x88]);
    }

    /// Nothing after stream `last` was or will be done.
    pub fn go_away(&mut self, last: u32) {
        self.send(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    }

    pub fn reset(&mut self, stream: u32, reason: u8) {
        self.send(RST_STREAM, 0, stream, &[0, 0, 0, reason]);
    }

    pub fn close(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}
