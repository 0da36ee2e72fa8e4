//! Runs hyper on one client connection, and watches its deadlines.
//!
//! hyper is driven by hand and not spawned: so that an idle connection can give its buffers back, a slow head can be
//! answered, and an upgrade can take the socket without a lock.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::progress::{Phase, Progress};
use super::serve::{Client, PARK_AFTER, answer};
use super::upgrade::End;
use super::worker::{self, Place, Worker};

/// How driving a connection ended.
pub enum Ended {
    Closed,
    /// Idle for long: the socket is left, and what was read of a next request.
    Parked(TcpStream, Bytes),
    /// The request head took too long.
    HeadTimeout(TcpStream),
    /// Both sides have agreed to leave HTTP.
    Upgraded(End, End),
    /// The answer was cut off and only a reset can tell the client.
    Aborted(TcpStream),
    /// Everything was answered; the client may still be sending.
    Finished(TcpStream),
}

/// What stopped the polling; the socket is taken out of hyper afterwards.
enum Stop {
    Done,
    Broken,
    Park,
    HeadTimeout,
    Stalled,
}

/// The client's socket. It notes what moves, and hands out first what was read from it before.
struct ClientSocket {
    stream: TcpStream,
    early: Bytes,
    progress: Rc<Progress>,
}

/// Our usual read buffer; a larger bound on heads makes it larger.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// hyper reads heads with up to this many fields without an allocation.
const USUAL_HEAD_FIELDS: usize = 100;

/// Serves requests until the connection ends, is idle for long, or is no HTTP any more.
pub async fn drive(worker: &Rc<Worker>, place: &Place, client: &Rc<Client>, stream: TcpStream, early: Bytes) -> Ended {
    let progress = Rc::new(Progress::new());
    progress.enter(Phase::Idle, Instant::now(), PARK_AFTER);
    let http = builder(worker);
    let mut hyper = {
        let (worker, progress, client) = (Rc::clone(worker), Rc::clone(&progress), Rc::clone(client));
        let socket = ClientSocket { stream, early, progress: Rc::clone(&progress) };
        let service =
            service_fn(move |request| answer(Rc::clone(&worker), Rc::clone(&progress), Rc::clone(&client), request));
        Box::new(http.serve_connection(TokioIo::new(socket), service))
    };
    let mut timer = pin!(tokio::time::sleep(PARK_AFTER));
    let mut closing = false;
    let stop = std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        if worker.phase.get() == worker::Phase::Closing && !closing {
            closing = true;
            Pin::new(&mut *hyper).graceful_shutdown();
        }
        loop {
            match Pin::new(&mut *hyper).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Stop::Done),
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, "the connection broke");
                    return Poll::Ready(Stop::Broken);
                }
                Poll::Pending => {}
            }
            if progress.phase.get() == Phase::HeadBegun {
                progress.enter(Phase::Head, Instant::now(), worker.settings.timeouts.request_head);
            }
            match progress.poll_due(timer.as_mut(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Phase::Idle) if progress.write_blocked.get() || progress.body_open.get() => {}
                Poll::Ready(Phase::Idle) => return Poll::Ready(Stop::Park),
                Poll::Ready(Phase::HeadBegun | Phase::Head) => return Poll::Ready(Stop::HeadTimeout),
                Poll::Ready(Phase::Waiting) => progress.expire(),
                Poll::Ready(Phase::Streaming) if progress.write_blocked.get() => return Poll::Ready(Stop::Stalled),
                Poll::Ready(Phase::Streaming) => progress.expire(),
            }
        }
    })
    .await;
    let parts = hyper.into_parts();
    let ClientSocket { stream, early, .. } = parts.io.into_inner();
    let tunnel = progress.tunnel.borrow_mut().take();
    match stop {
        Stop::Done => match tunnel {
            Some(upstream) => {
                let (upstream, read) = upstream.into_stream();
                Ended::Upgraded(End { stream, early: parts.read_buf }, End { stream: upstream, early: read })
            }
            None => Ended::Finished(stream),
        },
        Stop::Park => Ended::Parked(stream, if parts.read_buf.is_empty() { early } else { parts.read_buf }),
        Stop::HeadTimeout => Ended::HeadTimeout(stream),
        Stop::Broken if progress.truncated.get() && progress.ends_by_close.get() => Ended::Aborted(stream),
        Stop::Broken if progress.truncated.get() => Ended::Closed,
        Stop::Broken => Ended::Finished(stream),
        Stop::Stalled => Ended::Closed,
    }
}

fn builder(worker: &Worker) -> http1::Builder {
    let limits = &worker.settings.limits;
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(true).max_header_size(limits.head_bytes);
    builder.max_buf_size(limits.head_bytes.max(READ_BUFFER_BYTES));
    if limits.head_fields != USUAL_HEAD_FIELDS {
        builder.max_headers(limits.head_fields);
    }
    builder
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.has_remaining() {
            let length = self.early.remaining().min(buffer.remaining());
            buffer.put_slice(&self.early[..length]);
            self.early.advance(length);
        } else {
            let before = buffer.filled().len();
            std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        if self.progress.phase.get() == Phase::Idle {
            self.progress.phase.set(Phase::HeadBegun);
        }
        Poll::Ready(Ok(()))
    }
}

impl ClientSocket {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.progress.write_blocked.set(written.is_pending());
        if written.is_ready() {
            self.progress.moved.set(true);
        }
        written
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ending the connection is for [`super::serve::connection`], which reads on for a while.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
