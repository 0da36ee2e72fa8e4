//! The dashboard as a browser gets it, without one: its files, its stream, and the minutes before. What it looks like and what its
//! buttons do is seen in a browser, by tests/dashboard/.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Backend, Listener, Load, Proxy, Response, Upstream, config};

/// The files that `page` names.
fn named(page: &str) -> HashSet<&str> {
    let mut quoted: Vec<&str> = page.split('"').collect();
    quoted.retain(|text| text.starts_with("dashboard/"));
    quoted.into_iter().collect()
}

fn get(proxy: &Proxy, path: &str, field: &str) -> Response {
    proxy.ask("GET", path, &[&format!("Host: {}", proxy.admin), field], "")
}

fn with_tokens() -> Proxy {
    let digest = |token: &str| {
        let digest = Sha256::digest(token);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-dashboard-{number}.yaml", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = format!(
        "tokens:\n- {{ name: alice, role: operator, sha256: \"{}\" }}\n- {{ name: bob, role: viewer, sha256: \"{}\" }}\n",
        digest("operate"),
        digest("look")
    );
    std::fs::write(&file, text).expect("the target folder can be written");
    let upstream = Upstream::ok();
    let admin = format!("admin: {{ listen: 127.0.0.1:0, tokens: {:?} }}", file.display().to_string());
    Proxy::start(
        &config(&[upstream.address], &[upstream.address], "").replace("admin: { listen: 127.0.0.1:0 }", &admin),
    )
}

#[test]
fn the_page_is_a_few_files_of_its_own_that_may_load_nothing_from_elsewhere_and_stand_in_no_frame() {
    let proxy = with_tokens();
    let page = get(&proxy, "/", "Accept: */*");
    let text = page.text();
    let files = named(&text);
    assert!(files.len() >= 7, "{files:?}");
    assert!(!text.contains("style=") && !text.contains("<script>") && !text.contains("://"), "{text}");
    let mut bytes = text.len();
    for path in files.iter().map(|file| format!("/{file}")).chain(["/".to_owned()]) {
        let answer = get(&proxy, &path, "Accept: */*");
        assert_eq!(answer.status, 200, "{path}");
        let field = |name| answer.head.one(name);
        let may = field("content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
            assert!(may.split("; ").any(|part| part == rule), "{path}: {may}");
        }
        assert!(!may.contains("unsafe") && !may.contains('*'), "{may}");
        assert_eq!(
            [field("x-content-type-options"), field("referrer-policy"), field("cache-control")],
            ["nosniff", "no-referrer", "no-cache"].map(str::to_owned),
            "{path}"
        );
        let media_type = field("content-type");
        let expected = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(media_type, expected, "{path}");
        bytes += answer.body.len();
    }
    assert!(bytes < 200_000, "{bytes} bytes");
    let unknown = get(&proxy, "/dashboard/x.js", "Accept: */*");
    assert_eq!((unknown.status, unknown.head.one("content-type").as_str()), (404, "application/problem+json"));
}

#[test]
fn a_file_of_the_page_comes_again_only_when_it_has_changed_and_packed_to_those_who_take_that() {
    let proxy = Proxy::before(&Upstream::ok());
    let plain = get(&proxy, "/dashboard/charts.js", "Accept: */*");
    let packed = get(&proxy, "/dashboard/charts.js", "Accept-Encoding: gzip, br");
    assert_eq!(packed.head.one("content-encoding"), "gzip");
    assert!(packed.body.len() * 2 < plain.body.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.body);
    let etag = plain.head.one("etag");
    let known = get(&proxy, "/dashboard/charts.js", &format!("If-None-Match: \"other\", {etag}"));
    assert_eq!((known.status, known.body.len(), known.head.one("etag")), (304, 0, etag));
    assert!(known.head.one("content-security-policy").contains("default-src 'none'"));
    assert_eq!(get(&proxy, "/dashboard/charts.js", "If-None-Match: \"other\"").status, 200);
}

#[test]
fn the_stream_and_the_series_are_for_those_with_a_token_and_say_whose_it_is() {
    let proxy = with_tokens();
    for path in ["/v1/live", "/v1/series"] {
        assert_eq!(get(&proxy, path, "Accept: */*").status, 401, "{path}");
        assert_eq!(get(&proxy, path, "Authorization: Bearer wrong").status, 401, "{path}");
    }
    for (token, actor, role) in [("operate", "alice", "operator"), ("look", "bob", "viewer")] {
        let stream = Listener::on(proxy.admin, "/v1/live", &format!("Authorization: Bearer {token}\r\n"));
        let hello = stream.next();
        assert_eq!(
            (hello.kind.as_str(), &hello.data["actor"], &hello.data["role"]),
            ("hello", &json!(actor), &json!(role))
        );
        let status = stream.next();
        assert_eq!((status.kind.as_str(), &status.data["state"]), ("status", &json!("idle")));
    }
}

#[test]
fn the_stream_tells_what_changes_at_once_and_numbers_once_a_second() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = Proxy::start(&config(
        &[blue.address],
        &[green.address],
        "gate:\n  triggers:\n  - { name: slow, metric: latency, quantile: 0.99, above: 200ms, window: 10s }\n  \
         - { name: asked, metric: external, signal: page, action: notify }\n",
    ));
    let stream = Listener::on(proxy.admin, "/v1/live", "");
    let first = stream.until("status").data;
    assert_eq!(first["bounds"][0]["bound"], 200.0);
    assert_eq!(first["bounds"][0]["green"], Value::Null, "nothing was measured, and that is not zero");
    assert_eq!(first["bounds"][1]["signal"], "page");
    proxy.set_weight(30.0);
    let (mut status, mut event) = (Value::Null, Value::Null);
    while status["weight"] != 30.0 || event.is_null() {
        let heard = stream.next();
        match heard.kind.as_str() {
            "status" => status = heard.data,
            "event" => event = heard.data,
            _ => {}
        }
    }
    assert_eq!((&status["state"], &event["kind"]), (&json!("stepping"), &json!("weightSet")));
    proxy.post("/v1/release/rollback", &json!({ "reason": "a test" }));
    let rolled_back = loop {
        let status = stream.until("status");
        if status.data["state"] == "rolledBack" {
            break status;
        }
        assert_eq!(status.data["weight"], 30.0);
    };
    assert_eq!(rolled_back.data["rollback"]["trigger"], "operator");
    let mut before = rolled_back.data;
    let calm = loop {
        let after = stream.until("status").data;
        if before["verdict"]["kind"] == after["verdict"]["kind"] {
            break [before, after];
        }
        before = after;
    };
    let [one, other] = calm.map(|status| status["at"].as_str().expect("a time").parse::<Timestamp>().expect("a time"));
    assert!(other.duration_since(one).as_millis() >= 900, "nothing has changed but numbers: {one} and {other}");
}

#[test]
fn the_series_holds_what_each_version_did_second_by_second_and_what_happened() {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], ""));
    let stream = Listener::on(proxy.admin, "/v1/live", "");
    proxy.set_weight(50.0);
    let load = Load::start(proxy.listen, 2);
    let busy = loop {
        let point = stream.until("point").data;
        if point["green"]["requests"].as_u64() > Some(0) && point["every"] == 1 {
            break point;
        }
    };
    load.stop();
    assert!(busy["blue"]["p99"].is_number() && busy["lnEvidence"].is_number(), "{busy:#}");
    assert_eq!(busy["weight"], 50.0);
    let idle = loop {
        let point = stream.until("point").data;
        if point["green"]["requests"] == 0 && point["number"].as_u64() > busy["number"].as_u64() {
            break point;
        }
    };
    assert_eq!(idle["green"]["p50"], Value::Null, "no requests have no latency");
    let answer = get(&proxy, "/v1/series", "Accept-Encoding: gzip");
    let mut text = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
    let series: Value = serde_json::from_str(&text).expect("JSON");
    let seconds = series["resolutions"][0]["points"].as_array().expect("a list");
    let kept = |point: &Value| seconds.iter().any(|known| known == point);
    assert!(kept(&busy) && kept(&idle), "{series:#}");
    assert_eq!(series["events"][0]["kind"], "weightSet");
}
