//! One client connection from accept to close.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connections::{Connections, Place};
use super::drive::{Ended, drive};
use super::opening::Source;
use super::{handshake, http2, proxied, tunnel};
use crate::config::Http2;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::{self, Client, Connection, Scheme, Service};
use crate::proxy::wire::proxy_protocol::Proxied;
use crate::proxy::wire::{Channel, Lazy, Owned, Side, Socket};

/// After the last answer, what the client still sends is read for at most this long, so that it can read the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one client connection to its end.
pub(super) async fn serve(connections: Rc<Connections>, place: Place, stream: TcpStream, peer: SocketAddr) {
    let service = &connections.service;
    let (is_sender, tls, http2) = {
        let serving = service.serving();
        let settings = serving.settings();
        (proxied::is_sender(settings, peer), handshake::config(settings), settings.http2)
    };
    let (stream, proxied) = if is_sender {
        // On the heap, as the handshake.
        let Some((stream, proxied)) = Box::pin(proxied::read(service, stream, peer)).await else { return };
        (Lazy::from(stream), proxied)
    } else {
        (Lazy::Unread(stream), Proxied::Local)
    };
    let socket = Socket::own(stream, &service.dialer.sends);
    let (channel, scheme) = match tls {
        None => (Channel::Plain(socket.share()), Scheme::Http),
        // On the heap, or every connection's task would have room for it.
        Some(config) => match Box::pin(handshake::accept(service, &socket, config)).await {
            Some(channel) => (channel, Scheme::Https),
            // TLS may have said why.
            None => return linger(service, &socket, Channel::Plain(socket.share()).end()).await,
        },
    };
    let connection = || Connection { socket: socket.share(), peer, proxied };
    let client = Rc::new(Client::new(service, connection(), scheme));
    // Whoever connects has something to say: it is waited for with buffers at first.
    let mut source = match (&channel, http2) {
        (channel, _) if channel.is_http2() => Source::Http2(Bytes::new()),
        (Channel::Plain(_), Http2::On { .. }) => Source::Opening(Vec::new()),
        (Channel::Plain(_) | Channel::Tls(_), _) => Source::Socket,
    };
    let mut is_used = false;
    loop {
        let ended = match source {
            Source::Http2(read) => {
                let client = Rc::new(Client::new(service, connection(), scheme).by_http2());
                let driving = http2::drive(&connections, &place, client, &socket, &channel, read, http2.most_streams());
                // As above.
                Box::pin(driving).await
            }
            source => drive(&connections, &place, &client, &socket, &channel, source).await,
        };
        match ended {
            Ended::Http2(read) => source = Source::Http2(read),
            Ended::Parked { read, has_answered } => {
                is_used |= has_answered;
                if read.is_dry() && !readable(&connections, &place, &channel, is_used).await {
                    channel.say_end();
                    socket.send_now();
                    return;
                }
                source = read;
            }
            Ended::Unread(unread) => {
                let answer = request::refuse_unread(service, &client, unread);
                if channel.clone().write_all(answer.as_bytes()).await.is_ok() {
                    linger(service, &socket, channel.end()).await;
                }
                return;
            }
            Ended::Upgraded(early, upstream) => {
                let idle = service.serving().settings().timeouts.tunnel_idle;
                let client = Side::Connection(channel);
                // As above.
                if let Err(error) = Box::pin(tunnel::join(service, &client, early, upstream, idle)).await {
                    tracing::debug!(%error, %peer, "the tunnel was cut off");
                }
                return;
            }
            Ended::Aborted => return abort(&socket),
            Ended::Truncated => return linger(service, &socket, channel.end_abruptly()).await,
            Ended::Quiet if ends_at_once(&channel, &socket) => return,
            Ended::Quiet | Ended::Finished => return linger(service, &socket, channel.end()).await,
        }
    }
}

/// Waits for the first byte of a request; false when the connection is to be closed instead: where memory is short, one that
/// `is_used` already.
async fn readable(connections: &Connections, place: &Place, channel: &Channel, is_used: bool) -> bool {
    let mut until = std::pin::pin!(tokio::time::sleep(connections.service.serving().settings().timeouts.keep_alive));
    std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        if let Poll::Ready(readable) = channel.poll_readable(cx) {
            return Poll::Ready(readable.is_ok());
        }
        let is_to_end = connections.phase() == Phase::Closing || is_used && connections.is_short_of_memory();
        if is_to_end || until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Sends what is left, and says whether that was all.
fn ends_at_once(channel: &Channel, socket: &Owned) -> bool {
    channel.say_end();
    socket.send_now() && channel.is_drained()
}

/// Ends our side by `ending`, and reads what the client still sends, so that closing does not reset what it has yet to read.
/// What has not been sent by then waits as long as any part of a body may. On the heap, as above.
fn linger<'c>(
    service: &'c Service,
    socket: &'c Owned,
    ending: impl Future<Output = io::Result<()>> + 'c,
) -> Pin<Box<dyn Future<Output = ()> + 'c>> {
    Box::pin(async move {
        match tokio::time::timeout(service.serving().settings().timeouts.body_idle, ending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::trace!(%error, "the client was gone first"),
            Err(_) => return abort(socket),
        }
        let (mut stream, mut discarded) = (socket.share(), vec![0; 4096]);
        let reading = async {
            while stream.read(&mut discarded).await? > 0 {}
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(LINGER, reading).await {
            tracing::trace!(%error, "the client was gone first");
        }
    })
}

/// Ends the connection so that the client cannot take it for a clean end.
fn abort(socket: &Owned) {
    if let Err(error) = socket.reset_on_close() {
        tracing::debug!(%error, "the connection was gone before it could be reset");
    }
}
