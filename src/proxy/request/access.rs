//! The access log: a line for each request, when it has ended. All of it is on the heap, and there only while the log is on, or
//! the request is sampled.

use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Uri};
use tracing::Level;

use super::client::Client;
use super::ending::{Ending, Reason};
use super::ids::{X_REQUEST_ID, trace_id};
use super::pair::{Half, Pair};
use super::service::Serving;
use super::span::Begun;
use crate::config::{AccessLog, LineFormat};
use crate::gate::{Charge, GrpcStatus, Version};
use crate::measure::shard::Took;
use crate::proxy::upstream::Endpoint;

const TARGET: &str = "portcullis::access";

/// What is known of a request before it has ended.
pub(super) struct Line {
    log: AccessLog,
    /// None where the request is not sampled.
    span: Option<Begun>,
    /// Where the request has a copy.
    pub mirrored: Option<Rc<Pair>>,
    /// Before the first of the proxies that are trusted.
    pub client: IpAddr,
    /// None where what came is no request.
    pub asked: Option<Asked>,
    /// None where the head does not say it.
    request_bytes: Option<u64>,
    request_id: Option<String>,
    trace_id: Option<String>,
    /// The one that had it last.
    pub endpoint: Option<Rc<Endpoint>>,
    /// None where no connection was made for it.
    pub connect: Option<Duration>,
    /// Of the endpoint's body.
    pub response_bytes: u64,
}

/// What a client asked for.
pub(super) struct Asked {
    pub method: Method,
    pub target: Uri,
    pub protocol: http::Version,
}

/// How it ended.
pub(super) struct Ended {
    /// None where it was refused before one was chosen.
    pub version: Option<Version>,
    pub status: u16,
    /// Of gRPC.
    pub grpc: Option<GrpcStatus>,
    pub ending: Ending,
    pub charge: Charge,
    /// What the version took.
    pub judged: Took,
    pub head: Option<Duration>,
    pub whole: Duration,
}

impl Serving {
    /// The line of a request that came with `head` and a body of `request_bytes`; none where the log is off and it has no
    /// span.
    pub(super) fn line(
        &self,
        head: &Parts,
        request_bytes: Option<u64>,
        client: &Client,
        span: Option<Begun>,
    ) -> Option<Box<Line>> {
        let log = self.settings().access_log;
        if log == AccessLog::Off && span.is_none() {
            return None;
        }
        let client = self.origin(&head.headers, client);
        Some(Box::new(Line { span, ..Line::new(log, head, request_bytes, client) }))
    }

    /// Of a request that nobody is told of but its copy.
    pub(super) fn silent_line(client: &Client) -> Box<Line> {
        Box::new(Line::without_request(AccessLog::Off, client.address))
    }

    /// The line of what `client` sent that is no request; none where the log is off.
    pub(super) fn line_without_request(&self, client: &Client) -> Option<Line> {
        let log = self.settings().access_log;
        (log != AccessLog::Off).then(|| Line::without_request(log, client.address))
    }
}

impl Line {
    fn new(log: AccessLog, head: &Parts, request_bytes: Option<u64>, client: IpAddr) -> Line {
        let (method, target) = (head.method.clone(), head.uri.clone());
        Line {
            asked: Some(Asked { method, target, protocol: head.version }),
            request_bytes,
            request_id: head.headers.get(X_REQUEST_ID).map(text),
            trace_id: trace_id(&head.headers).map(str::to_owned),
            ..Line::without_request(log, client)
        }
    }

    fn without_request(log: AccessLog, client: IpAddr) -> Line {
        Line {
            log,
            span: None,
            mirrored: None,
            client,
            asked: None,
            request_bytes: None,
            request_id: None,
            trace_id: None,
            endpoint: None,
            connect: None,
            response_bytes: 0,
        }
    }

    /// The names with which the request goes on.
    pub(super) fn goes_on(&mut self, head: &Parts) {
        self.trace_id = trace_id(&head.headers).map(str::to_owned);
    }

    pub(super) fn identify(&mut self, id: &HeaderValue) {
        self.request_id = Some(text(id));
    }

    /// Another version answers in the place of the first.
    pub(super) fn again(&mut self) {
        self.endpoint = None;
        self.connect = None;
    }

    pub(super) fn write(&self, ended: &Ended) {
        if let Some(span) = &self.span {
            span.end(self, ended);
        }
        if let Some(pair) = &self.mirrored {
            let Ended { status, charge, judged, ending: Ending { outcome, .. }, .. } = *ended;
            pair.original_came(Half {
                outcome,
                charge,
                status,
                bytes: Some(self.response_bytes),
                judged,
                head: judged.head,
            });
        }
        match self.log {
            AccessLog::On(LineFormat::Json) => self.log(ended),
            AccessLog::On(LineFormat::Text) if tracing::enabled!(target: TARGET, Level::INFO) => {
                // There is nobody to tell that standard error is gone.
                std::io::stderr().lock().write_all(self.text(ended).as_bytes()).ok();
            }
            AccessLog::On(LineFormat::Text) | AccessLog::Off => {}
        }
    }

    fn log(&self, ended: &Ended) {
        let Ended { version, status, grpc, ending, head, whole, .. } = *ended;
        let asked = self.asked.as_ref();
        tracing::info!(
            target: TARGET,
            client = %self.client,
            method = asked.map(|asked| asked.method.as_str()),
            // The log has a `target` of its own.
            request_target = asked.map(|asked| tracing::field::display(&asked.target)),
            protocol = asked.map(|asked| protocol(asked.protocol)),
            version = version.map(Version::name),
            endpoint = self.endpoint.as_ref().map(|endpoint| tracing::field::display(&endpoint.known)),
            status,
            outcome = ending.outcome.name(),
            reason = ending.reason.map(Reason::name),
            request_bytes = self.request_bytes,
            response_bytes = self.response_bytes,
            connect_ms = self.connect.map(millis),
            head_ms = head.map(millis),
            whole_ms = millis(whole),
            request_id = self.request_id,
            trace_id = self.trace_id,
            grpc_status = grpc.map(GrpcStatus::name),
            "request"
        );
    }

    /// The Common Log Format, and `key=value` for the rest.
    fn text(&self, ended: &Ended) -> String {
        let Ended { version, status, grpc, ending, head, whole, .. } = *ended;
        let time = jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000");
        let Line { client, response_bytes, .. } = self;
        let asked = or_dash(self.asked.as_ref().map(Asked::text));
        let shown_ms = |time: Option<Duration>| or_dash(time.map(|time| format!("{:.3}", millis(time))));
        let endpoint = or_dash(self.endpoint.as_ref().map(|endpoint| endpoint.known.to_string()));
        format!(
            "{client} - - [{time}] \"{asked}\" {status} {response_bytes} version={} \
             endpoint={endpoint} outcome={} reason={} request_bytes={} connect_ms={} head_ms={} whole_ms={} \
             request_id=\"{}\" trace_id={} grpc_status={}\n",
            version.map_or("-", Version::name),
            ending.outcome.name(),
            ending.reason.map_or("-", Reason::name),
            or_dash(self.request_bytes.map(|bytes| bytes.to_string())),
            shown_ms(self.connect),
            shown_ms(head),
            shown_ms(Some(whole)),
            quotable(self.request_id.as_deref().unwrap_or("-")),
            self.trace_id.as_deref().unwrap_or("-"),
            grpc.map_or("-", GrpcStatus::name),
        )
    }
}

impl Ended {
    /// Before a version was chosen.
    pub(super) fn refused(status: u16, grpc: Option<GrpcStatus>, ending: Ending, whole: Duration) -> Ended {
        let (charge, judged) = (Charge::Nobody, Took::default());
        Ended { version: None, status, grpc, ending, charge, judged, head: None, whole }
    }
}

impl Asked {
    fn text(&self) -> String {
        let Asked { method, target, .. } = self;
        format!("{method} {} {}", quotable(&target.to_string()), protocol(self.protocol))
    }
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// As it may stand between quotation marks: whatever a client sends, a line stays one, and its fields where they are.
pub(super) fn quotable(text: &str) -> String {
    let mut quotable = String::with_capacity(text.len());
    for one in text.chars() {
        if matches!(one, '"' | '\\') || one.is_control() {
            quotable.extend(one.escape_default());
        } else {
            quotable.push(one);
        }
    }
    quotable
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
