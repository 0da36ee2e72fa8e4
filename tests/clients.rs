//! Clients that are slow, that are idle and that are too many.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::upstream::refusing;
use crate::support::{Client, Cut, DEADLINE, Proxy, Upstream, config, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn row_35_an_early_answer_reaches_a_client_that_still_sends() {
    let blue = Upstream::scripted(|connection| {
        connection.head();
        connection.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlarge");
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n");
    for _ in 0..100 {
        // An error means that the proxy has stopped to read, which it may.
        client.offer([b'a'; 10_000]).ok();
    }
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "large"));
    proxy.until_outcome("client_error", 1);
}

/// Sends `drip` byte by byte, one whenever nothing has come for a while, until there is an answer or all is sent.
#[track_caller]
fn drip(client: &mut Client, drip: &str) -> (u16, Duration) {
    let began = Instant::now();
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    for byte in drip.bytes() {
        match client.try_response() {
            Ok(response) => return (response.status, began.elapsed()),
            Err(Cut::Silence) => client.send([byte]),
            Err(cut) => panic!("{cut:?}"),
        };
    }
    client.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    (client.response().status, began.elapsed())
}

const SLOW: &str =
    "GET / HTTP/1.1\r\nHost: test\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn row_49_a_head_that_drips_in_gets_408_at_the_total_deadline() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { requestHead: 300ms }");
    let mut client = proxy.client();
    client.send("G");
    let (status, took) = drip(&mut client, SLOW);
    assert_eq!(status, 408);
    assert!(took >= Duration::from_millis(290), "{took:?}");
    client.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    client.ends();
    assert_eq!(blue.connections(), 0);
    proxy.until_metric("portcullis_requests_total", &["version=\"none\"", "code=\"408\""], 1.0);
    proxy.until_outcome("refused_by_us", 1);
}

#[test]
fn row_49_the_deadline_holds_for_a_second_head_too_and_begins_with_its_first_byte() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { requestHead: 300ms }");
    let mut client = proxy.client();
    assert_eq!(client.get("/").status, 200);
    client.stream.set_read_timeout(Some(Duration::from_millis(600))).expect("a socket");
    assert_eq!(client.try_response().unwrap_err(), Cut::Silence, "an idle connection has no head to send");
    client.send("G");
    assert_eq!(drip(&mut client, SLOW).0, 408);
}

#[test]
fn row_49_a_body_that_drips_in_gets_408_unless_it_may_or_is_one_of_messages() {
    // At some 50 bytes a second.
    let body = "a".repeat(100);
    for (limit, media_type, status) in [
        ("240", "text/plain", 408),
        ("5", "text/plain", 200),
        ("off", "text/plain", 200),
        ("240", "application/grpc", 200),
    ] {
        let blue = Upstream::ok();
        let rest = format!("timeouts: {{ responseHead: 1s }}\nlimits: {{ requestBodyRate: {limit} }}");
        let proxy = Proxy::before_with(&blue, &rest);
        let mut client = proxy.client();
        let length = body.len();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
        ));
        let (answered, took) = drip(&mut client, &body);
        assert_eq!(answered, status, "{limit} {media_type} {took:?}");
        assert!(took >= Duration::from_millis(990), "{took:?}");
        if status == 408 {
            proxy.until_outcome("refused_by_us", 1);
        }
    }
}

#[test]
fn an_idle_connection_serves_again_after_its_buffers_are_given_back() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for target in ["/first", "/second"] {
        assert_eq!(client.get(target).text(), format!("GET {target}"));
        client.stream.set_read_timeout(Some(Duration::from_millis(1_300))).expect("a socket");
        assert_eq!(client.try_response().unwrap_err(), Cut::Silence);
        client.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    }
    assert_eq!(client.get("/third").text(), "GET /third");
    assert_eq!(blue.connections(), 1);
}

#[test]
fn a_head_that_is_half_sent_while_the_connection_rests_is_kept() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.get("/first").status, 200);
    client.send("GET /second HT");
    client.stream.set_read_timeout(Some(Duration::from_millis(1_300))).expect("a socket");
    assert_eq!(client.try_response().unwrap_err(), Cut::Silence);
    client.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    client.send("TP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().text(), "GET /second");
}

#[test]
fn a_connection_that_stays_idle_is_closed_cleanly() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "timeouts: { keepAlive: 200ms }");
    let mut never_used = proxy.client();
    let mut used = proxy.client();
    assert_eq!(used.get("/").status, 200);
    never_used.ends();
    used.ends();
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
}

#[test]
fn row_51_a_connection_over_the_bound_gets_503_and_the_others_go_on() {
    let blue = Upstream::ok();
    let proxy = Proxy::before_with(&blue, "limits: { connections: 2 }");
    let (mut first, mut second) = (proxy.client(), proxy.client());
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));

    let mut third = proxy.client();
    let response = third.response();
    assert_eq!((response.status, response.text().as_str()), (503, "too many connections\n"));
    assert_eq!(response.head.one("retry-after"), "1");
    third.ends();

    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    drop(first);
    eventually("a place for one more", || {
        let mut client = proxy.client();
        client.offer(GET).ok()?;
        (client.try_response().ok()?.status == 200).then_some(())
    });
    assert_eq!(second.get("/").status, 200);
}

#[test]
fn a_client_that_asks_to_close_is_closed_after_its_answer() {
    let blue = Upstream::ok();
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    let response = client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").response();
    assert_eq!(response.head.one("connection"), "close");
    client.ends();
    let mut other = proxy.client();
    other.get("/");
    assert_eq!(blue.connections(), 1, "the connection to the endpoint is kept");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_when_nothing_has_moved_for_long_and_charges_nobody() {
    let (over, ended) = mpsc::channel();
    let blue = Upstream::scripted(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        while connection.offer(&[b'a'; 64 * 1024]) {}
        over.send(()).ok();
    });
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 300ms }");
    let mut client = proxy.client();
    client.send(GET);
    ended.recv_timeout(DEADLINE).expect("the endpoint is let go");
    proxy.until_outcome("client_cancelled", 1);
    assert_eq!(proxy.status()["blue"]["failures"], 0);
    let error = eventually("the reset", || client.stream.take_error().expect("a socket"));
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_never_reads_its_last_answers_is_cut_off_too() {
    let blue = Upstream::answering([b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", &[b'a'; 4000][..]].concat());
    let proxy = Proxy::before_with(&blue, "timeouts: { bodyIdle: 300ms, keepAlive: 200ms }");
    // For some of these counts it is the proxy itself that holds the last answers. The system takes less than the last of them.
    let clients: Vec<Client> = (40..=160)
        .step_by(4)
        .chain([2_000])
        .map(|count| {
            let mut client = Client::narrow(proxy.listen);
            client.send(GET.repeat(count));
            client
        })
        .collect();
    let last = clients.last().expect("there are some");
    let error = eventually("the reset", || last.stream.take_error().expect("a socket"));
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    proxy.until_metric("portcullis_connections", &["side=\"client\""], 0.0);
}

#[test]
fn a_connection_whose_body_was_never_read_is_closed_when_it_stays_idle() {
    let (address, _socket) = refusing();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let proxy = Proxy::start(&config(&[address], &[nobody], "timeouts: { keepAlive: 200ms }"));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 502);
    client.ends();
}

#[test]
fn a_client_that_pauses_before_the_end_of_its_last_answer_gets_all_of_it() {
    let blue = Upstream::answering([b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", &[b'a'; 4000][..]].concat());
    let proxy = Proxy::before(&blue);
    // How much the kernel holds is not known: after some of these counts the proxy itself holds the last answers.
    std::thread::scope(|scope| {
        for count in (40..=160).step_by(4) {
            let mut client = Client::narrow(proxy.listen);
            scope.spawn(move || {
                client.send(GET.repeat(count - 1)).send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
                // Longer than the proxy reads on after its last byte.
                client.pause(Duration::from_millis(1_300));
                for number in 1..=count {
                    assert_eq!(
                        client.try_response().map(|response| response.body.len()),
                        Ok(4000),
                        "{number} of {count}"
                    );
                }
            });
        }
    });
}
