//! One client connection from accept to close.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connections::{Connections, Place};
use super::drive::{Ended, drive};
use super::tunnel;
use crate::proxy::lifecycle::Phase;
use crate::proxy::request::{self, Client, HEAD_TIMEOUT, Service};
use crate::proxy::wire::{End, Owned, Socket};

/// After the last answer, what the client still sends is read for at most this long, so that it can read the answer.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one client connection to its end.
pub(super) async fn serve(connections: Rc<Connections>, place: Place, stream: TcpStream, peer: SocketAddr) {
    let service = &connections.service;
    let client = Rc::new(Client::new(service, peer));
    let socket = Socket::own(stream, &service.dialer.sends);
    let mut early = Bytes::new();
    // Whoever connects has something to say: it is waited for with buffers at first.
    let mut parked = false;
    loop {
        if parked && early.is_empty() && !readable(&connections, &place, &socket).await {
            return;
        }
        parked = true;
        match drive(&connections, &place, &client, &socket, early).await {
            Ended::Parked(read) => early = read,
            Ended::HeadTimeout => {
                request::head_timed_out(service);
                if socket.share().write_all(HEAD_TIMEOUT).await.is_ok() {
                    linger(service, &socket).await;
                }
                return;
            }
            Ended::Upgraded(early, upstream) => {
                let client = End { socket, early };
                if let Err(error) =
                    tunnel::join(service, client, upstream, service.serving().settings().timeouts.tunnel_idle).await
                {
                    tracing::debug!(%error, %peer, "the tunnel was cut off");
                }
                return;
            }
            Ended::Aborted => return abort(&socket),
            Ended::Quiet if socket.send_now() => return,
            Ended::Quiet | Ended::Finished => return linger(service, &socket).await,
        }
    }
}

/// Waits for the first byte of a request; false when the connection is to be closed instead.
async fn readable(connections: &Connections, place: &Place, socket: &Socket) -> bool {
    let mut until = std::pin::pin!(tokio::time::sleep(connections.service.serving().settings().timeouts.keep_alive));
    std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        if let Poll::Ready(readable) = socket.poll_readable(cx) {
            return Poll::Ready(readable.is_ok());
        }
        if connections.phase() == Phase::Closing || until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Ends our side and reads what the client still sends, so that closing does not reset what it has yet to read. What has
/// not been sent by then waits as long as any part of a body may.
async fn linger(service: &Service, socket: &Owned) {
    let mut stream = socket.share();
    match tokio::time::timeout(service.serving().settings().timeouts.body_idle, stream.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return tracing::trace!(%error, "the client was gone first"),
        Err(_) => return abort(socket),
    }
    // On the heap, or every connection's task would have room for it.
    let mut discarded = vec![0; 4096];
    let reading = async {
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, reading).await {
        tracing::trace!(%error, "the client was gone first");
    }
}

/// Ends the connection so that the client cannot take it for a clean end.
fn abort(socket: &Owned) {
    if let Err(error) = socket.reset_on_close() {
        tracing::debug!(%error, "the connection was gone before it could be reset");
    }
}
