//! The body of a message as it comes in: by HTTP/1, from hyper, or on a stream of HTTP/2, from h2.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

pub(in crate::proxy) enum Received {
    Http1(Incoming),
    Http2(OnStream),
    /// What follows the head is no body.
    None,
}

/// What comes on a stream after a head. Of what has been given away the sender may send as much again.
pub(in crate::proxy) struct OnStream {
    stream: RecvStream,
    /// Of what is still to come, where the head says so.
    length: Option<u64>,
    /// Only trailers may follow.
    data_done: bool,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Broken {
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl Received {
    /// What follows `head` on its stream.
    pub(in crate::proxy) fn on_stream(stream: RecvStream, head: &HeaderMap) -> Received {
        Received::Http2(OnStream::new(stream, head))
    }
}

impl From<Incoming> for Received {
    fn from(incoming: Incoming) -> Received {
        Received::Http1(incoming)
    }
}

impl OnStream {
    fn new(stream: RecvStream, head: &HeaderMap) -> OnStream {
        let length = if stream.is_end_stream() { Some(0) } else { length(head) };
        OnStream { stream, length, data_done: false }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_done {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    self.stream.flow_control().release_capacity(bytes.len()).expect("no more than has come");
                    self.length = self.length.map(|left| left.saturating_sub(bytes.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_done = true,
            }
        }
        self.stream.poll_trailers(cx).map(|trailers| trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

/// Where there are several, none is believed that differs from another.
fn length(head: &HeaderMap) -> Option<u64> {
    let mut lengths = head.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next()?;
    if lengths.any(|other| other != first) {
        return None;
    }
    first.to_str().ok()?.parse().ok()
}

impl Body for Received {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Received::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Broken::Http1),
            Received::Http2(stream) => stream.poll_frame(cx).map_err(Broken::Http2),
            Received::None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Received::Http1(incoming) => incoming.is_end_stream(),
            Received::Http2(stream) => stream.stream.is_end_stream(),
            Received::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Received::Http1(incoming) => incoming.size_hint(),
            Received::Http2(OnStream { length: Some(left), .. }) => SizeHint::with_exact(*left),
            Received::Http2(_) => SizeHint::default(),
            Received::None => SizeHint::with_exact(0),
        }
    }
}
