//! Connections to endpoints. Each is driven inside the future of the request that uses it, so that no second task is
//! woken, and rests in its endpoint's stack between requests.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::body::RequestBody;
use super::endpoint::Endpoint;
use super::progress::Progress;
use super::socket::{Owned, Socket};
use super::upgrade::End;
use super::worker::Worker;

/// Idle connections that one worker keeps to one endpoint.
const IDLE_CONNECTIONS: usize = 256;

/// Below the keep-alive time of common servers (nginx 75 s, Go 120 s, Node 5 s), the shortest aside.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// One connection to an endpoint.
pub struct Upstream {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Socket>, RequestBody>,
    socket: Owned,
    /// The connection has ended and must not be polled again.
    ended: bool,
    pub endpoint: Rc<Endpoint>,
    /// It has carried a request before.
    pub reused: bool,
    idle_since: Instant,
    _counted: Counted,
}

/// One more in a count for as long as it lives.
pub struct Counted(Rc<Cell<u32>>);

/// Why a request that was handed to a connection got no response head.
pub enum NoHead {
    /// It was never written: it may be sent elsewhere.
    NotSent(Box<Request<RequestBody>>),
    /// The connection ended after some of it may have been written.
    Lost,
    /// The endpoint answered with something that is no HTTP, or more than we take.
    Invalid(hyper::Error),
    Expired,
}

impl Upstream {
    pub async fn connect(worker: &Rc<Worker>, endpoint: &Rc<Endpoint>) -> std::io::Result<Box<Upstream>> {
        let socket = Socket::own(endpoint.connect().await?, &worker.sends);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(worker.settings.limits.response_head_bytes)
            .handshake(TokioIo::new(socket.share()))
            .await
            .map_err(std::io::Error::other)?;
        Ok(Box::new(Upstream {
            sender,
            connection,
            socket,
            ended: false,
            endpoint: Rc::clone(endpoint),
            reused: false,
            idle_since: Instant::now(),
            _counted: Counted::new(&worker.upstream_connections),
        }))
    }

    /// A connection that rested and is still open.
    pub fn resting(endpoint: &Endpoint) -> Option<Box<Upstream>> {
        let mut idle = endpoint.idle.borrow_mut();
        while let Some(mut upstream) = idle.pop() {
            if upstream.is_open() {
                return Some(upstream);
            }
        }
        None
    }

    /// Sends the request and waits for the response head.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, NoHead> {
        let mut response = pin!(self.sender.try_send_request(request));
        // Only the connection can complete the response, and it is polled here: nobody else needs to be woken.
        let mut nobody = Context::from_waker(Waker::noop());
        std::future::poll_fn(|cx| {
            if progress.take_expired() {
                return Poll::Ready(Err(NoHead::Expired));
            }
            if !self.ended {
                self.ended = Pin::new(&mut self.connection).poll_without_shutdown(cx).is_ready();
            }
            match response.as_mut().poll(&mut nobody) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(request) => NoHead::NotSent(Box::new(request)),
                    None => no_head(error.into_error()),
                })),
                Poll::Pending if self.ended => Poll::Ready(Err(NoHead::Lost)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Reads and writes what can be, on behalf of the body of the answer.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll_without_shutdown(cx).is_ready();
        }
    }

    /// Puts the connection to rest if it can carry another request, else closes it.
    pub fn release(mut self: Box<Self>, now: Instant) {
        if !self.sender.is_ready() && !self.is_open() {
            return;
        }
        self.reused = true;
        self.idle_since = now;
        let endpoint = Rc::clone(&self.endpoint);
        let mut idle = endpoint.idle.borrow_mut();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(self);
        }
    }

    /// Takes a connection that has been upgraded out of HTTP.
    pub fn into_end(self) -> End {
        let Upstream { connection, socket, .. } = self;
        End { socket, early: connection.into_parts().read_buf }
    }

    fn is_open(&mut self) -> bool {
        self.poll_drive(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }
}

impl Counted {
    pub fn new(count: &Rc<Cell<u32>>) -> Counted {
        count.set(count.get() + 1);
        Counted(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Closes what has rested too long, or has been closed by the endpoint. For the worker's housekeeping.
pub fn sweep(endpoint: &Endpoint, now: Instant) {
    endpoint.idle.borrow_mut().retain_mut(|upstream| now - upstream.idle_since < IDLE_FOR && upstream.is_open());
}

fn no_head(error: hyper::Error) -> NoHead {
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        NoHead::Invalid(error)
    } else {
        NoHead::Lost
    }
}
