//! What a trigger has tried before it rolls back.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Runbook;
use crate::config::quantity::{duration, quoted};
use crate::config::raw::{Element, Quantity};
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Moment;
use crate::gate::policy::First;
use crate::gate::trigger::{Action, Trigger};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct RawFirst {
    #[schemars(required)]
    run: Option<Vec<Element<String>>>,
    #[schemars(required)]
    wait: Option<Quantity>,
}

/// A bad green has so long more at most.
const WAITS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

const MOST_ACTIONS: usize = 8;

pub(super) fn first(scope: &mut Scope<'_, '_>, raw: RawFirst, trigger: &Trigger) -> Option<First> {
    if trigger.action != Action::Rollback || trigger.route.is_some() {
        let message = "means nothing at a trigger that does not roll back the whole of green";
        scope.wrong_here(Wrong::new(message, "remove it"));
        return None;
    }
    let run = scope.required("run", raw.run, |run| match run.len() {
        0 => Err(Wrong::new("names nothing", "write the names of actions of `runbook.first`, like `[flag-off]`")),
        1..=MOST_ACTIONS => Ok(run),
        many => Err(Wrong::new(format!("has {many} elements"), format!("at most {MOST_ACTIONS} are allowed"))),
    });
    let wait = scope.required("wait", raw.wait, duration(WAITS));
    let (run, wait) = (run?, wait?);
    let count = run.len();
    let run: Vec<String> = run.into_iter().flatten().collect();
    (run.len() == count).then(|| First { trigger: trigger.name.clone(), run, wait })
}

/// Refuses names of what is not carried out when something is tried: a rollback would wait for nothing.
pub(super) fn refuse_unknown(scope: &mut Scope<'_, '_>, all: &[First], runbook: &Runbook) {
    for First { trigger, run, .. } in all {
        let is_there = |name: &&String| runbook.at(Moment::First).any(|action| action.name == **name);
        for name in run.iter().filter(|name| !is_there(name)) {
            let message = format!(
                "the trigger {} tries {}, which is no action of `runbook.first`",
                quoted(trigger),
                quoted(name)
            );
            scope.wrong("triggers", Wrong::new(message, "write an action of that name there"));
        }
    }
}
