use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::gate::trigger::{Action, Condition, Rate, Span};

mod settings;
mod text;
mod tokens;
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

fn loaded(text: &str) -> Config {
    parse(text, "portcullis.yaml", Path::new("")).unwrap_or_else(|faults| panic!("{faults}"))
}

fn refused(text: &str) -> Faults {
    parse(text, "portcullis.yaml", Path::new("")).expect_err("the configuration is faulty")
}

/// Each fault as `line:column message | label`; none when the configuration is taken.
fn faults(text: &str) -> Vec<String> {
    match parse(text, "portcullis.yaml", Path::new("")) {
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
    let config = loaded(FULLER);
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

const TEN_FAULTS: &str = r#"listen: 8080
admin: { listen: 0.0.0.0:9090 }
blue: { version: 1.10, endpoints: ["127.0.0.1:9001", "http://127.0.0.1:9001"] }
timeouts: { connect: 1 }
timeouts: { connect: 1s }
drain:
gate:
  triggers:
  - { name: meltdown, metric: errorRate, abvoe: 10% }
  - { name: slow, metric: latency, above: 200ms }
  - { name: gone, metric: healthChecks }
"#;

#[test]
fn faults_of_all_kinds_are_listed_at_once() {
    assert_eq!(
        faults(TEN_FAULTS),
        [
            "1:1 missing key `green` | has no `green`",
            "1:9 listen: expected a string, found the number 8080 | expected a string",
            "2:18 admin.listen: `0.0.0.0:9090` is not on loopback, and there are no tokens | write `127.0.0.1:9090`",
            "3:18 blue.version: expected a string, found the number 1.1 | text that looks like something else stands \
             in quotes, write `\"1.10\"`",
            "3:54 blue.endpoints[1]: `http://127.0.0.1:9001` has a scheme | write `127.0.0.1:9001` alone",
            "4:22 timeouts.connect: `1` has no unit | write `1s` or `1ms`",
            "5:1 duplicate key `timeouts` | already on line 4",
            "6:1 drain: has no value | give it a value, or remove it",
            "9:42 unknown key `gate.triggers[0].abvoe` | did you mean `above`?",
            "10:5 missing key `gate.triggers[1].quantile` | has no `quantile`",
            "11:27 gate.triggers[2].metric: the metric `healthChecks` is not supported by this version | use one of \
             `errorRate`, `successRate`, `latency`, `failureStreak`",
        ]
    );
}

#[test]
fn a_fault_is_shown_in_the_manner_of_rustc() {
    let text = format!("{LEAST}gate:\n  triggers:\n  - {{ name: meltdown, metric: errorRate, abvoe: 10% }}\n");
    assert_eq!(
        refused(&text).to_string(),
        "\
error: unknown key `gate.triggers[0].abvoe`
 --> portcullis.yaml:7:42
  |
7 |   - { name: meltdown, metric: errorRate, abvoe: 10% }
  |                                          ^^^^^ did you mean `above`?
  |
  = help: the keys here are `name`, `metric`, `quantile`, `measure`, `above`, `below`, `aboveBlue`, `atLeast`, \
`floor`, `window`, `sustained`, `minimumRequests`, `action`

error: 1 fault in portcullis.yaml"
    );
}

#[test]
fn faults_in_json_have_line_and_column() {
    let faults = serde_json::to_value(refused(&format!("{LEAST}workers: 0"))).expect("faults are plain data");
    assert_eq!(
        faults,
        serde_json::json!([{
            "file": "portcullis.yaml", "line": 5, "column": 10, "path": "workers",
            "message": "workers: `0` is below 1", "label": "from 1 to 1024", "help": null,
        }])
    );
}

#[test]
fn terminal_escapes_of_the_file_are_not_printed() {
    let text = format!("{LEAST}service: \"a\\eb\"\n\"\u{1b}[31mx\": 1\nlimits: {{ headBytes: \u{1b}[31m }}\n");
    assert!(!refused(&text).to_string().contains('\u{1b}'));
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
    if let Err(faults) = parse(text, "portcullis.yaml", Path::new("")) {
        assert!(faults.to_string().contains("in portcullis.yaml"));
        assert!(!faults.styled().is_empty());
        for fault in faults.iter() {
            let (line, column) = fault.position().unwrap_or((1, 1));
            assert!(line <= text.matches('\n').count() + 1 && column <= text.chars().count() + 1);
        }
    }
}
