//! Values of an action: written out with facts in them, or kept elsewhere.

use std::collections::BTreeSet;

use super::template::{Condition, Flaw, Markup, Template};
use crate::config::report::{Point, Scope, Wrong};
use crate::config::secret::{self, Secret, Vault};

/// A value of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Template(Template),
    /// `env:NAME` or `file:PATH`; never shown.
    Secret(Secret),
}

/// What the values of an action take from elsewhere.
#[derive(Clone, Copy)]
pub(in crate::config) struct Around<'a> {
    pub(in crate::config) vault: Vault<'a>,
    /// The names of all actions of the runbook.
    pub(in crate::config) actions: &'a BTreeSet<String>,
}

impl Text {
    pub(in crate::config) fn needs(&self) -> BTreeSet<String> {
        match self {
            Text::Template(template) => template.needs(),
            Text::Secret(_) => BTreeSet::new(),
        }
    }
}

impl Around<'_> {
    /// A template, or what `env:` or `file:` names.
    pub(in crate::config) fn text(&self, scope: &mut Scope<'_, '_>, key: &str, written: &str) -> Option<Text> {
        if secret::is_elsewhere(written) {
            return self.secret(scope, key, written).map(Text::Secret);
        }
        self.template(scope, key, written, Markup::Plain).map(Text::Template)
    }

    pub(in crate::config) fn template(
        &self,
        scope: &mut Scope<'_, '_>,
        key: &str,
        written: &str,
        markup: Markup,
    ) -> Option<Template> {
        let compiled = Template::compile(written, markup, self.actions);
        compiled.map_err(|flaw| flawed(scope, key, written, flaw)).ok()
    }

    pub(in crate::config) fn condition(
        &self,
        scope: &mut Scope<'_, '_>,
        key: &str,
        written: &str,
    ) -> Option<Condition> {
        let compiled = Condition::compile(written, self.actions);
        compiled.map_err(|flaw| flawed(scope, key, written, flaw)).ok()
    }

    /// What may not be written out.
    pub(in crate::config) fn secret(&self, scope: &mut Scope<'_, '_>, key: &str, written: &str) -> Option<Secret> {
        secret::read(written, self.vault).map_err(|wrong| scope.wrong(key, wrong)).ok()
    }
}

fn flawed(scope: &mut Scope<'_, '_>, key: &str, written: &str, Flaw { message, label, range }: Flaw) {
    let path = scope.at.key(key);
    scope.report.add_within(path, Point::Value, Wrong::new(message, label), range.map(|range| (written, range)));
}
