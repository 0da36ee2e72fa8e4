//! The `OpenAPI` 3.1 document, from the table of the endpoints and the types that they take and answer with.

use axum::Json;
use http::{Method, StatusCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::changes::REPLAYED;
use super::endpoints::{self, Answer, Body, Endpoint, Needs, Parameter};
use super::problem::{Document, PROBLEM_JSON};

const SCHEMAS: &str = "/components/schemas";

/// What anything may answer in the place of what was asked for: without a good token, from another site, broken, on its way out.
const ANY: [u16; 2] = [500, 503];
const WITH_TOKEN: [u16; 2] = [401, 403];
const CHANGES: [u16; 6] = [400, 408, 412, 413, 415, 422];

const BEARER: &str = "bearer";

pub(super) async fn served() -> Json<Value> {
    Json(document())
}

/// The whole document. The same program always makes the same of it.
pub fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    let (mut taken, mut given) =
        (settings().for_deserialize().into_generator(), settings().for_serialize().into_generator());
    let mut paths = Map::new();
    let problem = given.subschema_for::<Document>();
    for endpoint in endpoints::all() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] =
            operation(&endpoint, &mut taken, &mut given, problem.as_value());
    }
    let mut schemas = taken.take_definitions(true);
    schemas.extend(given.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "The admin API of a progressive-delivery proxy. Errors are problem documents (RFC 9457). Where the \
                configuration names tokens, a request carries one; a viewer's token may look, an operator's may change.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                BEARER: { "type": "http", "scheme": "bearer", "description": "A token of the file that `admin.tokens` names." },
                "certificate": { "type": "mutualTLS", "description": "Besides, where `admin.tls.clientCa` is set." },
            },
        },
    })
}

fn operation(endpoint: &Endpoint, taken: &mut SchemaGenerator, given: &mut SchemaGenerator, problem: &Value) -> Value {
    let Endpoint { method, id, summary, needs, .. } = endpoint;
    let is_change = !method.is_safe();
    let mut parameters: Vec<Value> = endpoint.parameters.iter().map(parameter).collect();
    if is_change {
        parameters.extend(of_changes());
    }
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(&endpoint.answer, is_change, given));
    let with_token = if *needs == Needs::Token { &WITH_TOKEN[..] } else { &[403] };
    let changes = if is_change { &CHANGES[..] } else { &[] };
    for status in [endpoint.fails, with_token, changes, &ANY].concat() {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        let failed = match status {
            304 => json!({ "description": reason }),
            _ => json!({ "description": reason, "content": { PROBLEM_JSON: { "schema": problem } } }),
        };
        responses.insert(status.to_string(), failed);
    }
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    match &endpoint.body {
        Body::None => {}
        Body::Perhaps(schema, _) => operation["requestBody"] = body(schema(taken).to_value(), false),
        Body::Needed(schema, _) => operation["requestBody"] = body(schema(taken).to_value(), true),
    }
    if *needs == Needs::Token {
        let role = if *method == Method::GET { "viewer" } else { "operator" };
        operation["security"] = json!([{ BEARER: [] }]);
        operation["description"] = format!("Needs the role {role}, where there are tokens.").into();
    }
    operation
}

fn body(schema: Value, required: bool) -> Value {
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn parameter(Parameter { name, place, description, schema }: &Parameter) -> Value {
    json!({ "name": name, "in": place, "description": description, "required": *place == "path", "schema": schema })
}

fn of_changes() -> [Value; 2] {
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^([!#-~]+|\"[!#-~]+\")$" });
    // A star, or tags without commas in them.
    let tag = json!({ "type": "string", "pattern": "^(\\*|(W/)?\"[!#-+\\--~]*\"( *, *(W/)?\"[!#-+\\--~]*\")*)$" });
    [
        parameter(&Parameter {
            name: "Idempotency-Key",
            place: "header",
            description: "The same key with the same request again gets the first answer, and nothing is done twice",
            schema: key,
        }),
        parameter(&Parameter {
            name: "If-Match",
            place: "header",
            description: "The ETag of the status that was looked at: 412, and nothing is done, where something was decided since",
            schema: tag,
        }),
    ]
}

fn answer(answer: &Answer, is_change: bool, given: &mut SchemaGenerator) -> Value {
    let text = json!({ "type": "string" });
    match answer {
        Answer::Status => {
            let schema = given.subschema_for::<crate::control::status::Status>();
            let tag = json!({ "description": "Of this status; the part before the last dot changes with every decision", "schema": text });
            let mut headers = json!({ "ETag": tag });
            if is_change {
                let replayed = json!({ "description": "`true` where the answer was given before", "schema": text });
                headers[REPLAYED] = replayed;
            }
            let what = if is_change { "It is in force and recorded: the status after it" } else { "The status" };
            json!({ "description": what, "headers": headers, "content": { "application/json": { "schema": schema } } })
        }
        Answer::Json(schema) => {
            json!({ "description": "What was asked for", "content": { "application/json": { "schema": schema(given) } } })
        }
        Answer::Page(schema) => {
            let link = json!({ "description": "Where the next page is, as `<…>; rel=\"next\"`; not on the last", "schema": text });
            let content = json!({ "application/json": { "schema": schema(given) } });
            json!({ "description": "A page", "headers": { "Link": link }, "content": content })
        }
        Answer::Text(media_types, what) => {
            let schema = |media_type: &str| if media_type == "application/json" { json!({}) } else { text.clone() };
            let of = |media_type: &&str| ((*media_type).to_owned(), json!({ "schema": schema(media_type) }));
            let content: Map<String, Value> = media_types.iter().map(of).collect();
            json!({ "description": what, "content": content })
        }
        Answer::Events(schema) => {
            let what = "A stream; the data of each event is JSON, of an Event unless it is named `missed`";
            // The stream is text; what is in it is described for people and generators.
            let event = schema(given);
            json!({ "description": what, "content": { "text/event-stream": { "schema": text, "x-event": event } } })
        }
    }
}
