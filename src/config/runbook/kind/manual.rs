//! What people have to do: told, and listed until the release is history.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::raw::Element;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};

#[derive(Clone, Debug, PartialEq)]
pub struct Manual {
    pub text: Template,
    pub steps: Vec<Template>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawManual {
    pub(in crate::config) text: Option<String>,
    pub(in crate::config) steps: Option<Vec<Element<String>>>,
}

const MOST_STEPS: usize = 64;

impl Manual {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        self.steps.iter().chain([&self.text]).flat_map(Template::needs).collect()
    }
}

pub(in crate::config::runbook) fn manual(
    scope: &mut Scope<'_, '_>,
    raw: RawManual,
    around: &Around<'_>,
) -> Option<Manual> {
    let text = scope.required("text", raw.text, Ok);
    let text = text.and_then(|text| around.template(scope, "text", &text, Markup::Plain));
    let steps = scope.optional("steps", raw.steps, vec![], |steps| match steps.len() {
        0..=MOST_STEPS => Ok(steps),
        many => Err(Wrong::new(format!("has {many} elements"), format!("at most {MOST_STEPS} are allowed"))),
    })?;
    let mut scope = scope.key("steps");
    let (mut compiled, count) = (Vec::new(), steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let Some(step) = step else { continue };
        match Template::compile(&step, Markup::Plain, around.actions) {
            Ok(template) => compiled.push(template),
            Err(flaw) => scope.wrong_element(index, Wrong::new(flaw.message, flaw.label)),
        }
    }
    Some(Manual { text: text?, steps: (compiled.len() == count).then_some(compiled)? })
}
