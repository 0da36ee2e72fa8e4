//! Interim answers (1xx) pass, in the order in which they come, from either HTTP to either; none is made up.

use std::fmt::Write as _;
use std::time::Duration;

use http::Response;

use crate::support::http2::{get, post};
use crate::support::{Call, Client, Connection, Http2, Http2Upstream, Proxy, Upstream, config};

/// What an endpoint does, one after the other.
#[derive(Clone, Copy)]
enum Does {
    /// An interim answer with these fields.
    Says(u16, &'static [(&'static str, &'static str)]),
    /// Sees for a while that nothing of a body comes.
    HearsNothing,
    /// Reads the body, and answers with it.
    AnswersBody,
    /// Answers without having read it.
    Answers(u16),
}

/// An endpoint, by HTTP/1 or by HTTP/2, and the proxy before it.
enum Endpoint {
    Http1(Upstream),
    Http2(Http2Upstream),
}

const QUIET: Duration = Duration::from_millis(200);

fn by_http1(connection: &mut Connection, does: &[Does]) {
    while let Some(request) = connection.head() {
        for step in does {
            match step {
                Does::Says(status, fields) => {
                    let mut head = format!("HTTP/1.1 {status} Interim\r\n");
                    for (name, value) in *fields {
                        write!(head, "{name}: {value}\r\n").expect("a String");
                    }
                    connection.send(format!("{head}\r\n"));
                }
                Does::HearsNothing => assert!(connection.is_silent(QUIET)),
                Does::AnswersBody => {
                    let Some(request) = connection.body(request.clone()) else { return };
                    connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()));
                    connection.send(&request.body);
                }
                Does::Answers(status) => {
                    connection.send(format!("HTTP/1.1 {status} Final\r\ncontent-length: 5\r\n\r\nfinal"));
                }
            }
        }
    }
}

async fn by_http2(mut call: Call, does: &[Does]) {
    for step in does {
        match step {
            Does::Says(status, fields) => {
                let head = fields
                    .iter()
                    // HTTP/2 has no word for them.
                    .filter(|(name, _)| !["connection", "x-hop", "keep-alive"].contains(name))
                    .fold(Response::builder().status(*status), |head, (name, value)| head.header(*name, *value));
                call.respond.send_informational(head.body(()).expect("a head")).expect("an open stream");
            }
            Does::HearsNothing => {
                let data = tokio::time::timeout(QUIET, call.request.body_mut().data()).await;
                assert!(data.is_err(), "{data:?}");
            }
            Does::AnswersBody => {
                let body = call.read().await;
                call.head(&[]).send_data(body.into(), true).expect("an open stream");
            }
            Does::Answers(status) => {
                let head = Response::builder().status(*status).body(()).expect("a head");
                call.respond.send_response(head, false).and_then(|mut to| to.send_data("final".into(), true)).ok();
            }
        }
    }
}

impl Endpoint {
    /// Both.
    fn each(does: &'static [Does]) -> [Endpoint; 2] {
        let http1 = Upstream::scripted(move |connection| by_http1(connection, does));
        let http2 = Http2Upstream::scripted(None, |_| {}, move |call| Box::pin(by_http2(call, does)));
        [Endpoint::Http1(http1), Endpoint::Http2(http2)]
    }

    fn before(&self) -> Proxy {
        match self {
            Endpoint::Http1(blue) => Proxy::before(blue),
            Endpoint::Http2(blue) => {
                let text = config(&[blue.address], &[], "");
                Proxy::start(&text.replacen("blue: {", "blue: { protocol: http2,", 1))
            }
        }
    }
}

type Heads = Vec<(u16, Vec<(String, String)>)>;

/// A client's side of one request: the interim answers and the body of the answer, as it sees them.
#[derive(Debug, PartialEq, Eq)]
struct Saw {
    interim: Heads,
    status: u16,
    body: String,
}

fn fields<'a>(all: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, String)> {
    all.map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())).collect()
}

/// Asks by HTTP/1 with this head; `body` is sent after the first 100.
fn ask_http1(proxy: &Proxy, head: &str, body: &str) -> Saw {
    ask_http1_on(&mut proxy.client(), head, body)
}

fn ask_http1_on(client: &mut Client, head: &str, body: &str) -> Saw {
    client.send(head);
    let mut interim = Heads::new();
    loop {
        let response = client.response();
        if response.status >= 200 {
            return Saw { interim, status: response.status, body: response.text() };
        }
        let named = response.head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        interim.push((response.status, fields(named)));
        if response.status == 100 {
            client.send(body);
        }
    }
}

fn ask_http2(proxy: &Proxy, expects: bool, body: &'static str) -> Saw {
    let mut client = Http2::connect(proxy.listen);
    let (mut answer, mut to) = if expects {
        let mut request = post("/");
        request.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
        let (answer, to) = client.begin(request);
        (answer, Some(to))
    } else {
        (client.ask(get("/")), None)
    };
    let mut interim = Heads::new();
    while let Some(head) = client.wait(std::future::poll_fn(|cx| answer.poll_informational(cx))) {
        let head = head.expect("a head");
        interim.push((head.status().as_u16(), fields(head.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())))));
        if head.status() == 100
            && let Some(to) = &mut to
        {
            to.send_data(body.into(), true).expect("an open stream");
        }
    }
    let answer = client.answer(answer);
    Saw { interim, status: answer.status, body: answer.text() }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn row_21_the_100_of_the_endpoint_is_passed_on_and_the_body_comes_after_it() {
    for endpoint in Endpoint::each(&[Does::HearsNothing, Does::Says(100, &[]), Does::AnswersBody]) {
        let proxy = endpoint.before();
        let expected = || Saw { interim: vec![(100, vec![])], status: 200, body: "hello".to_owned() };
        assert_eq!(ask_http1(&proxy, EXPECTING, "hello"), expected());
        assert_eq!(ask_http2(&proxy, true, "hello"), expected());
        proxy.until_charged(2, 0);
    }
}

#[test]
fn row_21_where_the_endpoint_says_nothing_no_100_is_made_up_and_a_body_that_comes_all_the_same_passes() {
    for endpoint in Endpoint::each(&[Does::AnswersBody]) {
        let proxy = endpoint.before();
        let mut client = proxy.client();
        client.send(EXPECTING).pause(QUIET);
        let response = client.send("hello").response();
        assert_eq!((response.status, &*response.text()), (200, "hello"));
        // It need not wait at all, and the connection goes on.
        let response = client.send(format!("{EXPECTING}again")).response();
        assert_eq!((response.status, &*response.text()), (200, "again"));

        let mut client = Http2::connect(proxy.listen);
        let (mut answer, mut to) = client.begin(post("/"));
        to.send_data("hello".into(), true).expect("an open stream");
        assert!(client.wait(std::future::poll_fn(|cx| answer.poll_informational(cx))).is_none());
        assert_eq!(client.answer(answer).text(), "hello");
    }
}

#[test]
fn row_21_an_endpoint_that_refuses_at_once_is_heard_without_the_body() {
    for endpoint in Endpoint::each(&[Does::Answers(417)]) {
        let proxy = endpoint.before();
        let expected = || Saw { interim: vec![], status: 417, body: "final".to_owned() };
        assert_eq!(ask_http1(&proxy, EXPECTING, "hello"), expected());
        assert_eq!(ask_http2(&proxy, true, "hello"), expected());
        proxy.until_charged(2, 0);
    }
}

#[test]
fn row_22_interim_answers_pass_in_their_order_without_the_fields_of_one_hop() {
    const HINTS: Does =
        Does::Says(103, &[("link", "</a>"), ("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "2")]);
    for endpoint in Endpoint::each(&[HINTS, Does::Says(102, &[]), Does::Says(199, &[("x", "")]), Does::Answers(200)]) {
        let proxy = endpoint.before();
        let named = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let interim = vec![(103, named("link", "</a>")), (102, vec![]), (199, named("x", ""))];
        let expected = || Saw { interim: interim.clone(), status: 200, body: "final".to_owned() };
        assert_eq!(ask_http1(&proxy, GET, ""), expected());
        assert_eq!(ask_http2(&proxy, false, ""), expected());
        proxy.until_charged(2, 0);
    }
}

#[test]
fn row_22_a_client_of_http_1_0_gets_the_answer_alone() {
    for endpoint in Endpoint::each(&[Does::Says(103, &[("link", "</a>")]), Does::Answers(200)]) {
        let proxy = endpoint.before();
        let response = proxy.client().send("GET / HTTP/1.0\r\n\r\n").response();
        assert_eq!((response.status, &*response.text()), (200, "final"));
    }
}

#[test]
fn row_22_of_more_than_32_the_rest_is_dropped_and_the_next_request_has_its_own() {
    let blue = Upstream::scripted(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100));
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    for _ in 0..2 {
        for saw in [ask_http1_on(&mut client, GET, ""), ask_http2(&proxy, false, "")] {
            assert_eq!((saw.interim.len(), saw.status, &*saw.body), (32, 200, "ok"));
        }
    }
    assert_eq!(blue.connections(), 1);
}

#[test]
fn row_22_an_interim_answer_arrives_before_the_answer_does() {
    let (blue, tell) = {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let told = std::sync::Mutex::new(told);
        let blue = Upstream::scripted(move |connection| {
            while connection.request().is_some() {
                // In two pieces.
                connection.send("HTTP/1.1 10");
                connection.send("3 Early Hints\r\n\r\n");
                told.lock().expect("no panic with it").recv().ok();
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        (blue, tell)
    };
    let proxy = Proxy::before(&blue);
    let mut client = proxy.client();
    assert_eq!(client.send(GET).response().status, 103);
    tell.send(()).expect("it waits");
    assert_eq!(client.response().text(), "ok");
    let mut client = Http2::connect(proxy.listen);
    let mut answer = client.ask(get("/"));
    let hint = client.wait(std::future::poll_fn(|cx| answer.poll_informational(cx)));
    assert_eq!(hint.expect("one").expect("a head").status(), 103);
    tell.send(()).expect("it waits");
    assert_eq!(client.answer(answer).text(), "ok");
}

#[test]
fn row_22_pipelined_requests_get_each_answer_whole_with_what_came_before_it() {
    let blue = Upstream::scripted(|connection| {
        while let Some(request) = connection.request() {
            let length = 300_000;
            connection.send(format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", request.target));
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            connection.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(length / 25));
        }
    });
    let proxy = Proxy::before(&blue);
    let mut client = Client::narrow(proxy.listen);
    client.send(format!("{GET}{GET}{EXPECTING}hello{GET}"));
    client.pause(QUIET);
    let mut answers = 0;
    while answers < 4 {
        let response = client.response();
        match response.status {
            103 => {}
            status => {
                assert_eq!((status, response.body.len()), (200, 300_000));
                assert!(response.body.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
                answers += 1;
            }
        }
    }
}
