//! What may be too much: of a head, of a body, of one client.

use super::settings::check;

#[test]
fn limits_have_a_range() {
    check(
        "limits: { headBytes: 32KB }",
        &["5:22 limits.headBytes: `32KB` is not a size | write a size like `32KiB`, `1MiB` or `32768`"],
    );
    check("limits: { headBytes: 512 }", &["5:22 limits.headBytes: `512` is below 1KiB | from 1KiB to 1MiB"]);
    check("limits: { targetBytes: 65KiB }", &["5:24 limits.targetBytes: `65KiB` is above 64KiB | from 1KiB to 64KiB"]);
    check("limits: { headBytes: 2MiB }", &["5:22 limits.headBytes: `2MiB` is above 1MiB | from 1KiB to 1MiB"]);
    check(
        "limits: { headBytes: 99999999999999999999MiB }",
        &[
            "5:22 limits.headBytes: `99999999999999999999MiB` is not a size | write a size like `32KiB`, `1MiB` or `32768`",
        ],
    );
    check(
        "limits: { headBytes: 1.5MiB }",
        &["5:22 limits.headBytes: `1.5MiB` is not a size | write a size like `32KiB`, `1MiB` or `32768`"],
    );
    check("limits: { headFields: 0 }", &["5:23 limits.headFields: `0` is below 1 | from 1 to 1000"]);
    check("limits: { headFields: 1001 }", &["5:23 limits.headFields: `1001` is above 1000 | from 1 to 1000"]);
    check("limits: { connections: 0 }", &["5:24 limits.connections: `0` is below 1 | from 1 to 10000000"]);
    check("limits: { connections: -1 }", &["5:24 limits.connections: `-1` is below 1 | from 1 to 10000000"]);
    check(
        "limits: { requestBodyBytes: ten }",
        &["5:29 limits.requestBodyBytes: `ten` is not a size | write a size like `32KiB`, `1MiB` or `32768`"],
    );
    check("limits: { requestBodyRate: off }", &[]);
    check(
        "limits: { requestBodyRate: 0 }",
        &["5:28 limits.requestBodyRate: `0` is below 1 bytes | from 1 bytes to 1GiB"],
    );
    check("limits: { memoryBytes: off }", &[]);
    check("limits: { memoryBytes: cgroup }", &[]);
    check(
        "limits: { memoryBytes: 16MiB }",
        &["5:24 limits.memoryBytes: `16MiB` is below 32MiB | from 32MiB to 1024GiB"],
    );
    check(
        "limits: { memoryBytes: none }",
        &["5:24 limits.memoryBytes: `none` is not a size | write a size like `32KiB`, `1MiB` or `32768`"],
    );
    check(
        "limits: { responseHeadBytes: 4KiB }",
        &["5:30 limits.responseHeadBytes: `4KiB` is below 8KiB | from 8KiB to 1MiB"],
    );
}

#[test]
fn the_access_log_is_on_or_off_or_has_a_format() {
    const SHAPE: &str = "expected `true`, `false` or a mapping";
    check("accessLog: true", &[]);
    check("accessLog: {}", &[]);
    check("accessLog: { format: json }", &[]);
    check("accessLog: yes", &[&format!("5:12 accessLog: {SHAPE}, found the text `yes` | {SHAPE}")]);
    check("accessLog: 1", &[&format!("5:12 accessLog: {SHAPE}, found the number 1 | {SHAPE}")]);
    check("accessLog: { format: clf }", &["5:22 accessLog.format: `clf` is not a format | write `json` or `text`"]);
    check("accessLog: { fromat: text }", &["5:14 unknown key `accessLog.fromat` | did you mean `format`?"]);
    check(
        "requestId: 1",
        &["5:12 requestId: expected `true` or `false`, found the number 1 | expected `true` or `false`"],
    );
    check("tracing: { propagate: true }", &[]);
    check("tracing: true", &["5:10 tracing: expected a mapping, found `true` | expected a mapping"]);
}

#[test]
fn http_2_is_on_or_off_or_has_a_bound_on_streams() {
    check("http2: false", &[]);
    check("http2: true", &[]);
    check("http2: { maxConcurrentStreams: 1 }", &[]);
    check("http2: { maxConcurrentStreams: 0 }", &["5:32 http2.maxConcurrentStreams: `0` is below 1 | from 1 to 10000"]);
    check(
        "http2: { maxConcurrentStreams: 10001 }",
        &["5:32 http2.maxConcurrentStreams: `10001` is above 10000 | from 1 to 10000"],
    );
    check("http2: { streams: 5 }", &["5:10 unknown key `http2.streams` | not a key here"]);
}

#[test]
fn the_rate_of_a_client_has_a_range_and_says_per_what() {
    check("rateLimit: { requests: 100, per: 1s }", &[]);
    check("rateLimit: { requests: 100, per: 1d, burst: 100000, by: address }", &[]);
    check(
        "rateLimit: { requests: 0, burst: 100001 }",
        &[
            "5:1 missing key `rateLimit.per` | has no `per`",
            "5:24 rateLimit.requests: `0` is below 1 | from 1 to 100000",
            "5:34 rateLimit.burst: `100001` is above 100000 | from 1 to 100000",
        ],
    );
    check("rateLimit: { requests: 100, per: 1 }", &["5:34 rateLimit.per: `1` has no unit | write `1s` or `1ms`"]);
    check(
        "rateLimit: { requests: 100, per: 1s, by: cookie }",
        &["5:42 rateLimit.by: `cookie` is not what clients are told by | write `address`"],
    );
    check("rateLimit: 100", &["5:12 rateLimit: expected a mapping, found the number 100 | expected a mapping"]);
}
