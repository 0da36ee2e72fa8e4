//! Runs hyper on one client connection, and watches its deadlines.
//!
//! hyper is driven by hand and not spawned: so that an idle connection can give its buffers back, a slow head can be
//! answered, and an upgrade can take the socket without a lock.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connections::{CALLED_WITHIN, Connections, Place};
use super::interim;
use super::opening::Source;
use super::request_line::{RequestLines, has_long_target};
use crate::config::Limits;
use crate::proxy::lifecycle;
use crate::proxy::request::{Client, Tunnel, Unread, answer};
use crate::proxy::wire::{Channel, Heard, Owned, PARK_AFTER, Phase, Progress, Socket};

/// How driving a connection ended.
pub(super) enum Ended {
    /// Idle for long. `read` is of a next request.
    Parked { read: Source, has_answered: bool },
    /// It is HTTP/2 by its first bytes, which are these.
    Http2(Bytes),
    /// No request came of what the client sent.
    Unread(Unread),
    /// Both sides have agreed to leave HTTP: what the client sent already, and the other side.
    Upgraded(Bytes, Tunnel),
    /// The answer was cut off, and only a reset can tell the client or end what the kernel still holds for it.
    Aborted,
    /// The answer was cut off, which its framing tells the client.
    Truncated,
    /// Everything was answered, and nothing is on its way that closing would answer with a reset.
    Quiet,
    /// Everything was answered; the client may still be sending.
    Finished,
}

/// What stopped the polling; the socket is taken out of hyper afterwards.
enum Stop {
    Done,
    Broken,
    Park,
    HeadTimeout,
    Stalled,
}

/// What the client's bytes go through. It notes what moves, and hands out first what was read from it before.
struct ClientSocket {
    channel: Channel,
    source: Source,
    progress: Rc<Progress>,
    lines: RequestLines,
    /// What hyper would have answered by itself.
    unread: Option<Unread>,
}

/// What is known of a client while it is answered.
#[derive(Default)]
struct Attends {
    /// It has sent more, or an end, which is left for after the answer.
    speaks: bool,
    /// Ends when the client resets the connection. What it has sent before hides that from whoever reads.
    reset: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// How much of the client's answers the kernel had taken when this was last looked at.
pub(super) struct Taken {
    bytes: u64,
    since: Instant,
}

/// Our usual read buffer; a larger bound on heads makes it larger.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// hyper reads heads with up to this many fields without an allocation.
const USUAL_HEAD_FIELDS: usize = 100;

/// Serves requests until the connection ends, is idle for long, or is no HTTP any more.
pub(super) async fn drive(
    connections: &Rc<Connections>,
    place: &Place,
    client: &Rc<Client>,
    socket: &Owned,
    channel: &Channel,
    source: Source,
) -> Ended {
    let service = &connections.service;
    let progress = Rc::new(Progress::new());
    let now = progress.now();
    progress.rest(now);
    connections.unparked.add(&progress, now);
    let http = builder(&service.serving().settings().limits);
    let mut hyper = {
        let (service, progress, client) = (Rc::clone(service), Rc::clone(&progress), Rc::clone(client));
        let socket = ClientSocket::new(channel.clone(), source, &progress);
        let answering =
            service_fn(move |request| answer(Rc::clone(&service), Rc::clone(&progress), Rc::clone(&client), request));
        Box::new(http.serve_connection(TokioIo::new(socket), answering))
    };
    let mut timer = pin!(None::<Sleep>);
    let (mut closing, mut called) = (false, false);
    let mut taken = Taken::new(now);
    let mut attends = Attends::default();
    let stop = std::future::poll_fn(|cx| {
        place.wake_by(cx.waker());
        progress.polled_by(cx.waker());
        loop {
            match Pin::new(&mut *hyper).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Stop::Done),
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, "the connection broke");
                    return Poll::Ready(Stop::Broken);
                }
                Poll::Pending => {}
            }
            if progress.interims.any()
                && let Poll::Ready(Err(error)) = interim::poll_send(&progress, &mut channel.clone(), cx)
            {
                tracing::trace!(%error, "the connection broke");
                return Poll::Ready(Stop::Broken);
            }
            // Only now, so that a request which has arrived already is still read and answered.
            if connections.phase() == lifecycle::Phase::Closing && !closing {
                closing = true;
                Pin::new(&mut *hyper).graceful_shutdown();
                continue;
            }
            if matches!(progress.phase.get(), Phase::Waiting | Phase::Streaming) {
                // The timer calls before long. Until then it is cheaper not to know than to have it watched.
                let may_ask = socket.is_watched() || called || progress.now() - now >= PARK_AFTER;
                if may_ask && attends.poll_gone(socket, cx).is_ready() {
                    return Poll::Ready(Stop::Broken);
                }
                // hyper asks for nothing of the answer while the client takes nothing.
                if progress.is_cut() {
                    return Poll::Ready(Stop::Stalled);
                }
            }
            if progress.phase.get() == Phase::HeadBegun {
                progress.enter(Phase::Head, Instant::now(), service.serving().settings().timeouts.request_head);
            }
            if timer.is_none() {
                if place.is_new() && progress.due() - progress.now() > CALLED_WITHIN {
                    progress.let_time_pass();
                    return Poll::Pending;
                }
                timer.set(Some(tokio::time::sleep_until(now + PARK_AFTER)));
            }
            let timer = timer.as_mut().as_pin_mut().expect("it was set before");
            match progress.poll_due(timer, cx) {
                Poll::Pending => {
                    progress.let_time_pass();
                    return Poll::Pending;
                }
                Poll::Ready(Phase::Idle) if progress.held_back.get() || !channel.is_drained() => {
                    let bytes = progress.written.get().wrapping_sub(socket.unsent_bytes() as u64);
                    if taken.rests_for(bytes) >= service.serving().settings().timeouts.body_idle {
                        return Poll::Ready(Stop::Stalled);
                    }
                }
                Poll::Ready(Phase::Idle) => return Poll::Ready(Stop::Park),
                Poll::Ready(Phase::HeadBegun | Phase::Head) => return Poll::Ready(Stop::HeadTimeout),
                Poll::Ready(Phase::Waiting | Phase::Tunnel) => {
                    called = true;
                    progress.expire();
                }
                Poll::Ready(Phase::Streaming) if socket.is_blocked() => return Poll::Ready(Stop::Stalled),
                Poll::Ready(Phase::Streaming) => progress.expire(),
            }
        }
    })
    .await;
    let parts = hyper.into_parts();
    let ClientSocket { source, unread, .. } = parts.io.into_inner();
    if let Some(unread) = unread {
        let is_long = has_long_target(&parts.read_buf, service.serving().settings().limits.target_bytes);
        return Ended::Unread(if is_long { Unread::LongTarget } else { unread });
    }
    let source = match source {
        Source::Http2(read) => return Ended::Http2(read),
        source if parts.read_buf.is_empty() => source,
        _ => Source::Early(parts.read_buf),
    };
    if matches!(stop, Stop::Park) {
        socket.shrink();
    }
    ended(stop, source, &progress, client)
}

/// How it ended by what stopped it, and what was read of a next request.
fn ended(stop: Stop, source: Source, progress: &Progress, client: &Client) -> Ended {
    let tunnel = client.tunnel.borrow_mut().take();
    match stop {
        Stop::Done => match tunnel {
            Some(upstream) => Ended::Upgraded(source.into_bytes(), upstream),
            None if progress.all_read.get() && source.is_dry() => Ended::Quiet,
            None => Ended::Finished,
        },
        Stop::Park => Ended::Parked { read: source, has_answered: progress.written.get() > 0 },
        Stop::HeadTimeout => Ended::Unread(Unread::Late),
        Stop::Broken if progress.truncated.get() && progress.ends_by_close.get() => Ended::Aborted,
        Stop::Broken if progress.truncated.get() => Ended::Truncated,
        Stop::Broken => Ended::Finished,
        Stop::Stalled => Ended::Aborted,
    }
}

impl Attends {
    /// Ready when the client has reset the connection. One that has closed it cannot be told from one that has ended only its
    /// sending side, before something is sent to it.
    fn poll_gone(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<()> {
        if socket.poll_readable(cx).is_pending() {
            self.speaks = false;
        } else if !self.speaks {
            match socket.poll_heard(cx) {
                Poll::Pending => {}
                Poll::Ready(Heard::Reset) => return Poll::Ready(()),
                Poll::Ready(Heard::Bytes | Heard::End) => {
                    self.speaks = true;
                    if self.reset.is_none() {
                        self.reset = watched(socket);
                    }
                }
            }
        }
        self.reset.as_mut().map_or(Poll::Pending, |reset| reset.as_mut().poll(cx))
    }
}

fn watched(socket: &Socket) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    match socket.until_reset() {
        Ok(reset) => Some(Box::pin(reset)),
        Err(error) => {
            tracing::debug!(%error, "a reset will be seen by the next write");
            None
        }
    }
}

impl Taken {
    pub(super) fn new(now: Instant) -> Taken {
        Taken { bytes: 0, since: now }
    }

    /// For how long it has been this much.
    pub(super) fn rests_for(&mut self, bytes: u64) -> Duration {
        if bytes != self.bytes {
            *self = Taken { bytes, since: Instant::now() };
        }
        self.since.elapsed()
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Not pipeline_flush: it lifts the bound on hyper's write buffer, and holds an answer back while part of the next
    // request has been read.
    builder.half_close(true);
    builder.max_header_size(limits.head_bytes);
    builder.max_buf_size(limits.head_bytes.max(READ_BUFFER_BYTES));
    if limits.head_fields != USUAL_HEAD_FIELDS {
        builder.max_headers(limits.head_fields);
    }
    builder
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let ClientSocket { channel, source, progress, .. } = &mut *self;
        let before = buffer.filled().len();
        if matches!(source, Source::Socket) {
            if progress.dry.get() {
                return Poll::Pending;
            }
            let read = Pin::new(channel).poll_read(cx, buffer);
            progress.dry.set(read.is_pending());
            std::task::ready!(read)?;
        } else {
            std::task::ready!(source.poll_first(channel, progress, cx, buffer))?;
        }
        if buffer.filled().len() == before {
            return Poll::Ready(Ok(()));
        }
        let ClientSocket { progress, lines, .. } = &mut *self;
        if progress.phase.get() == Phase::Idle {
            progress.phase.set(Phase::HeadBegun);
            progress.all_read.set(false);
            lines.next();
        }
        if lines.has_fragment(&buffer.filled()[before..]) {
            progress.has_fragment.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl ClientSocket {
    fn new(channel: Channel, source: Source, progress: &Rc<Progress>) -> ClientSocket {
        ClientSocket { channel, source, progress: Rc::clone(progress), lines: RequestLines::new(), unread: None }
    }

    /// Those that came with the answer go in front of it.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.interims.any() {
            return interim::poll_send(&self.progress, &mut self.channel, cx);
        }
        Poll::Ready(Ok(()))
    }

    /// hyper answers what is no request by itself, with a bare status, and ends. That is left to whoever can say why, and
    /// count it. Nothing else is written while no answer is under way.
    fn is_hypers(&mut self, bytes: &[u8]) -> bool {
        if self.progress.answering.get() {
            return false;
        }
        self.unread = match bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5)) {
            Some(b" 400") => Some(Unread::Malformed),
            Some(b" 414") => Some(Unread::LongTarget),
            Some(b" 431") => Some(Unread::Large),
            _ => None,
        };
        self.unread.is_some()
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.progress.held_back.set(written.is_pending());
        if let Poll::Ready(Ok(length)) = &written {
            self.progress.moved.set(true);
            self.progress.written.set(self.progress.written.get() + *length as u64);
        }
        written
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_hypers(buffer) {
            return Poll::Ready(Ok(buffer.len()));
        }
        if let Some(length) = interim::made_up(&self.progress, &[io::IoSlice::new(buffer)]) {
            return Poll::Ready(Ok(length));
        }
        std::task::ready!(self.poll_interims(cx))?;
        let written = Pin::new(&mut self.channel).poll_write(cx, buffer);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = buffers.first()
            && self.is_hypers(first)
        {
            return Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()));
        }
        if let Some(length) = interim::made_up(&self.progress, buffers) {
            return Poll::Ready(Ok(length));
        }
        std::task::ready!(self.poll_interims(cx))?;
        let written = Pin::new(&mut self.channel).poll_write_vectored(cx, buffers);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.channel.is_write_vectored()
    }

    /// hyper asks for it once all that it had is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.progress.phase.get(), Phase::Waiting | Phase::Streaming) {
            self.progress.answering.set(false);
        }
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    /// To end the connection is for [`super::connection::serve`], which reads on for a while.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
