//! Something done in the cluster: a Deployment undone or scaled, an object annotated, an Event.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::quantity::{count, quoted};
use crate::config::raw::{Count, Mapping};
use crate::config::read::listed;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::validate::not_among;

#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    /// None: the one that whoever runs this is in.
    pub namespace: Option<String>,
    pub does: Does,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Does {
    /// The pods of the revision before, as `kubectl rollout undo` does it.
    Undo {
        deployment: String,
    },
    Scale {
        deployment: String,
        replicas: u32,
    },
    Annotate {
        object: Object,
        annotations: Vec<(String, Template)>,
    },
    Event {
        about: Object,
        /// None: what happened, in a word.
        reason: Option<String>,
        /// None: what happened, and why.
        note: Option<Template>,
    },
}

/// One that can be spoken of.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: ObjectKind,
    pub name: String,
}

/// What is known of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Deployment,
    StatefulSet,
    Service,
    GatedRollout,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawKubernetes {
    namespace: Option<String>,
    undo: Option<String>,
    scale: Option<String>,
    replicas: Option<Count>,
    annotate: Option<String>,
    annotations: Option<Mapping<BTreeMap<String, String>>>,
    event: Option<String>,
    reason: Option<String>,
    note: Option<String>,
}

const DOES: [&str; 4] = ["undo", "scale", "annotate", "event"];

const MOST_ANNOTATIONS: usize = 32;

impl ObjectKind {
    pub const ALL: [ObjectKind; 4] =
        [ObjectKind::Deployment, ObjectKind::StatefulSet, ObjectKind::Service, ObjectKind::GatedRollout];

    /// As an object has it.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectKind::Deployment => "Deployment",
            ObjectKind::StatefulSet => "StatefulSet",
            ObjectKind::Service => "Service",
            ObjectKind::GatedRollout => "GatedRollout",
        }
    }

    pub const fn api_version(self) -> &'static str {
        match self {
            ObjectKind::Deployment | ObjectKind::StatefulSet => "apps/v1",
            ObjectKind::Service => "v1",
            ObjectKind::GatedRollout => "portcullis.dev/v1alpha1",
        }
    }

    /// As paths have it.
    pub const fn resource(self) -> &'static str {
        match self {
            ObjectKind::Deployment => "deployments",
            ObjectKind::StatefulSet => "statefulsets",
            ObjectKind::Service => "services",
            ObjectKind::GatedRollout => "gatedrollouts",
        }
    }
}

impl Kubernetes {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        match &self.does {
            Does::Undo { .. } | Does::Scale { .. } => BTreeSet::new(),
            Does::Annotate { annotations, .. } => annotations.iter().flat_map(|(_, value)| value.needs()).collect(),
            Does::Event { note, .. } => note.iter().flat_map(Template::needs).collect(),
        }
    }
}

pub(in crate::config::runbook) fn kubernetes(
    scope: &mut Scope<'_, '_>,
    raw: RawKubernetes,
    around: &Around<'_>,
) -> Option<Kubernetes> {
    let namespace = scope.optional("namespace", raw.namespace.clone(), None, |text| label(text).map(Some));
    let written = [raw.undo.is_some(), raw.scale.is_some(), raw.annotate.is_some(), raw.event.is_some()];
    let written: Vec<&str> = DOES.into_iter().zip(written).filter_map(|(key, is)| is.then_some(key)).collect();
    let does = match written[..] {
        [] => {
            if !DOES.iter().any(|key| scope.report.is_spoiled(&scope.at.key(key))) {
                scope.wrong_here(Wrong::new("does nothing", format!("add one of {}", listed(&DOES))));
            }
            return None;
        }
        [does] => does,
        [first, second, ..] => {
            let message = format!("is written beside `{first}`");
            scope.misplaced(second, Wrong::new(message, "an action does one thing: write two"));
            return None;
        }
    };
    refuse_unsuited(scope, &raw, does);
    let RawKubernetes { undo, scale, replicas, annotate, annotations, event, reason, note, .. } = raw;
    let does = match does {
        "undo" => scope.required("undo", undo, subdomain).map(|deployment| Does::Undo { deployment }),
        "scale" => {
            let deployment = scope.required("scale", scale, subdomain);
            let many = |raw| count(0..=10_000)(raw).map(|many| many as u32);
            let replicas = scope.optional("replicas", replicas, 0, many);
            Some(Does::Scale { deployment: deployment?, replicas: replicas? })
        }
        "annotate" => {
            let object = scope.required("annotate", annotate, object);
            let annotations = self::annotations(scope, annotations.map(|annotations| annotations.0), around);
            Some(Does::Annotate { object: object?, annotations: annotations? })
        }
        _ => {
            let about = scope.required("event", event, object);
            let reason = scope.optional("reason", reason, None, |text| self::reason(text).map(Some));
            let note = super::telling::said(scope, ("note", note), Markup::Plain, around);
            Some(Does::Event { about: about?, reason: reason?, note: note? })
        }
    };
    Some(Kubernetes { namespace: namespace?, does: does? })
}

/// Keys that belong to another of the things that can be done.
fn refuse_unsuited(scope: &mut Scope<'_, '_>, raw: &RawKubernetes, does: &str) {
    let keys = [
        ("replicas", raw.replicas.is_some(), "scale"),
        ("annotations", raw.annotations.is_some(), "annotate"),
        ("reason", raw.reason.is_some(), "event"),
        ("note", raw.note.is_some(), "event"),
    ];
    for (key, is_written, of) in keys {
        if is_written && of != does {
            scope.misplaced(key, Wrong::new(format!("means nothing beside `{does}`"), format!("it belongs to `{of}`")));
        }
    }
}

fn annotations(
    scope: &mut Scope<'_, '_>,
    raw: Option<BTreeMap<String, String>>,
    around: &Around<'_>,
) -> Option<Vec<(String, Template)>> {
    let raw = scope.required("annotations", raw, |annotations| match annotations.len() {
        0 => Err(Wrong::new("is empty", "write at least one, like `{ example.com/why: \"{{ reason }}\" }`")),
        1..=MOST_ANNOTATIONS => Ok(annotations),
        many => Err(Wrong::new(format!("has {many} elements"), format!("at most {MOST_ANNOTATIONS} are allowed"))),
    })?;
    let mut scope = scope.key("annotations");
    let count = raw.len();
    let mut annotations = Vec::new();
    for (key, value) in raw {
        if is_annotation(&key) {
            annotations.extend(around.template(&mut scope, &key, &value, Markup::Plain).map(|value| (key, value)));
        } else {
            let label = "write `NAME` or `DOMAIN/NAME`: at most 63 letters, digits, `-`, `_` and `.`";
            scope.wrong(&key, Wrong::new(format!("{} is not the key of an annotation", quoted(&key)), label));
        }
    }
    (annotations.len() == count).then_some(annotations)
}

/// A qualified name (kubernetes.io/docs/concepts/overview/working-with-objects/annotations, "Syntax and character set").
fn is_annotation(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let within = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.len() <= 63
        && bytes.iter().all(within)
        && domain.is_none_or(is_subdomain)
}

/// `deployment/checkout`.
fn object(text: String) -> Result<Object, Wrong> {
    let Some((kind, name)) = text.split_once('/') else {
        let label = "write the kind and the name, like `deployment/checkout`";
        return Err(Wrong::new(format!("{} names no object", quoted(&text)), label));
    };
    let known = ObjectKind::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(kind));
    let kinds = ["deployment", "statefulset", "service", "gatedrollout"];
    let kind = known.ok_or_else(|| not_among(kind, "the kind of an object", &kinds))?;
    Ok(Object { kind, name: subdomain(name.to_owned())? })
}

fn subdomain(text: String) -> Result<String, Wrong> {
    if is_subdomain(&text) {
        return Ok(text);
    }
    let label = "a name has at most 253 of a-z, 0-9, `-` and `.`, and begins and ends with a letter or a digit";
    Err(Wrong::new(format!("{} is not the name of an object", quoted(&text)), label))
}

/// RFC 1123, as Kubernetes has it.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(within) && !text.starts_with('-') && !text.ends_with('-')
}

fn label(text: String) -> Result<String, Wrong> {
    if is_label(&text) {
        return Ok(text);
    }
    let label = "at most 63 of a-z, 0-9 and `-`";
    Err(Wrong::new(format!("{} is not a namespace", quoted(&text)), label))
}

fn reason(text: String) -> Result<String, Wrong> {
    let is_word = text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word {
        return Ok(text);
    }
    Err(Wrong::new(
        format!("{} is not the reason of an Event", quoted(&text)),
        "a word in CamelCase, like `RolledBack`",
    ))
}
