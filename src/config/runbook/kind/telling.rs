//! What the kinds that tell others of a release have in common.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::http::{self, Json};
use crate::config::quantity::quoted;
use crate::config::raw::Element;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::validate::not_among;

/// A text of the runbook's own, where there is one.
#[expect(clippy::option_option, reason = "none: at fault; none within: nothing is said")]
pub(super) fn said(
    scope: &mut Scope<'_, '_>,
    (key, written): (&str, Option<String>),
    markup: Markup,
    around: &Around<'_>,
) -> Option<Option<Template>> {
    match written {
        Some(text) => around.template(scope, key, &text, markup).map(Some),
        None => (!scope.report.is_spoiled(&scope.at.key(key))).then_some(None),
    }
}

/// The address of a server, behind which the paths of its API are put.
pub(super) fn base(
    scope: &mut Scope<'_, '_>,
    (key, written): (&str, Option<String>),
    usual: Option<&str>,
) -> Option<String> {
    let parse = |text: String| {
        if text.contains('@') {
            return Err(Wrong::new("has a user name", "write the address of the server alone"));
        }
        match text.split_once("://") {
            Some(("http" | "https", host)) if !host.is_empty() && !host.contains(['?', '#', ' ']) => {
                Ok(text.trim_end_matches('/').to_owned())
            }
            _ => Err(Wrong::new(format!("{} is not the address of a server", quoted(&text)), "write `https://…`")),
        }
    };
    match usual {
        Some(usual) => scope.optional(key, written, usual.to_owned(), parse),
        None => scope.required(key, written, parse),
    }
}

/// One of some words.
pub(super) fn one_of<T: Copy>(
    kind: &'static str,
    words: &'static [(&'static str, T)],
) -> impl FnOnce(String) -> Result<T, Wrong> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| not_among(&text, kind, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
    }
}

/// Elements that `parse` takes, all of them.
pub(super) fn list<T>(
    scope: &mut Scope<'_, '_>,
    (key, raw): (&str, Vec<Element<String>>),
    most: usize,
    parse: impl Fn(String) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    if scope.report.is_spoiled_within(&scope.at.key(key)) {
        return None;
    }
    if raw.len() > most {
        scope.wrong(key, Wrong::new(format!("has {} elements", raw.len()), format!("at most {most} are allowed")));
        return None;
    }
    let mut scope = scope.key(key);
    let (mut parsed, count) = (Vec::new(), raw.len());
    for (index, element) in raw.into_iter().enumerate() {
        match element.map(&parse) {
            Some(Ok(element)) => parsed.push(element),
            Some(Err(wrong)) => scope.wrong_element(index, wrong),
            None => {}
        }
    }
    (parsed.len() == count).then_some(parsed)
}

/// A JSON object of the runbook's own, whose strings are templates.
pub(super) fn object(
    scope: &mut Scope<'_, '_>,
    (key, raw): (&str, Option<Map<String, Value>>),
    around: &Around<'_>,
) -> Option<Json> {
    http::json(scope, key, Value::Object(raw.unwrap_or_default()), around)
}

/// The actions whose answers the templates name.
pub(super) fn needs<'a>(templates: impl IntoIterator<Item = &'a Option<Template>>) -> BTreeSet<String> {
    templates.into_iter().flatten().flat_map(Template::needs).collect()
}

/// A name in an address or a query, where nothing has to be escaped.
pub(super) fn word(what: &'static str) -> impl Fn(String) -> Result<String, Wrong> {
    move |text| {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 100 || !text.bytes().all(usable) {
            return Err(Wrong::new(format!("{} is not {what}", quoted(&text)), "letters, digits, `-`, `_` and `.`"));
        }
        Ok(text)
    }
}
