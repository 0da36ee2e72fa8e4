//! CloudEvents 1.0.2 by HTTP (cloudevents/spec, bindings/http-protocol-binding.md), with what CDEvents 0.5.1 has for the
//! deployment of services and for incidents (cdevents/spec, continuous-deployment.md, continuous-operations.md,
//! cloudevents-binding.md; schemas/service*.json and schemas/incident*.json).

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, HeaderName};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::talk::talk;
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup;
use crate::actions::notice::Notice;
use crate::config::runbook::kind::CloudEvents;
use crate::config::runbook::kind::cloudevents::{EventMode, EventType};
use crate::config::runbook::{Moment, Unrendered};

/// Of CDEvents.
const SPECIFICATION: &str = "0.5.1";

const STRUCTURED: &str = "application/cloudevents+json";

/// What both CloudEvents and CDEvents say of an event.
struct Attributes<'a> {
    /// The same in every attempt, by which a receiver knows what it has seen.
    id: &'a str,
    source: String,
    time: String,
    subject: &'a str,
}

pub(super) fn next(events: &CloudEvents, context: &Context, answers: &[Answer]) -> Result<Next, Unrendered> {
    talk(answers, |talk| {
        let answer = talk.get(|| request(events, context))?;
        let sentence = format!("{} was answered {}", events.kind.name(), answer.status);
        Ok(Next::Delivered { sentence, remembered: BTreeMap::from([("id".to_owned(), context.now.key.clone())]) })
    })
}

fn request(events: &CloudEvents, context: &Context) -> Result<Request, Unrendered> {
    let mut request = Request::post(&context.fill(&events.url)?)?;
    for (name, value) in &events.headers {
        request = request.header(name.clone(), &context.fill(value)?)?;
    }
    let attributes = Attributes {
        id: &context.now.key,
        source: source(events, context)?,
        time: context.facts.at.to_string(),
        subject: &context.facts.service,
    };
    let data = data(events, &attributes, context)?;
    match events.mode {
        EventMode::Binary => {
            let attribute = |name: &'static str, value: &str| (HeaderName::from_static(name), markup::header(value));
            let written = [
                attribute("ce-specversion", "1.0"),
                attribute("ce-type", events.kind.name()),
                attribute("ce-time", &attributes.time),
                attribute("ce-id", attributes.id),
                attribute("ce-source", &attributes.source),
                attribute("ce-subject", attributes.subject),
            ];
            for (name, value) in written {
                request = request.header(name, &value)?;
            }
            Ok(request.json(&data))
        }
        EventMode::Structured => {
            let document = json!({
                "specversion": "1.0",
                "type": events.kind.name(),
                "time": attributes.time,
                "id": attributes.id,
                "source": attributes.source,
                "subject": attributes.subject,
                "datacontenttype": "application/json",
                "data": data,
            });
            Ok(request.header(CONTENT_TYPE, STRUCTURED)?.json(&document))
        }
    }
}

fn source(events: &CloudEvents, context: &Context) -> Result<String, Unrendered> {
    match &events.source {
        Some(source) => context.render(source),
        None => Ok(format!("/portcullis/{}", encoded(&context.facts.service))),
    }
}

fn data(events: &CloudEvents, attributes: &Attributes<'_>, context: &Context) -> Result<Value, Unrendered> {
    let facts = &context.facts;
    let artifact = match &events.artifact {
        Some(artifact) => context.render(artifact)?,
        None => format!("pkg:generic/{}@{}", encoded(&facts.service), encoded(running(context))),
    };
    let environment = json!({ "id": events.environment });
    let content = match events.kind {
        EventType::Deployed | EventType::Upgraded | EventType::RolledBack => {
            json!({ "environment": environment, "artifactId": artifact })
        }
        EventType::IncidentDetected | EventType::IncidentResolved => json!({
            "description": Notice::new(context).line(),
            "environment": environment,
            "service": { "id": facts.service },
            "artifactId": artifact,
        }),
    };
    Ok(json!({
        "context": {
            "specversion": SPECIFICATION,
            "id": attributes.id,
            "source": attributes.source,
            "type": events.kind.name(),
            "timestamp": attributes.time,
            "chainId": format!("{}/{}", facts.service, facts.release),
        },
        "subject": { "id": attributes.subject, "source": attributes.source, "content": content },
        // Without what other actions have answered meanwhile: an event is the same in every attempt.
        "customData": facts.with(&context.now),
        "customDataContentType": "application/json",
    }))
}

/// The version that the event is of: what was brought, what runs again, what is suspected.
fn running(context: &Context) -> &str {
    let facts = &context.facts;
    match facts.moment {
        Moment::RolledBack | Moment::Recovered | Moment::NotRecovered => &facts.blue,
        Moment::Started
        | Moment::Paused
        | Moment::Promoted
        | Moment::BeforeStart
        | Moment::BeforeStep
        | Moment::BeforePromotion
        | Moment::First => &facts.green,
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// What a package URL and a URI have as it is (RFC 3986, 2.3).
const UNRESERVED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl EventType {
    const fn name(self) -> &'static str {
        match self {
            EventType::Deployed => "dev.cdevents.service.deployed.0.3.0",
            EventType::Upgraded => "dev.cdevents.service.upgraded.0.3.0",
            EventType::RolledBack => "dev.cdevents.service.rolledback.0.3.0",
            EventType::IncidentDetected => "dev.cdevents.incident.detected.0.3.0",
            EventType::IncidentResolved => "dev.cdevents.incident.resolved.0.3.0",
        }
    }
}
