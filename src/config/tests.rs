use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::gate::compare::Settings;
use crate::gate::policy::{Counting, WarmUp};
use crate::gate::trigger::{Action, Cadence, CheckTrigger, Condition, Confirm, Rate, SignalTrigger, Span};
use crate::gate::{GrpcStatus, GrpcStatuses};
use crate::release::{Approval, Gates, OnLowTraffic, Step, Weight};

mod cohorts;
mod endpoints;
mod gate;
mod health;
mod limits;
mod mirror;
mod outside;
mod overriding;
mod proxy_protocol;
mod release;
mod routes;
mod runbook;
mod secrets;
mod settings;
mod shield;
mod sticky;
mod telling;
mod terms;
mod text;
mod tls;
mod tokens;
mod tracing;
mod triggers;

const LEAST: &str = r#"listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9090 }
blue: { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
"#;

const FULLER: &str = r#"
service: checkout
listen: 127.0.0.1:8080
workers: 2
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"], maxRequests: 500, proxyProtocol: v2, healthCheck: { tcp: true, interval: 500ms } }
green:
  version: v2
  endpoints: ["green.example:9002", "[::1]:9003"]
  healthCheck: { path: "/healthz?full=1", interval: 10s, timeout: 2s, healthyAfter: 1, unhealthyAfter: 4 }
trustedProxies: ["10.0.0.0/8"]
proxyProtocol: { from: ["10.1.0.0/16", "fd00::/8"] }
timeouts: { connect: 1s, requestHead: 10s, responseHead: 30s, bodyIdle: 1m30s, keepAlive: 75s, tunnelIdle: 1h }
limits: { connections: 10000, headBytes: 32KiB, headFields: 100, targetBytes: 16KiB, responseHeadBytes: 65536, requestBodyBytes: 10MiB, requestBodyRate: 1KiB, memoryBytes: 256MiB }
rateLimit: { requests: 100, per: 1s, burst: 200, by: address }
ejection: { failures: 5, duration: 30s }
drain: { wait: 0s, deadline: 30s }
accessLog: { format: text }
http2: { maxConcurrentStreams: 250 }
requestId: true
tracing: { serviceName: edge, otlp: { endpoint: "http://collector:4318", sample: 0.5%, timeout: 3s } }
sticky: { header: X-User }
journal: { age: 2d, size: 1GiB }
release:
  steps: [{ weight: 0.5%, bake: 0s }, { weight: 10%, bake: 5m, approval: true }, { weight: 100%, bake: 1h }]
  initialDelay: 30s
  progressDeadline: 30m
  onLowTraffic: wait
  irreversible: the old schema is gone
gate:
  minimumRequests: 20
  exclude: [/healthz, /internal/*]
  failureStatuses: [5xx, 429]
  notFailures: [501]
  grpcFailureStatuses: [UNAVAILABLE, 13]
  warmUp: { time: 1m, requests: 5 }
  clientShare: 25%
  compare: { falseAlarm: 0.01, ratio: 2, margin: 0.5%, slower: 50%, unacceptable: 10% }
  triggers:
  - { name: meltdown, metric: errorRate, above: 10%, window: 10s, sustained: 0s, action: notify }
  - { name: slow, metric: latency, quantile: 0.99, above: 200ms, window: 10s, minimumRequests: 7 }
  - { name: five-times, metric: latency, quantile: 0.95, aboveBlue: 5, floor: 20ms, measure: whole }
  - { name: worse, metric: errorRate, aboveBlue: 2.5, confirm: comparison }
  - { name: good, metric: successRate, below: 99%, interval: 5m, failureLimit: 3, consecutiveLimit: 2 }
  - { name: dead, metric: failureStreak, atLeast: 7, action: pause }
  - { name: dead-checks, metric: healthChecks, atLeast: 3, sustained: 30s }
  - { name: probe, metric: external }
  - { name: alert, metric: external, signal: checkout-probe, action: notify }
"#;

fn loaded(text: &str) -> Config {
    parse(text, "portcullis.yaml", Path::new(""), &Environment::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn refused(text: &str) -> Faults {
    parse(text, "portcullis.yaml", Path::new(""), &Environment::default()).expect_err("the configuration is faulty")
}

/// Each fault as `line:column message | label`; none when the configuration is taken.
fn faults(text: &str) -> Vec<String> {
    match parse(text, "portcullis.yaml", Path::new(""), &Environment::default()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(told).collect(),
    }
}

fn told(fault: &Fault) -> String {
    let place = fault.position().map_or("file".to_owned(), |(line, column)| format!("{line}:{column}"));
    format!("{place} {} | {}", fault.message, fault.label)
}

#[test]
fn the_least_configuration_takes_the_defaults() {
    let config = loaded(LEAST);
    assert_eq!(config.service, "default");
    assert_eq!(config.timeouts.tunnel_idle, Duration::from_secs(3600));
    assert_eq!((config.limits.head_bytes, config.limits.target_bytes), (32 * 1024, 16 * 1024));
    assert_eq!((config.limits.request_body_bytes, config.limits.request_body_rate), (None, 240));
    assert_eq!(config.rate_limit, None);
    assert_eq!(config.ejection.failures, 5);
    assert_eq!(config.access_log, AccessLog::Off);
    assert_eq!(config.http2, Http2::On { max_concurrent_streams: 100 });
    assert_eq!((config.request_ids, config.trace_context), (RequestIds::PassedOn, TraceContext::PassedOn));
    assert_eq!((config.otlp, config.limits.memory), (None, MemoryBound::Off));
    assert!(config.trusted_proxies.is_empty() && config.proxied_from.is_empty());
    assert_eq!(config.versions.blue.transport.proxy_protocol, None);
    assert!(matches!(config.admin.access, Access::Loopback));
    let streak = config.policy.streak.expect("the default policy has a streak");
    assert_eq!((streak.name.as_str(), streak.at_least, streak.action), ("dead", 5, Action::Rollback));
    assert!(config.policy.triggers.is_empty());
    assert_eq!(config.policy.compare, Some(Settings::default()));
    assert_eq!(config.policy.counting, Counting::default());
    assert!(config.plan.is_none() && config.sticky.is_none() && config.versions.green.health_check.is_none());
    assert_eq!(config.journal, JournalBounds { age: Duration::from_secs(7 * 24 * 3600), size: 256 * 1024 * 1024 });
}

#[test]
fn every_key_of_a_plan_arrives() {
    let step = |percent, bake, approval| Step {
        weight: Weight::from_percent(percent).expect("a weight"),
        mirror: None,
        cohort: None,
        bake: Duration::from_secs(bake),
        approval,
    };
    let plan = Plan {
        steps: vec![step(0.5, 0, Approval::Automatic), step(10.0, 300, Approval::Operator)],
        budget: None,
        initial_delay: Duration::from_secs(30),
        progress_deadline: Some(Duration::from_secs(1800)),
        monitoring: Duration::from_secs(3600),
        on_low_traffic: OnLowTraffic::Wait,
        irreversible: Some("the old schema is gone".to_owned()),
        max_weight: Weight::FULL,
        gates: Gates::default(),
    };
    assert_eq!(loaded(FULLER).plan, Some(plan));
}

#[test]
fn what_counts_as_evidence_arrives() {
    let config = loaded(FULLER);
    let counting = config.policy.counting;
    let excluded = ["/healthz", "/internal/a", "/"].map(|path| counting.excludes(path));
    assert_eq!(excluded, [true, true, false]);
    let failures = [429, 500, 501, 428].map(|status| counting.failures.contains(status));
    assert_eq!(failures, [true, true, false, false]);
    assert_eq!(counting.grpc_failures, GrpcStatuses::from_iter([GrpcStatus::Unavailable, GrpcStatus::Internal]));
    assert_eq!(counting.warm_up, WarmUp { time: Duration::from_secs(60), requests: 5 });
    assert_eq!(counting.client_share.fraction(), 0.25);
    let settings = Settings {
        false_alarm: 0.01,
        ratio: 2.0,
        margin: 0.005,
        slower: 0.5,
        unacceptable: 0.1,
        ..Settings::default()
    };
    assert_eq!(config.policy.compare, Some(settings));
    assert_eq!(config.sticky, Some(Sticky::Own(ClientKey::Header(http::HeaderName::from_static("x-user")))));
    assert_eq!(config.journal, JournalBounds { age: Duration::from_secs(2 * 24 * 3600), size: 1 << 30 });
}

#[test]
fn health_checks_and_what_watches_them_arrive() {
    let config = loaded(FULLER);
    let blue = config.versions.blue.health_check.expect("blue is checked");
    let seconds = Duration::from_secs_f64;
    assert_eq!((blue.probe, blue.interval, blue.timeout), (Probe::Tcp, seconds(0.5), seconds(0.5)));
    assert_eq!((blue.healthy_after, blue.unhealthy_after), (2, 3));
    let green = config.versions.green.health_check.expect("green is checked");
    assert_eq!(green.probe, Probe::Http { path: PathAndQuery::from_static("/healthz?full=1") });
    assert_eq!((green.interval, green.timeout), (seconds(10.0), seconds(2.0)));
    assert_eq!((green.healthy_after, green.unhealthy_after), (1, 4));
    let checks = CheckTrigger {
        name: "dead-checks".to_owned(),
        at_least: 3,
        sustained: seconds(30.0),
        action: Action::Rollback,
    };
    assert_eq!(config.policy.checks, [checks]);
    let signal =
        |name: &str, signal: &str, action| SignalTrigger { name: name.to_owned(), signal: signal.to_owned(), action };
    let signals = [signal("probe", "probe", Action::Rollback), signal("alert", "checkout-probe", Action::Notify)];
    assert_eq!(config.policy.signals, signals);
}

#[test]
fn how_often_and_with_whom_a_trigger_judges_arrives() {
    let triggers = loaded(FULLER).policy.triggers;
    let cadences: Vec<Cadence> = triggers.iter().map(|trigger| trigger.cadence).collect();
    let good =
        Cadence::Interval { every: Duration::from_secs(300), failure_limit: Some(3), consecutive_limit: Some(2) };
    let tick = Cadence::EveryTick;
    assert_eq!(cadences, [tick, tick, tick, tick, good]);
    let confirms: Vec<Confirm> = triggers.iter().map(|trigger| trigger.confirm).collect();
    assert_eq!(confirms, [Confirm::No, Confirm::No, Confirm::No, Confirm::Comparison, Confirm::No]);
}

#[test]
fn every_key_of_a_fuller_configuration_arrives() {
    let config = loaded(FULLER);
    assert_eq!((config.service.as_str(), config.workers.get()), ("checkout", 2));
    let endpoints: Vec<String> = config.versions.green.endpoints.iter().map(Endpoint::to_string).collect();
    assert_eq!(endpoints, ["green.example:9002", "[::1]:9003"]);
    let most = [&config.versions.blue, &config.versions.green].map(|version| version.max_requests);
    assert_eq!(most, [NonZeroUsize::new(500), None]);
    assert_eq!(config.trusted_proxies, ["10.0.0.0/8".parse().expect("a network")]);
    assert_eq!(config.proxied_from, ["10.1.0.0/16", "fd00::/8"].map(|text| text.parse().expect("a network")));
    let told = [&config.versions.blue, &config.versions.green].map(|version| version.transport.proxy_protocol);
    assert_eq!(told, [Some(ProxyProtocol::V2), None]);
    assert_eq!(config.timeouts.body_idle, Duration::from_secs(90));
    assert_eq!(config.limits.response_head_bytes, 65536);
    assert_eq!(config.rate_limit, Some(RateLimit { requests: 100, per: Duration::from_secs(1), burst: 200 }));
    assert_eq!(config.limits.request_body_bytes, Some(10 * 1024 * 1024));
    assert_eq!(config.limits.request_body_rate, 1024);
    assert_eq!(config.drain.wait, Duration::ZERO);
    assert_eq!(config.access_log, AccessLog::On(LineFormat::Text));
    assert_eq!(config.http2, Http2::On { max_concurrent_streams: 250 });
    assert_eq!((config.request_ids, config.trace_context), (RequestIds::Ensured, TraceContext::Ensured));
    let otlp = config.otlp.expect("there is a collector");
    assert_eq!((otlp.collector.to_string(), otlp.path.as_str()), ("collector:4318".to_owned(), "/v1/traces"));
    assert_eq!((otlp.service_name.as_str(), otlp.timeout), ("edge", Duration::from_secs(3)));
    assert_eq!((otlp.sample, config.limits.memory), (SampleRatio::of(0.005), MemoryBound::Bytes(256 * 1024 * 1024)));
    let triggers = &config.policy.triggers;
    let requests: Vec<u64> = triggers.iter().map(|trigger| trigger.minimum_requests).collect();
    assert_eq!(requests, [20, 7, 20, 20, 20]);
    let windows: Vec<u64> = triggers.iter().map(|trigger| trigger.window.as_secs()).collect();
    assert_eq!(windows, [10, 10, 60, 60, 300]);
    let actions: Vec<Action> = triggers.iter().map(|trigger| trigger.action).collect();
    assert_eq!(actions, [Action::Notify, Action::Rollback, Action::Rollback, Action::Rollback, Action::Rollback]);
    assert!(matches!(triggers[0].condition,
        Condition::FailuresAbove { share, written: Rate::Errors } if share.fraction() == 0.1));
    assert!(matches!(triggers[1].condition,
        Condition::LatencyAbove { quantile, span: Span::Head, bound }
            if quantile.fraction() == 0.99 && bound == Duration::from_millis(200)));
    assert!(matches!(triggers[2].condition,
        Condition::LatencyAboveBlue { times, span: Span::Whole, floor, .. }
            if times.factor() == 5.0 && floor == Duration::from_millis(20)));
    assert!(matches!(triggers[3].condition,
        Condition::FailuresAboveBlue { times, floor } if times.factor() == 2.5 && floor.fraction() == 0.01));
    assert!(matches!(triggers[4].condition,
        Condition::FailuresAbove { share, written: Rate::Successes } if share.fraction() == 0.01));
    let streak = config.policy.streak.expect("a streak is configured");
    assert_eq!((streak.at_least, streak.action), (7, Action::Pause));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        show(&text);
    }

    #[test]
    fn no_yaml_panics(text in "([a-c]|listen|gate|blue|[ \n\r\t:,*&!?'\"|>%@~#0-9.-]|[\\[\\]{}]|: |- |---\n|ü){0,60}") {
        show(&text);
    }

    #[test]
    fn no_damage_to_a_configuration_panics(
        at in 0..FULLER.len(), length in 0..40usize, with in "([\\PC\n]|- |: |[\\[\\]{},&*!#]){0,8}",
    ) {
        let mut text = FULLER.to_owned();
        text.replace_range(at..(at + length).min(FULLER.len()), &with);
        show(&text);
    }
}

fn show(text: &str) {
    if let Err(faults) = parse(text, "portcullis.yaml", Path::new(""), &Environment::default()) {
        assert!(faults.to_string().contains("in portcullis.yaml"));
        assert!(!faults.styled().is_empty());
        for fault in faults.iter() {
            let (line, column) = fault.position().unwrap_or((1, 1));
            assert!(line <= text.matches('\n').count() + 1 && column <= text.chars().count() + 1);
        }
    }
}
