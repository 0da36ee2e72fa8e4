//! What is left to people: to do at once, and to find out.
//!
//! The post-mortem asks what the templates of the field ask: <https://sre.google/sre-book/example-postmortem/>,
//! <https://postmortems.pagerduty.com/>, <https://www.atlassian.com/incident-management/postmortem/templates>. What the proxy
//! has seen is filled in.

use std::time::Duration;

use super::block::{Page, row, start};
use super::evidence::{Decided, rollback, route};
use super::text::{clock, elapsed, weight, who};
use super::{Report, actions};
use crate::gate::verdict::duration;
use crate::journal::{DecisionRecord, Outcome, ReleaseDocument};
use crate::release::Kind;

/// The routes that went to blue alone; none where there are none.
pub(super) fn taken_back(release: &ReleaseDocument) -> Option<String> {
    let taken = release.decisions.iter().filter(|decision| decision.kind == Kind::RouteTakenBack.name());
    let routes: Vec<&str> = taken.filter_map(|decision| route(&decision.evidence)).collect();
    (!routes.is_empty()).then(|| routes.join(", "))
}

pub(super) fn to_do(release: &ReleaseDocument, to: &mut Page) {
    let header = &release.record.header;
    let (blue, green) = (&header.blue, &header.green);
    to.heading("What is left to do");
    let mut left = Vec::new();
    if let Some(routes) = taken_back(release) {
        left.push(format!("Find out what {green} does wrong on {routes}"));
    }
    left.extend(actions::left(release));
    match header.outcome {
        Outcome::Open => {
            let share = release.decisions.last().map_or(0, |decision| decision.weight);
            left.push(format!("End the release: green has {}; promote it, or roll it back", weight(share)));
        }
        Outcome::Promoted => {
            left.push(format!("Take {blue} out of service when nobody wants to go back to it"));
            left.push(format!("Name {green} as blue in the configuration"));
            // An approval is part of the plan.
            let stops = |decision: &DecisionRecord| {
                decision.state == "paused" && decision.kind != Kind::AwaitingApproval.name()
            };
            if release.decisions.iter().any(stops) {
                left.push("Look into what paused the release on its way".to_owned());
            }
        }
        Outcome::RolledBack => {
            left.push(format!("See that {blue} serves everything as it should"));
            left.push("Tell those who wait for the release that it was rolled back".to_owned());
            left.push(format!("Keep what explains the failure of {green}: its logs, traces and dumps"));
            left.push(format!("Find the cause in {green}, and fix it"));
            left.push("Start a new release with what is fixed; this one stays rolled back".to_owned());
        }
    }
    to.tasks(left);
}

/// Nothing where nothing went wrong.
pub(super) fn post_mortem(report: &Report, to: &mut Page) {
    let release = &report.release;
    let Some(rollback) = rollback(release) else { return };
    let header = &release.record.header;
    let (blue, green) = (&header.blue, &header.green);
    to.heading("Post-mortem");
    to.text("Blameless: what is asked is how it could happen, and not who did it.");

    to.subheading("Root cause");
    to.tasks([
        format!("What in {green} failed, and with which change it came"),
        "Why that change could reach production: ask why until the answer is no longer about a person".to_owned(),
        "What else contributed: configuration, data, traffic, something it depends on".to_owned(),
    ]);

    to.subheading("Detection");
    let by = Decided { decision: rollback }.found_by().unwrap_or_else(|| who(&rollback.actor));
    let found = report.impact.estimated.trouble_seconds.map_or_else(String::new, |seconds| {
        format!(", {} after the trouble began (estimate)", duration(Duration::from_secs_f64(seconds)))
    });
    to.text(format!("It was found by {by}{found}, with green at {}.", weight(share_before(release, rollback))));
    to.tasks([
        "Whether a test, a smaller step or a closer bound would have found it before clients did",
        "Whether anything warned of it earlier and was not seen",
    ]);

    to.subheading("Response and recovery");
    to.text(format!(
        "{} rolled it back at {}, {} after the release began; from then on new requests went to {blue}.",
        who(&rollback.actor),
        clock(rollback.at),
        elapsed(rollback.after)
    ));
    to.tasks([
        "Who was told, when, and whether that was soon enough",
        "Whether the rollback was enough, or what else had to be done by hand",
    ]);

    to.subheading("Lessons");
    to.tasks(["What went well", "What went badly", "Where we were lucky"]);

    to.subheading("Action items");
    let item = |what: &str, kind: &str| row([what, kind, "", "", ""]);
    to.table(
        ["what", "kind", "owner", "due", "ticket"].map(start).into(),
        vec![
            item(&format!("Fix the cause in {green}"), "repair"),
            item("A test that fails for this cause", "prevent"),
            item("What would have found it sooner", "detect"),
            item("What would have made it cost less", "mitigate"),
        ],
    );
}

/// Green's share when it was rolled back.
fn share_before(release: &ReleaseDocument, rollback: &DecisionRecord) -> u16 {
    let before = release.decisions.iter().take_while(|decision| decision.seq < rollback.seq);
    before.last().map_or(0, |decision| decision.weight)
}
