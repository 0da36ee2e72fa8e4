//! Routes: which requests are on one, what becomes of them, and verdicts of their own.

use std::sync::{Mutex, mpsc};

use serde_json::Value;

use crate::support::{Client, Connection, DEADLINE, Proxy, Upstream, config, eventually, folder, portcullis, printed};

const REQUESTS: &str = "portcullis_requests_total";

/// Answers with its name, and with 500 where the target holds `fails`.
fn named(name: &'static str, fails: &'static str) -> Upstream {
    Upstream::scripted(move |connection: &mut Connection| {
        while let Some(request) = connection.request() {
            let status = if !fails.is_empty() && request.target.contains(fails) { 500 } else { 200 };
            let length = name.len();
            connection.send(format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n\r\n{name}"));
        }
    })
}

fn ask(client: &mut Client, method: &str, host: &str, target: &str) -> String {
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.response().text()
}

#[test]
fn a_request_is_counted_on_the_first_route_that_fits_its_host_its_path_and_its_method() {
    let blue = named("blue", "");
    let proxy = Proxy::before_with(
        &blue,
        r#"routes:
- { name: writes, paths: [/orders/*], methods: [POST, PUT] }
- { name: orders, paths: [/orders, /orders/*, "/users/{id}/orders"] }
- { name: shop, hosts: [shop.test, "*.shop.test"] }"#,
    );
    let mut client = proxy.client();
    for (method, host, target) in [
        ("POST", "test", "/orders/1"),
        ("GET", "test", "/orders/1?x=/users"),
        ("GET", "test", "/orders"),
        ("GET", "SHOP.test:8080", "/users/7/orders"),
        ("GET", "Shop.Test:8080", "/users//orders"),
        ("GET", "a.shop.test", "/ordersx"),
        ("GET", "shop.test.example", "/ordersx"),
        ("GET", "test", "/users/7/orders/"),
    ] {
        assert_eq!(ask(&mut client, method, host, target), "blue");
    }
    for (route, requests) in [("writes", 1.0), ("orders", 3.0), ("shop", 2.0), ("other", 2.0)] {
        proxy.until_metric(REQUESTS, &[&format!("route=\"{route}\"")], requests);
    }
    let status = proxy.status();
    let routes: Vec<_> = status["routes"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = routes.iter().filter_map(|route| route["route"].as_str()).collect();
    assert_eq!(names, ["writes", "orders", "shop", "other"]);
    let requests: Vec<_> = routes.iter().filter_map(|route| route["blue"]["requests"].as_u64()).collect();
    assert_eq!(requests, [1, 3, 2, 2], "{status:#}");
}

#[test]
fn without_routes_nothing_has_the_label_of_one() {
    let blue = named("blue", "");
    let proxy = Proxy::before(&blue);
    proxy.get("/");
    proxy.until_outcome("success", 1);
    assert!(!proxy.metrics().contains("route="));
    assert!(proxy.status().get("routes").is_none());
}

#[test]
fn row_73_what_is_on_an_excluded_route_is_served_and_counted_and_is_no_evidence() {
    let (blue, green) = (named("blue", ""), named("green", "/probe"));
    let rest = r#"routes: [{ name: probes, paths: [/probe/*], exclude: true }]
gate: { triggers: [{ name: dead, metric: failureStreak, atLeast: 3, confirm: none }] }"#;
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    for _ in 0..10 {
        assert_eq!(ask(&mut client, "GET", "test", "/probe/1"), "green");
    }
    proxy.until_metric(REQUESTS, &["route=\"probes\"", "code=\"500\"", "version=\"green\""], 10.0);
    let status = proxy.status();
    assert_eq!((&status["weight"], &status["green"]["requests"]), (&100.0.into(), &0.into()), "{status:#}");
    let probes = &status["routes"][0];
    assert_eq!(
        (&probes["goes"], &probes["green"]["requests"], &probes["lnEvidence"]),
        (&"excluded".into(), &0.into(), &Value::Null)
    );
    for _ in 0..3 {
        ask(&mut client, "GET", "test", "/x/probe");
    }
    proxy.until(|status| status["state"] == "rolledBack");
}

#[test]
fn a_route_that_is_pinned_goes_to_blue_at_any_weight_and_is_no_evidence() {
    let (blue, green) = (named("blue", ""), named("green", ""));
    let rest = "routes: [{ name: legacy, paths: [/legacy], pin: blue }]\nsticky: { header: x-user }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "GET", "test", "/legacy"), "blue");
        client.send("GET /legacy HTTP/1.1\r\nHost: test\r\nX-User: a\r\n\r\n");
        assert_eq!(client.response().text(), "blue");
        assert_eq!(ask(&mut client, "GET", "test", "/legacy/"), "green");
    }
    proxy.until_metric(REQUESTS, &["route=\"legacy\"", "version=\"blue\""], 40.0);
    let status = proxy.until(|status| status["green"]["requests"] == 20);
    assert_eq!(
        (&status["blue"]["requests"], &status["routes"][0]["goes"]),
        (&0.into(), &"toBlue".into()),
        "{status:#}"
    );
}

#[test]
fn a_route_has_timeouts_of_its_own() {
    let (tell, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let blue = Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            if request.target == "/report" {
                wait.lock().expect("one connection").recv_timeout(DEADLINE).expect("the test tells it");
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlong");
            } else {
                return connection.drain();
            }
        }
    });
    let proxy = Proxy::before_with(
        &blue,
        "timeouts: { responseHead: 300ms }\n\
         routes: [{ name: reports, paths: [/report], timeouts: { responseHead: 1h } }, { name: quick, paths: [/quick], timeouts: { responseHead: 1ms } }]",
    );
    let mut long = proxy.client();
    long.send("GET /report HTTP/1.1\r\nHost: test\r\n\r\n");
    blue.until("the report's request", |seen| (!seen.is_empty() && !seen[0].requests.is_empty()).then_some(()));
    assert_eq!(proxy.get("/quick").status, 504);
    // Which began later, and has taken as long as any request may that is on no route.
    assert_eq!(proxy.get("/").status, 504);
    tell.send(()).expect("blue waits");
    assert_eq!(long.response().text(), "long");
}

/// One request in ten is for `/checkout`, which green fails, until somebody has decided. Returns how many it failed.
fn until_rolled_back(proxy: &Proxy) -> u64 {
    let mut client = proxy.client();
    let mut failed = 0;
    eventually("the rollback", || {
        for number in 0..10 {
            let target = if number == 3 { "/checkout" } else { "/" };
            failed += u64::from(client.get(target).status == 500);
        }
        (proxy.status()["state"] == "rolledBack").then_some(())
    });
    failed
}

/// At a high rate it would have to be a larger part of the sum: with 50 % of green's requests there is no streak either.
#[test]
fn a_route_that_fails_on_green_alone_rolls_back_is_named_and_is_replayed_to_the_last_bit() {
    let (blue, green) = (named("blue", ""), named("green", "/checkout"));
    let rest = "routes: [{ name: search, paths: [/search] }, { name: checkout, paths: [/checkout, /checkout/*] }]\n\
                gate: { warmUp: { time: 0s, requests: 0 }, triggers: [] }";
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], rest));
    proxy.set_weight(50.0);
    let failed = until_rolled_back(&proxy);
    let status = proxy.status();
    let reason = status["rollback"]["reason"].as_str().expect("a sentence");
    assert!(reason.starts_with("on route `checkout` green failed "), "{reason}");
    assert!(failed <= 60, "{failed} failed at half of the traffic");
    let checkout = &status["routes"][1];
    assert!(
        checkout["lnEvidence"].as_f64() > Some(0.0) && checkout["green"]["failures"].as_u64() > Some(0),
        "{status:#}"
    );
    let evidence: Value = serde_json::from_slice(&proxy.call("GET", "/v1/evidence", &Value::Null).body).expect("JSON");
    assert_eq!(evidence["routes"].as_array().map(Vec::len), Some(3), "{evidence:#}");
    let url = format!("http://{}", proxy.admin);
    let report = printed(&portcullis(&["report", "v2-1", "--admin", &url], &[]));
    assert!(report.contains("On the route checkout:") && report.contains("| checkout |"), "{report}");
    let shown = printed(&portcullis(&["status", "--admin", &url], &[]));
    assert!(shown.contains("  route checkout: green failed "), "{shown}");
    let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn a_trigger_of_a_route_looks_at_that_route_alone_and_names_it() {
    let (blue, green) = (named("blue", ""), named("green", "/checkout"));
    let rest = "routes:\n\
                - { name: search, paths: [/search], triggers: [{ name: search-errors, metric: errorRate, above: 1%, minimumRequests: 1 }] }\n\
                - { name: checkout, paths: [/checkout], triggers: [{ name: checkout-errors, metric: errorRate, above: 50%, minimumRequests: 5, window: 1h }] }\n\
                gate: { compare: { enabled: false }, triggers: [{ name: all, metric: errorRate, above: 50% }] }";
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], rest));
    proxy.set_weight(100.0);
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    for _ in 0..5 {
        assert_eq!(client.get("/checkout").status, 500);
    }
    let status = proxy.until(|status| status["state"] == "rolledBack");
    let rollback = &status["rollback"];
    assert_eq!(rollback["trigger"], "checkout-errors");
    let reason = rollback["reason"].as_str().expect("a sentence");
    assert!(
        reason.starts_with("on route `checkout` green failed 5 of 5 requests (100.0 %) in the last 1 h"),
        "{reason}"
    );
    let url = format!("http://{}", proxy.admin);
    let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}

#[test]
fn routes_are_others_from_a_reload_on() {
    let blue = named("blue", "");
    let text = |routes: &str| config(&[blue.address], &[blue.address], routes);
    let proxy = Proxy::start(&text("routes: [{ name: first, paths: [/a] }]").replace("version: v2", "version: v3"));
    let mut client = proxy.client();
    client.get("/a");
    proxy.until_metric(REQUESTS, &["route=\"first\""], 1.0);
    let file = std::fs::read_to_string(proxy.file()).expect("it was written");
    std::fs::write(proxy.file(), file.replace("name: first", "name: zero, paths: [/z] }, { name: second"))
        .expect("it is writable");
    let response = proxy.post("/v1/config/reload", &Value::Null);
    assert_eq!(response.status, 200, "{}", response.text());
    client.get("/a");
    client.get("/b");
    proxy.until_metric(REQUESTS, &["route=\"second\""], 1.0);
    proxy.until_metric(REQUESTS, &["route=\"other\""], 1.0);
    assert_eq!(proxy.metric(REQUESTS, &["route=\"first\""]), 1.0);
    let names: Vec<_> =
        proxy.status()["routes"].as_array().expect("a list").iter().map(|route| route["route"].clone()).collect();
    assert_eq!(names, ["zero", "second", "other"]);
}

#[test]
fn what_many_requests_are_for_is_a_route_by_itself_before_a_release_and_in_it() {
    let (blue, green) = (named("blue", ""), named("green", "/orders"));
    let rest = "routes: [{ name: search, paths: [/search] }]\n\
                gate: { learnRoutes: 2, warmUp: { time: 0s, requests: 0 }, triggers: [] }";
    let data = folder();
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], rest));
    let mut client = proxy.client();
    for number in 0..100 {
        client.get(&format!("/users/{number}/orders?page=1"));
        client.get("/");
        client.get("/search");
        if number < 10 {
            client.get("/rare");
        }
    }
    let names = |status: &Value| -> Vec<String> {
        let routes = status["routes"].as_array().into_iter().flatten();
        routes.filter_map(|route| Some(route["route"].as_str()?.to_owned())).collect()
    };
    let mut learnt = names(&proxy.until(|status| names(status).len() == 4));
    learnt.sort();
    assert_eq!(learnt, ["/", "/users/{}/orders", "other", "search"]);
    proxy.set_weight(50.0);
    // The text alone is new: what was learnt stays.
    let text = std::fs::read_to_string(proxy.file()).expect("it was written");
    std::fs::write(proxy.file(), format!("{text}# again\n")).expect("it is writable");
    assert_eq!(proxy.post("/v1/config/reload", &Value::Null).status, 200);
    eventually("the rollback", || {
        for number in 0..10 {
            client.get(if number == 3 { "/users/7/orders" } else { "/" });
        }
        (proxy.status()["state"] == "rolledBack").then_some(())
    });
    let status = proxy.status();
    let reason = status["rollback"]["reason"].as_str().expect("a sentence");
    assert!(reason.starts_with("on route `/users/{}/orders` green failed "), "{reason}");
    assert!(proxy.metric(REQUESTS, &["route=\"/users/{}/orders\""]) > 0.0);
    let url = format!("http://{}", proxy.admin);
    let replayed = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(replayed.ends_with("to the last bit.\n"), "{replayed}");
}
