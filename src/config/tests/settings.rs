//! Each rule for one setting: the line that breaks it, and every fault that comes of it.

use super::faults;

/// The least configuration with this line in place of its own line of the same key, or after it.
pub(super) fn check(line: &str, expected: &[&str]) {
    let key = line.split_inclusive(':').next();
    let mut lines: Vec<&str> = super::LEAST.lines().collect();
    match lines.iter().position(|other| other.split_inclusive(':').next() == key) {
        Some(position) => lines[position] = line,
        None => lines.push(line),
    }
    assert_eq!(faults(&lines.join("\n")), expected, "{line}");
}

#[test]
fn addresses_are_refused_with_what_would_be_right() {
    check("listen: 8080", &["1:9 listen: expected a string, found the number 8080 | expected a string"]);
    check(
        r#"listen: ":8080""#,
        &["1:9 listen: `:8080` has no IP address | write `127.0.0.1:8080`, or `0.0.0.0:8080` for all interfaces"],
    );
    check("listen: 127.0.0.1", &["1:9 listen: `127.0.0.1` has no port | write `127.0.0.1:8080`"]);
    check(r#"listen: "::1""#, &["1:9 listen: `::1` has no port | write `[::1]:8080`"]);
    check(
        "listen: localhost:8080",
        &["1:9 listen: `localhost:8080` is not an IP address with a port | write `127.0.0.1:8080`"],
    );
    check(
        "listen: http://127.0.0.1:8080",
        &["1:9 listen: `http://127.0.0.1:8080` has a scheme | write the address alone, like `127.0.0.1:8080`"],
    );
    check(
        "listen: 127.0.0.1:99999",
        &[
            "1:9 listen: `127.0.0.1:99999` is not an IP address with a port | write an address like `127.0.0.1:8080` or `[::1]:8080`",
        ],
    );
    check("listen: [127.0.0.1:8080]", &["1:9 listen: expected a string, found a list | expected a string"]);
    check("listen:", &["1:1 listen: has no value | give it a value, or remove it"]);
    check("listne: 127.0.0.1:8080", &["5:1 unknown key `listne` | did you mean `listen`?"]);
    check("admin: 9090", &["2:8 admin: expected a mapping, found the number 9090 | expected a mapping"]);
    check("admin: {}", &["2:1 missing key `admin.listen` | has no `listen`"]);
    check(
        "admin: { listen: 127.0.0.1:8080 }",
        &[
            "2:18 admin.listen: `127.0.0.1:8080` is taken by the proxy's own `listen: 127.0.0.1:8080` | the admin API has a port of its own",
        ],
    );
    check(
        "admin: { listen: 0.0.0.0:9090 }",
        &["2:18 admin.listen: `0.0.0.0:9090` is not on loopback, and there are no tokens | write `127.0.0.1:9090`"],
    );
    check(
        r#"admin: { listen: "[::]:8080", tokens: missing.yaml }"#,
        &[
            "2:18 admin.listen: `[::]:8080` is taken by the proxy's own `listen: 127.0.0.1:8080` | the admin API has a port of its own",
            "2:39 admin.tokens: `missing.yaml` cannot be read: No such file or directory (os error 2) | a path is relative to the configuration file",
        ],
    );
    check(
        r#"admin: { listen: 127.0.0.1:9090, tokens: "" }"#,
        &["2:42 admin.tokens: is empty | write the path of a file, like `tokens.yaml`"],
    );
    check(
        "admin: { listen: 127.0.0.1:9090, tokens: [] }",
        &["2:42 admin.tokens: expected a string, found a list | expected a string"],
    );
}

#[test]
fn names_and_workers_have_a_range() {
    check(r#"service: """#, &["5:10 service: is empty | write a name"]);
    check(r#"service: "a\eb""#, &[r"5:10 service: `a\u{1b}b` has control characters | write a name without them"]);
    check(
        "service: 12",
        &[
            r#"5:10 service: expected a string, found the number 12 | text that looks like something else stands in quotes, write `"12"`"#,
        ],
    );
    check("workers: 0", &["5:10 workers: `0` is below 1 | from 1 to 1024"]);
    check("workers: 1025", &["5:10 workers: `1025` is above 1024 | from 1 to 1024"]);
    check("workers: 2.5", &["5:10 workers: expected a whole number, found the number 2.5 | expected a whole number"]);
    check("workers: two", &["5:10 workers: expected a whole number, found the text `two` | expected a whole number"]);
}

#[test]
fn versions_and_endpoints_are_checked_one_by_one() {
    check("blue: { version: v1 }", &["3:1 missing key `blue.endpoints` | has no `endpoints`"]);
    check(r#"blue: { endpoints: ["127.0.0.1:9001"] }"#, &["3:1 missing key `blue.version` | has no `version`"]);
    check(
        r#"blue: { version: v2, endpoints: ["127.0.0.1:9001"] }"#,
        &["4:19 green.version: `v2` is blue's version too | two versions have two names"],
    );
    check(
        r#"blue: { version: 1.10, endpoints: ["127.0.0.1:9001"] }"#,
        &[
            r#"3:18 blue.version: expected a string, found the number 1.1 | text that looks like something else stands in quotes, write `"1.10"`"#,
        ],
    );
    check(r#"blue: [v1, ["127.0.0.1:9001"]]"#, &["3:7 blue: expected a mapping, found a list | expected a mapping"]);
    check(
        r#"blue: { version: v1, endpoints: ["127.0.0.1:9001"], maxRequests: 0 }"#,
        &["3:66 blue.maxRequests: `0` is below 1 | from 1 to 10000000"],
    );
    check(
        "blue: { version: v1, endpoints: [] }",
        &["3:33 blue.endpoints: is empty | blue has at least one endpoint, like `127.0.0.1:9001`"],
    );
    check(
        "blue: { version: v1, endpoints: 127.0.0.1:9001 }",
        &["3:33 blue.endpoints: expected a list, found the text `127.0.0.1:9001` | expected a list"],
    );
    check(
        "blue: { version: v1, endpoints: [{ host: a }] }",
        &["3:34 blue.endpoints[0]: expected a string, found a mapping | expected a string"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["a:1", ~, "a:1"] }"#,
        &[
            "3:41 blue.endpoints[1]: has no value | give it a value, or remove it",
            "3:44 blue.endpoints[2]: `a:1` is in the list already | remove it",
        ],
    );
    check(
        r#"blue: { version: v1, endpoints: ["HTTP://a:1", "a:1"] }"#,
        &["3:48 blue.endpoints[1]: `a:1` is in the list already | remove it"],
    );
    check("blue: { version: v1, endpoints: [a] }", &["3:34 blue.endpoints[0]: `a` has no port | write `a:8080`"]);
    check(
        r#"blue: { version: v1, endpoints: ["a:0"] }"#,
        &["3:34 blue.endpoints[0]: `a:0` has port 0 | an endpoint has a port from 1 to 65535"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["a:b"] }"#,
        &["3:34 blue.endpoints[0]: `a:b` has no usable port | write `host:port`, with a port from 1 to 65535"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["::1"] }"#,
        &["3:34 blue.endpoints[0]: `::1` has no port | an IPv6 address stands in brackets, write `[::1]:8080`"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["::1:9001x:7"] }"#,
        &[
            "3:34 blue.endpoints[0]: `::1:9001x:7` has no usable host | write `host:port`, the host a name or an IP address",
        ],
    );
    check(
        r#"blue: { version: v1, endpoints: ["[::1]"] }"#,
        &["3:34 blue.endpoints[0]: `[::1]` has no port | write `[::1]:8080`"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["[::g]:1"] }"#,
        &["3:34 blue.endpoints[0]: `[::g]:1` is not an IPv6 address in brackets | write an address like `[::1]:8080`"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["300.1.1.1:80"] }"#,
        &[
            "3:34 blue.endpoints[0]: `300.1.1.1:80` has no usable host | write `host:port`, the host a name or an IP address",
        ],
    );
    check(
        r#"blue: { version: v1, endpoints: ["A:1", "a:1"] }"#,
        &["3:41 blue.endpoints[1]: `a:1` is in the list already | remove it"],
    );
    check(
        r#"blue: { version: v1, endpoints: ["", "http://", "fe80::1%eth0:80", "-a:1", "a..b:1", "1:2:3:4:5:6:7:8:9"] }"#,
        &[
            "3:34 blue.endpoints[0]: `` is empty | write `host:port`, the host a name or an IP address",
            "3:38 blue.endpoints[1]: `` is empty | write `host:port`, the host a name or an IP address",
            "3:49 blue.endpoints[2]: `fe80::1%eth0:80` has no usable host | write `host:port`, the host a name or an IP address",
            "3:68 blue.endpoints[3]: `-a:1` has no usable host | write `host:port`, the host a name or an IP address",
            "3:76 blue.endpoints[4]: `a..b:1` has no usable host | write `host:port`, the host a name or an IP address",
            "3:86 blue.endpoints[5]: `1:2:3:4:5:6:7:8:9` is ambiguous | an IPv6 address stands in brackets, write `[1:2:3:4:5:6:7:8]:9`",
        ],
    );
}

#[test]
fn an_endpoint_in_the_form_of_a_url_has_nothing_but_its_host_and_port() {
    let check = |url: &str, expected: &str| {
        let line = format!("blue: {{ version: v1, endpoints: [\"{url}\"] }}");
        check(&line, &[&format!("3:34 blue.endpoints[0]: {expected}")]);
    };
    check("http://a:1/", "`http://a:1/` has a path, and requests have their own | write `a:1` alone");
    check("http://a:1/x?y", "`http://a:1/x?y` has a path, and requests have their own | write `a:1` alone");
    check("http://[::1]:2?y", "`http://[::1]:2?y` has a query, and requests have their own | write `[::1]:2` alone");
    check("http://a:1#y", "`http://a:1#y` has a fragment | write `a:1` alone");
    check("http://a", "`a` has no port | write `a:8080`");
    check(
        "http://a/x",
        "`http://a/x` has a path, and requests have their own | write `host:port`, the host a name or an IP address",
    );
    check("https://a:1/x", "`https://a:1/x` has a path, and requests have their own | write `https://a:1` alone");
    check("HTTPS://A/", "`HTTPS://A/` has a path, and requests have their own | write `https://a:443` alone");
    check("https://", "`` is empty | write `host:port`, the host a name or an IP address");
    check("https://a:", "`a:` has no usable port | write `host:port`, with a port from 1 to 65535");
    check("tcp://a:1", "`tcp://a:1` has a scheme that is neither `http` nor `https` | write `a:1` alone");
    for url in ["http://me:hunter2@a:1", "https://me:hunter2@a:1", "me:hunter2@a:1"] {
        check(url, "has a user name | an endpoint is `host:port` without a user name and a password");
    }
}

#[test]
fn an_endpoint_in_both_versions_is_warned_of_and_is_no_fault() {
    let text = "listen: 127.0.0.1:8080\nadmin: { listen: 127.0.0.1:9090 }\n\
                blue: { version: v1, endpoints: [\"127.0.0.1:1\", \"a:2\"] }\n\
                green:\n  version: v2\n  endpoints:\n  - b:2\n  - http://A:2\n";
    let warnings = super::loaded(text).warnings;
    assert_eq!(
        warnings.iter().map(super::told).collect::<Vec<_>>(),
        ["8:5 green.endpoints[1]: `a:2` is an endpoint of blue too on line 3 | what it does is charged to both \
             versions, so that neither can be told from the other by it"]
    );
    assert!(super::loaded(super::LEAST).warnings.is_empty());
}

#[test]
fn networks_are_networks() {
    check(
        r#"trustedProxies: ["10.0.0.1"]"#,
        &["5:18 trustedProxies[0]: `10.0.0.1` is not a network | write `10.0.0.1/32`"],
    );
    check(
        r#"trustedProxies: ["10.0.0.1/8"]"#,
        &[
            "5:18 trustedProxies[0]: `10.0.0.1/8` has bits set beyond its prefix | write `10.0.0.0/8`, or a longer prefix",
        ],
    );
    check(
        r#"trustedProxies: ["10.0.0.0/33"]"#,
        &["5:18 trustedProxies[0]: `10.0.0.0/33` is not a network | write a network like `10.0.0.0/8`"],
    );
}

#[test]
fn name_servers_are_addresses() {
    const SHAPE: &str = "write an IP address like `10.0.0.53`, `10.0.0.53:5353` or `[fd00::53]:5353`";
    let wrong = |text: &str, expected: &str| {
        check(&format!("resolver: {{ nameservers: [\"10.0.0.53\", \"{text}\"] }}"), &[expected]);
    };
    wrong(
        "dns.local",
        &format!("5:40 resolver.nameservers[1]: `dns.local` is not the IP address of a name server | {SHAPE}"),
    );
    wrong(
        "10.0.0.53:",
        &format!("5:40 resolver.nameservers[1]: `10.0.0.53:` is not the IP address of a name server | {SHAPE}"),
    );
    wrong("10.0.0.53:0", &format!("5:40 resolver.nameservers[1]: `10.0.0.53:0` has port 0 | {SHAPE}"));
    wrong("10.0.0.53:53", "5:40 resolver.nameservers[1]: `10.0.0.53:53` is in the list already | remove it");
    check(
        "resolver: { nameservers: [] }",
        &[
            "5:26 resolver.nameservers: is empty | name at least one, or leave `resolver` out for those of /etc/resolv.conf",
        ],
    );
    let nine: Vec<String> = (1..=9).map(|last| format!("10.0.0.{last}")).collect();
    check(
        &format!("resolver: {{ nameservers: [{}] }}", nine.join(", ")),
        &["5:26 resolver.nameservers: has 9 elements | at most 8 are allowed"],
    );
    check(
        "resolver: { nameserver: 10.0.0.53 }",
        &["5:13 unknown key `resolver.nameserver` | did you mean `nameservers`?"],
    );
}

#[test]
fn durations_have_a_unit_and_a_range() {
    check("timeouts: { connect: 5 }", &["5:22 timeouts.connect: `5` has no unit | write `5s` or `5ms`"]);
    check(r#"timeouts: { connect: "5" }"#, &["5:22 timeouts.connect: `5` has no unit | write `5s` or `5ms`"]);
    check("timeouts: { connect: 0.5 }", &["5:22 timeouts.connect: `0.5` has no unit | write `0.5s` or `0.5ms`"]);
    check("timeouts: { connect: -5s }", &["5:22 timeouts.connect: `-5s` is negative | a duration is at least 1ms"]);
    check("timeouts: { connect: -5 }", &["5:22 timeouts.connect: `-5` has no unit | write `5s` or `5ms`"]);
    check("timeouts: { connect: 0s }", &["5:22 timeouts.connect: `0s` is below 1ms | from 1ms to 24h"]);
    check("timeouts: { connect: 0 }", &["5:22 timeouts.connect: `0` has no unit | write `0s` or `0ms`"]);
    check("timeouts: { connect: 25h }", &["5:22 timeouts.connect: `25h` is above 24h | from 1ms to 24h"]);
    check(
        "timeouts: { connect: soon }",
        &["5:22 timeouts.connect: `soon` is not a duration | write a duration like `500ms`, `30s`, `5m` or `1m30s`"],
    );
    check(
        "timeouts: { connect: .inf }",
        &["5:22 timeouts.connect: `.inf` is not a duration | write a duration like `500ms`, `30s`, `5m` or `1m30s`"],
    );
    check(
        "timeouts: { connect: 99999999999999999999h }",
        &[
            "5:22 timeouts.connect: `99999999999999999999h` is not a duration | write a duration like `500ms`, `30s`, `5m` or `1m30s`",
        ],
    );
    check(
        "timeouts: { connect: true }",
        &["5:22 timeouts.connect: expected a quantity, found `true` | expected a quantity"],
    );
    check(
        "timeouts: { request_head: 5s }",
        &["5:13 unknown key `timeouts.request_head` | did you mean `requestHead`?"],
    );
    check("ejection: { failures: 0 }", &["5:23 ejection.failures: `0` is below 1 | from 1 to 1000000"]);
    check("ejection: { duration: 0s }", &["5:23 ejection.duration: `0s` is below 1ms | from 1ms to 24h"]);
    check("drain: { wait: -1s }", &["5:16 drain.wait: `-1s` is negative | a duration is at least 0s"]);
    check("drain: { deadline: 0s }", &["5:20 drain.deadline: `0s` is below 1ms | from 1ms to 24h"]);
}

#[test]
fn the_journal_has_bounds() {
    check("journal: { age: 1m }", &["5:17 journal.age: `1m` is below 1h | from 1h to 3650d"]);
    check("journal: { age: -7d }", &["5:17 journal.age: `-7d` is negative | a duration is at least 1h"]);
    check("journal: { age: 4000d }", &["5:17 journal.age: `4000d` is above 3650d | from 1h to 3650d"]);
    check("journal: { size: 1MiB }", &["5:18 journal.size: `1MiB` is below 16MiB | from 16MiB to 1024GiB"]);
    check("journal: { size: 2000GiB }", &["5:18 journal.size: `2000GiB` is above 1024GiB | from 16MiB to 1024GiB"]);
    check(
        "journal: { age: 1 month }",
        &["5:17 journal.age: `1 month` is not a duration | write a duration like `500ms`, `30s`, `5m` or `1m30s`"],
    );
}

#[test]
fn what_is_right_is_taken() {
    check("timeouts: { connect: 1s, requestHead: 10 s, keepAlive: 1 min 30 s }", &[]);
    check(r#"listen: "[::1]:0""#, &[]);
    check(r#"blue: { version: v1, endpoints: ["http://[::1]:1", "HTTP://a.example:1"] }"#, &[]);
    check("admin: { listen: 127.0.0.2:8080 }", &[]);
    check(r#"admin: { listen: "[::1]:9090" }"#, &[]);
    check("workers: 1024", &[]);
    check(r#"blue: { version: "1.10", endpoints: ["a_b.example.:1"] }"#, &[]);
    check(r#"trustedProxies: ["10.0.0.1/32", "fd00::/8"]"#, &[]);
    check("timeouts: { connect: 1ms, tunnelIdle: 24h, bodyIdle: 1h30m }", &[]);
    check("limits: { headBytes: 1024, headFields: 1000, responseHeadBytes: 8KiB, connections: 1 }", &[]);
    check("drain: { wait: 0s }", &[]);
    check("sticky: { cookie: __Host-session }", &[]);
    check(r#"resolver: { nameservers: ["10.0.0.53", "10.0.0.53:5353", "[fd00::53]:53", "::1"] }"#, &[]);
    check("journal: { age: 1w, size: 16MiB }", &[]);
}
