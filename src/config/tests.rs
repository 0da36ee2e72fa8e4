use std::path::Path;
use std::time::Duration;

use super::*;
use crate::gate::trigger::{Action, Condition, Rate, Span};

const LEAST: &str = r#"
listen: 127.0.0.1:8080
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["127.0.0.1:9002"] }
"#;

const FULLER: &str = r#"
service: checkout
listen: 127.0.0.1:8080
workers: 2
admin: { listen: 127.0.0.1:9090 }
blue:  { version: v1, endpoints: ["127.0.0.1:9001"] }
green: { version: v2, endpoints: ["green.example:9002", "[::1]:9003"] }
trustedProxies: ["10.0.0.0/8"]
timeouts: { connect: 1s, requestHead: 10s, responseHead: 30s, bodyIdle: 1m30s, keepAlive: 75s, tunnelIdle: 1h }
limits: { connections: 10000, headBytes: 32KiB, headFields: 100, responseHeadBytes: 65536 }
ejection: { failures: 5, duration: 30s }
drain: { wait: 0s, deadline: 30s }
accessLog: true
gate:
  minimumRequests: 20
  triggers:
  - { name: meltdown, metric: errorRate, above: 10%, window: 10s, sustained: 0s, action: notify }
  - { name: slow, metric: latency, quantile: 0.99, above: 200ms, window: 10s, minimumRequests: 7 }
  - { name: five-times, metric: latency, quantile: 0.95, aboveBlue: 5, floor: 20ms, measure: whole }
  - { name: worse, metric: errorRate, aboveBlue: 2.5 }
  - { name: good, metric: successRate, below: 99% }
  - { name: dead, metric: failureStreak, atLeast: 7, action: pause }
"#;

fn load(text: &str) -> Config {
    parse(text, "portcullis.yaml", Path::new("")).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn the_least_configuration_takes_the_defaults() {
    let config = load(LEAST);
    assert_eq!(config.service, "default");
    assert_eq!(config.timeouts.tunnel_idle, Duration::from_secs(3600));
    assert_eq!(config.limits.head_bytes, 32 * 1024);
    assert_eq!(config.ejection.failures, 5);
    assert_eq!(config.access_log, AccessLog::Off);
    assert!(config.trusted_proxies.is_empty());
    assert!(matches!(config.admin.access, Access::Loopback));
    let streak = config.policy.streak.expect("the default policy has a streak");
    assert_eq!((streak.name.as_str(), streak.at_least, streak.action), ("dead", 5, Action::Rollback));
    assert!(config.policy.triggers.is_empty());
}

#[test]
fn every_key_of_a_fuller_configuration_arrives() {
    let config = load(FULLER);
    assert_eq!((config.service.as_str(), config.workers.get()), ("checkout", 2));
    let endpoints: Vec<String> = config.versions.green.endpoints.iter().map(Authority::to_string).collect();
    assert_eq!(endpoints, ["green.example:9002", "[::1]:9003"]);
    assert_eq!(config.trusted_proxies, ["10.0.0.0/8".parse().expect("a network")]);
    assert_eq!(config.timeouts.body_idle, Duration::from_secs(90));
    assert_eq!(config.limits.response_head_bytes, 65536);
    assert_eq!(config.drain.wait, Duration::ZERO);
    assert_eq!(config.access_log, AccessLog::On);
    let triggers = &config.policy.triggers;
    let requests: Vec<u64> = triggers.iter().map(|trigger| trigger.minimum_requests).collect();
    assert_eq!(requests, [20, 7, 20, 20, 20]);
    let windows: Vec<u64> = triggers.iter().map(|trigger| trigger.window.as_secs()).collect();
    assert_eq!(windows, [10, 10, 60, 60, 60]);
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
