//! Every endpoint, once: the router and the `OpenAPI` document are both made of this table.

use axum::routing::{MethodRouter, get, post, put};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::Context;
use super::releases::{LONGEST_PAGE, PAGE};
use super::{api, dashboard, events, fate, openapi, releases, replica, reports, signals, versions};
use crate::control::event::Event;
use crate::control::replicas::published::Told;
use crate::journal::{ReleaseDocument, ReleaseHeader};

/// One method at one path.
pub(super) struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    /// Of the operation, for generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub needs: Needs,
    /// Those of its own, beside what all changes take.
    pub parameters: Vec<Parameter>,
    pub body: Body,
    pub answer: Answer,
    /// What it may answer instead, beside what all of them may.
    pub fails: &'static [u16],
    /// Of a change.
    pub whose: Whose,
    pub handler: MethodRouter<Context>,
}

/// Who is let in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// One with the role viewer; for what is not safe, operator.
    Token,
}

/// Which replica makes a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The one that leads.
    Leader,
    /// The one that is asked.
    Each,
}

pub(super) struct Parameter {
    pub name: &'static str,
    /// `path`, `query` or `header`.
    pub place: &'static str,
    pub description: &'static str,
    pub schema: Value,
}

/// The schema of a type, with those that it needs.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) enum Body {
    None,
    /// It may be left out.
    Perhaps(SchemaOf, usize),
    Needed(SchemaOf, usize),
}

pub(super) enum Answer {
    /// The status after a change, or of the moment.
    Status,
    Json(SchemaOf),
    /// A page, and where the next is.
    Page(SchemaOf),
    /// Of one of these media types, and what it is.
    Text(&'static [&'static str], &'static str),
    /// Server-sent events, each of this type.
    Events(SchemaOf),
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Endpoint {
    fn of(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Endpoint {
        let needs = if path.starts_with("/v1/") { Needs::Token } else { Needs::Nothing };
        let (parameters, body, answer) = (Vec::new(), Body::None, Answer::Status);
        Endpoint {
            method,
            path,
            id,
            summary,
            needs,
            parameters,
            body,
            answer,
            fails: &[],
            whose: Whose::Leader,
            handler: MethodRouter::new(),
        }
    }

    fn get(path: &'static str, id: &'static str, summary: &'static str, answer: Answer) -> Endpoint {
        Endpoint { answer, ..Endpoint::of(Method::GET, path, id, summary) }
    }

    /// A change of the release, which may be refused as it stands.
    fn post(path: &'static str, id: &'static str, summary: &'static str, body: Body) -> Endpoint {
        Endpoint { body, fails: &[409], ..Endpoint::of(Method::POST, path, id, summary) }
    }

    fn put(path: &'static str, id: &'static str, summary: &'static str, body: Body) -> Endpoint {
        Endpoint { body, fails: &[409], ..Endpoint::of(Method::PUT, path, id, summary) }
    }

    fn with(self, parameters: Vec<Parameter>, fails: &'static [u16]) -> Endpoint {
        Endpoint { parameters, fails, ..self }
    }

    fn of_each(self) -> Endpoint {
        Endpoint { whose: Whose::Each, ..self }
    }

    fn by(self, handler: MethodRouter<Context>) -> Endpoint {
        Endpoint { handler, ..self }
    }
}

impl Parameter {
    fn new(place: &'static str, name: &'static str, schema: Value, description: &'static str) -> Parameter {
        Parameter { name, place, description, schema }
    }
}

/// In the order of the document.
pub(super) fn all() -> Vec<Endpoint> {
    [of_the_moment(), changes(), of_the_past(), open()].into_iter().flatten().collect()
}

fn of_the_moment() -> Vec<Endpoint> {
    let wait = json!({ "type": "string", "pattern": "^([0-9]{1,4}ms|[0-9]{1,2}s|1m)$", "examples": ["30s"] });
    let epoch = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let known = json!({ "type": "string" });
    vec![
        Endpoint::get("/v1/status", "status", "Where the release is, and what both versions have done", Answer::Status)
            .with(
                vec![Parameter::new(
                    "header",
                    "If-None-Match",
                    known.clone(),
                    "ETags of statuses that are known: 304 instead of one of them",
                )],
                &[304],
            )
            .by(get(api::status)),
        Endpoint::get("/v1/evidence", "evidence", "What the verdicts rest on", Answer::Json(of::<api::Evidence>))
            .by(get(api::evidence)),
        Endpoint::get(
            "/v1/events",
            "events",
            "What happens, as it happens, as server-sent events",
            Answer::Events(of::<Event>),
        )
        .with(
            vec![Parameter::new(
                "header",
                "Last-Event-ID",
                known,
                "The id of the last event that was heard: those after it come first",
            )],
            &[],
        )
        .by(get(events::events)),
        Endpoint::get("/v1/live", "live", "What a dashboard shows, as it changes", Answer::Events(of::<Value>))
            .by(get(dashboard::live)),
        Endpoint::get(
            "/v1/series",
            "series",
            "The last minutes of both versions, for charts",
            Answer::Json(of::<Value>),
        )
        .by(get(dashboard::series)),
        Endpoint::get(
            "/v1/gate",
            "gate",
            "What has become of a release, for pipelines",
            Answer::Json(of::<fate::Answer>),
        )
        .with(
            vec![
                Parameter::new("query", "wait", wait, "How long to wait for the end of the release, at most a minute"),
                Parameter::new(
                    "query",
                    "epoch",
                    epoch,
                    "The release that is asked about; unless said the one of the moment",
                ),
            ],
            &[422],
        )
        .by(get(fate::gate)),
        Endpoint::get(
            "/v1/replica/evidence",
            "replicaEvidence",
            "What this replica has counted lately, for the one that adds up",
            Answer::Json(of::<Told>),
        )
        .with(
            vec![Parameter::new(
                "query",
                "after",
                json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
                "The number of the last tick that is known: those after it, waiting a second for one; unless said the newest alone",
            )],
            &[409, 422],
        )
        .by(get(replica::evidence)),
    ]
}

fn changes() -> Vec<Endpoint> {
    let because = || Body::Perhaps(of::<api::Because>, api::BODY_BYTES);
    let version =
        Parameter::new("path", "version", json!({ "type": "string", "enum": ["blue", "green"] }), "Whose endpoints");
    let name = json!({ "type": "string", "pattern": "^[a-z0-9-]{1,63}$" });
    let signal = Parameter::new("path", "name", name, "The signal's name, as a trigger of the configuration has it");
    vec![
        Endpoint::put(
            "/v1/weight",
            "setWeight",
            "Set green's share of new requests",
            Body::Needed(of::<api::SetWeight>, api::BODY_BYTES),
        )
        .by(put(api::weight)),
        Endpoint::post(
            "/v1/release",
            "startRelease",
            "Begin a release",
            Body::Perhaps(of::<versions::Start>, versions::BODY_BYTES),
        )
        .by(post(versions::start)),
        Endpoint::post("/v1/release/pause", "pause", "Halt the plan; the gate stays armed", because())
            .by(post(api::pause)),
        Endpoint::post("/v1/release/resume", "resume", "Go on with the plan", because()).by(post(api::resume)),
        Endpoint::post("/v1/release/approve", "approve", "Consent to the next step", because()).by(post(api::approve)),
        Endpoint::post("/v1/release/promote", "promote", "Skip the rest of the plan", because()).by(post(api::promote)),
        Endpoint::post(
            "/v1/release/rollback",
            "rollBack",
            "Send everything back to blue",
            Body::Perhaps(of::<api::Withdraw>, api::BODY_BYTES),
        )
        .of_each()
        .by(post(api::roll_back)),
        Endpoint::put(
            "/v1/versions/{version}/endpoints",
            "setEndpoints",
            "Replace the endpoints of a version",
            Body::Needed(of::<versions::Endpoints>, versions::BODY_BYTES),
        )
        .with(vec![version], &[404])
        .of_each()
        .by(put(versions::set_endpoints)),
        Endpoint::post("/v1/config/reload", "reload", "Read the configuration again, all or nothing", Body::None)
            .of_each()
            .by(post(versions::reload)),
        Endpoint::post(
            "/v1/signals/{name}",
            "signal",
            "Tell of an alert, as Alertmanager does or by hand",
            Body::Needed(of::<signals::Either>, signals::BODY_BYTES),
        )
        .with(vec![signal], &[404])
        .by(post(signals::post)),
    ]
}

fn of_the_past() -> Vec<Endpoint> {
    let id = || {
        Parameter::new(
            "path",
            "id",
            json!({ "type": "string", "minLength": 1 }),
            "The release's id, as the list has it",
        )
    };
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE });
    let before = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let format = json!({ "type": "string", "enum": ["markdown", "html", "json"] });
    vec![
        Endpoint::get(
            "/v1/releases",
            "releases",
            "The releases that are recorded, the newest first",
            Answer::Page(of::<Vec<ReleaseHeader>>),
        )
        .with(
            vec![
                Parameter::new("query", "limit", limit, "How many at most"),
                Parameter::new("query", "before", before, "Only those before this epoch"),
            ],
            &[409, 422],
        )
        .by(get(releases::list)),
        Endpoint::get(
            "/v1/releases/{id}",
            "release",
            "One release with its decisions",
            Answer::Json(of::<ReleaseDocument>),
        )
        .with(vec![id()], &[404, 409])
        .by(get(releases::one)),
        Endpoint::get(
            "/v1/releases/{id}/report",
            "report",
            "What a release was, for people",
            Answer::Text(&["text/markdown", "text/html", "application/json"], "The report"),
        )
        .with(
            vec![id(), Parameter::new("query", "format", format, "Unless said what `Accept` prefers")],
            &[404, 409, 422],
        )
        .by(get(reports::report)),
        Endpoint::get(
            "/v1/releases/{id}/evidence",
            "releaseEvidence",
            "All that a release was decided on, for replay",
            Answer::Text(&["application/x-ndjson"], "One input of the deciding core a line"),
        )
        .with(vec![id()], &[404, 409, 410])
        .by(get(releases::evidence)),
    ]
}

fn open() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/metrics",
            "metrics",
            "Metrics for Prometheus",
            Answer::Text(&["text/plain"], "In Prometheus' text format"),
        )
        .by(get(api::metrics)),
        Endpoint::get("/healthz", "healthy", "Whether the process lives", Answer::Text(&["text/plain"], "It does"))
            .by(get(api::healthy)),
        Endpoint::get("/readyz", "ready", "Whether it serves, and will", Answer::Text(&["text/plain"], "It does"))
            .by(get(api::ready)),
        Endpoint::get("/openapi.json", "openapi", "This document", Answer::Json(of::<Value>)).by(get(openapi::served)),
    ]
}
