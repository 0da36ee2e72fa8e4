//! What was decided, when and by whom.

use super::block::{Page, row, start};
use super::evidence::rollback;
use super::text::{elapsed_exactly, moment, weight, words};
use crate::gate::verdict::count;
use crate::journal::{DecisionRecord, ReleaseDocument};
use crate::release::Kind;

pub(super) fn section(release: &ReleaseDocument, to: &mut Page) {
    to.heading("Timeline");
    let Some(first) = release.decisions.first() else {
        to.text("Nothing was decided.");
        return;
    };
    if first.seq > 0 {
        to.text(format!("The {} decisions before these are not kept any more.", count(first.seq.into())));
    }
    let line = |decision: &DecisionRecord| {
        let DecisionRecord { at, after, kind, actor, sentence, state, weight: share, .. } = decision;
        row([&moment(*at), &elapsed_exactly(*after), &words(kind), actor, &words(state), &weight(*share), sentence])
    };
    let columns = ["time", "after", "event", "by", "state", "weight", "what"].map(start);
    to.table(columns.into(), release.decisions.iter().map(line).collect());
    actors(&release.decisions, to);
}

fn actors(decisions: &[DecisionRecord], to: &mut Page) {
    to.heading("Who did what");
    let mut actors: Vec<(&str, Vec<(&str, u64)>)> = vec![];
    for DecisionRecord { actor, kind, .. } in decisions {
        let place = actors.iter().position(|(known, _)| known == actor).unwrap_or_else(|| {
            actors.push((actor, vec![]));
            actors.len() - 1
        });
        let counted = &mut actors[place].1;
        match counted.iter_mut().find(|(known, _)| known == kind) {
            Some((_, times)) => *times += 1,
            None => counted.push((kind, 1)),
        }
    }
    let times = |(kind, times): &(&str, u64)| match times {
        1 => words(kind),
        times => format!("{} ({}×)", words(kind), count(*times)),
    };
    let line = |(actor, counted): &(&str, Vec<(&str, u64)>)| {
        format!("{actor}: {}", counted.iter().map(times).collect::<Vec<_>>().join(", "))
    };
    to.items(actors.iter().map(line).collect());
}

/// What was told after the rollback: how blue took it, and what was found then. Actions have a section of their own.
pub(super) fn after_the_rollback(release: &ReleaseDocument, to: &mut Page) {
    let Some(rollback) = rollback(release) else { return };
    let of_actions = [Kind::ActionDone, Kind::ActionFailed, Kind::ActionSkipped, Kind::ActionForPeople].map(Kind::name);
    let is_later =
        |decision: &&DecisionRecord| decision.seq > rollback.seq && !of_actions.contains(&decision.kind.as_str());
    let later = release.decisions.iter().filter(is_later);
    let line = |decision: &DecisionRecord| {
        let since = elapsed_exactly(decision.after.saturating_sub(rollback.after));
        format!("{since} after it, {}: {}", words(&decision.kind), decision.sentence)
    };
    let lines: Vec<String> = later.map(line).collect();
    if !lines.is_empty() {
        to.heading("After the rollback");
        to.items(lines);
    }
}
