//! Spans as a collector reads them: the attributes are those of OpenTelemetry's semantic conventions for HTTP servers and for
//! RPC, as of 1.45, and our own beside them.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Said, Status};
use prost::Message;

use super::{Method, Span};
use crate::gate::GrpcStatus;

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.45.0";
const SCOPE: &str = "portcullis";
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// What a method is called that is none of the standards'.
const OTHER_METHOD: &str = "_OTHER";

/// A flag beside those of W3C: it is known where the parent is, and that is elsewhere (OTLP, `SpanFlags`).
const PARENT_IS_REMOTE: u32 = 0x300;
const SAMPLED: u32 = 1;

/// A message with these spans of one service.
pub(super) fn of(spans: &[Span], service_name: &str, instance: &str) -> Bytes {
    let resource = Resource {
        attributes: vec![
            text("service.name", service_name),
            text("service.version", RELEASE),
            text("service.instance.id", instance),
        ],
        ..Resource::default()
    };
    let scope =
        InstrumentationScope { name: SCOPE.to_owned(), version: RELEASE.to_owned(), ..InstrumentationScope::default() };
    let spans = spans.iter().map(said).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_owned() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, schema_url: SCHEMA.to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec().into()
}

/// How many spans the collector has rejected, and what it has to say. An answer that cannot be read says nothing.
pub(super) fn answer(body: Bytes) -> (u64, String) {
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
    partial
        .map(|partial| (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message))
        .unwrap_or_default()
}

fn said(span: &Span) -> Said {
    let status = span.error.as_ref().map(|_| Status { code: StatusCode::Error.into(), message: String::new() });
    Said {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        trace_state: span.state.clone(),
        parent_span_id: span.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED | if span.parent.is_some() { PARENT_IS_REMOTE } else { 0 },
        name: name(span),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(span.started, Duration::ZERO),
        end_time_unix_nano: nanos(span.started, span.took),
        attributes: attributes(span),
        status,
        ..Said::default()
    }
}

/// Of few values: no route is known, so the path of a request is none of it, but that of a call which a server knew.
fn name(span: &Span) -> String {
    match (&span.method, rpc_method(span)) {
        (_, Some(method)) if span.grpc != Some(GrpcStatus::Unimplemented) && span.endpoint.is_some() => {
            method.to_owned()
        }
        (Method::Known(method), _) => (*method).to_owned(),
        (Method::Other(_), _) => "HTTP".to_owned(),
    }
}

/// `package.Service/Method` of a call of gRPC.
fn rpc_method(span: &Span) -> Option<&str> {
    span.grpc.and(span.path.strip_prefix('/'))
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let method = match &span.method {
        Method::Known(method) => method,
        Method::Other(_) => OTHER_METHOD,
    };
    let mut all = vec![
        text("http.request.method", method),
        text("url.path", &span.path),
        text("url.scheme", span.scheme),
        text("network.protocol.version", span.protocol),
        text("client.address", &span.client.to_string()),
        text("network.peer.address", &span.peer.to_string()),
        text("portcullis.outcome", span.outcome.name()),
    ];
    if let Method::Other(original) = &span.method {
        all.push(text("http.request.method_original", original));
    }
    if span.status > 0 {
        all.push(number("http.response.status_code", i64::from(span.status)));
    }
    if let Some((address, port)) = span.host.as_deref().map(split) {
        all.push(text("server.address", address));
        all.extend(port.map(|port| number("server.port", i64::from(port))));
    }
    if let (Some(status), Some(method)) = (span.grpc, rpc_method(span)) {
        all.push(text("rpc.system.name", "grpc"));
        all.push(text("rpc.method", method));
        if let Some(name) = status.number().map(|_| status.name()) {
            all.push(text("rpc.response.status_code", name));
        }
    }
    let optional = [
        ("user_agent.original", span.user_agent.as_deref()),
        ("error.type", span.error.as_deref()),
        ("portcullis.version", span.version.map(crate::gate::Version::name)),
        ("portcullis.endpoint", span.endpoint.as_deref()),
        ("portcullis.reason", span.reason),
    ];
    all.extend(optional.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    all
}

/// The host and, where it is said, the port of a Host field.
fn split(host: &str) -> (&str, Option<u16>) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    (name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name), port)
}

fn nanos(started: Timestamp, after: Duration) -> u64 {
    let started = u64::try_from(started.as_nanosecond()).unwrap_or(0);
    started.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
}

fn text(key: &str, value: &str) -> KeyValue {
    with(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    with(key, Value::IntValue(value))
}

fn with(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_may_have_a_port() {
        for (host, expected) in [
            ("shop.example", ("shop.example", None)),
            ("shop.example:8080", ("shop.example", Some(8080))),
            ("10.0.0.1:80", ("10.0.0.1", Some(80))),
            ("[::1]:80", ("::1", Some(80))),
            ("[::1]", ("::1", None)),
            ("shop:", ("shop", None)),
            ("shop:99999", ("shop", None)),
        ] {
            assert_eq!(split(host), expected, "{host}");
        }
    }

    #[test]
    fn an_answer_of_a_collector_may_reject_some_and_one_that_is_no_message_says_nothing() {
        // rejected_spans: 3, error_message: "no"; protobuf by hand.
        let partial = Bytes::from_static(b"\x0a\x06\x08\x03\x12\x02no");
        assert_eq!(answer(partial), (3, "no".to_owned()));
        assert_eq!(answer(Bytes::new()), (0, String::new()));
        assert_eq!(answer(Bytes::from_static(b"<html>")), (0, String::new()));
    }
}
