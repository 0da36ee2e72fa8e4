//! The keys of every mapping, and how each may be written.

use serde::Deserializer;
use serde::de::value::Error as Probed;
use serde::de::{DeserializeOwned, Error as _, Visitor};

use super::path::FieldPath;
use super::raw::{
    RawAccessLog, RawAdmin, RawAfterRollback, RawApproval, RawCertificate, RawClientKey, RawCohort, RawCompare,
    RawConfig, RawDrain, RawEjection, RawGate, RawHealthCheck, RawHttp2, RawIssue, RawJournal, RawLimits, RawMirror,
    RawMirrorGate, RawOtlp, RawOverride, RawProxyProtocol, RawRateLimit, RawRelease, RawResolver, RawRoute,
    RawRouteShield, RawRouteTimeouts, RawSent, RawService, RawShield, RawStep, RawSticky, RawTerms, RawTimeouts,
    RawTls, RawToken, RawTokens, RawTracing, RawTrigger, RawUpstreamTls, RawVersion, RawWarmUp,
};
use super::runbook::{self, RawAction, RawRunbook, kind_keys};
use super::validate::RawFirst;

/// The keys of the mapping at a path whose elements of lists are `*`.
pub(super) type KeysAt = fn(&[&str]) -> &'static [&'static str];

/// The keys of the mapping at a path of the configuration file.
pub(super) fn config_keys(pattern: &[&str]) -> &'static [&'static str] {
    match pattern {
        [] => keys::<RawConfig>(),
        ["admin"] => keys::<RawAdmin>(),
        ["blue" | "green"] => keys::<RawVersion>(),
        ["blue" | "green", "healthCheck"] => keys::<RawHealthCheck>(),
        ["blue" | "green", "balance"] => keys::<RawClientKey>(),
        ["blue" | "green", "service"] => keys::<RawService>(),
        ["proxyProtocol"] => keys::<RawProxyProtocol>(),
        ["blue" | "green", "tls"] => keys::<RawUpstreamTls>(),
        ["timeouts"] => keys::<RawTimeouts>(),
        ["limits"] => keys::<RawLimits>(),
        ["rateLimit"] => keys::<RawRateLimit>(),
        ["ejection"] => keys::<RawEjection>(),
        ["drain"] => keys::<RawDrain>(),
        ["afterRollback"] => keys::<RawAfterRollback>(),
        ["tls"] | ["admin", "tls"] => keys::<RawTls>(),
        ["tls", "certificates", "*"] | ["admin", "tls", "certificates", "*"] => keys::<RawCertificate>(),
        ["http2"] => keys::<RawHttp2>(),
        ["accessLog"] => keys::<RawAccessLog>(),
        ["tracing"] => keys::<RawTracing>(),
        ["tracing", "otlp"] => keys::<RawOtlp>(),
        ["release", plan @ ..] => plan_keys(plan),
        ["gate"] => keys::<RawGate>(),
        ["gate", "warmUp"] => keys::<RawWarmUp>(),
        ["gate", "compare"] => keys::<RawCompare>(),
        ["gate", "triggers", "*"] | ["gate", "mirror", "triggers", "*"] => keys::<RawTrigger>(),
        ["gate", "triggers", "*", "first"] => keys::<RawFirst>(),
        ["gate", "mirror"] => keys::<RawMirrorGate>(),
        ["mirror"] => keys::<RawMirror>(),
        ["override"] => keys::<RawOverride>(),
        ["cohorts", "*"] => keys::<RawCohort>(),
        ["cohorts", "*", "header" | "cookie"] => keys::<RawSent>(),
        ["sticky"] => keys::<RawSticky>(),
        ["sticky", "issue"] => keys::<RawIssue>(),
        ["shield"] => keys::<RawShield>(),
        ["routes", "*"] => keys::<RawRoute>(),
        ["routes", "*", "timeouts"] => keys::<RawRouteTimeouts>(),
        ["routes", "*", "shield"] => keys::<RawRouteShield>(),
        ["routes", "*", "triggers", "*"] => keys::<RawTrigger>(),
        ["resolver"] => keys::<RawResolver>(),
        ["journal"] => keys::<RawJournal>(),
        ["runbook"] => keys::<RawRunbook>(),
        ["runbook", _, "*"] => keys::<RawAction>(),
        ["runbook", _, "*", kind @ ..] => kind_keys(kind),
        _ => &[],
    }
}

/// The keys of the mapping at a path of a plan.
pub(super) fn plan_keys(pattern: &[&str]) -> &'static [&'static str] {
    match pattern {
        [] => keys::<RawRelease>(),
        ["steps", "*"] => keys::<RawStep>(),
        ["steps", "*", "approval"] => keys::<RawApproval>(),
        _ => &[],
    }
}

/// The keys of the mapping at a path of what a request says of its plan.
pub(super) fn terms_keys(pattern: &[&str]) -> &'static [&'static str] {
    match pattern {
        [] => keys::<RawTerms>(),
        ["plan", plan @ ..] => plan_keys(plan),
        _ => &[],
    }
}

/// The keys of the mapping at a path of the tokens file.
pub(super) fn tokens_keys(pattern: &[&str]) -> &'static [&'static str] {
    match pattern {
        [] => keys::<RawTokens>(),
        ["tokens", "*"] => keys::<RawToken>(),
        _ => &[],
    }
}

/// How a key may be written, for what is missing or has the wrong type.
pub(super) fn example(path: &FieldPath) -> Option<&'static str> {
    let pattern = path.pattern();
    let example = match pattern[..] {
        ["listen"] => "listen: 127.0.0.1:8080",
        ["admin", "listen"] => "listen: 127.0.0.1:9090",
        ["admin", "tokens"] => "tokens: tokens.yaml",
        ["admin"] => "admin: { listen: 127.0.0.1:9090 }",
        ["blue"] => "blue: { version: v1, endpoints: [\"127.0.0.1:9001\"] }",
        ["green"] => "green: { version: v2, endpoints: [\"127.0.0.1:9002\"] }",
        ["blue" | "green", "version"] => "version: v1",
        ["blue" | "green", "endpoints"] => "endpoints: [\"127.0.0.1:9001\"]",
        ["blue" | "green", "service"] => "service: { name: shop-blue, port: http }",
        ["blue" | "green", "service", "name"] => "name: shop-blue",
        ["blue" | "green", "service", "port"] => "port: http",
        ["blue" | "green", "service", "labels"] => "labels: { track: blue }",
        ["blue" | "green", "deployment"] => "deployment: shop-green",
        ["blue" | "green", "versionLabel"] => "versionLabel: app.kubernetes.io/version",
        ["blue", "ramp"] => "ramp: 30s",
        ["green", "maxWeight"] => "maxWeight: 25%",
        ["blue" | "green", "healthCheck"] => "healthCheck: { path: /healthz, interval: 5s }",
        ["blue" | "green", "healthCheck", "tcp"] => "tcp: true",
        ["blue" | "green", "protocol"] => "protocol: auto",
        ["blue" | "green", "balance"] => "balance: { cookie: session }",
        ["blue" | "green", "tls"] => "tls: { ca: ca.pem }",
        ["blue" | "green", "tls", "ca"] => "ca: ca.pem",
        ["blue" | "green", "tls", "serverName"] => "serverName: shop.internal",
        ["blue" | "green", "tls", "cert"] => "cert: client.crt",
        ["blue" | "green", "tls", "key"] => "key: file:client.key",
        ["trustedProxies"] => "trustedProxies: [\"10.0.0.0/8\"]",
        ["proxyProtocol"] => "proxyProtocol: { from: [\"10.0.0.0/8\"] }",
        ["proxyProtocol", "from"] => "from: [\"10.0.0.0/8\"]",
        ["blue" | "green", "proxyProtocol"] => "proxyProtocol: v2",
        ["rateLimit"] => "rateLimit: { requests: 100, per: 1s }",
        ["rateLimit", "requests"] => "requests: 100",
        ["rateLimit", "per"] => "per: 1s",
        ["timeouts"] => "timeouts: { connect: 1s, responseHead: 30s }",
        ["limits"] => "limits: { connections: 10000, headBytes: 32KiB }",
        ["ejection"] => "ejection: { failures: 5, duration: 30s }",
        ["drain"] => "drain: { wait: 2s, deadline: 30s }",
        ["afterRollback"] => "afterRollback: { drain: 30s, watch: 10m }",
        ["tls"] | ["admin", "tls"] => "tls: { certificates: [{ cert: tls.crt, key: \"file:tls.key\" }] }",
        ["tls", "certificates"] | ["admin", "tls", "certificates"] => {
            "certificates: [{ cert: tls.crt, key: \"file:tls.key\" }]"
        }
        ["tls", "certificates", "*"] | ["admin", "tls", "certificates", "*"] => {
            "- { cert: tls.crt, key: \"file:tls.key\" }"
        }
        ["tls", "certificates", "*", "cert"] | ["admin", "tls", "certificates", "*", "cert"] => "cert: tls.crt",
        ["tls", "certificates", "*", "key"] | ["admin", "tls", "certificates", "*", "key"] => "key: file:tls.key",
        ["tls", "minVersion"] | ["admin", "tls", "minVersion"] => "minVersion: \"1.3\"",
        ["tls", "clientCa"] | ["admin", "tls", "clientCa"] => "clientCa: clients.pem",
        ["http2"] => "http2: { maxConcurrentStreams: 100 }",
        ["accessLog"] => "accessLog: true",
        ["accessLog", "format"] => "format: text",
        ["requestId"] => "requestId: true",
        ["tracing"] => "tracing: { propagate: true }",
        ["tracing", "serviceName"] => "serviceName: edge",
        ["tracing", "otlp"] => "otlp: { endpoint: \"http://127.0.0.1:4318\", sample: 1% }",
        ["tracing", "otlp", "endpoint"] => "endpoint: \"http://127.0.0.1:4318\"",
        ["tracing", "otlp", "headers"] => "headers: { authorization: env:OTLP_AUTHORIZATION }",
        ["tracing", "otlp", "sample"] => "sample: 1%",
        ["release"] => "release: { steps: [{ weight: 10%, bake: 10m }, { weight: 100%, bake: 1h }] }",
        ["release" | "plan", ..] => return plan_example(&pattern[1..]),
        ["gate"] => "gate: { triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }] }",
        ["gate", "exclude"] => "exclude: [\"/healthz\", \"/internal/*\"]",
        ["gate", "failureStatuses"] => "failureStatuses: [\"5xx\", \"429\"]",
        ["gate", "grpcFailureStatuses"] => "grpcFailureStatuses: [UNAVAILABLE, INTERNAL]",
        ["gate", "notFailures"] => "notFailures: [501, 505]",
        ["gate", "learnRoutes"] => "learnRoutes: 32",
        ["gate", "warmUp"] => "warmUp: { time: 30s, requests: 20 }",
        ["gate", "compare"] => "compare: { falseAlarm: 0.001 }",
        ["gate", "mirror"] => "mirror: { triggers: [{ name: shadow, metric: errorRate, aboveBlue: 2 }] }",
        ["gate", "mirror", "triggers", ..] => return trigger_example(&pattern[3..]),
        ["gate", "triggers"] => "triggers: [{ name: dead, metric: failureStreak, atLeast: 5 }]",
        ["gate", "triggers", ..] => return trigger_example(&pattern[2..]),
        ["routes", "*", "triggers", _, ..] => return trigger_example(&pattern[3..]),
        ["mirror"] => "mirror: { share: 10% }",
        ["override"] => "override: { header: x-portcullis-version, from: [\"10.0.0.0/8\"] }",
        ["override", "from"] => "from: [\"10.0.0.0/8\"]",
        ["override", "secret"] => "secret: env:OVERRIDE_SECRET",
        ["mirror", "share"] => "share: 10%",
        ["cohorts"] => "cohorts: [{ name: staff, from: [\"10.0.0.0/8\"] }]",
        ["cohorts", "*"] => "- { name: staff, from: [\"10.0.0.0/8\"] }",
        ["cohorts", "*", "name"] => "name: staff",
        ["cohorts", "*", "header"] => "header: { name: x-group, values: [beta] }",
        ["cohorts", "*", "cookie"] => "cookie: { name: group, values: [beta] }",
        ["cohorts", "*", "from"] => "from: [\"10.0.0.0/8\"]",
        ["cohorts", "*", "paths"] => "paths: [\"/labs/*\"]",
        ["cohorts", "*", "header", "name"] => "name: x-group",
        ["cohorts", "*", "cookie", "name"] => "name: group",
        ["cohorts", "*", "header" | "cookie", "values"] => "values: [beta]",
        ["sticky"] => "sticky: { cookie: session }",
        ["sticky", "cookie"] | ["blue" | "green", "balance", "cookie"] => "cookie: session",
        ["sticky", "header"] | ["blue" | "green", "balance", "header"] => "header: x-user",
        ["sticky", "address"] | ["blue" | "green", "balance", "address"] => "address: true",
        ["sticky", "issue"] => "issue: { maxAge: 30d }",
        ["shield"] => "shield: { budget: 20% }",
        ["shield", "methods"] => "methods: [GET, HEAD]",
        ["shield", "grpc"] => "grpc: [\"/shop.Catalog/*\"]",
        ["routes"] => "routes: [{ name: checkout, paths: [/checkout, /checkout/*] }]",
        ["routes", "*"] => "- { name: checkout, paths: [/checkout, /checkout/*] }",
        ["routes", "*", "name"] => "name: checkout",
        ["routes", "*", "hosts"] => "hosts: [shop.example.com]",
        ["routes", "*", "paths"] => "paths: [/checkout, \"/users/{id}/orders\"]",
        ["routes", "*", "methods"] => "methods: [GET, POST]",
        ["routes", "*", "rollback"] => "rollback: route",
        ["routes", "*", "shield"] => "shield: { methods: [GET, HEAD, POST] }",
        ["routes", "*", "shield", "methods"] => "methods: [GET, HEAD, POST]",
        ["routes", "*", "timeouts"] => "timeouts: { responseHead: 2m }",
        ["routes", "*", "triggers"] => "triggers: [{ name: checkout-errors, metric: errorRate, above: 5% }]",
        ["resolver"] => "resolver: { nameservers: [\"10.0.0.53\"] }",
        ["resolver", "nameservers"] => "nameservers: [\"10.0.0.53\"]",
        ["journal"] => "journal: { age: 7d, size: 256MiB }",
        ["runbook", ..] => return runbook::example(&pattern[1..]),
        ["tokens"] | ["tokens", "*"] => {
            "tokens: [{ name: alice, role: operator, sha256: \"<64 hexadecimal digits>\" }]"
        }
        ["tokens", "*", "name"] => "name: alice",
        ["tokens", "*", "role"] => "role: operator",
        ["tokens", "*", "token"] => "token: env:ALICE_TOKEN",
        ["tokens", "*", "sha256"] => "sha256: \"<64 hexadecimal digits>\"",
        _ => return plan_example(&pattern),
    };
    Some(example)
}

/// As [`example`], within a list of triggers.
fn trigger_example(pattern: &[&str]) -> Option<&'static str> {
    Some(match pattern {
        [] => "triggers: [{ name: meltdown, metric: errorRate, above: 10% }]",
        ["*"] => "- { name: meltdown, metric: errorRate, above: 10% }",
        ["*", "name"] => "name: meltdown",
        ["*", "metric"] => "metric: errorRate",
        ["*", "quantile"] => "quantile: 0.99",
        ["*", "first"] => "first: { run: [flag-off], wait: 30s }",
        ["*", "first", "run"] => "run: [flag-off]",
        ["*", "first", "wait"] => "wait: 30s",
        _ => return None,
    })
}

/// As [`example`], within a plan.
fn plan_example(pattern: &[&str]) -> Option<&'static str> {
    Some(match pattern {
        ["steps"] => "steps: [{ weight: 10%, bake: 10m }, { weight: 100%, bake: 1h }]",
        ["budget"] => "budget: 200",
        ["steps", "*"] => "- { weight: 10%, bake: 10m }",
        ["steps", "*", "weight"] => "weight: 10%",
        ["steps", "*", "mirror"] => "mirror: 10%",
        ["steps", "*", "cohort"] => "cohort: staff",
        ["steps", "*", "bake"] => "bake: 10m",
        ["steps", "*", "approval"] => "approval: { within: 24h, otherwise: pause }",
        ["steps", "*", "approval", "within"] => "within: 24h",
        ["steps", "*", "approval", "otherwise"] => "otherwise: pause",
        _ => return None,
    })
}

/// The fields that a derived structure asks its deserializer for.
pub(super) fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'k>(&'k mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = Probed;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Probed> {
            *self.0 = fields;
            Err(Probed::custom("only the fields are of interest"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Probed> {
            Err(Probed::custom("not a structure"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    match T::deserialize(Probe(&mut fields)) {
        Ok(_) => &[],
        Err(_) => fields,
    }
}
