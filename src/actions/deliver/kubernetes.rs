//! What is done in the cluster, through its API (kubernetes.io/docs/reference/using-api/api-concepts).
//!
//! Each of them may be done again without harm. An undo that was done is told by an annotation that the same patch writes: done
//! twice it would bring back what was undone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::talk::{Halt, talk};
use crate::actions::context::Context;
use crate::actions::exchange::{Answer, Next, Request};
use crate::actions::markup::shortened;
use crate::actions::notice::{Notice, Tone};
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::kubernetes::{Does, Kubernetes, Object, ObjectKind};

/// By which action a Deployment was undone last.
const UNDONE: &str = "portcullis.dev/undone-by";

const REVISION: &str = "deployment.kubernetes.io/revision";

/// What the template of a `ReplicaSet` has more than that of its Deployment.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Annotations that say something of the Deployment as it is, and not of a revision (`kubectl rollout undo` keeps the same).
const OF_DEPLOYMENT: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// Who has written what is changed, as the API server tells it.
const MANAGER: &str = "portcullis";

const JSON_PATCH: HeaderValue = HeaderValue::from_static("application/json-patch+json");
const MERGE_PATCH: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Somebody else changed the object in between.
const CONFLICT_AFTER: Duration = Duration::from_secs(1);

/// An Event takes no longer one.
const LONGEST_NOTE: usize = 1_000;

/// Where namespaces are not known.
pub(super) const SOME_NAMESPACE: &str = "NAMESPACE";

pub(super) fn next(
    kubernetes: &Kubernetes,
    own_namespace: &str,
    context: &Context,
    answers: &[Answer],
) -> Result<Next, Unrendered> {
    let namespace = kubernetes.namespace.as_deref().unwrap_or(own_namespace);
    let within = Within { namespace, context };
    match &kubernetes.does {
        Does::Undo { deployment } => within.undo(deployment, answers),
        Does::Scale { deployment, replicas } => within.scale(deployment, *replicas, answers),
        Does::Annotate { object, annotations } => {
            let annotations = annotations.iter().map(|(key, value)| Ok((key.clone(), context.render(value)?.into())));
            within.annotate(object, annotations.collect::<Result<_, Unrendered>>()?, answers)
        }
        Does::Event { about, reason, note } => {
            let note = note.as_ref().map(|note| context.render(note)).transpose()?;
            within.event(about, reason.as_deref(), note, answers)
        }
    }
}

/// Where and for what something is done.
#[derive(Clone, Copy)]
struct Within<'a> {
    namespace: &'a str,
    context: &'a Context,
}

impl Within<'_> {
    fn path(self, kind: ObjectKind, name: &str) -> String {
        let group = match kind.api_version() {
            "v1" => "/api/v1".to_owned(),
            version => format!("/apis/{version}"),
        };
        format!("{group}/namespaces/{}/{}/{name}", self.namespace, kind.resource())
    }

    /// What changes something; a trial changes nothing, and the API server says all the same whether it would.
    fn change(self, method: Method, path: &str, content: HeaderValue, body: &Value) -> Result<Request, Unrendered> {
        let trial = if self.context.now.test { "&dryRun=All" } else { "" };
        let request = request(method, &format!("{path}?fieldManager={MANAGER}{trial}"))?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content)]);
        Ok(Request { headers, body: Bytes::from(body.to_string()), ..request })
    }

    fn undo(self, name: &str, answers: &[Answer]) -> Result<Next, Unrendered> {
        let path = self.path(ObjectKind::Deployment, name);
        let key = &self.context.now.key;
        talk(answers, |talk| {
            let deployment = object(talk.get(|| request(Method::GET, &path))?)?;
            if annotation(&deployment, UNDONE) == Some(key) {
                return Ok(delivered(format!("deployment {name} was undone already"), &[]));
            }
            if deployment["spec"]["paused"] == true {
                return Ok(Next::Failed {
                    why: format!("deployment {name} is paused: nothing is rolled out, and nothing undone"),
                });
            }
            let selector = selector(&deployment["spec"]["selector"]);
            let selector = utf8_percent_encode(&selector, NON_ALPHANUMERIC);
            let sets = format!("/apis/apps/v1/namespaces/{}/replicasets?labelSelector={selector}", self.namespace);
            let sets = object(talk.get(|| request(Method::GET, &sets))?)?;
            let Some((revision, set)) = before(&deployment, &sets) else {
                return Ok(Next::Failed {
                    why: format!("deployment {name} has no revision before the one that it is at"),
                });
            };
            let mut template = set["spec"]["template"].clone();
            if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
                labels.remove(TEMPLATE_HASH);
            }
            if template == deployment["spec"]["template"] {
                let sentence = format!("deployment {name} has the template of revision {revision} already");
                return Ok(delivered(sentence, &[("revision", &revision.to_string())]));
            }
            let patch = json!([
                // Whoever changed it since has not been seen: 409, and all is looked at again.
                { "op": "replace", "path": "/metadata/resourceVersion", "value": deployment["metadata"]["resourceVersion"] },
                { "op": "replace", "path": "/metadata/annotations", "value": undone(&deployment, set, key) },
                { "op": "replace", "path": "/spec/template", "value": template },
            ]);
            changed(talk.ask(|| self.change(Method::PATCH, &path, JSON_PATCH, &patch))?)?;
            let sentence = format!("deployment {name} was undone to revision {revision}");
            Ok(delivered(sentence, &[("revision", &revision.to_string())]))
        })
    }

    fn scale(self, name: &str, replicas: u32, answers: &[Answer]) -> Result<Next, Unrendered> {
        let path = format!("{}/scale", self.path(ObjectKind::Deployment, name));
        let patch = json!({ "spec": { "replicas": replicas } });
        talk(answers, |talk| {
            changed(talk.ask(|| self.change(Method::PATCH, &path, MERGE_PATCH, &patch))?)?;
            Ok(delivered(format!("deployment {name} was scaled to {replicas}"), &[("replicas", &replicas.to_string())]))
        })
    }

    fn annotate(
        self,
        object: &Object,
        annotations: Map<String, Value>,
        answers: &[Answer],
    ) -> Result<Next, Unrendered> {
        let Object { kind, name } = object;
        let path = self.path(*kind, name);
        let patch = json!({ "metadata": { "annotations": annotations } });
        talk(answers, |talk| {
            changed(talk.ask(|| self.change(Method::PATCH, &path, MERGE_PATCH, &patch))?)?;
            Ok(delivered(format!("{} {name} was annotated", kind.name()), &[]))
        })
    }

    fn event(
        self,
        about: &Object,
        reason: Option<&str>,
        note: Option<String>,
        answers: &[Answer],
    ) -> Result<Next, Unrendered> {
        let Object { kind, name } = about;
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        talk(answers, |talk| {
            // Whoever may not read it can speak of it all the same; `kubectl describe` then does not find the Event.
            let object = talk.ask(|| request(Method::GET, &self.path(*kind, name)))?;
            let uid = object
                .status
                .is_success()
                .then(|| object.json())
                .flatten()
                .map(|object| object["metadata"]["uid"].clone());
            let event = self.made(about, uid, reason, note.clone());
            let answer = talk.ask(|| self.change(Method::POST, &path, JSON, &event))?;
            // Its name is the action's: it is there from an attempt whose answer got lost.
            if answer.status != StatusCode::CONFLICT {
                answer.judge()?;
            }
            let made = event["metadata"]["name"].as_str().unwrap_or_default();
            Ok(delivered(format!("event {made} about {} {name}", kind.name()), &[("event", made)]))
        })
    }

    fn made(self, about: &Object, uid: Option<Value>, reason: Option<&str>, note: Option<String>) -> Value {
        let Object { kind, name } = about;
        let facts = &self.context.facts;
        let notice = Notice::new(self.context);
        let digest = Sha256::digest(&self.context.now.key);
        let moment = facts.moment.name();
        let word = moment[..1].to_uppercase() + &moment[1..];
        // Of a trial as well: a name that is taken would be a conflict.
        let own = format!("{name}.{}", data_encoding::HEXLOWER.encode(&digest[..8]));
        let mut regarding = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "name": name,
            "namespace": self.namespace,
        });
        if let Some(uid) = uid {
            regarding["uid"] = uid;
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": own, "namespace": self.namespace },
            "eventTime": facts.at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            "reportingController": "portcullis.dev/proxy",
            "reportingInstance": facts.service,
            "action": word,
            "reason": reason.unwrap_or(&word),
            "type": if notice.tone == Tone::Bad { "Warning" } else { "Normal" },
            "regarding": regarding,
            "note": shortened(&note.unwrap_or_else(|| notice.line()), LONGEST_NOTE),
        })
    }
}

/// A request that the cluster completes.
fn request(method: Method, path: &str) -> Result<Request, Unrendered> {
    let uri: Uri = path.parse().map_err(|_| Unrendered::new(format!("`{path}` is not a path")))?;
    Ok(Request { method, uri, headers: HeaderMap::new(), body: Bytes::new() })
}

fn object(answer: &Answer) -> Result<Value, Halt> {
    let read = answer.json().filter(Value::is_object);
    read.ok_or_else(|| Halt::Next(Next::Failed { why: format!("the answer was {}, and no object", answer.status) }))
}

/// What a change came to: where somebody else was quicker it is looked at again.
fn changed(answer: &Answer) -> Result<(), Halt> {
    if answer.status == StatusCode::CONFLICT {
        let why = format!("somebody else changed it: {}", answer.said());
        return Err(Halt::Next(Next::Retry { why, after: Some(CONFLICT_AFTER) }));
    }
    Ok(answer.judge()?)
}

fn delivered(sentence: String, remembered: &[(&str, &str)]) -> Next {
    let remembered = remembered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Next::Delivered { sentence, remembered: remembered.collect::<BTreeMap<_, _>>() }
}

fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

/// The selector as a query has it.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten().map(|expression| {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match expression["operator"].as_str() {
            Some("Exists") => key.to_owned(),
            Some("DoesNotExist") => format!("!{key}"),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some(_) | None => format!("{key} in ({})", values.join(",")),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

/// The Deployment's own `ReplicaSet` with the last revision but one, and that.
fn before<'v>(deployment: &Value, sets: &'v Value) -> Option<(u64, &'v Value)> {
    let uid = &deployment["metadata"]["uid"];
    let is_own = |set: &&Value| {
        let mut owners = set["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    };
    let own = sets["items"].as_array().into_iter().flatten().filter(is_own);
    let mut revisions: Vec<(u64, &Value)> =
        own.filter_map(|set| Some((annotation(set, REVISION)?.parse().ok()?, set))).collect();
    revisions.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    revisions.get(1).copied()
}

/// The annotations of the Deployment with those of the revision, and by what it was undone.
fn undone(deployment: &Value, set: &Value, key: &str) -> Value {
    let of = |object: &Value, wanted: bool| -> Map<String, Value> {
        let all = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        all.into_iter().filter(|(key, _)| OF_DEPLOYMENT.contains(&key.as_str()) == wanted).collect()
    };
    let mut annotations = of(deployment, true);
    annotations.extend(of(set, false));
    annotations.insert(UNDONE.to_owned(), key.into());
    annotations.into()
}
