//! Each rule for the health checks of a version.

use super::{LEAST, faults};

/// The least configuration with a health check of green of these keys.
fn check(keys: &str, expected: &[&str]) {
    let check = format!("9002\"], healthCheck: {{ {keys} }}");
    let faults = faults(&LEAST.trim_end().replace("9002\"]", &check));
    let faults: Vec<String> = faults.iter().map(|fault| fault.replace("green.healthCheck", "*")).collect();
    assert_eq!(faults, expected, "{keys}");
}

#[test]
fn a_check_asks_for_a_path_or_opens_a_connection() {
    check("path: /healthz", &[]);
    check("path: /healthz, tcp: false", &[]);
    check("tcp: true", &[]);
    check("interval: 5s", &["4:67 *: says neither `path` nor `tcp` | add `path: /healthz`, or `tcp: true`"]);
    check("tcp: false", &["4:67 *: says neither `path` nor `tcp` | add `path: /healthz`, or `tcp: true`"]);
    check("path: /healthz, tcp: true", &["4:85 *.tcp: a second kind of check beside `path` | remove one of them"]);
    check("tcp: 1", &["4:74 *.tcp: expected `true` or `false`, found the number 1 | expected `true` or `false`"]);
    for path in ["healthz", "http://a/healthz", "'/a b'", "'/a#b'"] {
        let shown = path.trim_matches('\'');
        let fault = format!("4:75 *.path: `{shown}` is not a path | a path begins with `/`, like `/healthz`");
        check(&format!("path: {path}"), &[&fault]);
    }
    check("pth: /healthz", &["4:69 unknown key `*.pth` | did you mean `path`?"]);
}

#[test]
fn a_check_ends_before_the_next_begins() {
    check("tcp: true, interval: 5s, timeout: 5s", &[]);
    check("tcp: true, interval: 500ms", &[]);
    check(
        "tcp: true, interval: 500ms, timeout: 1s",
        &[
            "4:106 *.timeout: `1s` is longer than the `interval` | a check ends before the next begins, write at most 500ms",
        ],
    );
    check("tcp: true, interval: 10ms", &["4:90 *.interval: `10ms` is below 100ms | from 100ms to 1h"]);
    check("tcp: true, interval: -5s", &["4:90 *.interval: `-5s` is negative | a duration is at least 100ms"]);
    check("tcp: true, timeout: 0s", &["4:89 *.timeout: `0s` is below 1ms | from 1ms to 1h"]);
    check("tcp: true, healthyAfter: 0", &["4:94 *.healthyAfter: `0` is below 1 | from 1 to 1000"]);
    check("tcp: true, unhealthyAfter: 1001", &["4:96 *.unhealthyAfter: `1001` is above 1000 | from 1 to 1000"]);
}
