//! The plan that a release brings along: what stands under `release` in a configuration, in a file of its own or in a
//! request.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::fault::{Fault, Faults};
use super::keys::{plan_keys, terms_keys};
use super::raw::{RawRelease, RawTerms};
use super::read::read;
use super::reference::References;
use super::source::{self, Excerpts, Source};
use super::validate::release;
use crate::gate::Policy;
use crate::release::{Terms, Weight};

/// What faults call the text of a request.
const REQUEST: &str = "the request";

/// What a request says of the plan of its release, which `policy` will judge, for a green that may have `max_weight`.
/// References are text: whoever asks over the
/// network gets nothing out of the environment.
///
/// # Errors
/// Everything that is wrong, named as `plan.steps[0].weight`. Without places: the text is not the one that was sent.
pub fn terms(
    plan: Option<Value>,
    irreversible: Option<Value>,
    policy: &Policy,
    max_weight: Weight,
) -> Result<Terms, Faults> {
    let said = [("plan", plan), ("irreversible", irreversible)];
    let said: Map<String, Value> = said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    // JSON is YAML.
    let text = serde_json::to_string_pretty(&said).expect("values are plain data");
    let source = Source::new(REQUEST.to_owned(), text, Excerpts::Shown);
    let (document, faults) = source::parse(Arc::new(source), References::Text);
    let Some(document) = document else { return Err(Faults::new(faults).without_places()) };
    let (raw, mut report) = read::<RawTerms>(&document, faults, terms_keys);
    let terms = raw.and_then(|raw| release::terms(&mut report.root(), raw, policy, max_weight));
    let (faults, _) = report.into_parts();
    match terms {
        Some(terms) if faults.is_empty() => Ok(terms),
        _ => Err(Faults::new(faults).without_places()),
    }
}

/// The plan in a file of its own, as a request takes it, with its references in place. Whether it suits the gate and green is
/// seen by the proxy that is asked.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn plan(text: &str, name: &str, references: References<'_>) -> Result<Value, Faults> {
    let source = Source::new(name.to_owned(), text.to_owned(), Excerpts::Shown);
    let (document, faults) = source::parse(Arc::new(source), references);
    let Some(document) = document else {
        return Err(Faults::new(faults.into_iter().map(advised).collect()));
    };
    let (raw, mut report) = read::<RawRelease>(&document, faults, plan_keys);
    let plan = raw.and_then(|raw| release::plan(&mut report.root(), raw, Weight::FULL));
    let (faults, _) = report.into_parts();
    if plan.is_some() && faults.is_empty() { Ok(document.value) } else { Err(Faults::new(faults)) }
}

/// A file that holds nothing is not to become a whole configuration.
fn advised(fault: Fault) -> Fault {
    match fault.position() {
        Some(_) => fault,
        None => fault.with_help("a plan has `steps`, like `steps: [{ weight: 10%, bake: 10m }]`"),
    }
}
