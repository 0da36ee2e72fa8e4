//! How faults are told: all at once, in the manner of rustc, and as JSON.

use super::{LEAST, faults, refused};

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
  - { name: gone, metric: healthChecks, atLeast: 3 }
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
            "3:54 blue.endpoints[1]: `http://127.0.0.1:9001` is in the list already | remove it",
            "4:22 timeouts.connect: `1` has no unit | write `1s` or `1ms`",
            "5:1 duplicate key `timeouts` | already on line 4",
            "6:1 drain: has no value | give it a value, or remove it",
            "9:42 unknown key `gate.triggers[0].abvoe` | did you mean `above`?",
            "10:5 missing key `gate.triggers[1].quantile` | has no `quantile`",
            "11:27 gate.triggers[2].metric: can never fire: green has no health check | add `healthCheck` to `green`",
        ]
    );
}

const FAULTY_PLAN: &str = "
release:
  steps: [{ weight: 10%, bake: 5m }, { weight: 5%, bake: -1m }]
  progressDedline: 1h
gate:
  compare: { enabled: false }
  triggers:
  - { name: slow, metric: latency, quantile: 1.5, above: 60s }
  - { name: errors, metric: errorRate, above: 100%, sustained: -5m }
  - { name: checks, metric: healthChecks, atLeast: 3 }
";

#[test]
fn faults_of_a_plan_and_its_policy_are_listed_at_once() {
    assert_eq!(
        faults(&format!("{LEAST}{FAULTY_PLAN}")),
        [
            "7:48 release.steps[1].weight: `5%` does not rise | the step before has `10%`",
            "7:58 release.steps[1].bake: `-1m` is negative | a duration is at least 0s",
            "8:3 unknown key `release.progressDedline` | did you mean `progressDeadline`?",
            "12:46 gate.triggers[0].quantile: `1.5` is not a quantile | a quantile is above 0 and below 1, like `0.99`",
            "12:58 gate.triggers[0].above: `60s` can never be exceeded | `timeouts.responseHead` ends each request \
             after 30s",
            "13:47 gate.triggers[1].above: `100%` can never be exceeded | write a share below 100%",
            "13:64 gate.triggers[1].sustained: `-5m` is negative | a duration is at least 0s",
            "14:29 gate.triggers[2].metric: can never fire: green has no health check | add `healthCheck` to `green`",
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
`floor`, `window`, `sustained`, `interval`, `failureLimit`, `consecutiveLimit`, `minimumRequests`, `confirm`, `signal`, \
`action`, `first`

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
