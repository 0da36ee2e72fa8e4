//! Requests that blue serves are copied to green: what is copied and how it is marked, what the copies are evidence of, and
//! that originals never wait for them.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Connection, Http2Upstream, Listener, Proxy, Upstream, config, eventually, folder, portcullis, printed,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const ALL: &str = "mirror: { share: 100% }";

fn answer(status: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n\r\n{}", "a".repeat(length))
}

/// In front of both, with a release that gives green no users.
fn mirroring(blue: &Upstream, green: &Upstream, rest: &str) -> Proxy {
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    proxy.set_weight(0.0);
    proxy
}

/// Sends GETs until as many copies have come to `outcome`: a worker that is late drops some.
#[track_caller]
fn until_copied(proxy: &Proxy, outcome: &str, copies: u32) {
    let mut client = proxy.client();
    eventually("copies", || {
        assert_eq!(client.send(GET).response().status, 200);
        (copied(proxy, outcome) >= f64::from(copies)).then_some(())
    });
}

fn copied(proxy: &Proxy, outcome: &str) -> f64 {
    proxy.metric("portcullis_mirrored_total", &[&format!("outcome=\"{outcome}\"")])
}

#[test]
fn row_73_copies_go_to_green_at_weight_0_and_are_no_evidence_of_the_release() {
    let (blue, green) = (Upstream::ok(), Upstream::answering(answer("500", 3)));
    let proxy = mirroring(&blue, &green, ALL);
    until_copied(&proxy, "server_error", 60);
    let status = proxy.until(|status| status["mirror"]["green"]["failures"].as_u64() >= Some(60));
    assert_eq!((&status["state"], &status["green"]["requests"]), (&json!("stepping"), &json!(0)), "{status:#}");
    assert_eq!((&status["mirror"]["blue"]["failures"], &status["mirror"]["share"]), (&json!(0), &json!(100.0)));
    assert_eq!(proxy.metric("portcullis_requests_total", &["version=\"green\""]), 0.0);
    assert_eq!(proxy.metric("portcullis_response_head_seconds_count", &["version=\"green\""]), 0.0);
    assert!(proxy.metric("portcullis_mirror_response_head_seconds_count", &[]) >= 60.0);
}

#[test]
fn nothing_is_copied_without_a_release() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], ALL));
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    proxy.until_charged(20, 0);
    assert_eq!((green.connections(), proxy.metric("portcullis_mirrored_total", &[])), (0, 0.0));
    assert_eq!(proxy.status()["mirror"], Value::Null);
}

#[test]
fn a_copy_is_marked_in_its_host_and_else_as_its_original() {
    for (rest, host) in [(ALL, "test-shadow:80"), ("mirror: { share: 100%, shadowHost: false }", "test:80")] {
        let (blue, green) = (Upstream::ok(), Upstream::ok());
        let proxy = mirroring(&blue, &green, rest);
        let mut client = proxy.client();
        let request = "GET /a?b=c HTTP/1.1\r\nHost: test:80\r\nCookie: d=e\r\nConnection: x\r\nX: y\r\n\r\n";
        eventually("a copy", || {
            assert_eq!(client.send(request).response().text(), "GET /a?b=c");
            (copied(&proxy, "success") > 0.0).then_some(())
        });
        let (original, copy) = (&blue.requests()[0], &green.requests()[0]);
        assert_eq!((copy.method.as_str(), copy.target.as_str()), ("GET", "/a?b=c"));
        assert_eq!(copy.head.all("host"), [host]);
        for field in ["cookie", "x", "x-forwarded-for", "x-forwarded-host", "via"] {
            assert_eq!(copy.head.all(field), original.head.all(field), "{field}");
        }
    }
}

#[test]
fn only_safe_requests_without_a_body_are_copied() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = mirroring(&blue, &green, &format!("{ALL}\ngate: {{ exclude: [/healthz] }}"));
    let mut client = proxy.client();
    for method in ["POST", "PUT", "DELETE", "PATCH", "GET", "OPTIONS"] {
        let request = format!("{method} /no HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.send(request).response().status, 200);
    }
    for request in ["DELETE /no", "POST /no", "GET /healthz"] {
        assert_eq!(client.send(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n")).response().status, 200);
    }
    let mut wanted = ["GET", "HEAD", "OPTIONS"].iter();
    for method in wanted.by_ref() {
        eventually(method, || {
            let client = client.send(format!("{method} /yes HTTP/1.1\r\nHost: test\r\n\r\n"));
            let answer = if *method == "HEAD" { client.response_to_head() } else { client.response() };
            assert_eq!(answer.status, 200);
            green.requests().iter().any(|copy| copy.method == *method).then_some(())
        });
    }
    assert!(green.requests().iter().all(|copy| copy.target == "/yes"), "{:?}", green.requests());
}

#[test]
fn as_much_is_copied_as_is_asked_for() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = mirroring(&blue, &green, "mirror: { share: 25% }");
    let mut client = proxy.client();
    for _ in 0..400 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    proxy.until_metric("portcullis_mirrored_total", &[], 100.0);
    proxy.until_charged(400, 0);
    assert_eq!(proxy.metric("portcullis_mirrored_total", &[]), 100.0);
}

#[test]
fn statuses_and_lengths_of_both_answers_are_compared() {
    for (green, result) in [
        (answer("200", 5), "same"),
        (answer("404", 5), "status"),
        (answer("200", 6), "length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nno".to_owned(), "not_compared"),
    ] {
        let (blue, green) = (
            Upstream::answering(answer("200", 5)),
            Upstream::scripted(move |connection| {
                connection.request();
                connection.send(&green);
            }),
        );
        let proxy = mirroring(&blue, &green, ALL);
        let mut client = proxy.client();
        let labels = format!("result=\"{result}\"");
        eventually(result, || {
            assert_eq!(client.send(GET).response().status, 200);
            (proxy.metric("portcullis_mirror_compared_total", &[&labels]) >= 3.0).then_some(())
        });
        let status = proxy.until(|status| status["mirror"].is_object());
        let differ = |key: &str| status["mirror"][key].as_u64().expect("a number") > 0;
        assert_eq!((differ("otherStatus"), differ("otherLength")), (result == "status", result == "length"));
        assert_eq!(differ("compared"), result != "not_compared");
    }
}

#[test]
fn what_copies_came_to_in_one_release_is_not_shown_in_the_next() {
    let (blue, green) = (Upstream::ok(), Upstream::answering(answer("404", 5)));
    let proxy = mirroring(&blue, &green, ALL);
    until_copied(&proxy, "client_error", 3);
    proxy.until(|status| status["mirror"]["otherStatus"].as_u64() >= Some(3));
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    assert_eq!(proxy.status()["mirror"], Value::Null);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    let mirror = &proxy.until(|status| status["mirror"].is_object())["mirror"];
    assert_eq!(
        (&mirror["compared"], &mirror["otherStatus"], &mirror["green"]["requests"]),
        (&json!(0), &json!(0), &json!(0)),
        "{mirror:#}"
    );
}

/// Takes requests and does not answer.
fn hanging() -> Upstream {
    Upstream::scripted(|connection| {
        connection.request();
        connection.drain();
    })
}

#[test]
fn a_green_that_hangs_holds_no_more_copies_than_it_may_and_no_original() {
    let (blue, green) = (Upstream::ok(), hanging());
    let proxy = mirroring(&blue, &green, "mirror: { share: 100%, maxRequests: 3, timeout: 10m }");
    let mut client = proxy.client();
    eventually("as many copies as there may be", || {
        assert_eq!(client.send(GET).response().status, 200);
        (green.count() == 3).then_some(())
    });
    for _ in 0..50 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    proxy.until_metric("portcullis_mirrored_total", &["outcome=\"dropped\""], blue.count() as f64 - 3.0);
    assert_eq!((green.connections(), copied(&proxy, "timeout")), (3, 0.0));
}

#[test]
fn a_copy_ends_after_its_time_and_counts_as_a_timeout() {
    let (blue, green) = (Upstream::ok(), hanging());
    let proxy = mirroring(&blue, &green, "mirror: { share: 100%, timeout: 50ms }");
    until_copied(&proxy, "timeout", 2);
    green.until_ended(0);
}

#[test]
fn no_more_of_an_answer_is_read_than_may_be() {
    let (sent, wait) = mpsc::channel();
    let green = Upstream::scripted(move |connection: &mut Connection| {
        connection.request();
        let whole = answer("200", 8 << 20);
        sent.send(connection.offer(whole.as_bytes())).ok();
    });
    let blue = Upstream::ok();
    let proxy = mirroring(&blue, &green, "mirror: { share: 100%, responseBodyBytes: 64KiB }");
    until_copied(&proxy, "success", 1);
    assert!(!wait.recv().expect("it has been tried"), "8 MiB were taken");
}

#[test]
fn a_rollback_ends_copies_at_once() {
    let (blue, green) = (Upstream::ok(), hanging());
    let proxy = mirroring(&blue, &green, "mirror: { share: 100%, maxRequests: 1, timeout: 10m }");
    let mut client = proxy.client();
    eventually("a copy", || {
        assert_eq!(client.send(GET).response().status, 200);
        (green.count() == 1).then_some(())
    });
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    let dropped = blue.count() as f64 - 1.0;
    green.until_ended(0);
    for _ in 0..50 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    proxy.until_metric("portcullis_mirrored_total", &["outcome=\"refused_by_us\""], 1.0);
    proxy.until_metric("portcullis_requests_total", &["version=\"blue\""], blue.count() as f64);
    assert_eq!((green.connections(), copied(&proxy, "dropped")), (1, dropped));
}

#[test]
fn copies_go_by_http2_where_green_speaks_it() {
    let (blue, green) = (Upstream::ok(), Http2Upstream::ok(None));
    let text =
        config(&[blue.address], &[green.address], ALL).replacen("version: v2,", "version: v2, protocol: http2,", 1);
    let proxy = Proxy::start(&text);
    proxy.set_weight(0.0);
    until_copied(&proxy, "success", 10);
    let requests = green.requests();
    assert!(requests.iter().all(|(copy, ..)| *copy.uri() == "http://test-shadow/"), "{requests:?}");
    assert_eq!(green.connections(), 1);
}

#[test]
fn a_reload_begins_and_ends_the_mirroring() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let text = config(&[blue.address], &[green.address], "");
    let proxy = Proxy::start(&text);
    proxy.set_weight(0.0);
    let reload = |share: &str| {
        std::fs::write(proxy.file(), format!("{text}mirror: {{ share: {share} }}\n")).expect("a file of ours");
        assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    };
    reload("100%");
    until_copied(&proxy, "success", 3);
    reload("0%");
    let all = || proxy.metric("portcullis_mirrored_total", &[]);
    let mut client = proxy.client();
    let before = blue.count() as f64;
    for _ in 0..50 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    proxy.until_metric("portcullis_requests_total", &["version=\"blue\""], before + 50.0);
    assert!(all() <= before, "{} copies of {before} requests", all());
}

const PLAN: &str = "release:
  steps:
  - { mirror: 100%, bake: 300ms }
  - { weight: 50%, bake: 1h }
gate: { minimumRequests: 20, warmUp: { time: 0s, requests: 0 } }";

#[test]
fn a_step_that_mirrors_is_passed_by_copies_before_any_user_sees_green() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], PLAN));
    let events = Listener::new(proxy.admin);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    let step = events.until("stepped");
    assert_eq!(step.data["weight"], 0.0);
    let sentence = step.data["sentence"].as_str().expect("text");
    assert_eq!(sentence, "step 1 of 3 at 0 %, 100 % of blue's requests mirrored");
    let mut client = proxy.client();
    let mut served = 0;
    eventually("the step that follows", || {
        served += usize::from(client.send(GET).response().status == 200);
        (proxy.status()["weight"] == 50.0).then_some(())
    });
    assert!(served >= 20, "{served}");
    let copies = green.requests();
    let marked = copies.iter().filter(|copy| copy.head.all("host") == ["test-shadow"]).count();
    assert!(marked >= 20, "{marked}");
    let status = proxy.status();
    assert_eq!(status["plan"]["steps"][0]["mirror"], 100.0, "{status:#}");
}

#[test]
fn a_green_that_fails_copies_is_rolled_back_before_any_user_sees_it_and_the_replay_agrees() {
    let data = folder();
    let (blue, green) = (Upstream::ok(), Upstream::answering(answer("500", 0)));
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], PLAN));
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    let mut client = proxy.client();
    let status = eventually("a rollback", || {
        assert_eq!(client.send(GET).response().text(), "GET /");
        let status = proxy.status();
        (status["state"] == "rolledBack").then_some(status)
    });
    let sentence = status["rollback"]["reason"].as_str().expect("text");
    assert!(sentence.starts_with("mirrored requests: "), "{sentence}");
    assert_eq!((&status["rollback"]["trigger"], &status["green"]["requests"]), (&json!("mirror-errors"), &json!(0)));
    let url = format!("http://{}", proxy.admin);
    let shown = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(shown.ends_with("Every decision comes out as it was, to the last bit.\n"), "{shown}");
}

#[test]
fn a_step_that_mirrors_waits_for_copies_and_blames_nobody_where_blue_fails_them_too() {
    let failing = || Upstream::answering(answer("500", 0));
    for (blue, green, share) in [(Upstream::ok(), Upstream::ok(), "0.01%"), (failing(), failing(), "100%")] {
        let bound = "minimumRequests: 20, mirror: { triggers: [{ name: a, metric: errorRate, above: 1% }] }";
        let rest = PLAN.replace("mirror: 100%", &format!("mirror: {share}")).replace("minimumRequests: 20", bound);
        let proxy = Proxy::start(&config(&[blue.address], &[green.address], &rest));
        assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
        proxy.until(|status| status["step"] == 1);
        let mut client = proxy.client();
        for _ in 0..60 {
            client.send(GET).response();
        }
        let seen = proxy.until(|status| status["blue"]["requests"].as_u64() >= Some(60));
        assert_eq!(seen["weight"], 0.0, "{share}: {seen:#}");
        let baked = |status: &Value| status["baked"].as_f64() > Some(Duration::from_millis(600).as_secs_f64());
        let status = proxy.until(|status| baked(status) || status["state"] != "stepping");
        assert_ne!(status["state"], "rolledBack", "{share}: {status:#}");
        assert_eq!((&status["weight"], &status["verdict"]["kind"]), (&json!(0.0), &json!("wait")), "{share}");
    }
}
