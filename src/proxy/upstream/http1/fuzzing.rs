//! What is fuzzed here; [`crate::fuzzing`] says how.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::{HeaderMap, Method, response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};

use super::body::{Framing, Outgoing, Step};
use super::head::{self, Came};

/// As large may a head be.
const MOST_BYTES: usize = 64 * 1024;

/// An answer with its body, whole.
#[derive(Debug)]
pub(in crate::proxy) struct Answer {
    pub head: response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Of what came behind it.
    pub rest: Vec<u8>,
    /// Whether the connection could carry another request.
    pub lasts: bool,
}

/// What is made of an endpoint's bytes that come in parts of so many, and of their end.
pub(in crate::proxy) fn answered(method: &Method, bytes: &[u8], part: usize) -> Option<Answer> {
    let (mut buffer, mut fields, mut spans) = (BytesMut::new(), HeaderMap::new(), Vec::new());
    let mut parts = bytes.chunks(part.max(1));
    let (head, mut reading, lasts) = loop {
        match head::read(&mut buffer, &mut fields, &mut spans, *method == Method::HEAD, MOST_BYTES).ok()? {
            Some(Came::Answer { head, reading, lasts }) => break (head.into_parts().0, reading, lasts),
            Some(Came::Interim(_)) => {}
            None => buffer.extend_from_slice(parts.next()?),
        }
    };
    let (mut body, mut trailers) = (Vec::new(), None);
    loop {
        match reading.step(&mut buffer).ok()? {
            Step::Frame(frame) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
            Step::End => break,
            Step::More => match parts.next() {
                Some(part) => buffer.extend_from_slice(part),
                None => {
                    reading.ended().ok()?;
                    break;
                }
            },
        }
    }
    let rest = buffer.iter().copied().chain(parts.flatten().copied()).collect();
    Some(Answer { head, body, trailers, rest, lasts })
}

/// The bytes by which an endpoint gets a request whose body comes in parts of so many.
pub(in crate::proxy) fn sent(parts: &Parts, body: &[u8], trailers: Option<&HeaderMap>, part: usize) -> Vec<u8> {
    // Where a body is chunked nobody knows at its beginning whether there is anything of it.
    let mut framing = if parts.headers.contains_key(TRANSFER_ENCODING) {
        Framing::of(&parts.headers, &StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()))
    } else {
        Framing::of(&parts.headers, &Full::new(Bytes::copy_from_slice(body)))
    };
    let (mut outgoing, mut bytes) = (Outgoing::default(), Vec::new());
    head::write(&mut outgoing.line, parts, &framing);
    drain(&mut outgoing, &mut bytes);
    if matches!(framing, Framing::Nothing) {
        return bytes;
    }
    let trailers = trailers.map(|trailers| Frame::trailers(trailers.clone()));
    // Not every body knows which of its parts is the last.
    let knows_last = trailers.is_none() && part.is_multiple_of(2);
    let mut chunks =
        body.chunks(part.max(1)).map(|data| Frame::data(Bytes::copy_from_slice(data))).chain(trailers).peekable();
    while let Some(frame) = chunks.next() {
        let is_last = knows_last && chunks.peek().is_none();
        framing.frame(frame, is_last, &mut outgoing).expect("the body is as long as its head says");
        drain(&mut outgoing, &mut bytes);
    }
    if !framing.is_over() {
        framing.end(&mut outgoing).expect("the body is as long as its head says");
        drain(&mut outgoing, &mut bytes);
    }
    bytes
}

/// Takes what is to be sent, in pieces that fit no part.
fn drain(outgoing: &mut Outgoing, to: &mut Vec<u8>) {
    while !outgoing.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); Outgoing::PARTS];
        let count = outgoing.slices(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        let length = all.len().min(7);
        to.extend_from_slice(&all[..length]);
        outgoing.advance(length);
    }
}
