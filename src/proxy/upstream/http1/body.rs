//! Bodies: of requests as they are framed, of answers as they are unpacked (RFC 9112, sections 6 and 7).

use std::io::{IoSlice, Write};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderName,
    HeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use http_body::{Body, Frame, SizeHint};

use super::{Broken, head};

/// How the body of a request is told from what comes after it.
pub(super) enum Framing {
    Nothing,
    /// So many bytes are left.
    Length(u64),
    /// The trailers that were announced may come after it.
    Chunked(Vec<HeaderName>),
    Over,
}

/// What is to be sent next.
#[derive(Default)]
pub(super) struct Outgoing {
    /// A head, or what comes before a chunk.
    pub line: Vec<u8>,
    /// So much of it was written.
    pub written: usize,
    data: Bytes,
    tail: &'static [u8],
}

/// What is to be read next.
pub(super) enum Reading {
    Head,
    Length(u64),
    Chunked(Box<Chunks>),
    UntilEnd,
    Done,
}

/// What comes of what was read.
pub(super) enum Step {
    Frame(Frame<Bytes>),
    End,
    /// More has to be read first.
    More,
}

/// Where one is in a chunked body.
pub(super) struct Chunks {
    place: Place,
    /// Of the lines before chunks, whatever is no size.
    extension_bytes: usize,
}

enum Place {
    Size {
        size: u64,
        digits: usize,
    },
    /// After the size, where no more digits may come.
    Space {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers,
}

/// Of all chunks of a body together: nobody needs them.
const EXTENSION_BYTES: usize = 16 * 1024;

const TRAILER_BYTES: usize = 16 * 1024;

const MOST_TRAILERS: usize = 100;

impl Framing {
    pub(super) fn of(headers: &HeaderMap, body: &impl Body) -> Framing {
        if body.is_end_stream() {
            return Framing::Nothing;
        }
        let length = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        match (headers.contains_key(TRANSFER_ENCODING), length()) {
            (false, Some(length)) => Framing::Length(length),
            (true, _) | (false, None) => Framing::Chunked(announced(headers)),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Framing::Over)
    }

    /// Makes a part of the body ready to be sent; the last one, if so.
    pub(super) fn frame(&mut self, frame: Frame<Bytes>, is_last: bool, outgoing: &mut Outgoing) -> Result<(), Broken> {
        match frame.into_data() {
            Ok(mut data) => {
                match self {
                    Framing::Length(left) => {
                        data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                        *left -= data.len() as u64;
                        outgoing.part(data, b"");
                    }
                    Framing::Chunked(_) if data.is_empty() => {}
                    Framing::Chunked(_) => {
                        outgoing.line.clear();
                        outgoing.written = 0;
                        write!(outgoing.line, "{:X}\r\n", data.len()).expect("memory takes all");
                        outgoing.part(data, if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
                        if is_last {
                            *self = Framing::Over;
                        }
                    }
                    Framing::Nothing | Framing::Over => {}
                }
                if is_last { self.end(outgoing) } else { Ok(()) }
            }
            Err(frame) => {
                if let (Framing::Chunked(announced), Ok(trailers)) = (&*self, frame.into_trailers()) {
                    outgoing.line.clear();
                    outgoing.written = 0;
                    outgoing.line.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name)) {
                        head::write_field(&mut outgoing.line, name, value);
                    }
                    outgoing.part(Bytes::new(), b"\r\n");
                    *self = Framing::Over;
                }
                Ok(())
            }
        }
    }

    /// The body has ended.
    pub(super) fn end(&mut self, outgoing: &mut Outgoing) -> Result<(), Broken> {
        match std::mem::replace(self, Framing::Over) {
            Framing::Nothing | Framing::Length(0) | Framing::Over => Ok(()),
            Framing::Length(_) => Err(Broken::Request),
            Framing::Chunked(_) => {
                outgoing.part(Bytes::new(), b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}

/// The trailers that the head announces, without those that must not be any (RFC 9110, section 6.5.1).
pub(super) fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    const NONE: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TRAILER,
        TRANSFER_ENCODING,
        TE,
    ];
    let values = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| HeaderName::from_bytes(name.trim().as_bytes()));
    names.filter_map(Result::ok).filter(|name| !NONE.contains(name)).collect()
}

impl Outgoing {
    pub(super) const PARTS: usize = 3;

    fn part(&mut self, data: Bytes, tail: &'static [u8]) {
        (self.data, self.tail) = (data, tail);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.line.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Those parts that are not empty, of which it says how many they are.
    pub(super) fn slices<'o>(&'o self, slices: &mut [IoSlice<'o>; Outgoing::PARTS]) -> usize {
        let parts = [&self.line[self.written..], &self.data, self.tail];
        let mut count = 0;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            slices[count] = IoSlice::new(part);
            count += 1;
        }
        count
    }

    pub(super) fn advance(&mut self, mut length: usize) {
        let of_line = length.min(self.line.len() - self.written);
        self.written += of_line;
        length -= of_line;
        let of_data = length.min(self.data.len());
        self.data.advance(of_data);
        self.tail = &self.tail[length - of_data..];
    }

    pub(super) fn discard(&mut self) {
        self.written = self.line.len();
        self.part(Bytes::new(), b"");
    }
}

impl Reading {
    pub(super) fn chunked() -> Reading {
        Reading::Chunked(Box::new(Chunks { place: Place::Size { size: 0, digits: 0 }, extension_bytes: 0 }))
    }

    pub(super) fn of_length(length: u64) -> Reading {
        if length == 0 { Reading::Done } else { Reading::Length(length) }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Reading::Done => SizeHint::with_exact(0),
            Reading::Length(left) => SizeHint::with_exact(*left),
            Reading::Head | Reading::Chunked(_) | Reading::UntilEnd => SizeHint::default(),
        }
    }

    /// Takes the next frame out of `buffer`.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Broken> {
        match self {
            Reading::Done => Ok(Step::End),
            Reading::Head | Reading::Length(_) | Reading::UntilEnd if buffer.is_empty() => Ok(Step::More),
            Reading::Head => Err(Broken::Body),
            Reading::UntilEnd => Ok(Step::Frame(Frame::data(buffer.split().freeze()))),
            Reading::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    *self = Reading::Done;
                }
                Ok(Step::Frame(Frame::data(data)))
            }
            Reading::Chunked(chunks) => {
                let step = chunks.step(buffer)?;
                let trailers = matches!(&step, Step::Frame(frame) if frame.is_trailers());
                if trailers || matches!(step, Step::End) {
                    *self = Reading::Done;
                }
                Ok(step)
            }
        }
    }

    /// The endpoint has ended its sending side.
    pub(super) fn ended(&mut self) -> Result<(), Broken> {
        match self {
            Reading::Done => Ok(()),
            Reading::UntilEnd => {
                *self = Reading::Done;
                Ok(())
            }
            Reading::Head | Reading::Length(_) | Reading::Chunked(_) => Err(Broken::Ended),
        }
    }
}

impl Chunks {
    fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Broken> {
        while let Some(&byte) = buffer.first() {
            self.place = match self.place {
                Place::Data { mut left } => {
                    let data = take(buffer, &mut left);
                    self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                    return Ok(Step::Frame(Frame::data(data)));
                }
                Place::Trailers => return trailers(buffer),
                Place::Size { size, digits } => match (byte, char::from(byte).to_digit(16)) {
                    (_, Some(digit)) => {
                        let size = size.checked_mul(16).ok_or(Broken::Body)? + u64::from(digit);
                        Place::Size { size, digits: digits + 1 }
                    }
                    _ if digits == 0 => return Err(Broken::Body),
                    _ => Place::after_size(byte, size)?,
                },
                Place::Space { size } => Place::after_size(byte, size)?,
                Place::Extension { size } => match byte {
                    b'\r' => Place::SizeLf { size },
                    b'\n' => return Err(Broken::Body),
                    _ => {
                        self.extension_bytes += 1;
                        if self.extension_bytes >= EXTENSION_BYTES {
                            return Err(Broken::Body);
                        }
                        Place::Extension { size }
                    }
                },
                Place::SizeLf { size } => match (byte, size) {
                    (b'\n', 0) => Place::Trailers,
                    (b'\n', left) => Place::Data { left },
                    _ => return Err(Broken::Body),
                },
                Place::DataCr if byte == b'\r' => Place::DataLf,
                Place::DataLf if byte == b'\n' => Place::Size { size: 0, digits: 0 },
                Place::DataCr | Place::DataLf => return Err(Broken::Body),
            };
            buffer.advance(1);
        }
        Ok(Step::More)
    }
}

impl Place {
    fn after_size(byte: u8, size: u64) -> Result<Place, Broken> {
        match byte {
            b' ' | b'\t' => Ok(Place::Space { size }),
            b';' => Ok(Place::Extension { size }),
            b'\r' => Ok(Place::SizeLf { size }),
            _ => Err(Broken::Body),
        }
    }
}

/// At most `left` bytes, which become fewer.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

/// The end of a chunked body, with the fields that come after the last chunk.
fn trailers(buffer: &mut BytesMut) -> Result<Step, Broken> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Step::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let (length, fields) = match httparse::parse_headers(&buffer[..], &mut fields) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) if buffer.len() < TRAILER_BYTES => return Ok(Step::More),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Broken::Body),
    };
    let is_bare = |index: usize| buffer[index] == b'\n' && (index == 0 || buffer[index - 1] != b'\r');
    if length > TRAILER_BYTES || (0..length).any(is_bare) {
        return Err(Broken::Body);
    }
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Body)?;
        trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Broken::Body)?);
    }
    buffer.advance(length);
    Ok(Step::Frame(Frame::trailers(trailers)))
}
