//! The keys of every kind, and how each may be written.

use super::kind::change_window::RawChangeWindow;
use super::kind::cloudevents::RawCloudEvents;
use super::kind::email::RawEmail;
use super::kind::exec::RawExec;
use super::kind::github::RawGitHub;
use super::kind::grafana::RawGrafana;
use super::kind::http::RawHttp;
use super::kind::jira::RawJira;
use super::kind::kubernetes::RawKubernetes;
use super::kind::manual::RawManual;
use super::kind::pagerduty::RawPagerDuty;
use super::kind::slack::RawSlack;
use super::kind::smoke::{RawCheck, RawSmoke};
use super::kind::teams::RawTeams;
use super::kind::webhook::RawWebhook;
use crate::config::keys::keys;

/// The keys of the mapping at a path of an action.
pub(in crate::config) fn kind_keys(pattern: &[&str]) -> &'static [&'static str] {
    match pattern {
        ["http"] => keys::<RawHttp>(),
        ["webhook"] => keys::<RawWebhook>(),
        ["exec"] => keys::<RawExec>(),
        ["smoke"] => keys::<RawSmoke>(),
        ["smoke", "checks", "*"] => keys::<RawCheck>(),
        ["manual"] => keys::<RawManual>(),
        ["changeWindow"] => keys::<RawChangeWindow>(),
        ["slack"] => keys::<RawSlack>(),
        ["teams"] => keys::<RawTeams>(),
        ["pagerduty"] => keys::<RawPagerDuty>(),
        ["cloudevents"] => keys::<RawCloudEvents>(),
        ["jira"] => keys::<RawJira>(),
        ["email"] => keys::<RawEmail>(),
        ["github"] => keys::<RawGitHub>(),
        ["grafana"] => keys::<RawGrafana>(),
        ["kubernetes"] => keys::<RawKubernetes>(),
        _ => &[],
    }
}

/// How a key of the runbook may be written.
pub(in crate::config) fn example(pattern: &[&str]) -> Option<&'static str> {
    Some(match pattern {
        ["allow"] => "allow: [localhost]",
        ["link"] => "link: \"https://portcullis.example.com\"",
        [_] => "rolledBack: [{ http: { url: \"https://flags.example.com/checkout\", json: { on: false } } }]",
        [_, "*"] => "- { http: { url: \"https://flags.example.com/checkout\", json: { on: false } } }",
        [_, "*", "name"] => "name: flag-off",
        [_, "*", "when"] => "when: \"not resolved\"",
        [_, "*", "onFailure"] => "onFailure: stop",
        [_, "*", "nextDay"] => "nextDay: \"09:00\"",
        [_, "*", "slack", "url"] => "url: env:SLACK_URL",
        [_, "*", "slack", "token"] => "token: env:SLACK_TOKEN",
        [_, "*", "slack", "channel"] => "channel: \"#releases\"",
        [_, "*", "teams", "url"] => "url: env:TEAMS_URL",
        [_, "*", "pagerduty", "routingKey"] => "routingKey: env:PAGERDUTY_KEY",
        [_, "*", "jira", "url"] => "url: https://example.atlassian.net",
        [_, "*", "jira", "token"] => "token: env:JIRA_TOKEN",
        [_, "*", "jira", "project"] => "project: OPS",
        [_, "*", "email", "server"] => "server: mail.example.com",
        [_, "*", "email", "user"] => "user: portcullis",
        [_, "*", "email", "password"] => "password: env:MAIL_PASSWORD",
        [_, "*", "email", "from"] => "from: portcullis@example.com",
        [_, "*", "email", "to"] => "to: [oncall@example.com]",
        [_, "*", "github", "token"] => "token: env:GITHUB_TOKEN",
        [_, "*", "github", "repository"] => "repository: example/checkout",
        [_, "*", "grafana", "url"] => "url: https://grafana.example.com",
        [_, "*", "grafana", "token"] => "token: env:GRAFANA_TOKEN",
        [_, "*", "kubernetes", "undo"] => "undo: checkout-green",
        [_, "*", "kubernetes", "scale"] => "scale: checkout-green",
        [_, "*", "kubernetes", "annotate"] => "annotate: deployment/checkout-green",
        [_, "*", "kubernetes", "annotations"] => "annotations: { example.com/why: \"{{ reason }}\" }",
        [_, "*", "kubernetes", "event"] => "event: deployment/checkout-green",
        [_, "*", "kubernetes", "reason"] => "reason: RolledBack",
        [_, "*", _, "url"] => "url: \"https://flags.example.com/checkout\"",
        [_, "*", _, "headers"] => "headers: { x-team: checkout }",
        [_, "*", _, "bearer"] => "bearer: env:FLAGS_TOKEN",
        [_, "*", "http", "method"] => "method: PATCH",
        [_, "*", "http", "body"] => "body: \"{{ service }} {{ green }}\"",
        [_, "*", "http", "expect"] => "expect: [200, 204]",
        [_, "*", "http", "remember"] => "remember: { ticket: /key }",
        [_, "*", "webhook", "secret"] => "secret: env:WEBHOOK_SECRET",
        [_, "*", "exec", "command"] => "command: [kubectl, rollout, undo, deployment/checkout]",
        [_, "*", "exec", "env"] => "env: { KUBECONFIG: /etc/portcullis/kubeconfig }",
        [_, "*", "smoke", "checks"] => "checks: [{ path: /healthz, status: 200 }]",
        [_, "*", "smoke", "checks", "*"] => "- { path: /healthz, status: 200 }",
        [_, "*", "smoke", "checks", "*", "path"] => "path: /healthz",
        [_, "*", "changeWindow"] => {
            "changeWindow: { days: [mon-fri], from: \"09:00\", to: \"17:00\", zone: Europe/Berlin }"
        }
        [_, "*", "changeWindow", "days"] => "days: [mon-fri]",
        [_, "*", "changeWindow", "from"] => "from: \"09:00\"",
        [_, "*", "changeWindow", "to"] => "to: \"17:00\"",
        [_, "*", "changeWindow", "zone"] => "zone: Europe/Berlin",
        [_, "*", "manual", "text"] => "text: \"Look whether the migration has to be undone\"",
        [_, "*", "manual", "steps"] => {
            "steps: [\"Read the plan of the migration\", \"Call the owner of the database\"]"
        }
        _ => return None,
    })
}
