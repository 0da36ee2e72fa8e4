//! A program, started by its path and its arguments. No shell reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::quantity::quoted;
use crate::config::raw::{Element, Mapping};
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::template::{Markup, Template};
use crate::config::runbook::{Around, Text};

#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<Template>,
    /// All of its environment, beside [`PATH`] and the key.
    pub environment: Vec<(String, Text)>,
    /// None: that of the proxy.
    pub folder: Option<PathBuf>,
}

/// Where programs are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawExec {
    pub(in crate::config) command: Option<Vec<Element<String>>>,
    pub(in crate::config) env: Option<Mapping<BTreeMap<String, String>>>,
    pub(in crate::config) folder: Option<String>,
}

const MOST_ARGUMENTS: usize = 64;

impl Exec {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let environment = self.environment.iter().flat_map(|(_, value)| value.needs());
        self.command.iter().flat_map(Template::needs).chain(environment).collect()
    }
}

pub(in crate::config::runbook) fn exec(scope: &mut Scope<'_, '_>, raw: RawExec, around: &Around<'_>) -> Option<Exec> {
    let command = scope.required("command", raw.command, |command| match command.len() {
        0 => Err(Wrong::new("names no program", "write a list, like `[kubectl, rollout, undo, deployment/checkout]`")),
        1..=MOST_ARGUMENTS => Ok(command),
        many => Err(Wrong::new(format!("has {many} elements"), format!("at most {MOST_ARGUMENTS} are allowed"))),
    });
    let command = command.and_then(|command| arguments(&mut scope.key("command"), command, around));
    let environment = environment(&mut scope.key("env"), raw.env.unwrap_or_default().0, around);
    let folder = scope.optional("folder", raw.folder, None, |folder| match PathBuf::from(&folder) {
        path if path.is_absolute() => Ok(Some(path)),
        _ => Err(Wrong::new(format!("{} is no absolute path", quoted(&folder)), "begin it with `/`")),
    });
    Some(Exec { command: command?, environment: environment?, folder: folder? })
}

fn arguments(scope: &mut Scope<'_, '_>, raw: Vec<Element<String>>, around: &Around<'_>) -> Option<Vec<Template>> {
    let mut arguments = Vec::new();
    let count = raw.len();
    for (index, argument) in raw.into_iter().enumerate() {
        let Some(argument) = argument else { continue };
        match Template::compile(&argument, Markup::Plain, around.actions) {
            Ok(template) => arguments.push(template),
            Err(flaw) => scope.wrong_element(index, Wrong::new(flaw.message, flaw.label)),
        }
    }
    (arguments.len() == count).then_some(arguments)
}

fn environment(
    scope: &mut Scope<'_, '_>,
    raw: BTreeMap<String, String>,
    around: &Around<'_>,
) -> Option<Vec<(String, Text)>> {
    let count = raw.len();
    let mut environment = Vec::new();
    for (name, value) in raw {
        if !crate::config::environment::is_name(&name) {
            scope.misplaced(&name, Wrong::new(format!("{} is not the name of a variable", quoted(&name)), ""));
            continue;
        }
        environment.extend(around.text(scope, &name, &value).map(|text| (name, text)));
    }
    (environment.len() == count).then_some(environment)
}
