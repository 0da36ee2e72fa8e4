//! HTTP/1 messages as bytes: a strict reader that both sides share. It panics on nothing that a peer sends.

use std::fmt;
use std::io;

/// One field, as it was sent: the name with its case, the value without the spaces around it.
pub type Field = (String, Vec<u8>);

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub version: String,
    pub head: Head,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Vec<Field>,
}

#[derive(Clone, Default)]
pub struct Head {
    /// Every byte up to and with the empty line.
    pub raw: Vec<u8>,
    pub fields: Vec<Field>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// Where bytes come from: more of them with each call, none at a clean end.
pub trait Source {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>>;
    fn buffer(&mut self) -> &mut Vec<u8>;
}

/// Reads `length` bytes.
#[track_caller]
pub fn read_bytes(source: &mut impl Source, length: usize) -> Vec<u8> {
    while source.buffer().len() < length {
        let more = source.more().expect("more bytes").expect("no end before these bytes");
        source.buffer().extend(more);
    }
    source.buffer().drain(..length).collect()
}

/// Bytes after which nothing comes.
pub struct Whole(pub Vec<u8>);

impl Source for Whole {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Head {
    /// The values of every field of this name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The value of the only field of this name.
    #[track_caller]
    pub fn one(&self, name: &str) -> String {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {self:?}");
        all[0].clone()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw))
    }
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads up to and with the empty line. None when nothing came before a clean end.
pub fn read_head(source: &mut impl Source) -> io::Result<Option<(String, Head)>> {
    let end = loop {
        if let Some(at) = find(source.buffer(), b"\r\n\r\n") {
            break at + 4;
        }
        match source.more()? {
            Some(bytes) => source.buffer().extend(bytes),
            None if source.buffer().is_empty() => return Ok(None),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let raw: Vec<u8> = source.buffer().drain(..end).collect();
    let mut lines = split_lines(&raw[..raw.len() - 4])?.into_iter();
    let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let fields = lines.map(field).collect::<io::Result<_>>()?;
    Ok(Some((start, Head { raw, fields })))
}

/// All requests in `bytes`, which must hold nothing else.
pub fn requests(bytes: &[u8]) -> io::Result<Vec<Request>> {
    let mut source = Whole(bytes.to_vec());
    let mut requests = Vec::new();
    while let Some(mut request) = read_request_head(&mut source)? {
        read_request_body(&mut source, &mut request)?;
        requests.push(request);
    }
    Ok(requests)
}

/// Reads one request without its body.
pub fn read_request_head(source: &mut impl Source) -> io::Result<Option<Request>> {
    let Some((start, head)) = read_head(source)? else { return Ok(None) };
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err(malformed("request line", start.as_bytes())) };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(malformed("version", start.as_bytes()));
    }
    let (method, target, version) = (method.to_owned(), target.to_owned(), version.to_owned());
    Ok(Some(Request { method, target, version, head, body: Vec::new(), trailers: Vec::new() }))
}

/// Reads the body of `request` into it.
pub fn read_request_body(source: &mut impl Source, request: &mut Request) -> io::Result<()> {
    let framing = framing(&request.head)?.unwrap_or(Framing::None);
    read_body(source, framing, &mut request.body, &mut request.trailers)
}

/// Reads one response: an interim one too, whose body is empty.
pub fn read_response(source: &mut impl Source, to: &str) -> io::Result<Response> {
    let Some((start, head)) = read_head(source)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let (version, rest) = start.split_once(' ').ok_or_else(|| malformed("status line", start.as_bytes()))?;
    let status = rest.get(..3).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| malformed("status", start.as_bytes()))?;
    let framing = match status {
        100..200 | 204 | 304 => Framing::None,
        _ if to == "HEAD" => Framing::None,
        _ => framing(&head)?.unwrap_or(Framing::UntilClose),
    };
    let version = version.to_owned();
    let mut response = Response { status, version, head, framing, body: Vec::new(), trailers: Vec::new() };
    read_body(source, framing, &mut response.body, &mut response.trailers)?;
    Ok(response)
}

/// What the fields say of the body; an error when they contradict each other.
fn framing(head: &Head) -> io::Result<Option<Framing>> {
    match (&head.all("transfer-encoding")[..], &head.all("content-length")[..]) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(|length| Some(Framing::Length(length))).map_err(|_| malformed("length", &head.raw))
        }
        _ => Err(malformed("framing", &head.raw)),
    }
}

fn read_body(
    source: &mut impl Source,
    framing: Framing,
    body: &mut Vec<u8>,
    trailers: &mut Vec<Field>,
) -> io::Result<()> {
    match framing {
        Framing::None => {}
        Framing::Length(length) => *body = take(source, length)?,
        Framing::UntilClose => {
            body.append(source.buffer());
            while let Some(bytes) = source.more()? {
                body.extend(bytes);
            }
        }
        Framing::Chunked => loop {
            let line = take_line(source)?;
            let digits =
                std::str::from_utf8(&line).ok().filter(|line| line.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let size = size.ok_or_else(|| malformed("chunk size", &line))?;
            if size == 0 {
                loop {
                    match take_line(source)? {
                        line if line.is_empty() => return Ok(()),
                        line => trailers.push(field(&line)?),
                    }
                }
            }
            body.extend(take(source, size)?);
            if !take_line(source)?.is_empty() {
                return Err(malformed("end of a chunk", body));
            }
        },
    }
    Ok(())
}

fn take(source: &mut impl Source, length: usize) -> io::Result<Vec<u8>> {
    while source.buffer().len() < length {
        let bytes = source.more()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        source.buffer().extend(bytes);
    }
    Ok(source.buffer().drain(..length).collect())
}

fn take_line(source: &mut impl Source) -> io::Result<Vec<u8>> {
    loop {
        if let Some(at) = find(source.buffer(), b"\r\n") {
            let mut line: Vec<u8> = source.buffer().drain(..at + 2).collect();
            line.truncate(at);
            return Ok(line);
        }
        let bytes = source.more()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        source.buffer().extend(bytes);
    }
}

/// Lines end with CR LF, and neither stands anywhere else.
fn split_lines(raw: &[u8]) -> io::Result<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = raw;
    loop {
        let (line, more) = match find(rest, b"\r\n") {
            Some(at) => (&rest[..at], Some(&rest[at + 2..])),
            None => (rest, None),
        };
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(malformed("line", line));
        }
        lines.push(line);
        match more {
            Some(more) => rest = more,
            None => return Ok(lines),
        }
    }
}

fn field(line: &[u8]) -> io::Result<Field> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| malformed("field", line))?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| malformed("field name", line))?;
    if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return Err(malformed("field name", line));
    }
    Ok((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn malformed(what: &str, bytes: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}: {:?}", String::from_utf8_lossy(bytes)))
}
