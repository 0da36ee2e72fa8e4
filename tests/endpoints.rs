//! Several endpoints of one version: which one serves, and what becomes of a bad one.

use std::net::SocketAddr;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::support::upstream::refusing;
use crate::support::{Backend, Proxy, Upstream, config, eventually};

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn row_47_one_dead_endpoint_of_three_is_ejected_and_no_client_sees_an_error() {
    let (first, second) = (Upstream::ok(), Upstream::ok());
    let (dead, _socket) = refusing();
    let proxy = Proxy::start(&config(&[first.address, dead, second.address], &[NOBODY], ""));
    let mut client = proxy.client();
    for number in 0..100 {
        assert_eq!(client.get("/").status, 200, "{number}");
        let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(client.send(post).response().status, 200, "{number}");
    }
    assert_eq!(first.count() + second.count(), 200);
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 2);
    proxy.until_charged(200, 0);
    let endpoint = format!("endpoint=\"{dead}\"");
    proxy.until_metric("portcullis_endpoint_healthy", &["version=\"blue\"", &endpoint], 0.0);
    proxy.until_logged_times("endpoint ejected", 1);
}

#[test]
fn row_47_an_endpoint_whose_answers_fail_is_ejected_after_five_in_a_row_and_comes_back_by_a_trial() {
    let (good, bad) = (Backend::answering(200), Backend::answering(500));
    let rest = "workers: 1\nejection: { failures: 5, duration: 500ms }";
    let proxy = Proxy::start(&config(&[good.address, bad.address], &[NOBODY], rest));
    let mut client = proxy.client();
    eventually("five failures", || {
        client.get("/");
        (bad.count() == 5).then_some(())
    });
    proxy.until(|status| status["blue"]["healthyEndpoints"] == 1);
    // Its time out ends with one request, which fails: it is out again, for twice as long.
    eventually("a trial", || {
        client.get("/");
        (bad.count() == 6).then_some(())
    });
    eventually("it to be out again", || (proxy.logged("endpoint ejected").len() == 2).then_some(()));
    assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 1);
    bad.answer(200);
    eventually("it to be readmitted", || {
        client.get("/");
        (proxy.status()["blue"]["healthyEndpoints"] == 2).then_some(())
    });
    assert!(bad.count() >= 11, "five are served on trial: {}", bad.count());
    let (before, requests) = (bad.count(), 100);
    (0..requests).for_each(|_| _ = client.get("/"));
    assert!(bad.count() - before > requests / 5, "it has its share again");
}

const NAMED: usize = 60;

/// Which of the endpoints serves each client.
fn served_by(proxy: &Proxy, field: impl Fn(usize) -> String) -> Vec<String> {
    let ask = |number| {
        let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n\r\n", field(number));
        proxy.client().send(request).response().text()
    };
    (0..NAMED).map(ask).collect()
}

#[test]
fn a_client_keeps_its_endpoint_on_every_worker_and_after_a_restart_and_passes_to_another_while_that_is_gone() {
    let named = |name: &str| Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}"));
    let all = ["a", "b", "c"].map(named);
    let (dead, _socket) = refusing();
    let [a, b, c] = [&all[0], &all[1], &all[2]].map(|upstream| upstream.address);
    #[expect(clippy::type_complexity, reason = "a table")]
    let kinds: [(&str, fn(usize) -> String); 3] = [
        ("{ header: x-user }", |number| format!("X-User: {number}")),
        ("{ cookie: session }", |number| format!("Cookie: session={number}")),
        ("{ address: true }", |number| format!("X-Forwarded-For: 10.0.0.{number}")),
    ];
    for (balance, field) in kinds {
        let text = |addresses: &[SocketAddr]| {
            let rest = "workers: 2\ntrustedProxies: [127.0.0.0/8]\n";
            config(addresses, &[NOBODY], rest).replacen("blue: {", &format!("blue: {{ balance: {balance},"), 1)
        };
        let proxy = Proxy::start(&text(&[a, b, c]));
        let before = served_by(&proxy, field);
        assert_eq!(served_by(&proxy, field), before, "{balance}");
        let of = |name: &str| before.iter().filter(|served| *served == name).count();
        assert!(["a", "b", "c"].iter().all(|name| of(name) > NAMED / 10), "{balance}: {before:?}");
        drop(proxy);
        // Another in the place of one, which is not there either: its clients go on, and only they move.
        let restarted = Proxy::start(&text(&[c, a, dead]));
        let after = served_by(&restarted, field);
        let stays = |(before, after): (&String, &String)| before == after || before == "b";
        assert!(before.iter().zip(&after).all(stays), "{balance}: {before:?} and {after:?}");
        assert!(after.iter().all(|served| served == "a" || served == "c"), "{balance}");
    }
}

#[test]
fn without_its_key_a_request_goes_to_any_endpoint() {
    let all = [Upstream::ok(), Upstream::ok()];
    let addresses = [all[0].address, all[1].address];
    let text =
        config(&addresses, &[NOBODY], "workers: 1").replacen("blue: {", "blue: { balance: { header: x-user },", 1);
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    (0..60).for_each(|_| assert_eq!(client.get("/").status, 200));
    assert!(all.iter().all(|upstream| upstream.count() > 5));
    let before = all.each_ref().map(Upstream::count);
    let keyed = "GET / HTTP/1.1\r\nHost: test\r\nX-User: 7\r\n\r\n";
    (0..60).for_each(|_| assert_eq!(client.send(keyed).response().status, 200));
    let now: Vec<usize> = all.iter().zip(before).map(|(upstream, before)| upstream.count() - before).collect();
    assert!(now == [60, 0] || now == [0, 60], "{now:?}");
}

/// What a release comes to in which so many of green's four endpoints fail everything, after so many requests.
fn with_bad_of_four(bad: usize, weight: f64, requests: usize) -> (Proxy, Vec<Backend>) {
    let blue = Backend::answering(200);
    let green: Vec<Backend> = (0..4).map(|number| Backend::answering(if number < bad { 500 } else { 200 })).collect();
    let addresses: Vec<SocketAddr> = green.iter().map(|backend| backend.address).collect();
    let proxy = Proxy::start(&config(&[blue.address], &addresses, "workers: 2"));
    proxy.set_weight(weight);
    let mut clients: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for number in 0..requests {
        clients[number % 4].get("/");
    }
    (proxy, green)
}

#[test]
fn row_101_one_bad_endpoint_of_four_is_ejected_and_told_and_the_version_is_not_convicted() {
    for weight in [10.0, 50.0, 90.0] {
        let (proxy, green) = with_bad_of_four(1, weight, 3_000);
        let bad = green[0].address.to_string();
        proxy.until(|status| status["green"]["healthyEndpoints"] == 3);
        let status =
            proxy.until(|status| status["verdict"]["sentence"].as_str().is_some_and(|said| said.contains(&bad)));
        assert_eq!((&status["rollback"], &status["weight"]), (&Value::Null, &json!(weight)), "{status:#}");
        let said = status["verdict"]["sentence"].as_str().expect("a sentence");
        assert_eq!(status["verdict"]["kind"], "wait");
        assert!(said.starts_with(&format!("green's endpoint {bad} failed ")), "{said}");
        assert!(said.contains("while the others failed 0 of "), "{said}");
        assert!(green[0].count() <= 12, "at {weight} %: {} got through", green[0].count());
        assert!(status["green"]["failures"].as_u64() >= Some(1), "its failures are shown: {status:#}");
        proxy.until_metric("portcullis_notifications_total", &["trigger=\"endpoints\""], 1.0);
    }
}

#[test]
fn row_101_a_version_with_two_bad_endpoints_of_four_or_all_is_convicted() {
    for (bad, weight) in [(2, 10.0), (2, 50.0), (4, 10.0), (4, 50.0)] {
        let (proxy, _green) = with_bad_of_four(bad, weight, 2_000);
        let status = proxy.until(|status| status["state"] == "rolledBack");
        assert_eq!(status["rollback"]["actor"], "gate", "{bad} at {weight} %");
    }
}

#[test]
fn the_last_endpoint_of_a_version_is_never_ejected() {
    let blue = Upstream::answering("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let proxy = Proxy::before_with(&blue, "ejection: { failures: 1 }");
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 500);
    }
    assert_eq!(blue.count(), 20);
    assert_eq!(proxy.status()["blue"]["healthyEndpoints"], 1);
}

#[test]
fn the_less_busy_of_two_endpoints_serves() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let busy = |connection: &mut crate::support::Connection| {
        while let Some(request) = connection.request() {
            if request.target == "/slow" {
                connection.drain();
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    };
    let (first, second) = (Upstream::scripted(busy), Upstream::scripted(busy));
    let proxy = Proxy::start(&config(&[first.address, second.address], &[NOBODY], ""));
    let mut slow = proxy.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    crate::support::eventually("the slow request", || (first.count() + second.count() == 1).then_some(()));
    let idle = if first.count() == 1 { &second } else { &first };
    for _ in 0..50 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(idle.count(), 50);
    drop((go_on, wait));
}

#[test]
fn two_idle_endpoints_share_the_requests() {
    let (first, second) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[first.address, second.address], &[NOBODY], ""));
    let mut client = proxy.client();
    for _ in 0..200 {
        assert_eq!(client.get("/").status, 200);
    }
    // Fewer than 50 of 200 fair draws come once in 10^12 runs.
    assert!(first.count() > 50 && second.count() > 50, "{} and {}", first.count(), second.count());
}

#[test]
fn an_endpoint_may_be_given_by_name() {
    let blue = Upstream::ok();
    let by_name = config(&[blue.address], &[NOBODY], "").replace("127.0.0.1:", "localhost:");
    let text = by_name.replace("listen: localhost:", "listen: 127.0.0.1:");
    let proxy = Proxy::start(&text);
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.client().send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    assert_eq!(blue.requests()[1].head.one("host"), format!("localhost:{}", blue.address.port()));
}

#[test]
fn a_name_that_means_nothing_is_503_and_charged() {
    let text = config(&[NOBODY], &[NOBODY], "").replacen("127.0.0.1:1\"", "nowhere.invalid:1\"", 1);
    let proxy = Proxy::start(&text);
    let response = proxy.get("/");
    let said = (response.status, response.head.one("proxy-status"));
    assert_eq!(said, (503, "portcullis; error=destination_unavailable".to_owned()));
    proxy.until_charged(1, 1);
}

#[test]
fn row_46_when_every_endpoint_refuses_the_answer_is_502_and_charged_once() {
    let ((first, _first), (second, _second)) = (refusing(), refusing());
    let proxy = Proxy::start(&config(&[first, second], &[NOBODY], ""));
    assert_eq!(proxy.get("/").status, 502);
    proxy.until_charged(1, 1);
}

#[test]
fn row_46_a_version_without_endpoints_is_503_with_retry_after_and_charged() {
    let blue = Upstream::ok();
    let proxy = Proxy::start(&config(&[blue.address], &[], ""));
    let none = proxy.call("PUT", "/v1/versions/blue/endpoints", &serde_json::json!({ "endpoints": [] }));
    assert_eq!(none.status, 200);
    let response = proxy.get("/");
    assert_eq!((response.status, response.text().as_str()), (503, "no endpoint is available\n"));
    assert_eq!(response.head.one("proxy-status"), "portcullis; error=destination_unavailable");
    assert_eq!(response.head.one("retry-after"), "1");
    let status = proxy.until(|status| status["blue"]["requests"] == 1);
    assert_eq!(status["blue"]["failures"], 1);
    assert_eq!(blue.count(), 0);
}

#[test]
fn green_gets_its_share_and_a_new_weight_holds_for_the_next_request_on_the_same_connection() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], ""));
    let mut client = proxy.client();
    for (weight, of_100) in [(0.0, 0), (25.0, 25), (100.0, 100), (0.0, 0)] {
        proxy.set_weight(weight);
        let before = green.count();
        for _ in 0..100 {
            assert_eq!(client.send(GET).response().status, 200);
        }
        assert_eq!(green.count() - before, of_100, "at {weight} %");
    }
    assert_eq!(blue.count() + green.count(), 400);
}
