//! Where spans go, and what a collector is told of us.

use std::path::Path;

use super::settings::check;
use super::{LEAST, loaded, told};
use crate::config::{Config, Environment, Faults, TraceContext, parse};

fn otlp(more: &str) -> String {
    format!("tracing: {{ otlp: {{ endpoint: \"http://127.0.0.1:4318\"{more} }} }}")
}

fn parsed(line: &str) -> Result<Config, Faults> {
    let environment = [("KEY", "hunter2"), ("LINES", "hunter2\nhunter2")].into_iter().collect();
    parse(&format!("{LEAST}{line}\n"), "portcullis.yaml", Path::new(""), &environment)
}

#[test]
fn the_path_of_traces_stands_behind_the_address_of_a_collector_unless_it_is_written() {
    for (endpoint, collector, path) in [
        ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
        ("http://collector:4318/", "collector:4318", "/v1/traces"),
        ("http://collector:4318/v1/traces", "collector:4318", "/v1/traces"),
        ("http://collector:4318/otlp/", "collector:4318", "/otlp/v1/traces"),
        ("http://[::1]:4318/a/b", "[::1]:4318", "/a/b/v1/traces"),
    ] {
        let config = loaded(&format!("{LEAST}tracing: {{ otlp: {{ endpoint: \"{endpoint}\" }} }}\n"));
        let otlp = config.otlp.expect("there is a collector");
        assert_eq!((otlp.collector.to_string().as_str(), otlp.path.as_str()), (collector, path), "{endpoint}");
        assert_eq!(config.trace_context, TraceContext::Ensured);
    }
}

#[test]
fn a_collector_is_told_by_a_url_with_a_scheme() {
    let check_endpoint = |endpoint: &str, expected: &str| {
        check(&format!("tracing: {{ otlp: {{ endpoint: \"{endpoint}\" }} }}"), &[expected]);
    };
    const AT: &str = "5:30 tracing.otlp.endpoint:";
    const SHAPE: &str = "write the address of a collector, like `http://127.0.0.1:4318`";
    check_endpoint(
        "collector:4318",
        &format!("{AT} `collector:4318` has no `http://` and no `https://` | write `http://collector:4318`"),
    );
    check_endpoint("http://collector", &format!("{AT} `collector` has no port | write `collector:8080`"));
    check_endpoint("http://c:4318/?a=b", &format!("{AT} `http://c:4318/?a=b` has a query | {SHAPE}"));
    check_endpoint("http://c:4318/a b", &format!("{AT} `http://c:4318/a b` has no usable path | {SHAPE}"));
    check_endpoint(
        "http://a:hunter2@c:4318",
        &format!("{AT} has a user name | what a collector is to know of us stands in `headers`"),
    );
    check("tracing: { otlp: {} }", &["5:12 missing key `tracing.otlp.endpoint` | has no `endpoint`"]);
}

#[test]
fn the_share_and_the_time_of_spans_have_a_range() {
    check(&otlp(", sample: 0%"), &[]);
    check(&otlp(", sample: 100%, timeout: 1h"), &[]);
    check(&otlp(", sample: 0.1"), &["5:63 tracing.otlp.sample: `0.1` has no percent sign | write `10%`"]);
    check(&otlp(", sample: 101%"), &["5:63 tracing.otlp.sample: `101%` is above 100% | a share is from 0% to 100%"]);
    check(&otlp(", timeout: 2h"), &["5:64 tracing.otlp.timeout: `2h` is above 1h | from 1ms to 1h"]);
    check(
        "tracing: { propagate: false, otlp: { endpoint: \"http://c:4318\" } }",
        &[
            "5:23 tracing.propagate: is `false` beside `otlp` | leave it out: an endpoint that hears nothing of the trace would begin one of its own",
        ],
    );
    check("tracing: { otpl: {} }", &["5:12 unknown key `tracing.otpl` | did you mean `otlp`?"]);
}

#[test]
fn what_a_collector_is_told_of_us_is_a_secret() {
    let headers = |written: &str| otlp(&format!(", headers: {{ {written} }}"));
    let config = parsed(&headers("X-Key: env:KEY")).unwrap_or_else(|faults| panic!("{faults}"));
    let shown = format!("{config:?}\n{}", config.text);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(config.otlp.expect("there is a collector").headers["x-key"], "hunter2");
    const AT: &str = "tracing.otlp.headers";
    for (written, expected) in [
        ("k: hunter2", format!("5:69 {AT}.k: is written out, and is a secret | write `env:NAME` or `file:PATH`")),
        ("k: env:LINES", format!("5:69 {AT}.k: holds what no header may have | one line of printable characters")),
        ("host: env:KEY", format!("5:72 {AT}.host: `host` is written by the proxy itself | leave it out")),
        ("a b: env:KEY", format!("5:71 {AT}.a b: `a b` is not the name of a header | letters, digits and `-`")),
    ] {
        let faults = parsed(&headers(written)).map(|_| ()).expect_err("the header is faulty");
        assert_eq!(faults.iter().map(told).collect::<Vec<_>>(), [expected], "{written}");
    }
}

#[test]
fn the_port_of_grpc_is_warned_of() {
    let line = "tracing: { otlp: { endpoint: \"http://127.0.0.1:4317\" } }\n";
    let config = parse(&format!("{LEAST}{line}"), "portcullis.yaml", Path::new(""), &Environment::default());
    let warnings: Vec<String> = config.unwrap_or_else(|faults| panic!("{faults}")).warnings.iter().map(told).collect();
    let label = "spans go by HTTP, which collectors take at 4318";
    assert_eq!(warnings, [format!("5:30 tracing.otlp.endpoint: has the port of OTLP by gRPC | {label}")]);
}
