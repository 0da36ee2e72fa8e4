//! A reader of HTTP/1 that takes nothing that two readers could take differently.

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    /// Without a body, as an answer to HEAD and a 304 are.
    EndpointHead,
    Endpoint,
}

/// One message, and what follows it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) line: &'a str,
    /// Their names are in lower case.
    pub(super) fields: Vec<(String, &'a [u8])>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, &'a [u8])>,
    pub(super) rest: &'a [u8],
}

impl<'a> Message<'a> {
    /// The error says what is wrong with it.
    pub(super) fn read(bytes: &'a [u8], from: From) -> Result<Message<'a>, &'static str> {
        let mut rest = bytes;
        let line = std::str::from_utf8(line(&mut rest)?).map_err(|_| "a first line that is no text")?;
        let fields = fields(&mut rest)?;
        let values = |name| -> Vec<&[u8]> {
            fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        match (&lengths[..], &codings[..]) {
            _ if from == From::EndpointHead => {}
            ([], []) if from == From::Client => {}
            ([], []) => body.extend_from_slice(std::mem::take(&mut rest)),
            ([length], []) => {
                let is_plain = length.iter().all(u8::is_ascii_digit) && (*length == b"0" || !length.starts_with(b"0"));
                let length = std::str::from_utf8(length).ok().filter(|_| is_plain).and_then(|text| text.parse().ok());
                let (all, behind) =
                    rest.split_at_checked(length.ok_or("a length that is none")?).ok_or("a body cut short")?;
                body.extend_from_slice(all);
                rest = behind;
            }
            ([], [b"chunked"]) => {
                while let Some(chunk) = chunk(&mut rest)? {
                    body.extend_from_slice(chunk);
                }
                trailers = self::fields(&mut rest)?;
            }
            _ => return Err("more than one way to find the end of the body"),
        }
        Ok(Message { line, fields, body, trailers, rest })
    }

    pub(super) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let end = rest.windows(2).position(|two| two == b"\r\n").ok_or("a line without an end")?;
    let (line, behind) = rest.split_at(end);
    *rest = &behind[2..];
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) { Err("a byte that may end a line") } else { Ok(line) }
}

fn fields<'a>(rest: &mut &'a [u8]) -> Result<Vec<(String, &'a [u8])>, &'static str> {
    let mut fields = Vec::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if name.is_empty() || !name.iter().all(is_token) {
            return Err("a name that is none");
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii()));
    }
}

fn chunk<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let size = line(rest)?;
    let size = std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or("a chunk without a size")?;
    if size == 0 {
        return Ok(None);
    }
    let (chunk, behind) = rest.split_at_checked(size).ok_or("a chunk cut short")?;
    *rest = behind.strip_prefix(b"\r\n").ok_or("a chunk that is longer than it says")?;
    Ok(Some(chunk))
}
