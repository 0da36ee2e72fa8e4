//! What one attempt of an action knows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::facts::{Facts, Now};
use crate::config::runbook::kind::http::Json;
use crate::config::runbook::{Condition, Moment, Template, Text, Unrendered};
use crate::config::{Runbook, Secret};

/// What is known while an action is carried out.
pub struct Context {
    pub facts: Facts,
    pub now: Now,
    /// Of the same release, in the order in which they were done.
    pub earlier: Vec<Remembered>,
    values: minijinja::Value,
    /// What was put into the message and nobody may see.
    exposed: RefCell<Vec<String>>,
}

/// What became of an earlier action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The action's.
    pub name: String,
    /// The name of its kind.
    pub kind: String,
    pub moment: Moment,
    pub result: String,
    pub values: BTreeMap<String, String>,
}

/// What stands where a secret was.
const MASK: &str = "***";

impl Context {
    /// `runbook` names the actions that may be asked for.
    pub fn new(facts: Facts, now: Now, earlier: Vec<Remembered>, runbook: &Runbook) -> Context {
        let mut actions: BTreeMap<&str, Value> =
            runbook.names().map(|name| (name, json!({ "result": "none" }))).collect();
        for Remembered { name, result, values, .. } in &earlier {
            let mut told = json!(values);
            told["result"] = json!(result);
            actions.insert(name, told);
        }
        let mut values = facts.with(&now);
        values["actions"] = json!(actions);
        let values = minijinja::Value::from(minijinja::value::Serde(&values));
        Context { facts, now, earlier, values, exposed: RefCell::default() }
    }

    pub fn holds(&self, condition: &Condition) -> Result<bool, Unrendered> {
        condition.holds(&self.values)
    }

    pub fn render(&self, template: &Template) -> Result<String, Unrendered> {
        template.render(&self.values)
    }

    /// The value itself. A secret is not to be shown: see [`Context::masked`].
    pub fn fill(&self, text: &Text) -> Result<String, Unrendered> {
        match text {
            Text::Template(template) => self.render(template),
            Text::Secret(secret) => Ok(self.expose(secret)),
        }
    }

    pub fn expose(&self, secret: &Secret) -> String {
        let secret = secret.expose().to_owned();
        self.exposed.borrow_mut().push(secret.clone());
        secret
    }

    /// Has nobody see `text` either, which was made of a secret.
    pub fn hide(&self, text: String) {
        self.exposed.borrow_mut().push(text);
    }

    pub fn json(&self, json: &Json) -> Result<Value, Unrendered> {
        Ok(match json {
            Json::Plain(value) => value.clone(),
            Json::Text(template) => Value::String(self.render(template)?),
            Json::List(list) => list.iter().map(|value| self.json(value)).collect::<Result<_, _>>()?,
            Json::Object(entries) => {
                let each = |(key, value): &(String, Json)| Ok((key.clone(), self.json(value)?));
                Value::Object(entries.iter().map(each).collect::<Result<_, Unrendered>>()?)
            }
        })
    }

    /// The text with every secret in it covered.
    pub fn masked(&self, text: &str) -> String {
        let exposed = self.exposed.borrow();
        let mut secrets: Vec<String> = exposed.iter().flat_map(|secret| ways_to_write(secret)).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

/// As it is, and as JSON and URLs write it.
fn ways_to_write(secret: &str) -> [String; 3] {
    let json = json!(secret).to_string();
    let percent = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    [secret.to_owned(), json[1..json.len() - 1].to_owned(), percent]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_90_a_secret_is_covered_however_it_is_written_and_whole_where_another_is_a_part_of_it() {
        let facts = Facts::sample(Moment::RolledBack, "checkout", "v1", "v2");
        let context = Context::new(facts, Now::sample(), vec![], &Runbook::default());
        for secret in ["k3y", "k3y\"of/all", "b c"] {
            context.hide(secret.to_owned());
        }
        for (text, expected) in [
            ("k3y and k3y\"of/all", "*** and ***"),
            (r#"{"token":"k3y\"of/all"}"#, r#"{"token":"***"}"#),
            ("/x?t=k3y%22of%2Fall&u=b%20c", "/x?t=***&u=***"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(context.masked(text), expected);
        }
    }
}
