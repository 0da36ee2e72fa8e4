//! What is said where a runbook says nothing else: what happened, why, and what whoever is woken by it needs to know.

use jiff::Timestamp;

use super::context::Context;
use super::facts::Facts;
use super::markup::{one_line, shortened};
use crate::config::runbook::Moment;
use crate::course::evidence::Counted;

/// In plain text: every kind has a markup of its own. No part is longer than a message anywhere may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) tone: Tone,
    /// One line: the service, what happened, the versions.
    pub(super) headline: String,
    /// Why, in a sentence.
    pub(super) reason: String,
    /// Where things stand, in a few words.
    pub(super) status: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Where there is more to read.
    pub(super) link: Option<String>,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Bad,
    /// Somebody has to look, and nothing is broken.
    Waiting,
    Good,
    Neutral,
}

/// Of a headline and of a fact; what people name things by is shorter.
const LONGEST_LINE: usize = 300;

/// Of a reason, which an operator may have written.
const LONGEST_REASON: usize = 1_500;

impl Notice {
    pub(super) fn new(context: &Context) -> Notice {
        let (facts, now) = (&context.facts, &context.now);
        let (tone, happened, status) = told(facts);
        let mark = if now.test { "[test] " } else { "" };
        let mut listed = vec![("Status", status.clone())];
        listed.extend(details(facts));
        if now.minutes > 0 || now.occurrence > 0 {
            let resolved = if now.resolved { "resolved since" } else { "not resolved yet" };
            listed.push(("Update", format!("after {} min, {resolved}", now.minutes)));
        }
        Notice {
            tone,
            headline: shortened(&one_line(&format!("{mark}{}: {happened}", facts.service)), LONGEST_LINE),
            reason: shortened(facts.reason.trim(), LONGEST_REASON),
            status,
            facts: listed.into_iter().map(|(name, value)| (name, shortened(&one_line(&value), LONGEST_LINE))).collect(),
            link: Some(facts.report.clone()).filter(|link| !link.is_empty()),
        }
    }

    /// In a line, for what has room for no more.
    pub(super) fn line(&self) -> String {
        match self.reason.as_str() {
            "" => self.headline.clone(),
            reason => format!("{}: {}", self.headline, one_line(reason)),
        }
    }

    /// As a message of plain text.
    pub(super) fn text(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("{name}: {value}"));
        let link = self.link.iter().map(|link| format!("Report: {link}"));
        let facts: Vec<String> = facts.chain(link).collect();
        let paragraphs = [self.headline.clone(), self.reason.clone(), facts.join("\n")];
        paragraphs.into_iter().filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}

/// How bad it is, what happened and where things stand.
fn told(facts: &Facts) -> (Tone, String, String) {
    let Facts { blue, green, .. } = facts;
    match facts.moment {
        Moment::Started => {
            (Tone::Neutral, format!("the release of {green} over {blue} has started"), "in progress".to_owned())
        }
        Moment::Paused => (
            Tone::Waiting,
            format!("the release of {green} is paused"),
            format!("halted at {} % for {green}, waits for a person", facts.weight),
        ),
        Moment::RolledBack => {
            (Tone::Bad, format!("{green} was rolled back to {blue}"), format!("mitigated, all traffic is on {blue}"))
        }
        Moment::Promoted => {
            (Tone::Good, format!("{green} has replaced {blue}"), format!("done, all traffic is on {green}"))
        }
        Moment::Recovered => (
            Tone::Good,
            format!("{blue} is well after the rollback of {green}"),
            format!("resolved, all traffic is on {blue}"),
        ),
        Moment::NotRecovered => (
            Tone::Bad,
            format!("the rollback of {green} did not help, {blue} is bad as well"),
            "open, needs a person now".to_owned(),
        ),
        Moment::BeforeStart => {
            (Tone::Neutral, format!("the release of {green} is about to start"), "checked before it starts".to_owned())
        }
        Moment::BeforeStep => (
            Tone::Neutral,
            format!("the next step of {green} is about to begin"),
            "checked before the next step".to_owned(),
        ),
        Moment::BeforePromotion => {
            (Tone::Neutral, format!("{green} is about to get all traffic"), "checked before promotion".to_owned())
        }
        Moment::First => (
            Tone::Bad,
            format!("{green} is bad, and something is tried before it is rolled back to {blue}"),
            "open, about to be rolled back".to_owned(),
        ),
    }
}

fn details(facts: &Facts) -> Vec<(&'static str, String)> {
    let decided = match facts.trigger.as_str() {
        "" => facts.actor.clone(),
        trigger if trigger == facts.actor => facts.actor.clone(),
        trigger => format!("{} ({trigger})", facts.actor),
    };
    let mut details = vec![
        ("Versions", format!("blue {}, green {}", facts.blue, facts.green)),
        ("Decided by", decided),
        ("At", time(facts.at)),
    ];
    if facts.weight > 0.0 && facts.moment != Moment::Paused {
        details.push(("Weight", format!("{} % to {}", facts.weight, facts.green)));
    }
    if let (Some(step), Some(steps)) = (facts.step, facts.steps) {
        details.push(("Step", format!("{step} of {steps}")));
    }
    let measured = &facts.measured;
    for (name, counts) in [("Green", &measured.green), ("Blue", &measured.blue)] {
        if counts.requests > 0 {
            details.push((name, counted(counts, &measured.window)));
        }
    }
    if let Some(reason) = &facts.irreversible {
        details.push(("Irreversible", reason.clone()));
    }
    details.push(("Release", facts.release.clone()));
    details
}

fn counted(counted: &Counted, window: &str) -> String {
    let p99 = counted.p99.map(|millis| format!(", P99 {millis:.0} ms")).unwrap_or_default();
    let Counted { requests, failures, .. } = counted;
    format!("{failures} of {requests} requests failed ({:.2} %) in {window}{p99}", counted.error_rate * 100.0)
}

/// To the second, by UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::facts::Now;
    use crate::config::Runbook;

    fn notice(facts: Facts, now: Now) -> Notice {
        Notice::new(&Context::new(facts, now, vec![], &Runbook::default()))
    }

    fn said<'n>(notice: &'n Notice, name: &str) -> Option<&'n str> {
        notice.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_update_says_after_how_long_it_comes_and_whether_it_is_over_and_a_trial_that_it_is_one() {
        let facts = Facts::sample(Moment::RolledBack, "checkout", "v1", "v2");
        let now = Now { test: false, ..Now::sample() };
        let first = notice(facts.clone(), now.clone());
        assert_eq!((said(&first, "Update"), first.headline.as_str()), (None, "checkout: v2 was rolled back to v1"));
        let later = notice(facts.clone(), Now { occurrence: 1, minutes: 15, ..now.clone() });
        assert_eq!(said(&later, "Update"), Some("after 15 min, not resolved yet"));
        let over = notice(facts.clone(), Now { minutes: 60, resolved: true, ..now });
        assert_eq!(said(&over, "Update"), Some("after 60 min, resolved since"));
        assert_eq!(notice(facts, Now::sample()).headline, "[test] checkout: v2 was rolled back to v1");
    }

    #[test]
    fn green_has_a_weight_where_it_has_one_and_nobody_but_a_person_rolls_an_irreversible_release_back() {
        let of = |moment, weight| {
            let irreversible = Some("a migration".to_owned());
            let facts = Facts { weight, irreversible, ..Facts::sample(moment, "checkout", "v1", "v2") };
            notice(facts, Now::sample())
        };
        assert_eq!(said(&of(Moment::Started, 5.0), "Weight"), Some("5 % to v2"));
        assert_eq!(said(&of(Moment::RolledBack, 0.0), "Weight"), None);
        let paused = of(Moment::Paused, 5.0);
        assert_eq!(
            (said(&paused, "Weight"), paused.status.as_str()),
            (None, "halted at 5 % for v2, waits for a person")
        );
        assert_eq!(said(&paused, "Irreversible"), Some("a migration"));
    }
}
