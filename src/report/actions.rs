//! What the runbook has had done about the release, and what came of each of it.

use super::block::{Column, Page, end, start};
use super::text::{moment, words};
use crate::gate::verdict::count;
use crate::journal::{ActionRecord, ActionResult, ReleaseDocument};

pub(super) fn section(release: &ReleaseDocument, to: &mut Page) {
    let actions = &release.actions;
    if actions.is_empty() {
        return;
    }
    to.heading("What each action did");
    let of = |result: ActionResult| actions.iter().filter(|action| action.result == result).count();
    let told = [
        (ActionResult::Done, "done"),
        (ActionResult::Failed, "failed"),
        (ActionResult::Skipped, "skipped"),
        (ActionResult::Task, "left to people"),
        (ActionResult::Pending, "pending"),
    ];
    let told = told.map(|(result, name)| (of(result), name));
    let told: Vec<String> =
        told.into_iter().filter(|(times, _)| *times > 0).map(|(times, name)| format!("{times} {name}")).collect();
    to.text(format!("Of all {}: {}.", count(actions.len() as u64), told.join(", ")));
    let remembers = actions.iter().any(|action| !action.remembered.is_empty());
    let mut columns: Vec<Column> = ["action", "kind", "moment", "result", "at"].map(start).into();
    columns.extend([end("attempts"), start("what")]);
    columns.extend(remembers.then(|| start("remembered")));
    let row = |action: &ActionRecord| {
        let ActionRecord { kind, attempts, sentence, .. } = action;
        let mut row = vec![name(action), kind.clone(), words(&action.moment), result(action.result).to_owned()];
        row.extend([at(action), count((*attempts).into()), sentence.clone()]);
        row.extend(remembers.then(|| remembered(action)));
        row
    };
    to.table(columns, actions.iter().map(row).collect());
}

/// With which time it is, of those that come again.
fn name(action: &ActionRecord) -> String {
    let ActionRecord { name, occurrence, .. } = action;
    if *occurrence == 0 { name.clone() } else { format!("{name} (again, {occurrence})") }
}

const fn result(result: ActionResult) -> &'static str {
    match result {
        ActionResult::Pending => "pending",
        ActionResult::Done => "done",
        ActionResult::Failed => "failed",
        ActionResult::Skipped => "skipped",
        ActionResult::Task => "for people",
    }
}

/// When it ended, or is tried next.
fn at(action: &ActionRecord) -> String {
    action.at.map_or_else(|| format!("due {}", moment(action.due)), moment)
}

fn remembered(action: &ActionRecord) -> String {
    let pairs = action.remembered.iter().map(|(name, value)| format!("{name}: {value}"));
    pairs.collect::<Vec<_>>().join(", ")
}

/// What people have to do, and what could not be done without them.
pub(super) fn left(release: &ReleaseDocument) -> impl Iterator<Item = String> + '_ {
    release.actions.iter().filter_map(|action| {
        let ActionRecord { name, sentence, .. } = action;
        match action.result {
            ActionResult::Task => Some(format!("{name}: {sentence}")),
            ActionResult::Failed => Some(format!("See to what the action {name} could not do: {sentence}")),
            ActionResult::Pending | ActionResult::Done | ActionResult::Skipped => None,
        }
    })
}
