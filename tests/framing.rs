//! Where a body ends: what could be read as two requests is one, or none and 400.

use crate::support::{Client, End, Proxy, Upstream, message};

/// What a smuggler would like to see served.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

/// Answers one request on each connection, and keeps whatever comes behind it.
fn wary() -> Upstream {
    Upstream::scripted(|connection| {
        if connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            connection.drain();
        }
    })
}

/// `request` is refused with 400 and the end of the connection, and none of it reaches blue.
#[track_caller]
fn check_none(request: &str) {
    let shown = request.escape_debug();
    let blue = wary();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(format!("{request}{SMUGGLED}"));
    let response = client.try_response().unwrap_or_else(|cut| panic!("{shown}: {cut:?}"));
    assert_eq!(response.status, 400, "{shown}");
    let (rest, end) = client.rest();
    assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Clean), "{shown}");
    assert_eq!(blue.connections(), 0, "{shown}");
}

/// `request` reaches blue as exactly one well-formed request with `body`.
#[track_caller]
fn check_one(request: &str, body: &str) {
    check_reaches(request, body);
}

/// As [`check_one`], and what follows on the same connection is not served.
#[track_caller]
fn check_one_and_close(request: &str, body: &str) {
    let mut client = check_reaches(&format!("{request}{SMUGGLED}"), body);
    client.ends();
}

#[track_caller]
fn check_reaches(bytes: &str, body: &str) -> Client {
    let shown = bytes.escape_debug();
    let blue = wary();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(bytes);
    let response = client.try_response().unwrap_or_else(|cut| panic!("{shown}: {cut:?}"));
    assert_eq!(response.status, 200, "{shown}");
    blue.until_ended(0);
    let seen = blue.seen();
    assert_eq!(seen.len(), 1, "{shown}");
    let requests = message::requests(&seen[0].bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let bodies: Vec<_> = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
    assert_eq!(bodies, [body], "{shown}");
    client
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{body}")
}

#[test]
fn row_7_with_content_length_and_transfer_encoding_chunked_holds_and_the_connection_closes() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 6",
    ] {
        check_one_and_close(&post(fields, "5\r\nhello\r\n0\r\n\r\n"), "hello");
        check_one_and_close(&post(fields, "0\r\n\r\n"), "");
    }
    check_none(&post("Content-Length: 4\r\nContent-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\n"));
}

#[test]
fn row_8_any_transfer_coding_but_one_chunked_is_400() {
    for fields in [
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding: \u{b}chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ] {
        check_none(&post(fields, "0\r\n\r\n"));
    }
}

#[test]
fn row_8_chunked_in_any_case_and_with_spaces_around_is_one_request() {
    for fields in ["Transfer-Encoding: CHUNKED", "Transfer-Encoding:  chunked ", "transfer-encoding:\tchunked\t"] {
        check_one(&post(fields, "5\r\nhello\r\n0\r\n\r\n"), "hello");
    }
}

#[test]
fn row_94_transfer_encoding_and_content_length_are_written_anew_on_the_way_to_the_endpoint() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (fields, body, name, written) in [
        ("Transfer-Encoding: CHUNKED", chunked, "transfer-encoding", "chunked"),
        ("tRANSFER-eNCODING: \tcHunked ", chunked, "transfer-encoding", "chunked"),
        ("Content-Length: 05", "hello", "content-length", "5"),
        ("Content-Length: 000", "", "content-length", "0"),
        ("Content-Length: 5\r\nContent-Length: 05", "hello", "content-length", "5"),
    ] {
        for method in ["POST", "GET"] {
            let blue = wary();
            let proxy = Proxy::before(&blue);
            let request = format!("{method} / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{body}");
            assert_eq!(proxy.client().send(request).response().status, 200, "{method} {fields:?}");
            let head = blue.only_request().head;
            assert_eq!(head.one(name), written, "{method} {fields:?}");
            let framing = ["transfer-encoding", "content-length"].map(|field| head.all(field).len());
            assert_eq!(framing.iter().sum::<usize>(), 1, "{method} {fields:?}: {head:?}");
        }
    }
}

#[test]
fn row_94_transfer_encoding_and_content_length_are_written_anew_on_the_way_to_the_client() {
    for (method, answer, name, written) in [
        (
            "GET",
            "200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "transfer-encoding",
            &["chunked"][..],
        ),
        ("GET", "200 OK\r\nContent-Length: 02\r\n\r\nok", "content-length", &["2"]),
        ("GET", "200 OK\r\nContent-Length: 2, 02\r\n\r\nok", "content-length", &["2"]),
        ("GET", "200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "content-length", &["2"]),
        ("HEAD", "200 OK\r\nContent-Length: 07\r\n\r\n", "content-length", &["7"]),
        ("HEAD", "200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", "content-length", &["7"]),
        ("HEAD", "200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n", "content-length", &[]),
        ("HEAD", "200 OK\r\nContent-Length: +7\r\n\r\n", "content-length", &[]),
        ("HEAD", "200 OK\r\nContent-Length: many\r\n\r\n", "content-length", &[]),
    ] {
        let blue = Upstream::answering(format!("HTTP/1.1 {answer}"));
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n\r\n"));
        let response = if method == "HEAD" { client.response_to_head() } else { client.response() };
        let body = if method == "HEAD" { "" } else { "ok" };
        assert_eq!((response.status, response.text().as_str()), (200, body), "{answer:?}");
        assert_eq!(response.head.all(name), written, "{answer:?}");
    }
}

#[test]
fn row_9_transfer_encoding_on_http_1_0_is_400() {
    check_none("POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    check_none("POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\nConnection: keep-alive\r\n\r\n");
}

#[test]
fn row_10_different_content_lengths_are_400_and_equal_ones_are_one_request() {
    check_none(&post("Content-Length: 5\r\nContent-Length: 6", "hello"));
    check_none(&post("Content-Length: 6\r\nContent-Length: 5", "hello"));
    check_none(&post("Content-Length: 5, 6", "hello"));
    check_none(&post("Content-Length: 5, 5", "hello"));
    check_one(&post("Content-Length: 5\r\nContent-Length: 5", "hello"), "hello");
}

#[test]
fn row_11_a_content_length_that_is_no_plain_number_is_400() {
    for length in [
        "+5",
        "-1",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "",
        " ",
        "five",
        "\u{661}",
        "18446744073709551616",
        "99999999999999999999",
    ] {
        check_none(&post(&format!("Content-Length: {length}"), "hello"));
    }
}

#[test]
fn row_14_bare_line_feeds_end_the_lines_of_a_head_and_it_is_one_request() {
    check_one("POST / HTTP/1.1\nHost: test\nContent-Length: 5\n\nhello", "hello");
    check_one("POST / HTTP/1.1\r\nHost: test\nContent-Length: 5\r\n\nhello", "hello");
    check_one("POST / HTTP/1.1\nHost: test\r\nTransfer-Encoding: chunked\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello");
    check_none("POST / HTTP/1.1\r\nHost: test\r\nX: a\n b\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn row_14_bare_line_feeds_in_chunks_are_400() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5;a=b\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3;\n\r\nllo\r\n0\r\n\r\n",
    ] {
        let blue = wary();
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        client.send(format!("{}{SMUGGLED}", post("Transfer-Encoding: chunked", body)));
        assert_eq!(client.response().status, 400, "{body:?}");
        client.ends();
        let whole = |bytes: &[u8]| message::requests(bytes).is_ok_and(|requests| !requests.is_empty());
        assert!(!blue.seen().iter().any(|one| whole(&one.bytes)), "{body:?}: {:?}", blue.seen());
    }
}

#[test]
fn the_body_of_a_get_is_not_lost() {
    check_one("GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", "hello");
    check_one("GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello");
}

#[test]
fn the_beginning_of_a_next_request_does_not_hold_an_answer_back() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send("GET /first HTTP/1.1\r\nHost: test\r\n\r\nGET /second HT");
    assert_eq!(client.response().text(), "GET /first");
    client.send("TP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().text(), "GET /second");
}

#[test]
fn a_malformed_request_behind_a_good_one_costs_only_itself() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send("GET /good HTTP/1.1\r\nHost: test\r\n\r\nnonsense\r\n\r\n");
    assert_eq!(client.response().text(), "GET /good");
    assert_eq!(client.response().status, 400);
    client.ends();
}
