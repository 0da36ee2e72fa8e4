//! The body of an answer, streamed frame by frame with back-pressure. Nothing is held.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::ending::{Ending, Reason};
use super::observe::Exchange;
use crate::gate::Outcome;
use crate::proxy::upstream::{Broken, Carrier};
use crate::proxy::wire::{BodyFailure, Interrupt};

/// The answer's body on its way to the client.
pub(in crate::proxy) enum ResponseBody {
    /// Our own words.
    Own(Option<Bytes>),
    Streaming(Streaming),
}

/// An endpoint's body, and what it takes to read it.
pub(in crate::proxy) struct Streaming {
    /// None once the body has ended.
    pub upstream: Option<Carrier>,
    pub exchange: Box<Exchange>,
}

/// Why an answer ended half-way; hyper then ends the connection so that the client sees it.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum CutOff {
    #[error("the endpoint's connection ended within the body")]
    Truncated(#[source] Broken),
    #[error("the endpoint sent nothing of the body for too long")]
    Stalled,
    #[error("the endpoint has left the version, and the time to end there is up")]
    Left,
}

impl ResponseBody {
    /// The body of an endpoint's answer. One without bytes is over at once.
    pub(super) fn streaming(streaming: Streaming) -> ResponseBody {
        if streaming.is_end_stream() {
            streaming.end();
            return ResponseBody::Own(None);
        }
        ResponseBody::Streaming(streaming)
    }
}

impl Streaming {
    /// The body is whole: the connection goes to rest and the outcome is known.
    fn end(mut self) {
        let now = self.exchange.progress.now();
        self.finish(now);
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.as_ref().is_none_or(Carrier::is_end_stream)
    }

    fn finish(&mut self, now: Instant) {
        self.exchange.finish(self.exchange.whole(), now);
        if let Some(upstream) = self.upstream.take() {
            upstream.release(now);
        }
    }

    fn cut_off(&mut self, outcome: Outcome, reason: Reason) {
        self.exchange.progress.truncated.set(true);
        self.upstream = None;
        self.exchange.finish(Ending::failed(outcome, reason), Instant::now());
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let streaming = match &mut *self {
            ResponseBody::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ResponseBody::Streaming(streaming) => streaming,
        };
        if let Some(interrupt) = streaming.exchange.progress.take_interrupt() {
            let (outcome, reason, why) = match interrupt {
                Interrupt::Expired => (Outcome::Timeout, Reason::ResponseBodyTimeout, CutOff::Stalled),
                Interrupt::Cut => (Outcome::RefusedByUs, Reason::EndpointLeft, CutOff::Left),
            };
            streaming.cut_off(outcome, reason);
            return Poll::Ready(Some(Err(why)));
        }
        let Some(upstream) = &mut streaming.upstream else { return Poll::Ready(None) };
        match std::task::ready!(upstream.poll_frame(cx)) {
            Some(Ok(frame)) => {
                streaming.exchange.progress.moved.set(true);
                // Nothing comes after trailers, and nobody asks whether something does.
                let ends = match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => {
                        streaming.exchange.passed(data.len());
                        upstream.is_end_stream()
                    }
                    (None, Some(trailers)) => {
                        streaming.exchange.speaks_in_trailers(trailers);
                        true
                    }
                    (None, None) => false,
                };
                if ends {
                    streaming.finish(streaming.exchange.progress.now());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // What the client did to its own body has ended the connection, and not the endpoint.
                let (outcome, reason) = match streaming.exchange.progress.body_failure.get() {
                    Some(BodyFailure::Malformed) => (Outcome::ClientCancelled, Reason::RequestBodyMalformed),
                    Some(BodyFailure::Gone) => (Outcome::ClientCancelled, Reason::ClientGone),
                    Some(BodyFailure::Large) => (Outcome::RefusedByUs, Reason::RequestBodyTooLarge),
                    None => (Outcome::Truncated, Reason::ResponseTruncated),
                };
                streaming.cut_off(outcome, reason);
                Poll::Ready(Some(Err(CutOff::Truncated(error))))
            }
            None => {
                streaming.finish(streaming.exchange.progress.now());
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Own(bytes) => bytes.is_none(),
            ResponseBody::Streaming(streaming) => streaming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            ResponseBody::Streaming(Streaming { upstream, .. }) => {
                upstream.as_ref().map_or(SizeHint::with_exact(0), Carrier::size_hint)
            }
        }
    }
}
