//! Texts with facts of the release in them: minijinja, strict about names that there are none of.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::actions::{facts, markup};

use crate::config::read::closest;

/// A text that was found to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Arc<str>,
    markup: Markup,
}

/// An expression over the facts, which holds or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(Arc<str>);

/// How values are written so that they mean nothing where they are put; what the template itself says stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    Plain,
    /// Of Slack.
    Mrkdwn,
    Markdown,
    /// Of Jira's second API.
    Wiki,
}

/// What is wrong with a template, and where in its text.
#[derive(Debug)]
pub(in crate::config) struct Flaw {
    pub(in crate::config) message: String,
    pub(in crate::config) label: String,
    pub(in crate::config) range: Option<Range<usize>>,
}

/// Why a template that compiles gives no text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unrendered(String);

/// Steps of one template: more than any message needs, and an end to every loop.
const FUEL: u64 = 50_000;

/// Bytes of one rendered text.
const LONGEST: usize = 256 * 1024;

/// The name under which templates find what earlier actions remember.
pub(in crate::config) const ACTIONS: &str = "actions";

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Markup::Plain));
static MRKDWN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Markup::Mrkdwn));
static MARKDOWN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Markup::Markdown));
static WIKI: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Markup::Wiki));
static SAMPLE: LazyLock<serde_json::Value> = LazyLock::new(facts::names);

impl Template {
    /// A template of the configuration. `actions` are the names that it may ask for the answers of.
    pub(in crate::config) fn compile(text: &str, markup: Markup, actions: &BTreeSet<String>) -> Result<Template, Flaw> {
        let environment = markup.environment();
        let compiled = environment.template_from_str(text).map_err(|error| Flaw::of(&error))?;
        known(text, compiled.undeclared_variables(true), environment, actions)?;
        Ok(Template { source: text.into(), markup })
    }

    /// A template of the program's own, which a test renders.
    pub fn own(text: &'static str, markup: Markup) -> Template {
        Template { source: text.into(), markup }
    }

    pub fn render(&self, facts: &Value) -> Result<String, Unrendered> {
        let mut bounded = Bounded(Vec::new());
        let compiled = self.markup.environment().template_from_str(&self.source)?;
        compiled.render_captured_to(facts.clone(), &mut bounded)?;
        Ok(String::from_utf8(bounded.0).expect("a template writes text"))
    }

    /// The actions whose answers it names.
    pub(in crate::config) fn needs(&self) -> BTreeSet<String> {
        let compiled = self.markup.environment().template_from_str(&self.source);
        compiled.map(|compiled| needed(compiled.undeclared_variables(true))).unwrap_or_default()
    }
}

impl Condition {
    pub(in crate::config) fn compile(text: &str, actions: &BTreeSet<String>) -> Result<Condition, Flaw> {
        let compiled = PLAIN.compile_expression(text).map_err(|error| Flaw::of(&error))?;
        known(text, compiled.undeclared_variables(true), &PLAIN, actions)?;
        Ok(Condition(text.into()))
    }

    pub fn holds(&self, facts: &Value) -> Result<bool, Unrendered> {
        Ok(PLAIN.compile_expression(&self.0)?.eval(facts)?.is_true())
    }

    pub(in crate::config) fn needs(&self) -> BTreeSet<String> {
        let compiled = PLAIN.compile_expression(&self.0);
        compiled.map(|compiled| needed(compiled.undeclared_variables(true))).unwrap_or_default()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Markup {
    fn environment(self) -> &'static Environment<'static> {
        match self {
            Markup::Plain => &PLAIN,
            Markup::Mrkdwn => &MRKDWN,
            Markup::Markdown => &MARKDOWN,
            Markup::Wiki => &WIKI,
        }
    }
}

impl From<Error> for Unrendered {
    fn from(error: Error) -> Unrendered {
        Unrendered(told(&error))
    }
}

impl Unrendered {
    pub fn new(why: impl Into<String>) -> Unrendered {
        Unrendered(why.into())
    }
}

impl Flaw {
    fn of(error: &Error) -> Flaw {
        Flaw { message: told(error), label: "here".to_owned(), range: error.range() }
    }
}

fn told(error: &Error) -> String {
    let kind = match error.kind() {
        ErrorKind::UndefinedError => "something is asked for that there is not".to_owned(),
        ErrorKind::OutOfFuel => "it never comes to an end".to_owned(),
        ErrorKind::WriteFailure => return format!("it becomes longer than {LONGEST} bytes"),
        other => other.to_string(),
    };
    match (error.detail(), error.line()) {
        (Some(detail), Some(line)) if line > 1 => format!("{kind}: {detail} (in its line {line})"),
        (Some(detail), _) => format!("{kind}: {detail}"),
        (None, _) => kind,
    }
}

/// Refuses the first name that no fact has.
fn known<I: IntoIterator<Item = String>>(
    text: &str,
    names: I,
    environment: &Environment<'_>,
    actions: &BTreeSet<String>,
) -> Result<(), Flaw> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| place_of(text, name).map(|place| place.start));
    for name in names {
        let mut steps = name.split('.');
        let first = steps.next().unwrap_or_default();
        if environment.globals().any(|(global, _)| global == first) {
            continue;
        }
        if first == ACTIONS {
            let of_actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            match steps.next() {
                Some(action) if !actions.contains(action) => {
                    return Err(unknown(text, &name, "an action of the runbook", action, &of_actions));
                }
                Some(_) | None => continue,
            }
        }
        let mut at = &*SAMPLE;
        for step in name.split('.') {
            let here: Vec<&str> = at.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            at = at.get(step).ok_or_else(|| unknown(text, &name, "a fact of a release", step, &here))?;
        }
    }
    Ok(())
}

fn unknown(text: &str, name: &str, kind: &str, step: &str, here: &[&str]) -> Flaw {
    let label = match closest(step, here) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if here.is_empty() => "there is nothing in it".to_owned(),
        None => format!("use one of {}", crate::config::read::listed(here)),
    };
    Flaw { message: format!("`{name}` is not {kind}"), label, range: place_of(text, name) }
}

/// Where a name stands by itself in a template.
fn place_of(text: &str, name: &str) -> Option<Range<usize>> {
    let is_inner = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    let stands = |start: usize| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let ends = !after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        !before.ends_with(is_inner) && ends
    };
    let inside = text.find('{').unwrap_or(0);
    text.match_indices(name)
        .map(|(start, _)| start)
        .find(|start| *start >= inside && stands(*start))
        .map(|start| start..start + name.len())
}

fn needed<I: IntoIterator<Item = String>>(names: I) -> BTreeSet<String> {
    let of_action = |name: String| {
        let mut steps = name.split('.');
        (steps.next() == Some(ACTIONS)).then(|| steps.next().map(str::to_owned)).flatten()
    };
    names.into_iter().filter_map(of_action).collect()
}

fn environment(markup: Markup) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("percent", |share: f64| format!("{:.2} %", share * 100.0));
    environment.add_filter("duration", |seconds: f64| {
        crate::gate::verdict::duration(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e9).round()))
    });
    let escape: fn(&str) -> String = match markup {
        Markup::Plain => str::to_owned,
        Markup::Mrkdwn => markup::mrkdwn,
        Markup::Markdown => markup::markdown,
        Markup::Wiki => markup::wiki,
    };
    environment.set_formatter(move |out, _, value| match value.as_str() {
        Some(text) if !value.is_safe() => out.write_str(&escape(text)).map_err(Error::from),
        Some(text) => out.write_str(text).map_err(Error::from),
        None if value.is_none() => Ok(()),
        // As JSON has it, and not Python.
        None if value.kind() == ValueKind::Bool => write!(out, "{}", value.is_true()).map_err(Error::from),
        None => write!(out, "{value}").map_err(Error::from),
    });
    environment
}

/// Takes so much text and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, String> {
        let template = Template::compile(text, Markup::Plain, &BTreeSet::new()).map_err(|flaw| flaw.message)?;
        let facts = Value::from(minijinja::value::Serde(&*SAMPLE));
        template.render(&facts).map_err(|unrendered| unrendered.to_string())
    }

    #[test]
    fn what_is_true_is_written_as_json_has_it_and_what_there_is_not_as_nothing() {
        assert_eq!(rendered("{{ test }} {{ resolved }} [{{ irreversible }}]"), Ok("true false []".to_owned()));
        assert_eq!(rendered("{{ measured.green.errorRate | percent }}"), Ok("12.50 %".to_owned()));
        assert_eq!(rendered("{{ 5400 | duration }}"), Ok("90 min".to_owned()));
    }

    #[test]
    fn a_template_comes_to_an_end_and_is_no_longer_than_any_message() {
        let loops = |times: u32, text: &str| {
            format!("{{% for a in range({times}) %}}{{% for b in range({times}) %}}{text}{{% endfor %}}{{% endfor %}}")
        };
        let endless = rendered(&loops(1_000, "")).expect_err("a million steps");
        assert!(endless.contains("never comes to an end"), "{endless}");
        assert_eq!(rendered(&loops(16, &"x".repeat(1_024))).map(|text| text.len()), Ok(LONGEST));
        let long = rendered(&loops(17, &"x".repeat(1_024))).expect_err("more than a quarter of a MiB");
        assert_eq!(long, format!("it becomes longer than {LONGEST} bytes"));
    }
}
