//! What is fuzzed here; [`crate::fuzzing`] says how.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use http_body::Frame;

use super::body::{Framing, Outgoing, Step, announced};
use super::head::{self, Came};

/// As large may a head be.
const MOST_BYTES: usize = 64 * 1024;

/// An answer with its body, whole.
#[derive(Debug)]
pub(in crate::proxy) struct Answer {
    pub head: Response<()>,
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
            Some(Came::Answer { head, reading, lasts }) => break (head, reading, lasts),
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
pub(in crate::proxy) fn sent(parts: &Parts, body: &[u8], part: usize) -> Vec<u8> {
    let is_chunked = parts.headers.contains_key(TRANSFER_ENCODING);
    let length = || parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    let mut framing = match length() {
        _ if is_chunked => Framing::Chunked(announced(&parts.headers)),
        Some(0) | None if body.is_empty() => Framing::Nothing,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked(Vec::new()),
    };
    let mut outgoing = Outgoing::default();
    let mut bytes = Vec::new();
    head::write(&mut outgoing.line, parts, &framing);
    drain(&mut outgoing, &mut bytes);
    if matches!(framing, Framing::Nothing) {
        return bytes;
    }
    let mut left = Bytes::copy_from_slice(body);
    while !framing.is_over() && !left.is_empty() {
        let data = left.split_to(part.clamp(1, left.len()));
        // Not every body knows which of its parts is the last.
        let is_last = left.is_empty() && part.is_multiple_of(2);
        framing.frame(Frame::data(data), is_last, &mut outgoing).expect("the body is as long as its head says");
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
