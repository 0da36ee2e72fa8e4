//! The configuration file: YAML text to validated types, with every fault at once.
//!
//! [`tree`] and [`source`] keep where each value stands in the text, [`raw`] is the file as serde reads it, [`keys`] names
//! its keys, [`read`] goes from one to the other, [`validate`] turns it into the types below by the parsers of
//! [`quantity`], [`report`] collects what is wrong on the way, [`fault`] shows it in the manner of rustc.
//!
//! What comes from outside of the text: [`reference`] puts variables of an [`environment`] in place of `${NAME}`, and
//! [`secret`] reads what may not stand in the text, [`tls`] makes something of certificates, [`alike`] between proxies that have the same, [`transport`] for connections to
//! endpoints. No file is read but that of the tokens, their secrets, certificates with keys, and those that the system trusts.
//! [`overriding`] is who may choose a version, [`admin`] who may look and operate. [`schema`](mod@schema) is the file's JSON Schema, [`structural`] that of a resource of Kubernetes. [`terms`](mod@terms) reads a plan that is not in a configuration, by the same rules.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::uri::PathAndQuery;
use ipnet::IpNet;

use crate::gate::policy::PathPattern;
use crate::gate::trigger::Share;
use crate::gate::{ByVersion, Policy};
use crate::release::{Plan, Weight};

mod admin;
mod alike;
mod cohort;
mod drain;
mod endpoint;
mod environment;
pub mod fault;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keys;
mod mirror;
mod one;
mod otlp;
mod overriding;
mod path;
mod quantity;
mod raw;
mod read;
mod reference;
mod report;
mod route;
pub mod runbook;
mod schema;
mod secret;
mod service;
mod source;
mod sticky;
mod structural;
mod terms;
mod tls;
mod transport;
mod tree;
mod validate;

pub use admin::{Access, Admin, Role, Token};
pub use cohort::{Cohort, MOST_COHORTS, Sent};
pub use drain::{AfterRollback, Drain};
pub use endpoint::{Authority, Endpoint};
pub use environment::Environment;
pub use fault::{Fault, Faults, Warnings};
pub use mirror::{Mirror, ShadowHost};
pub use one::{duration, endpoint, recorded_endpoint, secret, version_name};
pub use otlp::{Otlp, SampleRatio};
pub use overriding::{NotTaken, OverrideKey, Overriding};
pub use path::FieldPath;
pub(crate) use read::closest;
pub use reference::References;
pub use route::{HostPattern, PathTemplate, RouteConfig, RouteShield, end_of_segment};
pub use runbook::Runbook;
pub use schema::schema;
pub use secret::Secret;
pub use service::{Service, ServicePort};
pub use sticky::{ClientKey, IssuedCookie, Sticky};
pub use structural::{structural, structural_schema};
pub use terms::{plan, terms};
pub use tls::Tls;
pub use transport::{HTTP2, Speaks, Transport, of_client, server_name};
pub use validate::{load, of_resource, parse, parse_rules, read_text, read_text_from, service_in};

/// A whole configuration; building one means that every value in it is usable.
#[derive(Clone, Debug)]
pub struct Config {
    pub service: String,
    pub listen: SocketAddr,
    /// One thread each.
    pub workers: NonZeroUsize,
    pub admin: Admin,
    pub versions: ByVersion<VersionConfig>,
    /// Peers whose X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub rate_limit: Option<RateLimit>,
    pub ejection: Ejection,
    pub drain: Drain,
    pub after_rollback: AfterRollback,
    pub access_log: AccessLog,
    pub http2: Http2,
    /// None: clients speak HTTP as it is.
    pub tls: Option<Tls>,
    /// Peers whose connections begin with a header of the PROXY protocol, which is believed.
    pub proxied_from: Vec<IpNet>,
    pub request_ids: RequestIds,
    pub trace_context: TraceContext,
    /// None: no spans are recorded.
    pub otlp: Option<Arc<Otlp>>,
    /// None: a release is what people or pipelines make of it.
    pub plan: Option<Plan>,
    pub policy: Policy,
    pub sticky: Option<Sticky>,
    pub cohorts: Vec<Cohort>,
    /// None: what green fails its clients see.
    pub shield: Option<Shield>,
    /// The first that matches is the request's.
    pub routes: Vec<RouteConfig>,
    /// How many more are learnt from what requests ask for, at most.
    pub learn_routes: usize,
    /// The templates that are; nothing in a file.
    pub learnt: Vec<String>,
    pub mirror: Mirror,
    /// None: nobody chooses a version.
    pub overriding: Option<Arc<Overriding>>,
    /// Asked for the addresses of names; empty for those of the system.
    pub nameservers: Vec<SocketAddr>,
    pub journal: JournalBounds,
    /// What is done about releases.
    pub runbook: Arc<Runbook>,
    /// What it was read from, with the values of variables in place and without secrets: [`parse_rules`] makes the same
    /// of it wherever it is read.
    pub text: Arc<str>,
    pub warnings: Warnings,
    /// The file that it was read from, if from one.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Takes what was learnt of routes, as far as there is room for it.
    pub fn learn(&mut self, templates: &[String]) {
        self.learnt = templates.iter().take(self.learn_routes).cloned().collect();
        self.policy.routes = std::mem::take(&mut self.policy.routes).with_learnt(&self.learnt);
    }
}

/// The part of a configuration that decides.
#[derive(Clone, Debug)]
pub struct Rules {
    pub policy: Policy,
    pub plan: Option<Plan>,
    /// As in [`Config`].
    pub learn_routes: usize,
}

impl Rules {
    /// The policy where these templates were learnt.
    pub fn policy_of(&self, learnt: &[String]) -> Policy {
        let learnt = &learnt[..learnt.len().min(self.learn_routes)];
        self.policy.clone().with_learnt(learnt)
    }
}

#[derive(Clone, Debug)]
pub struct VersionConfig {
    pub version: String,
    /// Blue has at least one; green may not run yet.
    pub endpoints: Vec<Endpoint>,
    /// None: its version is written, and not made of a Deployment.
    pub deployment: Option<Deployment>,
    /// At a time; none: as many as come.
    pub max_requests: Option<NonZeroUsize>,
    /// The most that steps and operators may give it of the traffic before it is promoted. Of blue 100 %.
    pub max_weight: Weight,
    /// How long blue has to take back what green had, where it suffers from that. None: it gets everything at once; so of green.
    pub ramp: Option<Duration>,
    pub health_check: Option<HealthCheck>,
    pub transport: Transport,
    /// What chooses the endpoint; none: the least busy of two.
    pub balance: Option<ClientKey>,
}

/// A Deployment of Kubernetes whose pod template is a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub name: String,
    /// The label of its pods that names the version; none: the tag of their image does.
    pub version_label: Option<String>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How every endpoint of a version is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub probe: Probe,
    /// From the start of one check to the start of the next; not shorter than `timeout`.
    pub interval: Duration,
    pub timeout: Duration,
    /// Passed checks in a row that make an unhealthy endpoint healthy.
    pub healthy_after: u32,
    /// Failed checks in a row that make a healthy endpoint unhealthy.
    pub unhealthy_after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET; a status of 2xx or 3xx passes.
    Http { path: PathAndQuery },
    /// A connection that opens passes.
    Tcp,
}

/// When blue answers in the place of a green that has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shield {
    /// All of them idempotent.
    pub methods: Vec<Method>,
    /// Calls of gRPC, by their path.
    pub grpc: Vec<PathPattern>,
    /// Of blue's own requests, which it may have so many more of.
    pub budget: Share,
    /// How long green has for its response head.
    pub after: Duration,
    /// Of a request's body, which is held to be sent again.
    pub body_bytes: usize,
}

/// How much evidence is kept for replay; the oldest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalBounds {
    pub age: Duration,
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// For a whole request head, from its first byte.
    pub request_head: Duration,
    /// From the request sent to the response head received.
    pub response_head: Duration,
    /// Without a byte of a body in either direction.
    pub body_idle: Duration,
    /// For a kept-alive client connection without a request.
    pub keep_alive: Duration,
    /// Without a byte in a tunnel after an upgrade.
    pub tunnel_idle: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Client connections of the whole process.
    pub connections: NonZeroUsize,
    pub head_bytes: usize,
    pub head_fields: usize,
    pub target_bytes: usize,
    pub response_head_bytes: usize,
    /// None: as large as a client likes.
    pub request_body_bytes: Option<u64>,
    /// Bytes a second that a client sends at least while an answer waits for its body; 0: as slowly as it likes.
    pub request_body_rate: u64,
    pub memory: MemoryBound,
}

/// How much memory the process may have before requests are shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBound {
    /// By the limit of the control group that it is in, if there is one.
    OfCgroup,
    Bytes(u64),
    Off,
}

/// How many requests one client may send, told by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In `per`, in the long run.
    pub requests: u32,
    pub per: Duration,
    /// At once, by a client that has been silent.
    pub burst: u32,
}

/// When one endpoint is taken out of its version for a while.
#[derive(Clone, Copy, Debug)]
pub struct Ejection {
    /// Failures in a row on one worker.
    pub failures: u32,
    pub duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    On(LineFormat),
}

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// As the log is: JSON, unless that is a terminal.
    Json,
    /// The Common Log Format, and fields of our own behind it.
    Text,
}

/// Whether clients may speak HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Off,
    /// With so many requests at a time on one connection.
    On {
        max_concurrent_streams: u32,
    },
}

/// What becomes of X-Request-Id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestIds {
    PassedOn,
    /// Every request has one, which a client cannot choose unless it is trusted.
    Ensured,
}

/// What becomes of traceparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceContext {
    PassedOn,
    /// Every request has a valid one.
    Ensured,
}

impl Config {
    /// The files of the certificates and keys that it names, and of the tokens.
    pub fn files(&self) -> Vec<PathBuf> {
        let of_listener = self.tls.as_ref().map(Tls::files).unwrap_or_default();
        let of_collector = self.otlp.as_ref().map(|otlp| otlp.transport.files()).unwrap_or_default();
        let [blue, green] = [&self.versions.blue, &self.versions.green].map(|version| version.transport.files());
        [of_listener, of_collector, blue, green, &self.admin.files].concat()
    }
}

impl Http2 {
    /// At a time on one connection.
    pub const fn most_streams(self) -> u32 {
        match self {
            Http2::Off => 0,
            Http2::On { max_concurrent_streams } => max_concurrent_streams,
        }
    }
}

#[cfg(test)]
mod tests;
