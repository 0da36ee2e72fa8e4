//! What the admin API answers, to whom, and that nothing changes when it refuses.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Backend, Listener, Load, Proxy, Response, Upstream, config};

const JSON: &str = "Content-Type: application/json";
const HOST: &str = "Host: 127.0.0.1";

fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("not JSON: {}", response.text()))
}

/// The answer is a problem document (RFC 9457) with this status, and its detail says so.
#[track_caller]
fn assert_problem(response: &Response, status: u16, in_detail: &str) {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    assert_eq!(response.head.one("content-type"), "application/problem+json", "{text}");
    let document = parsed(response);
    assert_eq!(document["status"], status);
    assert!(document["type"].is_string() && document["title"].is_string(), "{text}");
    let detail = document["detail"].as_str().expect("a detail");
    assert!(detail.contains(in_detail), "{detail}");
}

/// What a refused change must leave alone.
fn settings(proxy: &Proxy) -> [Value; 3] {
    let status = proxy.status();
    ["epoch", "state", "weight"].map(|field| status[field].clone())
}

#[test]
fn row_84_a_change_that_is_not_well_formed_is_refused_with_its_field_named_and_changes_nothing() {
    let proxy = Proxy::before(&Upstream::ok());
    proxy.set_weight(25.0);
    let before = settings(&proxy);
    let events = Listener::new(proxy.admin);
    for (body, field, in_detail) in [
        (r#"{"weight": -1}"#, Some("weight"), "weight: -1 is too low; write a number from 0 to 100"),
        (r#"{"weight": 100.01}"#, Some("weight"), "weight: 100.01 is too high; write a number from 0 to 100"),
        (r#"{"weight": 101}"#, Some("weight"), "weight: 101 is too high"),
        (
            r#"{"weight": 33.333}"#,
            Some("weight"),
            "weight: 33.333 is too fine; write a number from 0 to 100 with at most two",
        ),
        (r#"{"weight": NaN}"#, Some("weight"), "weight: is no JSON"),
        (r#"{"weight": 1e309}"#, Some("weight"), "write a number from 0 to 100"),
        (r#"{"weight": "abc"}"#, Some("weight"), "weight: \"abc\" is text; write a number from 0 to 100"),
        (r#"{"weight": "50"}"#, Some("weight"), "weight: \"50\" is text; write a number from 0 to 100"),
        (r#"{"weight": null}"#, Some("weight"), "weight: null is nothing; write a number"),
        (r#"{"weight": [50]}"#, Some("weight"), "weight: [50] is a list; write a number"),
        (r#"{"reason": "no weight"}"#, Some("weight"), "weight: is missing; write a number"),
        (r#"{"weight": 50, "reason": 7}"#, Some("reason"), "reason: 7 is a number; write text"),
        (r#"{"weight": 50, "waight": 60}"#, Some("waight"), "waight: is an unknown field; did you mean `weight`?"),
        (r#"{"weight": 50, "x": 60}"#, Some("x"), "x: is an unknown field; the fields here are `reason` and `weight`"),
        (r#"{"weight": 500, "reason": 7}"#, Some("reason"), "weight: 500 is too high"),
        (r#"{"weight": 50, "weight": 60}"#, None, "duplicate field `weight`"),
        (r#"{"weight": 50} {"weight": 60}"#, None, "trailing"),
        ("[50]", None, "one JSON object"),
        ("50", None, "one JSON object"),
        ("weight=50", None, "one JSON object"),
        (r#"{"weight": 50"#, None, "EOF"),
        ("", None, "one JSON object"),
    ] {
        let refused = proxy.ask("PUT", "/v1/weight", &[HOST, JSON], body);
        assert_problem(&refused, 422, in_detail);
        assert_eq!(parsed(&refused).get("field").and_then(Value::as_str), field, "{body}");
        assert_eq!(settings(&proxy), before, "{body}");
    }
    for path in ["/v1/release", "/v1/release/rollback"] {
        let refused = proxy.ask("POST", path, &[HOST, JSON], r#"{"raeson": "x"}"#);
        assert_problem(&refused, 422, "raeson: is an unknown field; did you mean `reason`?");
        assert_eq!(parsed(&refused)["field"], "raeson");
        assert_eq!(settings(&proxy), before, "{path}");
    }
    let endpoints = "/v1/versions/green/endpoints";
    for (method, path, body, field, in_detail) in [
        ("POST", "/v1/release", r#"{"green": {"version": "v3"}}"#, "green.endpoints", "is missing; write a list"),
        ("POST", "/v1/release", r#"{"green": "v3"}"#, "green", "\"v3\" is text; write an object"),
        (
            "POST",
            "/v1/release",
            r#"{"green": {"version": 3, "endpoints": []}}"#,
            "green.version",
            "3 is a number; write text",
        ),
        ("POST", "/v1/release", r#"{"again": "yes"}"#, "again", "\"yes\" is text; write true or false"),
        (
            "POST",
            "/v1/release/rollback",
            r#"{"irreversible": 1}"#,
            "irreversible",
            "1 is a number; write true or false",
        ),
        ("PUT", endpoints, r#"{"endpoints": "127.0.0.1:1"}"#, "endpoints", "is text; write a list of at most 1000"),
        ("PUT", endpoints, r#"{"endpoints": ["127.0.0.1:1", 2]}"#, "endpoints[1]", "2 is a number; write text"),
        ("PUT", endpoints, r#"{"endpoints": ["nonsense"]}"#, "endpoints[0]", "nonsense"),
    ] {
        let refused = proxy.ask(method, path, &[HOST, JSON], body);
        assert_problem(&refused, 422, in_detail);
        assert_eq!(parsed(&refused)["field"], field, "{body}");
        assert_eq!(settings(&proxy), before, "{body}");
    }
    for (target, field, in_detail) in [
        ("/v1/gate?wait=soon", "wait", "wait: "),
        ("/v1/gate?wiat=1s", "wiat", "wiat: is an unknown parameter; did you mean `wait`?"),
        ("/v1/gate?epoch=-1", "epoch", "epoch: `-1` is none; write a whole number from 0 to 4294967295"),
        ("/v1/gate?epoch=1&epoch=2", "epoch", "is there twice"),
        ("/v1/releases?limit=0", "limit", "limit: `0` is none; write a whole number from 1 to 1000"),
    ] {
        let refused = proxy.ask("GET", target, &[HOST], "");
        assert_problem(&refused, 422, in_detail);
        assert_eq!(parsed(&refused)["field"], field, "{target}");
    }
    assert!(events.heard().is_empty());
}

#[test]
fn a_body_of_another_type_or_beyond_the_bound_a_wrong_path_and_a_wrong_method_are_problems_too() {
    let proxy = Proxy::before(&Upstream::ok());
    let before = settings(&proxy);
    let weight = r#"{"weight": 50}"#;
    for content_type in ["", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded"] {
        let fields: &[&str] = if content_type.is_empty() { &[HOST] } else { &[HOST, content_type] };
        assert_problem(&proxy.ask("PUT", "/v1/weight", fields, weight), 415, "application/json");
    }
    let long = format!(r#"{{"weight": 50, "reason": "{}"}}"#, "x".repeat(16 * 1024));
    assert_problem(&proxy.ask("PUT", "/v1/weight", &[HOST, JSON], &long), 413, "longer than 16384 bytes");
    assert_problem(&proxy.ask("POST", "/v1/release/rollback", &[HOST, JSON], &long), 413, "longer than 16384 bytes");
    for path in ["/dashboard/x", "/v1", "/v1/weight/", "/v1/releases/", "/v1/release/undo", "/metrics/x"] {
        assert_problem(&proxy.ask("GET", path, &[HOST], ""), 404, "nothing at this path");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/weight", "PUT"),
        ("POST", "/v1/weight", "PUT"),
        ("DELETE", "/v1/release", "POST"),
        ("PUT", "/v1/status", "GET,HEAD"),
        ("POST", "/metrics", "GET,HEAD"),
    ] {
        let refused = proxy.ask(method, path, &[HOST, JSON], weight);
        assert_problem(&refused, 405, "method");
        assert_eq!(refused.head.one("allow"), allowed, "{method} {path}");
    }
    assert_eq!(settings(&proxy), before);
}

#[test]
fn row_81_a_page_of_another_site_and_a_rebound_name_are_refused() {
    let proxy = Proxy::before(&Upstream::ok());
    let before = settings(&proxy);
    let own = format!("Host: {}", proxy.admin);
    let weight = r#"{"weight": 50}"#;
    for host in ["Host: evil.example", "Host: 127.0.0.1.evil.example", "Host: localhost.evil.example:9090"] {
        assert_problem(&proxy.ask("PUT", "/v1/weight", &[host, JSON], weight), 403, "another site");
        assert_problem(&proxy.ask("GET", "/v1/status", &[host], ""), 403, "another site");
    }
    for origin in ["Origin: http://evil.example", "Origin: null", "Origin: https://127.0.0.1:1"] {
        assert_problem(&proxy.ask("PUT", "/v1/weight", &[&own, JSON, origin], weight), 403, "another site");
        // What a form of another page can send without asking first.
        assert_problem(&proxy.ask("POST", "/v1/release/rollback", &[&own, origin], ""), 403, "another site");
    }
    assert_eq!(settings(&proxy), before);
    let origin = format!("Origin: http://{}", proxy.admin);
    assert_eq!(proxy.ask("PUT", "/v1/weight", &[&own, JSON, &origin], weight).status, 200);
}

/// Two tokens, their file, and a proxy that asks for them.
struct Guarded {
    proxy: Proxy,
    file: PathBuf,
}

const VIEWER: &str = "viewer-token-4f1d8a";
const OPERATOR: &str = "operator-token-b7c2e9";

fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tokens_file() -> PathBuf {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-tokens-{number}.yaml", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (viewer, operator) = (digest(VIEWER), digest(OPERATOR));
    let text = format!(
        "tokens:\n- {{ name: vera, role: viewer, sha256: \"{viewer}\" }}\n\
         - {{ name: otto, role: operator, sha256: \"{operator}\" }}\n"
    );
    std::fs::write(&file, text).expect("the target folder can be written");
    file
}

fn with_tokens(text: &str, file: &std::path::Path) -> String {
    let open = "admin: { listen: 127.0.0.1:0 }";
    assert!(text.contains(open));
    text.replace(open, &format!("admin: {{ listen: 127.0.0.1:0, tokens: {:?} }}", file.display().to_string()))
}

impl Guarded {
    fn start() -> Guarded {
        let (blue, file) = (Upstream::ok(), tokens_file());
        let text = with_tokens(&config(&[blue.address], &[blue.address], ""), &file);
        Guarded { proxy: Proxy::start_logging(&text, "trace"), file }
    }

    fn ask(&self, method: &str, path: &str, authorization: &str, body: &str) -> Response {
        let mut fields = vec![HOST, JSON];
        if !authorization.is_empty() {
            fields.push(authorization);
        }
        self.proxy.ask(method, path, &fields, body)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // An error means that there is nothing to remove.
        std::fs::remove_file(&self.file).ok();
    }
}

const CHANGES: [(&str, &str, &str); 8] = [
    ("PUT", "/v1/weight", r#"{"weight": 50}"#),
    ("POST", "/v1/release", "{}"),
    ("POST", "/v1/release/pause", "{}"),
    ("POST", "/v1/release/resume", "{}"),
    ("POST", "/v1/release/approve", "{}"),
    ("POST", "/v1/release/promote", "{}"),
    ("POST", "/v1/release/rollback", "{}"),
    ("POST", "/v1/signals/alerts", r#"{"state": "firing"}"#),
];

#[test]
fn row_80_no_token_and_a_wrong_one_are_401_and_a_viewers_token_on_a_change_is_403() {
    let guarded = Guarded::start();
    let (viewer, operator) = (format!("Authorization: Bearer {VIEWER}"), format!("Authorization: bearer {OPERATOR}"));
    let digest_of_operator = format!("Authorization: Bearer {}", digest(OPERATOR));
    let shorter = &operator[..operator.len() - 1];
    for path in ["/v1/status", "/v1/evidence", "/v1/events", "/v1/gate", "/v1/releases", "/v1/releases/v2-1/evidence"] {
        for no_token in ["", "Authorization: Basic b3R0bzp4", "Authorization: Bearer"] {
            let refused = guarded.ask("GET", path, no_token, "");
            assert_problem(&refused, 401, "a bearer token is needed");
            assert_eq!(refused.head.one("www-authenticate"), "Bearer");
        }
        for wrong in ["Authorization: Bearer wrong", "Authorization: Bearer ", &digest_of_operator, shorter] {
            assert_eq!(guarded.ask("GET", path, wrong, "").status, 401, "{wrong}");
        }
    }
    assert_eq!(guarded.ask("GET", "/v1/status", &viewer, "").status, 200);
    assert_eq!(guarded.ask("GET", "/v1/evidence", &viewer, "").status, 200);
    for (method, path, body) in CHANGES {
        assert_problem(&guarded.ask(method, path, "", body), 401, "needed");
        assert_problem(&guarded.ask(method, path, shorter, body), 401, "not known");
        assert_problem(&guarded.ask(method, path, &viewer, body), 403, "vera has the role viewer");
    }
    let status = parsed(&guarded.ask("GET", "/v1/status", &operator, ""));
    assert_eq!((&status["state"], &status["epoch"]), (&json!("idle"), &json!(0)), "nothing has changed");
    assert_eq!(guarded.ask("PUT", "/v1/weight", &operator, r#"{"weight": 50}"#).status, 200);
    let rolled_back = guarded.ask("POST", "/v1/release/rollback", &operator, "");
    assert_eq!(parsed(&rolled_back)["rollback"]["actor"], "otto");
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(guarded.ask("GET", path, "", "").status, 200, "{path} needs no token");
    }
}

#[test]
fn row_90_no_token_and_no_digest_shows_in_a_log_a_status_an_error_or_a_metric() {
    let guarded = Guarded::start();
    let mut said = String::new();
    for authorization in
        [VIEWER, OPERATOR, "not-a-known-token-77"].map(|token| format!("Authorization: Bearer {token}"))
    {
        for path in ["/v1/status", "/v1/evidence", "/metrics", "/nowhere"] {
            said += &guarded.ask("GET", path, &authorization, "").text();
        }
        for (method, path, body) in CHANGES {
            said += &guarded.ask(method, path, &authorization, body).text();
        }
    }
    let faulty = tokens_file();
    let text = std::fs::read_to_string(&faulty).expect("it was written");
    std::fs::write(&faulty, text.replace("role: operator", "role: chief").replace("\" }", "0\" }")).expect("as before");
    let configuration = guarded.file.with_extension("faulty.yaml");
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    std::fs::write(&configuration, with_tokens(&config(&[nowhere], &[nowhere], ""), &faulty)).expect("as before");
    for arguments in [vec!["check"], vec!["check", "--json"], vec!["run", "--config"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).arg(&configuration).output();
        let output = output.expect("the binary is built");
        assert_eq!(output.status.code(), Some(1));
        let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains("role"), "{shown}");
        said += &shown;
    }
    for file in [&faulty, &configuration] {
        std::fs::remove_file(file).expect("it was written");
    }
    said += &guarded.proxy.log();
    assert!(said.contains("rolled back by otto"), "the log was read");
    for token in [VIEWER, OPERATOR, "not-a-known-token-77"] {
        let digest = digest(token);
        for secret in [token, &digest, &digest[..16], &digest.to_uppercase()] {
            assert!(!said.contains(secret), "{secret} is in: {said}");
        }
    }
}

#[test]
fn an_admin_listener_beyond_loopback_needs_tokens_or_the_proxy_refuses_to_start() {
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let text = config(&[nowhere], &[nowhere], "")
            .replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: \"{listen}\" }}"));
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-open.yaml", std::process::id()));
        std::fs::write(&file, text).expect("the target folder can be written");
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["run", "--config"]).arg(&file).output();
        let output = output.expect("the binary is built");
        std::fs::remove_file(&file).expect("it was written");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("admin.listen") && said.contains("not on loopback"), "{said}");
    }
    let file = tokens_file();
    let text = config(&[nowhere], &[nowhere], "")
        .replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: \"0.0.0.0:0\", tokens: {file:?} }}"));
    let proxy = Proxy::start(&text);
    assert!(proxy.admin.ip().is_unspecified());
    std::fs::remove_file(&file).expect("it was written");
}

#[test]
fn status_says_where_the_release_is_and_what_both_versions_have_done() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let gate = "service: checkout\ngate: { warmUp: { time: 0s, requests: 0 }, compare: { enabled: false }, \
                triggers: [{ name: dead, metric: failureStreak, atLeast: 1000 }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], gate));
    let status = proxy.status();
    assert_eq!(status["service"], "checkout");
    assert_eq!((&status["state"], &status["epoch"], &status["weight"]), (&json!("idle"), &json!(0), &json!(0.0)));
    assert_eq!((&status["step"], &status["rollback"]), (&Value::Null, &Value::Null));
    assert_eq!((&status["green"]["version"], &status["green"]["p99"]), (&json!("v2"), &Value::Null));

    proxy.set_weight(25.0);
    let mut client = proxy.client();
    (0..200).for_each(|_| _ = client.get("/"));
    let status = proxy.until(|status| status["green"]["requests"] == 50 && status["blue"]["requests"] == 150);
    assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(25.0)));
    for (version, named, requests, failures, rate) in [("blue", "v1", 150, 0, 0.0), ("green", "v2", 50, 50, 1.0)] {
        let of = &status[version];
        assert_eq!((&of["version"], &of["requests"]), (&json!(named), &json!(requests)));
        assert_eq!((&of["failures"], &of["errorRate"]), (&json!(failures), &json!(rate)));
        assert_eq!(of["healthyEndpoints"], 1);
        let [p50, p95, p99] = ["p50", "p95", "p99"].map(|field| of[field].as_f64().expect("milliseconds"));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 < 10_000.0, "{p50} {p95} {p99}");
    }
    assert!(status["verdict"]["kind"].is_string() && status["verdict"]["sentence"].is_string());
    let evidence = parsed(&proxy.call("GET", "/v1/evidence", &Value::Null));
    assert_eq!(evidence["windows"][0]["green"]["failures"], 50, "{evidence:#}");
}

#[test]
fn promise_6_every_change_is_told_in_order_with_its_actor_its_reason_and_the_state_after_it() {
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let streak = "gate: { triggers: [{ name: dead, metric: failureStreak, atLeast: 5, confirm: none }] }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], streak));
    let events = Listener::new(proxy.admin);
    let second = Listener::new(proxy.admin);
    assert_eq!(proxy.post("/v1/release", &json!({ "reason": "v2 is here" })).status, 200);
    assert_problem(&proxy.post("/v1/release", &Value::Null), 409, "release 1 is open at weight 0 %");
    assert_eq!(proxy.call("PUT", "/v1/weight", &json!({ "weight": 50, "reason": "half" })).status, 200);
    let mut client = proxy.client();
    (0..40).for_each(|_| _ = client.get("/"));
    assert_eq!(events.until("rolledBack").kind, "rolledBack");
    assert_problem(&proxy.call("PUT", "/v1/weight", &json!({ "weight": 1 })), 409, "POST /v1/release");
    assert_eq!(proxy.post("/v1/release", &Value::Null).status, 200);
    assert_eq!(proxy.post("/v1/release/rollback", &json!({ "reason": "enough" })).status, 200);
    let told: Vec<Value> = (0..5).map(|_| second.next().data).collect();
    let streak = "green failed 5 requests in a row; in the same time blue failed 0 of";
    for (told, (kind, actor, sentence, epoch, state, weight)) in told.iter().zip([
        ("started", "local", "release started by local: v2 is here", 1, "stepping", 0.0),
        ("weightSet", "local", "weight set to 50 % by local: half", 1, "stepping", 50.0),
        ("rolledBack", "gate", streak, 1, "rolledBack", 0.0),
        ("started", "local", "release started by local", 2, "stepping", 0.0),
        ("rolledBack", "local", "rolled back by local: enough", 2, "rolledBack", 0.0),
    ]) {
        assert_eq!((&told["kind"], &told["actor"]), (&json!(kind), &json!(actor)));
        let said = told["sentence"].as_str().unwrap_or_default();
        assert!(said.starts_with(sentence) && (kind == "rolledBack" || said == sentence), "{said}");
        assert_eq!((&told["epoch"], &told["state"], &told["weight"]), (&json!(epoch), &json!(state), &json!(weight)));
    }
    let times: Vec<&str> = told.iter().filter_map(|told| told["at"].as_str()).collect();
    assert!(times.len() == 5 && times.is_sorted(), "{times:?}");
}

#[test]
fn the_admin_api_answers_while_every_worker_is_saturated() {
    const QUICK: Duration = Duration::from_millis(250);
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], "workers: 2"));
    let load = Load::start(proxy.listen, 64);
    load.until_more(1_000);
    proxy.until(|status| status["blue"]["requests"] != 0);
    let mut took: Vec<Duration> = (0..50)
        .map(|number| {
            let asked = Instant::now();
            match number % 3 {
                0 => _ = proxy.status(),
                1 => proxy.set_weight(f64::from(number)),
                _ => assert!(proxy.metrics().contains("portcullis_requests_total")),
            }
            asked.elapsed()
        })
        .collect();
    took.sort();
    assert!(took[25] < QUICK, "the median of {took:?}");
    assert_eq!(load.stop().lost, Vec::<String>::new());
}
