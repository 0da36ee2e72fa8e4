//! What an action does: one file a kind, with what is written in the configuration and what it becomes.

pub mod change_window;
pub mod cloudevents;
pub mod email;
pub mod exec;
pub mod github;
pub mod grafana;
pub mod http;
pub mod jira;
pub mod kubernetes;
pub mod manual;
pub mod pagerduty;
pub mod slack;
pub mod smoke;
pub mod teams;
mod telling;
pub mod webhook;

use std::collections::BTreeSet;

pub use change_window::ChangeWindow;
pub use cloudevents::CloudEvents;
pub use email::Email;
pub use exec::Exec;
pub use github::GitHub;
pub use grafana::Grafana;
pub use http::Http;
pub use jira::Jira;
pub use kubernetes::Kubernetes;
pub use manual::Manual;
pub use pagerduty::PagerDuty;
pub use slack::Slack;
pub use smoke::Smoke;
pub use teams::Teams;
pub use webhook::Webhook;

/// A kind of action with its values.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Http(Box<Http>),
    Webhook(Box<Webhook>),
    Exec(Exec),
    Smoke(Smoke),
    Manual(Manual),
    Slack(Box<Slack>),
    Teams(Box<Teams>),
    PagerDuty(Box<PagerDuty>),
    CloudEvents(Box<CloudEvents>),
    Jira(Box<Jira>),
    Email(Box<Email>),
    GitHub(Box<GitHub>),
    Grafana(Box<Grafana>),
    Kubernetes(Box<Kubernetes>),
    /// In the moments alone that are asked before something.
    ChangeWindow(ChangeWindow),
}

impl Kind {
    /// As the configuration has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Kind::Http(_) => "http",
            Kind::Webhook(_) => "webhook",
            Kind::Exec(_) => "exec",
            Kind::Smoke(_) => "smoke",
            Kind::Manual(_) => "manual",
            Kind::Slack(_) => "slack",
            Kind::Teams(_) => "teams",
            Kind::PagerDuty(_) => "pagerduty",
            Kind::CloudEvents(_) => "cloudevents",
            Kind::Jira(_) => "jira",
            Kind::Email(_) => "email",
            Kind::GitHub(_) => "github",
            Kind::Grafana(_) => "grafana",
            Kind::Kubernetes(_) => "kubernetes",
            Kind::ChangeWindow(_) => "changeWindow",
        }
    }

    /// Whether it tells people, or programs for them, and changes nothing that a release is about.
    pub const fn only_tells(&self) -> bool {
        match self {
            Kind::Webhook(_)
            | Kind::Manual(_)
            | Kind::Slack(_)
            | Kind::Teams(_)
            | Kind::PagerDuty(_)
            | Kind::CloudEvents(_)
            | Kind::Jira(_)
            | Kind::Email(_)
            | Kind::GitHub(_)
            | Kind::Grafana(_) => true,
            Kind::Http(_) | Kind::Exec(_) | Kind::Smoke(_) | Kind::Kubernetes(_) | Kind::ChangeWindow(_) => false,
        }
    }

    /// The actions whose answers its templates name.
    pub(in crate::config) fn needs(&self) -> BTreeSet<String> {
        match self {
            Kind::Http(http) => http.needs(),
            Kind::Webhook(webhook) => webhook.needs(),
            Kind::Exec(exec) => exec.needs(),
            Kind::Smoke(_) | Kind::ChangeWindow(_) => BTreeSet::new(),
            Kind::Manual(manual) => manual.needs(),
            Kind::Slack(slack) => slack.needs(),
            Kind::Teams(teams) => teams.needs(),
            Kind::PagerDuty(pagerduty) => pagerduty.needs(),
            Kind::CloudEvents(cloudevents) => cloudevents.needs(),
            Kind::Jira(jira) => jira.needs(),
            Kind::Email(email) => email.needs(),
            Kind::GitHub(github) => github.needs(),
            Kind::Grafana(grafana) => grafana.needs(),
            Kind::Kubernetes(kubernetes) => kubernetes.needs(),
        }
    }
}
