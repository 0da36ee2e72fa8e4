//! The load: clients of every kind, paced, on one thread. Each judges what came of each of its requests.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::clients::{Client, Closes, Link, World, causes, failure, is_unprocessed, other};
use super::endpoints::{ID, MESSAGE};
use super::ledger::{Asked, Failure};
use crate::support::grpc::{Raw, path};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(8);
const SMALL: usize = 100;
const LARGE: usize = 1024 * 1024;

/// Runs every client until the world stops, and ends with all their connections closed.
pub fn run(world: &Arc<World>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(spawn_local(kept_alive(Client::new(world, "HTTP/1", Link::http1()))));
        }
        tasks.push(spawn_local(anew(Client::new(world, "a connection each", Link::http1()))));
        let shared = Rc::default();
        for _ in 0..4 {
            tasks.push(spawn_local(kept_alive(Client::new(world, "HTTP/2", Link::Http2(Rc::clone(&shared))))));
        }
        for link in [Link::http1(), Link::Http2(Rc::default())] {
            tasks.push(spawn_local(large(Client::new(world, "1 MiB", link))));
        }
        for link in [Link::http1(), Link::Http2(Rc::default())] {
            let mut client = Client::new(world, "given up on", link);
            client.closes = Closes::ByReset;
            tasks.push(spawn_local(aborts(client)));
        }
        for _ in 0..2 {
            tasks.push(spawn_local(tunnels(Client::new(world, "WebSocket", Link::http1()))));
            tasks.push(spawn_local(slow(Arc::clone(world))));
        }
        if world.authority.is_some() {
            let channel = world.calls();
            for _ in 0..2 {
                tasks.push(spawn_local(calls(Arc::clone(world), channel.clone())));
                tasks.push(spawn_local(streams(Arc::clone(world), channel.clone())));
            }
        }
        for task in tasks {
            task.await.expect("a client does not panic");
        }
    });
}

async fn kept_alive(mut client: Client) {
    while !client.world.stops() {
        client.get(SMALL).await;
        client.post(SMALL).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn anew(mut client: Client) {
    while !client.world.stops() {
        client.get(SMALL).await;
        client.link = Link::http1();
        tokio::time::sleep(PAUSE).await;
    }
}

async fn large(mut client: Client) {
    while !client.world.stops() {
        client.get(LARGE).await;
        client.post(LARGE).await;
        tokio::time::sleep(10 * PAUSE).await;
    }
}

/// Of an answer that does not come, of a large one, and of a large request; each once an endpoint has begun with it: who resets
/// streams that have only just been opened is a flood, and loses its connection.
async fn aborts(mut client: Client) {
    let requests =
        [("GET", "/hang".to_owned(), 0), ("GET", format!("/bytes/{LARGE}"), 0), ("POST", "/count".to_owned(), LARGE)];
    for (method, target, length) in requests.iter().cycle() {
        if client.world.stops() {
            return;
        }
        let asked = client.ask(method);
        let request = client.request(&asked, method, target, vec![b'a'; *length].into());
        let world = Arc::clone(&client.world);
        let begun = async {
            while !world.ledger.is_taken(asked.id) {
                tokio::time::sleep(PAUSE / 8).await;
            }
            tokio::time::sleep(PAUSE / 4).await;
        };
        let came = tokio::select! {
            came = client.exchange(request) => Some(came),
            () = begun => None,
        };
        match came {
            Some(came) => client.judge(asked, came, |_| true),
            None => {
                client.world.ledger.abort(asked);
                if let Link::Http1(open) = &mut client.link {
                    *open = None;
                }
            }
        }
        // Who takes back more than it lets be answered is a flood as well.
        client.get(SMALL).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Messages of one tunnel.
const MESSAGES: usize = 100;

async fn tunnels(mut client: Client) {
    while !client.world.stops() {
        let asked = client.ask("GET");
        let came = tunnel(&mut client, &asked).await;
        client.world.ledger.judge(asked, came);
        client.link = Link::http1();
    }
}

async fn tunnel(client: &mut Client, asked: &Asked) -> Result<(), Failure> {
    let mut request = client.request(asked, "GET", "/socket", Bytes::new());
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")] {
        request.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    let response = client.link.send(&client.world, client.closes, request).await?;
    if let Some(failure) = failure(response.status(), response.headers()) {
        return Err(failure);
    }
    let broke = |error: io::Error| Failure::BrokeOff(error.to_string());
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.map_err(other)?);
    for number in 0..MESSAGES {
        if client.world.stops() {
            break;
        }
        let message = [number as u8; MESSAGE];
        // Masked by nothing, as a client has to.
        let frame = [&[0x82, 0x80 | MESSAGE as u8, 0, 0, 0, 0], &message[..]].concat();
        // What it is told to end by comes before what its peer does not read.
        let sent = tunnel.write_all(&frame).await;
        let mut head = [0; 2];
        tunnel.read_exact(&mut head).await.map_err(broke)?;
        if head == [0x88, 2] {
            let code = tunnel.read_u16().await.map_err(broke)?;
            return Err(if code == 1012 { Failure::Restart } else { other(code) });
        }
        sent.map_err(broke)?;
        let mut answer = [0; MESSAGE];
        tunnel.read_exact(&mut answer).await.map_err(broke)?;
        if head != [0x82, MESSAGE as u8] || answer != message {
            return Err(other((head, answer)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Sends its head in pieces, and takes its answer in pieces.
async fn slow(world: Arc<World>) {
    while !world.stops() {
        let asked = world.ledger.ask("slow", true);
        let came = slowly(&world, &asked).await;
        world.ledger.judge(asked, came);
    }
}

async fn slowly(world: &World, asked: &Asked) -> Result<(), Failure> {
    let mut wire = world.dial("http/1.1", Closes::Cleanly).await.map_err(other)?;
    let length = LARGE / 8;
    let request =
        format!("GET /bytes/{length} HTTP/1.1\r\nHost: test\r\n{ID}: {}\r\nConnection: close\r\n\r\n", asked.id);
    for piece in request.as_bytes().chunks(16) {
        wire.write_all(piece).await.map_err(other)?;
        wire.flush().await.map_err(other)?;
        tokio::time::sleep(PAUSE).await;
    }
    let (mut answer, mut bytes) = (Vec::new(), vec![0; 4096]);
    let ended = loop {
        match wire.read(&mut bytes).await {
            Ok(0) => break "an end".to_owned(),
            Ok(read) => answer.extend(&bytes[..read]),
            Err(error) => break error.to_string(),
        }
        tokio::time::sleep(PAUSE / 4).await;
    };
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Err(other(ended)) };
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    head.parse(&answer).map_err(other)?;
    let status = StatusCode::from_u16(head.code.expect("a whole head")).expect("a status");
    let fields = head.headers.iter().map(|field| {
        let name: http::HeaderName = field.name.parse().expect("a name");
        (name, http::HeaderValue::from_bytes(field.value).expect("a value"))
    });
    if let Some(failure) = failure(status, &fields.collect()) {
        return Err(failure);
    }
    if answer.len() != end + 4 + length { Err(Failure::BrokeOff(ended)) } else { Ok(()) }
}

/// What a call came to: calls of gRPC are told what others are by HTTP.
fn called(status: Status) -> Failure {
    let why = status.metadata().get("proxy-status").and_then(|why| why.to_str().ok());
    match (status.code(), status.message(), why) {
        (Code::Unavailable, "echo", None) => Failure::OfGreen,
        (Code::Unavailable, _, Some("portcullis; error=connection_terminated")) => Failure::Terminated,
        // A reset by the proxy behind the head.
        (Code::Internal, message @ "h2 protocol error: error reading a body from connection", None) => {
            Failure::BrokeOff(message.to_owned())
        }
        _ if is_unprocessed(&status) => Failure::Unprocessed,
        _ => other(status),
    }
}

/// What a call came to behind the head of its answer.
fn broke_off(status: Status) -> Failure {
    let is_reset = |error: &h2::Error| error.is_reset() && error.reason() == Some(h2::Reason::INTERNAL_ERROR);
    let resets = causes(&status).filter_map(|error| error.downcast_ref::<h2::Error>()).any(is_reset);
    if resets { Failure::BrokeOff(status.to_string()) } else { called(status) }
}

/// Whether a call was never sent: the connection had been closed as it was about to be.
fn is_unsent(status: &Status) -> bool {
    causes(status).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled)
}

fn numbered<T>(asked: &Asked, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(ID, asked.id.into());
    request
}

async fn calls(world: Arc<World>, channel: Channel) {
    let mut calls = tonic::client::Grpc::new(channel);
    while !world.stops() {
        let asked = world.ledger.ask("gRPC", false);
        let message = Bytes::from(vec![b'a'; SMALL]);
        let came = async {
            calls.ready().await.map_err(other)?;
            let mut sent = calls.unary(numbered(&asked, message.clone()), path("Say"), Raw).await;
            while sent.as_ref().is_err_and(is_unsent) {
                calls.ready().await.map_err(other)?;
                sent = calls.unary(numbered(&asked, message.clone()), path("Say"), Raw).await;
            }
            let answer = sent.map_err(called)?;
            if answer.get_ref().ends_with(&message) { Ok(()) } else { Err(other(answer)) }
        };
        let came = came.await;
        world.ledger.judge(asked, came);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Messages of one stream, and their length.
const STREAMED: usize = 20;
const PIECE: usize = 16 * 1024;

async fn streams(world: Arc<World>, channel: Channel) {
    let mut calls = tonic::client::Grpc::new(channel);
    while !world.stops() {
        let asked = world.ledger.ask("gRPC stream", false);
        let came = async {
            calls.ready().await.map_err(other)?;
            let (send, mut answers) = loop {
                let (send, mut messages) = tokio::sync::mpsc::unbounded_channel();
                let messages = futures_util::stream::poll_fn(move |cx| messages.poll_recv(cx));
                match calls.streaming(numbered(&asked, messages), path("Talk"), Raw).await {
                    Ok(answers) => break (send, answers.into_inner()),
                    Err(status) if is_unsent(&status) => calls.ready().await.map_err(other)?,
                    Err(status) => return Err(called(status)),
                }
            };
            for _ in 0..STREAMED {
                send.send(Bytes::from(vec![b'a'; PIECE])).ok();
                match answers.message().await.map_err(broke_off)? {
                    Some(answer) if answer.len() > PIECE => {}
                    answer => return Err(other(answer.map(|answer| answer.len()))),
                }
                tokio::time::sleep(PAUSE).await;
            }
            drop(send);
            answers.message().await.map_err(broke_off)?.map_or(Ok(()), |more| Err(other(more.len())))
        };
        let came = came.await;
        world.ledger.judge(asked, came);
    }
}
