//! Heads and bodies as they come in any pieces.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Frame;

use super::body::{Framing, Outgoing, Reading, Step};
use super::head::Came;
use super::{Broken, head};

const MOST_BYTES: usize = 1024;

/// What is to come after a head, and whether the connection outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Length(u64),
    Chunks,
    Rest,
}

/// What a head says, and the statuses of those before it.
type Told = (u16, Then, bool, Vec<u16>);

fn head_of(bytes: &[u8], method: &Method) -> Result<Option<Told>, Broken> {
    let (mut buffer, mut fields, mut spans) = (BytesMut::from(bytes), HeaderMap::new(), Vec::new());
    let mut interims = Vec::new();
    while let Some(came) = head::read(&mut buffer, &mut fields, &mut spans, *method == Method::HEAD, MOST_BYTES)? {
        match came {
            Came::Interim(head) => interims.push(head.status().as_u16()),
            Came::Answer { head, reading, lasts } => {
                let then = match reading {
                    Reading::Done => Then::Nothing,
                    Reading::Length(length) => Then::Length(length),
                    Reading::Chunked(_) => Then::Chunks,
                    Reading::UntilEnd => Then::Rest,
                    Reading::Head => panic!("it has been read"),
                };
                return Ok(Some((head.status().as_u16(), then, lasts, interims)));
            }
        }
    }
    Ok(None)
}

#[test]
fn a_head_says_what_comes_after_it_and_nothing_before_it_is_whole() {
    for (head, method, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Method::GET, (200, Then::Length(5), true)),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\nContent-Length: 5\r\n\r\n",
            Method::GET,
            (200, Then::Length(5), true),
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Method::GET, (200, Then::Nothing, true)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Method::HEAD, (200, Then::Nothing, true)),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", Method::HEAD, (200, Then::Nothing, true)),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Method::GET, (304, Then::Nothing, true)),
        ("HTTP/1.1 204 No Content\r\n\r\n", Method::GET, (204, Then::Nothing, true)),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, (200, Then::Rest, true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", Method::GET, (200, Then::Chunks, true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", Method::GET, (200, Then::Chunks, true)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n", Method::GET, (200, Then::Rest, true)),
        (
            "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\n",
            Method::GET,
            (200, Then::Length(1), false),
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n",
            Method::GET,
            (200, Then::Length(1), false),
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", Method::GET, (200, Then::Length(1), false)),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n",
            Method::GET,
            (200, Then::Length(1), true),
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", Method::GET, (101, Then::Nothing, false)),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Method::POST,
            (200, Then::Length(5), true),
        ),
    ] {
        let interims = if method == Method::POST { vec![100, 103] } else { vec![] };
        let (status, then, lasts) = expected;
        let told = head_of(head.as_bytes(), &method).expect("a head");
        assert_eq!(told, Some((status, then, lasts, interims)), "{head}");
        for end in 1..head.len() {
            let part = &head.as_bytes()[..end];
            assert!(head_of(part, &method).expect("the beginning of a head").is_none(), "{end} bytes of {head}");
        }
    }
}

#[test]
fn a_head_that_is_none_is_told_from_one_that_is_too_large() {
    let many: String = (0..101).map(|number| format!("x{number}:\r\n")).collect();
    for (head, is_large) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length:\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n".to_owned(), false),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 099 No\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx y: z\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n".to_owned(), false),
        ("HTTP/3.0 200 OK\r\n\r\n".to_owned(), false),
        ("hello".to_owned(), false),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), true),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(MOST_BYTES)), true),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MOST_BYTES)), true),
    ] {
        let broken = head_of(head.as_bytes(), &Method::GET).expect_err(&head);
        assert_eq!(matches!(broken, Broken::LargeHead), is_large, "{head}: {broken}");
    }
}

#[test]
fn a_reason_of_its_own_goes_with_the_answer() {
    for (reason, kept) in [("OK", None), ("Fine", Some(&b"Fine"[..])), ("", Some(b""))] {
        let mut buffer = BytesMut::from(format!("HTTP/1.1 200 {reason}\r\n\r\nrest").as_bytes());
        let came = head::read(&mut buffer, &mut HeaderMap::new(), &mut Vec::new(), false, MOST_BYTES);
        let Some(Came::Answer { head, .. }) = came.expect("a head") else { panic!("{reason}") };
        let found = head.extensions().get::<hyper::ext::ReasonPhrase>().map(hyper::ext::ReasonPhrase::as_bytes);
        assert_eq!((found, &buffer[..]), (kept, &b"rest"[..]), "{reason}");
    }
}

/// Its bytes, its trailers, and what is left.
type Unpacked = (Vec<u8>, HeaderMap, Vec<u8>);

/// What comes of a chunked body that is read up to `split` at first.
fn unpacked(body: &[u8], split: usize) -> Result<Option<Unpacked>, Broken> {
    let (mut reading, mut buffer) = (Reading::chunked(), BytesMut::new());
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    for part in [&body[..split], &body[split..]] {
        buffer.put_slice(part);
        loop {
            match reading.step(&mut buffer)? {
                Step::More => break,
                Step::End => return Ok(Some((data, trailers, buffer.to_vec()))),
                Step::Frame(frame) => match frame.into_data() {
                    Ok(bytes) => data.extend_from_slice(&bytes),
                    Err(frame) => trailers = frame.into_trailers().expect("nothing else"),
                },
            }
        }
    }
    reading.ended().expect_err("the body is not whole");
    Ok(None)
}

#[test]
fn a_chunked_body_is_unpacked_wherever_it_is_cut() {
    let x = HeaderName::from_static("x");
    for (body, data, trailer, rest) in [
        ("3\r\nabc\r\n0\r\n\r\n", "abc", None, ""),
        ("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nnext", "abcd", None, "next"),
        ("00A;a=\"b\"\r\n0123456789\r\n0 \t;x\r\n\r\n", "0123456789", None, ""),
        ("a\r\n0123456789\r\n0\r\nx: y\r\n\r\nnext", "0123456789", Some("y"), "next"),
        ("0\r\n\r\n", "", None, ""),
    ] {
        let whole = body.len() - rest.len();
        for split in 0..whole {
            let unpacked = unpacked(body.as_bytes(), split).expect("a body").expect("it is whole");
            assert_eq!(unpacked.0, data.as_bytes(), "{body} at {split}");
            assert_eq!(unpacked.1.get(&x).map(HeaderValue::as_bytes), trailer.map(str::as_bytes), "{body} at {split}");
            assert_eq!(unpacked.2, rest.as_bytes(), "{body} at {split}");
        }
        assert!((0..whole).all(|end| matches!(unpacked(&body.as_bytes()[..end], 0), Ok(None))), "{body}");
    }
}

#[test]
fn a_chunked_body_that_is_none_is_refused_wherever_it_is_cut() {
    let (long, many) = ("e".repeat(16 * 1024), "y".repeat(16 * 1024));
    for body in [
        "\r\n",
        ";\r\n",
        "x\r\n",
        "-1\r\na",
        "+1\r\na",
        " 1\r\na",
        "1 1\r\na",
        "1x\r\na",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nax\n0\r\n\r\n",
        "1\r\na\rx0\r\n\r\n",
        "1;a\nb\r\n",
        "10000000000000000\r\na",
        "0\r\nx y\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx: y\r\n\n",
        "0\r\n\n",
        &format!("1;{long}\r\na"),
        &format!("0\r\nx: {many}\r\n\r\n"),
        &format!("0\r\nx: {many}"),
    ] {
        for split in 0..=body.len().min(32) {
            assert!(matches!(unpacked(body.as_bytes(), split), Err(Broken::Body)), "{body:.40} at {split}");
        }
    }
}

/// What is sent of a body that ends after `frames`, in pieces of at most `piece` bytes.
fn sent(mut framing: Framing, frames: Vec<Frame<Bytes>>, ends: Ends, piece: usize) -> Result<String, Broken> {
    let (mut sent, mut outgoing) = (Vec::new(), Outgoing::default());
    let mut send = |outgoing: &mut Outgoing| {
        while !outgoing.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); Outgoing::PARTS];
            let count = outgoing.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(piece).collect();
            sent.extend_from_slice(&bytes);
            outgoing.advance(bytes.len());
        }
    };
    let count = frames.len();
    for (number, frame) in frames.into_iter().enumerate() {
        framing.frame(frame, ends == Ends::Known && number + 1 == count, &mut outgoing)?;
        send(&mut outgoing);
    }
    if !framing.is_over() {
        framing.end(&mut outgoing)?;
        send(&mut outgoing);
    }
    Ok(String::from_utf8(sent).expect("ASCII"))
}

/// Whether the last frame of a body is known to be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Known,
    Later,
}

#[test]
fn a_body_is_framed_as_its_head_says_in_whatever_pieces_the_kernel_takes_it() {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    let trailers = || {
        Frame::trailers(HeaderMap::from_iter(
            ["x", "z"].map(|name| (HeaderName::from_static(name), HeaderValue::from_static("y"))),
        ))
    };
    for (ends, piece) in
        [Ends::Known, Ends::Later].into_iter().flat_map(|ends| [1, 2, 3, 1000].map(|piece| (ends, piece)))
    {
        let sent = |framing, frames| sent(framing, frames, ends, piece);
        let announced = || vec![HeaderName::from_static("x")];
        assert_eq!(sent(Framing::Length(5), vec![data("ab"), data("cde")]).expect("whole"), "abcde");
        assert_eq!(sent(Framing::Length(3), vec![data("abcde")]).expect("no more than was said"), "abc");
        assert!(matches!(sent(Framing::Length(5), vec![data("abcd")]), Err(Broken::Request)));
        let chunked = "2\r\nab\r\nB\r\n01234567890\r\n0\r\n\r\n";
        assert_eq!(sent(Framing::Chunked(Vec::new()), vec![data("ab"), data("01234567890")]).expect("whole"), chunked);
        assert_eq!(
            sent(Framing::Chunked(Vec::new()), vec![data("a"), data("")]).expect("whole"),
            "1\r\na\r\n0\r\n\r\n"
        );
        let with_trailers = || vec![data("a"), trailers()];
        assert_eq!(sent(Framing::Chunked(announced()), with_trailers()).expect("whole"), "1\r\na\r\n0\r\nx: y\r\n\r\n");
        assert_eq!(sent(Framing::Chunked(Vec::new()), with_trailers()).expect("whole"), "1\r\na\r\n0\r\n\r\n");
    }
}

#[test]
fn a_head_is_written_with_one_framing_and_only_trailers_that_may_be_some_are_announced() {
    let mut request = Request::builder().method(Method::PUT).uri("/a?b").body(()).expect("a request").into_parts().0;
    request.headers.append("host", HeaderValue::from_static("h"));
    request.headers.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
    request.headers.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    request.headers.append("x", HeaderValue::from_static("1"));
    request.headers.append("x", HeaderValue::from_static("2"));
    for (framing, field) in [
        (Framing::Nothing, "content-length: 5\r\n"),
        (Framing::Length(5), "content-length: 5\r\n"),
        (Framing::Chunked(Vec::new()), "transfer-encoding: chunked\r\n"),
    ] {
        let mut line = Vec::new();
        head::write(&mut line, &request, &framing);
        let expected = format!("PUT /a?b HTTP/1.1\r\nhost: h\r\n{field}x: 1\r\nx: 2\r\n\r\n");
        assert_eq!(String::from_utf8(line).expect("ASCII"), expected);
    }
    let mut line = Vec::new();
    let unsaid = Request::builder().uri("http://a").header("host", "h").body(()).expect("a request").into_parts().0;
    head::write(&mut line, &unsaid, &Framing::Chunked(Vec::new()));
    let expected = "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(String::from_utf8(line).expect("ASCII"), expected);
    request.headers.append(TRAILER, HeaderValue::from_static("X, content-length"));
    request.headers.append(TRAILER, HeaderValue::from_static("a b,Z"));
    let names = super::body::announced(&request.headers);
    assert_eq!(names, ["x", "z"]);
}
