//! Timeouts, limits, the rate of a client, ejection, drain and the journal's bounds: numbers with a range and a default each.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::quantity::{count, duration, quoted, shown, size};
use crate::config::raw::{
    Quantity, RawAccessLog, RawAfterRollback, RawDrain, RawEjection, RawHttp2, RawJournal, RawLimits, RawRateLimit,
    RawTimeouts, Switch,
};
use crate::config::report::{Scope, Wrong};
use crate::config::{
    AccessLog, AfterRollback, Drain, Ejection, Http2, JournalBounds, Limits, LineFormat, MemoryBound, RateLimit,
    Timeouts,
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;
const WATCH: Duration = Duration::from_secs(600);
const SHORTEST_WATCH: Duration = Duration::from_secs(5);

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

pub(super) fn timeouts(scope: &mut Scope<'_, '_>, raw: RawTimeouts) -> Option<Timeouts> {
    let seconds = Duration::from_secs;
    let connect = scope.optional("connect", raw.connect, seconds(1), duration(TIMEOUTS));
    let request_head = scope.optional("requestHead", raw.request_head, seconds(10), duration(TIMEOUTS));
    let response_head = scope.optional("responseHead", raw.response_head, seconds(30), duration(TIMEOUTS));
    let body_idle = scope.optional("bodyIdle", raw.body_idle, seconds(60), duration(TIMEOUTS));
    let keep_alive = scope.optional("keepAlive", raw.keep_alive, seconds(75), duration(TIMEOUTS));
    let tunnel_idle = scope.optional("tunnelIdle", raw.tunnel_idle, seconds(3600), duration(TIMEOUTS));
    Some(Timeouts {
        connect: connect?,
        request_head: request_head?,
        response_head: response_head?,
        body_idle: body_idle?,
        keep_alive: keep_alive?,
        tunnel_idle: tunnel_idle?,
    })
}

pub(super) fn limits(scope: &mut Scope<'_, '_>, raw: RawLimits) -> Option<Limits> {
    let connections = scope.optional("connections", raw.connections, 10_000, count(1..=10_000_000));
    let head_bytes = scope.optional("headBytes", raw.head_bytes, 32 * KIB, size(KIB..=MIB));
    let head_fields = scope.optional("headFields", raw.head_fields, 100, count(1..=1000));
    let target_bytes = scope.optional("targetBytes", raw.target_bytes, 16 * KIB, size(KIB..=64 * KIB));
    let response_head_bytes =
        scope.optional("responseHeadBytes", raw.response_head_bytes, 64 * KIB, size(8 * KIB..=MIB));
    let request_body_bytes = scope.optional("requestBodyBytes", raw.request_body_bytes, None, |quantity| {
        size(0..=1024 * GIB)(quantity).map(|bytes| Some(bytes as u64))
    });
    let request_body_rate = scope.optional("requestBodyRate", raw.request_body_rate, USUAL_BODY_RATE, rate);
    let memory = scope.optional("memoryBytes", raw.memory_bytes, MemoryBound::Off, memory);
    Some(Limits {
        connections: NonZeroUsize::new(connections? as usize).expect("the range begins at 1"),
        head_bytes: head_bytes?,
        head_fields: head_fields? as usize,
        target_bytes: target_bytes?,
        response_head_bytes: response_head_bytes?,
        request_body_bytes: request_body_bytes?,
        request_body_rate: request_body_rate?,
        memory: memory?,
    })
}

/// As Kestrel has it: less than a modem.
const USUAL_BODY_RATE: u64 = 240;

fn rate(quantity: Quantity) -> Result<u64, Wrong> {
    if quantity.0 == "off" { Ok(0) } else { size(1..=GIB)(quantity).map(|bytes| bytes as u64) }
}

/// The process itself has some 20 MiB before the first connection.
const LEAST_MEMORY: usize = 32 * MIB;

fn memory(quantity: Quantity) -> Result<MemoryBound, Wrong> {
    match quantity.0.as_str() {
        "off" => return Ok(MemoryBound::Off),
        "cgroup" => return Ok(MemoryBound::OfCgroup),
        _ => {}
    }
    size(LEAST_MEMORY..=1024 * GIB)(quantity).map(|bytes| MemoryBound::Bytes(bytes as u64))
}

/// A burst of so many, at a request a day, is a time that 64 bits of nanoseconds hold.
const MOST_AT_ONCE: i64 = 100_000;

pub(super) fn rate_limit(scope: &mut Scope<'_, '_>, raw: RawRateLimit) -> Option<RateLimit> {
    let requests = scope.required("requests", raw.requests, count(1..=MOST_AT_ONCE));
    let per = scope.required("per", raw.per, duration(TIMEOUTS));
    let burst = scope.optional("burst", raw.burst, requests.unwrap_or(1), count(1..=MOST_AT_ONCE));
    let by = scope.optional("by", raw.by, (), |by| match by.as_str() {
        "address" => Ok(()),
        _ => Err(Wrong::new(format!("{} is not what clients are told by", quoted(&by)), "write `address`")),
    });
    by?;
    Some(RateLimit { requests: requests? as u32, per: per?, burst: burst? as u32 })
}

pub(super) fn ejection(scope: &mut Scope<'_, '_>, raw: RawEjection) -> Option<Ejection> {
    let failures = scope.optional("failures", raw.failures, 5, count(1..=1_000_000));
    let duration = scope.optional("duration", raw.duration, Duration::from_secs(30), duration(TIMEOUTS));
    Some(Ejection { failures: failures? as u32, duration: duration? })
}

pub(super) fn drain(scope: &mut Scope<'_, '_>, raw: RawDrain) -> Option<Drain> {
    let wait = scope.optional("wait", raw.wait, Duration::from_secs(2), duration(Duration::ZERO..=DAY));
    let deadline = scope.optional("deadline", raw.deadline, Duration::from_secs(30), duration(TIMEOUTS));
    Some(Drain { wait: wait?, deadline: deadline? })
}

pub(super) fn after_rollback(
    scope: &mut Scope<'_, '_>,
    raw: RawAfterRollback,
    drain: Option<Drain>,
) -> Option<AfterRollback> {
    let usual = drain.map_or(Duration::ZERO, |drain| drain.deadline);
    let drain = scope.optional("drain", raw.drain, usual, duration(TIMEOUTS));
    let watch = scope.optional("watch", raw.watch, WATCH, |raw| match duration(Duration::ZERO..=DAY)(raw)? {
        short if !short.is_zero() && short < SHORTEST_WATCH => {
            let message = format!("{} is too short to tell", quoted(&shown(short)));
            Err(Wrong::new(message, "at least 5s, or 0s for none"))
        }
        watch => Ok(watch),
    });
    Some(AfterRollback { drain: drain?, watch: watch? })
}

/// RFC 9113 recommends no fewer than 100 streams (6.5.2).
const USUAL_STREAMS: u32 = 100;

pub(super) fn http2(scope: &mut Scope<'_, '_>, raw: Option<Switch<RawHttp2>>) -> Option<Http2> {
    let raw = match raw {
        Some(Switch::Off) => return Some(Http2::Off),
        None | Some(Switch::On) => RawHttp2::default(),
        Some(Switch::With(raw)) => raw,
    };
    let streams =
        scope.optional("maxConcurrentStreams", raw.max_concurrent_streams, u64::from(USUAL_STREAMS), count(1..=10_000));
    streams.map(|streams| Http2::On { max_concurrent_streams: streams as u32 })
}

pub(super) fn access_log(scope: &mut Scope<'_, '_>, raw: Option<Switch<RawAccessLog>>) -> Option<AccessLog> {
    match raw {
        None | Some(Switch::Off) => Some(AccessLog::Off),
        Some(Switch::On) => Some(AccessLog::On(LineFormat::Json)),
        Some(Switch::With(raw)) => {
            let format = scope.optional("format", raw.format, LineFormat::Json, |format| match format.as_str() {
                "json" => Ok(LineFormat::Json),
                "text" => Ok(LineFormat::Text),
                _ => Err(Wrong::new(format!("{} is not a format", quoted(&format)), "write `json` or `text`")),
            });
            format.map(AccessLog::On)
        }
    }
}

pub(super) fn journal(scope: &mut Scope<'_, '_>, raw: RawJournal) -> Option<JournalBounds> {
    let age = scope.optional("age", raw.age, 7 * DAY, duration(DAY / 24..=3650 * DAY));
    let size = scope.optional("size", raw.size, 256 * MIB, size(16 * MIB..=1024 * GIB));
    Some(JournalBounds { age: age?, size: size? as u64 })
}
