//! HTTP/2 from clients, to endpoints of HTTP/1.1.

mod conformance;
mod ends;
mod hostile;
mod life;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use http::Request;
use serde_json::json;

use crate::support::http2::{self, Frame, GOAWAY, PREFACE, SETTINGS, get, post};
use crate::support::{Authority, Client, DEADLINE, Frames, Hello, Http2, Proxy, Upstream, config, eventually, folder};

/// Answers `/slow` when told to, and anything else at once.
fn with_slow() -> (Upstream, mpsc::Sender<()>) {
    let (tell, wait) = mpsc::channel();
    let wait = Arc::new(Mutex::new(wait));
    let blue = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/slow" {
                wait.lock().expect("one at a time").recv_timeout(DEADLINE).expect("the test tells");
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    (blue, tell)
}

/// Waits until so many requests have come.
#[track_caller]
fn until_requested(blue: &Upstream, requests: usize) {
    let count = |seen: &[crate::support::upstream::Seen]| seen.iter().map(|one| one.requests.len()).sum::<usize>();
    blue.until("the requests", |seen| (count(seen) >= requests).then_some(()));
}

#[test]
fn a_client_with_prior_knowledge_is_served_in_clear_text_and_the_endpoint_gets_http_1_1() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: true");
    let mut client = Http2::connect(proxy.listen);
    let request = Request::builder()
        .uri("http://shop.example/a%2Fb?c=%20")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-empty", "")
        .header("proxy-authorization", "secret");
    let response = client.ask(request.body(()).expect("a request"));
    let answer = client.answer(response);
    assert_eq!((answer.status, answer.text().as_str()), (200, "GET /a%2Fb?c=%20"));
    assert_eq!(answer.fields["content-length"], "16");
    let seen = blue.only_request();
    assert_eq!((seen.version.as_str(), seen.target.as_str()), ("HTTP/1.1", "/a%2Fb?c=%20"));
    for (name, value) in [
        ("host", "shop.example"),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
        ("x-empty", ""),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
    ] {
        assert_eq!(seen.head.one(name), value, "{name}");
    }
    assert!(seen.head.one("via").starts_with("2.0 portcullis-"), "{:?}", seen.head);
    assert_eq!(seen.head.fields.len(), 8, "{:?}", seen.head);
    let line = proxy.until_logged("request");
    let said = ["protocol", "request_target", "status", "outcome"].map(|field| &line[field]);
    assert_eq!(said, [&json!("HTTP/2"), &json!("/a%2Fb?c=%20"), &json!(200), &json!("success")]);
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    assert_eq!(blue.connections(), 1);
}

#[test]
fn where_no_authority_is_said_the_host_field_says_it_and_both_may_say_the_same() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    for (stream, more) in [(1, &[("host", "test")][..]), (3, &[(":authority", "test"), ("host", "TEST")])] {
        let head = http2::block(&[&pseudo[..], more].concat());
        frames.send(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, stream, &head);
        assert_eq!(frames.until(http2::DATA).payload, b"GET /");
        assert_eq!(blue.requests().pop().expect("one was made").head.one("host"), "test");
    }
}

#[test]
fn sticky_clients_stay_where_they_are_whether_they_send_their_cookie_whole_or_in_pieces() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], "sticky: { cookie: session }"));
    proxy.set_weight(50.0);
    let mut client = Http2::connect(proxy.listen);
    for user in 0..20 {
        let before = green.count();
        for cookies in [vec![format!("a=b; session={user}")], vec!["a=b".to_owned(), format!("session={user}")]] {
            let mut request = get("/");
            for cookie in cookies {
                request.headers_mut().append("cookie", cookie.parse().expect("a value"));
            }
            let response = client.ask(request);
            assert_eq!(client.answer(response).status, 200);
        }
        assert!(matches!(green.count() - before, 0 | 2), "user {user}");
    }
    assert!((1..40).contains(&green.count()), "{} of 40 went to green", green.count());
}

#[test]
fn a_preface_may_come_in_pieces_and_what_only_begins_like_one_is_http_1() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    for cut in 1..PREFACE.len() {
        let mut frames = Frames { client: Client::connect(proxy.listen) };
        let settings = http2::frame(SETTINGS, 0, 0, &[]);
        frames.client.send(&PREFACE[..cut]);
        assert_eq!(proxy.get("/").status, 200, "the only worker has seen the first piece");
        frames.client.send([&PREFACE[cut..], &settings].concat());
        frames.get(1, "/");
        assert_eq!(frames.until(http2::DATA).payload, b"GET /", "cut after {cut}");
    }
    for (bytes, status) in [("P", 200), ("PRI", 200), ("PRI * HTTP/1.1\r\n\r\n", 400), ("PRI * HTTP/2.0\r\n\r\nX", 400)]
    {
        let mut client = proxy.client();
        client.send(bytes);
        if status == 200 {
            assert_eq!(proxy.get("/").status, 200);
            client.send(" / HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        assert_eq!(client.response().status, status, "{bytes}");
    }
}

#[test]
fn over_tls_http_2_is_agreed_on_by_alpn_and_who_does_not_ask_for_it_gets_http_1() {
    let (blue, authority, folder) = (Upstream::ok(), Authority::new(), folder());
    let pair = authority.sign(&["localhost"]).write(folder.path(), "first");
    let text = |more: &str| {
        let rest = format!("tls: {{ certificates: [{pair}] }}\n{more}");
        config(&[blue.address], &[([127, 0, 0, 1], 1).into()], &rest)
    };
    let proxy = Proxy::start(&text(""));
    let mut client = Http2::secured(&proxy, &Hello::new(&authority));
    assert_eq!(client.get("/one").text(), "GET /one");
    assert_eq!(blue.only_request().head.one("x-forwarded-proto"), "https");
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = Hello { alpn, ..Hello::new(&authority) }.connect(&proxy);
        assert_eq!(client.get("/two").text(), "GET /two");
    }
    let off = Proxy::start(&text("http2: false"));
    let client = Hello { alpn: &["h2", "http/1.1"], ..Hello::new(&authority) }.connect(&off);
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn where_http_2_is_off_its_preface_ends_the_connection() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "http2: false");
    proxy.client().send(PREFACE).ends();
}

#[test]
fn row_16_a_target_over_16_kib_is_414() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    for (length, status) in [(16 * 1024, 200), (16 * 1024 + 1, 414)] {
        assert_eq!(client.get(&format!("/{}", "a".repeat(length - 1))).status, status, "{length}");
    }
    assert_eq!(blue.count(), 1);
}

#[test]
fn row_31_a_request_that_comes_back_is_508_and_the_others_go_on() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: true");
    let mut client = Http2::connect(proxy.listen);
    assert_eq!(client.get("/").status, 200);
    let mut again = get("/");
    again.headers_mut().insert("via", blue.only_request().head.one("via").parse().expect("a value"));
    let response = client.ask(again);
    let answer = client.answer(response);
    assert_eq!(
        (answer.status, &answer.fields["proxy-status"]),
        (508, &"portcullis; error=proxy_loop_detected".parse().expect("a value"))
    );
    assert_eq!(client.get("/").status, 200);
    let counted = ["version=\"none\"", "outcome=\"refused_by_us\"", "code=\"508\""];
    proxy.until_metric("portcullis_requests_total", &counted, 1.0);
    let requests = proxy.until_logged_times("request", 3);
    assert!(requests.iter().any(|line| line["reason"] == "proxy_loop"));
    proxy.until_charged(2, 0);
}

#[test]
fn row_68_a_head_of_too_many_fields_is_431_counted_and_written_down() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "accessLog: true\nlimits: { headFields: 3 }");
    let mut client = Http2::connect(proxy.listen);
    let mut request = get("/long");
    for name in ["a", "b", "c", "d"] {
        request.headers_mut().insert(name, "1".parse().expect("a value"));
    }
    let response = client.ask(request);
    let answer = client.answer(response);
    assert_eq!(
        (answer.status, &answer.fields["proxy-status"]),
        (431, &"portcullis; error=http_request_error".parse().expect("a value"))
    );
    let counted = ["version=\"none\"", "outcome=\"refused_by_us\"", "code=\"431\""];
    proxy.until_metric("portcullis_requests_total", &counted, 1.0);
    let line = proxy.until_logged("request");
    let said = ["request_target", "protocol", "status", "reason"].map(|field| &line[field]);
    assert_eq!(said, [&json!("/long"), &json!("HTTP/2"), &json!(431), &json!("request_head_too_large")]);
    assert_eq!((client.get("/").status, blue.count()), (200, 1));
}

#[test]
fn row_20_connect_and_trace_are_405() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    for request in
        [Request::builder().method("CONNECT").uri("test:80"), Request::builder().method("TRACE").uri("http://test/")]
    {
        let response = client.ask(request.body(()).expect("a request"));
        assert_eq!(client.answer(response).status, 405);
    }
    assert_eq!(client.get("/").status, 200);
    assert_eq!(blue.count(), 1);
}

#[test]
fn row_23_an_answer_that_can_have_no_body_has_none_and_keeps_its_length() {
    let blue = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            connection.send(match (request.method.as_str(), request.target.as_str()) {
                ("HEAD", _) => "HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n",
                (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                _ => "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 7\r\n\r\n",
            });
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let mut head = get("/");
    *head.method_mut() = http::Method::HEAD;
    for (request, status, length) in
        [(head, 200, Some("12345")), (get("/204"), 204, None), (get("/304"), 304, Some("7"))]
    {
        let response = client.ask(request);
        let answer = client.answer(response);
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        assert_eq!(answer.fields.get("content-length").map(http::HeaderValue::as_bytes), length.map(str::as_bytes));
    }
    assert_eq!(blue.connections(), 1);
}

#[test]
fn our_own_answer_to_head_has_no_body() {
    let blue = Upstream::scripted(|_| {});
    let proxy = Proxy::before(&blue);
    let mut frames = Frames::connect(proxy.listen);
    let head = http2::block(&http2::fields("HEAD", "/", &[]));
    frames.send(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, 1, &head);
    let answer = frames.until(http2::HEADERS);
    assert_eq!(answer.flags & http2::END_STREAM, http2::END_STREAM, "{answer:?}");
}

#[test]
fn bodies_pass_both_ways_whatever_is_known_of_their_length() {
    let blue = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            connection.send(format!("{:x}\r\n", request.body.len()));
            connection.send(&request.body);
            connection.send("\r\n0\r\n\r\n");
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let bytes = Bytes::from(vec![b'a'; 300_000]);
    for (method, length) in [("POST", Some("300000")), ("POST", None), ("GET", None), ("PUT", Some("300000"))] {
        let mut request = post("/");
        *request.method_mut() = method.parse().expect("a method");
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.parse().expect("a value"));
        }
        let (response, mut body) = client.begin(request);
        body.send_data(bytes.clone(), true).expect("an open stream");
        let answer = client.answer(response);
        assert!(answer.body == bytes, "{method}, {length:?}: {} bytes", answer.body.len());
        assert!(!answer.fields.contains_key("transfer-encoding"));
        let seen = blue.requests().pop().expect("one was made");
        let coding = seen.head.all("transfer-encoding");
        assert_eq!(
            (seen.head.all("content-length").first().map(String::as_str), coding.len()),
            (length, usize::from(length.is_none()))
        );
    }
}

#[test]
fn row_34_trailers_are_passed_on_both_ways() {
    let blue = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\nconnection: close\r\n\r\n",
    );
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let mut request = post("/");
    request.headers_mut().insert("trailer", "x-sum".parse().expect("a value"));
    request.headers_mut().insert("te", "trailers".parse().expect("a value"));
    let (response, mut body) = client.begin(request);
    body.send_data("hello".into(), false).expect("an open stream");
    let trailers = [("x-sum".parse().expect("a name"), "5".parse().expect("a value"))];
    body.send_trailers(trailers.into_iter().collect()).expect("an open stream");
    let answer = client.answer(response);
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers["grpc-status"], "0");
    assert!(!answer.trailers.contains_key("connection"), "{:?}", answer.trailers);
    let seen = blue.only_request();
    assert_eq!((seen.body.as_slice(), seen.trailers), (&b"hello"[..], vec![("x-sum".to_owned(), b"5".to_vec())]));
}

#[test]
fn streams_do_not_wait_for_each_other_and_no_more_are_open_than_may_be() {
    let (blue, tell) = with_slow();
    let proxy = Proxy::before_with(&blue, "http2: { maxConcurrentStreams: 3 }");
    let mut frames = Frames::connect(proxy.listen);
    let settings = frames.until(SETTINGS).payload;
    let most = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("the bound is told");
    assert_eq!(most[2..], 3_u32.to_be_bytes());
    for stream in [1, 3] {
        frames.get(stream, "/slow");
        until_requested(&blue, (stream as usize).div_ceil(2));
    }
    for stream in [5, 7] {
        frames.get(stream, "/");
        assert_eq!(frames.until(http2::DATA), Frame { kind: 0, flags: 1, stream, payload: b"ok".to_vec() });
    }
    frames.get(9, "/slow");
    until_requested(&blue, 5);
    frames.get(11, "/");
    let refused = frames.until(http2::RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (11, Reason::REFUSED_STREAM));
    (0..3).for_each(|_| tell.send(()).expect("blue waits"));
    let mut answered: Vec<u32> = (0..3).map(|_| frames.until(http2::DATA).stream).collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 3, 9]);
}

#[test]
fn what_is_true_of_requests_of_http_1_is_true_here_a_retry_a_bound_and_an_id() {
    // The first connection is closed when it is used again.
    let blue = Upstream::scripted(|connection| {
        let answers = if connection.number == 0 { 1 } else { usize::MAX };
        for _ in 0..answers {
            if connection.request().is_none() {
                return;
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        connection.request();
        connection.reset();
    });
    let proxy = Proxy::before_with(&blue, "requestId: true\nlimits: { requestBodyBytes: 10 }");
    let mut client = Http2::connect(proxy.listen);
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.fields["x-request-id"].len(), 36);
    }
    assert_eq!(blue.connections(), 2, "sent again on a new connection");
    proxy.until_charged(2, 0);
    let mut large = post("/");
    large.headers_mut().insert("content-length", "11".parse().expect("a value"));
    let (response, _body) = client.begin(large);
    let answer = client.answer(response);
    assert_eq!((answer.status, answer.fields.contains_key("connection")), (413, false));
    let (response, mut body) = client.begin(post("/"));
    body.send_data(vec![b'a'; 11].into(), false).expect("an open stream");
    assert_eq!(client.answer(response).status, 413);
    assert_eq!(client.get("/").status, 200, "the connection goes on");
}

#[test]
fn a_head_of_more_bytes_or_fields_than_may_be_is_431_and_the_connection_goes_on() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { headBytes: 4KiB, headFields: 10 }");
    let mut client = Http2::connect(proxy.listen);
    let mut long = get("/");
    long.headers_mut().insert("x", "a".repeat(5_000).parse().expect("a value"));
    let mut many = get("/");
    (0..11).for_each(|_| _ = many.headers_mut().append("x", "a".parse().expect("a value")));
    for request in [long, many] {
        let response = client.ask(request);
        assert_eq!(client.answer(response).status, 431);
    }
    assert_eq!(client.get("/").status, 200);
    assert_eq!(blue.count(), 1);
}

#[cfg(feature = "fault-injection")]
#[test]
fn row_62_a_panic_in_one_stream_is_500_and_the_others_go_on() {
    let (blue, tell) = with_slow();
    let proxy = Proxy::before(&blue);
    let mut client = Http2::connect(proxy.listen);
    let slow = client.ask(get("/slow"));
    until_requested(&blue, 1);
    assert_eq!(client.get("/portcullis/panic").status, 500);
    tell.send(()).expect("blue waits");
    assert_eq!(client.answer(slow).text(), "ok");
    proxy.until_metric("portcullis_panics_total", &[], 1.0);
}
