//! Heads: of requests as they are written, of answers as they are read.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Response, StatusCode, Version};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::Broken;
use super::body::{Framing, Reading};

/// A head that has come.
pub(super) enum Came {
    /// It says only that the answer will come.
    Interim(Response<()>),
    /// An answer's, and what it says of the rest, and whether the connection outlives it.
    Answer { head: Response<()>, reading: Reading, lasts: bool },
}

/// Where the name and the value of a field are in a head.
pub(super) struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

/// What a field of an answer usually has.
const FIELD_BYTES: usize = 32;

/// As many as an answer may have.
const MOST_FIELDS: usize = 100;

/// What the fields of an answer say of its body.
#[derive(Default)]
struct Said {
    length: Length,
    /// The last of the codings, where there is any.
    coding: Option<Coding>,
    closes: bool,
    keeps: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Unsaid,
    Is(u64),
    /// It is no number, or two.
    Invalid,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

/// Writes the head of a request.
pub(super) fn write(line: &mut Vec<u8>, head: &Parts, framing: &Framing) {
    line.reserve(FIELD_BYTES * (head.headers.len() + 1));
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        line.extend_from_slice(part.as_bytes());
    }
    let is_chunked = matches!(framing, Framing::Chunked(_));
    let other = if is_chunked { CONTENT_LENGTH } else { TRANSFER_ENCODING };
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != other) {
        write_field(line, name, value);
    }
    if is_chunked && !head.headers.contains_key(TRANSFER_ENCODING) {
        write_field(line, &TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
    }
    line.extend_from_slice(b"\r\n");
}

pub(super) fn write_field(line: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        line.extend_from_slice(part);
    }
}

/// Reads a head, if it is whole, and takes it out of `buffer`. The fields are put where `fields` has room.
pub(super) fn read(
    buffer: &mut BytesMut,
    fields: &mut HeaderMap,
    spans: &mut Vec<Span>,
    is_head: bool,
    most_bytes: usize,
) -> Result<Option<Came>, Broken> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, &buffer[..], &mut room);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= most_bytes => length,
        Ok(Status::Partial) if buffer.len() < most_bytes => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Broken::LargeHead),
        Err(error) => return Err(error.into()),
    };
    let code = response.code.expect("the head is complete");
    let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let reason = response.reason.filter(|reason| Some(*reason) != status.canonical_reason());
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let start = buffer.as_ptr() as usize;
    let span = |bytes: &[u8]| (bytes.as_ptr() as usize - start, bytes.as_ptr() as usize - start + bytes.len());
    spans.clear();
    spans.extend(
        response.headers.iter().map(|field| Span { name: span(field.name.as_bytes()), value: span(field.value) }),
    );
    let bytes = buffer.split_to(length).freeze();
    let mut said = Said::default();
    let mut headers = std::mem::take(fields);
    headers.reserve(spans.len());
    for Span { name, value } in spans {
        let name = HeaderName::from_bytes(&bytes[name.0..name.1]).map_err(|_| httparse::Error::HeaderName)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice(value.0..value.1)).map_err(|_| httparse::Error::HeaderValue)?;
        // Of a Connection field that names no other nobody after us wants to know.
        if name != CONNECTION || said.connection(&value) {
            said.note(&name, &value);
            headers.append(name, value);
        }
    }
    let mut head = Response::new(());
    (*head.status_mut(), *head.version_mut(), *head.headers_mut()) = (status, version, headers);
    if let Some(reason) = reason {
        head.extensions_mut().insert(reason);
    }
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    if status.is_informational() && !switches {
        return Ok(Some(Came::Interim(head)));
    }
    let reading = said.reading(status, version, is_head)?;
    let lasts = !said.closes && (said.keeps || version == Version::HTTP_11) && !switches;
    Ok(Some(Came::Answer { head, reading, lasts }))
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        match *name {
            CONTENT_LENGTH => self.length = self.length.and(value),
            TRANSFER_ENCODING => {
                let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
                let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                self.coding = Some(if is_chunked { Coding::Chunked } else { Coding::Other });
            }
            _ => {}
        }
    }

    /// Whether it names a field.
    fn connection(&mut self, value: &HeaderValue) -> bool {
        let mut names = false;
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let (closes, keeps) = (token.eq_ignore_ascii_case(b"close"), token.eq_ignore_ascii_case(b"keep-alive"));
            self.closes |= closes;
            self.keeps |= keeps;
            names |= !closes && !keeps;
        }
        names
    }

    /// What comes after the head (RFC 9112, section 6.3).
    fn reading(&self, status: StatusCode, version: Version, is_head: bool) -> Result<Reading, Broken> {
        let has_none =
            matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match (self.coding, self.length) {
            _ if has_none || is_head => Ok(Reading::Done),
            (Some(_), _) if version == Version::HTTP_10 => Err(Broken::Framing),
            (Some(Coding::Chunked), _) => Ok(Reading::chunked()),
            (Some(Coding::Other), _) | (None, Length::Unsaid) => Ok(Reading::UntilEnd),
            (None, Length::Is(length)) => Ok(Reading::of_length(length)),
            (None, Length::Invalid) => Err(Broken::Framing),
        }
    }
}

impl Length {
    /// What one more field makes of it. The same length may be said twice.
    fn and(self, value: &HeaderValue) -> Length {
        value.as_bytes().split(|byte| *byte == b',').fold(self, |length, token| match (length, number(token)) {
            (Length::Unsaid, Some(number)) => Length::Is(number),
            (Length::Is(said), Some(number)) if said == number => length,
            _ => Length::Invalid,
        })
    }
}

fn number(token: &[u8]) -> Option<u64> {
    let digits = token.trim_ascii();
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| are_digits)?.parse().ok()
}
