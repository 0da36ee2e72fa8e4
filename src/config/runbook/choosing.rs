//! Which kind an action is of.

use super::kind::change_window::change_window;
use super::kind::cloudevents::cloudevents;
use super::kind::email::email;
use super::kind::exec::exec;
use super::kind::github::github;
use super::kind::grafana::grafana;
use super::kind::http::http;
use super::kind::jira::jira;
use super::kind::kubernetes::kubernetes;
use super::kind::manual::manual;
use super::kind::pagerduty::pagerduty;
use super::kind::slack::slack;
use super::kind::smoke::smoke;
use super::kind::teams::teams;
use super::kind::webhook::webhook;
use super::reading::RawAction;
use super::{Around, Kind, Moment};
use crate::config::read::listed;
use crate::config::report::{Scope, Wrong};
use crate::gate::Version;

/// The keys that name a kind.
const KINDS: [&str; 15] = [
    "http",
    "webhook",
    "exec",
    "smoke",
    "manual",
    "slack",
    "teams",
    "pagerduty",
    "cloudevents",
    "jira",
    "email",
    "github",
    "grafana",
    "kubernetes",
    "changeWindow",
];

impl RawAction {
    /// The kinds that are written.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let written = [
            self.http.is_some(),
            self.webhook.is_some(),
            self.exec.is_some(),
            self.smoke.is_some(),
            self.manual.is_some(),
            self.slack.is_some(),
            self.teams.is_some(),
            self.pagerduty.is_some(),
            self.cloudevents.is_some(),
            self.jira.is_some(),
            self.email.is_some(),
            self.github.is_some(),
            self.grafana.is_some(),
            self.kubernetes.is_some(),
            self.change_window.is_some(),
        ];
        KINDS.into_iter().zip(written).filter_map(|(kind, written)| written.then_some(kind)).collect()
    }
}

pub(super) fn kind(scope: &mut Scope<'_, '_>, raw: RawAction, moment: Moment, around: &Around<'_>) -> Option<Kind> {
    match raw.kinds()[..] {
        [_] => {}
        [] => {
            // What is spoiled has been told.
            let told = KINDS.iter().any(|kind| scope.report.is_spoiled_within(&scope.at.key(kind)));
            if !told {
                let label = format!("add one of {}", listed(&KINDS));
                scope.wrong_here(Wrong::new("does nothing", label));
            }
            return None;
        }
        [first, second, ..] => {
            let message = format!("is written beside `{first}`");
            scope.misplaced(second, Wrong::new(message, "an action is of one kind: write two"));
            return None;
        }
    }
    if let Some(raw) = raw.http {
        return http(&mut scope.key("http"), raw.0, around).map(|http| Kind::Http(Box::new(http)));
    }
    if let Some(raw) = raw.webhook {
        return webhook(&mut scope.key("webhook"), raw.0, around).map(|webhook| Kind::Webhook(Box::new(webhook)));
    }
    if let Some(raw) = raw.exec {
        return exec(&mut scope.key("exec"), raw.0, around).map(Kind::Exec);
    }
    if let Some(raw) = raw.smoke {
        let usual = if moment.is_gate() { Version::Green } else { Version::Blue };
        return smoke(&mut scope.key("smoke"), raw.0, usual).map(Kind::Smoke);
    }
    if let Some(raw) = raw.slack {
        return slack(&mut scope.key("slack"), raw.0, around).map(|slack| Kind::Slack(Box::new(slack)));
    }
    if let Some(raw) = raw.teams {
        return teams(&mut scope.key("teams"), raw.0, around).map(|teams| Kind::Teams(Box::new(teams)));
    }
    if let Some(raw) = raw.pagerduty {
        return pagerduty(&mut scope.key("pagerduty"), raw.0, moment, around)
            .map(|pagerduty| Kind::PagerDuty(Box::new(pagerduty)));
    }
    if let Some(raw) = raw.cloudevents {
        return cloudevents(&mut scope.key("cloudevents"), raw.0, moment, around)
            .map(|cloudevents| Kind::CloudEvents(Box::new(cloudevents)));
    }
    if let Some(raw) = raw.jira {
        return jira(&mut scope.key("jira"), raw.0, around).map(|jira| Kind::Jira(Box::new(jira)));
    }
    if let Some(raw) = raw.email {
        return email(&mut scope.key("email"), raw.0, around).map(|email| Kind::Email(Box::new(email)));
    }
    if let Some(raw) = raw.github {
        return github(&mut scope.key("github"), raw.0, around).map(|github| Kind::GitHub(Box::new(github)));
    }
    if let Some(raw) = raw.grafana {
        return grafana(&mut scope.key("grafana"), raw.0, around).map(|grafana| Kind::Grafana(Box::new(grafana)));
    }
    if let Some(raw) = raw.kubernetes {
        return kubernetes(&mut scope.key("kubernetes"), raw.0, around)
            .map(|kubernetes| Kind::Kubernetes(Box::new(kubernetes)));
    }
    if let Some(raw) = raw.change_window {
        if moment.asks().is_none() {
            let message = format!("means nothing in `{}`", moment.name());
            let label = "write it in `beforeStart`, `beforeStep` or `beforePromotion`";
            scope.misplaced("changeWindow", Wrong::new(message, label));
        }
        return change_window(&mut scope.key("changeWindow"), raw.0).map(Kind::ChangeWindow);
    }
    manual(&mut scope.key("manual"), raw.manual?.0, around).map(Kind::Manual)
}
