//! Requests under way at an endpoint that leaves its version: they may end, and not for ever.

use std::sync::{Mutex, mpsc};

use serde_json::json;

use crate::support::{Client, DEADLINE, End, Proxy, Upstream, config};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const SOON: &str = "accessLog: true\ndrain: { wait: 0s, deadline: 200ms }";

/// From here on blue has these endpoints.
#[track_caller]
fn put(proxy: &Proxy, blue: &[&Upstream]) {
    let addresses: Vec<String> = blue.iter().map(|blue| blue.address.to_string()).collect();
    let answer = proxy.call("PUT", "/v1/versions/blue/endpoints", &json!({ "endpoints": addresses }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A client that has got the beginning of an endless answer.
#[track_caller]
fn begun(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    let head = client.send(GET).response_head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    client
}

/// The requests so far were cut off, and nobody is charged.
#[track_caller]
fn check_cut(proxy: &Proxy, status: u16, requests: u64) {
    proxy.until_outcome("refused_by_us", requests);
    assert_eq!(proxy.metric("portcullis_requests_total", &[]), requests as f64);
    let said = proxy.status();
    assert_eq!((&said["blue"]["requests"], &said["blue"]["failures"]), (&json!(0), &json!(0)), "{said:#}");
    let line = proxy.until_logged("request");
    assert_eq!((&line["outcome"], &line["status"]), (&json!("refused_by_us"), &json!(status)));
    assert_eq!(line["reason"], "endpoint_left");
}

#[test]
fn row_92_an_answer_without_end_from_an_endpoint_that_has_left_is_cut_at_the_deadline_and_charged_to_nobody() {
    let (blue, other) = (Upstream::endless(), Upstream::ok());
    let proxy = Proxy::before_with(&blue, SOON);
    let mut client = begun(&proxy);
    put(&proxy, &[&other]);
    assert_eq!(client.rest().0, b"", "not even an end");
    blue.until_ended(0);
    check_cut(&proxy, 200, 1);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!((blue.count(), other.count()), (1, 1));
}

#[test]
fn row_92_an_http_1_0_client_sees_a_reset_when_its_answer_is_cut() {
    let blue = Upstream::endless();
    let proxy = Proxy::before_with(&blue, SOON);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n").response_head();
    put(&proxy, &[]);
    assert_eq!(client.rest(), (b"hello".to_vec(), End::Reset));
    check_cut(&proxy, 200, 1);
}

#[test]
fn row_92_a_request_that_is_never_answered_by_an_endpoint_that_has_left_gets_503_at_the_deadline_and_charges_nobody() {
    for request in [GET, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"] {
        let (blue, other) = (Upstream::silent(), Upstream::ok());
        let proxy = Proxy::before_with(&blue, SOON);
        let mut client = proxy.client();
        client.send(request);
        blue.until("the request", |seen| (!seen.first()?.requests.is_empty()).then_some(()));
        put(&proxy, &[&other]);
        let response = client.response();
        let text = "the endpoint that had the request has been taken out of service\n";
        assert_eq!((response.status, response.text().as_str()), (503, text));
        assert_eq!(response.head.one("proxy-status"), "portcullis; error=destination_unavailable");
        blue.until_ended(0);
        check_cut(&proxy, 503, 1);
        assert_eq!(other.count(), 0, "it may have been carried out");
    }
}

#[test]
fn row_92_an_upload_that_never_ends_to_an_endpoint_that_has_left_gets_503_at_the_deadline() {
    let blue = Upstream::silent();
    let proxy = Proxy::before_with(&blue, SOON);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe");
    blue.until("half the request", |seen| seen.first()?.bytes.ends_with(b"he").then_some(()));
    put(&proxy, &[]);
    assert_eq!(client.response().status, 503);
    client.ends();
    check_cut(&proxy, 503, 1);
}

#[test]
fn row_92_a_client_that_takes_nothing_of_an_answer_without_end_is_cut_as_well() {
    let blue = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while connection.offer(&[b'a'; 64 * 1024]) {}
    });
    let proxy = Proxy::before_with(&blue, SOON);
    let mut client = Client::narrow(proxy.listen);
    client.send(GET).response_head();
    put(&proxy, &[]);
    check_cut(&proxy, 200, 1);
    proxy.until_metric("portcullis_connections", &[], 0.0);
    client.rest();
}

#[test]
fn row_92_what_an_endpoint_that_has_left_answers_in_time_is_whole_and_counted() {
    let (tell, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
        wait.lock().expect("one connection").recv_timeout(DEADLINE).expect("the test tells");
        connection.send("world");
        connection.drain();
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send(GET).response_head();
    put(&proxy, &[]);
    tell.send(()).expect("blue waits");
    assert_eq!(client.bytes(10), b"helloworld");
    blue.until_ended(0);
    proxy.until_charged(1, 0);
}

#[test]
fn row_92_an_answer_of_an_endpoint_that_stays_goes_on_when_that_of_another_is_cut() {
    let told = || {
        let (tell, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let blue = Upstream::scripted(move |connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
            // An error means that the test is over.
            if wait.lock().expect("one connection").recv().is_ok() {
                connection.send("5\r\nworld\r\n");
            }
            connection.drain();
        });
        (blue, tell)
    };
    let ((stays, tell), (leaves, _tell)) = (told(), told());
    let proxy = Proxy::start(&config(&[stays.address, leaves.address], &[], SOON));
    let mut first = begun(&proxy);
    let first_stays = stays.connections() == 1;
    // It goes to the one that is idle.
    let mut second = begun(&proxy);
    assert_eq!((stays.connections(), leaves.connections()), (1, 1));
    let (on_stays, on_leaves) = if first_stays { (&mut first, &mut second) } else { (&mut second, &mut first) };
    put(&proxy, &[&stays]);
    assert_eq!(on_leaves.rest().0, b"");
    check_cut(&proxy, 200, 1);
    tell.send(()).expect("blue waits");
    assert_eq!(on_stays.bytes(10), b"5\r\nworld\r\n");
}
