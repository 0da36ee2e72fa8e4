//! Each rule for what the gate counts and compares.

use super::{LEAST, faults};

/// The least configuration with a gate of these keys.
fn check(keys: &str, expected: &[&str]) {
    let faults = faults(&format!("{LEAST}gate: {{ {keys} }}"));
    assert_eq!(faults, expected, "{keys}");
}

#[test]
fn a_gate_has_an_active_check() {
    check("triggers: []", &[]);
    check("minimumRequests: 1", &[]);
    check("compare: { enabled: false }", &[]);
    check(
        "compare: { enabled: false }, triggers: []",
        &["5:48 gate.triggers: is empty: there is no active check | add a trigger"],
    );
    check("minimumRequests: 0", &["5:26 gate.minimumRequests: `0` is below 1 | from 1 to 1000000000"]);
    check(
        "triggers: [errorRate]",
        &["5:20 gate.triggers[0]: expected a mapping, found the text `errorRate` | expected a mapping"],
    );
    assert_eq!(
        faults(&format!("{LEAST}gate: []")),
        ["5:7 gate: expected a mapping, found a list | expected a mapping"]
    );
}

#[test]
fn a_plan_needs_something_that_clears_green() {
    let check = |gate: &str, expected: &[&str]| {
        let release = "release: { steps: [{ weight: 10%, bake: 5m }] }";
        assert_eq!(faults(&format!("{LEAST}{release}\ngate: {{ {gate} }}")), expected, "{gate}");
    };
    let streak = "{ name: dead, metric: failureStreak, atLeast: 5 }";
    check(&format!("triggers: [{streak}]"), &[]);
    check("compare: { enabled: false }, triggers: [{ name: a, metric: errorRate, above: 1% }]", &[]);
    let fault = "6:48 gate.triggers: nothing here clears green, so the plan could not take a step | add a bound on \
                 `errorRate`, `successRate` or `latency` that pauses or rolls back";
    check(&format!("compare: {{ enabled: false }}, triggers: [{streak}]"), &[fault]);
    check(
        "compare: { enabled: false }, triggers: [{ name: a, metric: errorRate, above: 1%, action: notify }]",
        &[fault],
    );
    check(
        "compare: { enabled: false }",
        &[
            "6:7 gate: nothing here clears green, so the plan could not take a step | add a bound on `errorRate`, `successRate` or `latency` that pauses or rolls back",
        ],
    );
}

#[test]
fn excluded_paths_are_paths_and_not_all_of_them() {
    check("exclude: [/, /a/*, /b*, '/caf%C3%A9']", &[]);
    check(
        "exclude: [healthz]",
        &["5:19 gate.exclude[0]: `healthz` is not a path | a path begins with `/`, like `/healthz` or `/internal/*`"],
    );
    check(
        "exclude: ['/*']",
        &["5:19 gate.exclude[0]: `/*` excludes every request | name the paths that are no evidence"],
    );
    check(
        "exclude: [/a/*/b, '/a?b=1', /é, /c, /c]",
        &[
            "5:19 gate.exclude[0]: `/a/*/b` has a `*` before its end | a `*` stands for any ending, like `/internal/*`",
            "5:27 gate.exclude[1]: `/a?b=1` is more than a path | queries are not compared, write the path alone",
            "5:37 gate.exclude[2]: `/é` has characters that no path has | write it as it is sent, like `/caf%C3%A9`",
            "5:45 gate.exclude[4]: `/c` is in the list already | remove it",
        ],
    );
}

#[test]
fn failures_are_statuses_of_answers() {
    check("failureStatuses: [], notFailures: []", &[]);
    check("failureStatuses: [5xx, 4xx, 302, '429'], notFailures: [404, '451']", &[]);
    check(
        "failureStatuses: [6xx, 1xx, 199, 600, five]",
        &[
            "5:27 gate.failureStatuses[0]: `6xx` is not a status of an answer | write a class like `5xx`, or a status from 200 to 599",
            "5:32 gate.failureStatuses[1]: `1xx` is not a status of an answer | write a class like `5xx`, or a status from 200 to 599",
            "5:37 gate.failureStatuses[2]: `199` is not a status of an answer | write a class like `5xx`, or a status from 200 to 599",
            "5:42 gate.failureStatuses[3]: `600` is not a status of an answer | write a class like `5xx`, or a status from 200 to 599",
            "5:47 gate.failureStatuses[4]: `five` is not a status of an answer | write a class like `5xx`, or a status from 200 to 599",
        ],
    );
    check(
        "notFailures: [501, 429, 501]",
        &[
            "5:28 gate.notFailures[1]: is no failure anyway | remove it",
            "5:33 gate.notFailures[2]: is no failure anyway | remove it",
        ],
    );
}

#[test]
fn failures_of_grpc_are_codes_by_name_or_number() {
    check("grpcFailureStatuses: []", &[]);
    check("grpcFailureStatuses: [UNAVAILABLE, 13, '2']", &[]);
    check(
        "grpcFailureStatuses: [UNAVAILBLE, unavailable, 17, OK, 14, UNAVAILABLE]",
        &[
            "5:31 gate.grpcFailureStatuses[0]: `UNAVAILBLE` is not a status of gRPC | did you mean `UNAVAILABLE`?",
            "5:43 gate.grpcFailureStatuses[1]: `unavailable` is not a status of gRPC | did you mean `UNAVAILABLE`?",
            "5:56 gate.grpcFailureStatuses[2]: `17` is not a status of gRPC | a number is from 1 to 16",
            "5:60 gate.grpcFailureStatuses[3]: `OK` is no failure | remove it",
            "5:68 gate.grpcFailureStatuses[5]: `UNAVAILABLE` is in the list already | remove it",
        ],
    );
}

#[test]
fn warm_up_and_one_clients_share_have_a_range() {
    check("warmUp: { time: 0s, requests: 0 }, clientShare: 100%", &[]);
    check("warmUp: { time: -1s }", &["5:25 gate.warmUp.time: `-1s` is negative | a duration is at least 0s"]);
    check("warmUp: { requests: -1 }", &["5:29 gate.warmUp.requests: `-1` is below 0 | from 0 to 1000000"]);
    check(
        "clientShare: 0%",
        &["5:22 gate.clientShare: `0%` leaves no client whose requests count | write a share above 0%, like `20%`"],
    );
    check("clientShare: 0.2", &["5:22 gate.clientShare: `0.2` has no percent sign | write `20%`"]);
}

#[test]
fn the_comparison_has_settings_in_their_range() {
    let compare = |keys: &str, expected: &[&str]| {
        let faults = faults(&format!("{LEAST}gate: {{ compare: {{ {keys} }} }}"));
        let faults: Vec<String> = faults.iter().map(|fault| fault.replace("gate.compare", "*")).collect();
        assert_eq!(faults, expected, "{keys}");
    };
    compare("falseAlarm: 0.05, ratio: 1, margin: 0%, slower: 100%, unacceptable: 0.1%", &[]);
    compare("falseAlarm: 0", &["5:32 *.falseAlarm: `0` is below 0.000001 | from 0.000001 to 0.05"]);
    compare("falseAlarm: 0.5", &["5:32 *.falseAlarm: `0.5` is above 0.05 | from 0.000001 to 0.05"]);
    compare(
        "falseAlarm: 0.1%",
        &["5:32 *.falseAlarm: `0.1%` is not a plain number | write a number from 0.000001 to 0.05"],
    );
    compare("ratio: 0.5", &["5:27 *.ratio: `0.5` is below 1 | from 1 to 100"]);
    compare("margin: 60%", &["5:28 *.margin: `60%` is above 50% | from 0% to 50%"]);
    compare("slower: 0%", &["5:28 *.slower: `0%` is below 1% | from 1% to 100%"]);
    compare("unacceptable: 60%", &["5:34 *.unacceptable: `60%` is above 50% | from 0.1% to 50%"]);
    compare(
        "unacceptable: 0.1%",
        &["5:34 *.unacceptable: green may fail as much by `margin` | write more than `margin`, like `5%`"],
    );
    compare("margin: 5%", &["5:28 *.margin: green may fail as much by `margin` | write more than `margin`, like `5%`"]);
    compare(
        "enabled: off",
        &["5:29 *.enabled: expected `true` or `false`, found the text `off` | expected `true` or `false`"],
    );
}
