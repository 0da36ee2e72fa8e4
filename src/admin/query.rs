//! The parameters behind the `?` of a path.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use crate::config::closest;

/// Each parameter once, decoded, and not yet asked for.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of `uri`, which may have no others than the `known`.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Parameters, Problem> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            if !known.contains(&name.as_str()) {
                let instead = match (closest(&name, known), known) {
                    (Some(meant), _) => format!("did you mean `{meant}`?"),
                    (None, []) => "there are none here".to_owned(),
                    (None, known) => format!("those here are {}", known.join(", ")),
                };
                return Err(Problem::field(name, format!("is an unknown parameter; {instead}")));
            }
            if found.iter().any(|(before, _)| *before == name) {
                return Err(Problem::field(name, "is there twice; write it once"));
            }
            found.push((name, value));
        }
        Ok(Parameters(found))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number in `range`.
    pub(super) fn number<N>(&self, name: &str, range: RangeInclusive<N>) -> Result<Option<N>, Problem>
    where
        N: PartialOrd + FromStr + Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (least, most) = range.into_inner();
            Problem::field(name, format!("`{}` is none; write a whole number from {least} to {most}", shown(text)))
        })
    }
}

/// As a form is: `+` is a space.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
