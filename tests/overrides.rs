//! Clients that choose their version: who may, until when, and what of the gate sees them.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use serde_json::{Value, json};

use crate::support::http2::get;
use crate::support::{Client, Http2, Proxy, Upstream, config, eventually, folder, portcullis, printed};

const GREEN: &str = "X-Version: green\r\n";
const COOKIE: &str = "Cookie: a=b; version=green; c=d\r\n";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Everybody on loopback may choose.
const NEAR: &str = "override: { header: x-version, cookie: version, from: [\"127.0.0.0/8\"] }";
/// Nobody may, whose value is not signed.
const FAR: &str = "override: { header: x-version, cookie: version, from: [\"10.0.0.0/8\"] }";

struct Bench {
    blue: Upstream,
    green: Upstream,
    proxy: Proxy,
}

fn version(name: &str) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()))
}

/// With a release at weight 0.
fn bench(rest: &str) -> Bench {
    let (blue, green) = (version("blue"), version("green"));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    proxy.set_weight(0.0);
    Bench { blue, green, proxy }
}

fn ask(client: &mut Client, field: &str) -> String {
    client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{field}\r\n")).response().text()
}

/// Signs as docs/clients.md says, with openssl's part played by the command.
fn signed(rest: &str, green: &str) -> String {
    let folder = folder();
    let (file, secret) = (folder.path().join("portcullis.yaml"), folder.path().join("secret"));
    std::fs::write(&secret, SECRET).expect("writable");
    let text = config(&[([127, 0, 0, 1], 1).into()], &[([127, 0, 0, 1], 2).into()], rest);
    std::fs::write(&file, text.replace("SECRET", "file:secret")).expect("writable");
    let file = file.to_str().expect("text");
    printed(&portcullis(&["override", "--config", file, "--for", "1h", "--green", green], &[])).trim().to_owned()
}

#[test]
fn testers_see_green_at_weight_0_by_header_or_cookie_and_others_do_not() {
    let Bench { proxy, green, .. } = &bench(NEAR);
    let mut client = proxy.client();
    for (field, served) in [
        (GREEN, "green"),
        (COOKIE, "green"),
        ("X-Version: blue\r\n", "blue"),
        ("", "blue"),
        ("X-Version: other\r\n", "blue"),
        ("X-Version: green\r\nX-Version: green\r\n", "blue"),
        ("Cookie: xversion=green\r\n", "blue"),
        ("Cookie: version=green; version=green\r\n", "blue"),
        ("Cookie: version=green\r\nCookie: a=b; version=blue\r\n", "blue"),
        ("X-Version: blue\r\nCookie: version=green\r\n", "blue"),
    ] {
        assert_eq!(ask(&mut client, field), served, "{field:?}");
    }
    proxy.set_weight(100.0);
    assert_eq!([ask(&mut client, "X-Version: blue\r\n"), ask(&mut client, "")], ["blue", "green"]);
    assert_eq!(green.requests()[0].head.all("x-version"), ["green"], "what is allowed is passed on");
    assert_eq!(green.requests()[1].head.all("cookie"), ["a=b; version=green; c=d"]);
    proxy.until_metric("portcullis_overrides_total", &["result=\"allowed\""], 6.0);
    proxy.until_metric("portcullis_overrides_total", &["result=\"malformed\""], 4.0);
}

#[test]
fn testers_see_green_by_http2_too() {
    let Bench { proxy, .. } = &bench(NEAR);
    let mut client = Http2::connect(proxy.listen);
    let mut request = get("/");
    request.headers_mut().insert("x-version", HeaderValue::from_static("green"));
    let answer = client.ask(request);
    assert_eq!(client.answer(answer).text(), "green");
}

#[test]
fn row_19_version_fields_of_a_client_that_may_not_choose_are_taken_out() {
    let Bench { proxy, blue, green } = &bench(FAR);
    let mut client = proxy.client();
    let fields = format!("{GREEN}X-Version: blue\r\n{COOKIE}");
    for fields in [GREEN, COOKIE, &fields, "Cookie: version=green\r\n"] {
        assert_eq!(ask(&mut client, fields), "blue", "{fields:?}");
    }
    let heads: Vec<(Vec<String>, Vec<String>)> =
        blue.requests().iter().map(|seen| (seen.head.all("x-version"), seen.head.all("cookie"))).collect();
    let other = || vec!["a=b; c=d".to_owned()];
    assert_eq!(heads, [(vec![], vec![]), (vec![], other()), (vec![], other()), (vec![], vec![])]);
    assert_eq!(green.count(), 0);
    proxy.until_metric("portcullis_overrides_total", &["result=\"network\""], 4.0);
}

#[test]
fn a_client_behind_a_trusted_proxy_is_the_one_that_may_choose() {
    let Bench { proxy, .. } = &bench(&format!("{FAR}\ntrustedProxies: [\"127.0.0.0/8\"]"));
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, &format!("X-Forwarded-For: 10.1.2.3\r\n{GREEN}")), "green");
    assert_eq!(ask(&mut client, &format!("X-Forwarded-For: 10.1.2.3, 192.0.2.1\r\n{GREEN}")), "blue");
}

#[test]
fn signed_values_are_taken_from_everywhere_and_forged_expired_and_replayed_ones_are_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("secret"), SECRET).expect("writable");
    let rest = |service: &str| format!("service: {service}\noverride: {{ header: x-version, secret: \"SECRET\" }}");
    let secret = format!("file:{}", folder.path().join("secret").display());
    let Bench { proxy, blue, .. } = &bench(&rest("shop").replace("SECRET", &secret));
    let mut client = proxy.client();
    let good = signed(&rest("shop"), "v2");
    let [role, expiry, signature] = good.split(':').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!((now + 3_500..=now + 3_600).contains(&expiry.parse().expect("a number")), "{expiry} at {now}");
    assert_eq!(ask(&mut client, &format!("X-Version: {good}\r\n")), "green");
    let later = expiry.parse::<u64>().expect("a number") + 1;
    let (forged, expired) = (format!("{role}:{later}:{signature}"), format!("{role}:{}:{signature}", now - 1));
    let (other_service, other_version) = (signed(&rest("cart"), "v2"), signed(&rest("shop"), "v3"));
    for value in [forged, expired, other_service, other_version, good.replace("green", "blue"), "green".to_owned()] {
        assert_eq!(ask(&mut client, &format!("X-Version: {value}\r\n")), "blue", "{value}");
    }
    assert!(blue.requests().iter().all(|seen| seen.head.all("x-version").is_empty()));
    proxy.until_metric("portcullis_overrides_total", &["result=\"forged\""], 5.0);
    proxy.until_metric("portcullis_overrides_total", &["result=\"network\""], 1.0);
}

#[test]
fn a_value_for_the_green_of_before_is_refused_once_another_is_released() {
    let folder = folder();
    std::fs::write(folder.path().join("secret"), SECRET).expect("writable");
    let rest = "override: { header: x-version, secret: \"SECRET\" }";
    let secret = format!("file:{}", folder.path().join("secret").display());
    let Bench { proxy, green, .. } = &bench(&rest.replace("SECRET", &secret));
    let (before, after) = (signed(rest, "v2"), signed(rest, "v3"));
    let mut client = proxy.client();
    let of = |value: &str| format!("X-Version: {value}\r\n");
    assert_eq!([ask(&mut client, &of(&before)), ask(&mut client, &of(&after))], ["green", "blue"]);
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    let next = json!({ "green": { "version": "v3", "endpoints": [green.address.to_string()] } });
    assert_eq!(proxy.post("/v1/release", &next).status, 200);
    assert_eq!([ask(&mut client, &of(&before)), ask(&mut client, &of(&after))], ["blue", "green"]);
}

#[test]
fn row_76_at_a_rollback_testers_go_to_blue_too() {
    let Bench { proxy, green, .. } = &bench(NEAR);
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, GREEN), "green");
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    let reached = green.count();
    for field in [GREEN, COOKIE] {
        assert_eq!(ask(&mut client, field), "blue");
    }
    assert_eq!(green.count(), reached);
}

#[test]
fn nobody_sees_green_without_a_release() {
    let (blue, green) = (version("blue"), version("green"));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], NEAR));
    assert_eq!(ask(&mut proxy.client(), GREEN), "blue");
    assert_eq!(green.count(), 0);
}

fn failing(rest: &str) -> (Upstream, Upstream, Proxy) {
    let (blue, green) = (version("blue"), Upstream::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"));
    let gate = "gate: { minimumRequests: 5, triggers: [\
                { name: dead, metric: failureStreak, atLeast: 5, confirm: none }, \
                { name: spike, metric: errorRate, above: 10% }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], &format!("{rest}\n{gate}")));
    proxy.set_weight(0.0);
    (blue, green, proxy)
}

#[test]
fn row_73_testers_are_no_evidence_unless_the_streak_or_the_triggers_shall_see_them() {
    let seen = |key: &str| NEAR.replace(" }", &format!(", {key}: true }}"));
    for (rest, trigger) in [(NEAR.to_owned(), None), (seen("streak"), Some("dead")), (seen("triggers"), Some("spike"))]
    {
        let (_blue, _green, proxy) = failing(&rest);
        let mut client = proxy.client();
        for _ in 0..20 {
            ask(&mut client, GREEN);
        }
        match trigger {
            Some(trigger) => {
                let status = proxy.until(|status| status["state"] == "rolledBack");
                assert_eq!(status["rollback"]["trigger"], trigger, "{status:#}");
            }
            None => {
                proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 20.0);
                let status = proxy.status();
                assert_eq!((&status["state"], &status["green"]["requests"]), (&json!("stepping"), &json!(0)));
            }
        }
    }
}

#[test]
fn who_has_chosen_green_sees_its_failures_and_not_on_a_route_that_is_pinned_to_blue() {
    let (_blue, green, proxy) =
        failing(&format!("{NEAR}\nshield: on\nroutes: [{{ name: legacy, paths: [/legacy], pin: blue }}]"));
    let mut client = proxy.client();
    let mut status =
        |target: &str| client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{GREEN}\r\n")).response().status;
    assert_eq!([status("/"), status("/legacy"), status("/")], [500, 200, 500]);
    proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 2.0);
    assert_eq!((green.count(), proxy.metric("portcullis_shielded_total", &[])), (2, 0.0));
}

#[test]
fn testers_are_seen_by_nothing_that_compares_with_blue() {
    let (blue, green) = (version("blue"), Upstream::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"));
    let seen = NEAR.replace(" }", ", triggers: true }");
    let gate = "gate: { minimumRequests: 5, triggers: [{ name: worse, metric: errorRate, aboveBlue: 2, floor: 1% }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], &format!("{seen}\n{gate}")));
    proxy.set_weight(0.0);
    let mut client = proxy.client();
    (0..20).for_each(|_| _ = [ask(&mut client, GREEN), ask(&mut client, "")]);
    proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 20.0);
    ask(&mut client, "");
    let status = proxy.until(|status| status["blue"]["requests"] == 21);
    assert_eq!(status["state"], "stepping", "{status:#}");
}

#[test]
fn what_testers_did_to_one_release_is_no_evidence_of_the_next() {
    let (_blue, _green, proxy) = failing(&NEAR.replace(" }", ", triggers: true }"));
    let mut client = proxy.client();
    (0..4).for_each(|_| _ = ask(&mut client, GREEN));
    proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 4.0);
    assert_eq!(proxy.post("/v1/release/rollback", &Value::Null).status, 200);
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    (0..4).for_each(|_| _ = ask(&mut client, GREEN));
    proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 8.0);
    ask(&mut client, "");
    let status = proxy.until(|status| status["blue"]["requests"] == 1);
    assert_eq!(status["state"], "stepping", "{status:#}");
    ask(&mut client, GREEN);
    proxy.until(|status| status["state"] == "rolledBack");
}

#[test]
fn what_testers_ask_for_on_an_excluded_route_is_no_evidence_whatever_shall_see_them() {
    let seen = NEAR.replace(" }", ", streak: true, triggers: true }");
    let excluded = "routes: [{ name: probes, paths: [/], exclude: true }]";
    let (_blue, green, proxy) = failing(&format!("{seen}\n{excluded}"));
    let mut client = proxy.client();
    (0..20).for_each(|_| _ = ask(&mut client, GREEN));
    assert_eq!(green.count(), 20);
    proxy.until_metric("portcullis_requests_total", &["version=\"green\""], 20.0);
    // What is judged by triggers is judged in the tick in which it is counted.
    client.send("GET /other HTTP/1.1\r\nHost: test\r\n\r\n").response();
    let status = proxy.until(|status| status["blue"]["requests"] == 1);
    assert_eq!(status["state"], "stepping", "{status:#}");
}

#[test]
fn what_testers_did_to_a_release_is_replayed() {
    let data = folder();
    let (blue, green) = (version("blue"), Upstream::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"));
    let rest = format!(
        "{}\ngate: {{ minimumRequests: 5, triggers: [{{ name: spike, metric: errorRate, above: 10% }}] }}",
        NEAR.replace(" }", ", triggers: true }")
    );
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[green.address], &rest));
    proxy.set_weight(0.0);
    let mut client = proxy.client();
    eventually("a rollback", || {
        ask(&mut client, GREEN);
        (proxy.status()["state"] == "rolledBack").then_some(())
    });
    let url = format!("http://{}", proxy.admin);
    let shown = printed(&portcullis(&["replay", "v2-1", "--admin", &url], &[]));
    assert!(shown.ends_with("Every decision comes out as it was, to the last bit.\n"), "{shown}");
}
