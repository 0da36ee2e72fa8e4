//! Request heads: what is refused, what is served, and the bounds on their size.

use crate::support::{Client, End, Proxy, Upstream};

/// A plain request that must not be served when it follows a refused one.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: test\r\n\r\n";

/// `head` gets `status` and the end of the connection, and nothing of it reaches blue.
#[track_caller]
fn check_refused(proxy: &Proxy, blue: &Upstream, head: impl AsRef<[u8]>, status: u16) {
    let before = blue.connections();
    let shown = String::from_utf8_lossy(head.as_ref()).escape_debug().take(200).collect::<String>();
    let mut client = proxy.client();
    client.send([head.as_ref(), NEXT.as_bytes()].concat());
    let response = client.try_response().unwrap_or_else(|cut| panic!("{shown}: {cut:?}"));
    assert_eq!(response.status, status, "{shown}");
    let (rest, end) = client.rest();
    assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), ("", End::Clean), "{shown}");
    assert_eq!(blue.connections(), before, "{shown}");
}

#[test]
fn a_request_reaches_blue_and_its_answer_the_client() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.get("/hello");
    assert_eq!((response.status, response.text().as_str()), (200, "GET /hello"));
    assert_eq!(blue.only_request().target, "/hello");
    proxy.until_outcome("success", 1);
}

#[test]
fn row_1_a_bad_method_request_line_or_version_is_400() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for line in [
        "GE\u{7f}T / HTTP/1.1",
        "G@T / HTTP/1.1",
        "G(T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET",
        "GET /",
        "GET / HTTP/1.1 more",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / http/1.1",
        "GET / FTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        check_refused(&proxy, &blue, format!("{line}\r\nHost: test\r\n\r\n"), 400);
    }
}

#[test]
fn row_2_http_1_0_is_closed_or_kept_as_asked() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);

    let mut client = proxy.client();
    let response = client.send("GET /closed HTTP/1.0\r\n\r\n").response();
    assert_eq!((response.status, response.text().as_str()), (200, "GET /closed"));
    client.ends();

    let mut client = proxy.client();
    for target in ["/first", "/second"] {
        client.send(format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\nHost: test\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.text(), format!("GET {target}"));
        assert_eq!(response.head.one("connection"), "keep-alive");
    }
    let response = client.send("GET /last HTTP/1.0\r\n\r\n").response();
    assert_eq!(response.text(), "GET /last");
    client.ends();

    assert!(blue.requests().iter().all(|request| request.version == "HTTP/1.1"));
}

const KEPT_1_0: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: test\r\n\r\n";

#[test]
fn row_96_an_http_1_0_client_is_told_that_an_answer_without_a_length_ends_with_the_connection() {
    for (answer, body) in [
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n", ""),
        ("\r\nhello", "hello"),
        ("Connection: keep-alive\r\n\r\nhello", "hello"),
    ] {
        let blue = Upstream::scripted(move |connection| {
            connection.request();
            connection.send(format!("HTTP/1.1 200 OK\r\n{answer}"));
        });
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        let head = client.send(KEPT_1_0).response_head().to_ascii_lowercase();
        assert_eq!(head.matches("connection:").count(), 1, "{head}");
        assert!(head.contains("\r\nconnection: close\r\n") && !head.contains("keep-alive"), "{head}");
        let (rest, end) = client.rest();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), end), (body, End::Clean), "{answer:?}");
        proxy.until_outcome("success", 1);
    }
}

#[test]
fn row_96_an_http_1_0_client_is_kept_after_an_answer_whose_end_it_sees() {
    for (method, answer, body) in [
        ("GET", "200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("GET", "200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        ("GET", "204 No Content\r\n\r\n", ""),
        ("GET", "304 Not Modified\r\n\r\n", ""),
        ("HEAD", "200 OK\r\n\r\n", ""),
    ] {
        let blue = Upstream::answering(format!("HTTP/1.1 {answer}"));
        let proxy = Proxy::before(&blue);
        let mut client = proxy.client();
        for _ in 0..2 {
            client.send(KEPT_1_0.replace("GET", method));
            let response = if method == "HEAD" { client.response_to_head() } else { client.response() };
            let said = (response.head.one("connection"), response.text());
            assert_eq!(said, ("keep-alive".to_owned(), body.to_owned()), "{answer:?}");
        }
    }
}

#[test]
fn row_96_an_http_1_0_client_is_told_only_to_close_by_a_refusal_that_closes() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.send(KEPT_1_0.replace("GET", "TRACE")).response();
    assert_eq!((response.status, response.head.one("connection").as_str()), (405, "close"));
    client.ends();
}

#[test]
fn row_3_http_1_1_without_host_is_400() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    check_refused(&proxy, &blue, "GET / HTTP/1.1\r\n\r\n", 400);
    check_refused(&proxy, &blue, "GET / HTTP/1.1\r\nX-Host: test\r\n\r\n", 400);
    check_refused(&proxy, &blue, "GET http://test/ HTTP/1.1\r\n\r\n", 400);
}

#[test]
fn row_4_two_hosts_and_a_host_that_is_none_are_400() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for hosts in [
        "Host: a\r\nHost: b",
        "Host: a\r\nHost: a",
        "Host: a\r\nhost: a",
        "Host: user@a",
        "Host: a b",
        "Host: a/path",
        "Host: a?query",
        "Host: a,b",
        "Host: a\\b",
        "Host: a:port",
        "Host: a:8o",
        "Host: a:80:b",
        "Host: [::1]:x",
        "Host: [::1]80",
    ] {
        for target in ["/", "http://a/"] {
            check_refused(&proxy, &blue, format!("GET {target} HTTP/1.1\r\n{hosts}\r\n\r\n"), 400);
        }
    }
    check_refused(&proxy, &blue, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

#[test]
fn row_5_the_authority_of_an_absolute_target_wins_over_host() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send("GET http://target:81/path?query HTTP/1.1\r\nHost: field\r\n\r\n").response();
    assert_eq!(response.text(), "GET /path?query");
    let request = blue.only_request();
    assert_eq!(request.head.one("host"), "target:81");
    assert_eq!(request.head.one("x-forwarded-host"), "target:81");
    check_refused(&proxy, &blue, "GET http://user@target/ HTTP/1.1\r\nHost: field\r\n\r\n", 400);
    assert_eq!(proxy.client().send("GET http://target/ HTTP/1.0\r\n\r\n").response().text(), "GET /");
}

#[test]
fn an_absolute_target_with_a_query_and_no_path_was_forwarded_without_a_slash() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!(response.text(), "GET /?b");
}

#[test]
fn row_6_an_asterisk_is_for_options_alone() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").response();
    assert_eq!(response.text(), "OPTIONS *");
    check_refused(&proxy, &blue, "GET * HTTP/1.1\r\nHost: test\r\n\r\n", 400);
}

#[test]
fn row_6_a_fragment_is_400_also_behind_another_request() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for target in ["/path#fragment", "/path?#fragment", "http://test/path#fragment", "/#"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        check_refused(&proxy, &blue, &request, 400);
        let mut client = proxy.client();
        assert_eq!(client.get("/path").text(), "GET /path");
        client.send(&request[..10]);
        assert_eq!(client.send(&request[10..]).response().status, 400, "{target}");
    }
}

#[test]
fn a_number_sign_elsewhere_is_no_fragment() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.1\r\nHost: test\r\nA: #\r\n\r\nGET /b HTTP/1.1\r\nHost: test\r\n");
    assert_eq!(client.response().text(), "GET /a");
    assert_eq!(client.send("A: #\r\n\r\n").response().text(), "GET /b");
    client.send("POST /c HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n").send("#\n#");
    assert_eq!(client.response().text(), "POST /c");
}

#[test]
fn an_absolute_target_with_a_fragment_and_no_path_was_forwarded_without_any_target() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for target in ["http://a#b", "http://a#b/c?d", "http://a#"] {
        check_refused(&proxy, &blue, format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"), 400);
    }
}

#[test]
fn row_12_folded_lines_and_fields_that_are_none_are_400() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for field in ["X-Folded: a\r\n b", "X-Space : a", "no colon", ": no name", " X-Leading: a", "X(Y: a"] {
        check_refused(&proxy, &blue, format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n"), 400);
    }
}

#[test]
fn row_13_control_bytes_in_names_and_values_are_400() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for field in ["X: a\0b", "X: a\rb", "X: a\u{1}b", "X: a\u{7f}b", "X\0Y: a", "X\rY: a", "X\u{1}Y: a"] {
        check_refused(&proxy, &blue, format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n"), 400);
    }
}

#[test]
fn row_15_a_head_over_32_kib_or_100_fields_is_431() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let fields = |count: usize| -> String { (0..count).map(|number| format!("X-{number}: {number}\r\n")).collect() };
    let padded = |length: usize| format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "a".repeat(length));

    let mut client = proxy.client();
    assert_eq!(client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", fields(99))).response().status, 200);
    assert_eq!(client.send(padded(32 * 1024 - 100)).response().status, 200);

    check_over(&proxy, &blue, &format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", fields(100)));
    check_over(&proxy, &blue, &padded(32 * 1024));
    check_over(&proxy, &blue, &padded(1024 * 1024));
}

#[test]
fn row_15_both_bounds_on_a_head_can_be_set() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { headBytes: 1KiB, headFields: 3 }");
    let mut client = proxy.client();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: test\r\nA: 1\r\nB: 2\r\n\r\n").response().status, 200);
    check_over(&proxy, &blue, "GET / HTTP/1.1\r\nHost: test\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    check_over(&proxy, &blue, &format!("GET / HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n", "a".repeat(1024)));
}

/// The head is so long that the proxy may answer before all of it is sent.
#[track_caller]
fn check_over(proxy: &Proxy, blue: &Upstream, head: &str) {
    let before = blue.count();
    let mut client: Client = proxy.client();
    // An error means that the proxy has stopped to read, which it may.
    client.offer(head).ok();
    assert_eq!(client.response().status, 431);
    assert_eq!(client.rest().0, b"");
    assert_eq!(blue.count(), before);
}

#[test]
fn row_16_a_target_over_16_kib_is_414_and_the_bound_can_be_set() {
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    for (limits, most) in [("", 16 * 1024), ("limits: { targetBytes: 1KiB }", 1024)] {
        let blue = Upstream::ok();
        let proxy = Proxy::before_with(&blue, limits);
        assert_eq!(proxy.get(&target(most)).status, 200, "{limits}");
        assert_eq!(blue.only_request().target.len(), most, "{limits}");
        let over = target(most + 1);
        check_refused(&proxy, &blue, format!("GET {over} HTTP/1.1\r\nHost: test\r\n\r\n"), 414);
        check_refused(&proxy, &blue, format!("GET http://test{over} HTTP/1.1\r\nHost: test\r\n\r\n"), 414);
        proxy.until_metric("portcullis_requests_total", &["code=\"414\""], 2.0);
    }
}

/// Longer than a head may be as well, so that it is not read to its end.
#[test]
fn row_16_a_target_that_no_head_could_hold_is_414_too() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for head in [format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40_000)), format!("GET /{}", "a".repeat(200_000))] {
        let mut client: Client = proxy.client();
        // As below.
        client.offer(head).ok();
        assert_eq!(client.response().status, 414);
        assert_eq!(client.rest().0, b"");
    }
    assert!(blue.requests().is_empty(), "{:?}", blue.requests());
    proxy.until_metric("portcullis_requests_total", &["code=\"414\""], 2.0);
}

#[test]
fn row_17_pipelined_requests_are_answered_in_order() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello\
         PUT /3 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n\
         GET /4 HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    for answer in ["GET /1", "POST /2", "PUT /3", "GET /4"] {
        assert_eq!(client.response().text(), answer);
    }
    let bodies: Vec<Vec<u8>> = blue.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"".as_slice(), b"hello", b"world", b""]);
}

#[test]
fn row_18_the_target_is_passed_on_byte_for_byte() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for target in ["//a//b", "/a%2Fb", "/a/../b/./c", "/%7e%7E", "/%", "/a;b=c", "/?", "/?a=b&c=%20+?/", "/a|b\"c"] {
        assert_eq!(client.get(target).text(), format!("GET {target}"));
    }
}

#[test]
fn row_20_connect_and_trace_are_405() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for head in [
        "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: test:80\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: test\r\n\r\n",
        "TRACE / HTTP/1.0\r\n\r\n",
    ] {
        check_refused(&proxy, &blue, head, 405);
    }
}

#[test]
fn our_own_answers_are_short_plain_text() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let response = proxy.client().send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response();
    assert_eq!(response.text(), "the method is not served here\n");
    assert_eq!(response.head.one("content-type"), "text/plain; charset=utf-8");
    assert_eq!(response.head.one("allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    assert!(!response.head.has("server") && !response.head.has("server-timing"));
}
