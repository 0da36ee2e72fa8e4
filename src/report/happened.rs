//! What happened, in three sentences: what was tried, how it ended, and what it cost.

use super::evidence::{Decided, rollback};
use super::impact::{Impact, Requests};
use super::text::{clock, elapsed, instant, unstopped, weight, who};
use crate::gate::verdict::count;
use crate::journal::{DecisionRecord, Outcome, ReleaseDocument};

pub(super) fn sentences(release: &ReleaseDocument, service: Option<&str>, impact: &Impact) -> [String; 3] {
    [tried(release, service), ended(release), cost(release, impact)]
}

fn tried(release: &ReleaseDocument, service: Option<&str>) -> String {
    let header = &release.record.header;
    let of = service.map_or_else(String::new, |service| format!(" of {service}"));
    let started = format!("Release {}{of} began at {}", header.id, instant(header.started));
    let beside = format!("beside blue, {}", header.blue);
    match release.decisions.iter().map(|decision| decision.weight).max() {
        None | Some(0) => format!("{started} and gave green, {}, no share of the traffic {beside}.", header.green),
        Some(most) => {
            format!("{started} and gave green, {}, up to {} of the traffic {beside}.", header.green, weight(most))
        }
    }
}

fn ended(release: &ReleaseDocument) -> String {
    let told = |decision: &DecisionRecord, what: String| {
        let DecisionRecord { at, after, sentence, .. } = decision;
        format!("At {}, {} after the beginning, {what}: {}.", clock(*at), elapsed(*after), unstopped(sentence))
    };
    match release.record.header.outcome {
        Outcome::RolledBack => match rollback(release) {
            Some(decision) => {
                let by = Decided { decision }.found_by().map_or_else(String::new, |found| format!(" by {found}"));
                told(decision, format!("{} rolled it back{by}", who(&decision.actor)))
            }
            None => "It was rolled back; the decision is not in the journal.".to_owned(),
        },
        Outcome::Promoted => match release.decisions.iter().rfind(|decision| decision.state == "completed") {
            Some(decision) => told(decision, "green became the new blue".to_owned()),
            None => "It was promoted; the decision is not in the journal.".to_owned(),
        },
        Outcome::Open => match release.decisions.last() {
            Some(decision) => {
                let share = weight(decision.weight);
                let what = format!("{} left it open with green at {share}", who(&decision.actor));
                told(decision, what)
            }
            None => "It is open, and nothing has been decided yet.".to_owned(),
        },
    }
}

fn cost(release: &ReleaseDocument, impact: &Impact) -> String {
    let rest = match release.record.header.outcome {
        Outcome::RolledBack => "; from the rollback on new requests went to blue",
        Outcome::Open | Outcome::Promoted => "",
    };
    let Some(Requests { total, failed, to_blue, seen_by_clients, .. }) = impact.requests else {
        return format!("What green's requests came to is not in the journal{rest}.");
    };
    let of_all = format!("of its {} requests", count(total));
    match (failed, to_blue) {
        (0, _) => format!("Green failed none {of_all}{rest}."),
        (failed, 0) => format!("Green failed {} {of_all}, which clients saw{rest}.", count(failed)),
        (failed, to_blue) => {
            let seen = if seen_by_clients == 0 { "none".to_owned() } else { count(seen_by_clients) };
            let [failed, to_blue] = [failed, to_blue].map(count);
            format!(
                "Green failed {failed} {of_all}; {to_blue} of them were sent to blue instead, and clients saw {seen} \
                 fail{rest}."
            )
        }
    }
}
