//! Each rule for a trigger: the keys that break it, and every fault that comes of it.

use super::{LEAST, faults};

/// The least configuration with one trigger of these keys.
fn check(keys: &str, expected: &[&str]) {
    let text = format!("{}\ngate:\n  triggers:\n  - {{ {keys} }}", LEAST.trim_end());
    let faults: Vec<String> = faults(&text).iter().map(|fault| fault.replace("gate.triggers[0]", "*")).collect();
    assert_eq!(faults, expected, "{keys}");
}

/// The same with a health check of green.
fn check_checked(keys: &str, expected: &[&str]) {
    let checked = LEAST.trim_end().replace("9002\"]", "9002\"], healthCheck: { tcp: true }");
    let text = format!("{checked}\ngate:\n  triggers:\n  - {{ {keys} }}");
    let faults: Vec<String> = faults(&text).iter().map(|fault| fault.replace("gate.triggers[0]", "*")).collect();
    assert_eq!(faults, expected, "{keys}");
}

fn check_gate(line: &str, expected: &[&str]) {
    assert_eq!(faults(&format!("{LEAST}{line}")), expected, "{line}");
}

#[test]
fn a_trigger_has_a_name_a_metric_and_an_action() {
    check("metric: errorRate, above: 10%", &["7:5 missing key `*.name` | has no `name`"]);
    check("name: a, above: 10%", &["7:5 missing key `*.metric` | has no `metric`"]);
    check(
        "name: A_b, metric: errorRate, above: 10%",
        &["7:13 *.name: `A_b` is not a name for a trigger | use `a` to `z`, `0` to `9` and `-`, 1 to 63 of them"],
    );
    check(
        "name: operator, metric: errorRate, above: 10%",
        &["7:13 *.name: `operator` is reserved | a rollback that no trigger caused goes by this name, choose another"],
    );
    check(
        r#"name: "", metric: errorRate, above: 10%"#,
        &["7:13 *.name: `` is not a name for a trigger | use `a` to `z`, `0` to `9` and `-`, 1 to 63 of them"],
    );
    check(
        "name: a, metric: errorrate, above: 10%",
        &["7:24 *.metric: `errorrate` is not a metric | did you mean `errorRate`?"],
    );
    check(
        "name: a, metric: memory, above: 10%",
        &[
            "7:24 *.metric: `memory` is not a metric | use one of `errorRate`, `successRate`, `latency`, `failureStreak`, `healthChecks`, `external`",
        ],
    );
    check(
        "name: a, metric: podRestarts",
        &[
            "7:24 *.metric: the metric `podRestarts` is not supported by this version | use one of `errorRate`, `successRate`, `latency`, `failureStreak`, `healthChecks`, `external`",
        ],
    );
    check(
        "name: a, metric: errorRate, above: 10%, action: roll",
        &["7:55 *.action: `roll` is not an action | use one of `rollback`, `pause`, `notify`"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, action: rolback",
        &["7:55 *.action: `rolback` is not an action | did you mean `rollback`?"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, action: [rollback]",
        &["7:55 *.action: expected a string, found a list | expected a string"],
    );
    check_gate(
        "gate: { triggers: [{ name: a, metric: errorRate, above: 1% }, { name: a, metric: latency, quantile: 0.5, above: 1s }] }",
        &["5:71 gate.triggers[1].name: `a` is in the list already | choose another name"],
    );
    check_gate(
        "gate: { triggers: [{ name: a, metric: failureStreak, atLeast: 1 }, { name: b, metric: failureStreak, atLeast: 2 }] }",
        &["5:87 gate.triggers[1].metric: a second `failureStreak` trigger | there is one at most"],
    );
    check_gate(
        "gate: { triggers: [{ name: a, metric: failureStreak, atLeast: 0 }, { name: a, metric: failureStreak }] }",
        &[
            "5:63 gate.triggers[0].atLeast: `0` is below 1 | from 1 to 1000",
            "5:68 gate.triggers[1]: has no bound | add `atLeast: 5`",
            "5:76 gate.triggers[1].name: `a` is in the list already | choose another name",
            "5:87 gate.triggers[1].metric: a second `failureStreak` trigger | there is one at most",
        ],
    );
}

#[test]
fn an_error_rate_has_a_share_or_a_factor_for_its_bound() {
    check(
        "name: a, metric: errorRate",
        &["7:5 *: has no bound | add `above: 10%`, or `aboveBlue: 2` to compare with blue"],
    );
    check("name: a, metric: errorRate, abvoe: 10%", &["7:35 unknown key `*.abvoe` | did you mean `above`?"]);
    check(
        "name: a, metric: errorRate, above: 10%, aboveBlue: 2",
        &["7:47 *.aboveBlue: a second bound beside `above` | one trigger has one bound, write another trigger"],
    );
    check("name: a, metric: errorRate, above: 0.1", &["7:42 *.above: `0.1` has no percent sign | write `10%`"]);
    check("name: a, metric: errorRate, above: 0.07", &["7:42 *.above: `0.07` has no percent sign | write `7%`"]);
    check("name: a, metric: errorRate, above: 5", &["7:42 *.above: `5` has no percent sign | write `5%`"]);
    check(
        "name: a, metric: errorRate, above: 200ms",
        &["7:42 *.above: `200ms` is not a share | write a share like `10%` or `0.5%`"],
    );
    check(
        "name: a, metric: errorRate, above: 100%",
        &["7:42 *.above: `100%` can never be exceeded | write a share below 100%"],
    );
    check(
        "name: a, metric: errorRate, above: 101%",
        &["7:42 *.above: `101%` is above 100% | a share is from 0% to 100%"],
    );
    check("name: a, metric: errorRate, above: -1%", &["7:42 *.above: `-1%` is negative | a share is from 0% to 100%"]);
    check(
        "name: a, metric: errorRate, above: 0.00001%",
        &["7:42 *.above: `0.00001%` is too fine | a share has at most four decimals"],
    );
    check(
        "name: a, metric: errorRate, below: 10%",
        &["7:35 *.below: does not fit the metric `errorRate` | write `above`, or the metric `successRate`"],
    );
    check(
        "name: a, metric: errorRate, atLeast: 5",
        &["7:35 *.atLeast: does not fit the metric `errorRate` | remove it"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, floor: 1%",
        &["7:47 *.floor: means nothing without `aboveBlue` | remove it"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, quantile: 0.99",
        &["7:47 *.quantile: does not fit the metric `errorRate` | remove it"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, measure: head",
        &["7:47 *.measure: does not fit the metric `errorRate` | remove it"],
    );
    check(
        "name: a, metric: errorRate, aboveBlue: 0.5",
        &[
            "7:46 *.aboveBlue: `0.5` is not a factor of at least 1 | write how many times blue's value green may reach, at least 1, like `2` or `1.5`",
        ],
    );
    check(
        "name: a, metric: errorRate, aboveBlue: 2x",
        &[
            "7:46 *.aboveBlue: `2x` is not a factor of at least 1 | write how many times blue's value green may reach, at least 1, like `2` or `1.5`",
        ],
    );
    check(
        "name: a, metric: errorRate, aboveBlue: .nan",
        &[
            "7:46 *.aboveBlue: `.nan` is not a factor of at least 1 | write how many times blue's value green may reach, at least 1, like `2` or `1.5`",
        ],
    );
    check(
        "name: a, metric: errorRate, aboveBlue: 2, floor: 100%",
        &["7:56 *.floor: `100%` can never be exceeded | write a share below 100%"],
    );
}

#[test]
fn a_success_rate_is_bounded_from_below() {
    check(
        "name: a, metric: successRate, above: 99%",
        &["7:37 *.above: does not fit the metric `successRate` | write `below`, or the metric `errorRate`"],
    );
    check(
        "name: a, metric: successRate, below: 0%",
        &["7:44 *.below: `0%` can never be undercut | write a share above 0%"],
    );
}

#[test]
fn a_latency_has_a_quantile_and_a_bound_that_can_be_exceeded() {
    check("name: a, metric: latency, above: 200ms", &["7:5 missing key `*.quantile` | has no `quantile`"]);
    check(
        "name: a, metric: latency, quantile: 99, above: 200ms",
        &["7:43 *.quantile: `99` is not a quantile | write `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: 99%, above: 200ms",
        &["7:43 *.quantile: `99%` is not a quantile | write `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: p99, above: 200ms",
        &["7:43 *.quantile: `p99` is not a quantile | write `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: 1.5, above: 200ms",
        &["7:43 *.quantile: `1.5` is not a quantile | a quantile is above 0 and below 1, like `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: 1, above: 200ms",
        &["7:43 *.quantile: `1` is not a quantile | a quantile is above 0 and below 1, like `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: 0, above: 200ms",
        &["7:43 *.quantile: `0` is not a quantile | a quantile is above 0 and below 1, like `0.99`"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 200",
        &["7:56 *.above: `200` has no unit | write `200s` or `200ms`"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 10%",
        &["7:56 *.above: `10%` is not a duration | write a duration like `500ms`, `30s`, `5m` or `1m30s`"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 30s",
        &["7:56 *.above: `30s` can never be exceeded | `timeouts.responseHead` ends each request after 30s"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 120s, measure: whole",
        &["7:56 *.above: `120s` can never be exceeded | latencies are told apart up to 2m"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, aboveBlue: 2, floor: 40s",
        &["7:70 *.floor: `40s` can never be exceeded | `timeouts.responseHead` ends each request after 30s"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 200ms, measure: body",
        &["7:72 *.measure: `body` is not a measure | use one of `head`, `whole`"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99",
        &["7:5 *: has no bound | add `above: 200ms`, or `aboveBlue: 5` to compare with blue"],
    );
}

#[test]
fn a_streak_has_a_count_and_nothing_else() {
    check("name: a, metric: failureStreak, atLeast: 0", &["7:48 *.atLeast: `0` is below 1 | from 1 to 1000"]);
    check("name: a, metric: failureStreak, atLeast: 1001", &["7:48 *.atLeast: `1001` is above 1000 | from 1 to 1000"]);
    check(
        "name: a, metric: failureStreak, atLeast: 5%",
        &["7:48 *.atLeast: expected a whole number, found the text `5%` | expected a whole number"],
    );
    check("name: a, metric: failureStreak", &["7:5 *: has no bound | add `atLeast: 5`"]);
    check("name: a, metric: failureStreak, atLeast: 5, confirm: evidence", &[]);
    check("name: a, metric: failureStreak, atLeast: 5, confirm: none", &[]);
    check(
        "name: a, metric: failureStreak, atLeast: 5, confirm: comparison",
        &["7:60 *.confirm: `comparison` is not a confirmation of a streak | use one of `evidence`, `none`"],
    );
    check(
        "name: a, metric: failureStreak, atLeast: 5, window: 10s, sustained: 1s, minimumRequests: 5",
        &[
            "7:51 *.window: does not fit the metric `failureStreak` | remove it",
            "7:64 *.sustained: does not fit the metric `failureStreak` | remove it",
            "7:79 *.minimumRequests: does not fit the metric `failureStreak` | remove it",
        ],
    );
}

#[test]
fn health_checks_are_counted_where_green_is_checked() {
    check(
        "name: a, metric: healthChecks, atLeast: 3",
        &["7:24 *.metric: can never fire: green has no health check | add `healthCheck` to `green`"],
    );
    check_checked("name: a, metric: healthChecks, atLeast: 3, sustained: 1m", &[]);
    check_checked("name: a, metric: healthChecks", &["7:5 *: has no bound | add `atLeast: 3`"]);
    check_checked("name: a, metric: healthChecks, atLeast: 0", &["7:47 *.atLeast: `0` is below 1 | from 1 to 1000"]);
    check_checked(
        "name: a, metric: healthChecks, atLeast: 3, above: 1%, interval: 1m",
        &[
            "7:50 *.above: does not fit the metric `healthChecks` | remove it",
            "7:61 *.interval: does not fit the metric `healthChecks` | remove it",
        ],
    );
    check_checked(
        "name: a, metric: healthChecks, atLeast: 3, sustained: -1s",
        &["7:61 *.sustained: `-1s` is negative | a duration is at least 0s"],
    );
}

#[test]
fn a_signal_has_a_name_and_no_bound() {
    check("name: a, metric: external", &[]);
    check("name: a, metric: external, signal: b, action: pause", &[]);
    check(
        "name: a, metric: external, signal: A/b",
        &["7:42 *.signal: `A/b` is not a name for a signal | use `a` to `z`, `0` to `9` and `-`, 1 to 63 of them"],
    );
    check(
        "name: a, metric: external, above: 1%, sustained: 1m, confirm: comparison",
        &[
            "7:34 *.above: does not fit the metric `external` | remove it",
            "7:45 *.sustained: does not fit the metric `external` | remove it",
            "7:60 *.confirm: does not fit the metric `external` | remove it",
        ],
    );
    check(
        "name: a, metric: errorRate, above: 1%, signal: b",
        &["7:46 *.signal: does not fit the metric `errorRate` | remove it"],
    );
}

#[test]
fn limits_belong_to_an_interval_and_can_be_reached() {
    let errors = "name: a, metric: errorRate, above: 1%";
    check(&format!("{errors}, interval: 1m, failureLimit: 0"), &[]);
    check(&format!("{errors}, interval: 1m, failureLimit: 3, consecutiveLimit: 3"), &[]);
    check(&format!("{errors}, interval: 1m, window: 5m"), &[]);
    check(
        &format!("{errors}, failureLimit: 3, consecutiveLimit: 2"),
        &[
            "7:46 *.failureLimit: means nothing without `interval` | add `interval: 1m`, or remove it",
            "7:63 *.consecutiveLimit: means nothing without `interval` | add `interval: 1m`, or remove it",
        ],
    );
    check(
        &format!("{errors}, interval: 1m, failureLimit: 3, consecutiveLimit: 4"),
        &[
            "7:95 *.consecutiveLimit: `4` in a row always exceed `failureLimit: 3`, so it decides nothing | write less, or remove it",
        ],
    );
    check(
        &format!("{errors}, interval: 1m, sustained: 5m"),
        &[
            "7:60 *.sustained: means nothing beside `interval` | remove it: `consecutiveLimit` says how many judgements in a row",
        ],
    );
    check(
        &format!("{errors}, interval: 1m, window: 30s"),
        &["7:68 *.window: requests between two windows of 30s are never judged | write at least the `interval`, 1m"],
    );
    check(
        &format!("{errors}, interval: 500ms, failureLimit: -1, consecutiveLimit: 0"),
        &[
            "7:56 *.interval: `500ms` is below 1s | from 1s to 1h",
            "7:77 *.failureLimit: `-1` is below 0 | from 0 to 1000",
            "7:99 *.consecutiveLimit: `0` is below 1 | from 1 to 1000",
        ],
    );
    check(
        &format!("{errors}, interval: 1m, failureLimit: x"),
        &["7:74 *.failureLimit: expected a whole number, found the text `x` | expected a whole number"],
    );
}

#[test]
fn a_confirmation_needs_the_comparison() {
    check("name: a, metric: errorRate, above: 1%, confirm: comparison", &[]);
    check(
        "name: a, metric: errorRate, above: 1%, confirm: comparisn",
        &["7:55 *.confirm: `comparisn` is not a confirmation | did you mean `comparison`?"],
    );
    check(
        "name: a, metric: latency, quantile: 0.99, above: 1s, measure: whole, confirm: comparison",
        &["7:76 *.confirm: the comparison knows no `measure: whole` | remove it, or measure the `head`"],
    );
    check_gate(
        "gate: { compare: { enabled: false }, triggers: [{ name: a, metric: errorRate, above: 1%, confirm: comparison }] }",
        &["5:90 gate.triggers[0].confirm: the comparison is switched off | remove it, or `compare.enabled: false`"],
    );
}

#[test]
fn a_window_can_gather_what_it_asks_for() {
    check("name: a, metric: errorRate, above: 1%, window: 1s, minimumRequests: 1000000", &[]);
    check(
        "name: a, metric: errorRate, above: 1%, window: 1s, minimumRequests: 2000000",
        &[
            "7:5 *: can never fire: nobody gathers 2000000 requests in 1s | write a longer `window`, or less `minimumRequests`",
        ],
    );
    check_gate(
        "gate: { minimumRequests: 1000000000, triggers: [{ name: a, metric: errorRate, above: 1% }] }",
        &[
            "5:49 gate.triggers[0]: can never fire: nobody gathers 1000000000 requests in 1m | write a longer `window`, or less `minimumRequests`",
        ],
    );
}

#[test]
fn windows_and_requests_have_a_range() {
    check(
        "name: a, metric: errorRate, above: 10%, window: 500ms",
        &["7:55 *.window: `500ms` is below 1s | from 1s to 1h"],
    );
    check("name: a, metric: errorRate, above: 10%, window: 2h", &["7:55 *.window: `2h` is above 1h | from 1s to 1h"]);
    check(
        "name: a, metric: errorRate, above: 10%, sustained: 25h",
        &["7:58 *.sustained: `25h` is above 24h | from 0s to 24h"],
    );
    check(
        "name: a, metric: errorRate, above: 10%, minimumRequests: 0",
        &["7:64 *.minimumRequests: `0` is below 1 | from 1 to 1000000000"],
    );
}

#[test]
fn what_is_right_is_taken() {
    check("name: a, metric: errorRate, above: 0%", &[]);
    check("name: a, metric: successRate, below: 100%", &[]);
    check("name: a, metric: latency, quantile: 0.99, above: 31s, measure: whole", &[]);
}
