//! A collector of traces that keeps every message, and answers as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

use super::message::Request;
use super::{Upstream, eventually};

pub use opentelemetry_proto::tonic::trace::v1::Span;

pub const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

pub struct Collector {
    upstream: Upstream,
}

impl Collector {
    /// Takes everything.
    pub fn new() -> Collector {
        Collector::answering(&[])
    }

    /// Gives these answers one after the other, and takes everything after them.
    pub fn answering(answers: &[&str]) -> Collector {
        let answers = Mutex::new(answers.iter().rev().map(|answer| (*answer).to_owned()).collect::<Vec<String>>());
        let answers = Arc::new(answers);
        Collector::of(Upstream::scripted(move |connection| {
            while connection.request().is_some() {
                let answer = answers.lock().expect("no panic with it").pop();
                connection.send(answer.as_deref().unwrap_or(TAKEN));
            }
        }))
    }

    pub fn of(upstream: Upstream) -> Collector {
        Collector { upstream }
    }

    pub fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    /// As a configuration names it, for this share of all traces; `more` is more of `otlp`.
    pub fn tracing(&self, sample: &str, more: &str) -> String {
        format!("tracing: {{ otlp: {{ endpoint: \"http://{}\", sample: {sample}{more} }} }}", self.address())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.upstream.requests()
    }

    /// Every span that has come, as often as it has come.
    pub fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|request| spans(&request.body)).collect()
    }

    #[track_caller]
    pub fn until_spans(&self, count: usize) -> Vec<Span> {
        eventually("the spans", || Some(self.spans()).filter(|spans| spans.len() >= count))
    }

    /// The only one that comes.
    #[track_caller]
    pub fn only_span(&self) -> Span {
        let spans = self.until_spans(1);
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans[0].clone()
    }
}

/// A message, which must be one.
#[track_caller]
pub fn read(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("a message of OTLP")
}

#[track_caller]
pub fn spans(body: &[u8]) -> Vec<Span> {
    let resources = read(body).resource_spans.into_iter();
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

/// Attributes as text, by name; each name once.
#[track_caller]
pub fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for KeyValue { key, value, .. } in all {
        let value = match value.as_ref().and_then(|value| value.value.as_ref()).expect("a value") {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(read.insert(key.clone(), value), None, "{key} twice");
    }
    read
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
