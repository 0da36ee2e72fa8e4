//! What is sent by HTTP/2, frame by frame, on stream 1. Whatever may be smuggled asks for `/smuggled`.

use super::Case;
use crate::support::http2::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, block, fields, frame};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
const PADDED: u8 = 8;

type Fields = [(&'static str, &'static str)];

/// A request without a body.
fn whole(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))
}

fn get(more: &Fields) -> Vec<u8> {
    whole(&fields("GET", "/", more))
}

/// A GET with this in the place of one pseudo field.
fn with(name: &str, value: &str) -> Vec<u8> {
    let mut fields = fields("GET", "/", &[]);
    fields.iter_mut().filter(|field| field.0 == name).for_each(|field| field.1 = value);
    whole(&fields)
}

fn without(name: &str, more: &Fields) -> Vec<u8> {
    let mut fields = fields("GET", "/", more);
    fields.retain(|field| field.0 != name);
    whole(&fields)
}

fn begun(method: &str, more: &Fields) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(&fields(method, "/", more)))
}

fn post(more: &Fields, body: &str) -> Vec<u8> {
    [begun("POST", more), frame(DATA, END_STREAM, 1, body.as_bytes())].concat()
}

fn trailed(trailers: &Fields) -> Vec<u8> {
    let last = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers));
    [begun("POST", &[]), frame(DATA, 0, 1, b"hello"), last].concat()
}

pub fn cases() -> Vec<Case> {
    let tables = [pseudo_fields(), authorities(), other_fields(), bodies()];
    tables.into_iter().flatten().map(|(name, sent)| Case { name, sent, most: 1 }).collect()
}

fn pseudo_fields() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a plain GET", get(&[("accept", "*/*")])),
        ("a space in :path", with(":path", "/a b")),
        ("a request in :path", with(":path", "/ HTTP/1.1\r\nHost: test\r\n\r\nGET /smuggled")),
        ("a tab in :path", with(":path", "/a\tb")),
        ("NUL in :path", with(":path", "/\0")),
        ("raw UTF-8 in :path", with(":path", "/\u{e9}")),
        ("%0d%0a in :path", with(":path", "/a%20HTTP/1.1%0d%0aX:%20y")),
        ("slashes, dots and escapes in :path", with(":path", "//a/./b/../%2F%2e%7e?c=%20+?/")),
        ("a fragment in :path", with(":path", "/a#b")),
        ("an empty :path", with(":path", "")),
        (":path without a slash", with(":path", "index")),
        (":path of `*` with GET", with(":path", "*")),
        (":path of `*` with OPTIONS", whole(&fields("OPTIONS", "*", &[]))),
        ("an absolute :path", with(":path", "http://other/a")),
        ("no :path", without(":path", &[])),
        (":path twice, the same", get(&[(":path", "/")])),
        (":path twice, different", get(&[(":path", "/smuggled")])),
        ("a space in :method", with(":method", "GET /smuggled HTTP/1.1")),
        ("a request in :method", with(":method", "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\nGET")),
        ("an empty :method", with(":method", "")),
        ("no :method", without(":method", &[])),
        (":method in lower case", with(":method", "get")),
        (":method twice", get(&[(":method", "POST")])),
        ("HEAD", with(":method", "HEAD")),
        ("TRACE", with(":method", "TRACE")),
        ("CONNECT", whole(&[(":method", "CONNECT"), (":authority", "test:80")])),
        ("CONNECT with :path", with(":method", "CONNECT")),
        (":protocol without CONNECT", get(&[(":protocol", "websocket")])),
        ("CONNECT for a protocol", whole(&fields("CONNECT", "/", &[(":protocol", "websocket")]))),
        ("no :scheme", without(":scheme", &[])),
        ("a space in :scheme", with(":scheme", "ht tp")),
        ("a field in :scheme", with(":scheme", "http://test/ HTTP/1.1\r\nX: y\r\nZ")),
        (":scheme https in clear text", with(":scheme", "https")),
        (":scheme ftp", with(":scheme", "ftp")),
        (":status in a request", get(&[(":status", "200")])),
        ("a pseudo field that nobody knows", get(&[(":unknown", "a")])),
        ("a pseudo field behind others", {
            whole(&[(":method", "GET"), (":scheme", "http"), (":authority", "test"), ("x-a", "1"), (":path", "/")])
        }),
    ]
}

fn authorities() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("host alone", without(":authority", &[("host", "test")])),
        ("neither :authority nor host", without(":authority", &[])),
        ("host as :authority", get(&[("host", "test")])),
        ("host against :authority", get(&[("host", "other")])),
        ("host twice", without(":authority", &[("host", "test"), ("host", "other")])),
        ("an empty :authority", with(":authority", "")),
        (":authority with userinfo", with(":authority", "user@test")),
        (":authority with a space", with(":authority", "te st")),
        (":authority with a path", with(":authority", "test/path")),
        (":authority with a field", with(":authority", "test\r\nX: y")),
        (":authority twice", get(&[(":authority", "other")])),
    ]
}

fn other_fields() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("CR LF in a value", get(&[("x-a", "1\r\nx-b: 2")])),
        ("a request in a value", get(&[("x-a", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test")])),
        ("LF in a value", get(&[("x-a", "1\nx-b: 2")])),
        ("CR in a value", get(&[("x-a", "1\rx-b: 2")])),
        ("NUL in a value", get(&[("x-a", "1\u{0}2")])),
        ("a control byte in a value", get(&[("x-a", "1\u{1}2")])),
        ("DEL in a value", get(&[("x-a", "1\u{7f}2")])),
        ("raw UTF-8 in a value", get(&[("x-a", "\u{e9}")])),
        ("a space before a value", get(&[("x-a", " 1")])),
        ("a tab behind a value", get(&[("x-a", "1\t")])),
        ("an empty value", get(&[("x-a", "")])),
        ("CR LF in a name", get(&[("x-a: 1\r\nx-b", "2")])),
        ("a colon in a name", get(&[("x-a: 1", "2")])),
        ("a space in a name", get(&[("x a", "1")])),
        ("capitals in a name", get(&[("X-A", "1")])),
        ("an underscore in a name", get(&[("x_a", "1")])),
        ("no name", get(&[("", "1")])),
        ("transfer-encoding", get(&[("transfer-encoding", "chunked")])),
        ("transfer-encoding with a body (H2.TE)", {
            post(&[("transfer-encoding", "chunked")], &format!("0\r\n\r\n{SMUGGLED}"))
        }),
        ("transfer-encoding behind CR LF in a value", {
            post(&[("x-a", "1\r\ntransfer-encoding: chunked")], &format!("0\r\n\r\n{SMUGGLED}"))
        }),
        ("an underscore in transfer_encoding", {
            post(&[("transfer_encoding", "chunked")], &format!("0\r\n\r\n{SMUGGLED}"))
        }),
        ("connection: close", get(&[("connection", "close")])),
        ("connection names a field", get(&[("connection", "x-a"), ("x-a", "1")])),
        ("keep-alive", get(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", get(&[("proxy-connection", "close")])),
        ("upgrade", get(&[("upgrade", "websocket")])),
        ("te: trailers", get(&[("te", "trailers")])),
        ("te: gzip", get(&[("te", "gzip")])),
        ("cookie in crumbs", get(&[("cookie", "a=1"), ("cookie", "b=2")])),
        ("expect: 100-continue", post(&[("expect", "100-continue"), ("content-length", "5")], "hello")),
    ]
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let head = block(&fields("GET", "/", &[("x-a", "1")]));
    let in_two = |end| [frame(HEADERS, END_STREAM, 1, &head[..9]), frame(CONTINUATION, end, 1, &head[9..])].concat();
    vec![
        ("content-length", post(&[("content-length", "5")], "hello")),
        ("DATA without content-length", post(&[], "hello")),
        ("DATA shorter than content-length", post(&[("content-length", "6")], "hello")),
        ("DATA longer than content-length", post(&[("content-length", "4")], "hello")),
        ("a request behind content-length (H2.CL)", post(&[("content-length", "0")], SMUGGLED)),
        ("a request as the body", post(&[], SMUGGLED)),
        ("a request as the body of a GET", {
            [begun("GET", &[]), frame(DATA, END_STREAM, 1, SMUGGLED.as_bytes())].concat()
        }),
        ("a request as the body of a HEAD", {
            [begun("HEAD", &[]), frame(DATA, END_STREAM, 1, SMUGGLED.as_bytes())].concat()
        }),
        ("content-length without a body", get(&[("content-length", "5")])),
        ("content-length twice, the same", post(&[("content-length", "5"), ("content-length", "5")], "hello")),
        ("content-length twice, different", post(&[("content-length", "5"), ("content-length", "0")], "hello")),
        ("content-length as a list", post(&[("content-length", "5, 5")], "hello")),
        ("content-length +5", post(&[("content-length", "+5")], "hello")),
        ("content-length 0x5", post(&[("content-length", "0x5")], "hello")),
        ("content-length 05", post(&[("content-length", "05")], "hello")),
        ("content-length over 2^64", post(&[("content-length", "18446744073709551621")], "hello")),
        ("an empty content-length", post(&[("content-length", "")], "hello")),
        ("an empty DATA before the body", {
            [begun("POST", &[]), frame(DATA, 0, 1, b""), frame(DATA, END_STREAM, 1, b"hello")].concat()
        }),
        ("padding", [begun("POST", &[]), frame(DATA, END_STREAM | PADDED, 1, b"\x03hello\0\0\0")].concat()),
        (
            "padding longer than its frame",
            [begun("POST", &[]), frame(DATA, END_STREAM | PADDED, 1, b"\x09hello")].concat(),
        ),
        ("a head in two frames", in_two(END_HEADERS)),
        ("another frame within a head", [in_two(0), frame(DATA, END_STREAM, 1, b"hello")].concat()),
        ("trailers", trailed(&[("x-sum", "1")])),
        ("a pseudo field in trailers", trailed(&[(":path", "/smuggled")])),
        ("transfer-encoding in trailers", trailed(&[("transfer-encoding", "chunked")])),
        ("content-length in trailers", trailed(&[("content-length", "40")])),
        ("host in trailers", trailed(&[("host", "other")])),
        ("connection in trailers", trailed(&[("connection", "close")])),
        ("capitals in trailers", trailed(&[("X", "1")])),
        ("CR LF in trailers", trailed(&[("x", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test")])),
        ("trailers that do not end the stream", {
            [begun("POST", &[]), frame(DATA, 0, 1, b"hello"), frame(HEADERS, END_HEADERS, 1, &block(&[("x", "1")]))]
                .concat()
        }),
    ]
}
