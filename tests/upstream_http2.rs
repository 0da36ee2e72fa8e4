//! HTTP/2 between us and the endpoints.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use serde_json::json;

use crate::support::http2_upstream::{DATA, Frames, RST_STREAM};
use crate::support::{
    Authority, Backend, Client, Cut, DEADLINE, Http2Upstream, Proxy, Shows, TlsUpstream, Upstream, config, eventually,
    folder,
};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";

/// One worker in front of blue at these endpoints; `section` is more of its section.
fn text(endpoints: &[String], section: &str, rest: &str) -> String {
    let list: Vec<String> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    let blue = format!("endpoints: [{}], {section}", list.join(", "));
    config(&[], &[], rest).replacen("endpoints: []", &blue, 1)
}

/// In front of an endpoint that is known to speak HTTP/2 in clear text.
fn before(blue: SocketAddr, rest: &str) -> Proxy {
    Proxy::start(&text(&[blue.to_string()], "protocol: http2", rest))
}

/// Sends a GET on each of so many connections before any answer is read.
fn at_once(proxy: &Proxy, count: usize) -> Vec<Client> {
    let clients = (0..count).map(|number| {
        let mut client = proxy.client();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client
    });
    clients.collect()
}

#[test]
fn requests_go_over_one_connection_by_prior_knowledge() {
    let blue = Http2Upstream::ok(None);
    let proxy = before(blue.address, "");
    let mut client = proxy.client();
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}?q")).text(), format!("GET /{number} 0"));
        assert_eq!(client.send(POST).response().text(), "POST / 5");
    }
    assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    assert_eq!(proxy.client().send("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
    assert_eq!(blue.connections(), 1);
    let requests = blue.requests();
    let uris = [0, 40].map(|index| requests[index].0.uri().to_string());
    assert_eq!(uris, ["http://test/0?q".to_owned(), format!("http://{}/", blue.address)]);
    assert_eq!(requests[41].0.uri().path_and_query().map(|path| path.as_str()), Some("/?b"));
    let mut names: Vec<&str> = requests[1].0.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    proxy.until_charged(42, 0);
    proxy.until_metric("portcullis_connections", &["side=\"upstream\""], 1.0);
}

#[test]
fn an_endpoint_chooses_the_protocol_by_tls_and_one_in_clear_text_speaks_the_first() {
    let (authority, folder) = (Authority::new(), folder());
    let (signed, ca) = (authority.sign(&["127.0.0.1"]), folder.path().join("ca.pem"));
    fs::write(&ca, &authority.pem).expect("the folder is writable");
    let section = |protocol: &str| format!("protocol: {protocol}, tls: {{ ca: {} }}", ca.display());
    let both = Http2Upstream::ok(Some(&Shows { alpn: &["h2", "http/1.1"], ..Shows::new(&signed) }));
    let first = TlsUpstream::ok(&Shows { alpn: &["http/1.1"], ..Shows::new(&signed) });
    let clear = Upstream::ok();
    for protocol in ["http2", "auto"] {
        let proxy = Proxy::start(&text(&[both.url()], &section(protocol), ""));
        let mut client = proxy.client();
        assert_eq!([(); 3].map(|()| client.get("/").text()), [(); 3].map(|()| "GET / 0"));
    }
    assert_eq!(both.connections(), 2);
    assert_eq!(both.requests()[0].0.uri().scheme_str(), Some("https"));
    for endpoint in [first.url(), clear.address.to_string()] {
        let proxy = Proxy::start(&text(&[endpoint], &section("auto"), ""));
        let mut client = proxy.client();
        assert_eq!([(); 3].map(|()| client.get("/").text()), [(); 3].map(|()| "GET /"));
    }
    assert_eq!((first.connections(), clear.connections()), (1, 1));
    let none = TlsUpstream::ok(&Shows::new(&signed));
    for endpoint in [first.url(), none.url()] {
        let proxy = Proxy::start(&text(&[endpoint], &section("http2"), ""));
        let response = proxy.get("/");
        assert_eq!(response.status, 502);
        assert!(response.head.one("proxy-status").contains("error=tls_"), "{response:?}");
        proxy.until_outcome("connect_error", 1);
    }
    assert_eq!((first.requests().len(), none.requests().len()), (3, 0));
}

#[test]
fn many_requests_share_a_connection_up_to_what_the_endpoint_takes() {
    let (waits, go) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let blue = Http2Upstream::scripted(None, |builder| _ = builder.max_concurrent_streams(10), {
        let (waits, go) = (Arc::clone(&waits), Arc::clone(&go));
        move |call| {
            let (waits, go) = (Arc::clone(&waits), Arc::clone(&go));
            Box::pin(async move {
                go.fetch_add(1, Ordering::SeqCst);
                waits.acquire().await.expect("it is never closed").forget();
                call.echo().await;
            })
        }
    });
    let proxy = before(blue.address, "");
    waits.add_permits(1);
    assert_eq!(proxy.get("/").status, 200);
    let mut clients = at_once(&proxy, 45);
    eventually("45 requests at blue", || (go.load(Ordering::SeqCst) == 46).then_some(()));
    assert_eq!(blue.at_a_time(), [10, 10, 10, 10, 5]);
    waits.add_permits(45);
    assert!(clients.iter_mut().all(|client| client.response().status == 200));
    proxy.until_charged(46, 0);
}

#[test]
fn requests_that_come_at_once_wait_for_the_same_connection() {
    let blue = Http2Upstream::ok(None);
    let text = text(&[blue.address.to_string()], "protocol: http2", "timeouts: { connect: 5s }");
    let proxy = Proxy::start_with_dear_connections(&text, 200);
    let mut clients = at_once(&proxy, 20);
    assert!(clients.iter_mut().all(|client| client.response().status == 200));
    assert_eq!(blue.connections(), 1);
}

#[test]
fn row_34_bodies_and_trailers_pass_both_ways() {
    let blue = Http2Upstream::scripted(
        None,
        |_| {},
        |mut call| {
            Box::pin(async move {
                let body = call.read().await;
                let mut stream = call.head(&[("trailer", "x-sum")]);
                for chunk in body.chunks(10_000) {
                    stream.reserve_capacity(chunk.len());
                    while stream.capacity() < chunk.len() {
                        let more = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                        if !matches!(more, Some(Ok(_))) {
                            return;
                        }
                    }
                    stream.send_data(Bytes::copy_from_slice(chunk), false).expect("an open stream");
                }
                let trailers = HeaderMap::from_iter([(
                    http::HeaderName::from_static("x-sum"),
                    http::HeaderValue::from(body.len()),
                )]);
                stream.send_trailers(trailers).expect("an open stream");
            })
        },
    );
    let proxy = before(blue.address, "");
    let mut client = proxy.client();
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(format!("{:x}\r\n", body.len())).send(&body).send("\r\n0\r\nx-end: yes\r\n\r\n");
        let response = client.response();
        assert!(response.body == body);
        assert_eq!(response.trailers, [("x-sum".to_owned(), b"3000000".to_vec())]);
    }
    let (head, _, trailers) = blue.requests().swap_remove(0);
    assert_eq!(trailers.expect("there are some")["x-end"], "yes");
    assert_eq!(
        (head.headers().get("te"), head.headers().get("transfer-encoding")),
        (Some(&"trailers".parse().unwrap()), None)
    );
    assert_eq!(blue.connections(), 1);
}

#[test]
fn row_48_what_an_endpoint_says_it_has_not_done_is_sent_again_whatever_its_method() {
    let refusals: [fn(&mut Frames, u32); 2] = [
        |frames, stream| {
            frames.go_away(stream - 2);
            frames.request();
        },
        |frames, stream| frames.reset(stream, 7),
    ];
    for refuse in refusals {
        let blue = Frames::scripted(move |number, frames| {
            if let Some(first) = frames.request() {
                frames.ok(first);
            }
            while let Some(stream) = frames.request() {
                if number == 0 { refuse(frames, stream) } else { frames.ok(stream) }
            }
        });
        let proxy = before(blue, "");
        let mut client = proxy.client();
        assert_eq!(client.get("/").status, 200);
        let delete = "DELETE / HTTP/1.1\r\nHost: test\r\n\r\n";
        assert_eq!(client.send(delete).response().status, 200);
        proxy.until_charged(2, 0);
    }
}

#[test]
fn row_48_what_is_refused_everywhere_is_502_and_charged() {
    let blue = Frames::scripted(|_, frames| {
        while let Some(stream) = frames.request() {
            frames.reset(stream, 7);
        }
    });
    let proxy = before(blue, "");
    assert_eq!(proxy.get("/").status, 502);
    proxy.until_outcome("reset", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn row_48_what_green_has_refused_blue_answers_and_green_is_charged() {
    let blue = Backend::answering(200);
    let green = Frames::scripted(|_, frames| {
        while let Some(stream) = frames.request() {
            frames.reset(stream, 7);
        }
    });
    let section = format!("version: v2, protocol: http2, endpoints: [\"{green}\"]");
    let proxy = Proxy::start(&config(&[blue.address], &[], "").replacen("version: v2, endpoints: []", &section, 1));
    proxy.set_weight(100.0);
    assert_eq!(proxy.client().send("DELETE / HTTP/1.1\r\nHost: test\r\n\r\n").response().status, 200);
    proxy.until(|status| status["green"]["requests"] == 1 && status["green"]["failures"] == 1);
    assert_eq!(blue.count(), 1);
}

#[test]
fn row_40_a_stream_that_is_reset_is_502_and_charged_and_not_sent_again() {
    let (seen, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let blue = Frames::scripted({
        let (seen, count) = (Arc::clone(&seen), Arc::clone(&count));
        move |_, frames| {
            count.fetch_add(1, Ordering::SeqCst);
            while let Some(stream) = frames.request() {
                if seen.fetch_add(1, Ordering::SeqCst) == 1 { frames.reset(stream, 2) } else { frames.ok(stream) }
            }
        }
    });
    let proxy = before(blue, "");
    let mut client = proxy.client();
    assert_eq!([(); 3].map(|()| client.get("/").status), [200, 502, 200]);
    assert_eq!((seen.load(Ordering::SeqCst), count.load(Ordering::SeqCst)), (3, 1), "the others go on");
    proxy.until_outcome("reset", 1);
    proxy.until_charged(3, 1);
}

#[test]
fn row_41_a_connection_that_is_lost_loses_each_of_its_requests_but_one_that_rested_before() {
    let blue = Frames::scripted(|number, frames| {
        if number == 0 {
            let first = frames.request().expect("a request");
            frames.ok(first);
            frames.request();
            return;
        }
        if number == 2 {
            for _ in 0..5 {
                frames.request();
            }
            return;
        }
        while let Some(stream) = frames.request() {
            frames.ok(stream);
        }
    });
    let proxy = before(blue, "");
    let mut client = proxy.client();
    // The second goes to a connection that rested, and once more to another.
    assert_eq!([(); 2].map(|()| client.get("/").status), [200, 200]);
    proxy.until_charged(2, 0);
    let proxy = before(blue, "");
    let mut clients = at_once(&proxy, 5);
    assert!(clients.iter_mut().all(|client| client.response().status == 502));
    proxy.until_outcome("reset", 5);
    proxy.until_charged(5, 5);
}

/// Requests were still given to such a connection, and waited for a head until their time was over.
#[test]
fn row_41_a_connection_that_the_endpoint_has_closed_between_two_requests_holds_up_none() {
    let ends: [fn(&mut Frames); 2] = [|_| {}, |frames| frames.go_away(1)];
    for ends in ends {
        let blue = Frames::scripted(move |_, frames| {
            if let Some(stream) = frames.request() {
                frames.ok(stream);
                ends(frames);
            }
        });
        let proxy = before(blue, "");
        let mut client = proxy.client();
        for _ in 0..50 {
            assert_eq!(client.get("/").status, 200);
        }
        proxy.until_charged(50, 0);
    }
}

#[test]
fn row_42_an_answer_that_breaks_off_is_seen_by_the_client_and_charged() {
    let breaks: [fn(&mut Frames, u32); 3] = [
        |frames, stream| frames.reset(stream, 2),
        |frames, _| frames.close(),
        // Less than it has said: `content-length: 9`, with 5.
        |frames, stream| frames.send(0, 1, stream, b"hello"),
    ];
    for (number, breaks_off) in breaks.into_iter().enumerate() {
        let blue = Frames::scripted(move |_, frames| {
            while let Some(stream) = frames.request() {
                if number == 2 {
                    frames.send(1, 4, stream, &[0x88, 0x0f, 0x0d, 1, b'9']);
                } else {
                    frames.head(stream);
                    frames.send(0, 0, stream, b"hello");
                }
                breaks_off(frames, stream);
            }
        });
        let proxy = before(blue, "");
        let cut =
            proxy.client().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").try_response().expect_err("it is cut off");
        assert!([Cut::Short, Cut::Reset].contains(&cut), "{number}: {cut:?}");
        proxy.until_outcome("truncated", 1);
        proxy.until_charged(1, 1);
    }
}

/// Answers the first request, and tells of each other when it comes and how it ends: by which connection, and the reason.
fn silent() -> (SocketAddr, mpsc::Receiver<(usize, Option<u8>)>) {
    let (told, wait) = mpsc::channel();
    let blue = Frames::scripted(move |number, frames| {
        if number == 0
            && let Some(first) = frames.request()
        {
            frames.ok(first);
        }
        while frames.request().is_some() {
            // An error means that the test is over.
            told.send((number, None)).ok();
            let Some((_, reason)) = frames.until(RST_STREAM) else { return };
            told.send((number, Some(reason[3]))).ok();
        }
    });
    (blue, wait)
}

#[test]
fn row_36_a_client_that_has_gone_ends_its_stream_alone() {
    let (blue, wait) = silent();
    let hear = || wait.recv_timeout(DEADLINE).expect("blue sees it");
    let proxy = before(blue, "");
    assert_eq!(proxy.get("/").status, 200);
    for number in 1..=2 {
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(hear(), (0, None));
        client.reset();
        assert_eq!(hear(), (0, Some(8)));
        proxy.until_outcome("client_cancelled", number);
    }
}

#[test]
fn row_39_a_head_that_takes_too_long_ends_the_stream_and_a_connection_that_was_silent_gets_no_more() {
    let (blue, wait) = silent();
    let hear = || wait.recv_timeout(DEADLINE).expect("blue sees it");
    let proxy = before(blue, "timeouts: { responseHead: 200ms }");
    assert_eq!([(); 3].map(|()| proxy.get("/").status), [200, 504, 504]);
    assert_eq!([hear(), hear(), hear(), hear()], [(0, None), (0, Some(8)), (1, None), (1, Some(8))]);
    proxy.until_outcome("timeout", 2);
}

#[test]
fn requests_that_are_under_way_at_an_endpoint_that_has_left_are_cut_at_the_deadline() {
    let (ended, wait) = mpsc::channel();
    let blue = Frames::scripted(move |_, frames| {
        frames.request();
        ended.send(None).ok();
        ended.send(frames.until(RST_STREAM).map(|(_, reason)| reason[3])).ok();
    });
    let other = Http2Upstream::ok(None);
    let proxy = before(blue, "drain: { deadline: 100ms }");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(wait.recv_timeout(DEADLINE), Ok(None));
    let list = json!({ "endpoints": [other.address.to_string()], "reason": "a test" });
    assert_eq!(proxy.call("PUT", "/v1/versions/blue/endpoints", &list).status, 200);
    assert_eq!(client.response().status, 503);
    assert_eq!(wait.recv_timeout(DEADLINE), Ok(Some(8)));
    assert_eq!(proxy.get("/").status, 200);
    proxy.until_outcome("refused_by_us", 1);
    proxy.until_charged(1, 0);
}

#[test]
fn what_is_no_http2_is_502_and_charged() {
    let blue = Upstream::scripted(|connection| {
        connection.bytes(24);
        connection.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    let proxy = before(blue.address, "");
    let response = proxy.get("/");
    assert_eq!((response.status, &*response.head.one("proxy-status")), (502, "portcullis; error=http_protocol_error"));
    proxy.until_outcome("reset", 1);
    proxy.until_charged(1, 1);
}

#[test]
fn an_answer_that_is_reset_without_an_error_is_whole_where_it_has_ended_and_truncated_where_it_has_not() {
    const END_STREAM: u8 = 1;
    let blue = Frames::scripted(|_, frames| {
        for flags in [END_STREAM, 0] {
            let Some(stream) = frames.request() else { return };
            frames.head(stream);
            frames.send(DATA, flags, stream, b"said");
            frames.reset(stream, 0);
        }
        frames.request();
    });
    let proxy = before(blue, "");
    assert_eq!(proxy.get("/").text(), "said");
    proxy.client().send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").try_response().expect_err("it breaks off");
    proxy.until_outcome("success", 1);
    proxy.until_outcome("truncated", 1);
    proxy.until_charged(2, 1);
}

#[test]
fn health_checks_speak_http2() {
    let blue = Http2Upstream::scripted(
        None,
        |_| {},
        |mut call| {
            Box::pin(async move {
                match call.request.uri().path() {
                    "/healthz" => call.echo().await,
                    _ => call.respond.send_reset(Reason::INTERNAL_ERROR),
                }
            })
        },
    );
    for (path, healthy) in [("/healthz", 1), ("/other", 0)] {
        let check = format!("protocol: http2, healthCheck: {{ path: {path}, interval: 100ms, unhealthyAfter: 2 }}");
        let proxy = Proxy::start(&text(&[blue.address.to_string()], &check, ""));
        if healthy == 0 {
            proxy.until_logged("endpoint unhealthy");
        } else {
            // Each begins after the verdict of the one before.
            eventually("four checks", || (blue.requests().len() > 3).then_some(()));
        }
        proxy.until(|status| status["blue"]["healthyEndpoints"] == healthy);
    }
    let (head, ..) = blue.requests().swap_remove(0);
    assert_eq!(head.uri().to_string(), format!("http://{}/healthz", blue.address));
    assert_eq!(head.headers()["user-agent"], "portcullis-health");
}
