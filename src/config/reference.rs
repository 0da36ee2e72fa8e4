//! `${NAME}` and `${NAME:-default}` in the values of a file.
//!
//! Values are put in place after the YAML has been read, so that none can add a key or a comment. `$$` is a dollar sign,
//! as for Docker Compose, Vector and the OpenTelemetry Collector; any other dollar sign stands for itself. Absent: `$NAME`
//! without braces, which paths may hold, and references inside of a default.

use std::borrow::Cow;

use super::environment::{Environment, Variable, is_name};
use super::report::Wrong;

/// What `${…}` in a value is.
#[derive(Clone, Copy, Debug)]
pub enum References<'e> {
    To(&'e Environment),
    /// Text like any other: they have been put in place before.
    Text,
}

/// A reference that nothing can be put in place of.
pub(super) struct Broken<'t> {
    /// From its dollar sign on.
    pub(super) written: &'t str,
    pub(super) wrong: Wrong,
}

/// One reference, without what is around it.
struct Reference<'t> {
    name: &'t str,
    default: Option<&'t str>,
}

pub(super) const SHAPE: &str = "write `${NAME}` or `${NAME:-default}`";

/// What YAML would act on inside of a reference, and what stands for it while YAML is read: code points that are not for
/// interchange (Unicode 16, §23.7).
const STAND_INS: [(char, char); 7] = [
    ('{', '\u{fdd0}'),
    ('}', '\u{fdd1}'),
    ('[', '\u{fdd2}'),
    (']', '\u{fdd3}'),
    (',', '\u{fdd4}'),
    (':', '\u{fdd5}'),
    ('#', '\u{fdd6}'),
];

/// Makes references plain text for a YAML parser, also inside of `{ … }` and `[ … ]`, character for character. Borrowed when
/// nothing was changed.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    if text.contains(STAND_INS.map(|(_, stand_in)| stand_in)) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let line = rest[start..].lines().next().unwrap_or_default();
        masked += &rest[..start];
        let passed = match line.find('}') {
            Some(end) if Reference::parse(&line[2..end]).is_ok() => {
                masked.extend(line[..=end].chars().map(|letter| exchange(letter, STAND_INS)));
                end + 1
            }
            Some(_) => {
                masked += "${";
                2
            }
            None => {
                masked += line;
                line.len()
            }
        };
        rest = &rest[start + passed..];
    }
    if masked.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked + rest) }
}

/// The text of before [`masked`].
pub(super) fn unmasked(text: &str) -> String {
    text.chars().map(|letter| exchange(letter, STAND_INS.map(|(letter, stand_in)| (stand_in, letter)))).collect()
}

/// The text with values in place of its references. Borrowed when that changes nothing.
pub(super) fn resolved<'t>(text: &'t str, environment: &Environment) -> Result<Cow<'t, str>, Vec<Broken<'t>>> {
    let mut resolved = String::new();
    let mut broken = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        resolved += &rest[..start];
        let written = &rest[start..];
        if !written.starts_with("${") {
            resolved.push('$');
            rest = written.strip_prefix("$$").unwrap_or(&written[1..]);
            continue;
        }
        let Some(end) = written.find('}') else {
            broken.push(Broken { written, wrong: Wrong::new("`${` without its `}`", SHAPE) });
            break;
        };
        let (written, after) = written.split_at(end + 1);
        match Reference::parse(&written[2..end]).and_then(|reference| reference.value(environment)) {
            Ok(value) => resolved += &value,
            Err(wrong) => broken.push(Broken { written, wrong }),
        }
        rest = after;
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    resolved += rest;
    if resolved == text { Ok(Cow::Borrowed(text)) } else { Ok(Cow::Owned(resolved)) }
}

impl<'t> Reference<'t> {
    /// From what stands between the braces.
    fn parse(inner: &'t str) -> Result<Reference<'t>, Wrong> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            // Not shown, because in a file of secrets it may be part of one.
            let wrong = Wrong::new("what stands in `${…}` is not the name of a variable", SHAPE);
            return Err(wrong.help("for a dollar sign write `$$`"));
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err(Wrong::new("a reference inside of a default", "write the default as text"));
        }
        Ok(Reference { name, default })
    }

    /// The default holds for an empty variable too.
    fn value<'v>(&self, environment: &'v Environment) -> Result<Cow<'v, str>, Wrong>
    where
        't: 'v,
    {
        let name = self.name;
        match (environment.variable(name), self.default) {
            (Variable::NotText, _) => Err(Wrong::new(format!("the variable `{name}` is not UTF-8"), "")),
            (Variable::Unset | Variable::Text(""), Some(default)) => Ok(Cow::Owned(default.replace("$$", "$"))),
            (Variable::Text(text), _) => Ok(Cow::Borrowed(text)),
            (Variable::Unset, None) => {
                let label = format!("set it, or write `${{{name}:-default}}`");
                let wrong = Wrong::new(format!("the variable `{name}` is not set"), label);
                Err(wrong.help(format!("for the text itself write `$${{{name}}}`")))
            }
        }
    }
}

fn exchange(letter: char, pairs: [(char, char); 7]) -> char {
    pairs.iter().find(|(from, _)| *from == letter).map_or(letter, |(_, to)| *to)
}
