//! What is sent by HTTP/1. Whatever may be smuggled asks for `/smuggled`.

use super::Case;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
const CHUNKED: &str = "5\r\nhello\r\n0\r\n\r\n";

fn line(line: &str) -> String {
    format!("{line}\r\nHost: test\r\n\r\n")
}

fn target(target: &str) -> String {
    line(&format!("GET {target} HTTP/1.1"))
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n")
}

fn host(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{body}")
}

fn sized(length: &str) -> String {
    post(&format!("Content-Length: {length}"), "hello")
}

fn coded(fields: &str) -> String {
    post(fields, CHUNKED)
}

/// With a length over all of a body that, where `fields` hold, ends before its second request.
fn both(fields: &str) -> String {
    let body = format!("0\r\n\r\n{SMUGGLED}");
    post(&format!("{fields}\r\nContent-Length: {}", body.len()), &body)
}

fn chunks(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

pub fn cases() -> Vec<Case> {
    let one = |(name, sent): (&'static str, String)| Case { name, sent: sent.into_bytes(), most: 1 };
    let tables = [lines(), targets(), hosts(), lengths(), codings(), chunked(), hop_by_hop(), fields()];
    tables.into_iter().flatten().map(one).chain(several()).collect()
}

fn lines() -> Vec<(&'static str, String)> {
    vec![
        ("a plain GET", get("accept: */*")),
        ("a parenthesis in the method", line("GE(T / HTTP/1.1")),
        ("a method in lower case", line("get / HTTP/1.1")),
        ("a method that nobody knows", line("PURGE / HTTP/1.1")),
        ("HEAD", line("HEAD / HTTP/1.1")),
        ("TRACE", line("TRACE / HTTP/1.1")),
        ("CONNECT", line("CONNECT test:80 HTTP/1.1")),
        ("CONNECT with a path", line("CONNECT / HTTP/1.1")),
        ("a space before the method", line(" GET / HTTP/1.1")),
        ("empty lines before the request", line("\r\n\r\nGET / HTTP/1.1")),
        ("a bare LF before the request", line("\nGET / HTTP/1.1")),
        ("two spaces before the target", line("GET  / HTTP/1.1")),
        ("two spaces before the version", line("GET /  HTTP/1.1")),
        ("tabs in the place of spaces", line("GET\t/\tHTTP/1.1")),
        ("a space behind the version", line("GET / HTTP/1.1 ")),
        ("a word behind the version", line("GET / HTTP/1.1 more")),
        ("a bare CR in the request line", line("GET / HTTP/1.1\rX: y")),
        ("no target", line("GET HTTP/1.1")),
        ("HTTP/0.9", "GET /\r\n".to_owned()),
        ("HTTP/0.9 with fields", line("GET /")),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".to_owned()),
        ("HTTP/1.0 kept alive", line("GET / HTTP/1.0\r\nConnection: keep-alive")),
        ("HTTP/1.0 with two hosts", line("GET / HTTP/1.0\r\nHost: other")),
        ("HTTP/1.0 with a length", line("POST / HTTP/1.0\r\nContent-Length: 0")),
        (
            "HTTP/1.0 with chunked",
            format!("POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}"),
        ),
        (
            "HTTP/1.0 with chunked and a length, kept alive",
            format!(
                "POST / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\
                 Content-Length: 43\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
        ),
        ("HTTP/1.2", line("GET / HTTP/1.2")),
        ("HTTP/1.10", line("GET / HTTP/1.10")),
        ("HTTP/2.0", line("GET / HTTP/2.0")),
        ("the version in lower case", line("GET / http/1.1")),
        ("another protocol", line("GET / FTP/1.1")),
        ("the beginning of TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned()),
        ("bare LF at each line", "GET / HTTP/1.1\nHost: test\nx: y\n\n".to_owned()),
        ("bare LF at one field", "GET / HTTP/1.1\r\nHost: test\nx: y\r\n\r\n".to_owned()),
        ("bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: test\r\n\n".to_owned()),
        ("CR CR LF at a field", "GET / HTTP/1.1\r\nHost: test\r\r\n\r\n".to_owned()),
    ]
}

fn targets() -> Vec<(&'static str, String)> {
    vec![
        ("a space in the target", target("/a b")),
        ("a control byte in the target", target("/\u{1}")),
        ("NUL in the target", target("/\0")),
        ("DEL in the target", target("/\u{7f}")),
        ("%00 in the target", target("/%00")),
        ("%0d%0a in the target", target("/a%20HTTP/1.1%0d%0aX:%20y")),
        ("raw UTF-8 in the target", target("/\u{e9}")),
        ("a fragment", target("/a#b")),
        ("a backslash", target("/a\\b")),
        ("slashes, dots and escapes", target("//a/./b/../%2F%2e%7e?c=%20+?/")),
        ("an escape that is none", target("/%zz%")),
        ("above the root", target("/../../etc")),
        ("`GET *`", target("*")),
        ("`OPTIONS *`", line("OPTIONS * HTTP/1.1")),
        ("a target without a slash", target("index")),
        ("an authority as the target", target("test:80")),
        ("an absolute target", target("http://test/a?b")),
        ("an absolute target for another host", target("http://other:81/a")),
        ("an absolute target without a path", target("http://test?a")),
        ("an absolute target with userinfo", target("http://user@test/")),
        ("an absolute target of https", target("https://test/a")),
        ("an absolute target of ftp", target("ftp://test/a")),
        ("an absolute target without Host", "GET http://test/a HTTP/1.1\r\n\r\n".to_owned()),
        ("an absolute target, two hosts", line("GET http://test/ HTTP/1.1\r\nHost: other")),
    ]
}

fn hosts() -> Vec<(&'static str, String)> {
    vec![
        ("no Host", host("X: y")),
        ("Host twice, the same", host("Host: test\r\nHost: test")),
        ("Host twice, different", host("Host: test\r\nHost: other")),
        ("an empty Host", host("Host:")),
        ("Host with userinfo", host("Host: user@test")),
        ("Host with a space", host("Host: te st")),
        ("Host with a path", host("Host: test/path")),
        ("Host with a comma", host("Host: test,other")),
        ("Host with a port that is none", host("Host: test:port")),
        ("Host with a control byte", host("Host: te\u{1}st")),
        ("Host in a folded line", host("Host:\r\n test")),
        ("a space before the colon of Host", host("Host : test")),
    ]
}

fn lengths() -> Vec<(&'static str, String)> {
    vec![
        ("Content-Length", sized("5")),
        ("Content-Length twice, the same", sized("5")),
        ("Content-Length twice, different", sized("5\r\nContent-Length: 6")),
        ("Content-Length as a list, the same", sized("5, 5")),
        ("Content-Length as a list, different", sized("5, 0")),
        ("Content-Length +5", sized("+5")),
        ("Content-Length -1", sized("-1")),
        ("Content-Length 0x5", sized("0x5")),
        ("Content-Length 5 5", sized("5 5")),
        ("Content-Length 5.0", sized("5.0")),
        ("Content-Length 05", sized("05")),
        ("Content-Length over 2^64", sized("18446744073709551621")),
        ("Content-Length over 2^63", sized("9223372036854775808")),
        ("an empty Content-Length", sized("")),
        ("Content-Length behind a tab", sized("\t5")),
        ("Content-Length in a folded line", sized("\r\n 5")),
        ("a space before the colon of Content-Length", post("Content-Length : 5", "hello")),
        ("a GET with a length", get("Content-Length: 5") + "hello"),
        ("a request as the body of a POST", post(&format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED)),
        ("a request as the body of a GET", get(&format!("Content-Length: {}", SMUGGLED.len())) + SMUGGLED),
        ("a request as the body of a HEAD", {
            format!("HEAD / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len())
        }),
        ("a body that the client does not finish", sized("1000")),
    ]
}

fn codings() -> Vec<(&'static str, String)> {
    vec![
        ("Transfer-Encoding", coded("Transfer-Encoding: chunked")),
        ("Transfer-Encoding in capitals", coded("Transfer-Encoding: CHUNKED")),
        ("a GET with chunks", get("Transfer-Encoding: chunked") + CHUNKED),
        ("a length that goes further than the chunks (CL.TE)", both("Transfer-Encoding: chunked")),
        ("a length that ends before the chunks (TE.CL)", {
            let chunk = format!("{:x}\r\n", SMUGGLED.len());
            let fields = format!("Transfer-Encoding: chunked\r\nContent-Length: {}", chunk.len());
            post(&fields, &format!("{chunk}{SMUGGLED}\r\n0\r\n\r\n"))
        }),
        ("a length before chunked", coded("Content-Length: 15\r\nTransfer-Encoding: chunked")),
        ("a length that is none, and chunked", coded("Content-Length: x\r\nTransfer-Encoding: chunked")),
        ("chunked twice in a list", coded("Transfer-Encoding: chunked, chunked")),
        ("gzip, chunked", coded("Transfer-Encoding: gzip, chunked")),
        ("chunked, gzip", coded("Transfer-Encoding: chunked, gzip")),
        ("chunked, identity", coded("Transfer-Encoding: chunked, identity")),
        ("identity", coded("Transfer-Encoding: identity")),
        ("identity with a length", post("Transfer-Encoding: identity\r\nContent-Length: 5", "hello")),
        ("xchunked with a length", both("Transfer-Encoding: xchunked")),
        ("chunked behind a tab", coded("Transfer-Encoding:\tchunked")),
        ("chunked behind a vertical tab, with a length", both("Transfer-Encoding: \u{b}chunked")),
        ("chunked before NUL, with a length", both("Transfer-Encoding: chunked\0")),
        ("chunked in quotes, with a length", both("Transfer-Encoding: \"chunked\"")),
        ("chunked with a parameter, with a length", both("Transfer-Encoding: chunked;q=1")),
        ("an empty element before chunked, with a length", both("Transfer-Encoding: ,chunked")),
        ("an empty Transfer-Encoding with a length", post("Transfer-Encoding:\r\nContent-Length: 5", "hello")),
        ("Transfer-Encoding twice", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("Transfer-Encoding chunked, then another (TE.TE)", {
            both("Transfer-Encoding: chunked\r\nTransfer-Encoding: x")
        }),
        ("Transfer-Encoding another, then chunked (TE.TE)", {
            both("Transfer-Encoding: x\r\nTransfer-Encoding: chunked")
        }),
        ("a space before the colon of Transfer-Encoding, with a length", { both("Transfer-Encoding : chunked") }),
        ("a space before Transfer-Encoding, with a length", both(" Transfer-Encoding: chunked")),
        ("Transfer-Encoding in a folded line, with a length", { both("Transfer-Encoding:\r\n chunked") }),
        ("Transfer-Encoding behind a bare LF, with a length", { both("x: y\nTransfer-Encoding: chunked") }),
        ("Transfer-Encoding behind a bare CR, with a length", { both("x: y\rTransfer-Encoding: chunked") }),
        ("an underscore in Transfer_Encoding, with a length", { both("Transfer_Encoding: chunked") }),
    ]
}

fn chunked() -> Vec<(&'static str, String)> {
    vec![
        ("chunks with bare LF", chunks("5\nhello\n0\n\n")),
        ("a bare LF behind a chunk size", chunks("5\nhello\r\n0\r\n\r\n")),
        ("a bare LF behind a chunk", chunks("5\r\nhello\n0\r\n\r\n")),
        ("a bare LF at the end of chunks", chunks("5\r\nhello\r\n0\r\n\n")),
        ("a bare CR behind a chunk size", chunks("5\rhello\r\n0\r\n\r\n")),
        ("CR CR LF behind a chunk size", chunks("5\r\r\nhello\r\n0\r\n\r\n")),
        ("a chunk extension", chunks("5;a=b\r\nhello\r\n0;c\r\n\r\n")),
        ("a chunk extension in quotes", chunks("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")),
        ("a chunk extension with CR LF in quotes", chunks("5;a=\"\r\nhello\r\n0\r\n\r\n")),
        ("a bare LF in a chunk extension", chunks(&format!("5;a\nhello\r\n0\r\n\r\n{SMUGGLED}"))),
        ("a bare CR in a chunk extension", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        ("NUL in a chunk extension", chunks("5;a\0b\r\nhello\r\n0\r\n\r\n")),
        ("a chunk extension of 5 KiB", chunks(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5 * 1024)))),
        ("a space before a chunk size", chunks(" 5\r\nhello\r\n0\r\n\r\n")),
        ("a space behind a chunk size", chunks("5 \r\nhello\r\n0\r\n\r\n")),
        ("a tab before a chunk extension", chunks("5\t;a\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of 0x5", chunks("0x5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of +5", chunks("+5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of -5", chunks("-5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of 5_0", chunks("5_0\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of 5g", chunks("5g\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of 17 digits, most of them 0", chunks("00000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size over 2^64", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size over 2^63", chunks("8000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("no chunk size", chunks("\r\nhello\r\n0\r\n\r\n")),
        ("a last chunk of 000", chunks("5\r\nhello\r\n000\r\n\r\n")),
        ("bytes behind a chunk", chunks("5\r\nhelloX\r\n0\r\n\r\n")),
        ("two bytes in the place of CR LF behind a chunk", chunks("5\r\nhelloXX0\r\n\r\n")),
        ("no CR LF behind a chunk", chunks("5\r\nhello0\r\n\r\n")),
        ("no last chunk", chunks("5\r\nhello\r\n")),
        ("no empty line behind the last chunk", chunks("5\r\nhello\r\n0\r\n")),
        ("a trailer", chunks("5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n")),
        ("Transfer-Encoding as a trailer", chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n")),
        ("Content-Length as a trailer", chunks("0\r\nContent-Length: 40\r\n\r\n")),
        ("Host as a trailer", chunks("0\r\nHost: other\r\n\r\n")),
        ("a trailer without a colon", chunks("0\r\nnonsense\r\n\r\n")),
        ("a trailer with a control byte", chunks("0\r\nx: a\u{1}b\r\n\r\n")),
        ("a trailer with a bare LF", chunks("0\r\nx: a\nb: c\r\n\r\n")),
        ("a trailer in a folded line", chunks("0\r\nx: a\r\n b\r\n\r\n")),
    ]
}

fn hop_by_hop() -> Vec<(&'static str, String)> {
    vec![
        ("Connection names a field", get("Connection: x-a\r\nx-a: 1\r\nx-b: 2")),
        ("Connection twice", get("Connection: x-a\r\nx-a: 1\r\nConnection: x-b\r\nx-b: 2")),
        ("Connection: close", get("Connection: close")),
        ("Connection: host", get("Connection: host")),
        ("Connection: content-length", post("Connection: content-length\r\nContent-Length: 5", "hello")),
        ("Connection: transfer-encoding", coded("Connection: transfer-encoding\r\nTransfer-Encoding: chunked")),
        ("Connection: x-forwarded-for", get("Connection: x-forwarded-for\r\nX-Forwarded-For: 192.0.2.1")),
        ("Connection: cookie", get("Connection: cookie\r\nCookie: a=b")),
        ("a Connection that is no token", get("Connection: (\u{7}, a b")),
        ("Keep-Alive and Proxy-Connection", get("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive")),
        ("Proxy-Authorization", get("Proxy-Authorization: Basic YTpi")),
        ("TE: trailers", get("TE: trailers\r\nConnection: TE")),
        ("TE: gzip", get("TE: gzip\r\nConnection: TE")),
        ("an upgrade to h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")),
        ("an upgrade to h2c without Connection", get("Upgrade: h2c")),
        ("an upgrade with a body", post("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 5", "hello")),
        ("Expect: 100-continue", post("Expect: 100-continue\r\nContent-Length: 5", "hello")),
        ("Expect: 100-continue without a body", get("Expect: 100-continue")),
        ("another Expect", post("Expect: 200-ok\r\nContent-Length: 5", "hello")),
    ]
}

fn fields() -> Vec<(&'static str, String)> {
    vec![
        ("a folded line", get("x-a: 1\r\n 2")),
        ("a line folded by a tab", get("x-a: 1\r\n\t2")),
        ("a space before the first field", host(" x-a: 1\r\nHost: test")),
        ("a space before a colon", get("x-a : 1")),
        ("no colon", get("nonsense")),
        ("no name", get(": 1")),
        ("a parenthesis in a name", get("x(a: 1")),
        ("a slash in a name", get("x/a: 1")),
        ("an underscore in a name", get("x_a: 1")),
        ("raw UTF-8 in a name", get("x\u{e9}: 1")),
        ("NUL in a name", get("x\0a: 1")),
        ("NUL in a value", get("x-a: 1\u{0}2")),
        ("a bare CR in a value", get("x-a: 1\r2")),
        ("a bare CR at the end of a value", get("x-a: 1\r")),
        ("a control byte in a value", get("x-a: 1\u{1}2")),
        ("DEL in a value", get("x-a: 1\u{7f}2")),
        ("a tab in a value", get("x-a: 1\t2")),
        ("spaces around a value", get("x-a:\t 1 \t")),
        ("names in any case", get("X-A: 1\r\nx-B: 2")),
        ("a field repeated", get("x-a: 1\r\nx-b: 2\r\nx-a: 3")),
        ("an empty value", get("x-a:")),
        ("raw UTF-8 in a value", get("x-a: \u{e9}")),
        ("Cookie twice", get("cookie: a=1\r\ncookie: b=2")),
    ]
}

/// Where more than one request is meant.
fn several() -> Vec<Case> {
    [
        ("pipelined requests", 3, target("/1") + &target("/2") + &target("/3")),
        ("a request behind a body", 2, sized("5") + &target("/2")),
        ("a request behind chunks", 2, coded("Transfer-Encoding: chunked") + &target("/2")),
        ("a request behind a body of no length", 2, sized("0").trim_end_matches("hello").to_owned() + &target("/2")),
        ("a line end behind a body", 1, sized("5") + "\r\n"),
        ("a request behind HEAD", 2, line("HEAD /1 HTTP/1.1") + &target("/2")),
        (
            "an underscore in Content_Length, before what would be the body",
            2,
            post("Content_Length: 38", &target("/2")),
        ),
        ("nonsense behind a request", 1, target("/1") + "nonsense\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, most, sent)| Case { name, sent: sent.into_bytes(), most })
    .collect()
}
