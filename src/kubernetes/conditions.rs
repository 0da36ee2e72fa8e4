//! What of a proxy Kubernetes' own tools can wait for and show: the conditions `Accepted`, `Progressing` and `Healthy`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::resource::{Condition, GatedRolloutStatus};
use super::{Cluster, Proxy};
use crate::config::{Fault, Faults};
use crate::control::status::Status;
use crate::release::AWAITS_APPROVAL;

/// What became of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acceptance {
    /// The generation that was read.
    pub(super) generation: Option<i64>,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// What is wrong with it, and what would be right.
    Faulty(String),
    /// It cannot hold while the process runs, or the release.
    Refused(String),
    /// It has another green than the release that is open.
    OtherGreen(String),
}

/// A message of a condition is at most so long (`metav1.Condition`).
const LONGEST_MESSAGE: usize = 32_768;

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// Every fault by the path of its key, with what would be right.
pub(super) fn told(faults: &Faults) -> String {
    let line = |fault: &Fault| {
        let label = Some(fault.label()).filter(|label| !label.is_empty());
        let more: Vec<&str> = label.into_iter().chain(fault.help()).collect();
        if more.is_empty() { fault.message().to_owned() } else { format!("{}; {}", fault.message(), more.join("; ")) }
    };
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// All conditions, by what is known; `before` are those that stand there, which keep the time since when they hold. Without a
/// status no proxy runs yet.
pub(super) fn conditions(
    acceptance: &Acceptance,
    status: Option<&Status>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = vec![("Accepted", accepted(&acceptance.verdict))];
    match status {
        Some(status) => all.extend([("Progressing", progressing(status)), ("Healthy", healthy(status))]),
        None => {
            let waits = || "no proxy runs by this resource yet".to_owned();
            all.extend([("Progressing", (FALSE, "Starting", waits())), ("Healthy", (UNKNOWN, "Starting", waits()))]);
        }
    }
    let condition = |(kind, (status, reason, message)): (&str, Told)| {
        let was = before.iter().find(|was| was.kind == kind && was.status == status);
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: bounded(message),
            last_transition_time: was.map_or(now, |was| was.last_transition_time),
            observed_generation: acceptance.generation,
        }
    };
    all.into_iter().map(condition).collect()
}

/// Status, reason, message.
type Told = (&'static str, &'static str, String);

fn accepted(verdict: &Verdict) -> Told {
    match verdict {
        Verdict::Accepted => (TRUE, "Valid", "the spec is what the proxy goes by".to_owned()),
        Verdict::Faulty(faults) => (FALSE, "Faults", format!("everything is as it was before this spec:\n{faults}")),
        Verdict::Refused(why) | Verdict::OtherGreen(why) => {
            (FALSE, "Refused", format!("everything is as it was before this spec: {why}"))
        }
    }
}

fn progressing(status: &Status) -> Told {
    // Not with the verdict's sentence, whose numbers are new with every tick.
    let of = |what: &str| format!("{what} {}, which has {} of the traffic", status.green.version, status.weight);
    let held = || status.pause.clone().unwrap_or_else(|| of("holding"));
    match status.state {
        "stepping" => (TRUE, "Stepping", of("releasing")),
        "paused" if status.pause.as_deref().is_some_and(|pause| pause.starts_with(AWAITS_APPROVAL)) => {
            (TRUE, "AwaitingApproval", held())
        }
        "paused" => (TRUE, "Paused", held()),
        "promoted" => (TRUE, "Monitoring", of("watching")),
        "completed" => (FALSE, "Completed", format!("{} serves everything", status.blue.version)),
        "rolledBack" if status.is_superseded() => {
            (FALSE, "Superseded", format!("{} serves everything until a newer green is there", status.blue.version))
        }
        "rolledBack" => (FALSE, "RolledBack", format!("{} serves everything", status.blue.version)),
        _ => (FALSE, "Idle", "no release is open".to_owned()),
    }
}

fn healthy(status: &Status) -> Told {
    if status.blue.healthy_endpoints == 0 {
        return (FALSE, "NoEndpoints", format!("no endpoint of {} takes requests", status.blue.version));
    }
    match &status.rollback {
        Some(rollback) if status.state == "rolledBack" && !status.is_superseded() => {
            (FALSE, "RolledBack", rollback.reason.clone())
        }
        Some(_) | None => (TRUE, "Serving", "blue takes requests, and green was not found bad".to_owned()),
    }
}

fn bounded(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE - '…'.len_utf8()).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    message
}

/// How often it is looked whether the conditions are still what they were.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Keeps the conditions to what is, for as long as this replica leads.
pub(super) async fn follow(cluster: &Cluster, proxy: &Proxy, mut accepted: watch::Receiver<Acceptance>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            changed = accepted.changed() => if changed.is_err() {
                return;
            },
        }
        if cluster.leads() {
            let (acceptance, status) = (accepted.borrow_and_update().clone(), proxy.status.borrow().clone());
            write(cluster, &acceptance, Some(&status)).await;
        }
    }
}

/// Writes the conditions where they are others than those of the resource.
pub(super) async fn write(cluster: &Cluster, acceptance: &Acceptance, status: Option<&Status>) {
    let known = cluster.seen.borrow().as_ref().map(|resource| resource.status_or_none());
    if let Some(patch) = known.and_then(|known| patch(&known, acceptance, status, second())) {
        cluster.patch_status(&patch).await;
    }
}

/// Kubernetes' own times are of whole seconds.
fn second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("a time in this age")
}

/// The patch of the status that says so; none where it says that already.
fn patch(
    known: &GatedRolloutStatus,
    acceptance: &Acceptance,
    status: Option<&Status>,
    now: Timestamp,
) -> Option<serde_json::Value> {
    let conditions = conditions(acceptance, status, &known.conditions, now);
    if known.conditions == conditions && known.observed_generation == acceptance.generation {
        return None;
    }
    Some(json!({ "status": { "observedGeneration": acceptance.generation, "conditions": conditions } }))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, Config, Environment};
    use crate::control::restore::Beginning;
    use crate::control::status::Rollback;
    use crate::live::{Addresses, Live};
    use crate::release::Cause;
    use crate::routing::Routing;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    pub(in crate::kubernetes) fn config() -> Config {
        let text = "listen: 127.0.0.1:1\nadmin: { listen: 127.0.0.1:2 }\nblue: { version: v1, endpoints: [\"127.0.0.1:3\"] }\n\
                    green: { version: v2, endpoints: [\"127.0.0.1:4\"] }\n";
        let config = config::parse(text, "a file", Path::new(""), &Environment::default());
        config.unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// The status of a proxy whose blue serves.
    pub(in crate::kubernetes) fn status() -> Status {
        let (config, beginning) = (config(), Beginning::default());
        let live = Arc::new(Live::new(&config, &Addresses::default()));
        let routing = Routing::to(live, beginning.table, None, tokio::sync::mpsc::channel(1).0);
        crate::running::first_status(&config, &beginning, &routing)
    }

    /// Status and reason of a condition.
    fn shown(kind: &str, status: &Status) -> (String, String) {
        let all = conditions(&acceptance(1, Verdict::Accepted), Some(status), &[], at(1));
        let found = all.into_iter().find(|condition| condition.kind == kind).expect("all are told");
        (found.status, found.reason)
    }

    #[test]
    fn progressing_is_true_exactly_while_a_release_is_under_way() {
        let waits = format!("{AWAITS_APPROVAL}: somebody has to look");
        for (state, pause, told, reason) in [
            ("idle", None, FALSE, "Idle"),
            ("stepping", None, TRUE, "Stepping"),
            ("paused", Some("lunch"), TRUE, "Paused"),
            ("paused", Some(waits.as_str()), TRUE, "AwaitingApproval"),
            ("promoted", None, TRUE, "Monitoring"),
            ("completed", None, FALSE, "Completed"),
            ("rolledBack", None, FALSE, "RolledBack"),
        ] {
            let status = Status { state, pause: pause.map(str::to_owned), ..status() };
            assert_eq!(shown("Progressing", &status), (told.to_owned(), reason.to_owned()), "{state}");
        }
    }

    #[test]
    fn healthy_is_false_after_a_rollback_until_the_next_release_begins_and_where_blue_has_no_endpoint() {
        let cause = Cause { trigger: "t".to_owned(), reason: "too many".to_owned(), actor: "gate".to_owned() };
        let rollback = Some(Rollback::new(&cause, at(1), None));
        let rolled_back = Status { state: "rolledBack", rollback: rollback.clone(), ..status() };
        assert_eq!(shown("Healthy", &rolled_back), (FALSE.to_owned(), "RolledBack".to_owned()));
        let next = Status { state: "stepping", rollback, ..status() };
        assert_eq!(shown("Healthy", &next), (TRUE.to_owned(), "Serving".to_owned()));
        let mut away = status();
        away.blue.healthy_endpoints = 0;
        assert_eq!(shown("Healthy", &away), (FALSE.to_owned(), "NoEndpoints".to_owned()));
    }

    #[test]
    fn what_is_told_is_of_the_generation_that_was_read_and_written_where_a_sentence_alone_is_another() {
        let paused = |why: &str| Status { state: "paused", pause: Some(why.to_owned()), ..status() };
        let accepted = acceptance(7, Verdict::Accepted);
        let known = GatedRolloutStatus {
            conditions: conditions(&accepted, Some(&paused("lunch")), &[], at(1)),
            observed_generation: Some(7),
            ..GatedRolloutStatus::default()
        };
        assert_eq!(patch(&known, &accepted, Some(&paused("lunch")), at(2)), None);
        let other = patch(&known, &accepted, Some(&paused("dinner")), at(2)).expect("another sentence");
        let progressing = &other["status"]["conditions"][1];
        assert_eq!((&progressing["message"], &other["status"]["observedGeneration"]), (&json!("dinner"), &json!(7)));
        let again = patch(
            &GatedRolloutStatus { observed_generation: Some(6), ..known },
            &accepted,
            Some(&paused("lunch")),
            at(2),
        );
        assert_eq!(again.expect("another generation")["status"]["observedGeneration"], 7);
    }

    fn acceptance(generation: i64, verdict: Verdict) -> Acceptance {
        Acceptance { generation: Some(generation), verdict }
    }

    #[test]
    fn a_condition_keeps_the_time_since_when_it_holds_and_is_written_when_anything_of_it_changes() {
        let faulty = acceptance(1, Verdict::Faulty("listen: `x` is no address".to_owned()));
        let first = conditions(&faulty, None, &[], at(1));
        let known = GatedRolloutStatus {
            conditions: first.clone(),
            observed_generation: Some(1),
            ..GatedRolloutStatus::default()
        };
        assert_eq!(patch(&known, &faulty, None, at(2)), None);
        let other = acceptance(2, Verdict::Refused("not now".to_owned()));
        let second = conditions(&other, None, &first, at(3));
        let accepted = &second[0];
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), (FALSE, "Refused"));
        assert_eq!((accepted.last_transition_time, accepted.observed_generation), (at(1), Some(2)));
        assert!(patch(&known, &other, None, at(3)).is_some());
        let third = conditions(&acceptance(3, Verdict::Accepted), None, &second, at(4));
        assert_eq!((third[0].status.as_str(), third[0].last_transition_time), (TRUE, at(4)));
    }

    #[test]
    fn a_message_is_never_longer_than_kubernetes_takes() {
        let long = bounded("ä".repeat(LONGEST_MESSAGE));
        assert!(long.len() <= LONGEST_MESSAGE && long.ends_with('…'));
        assert_eq!(bounded("short".to_owned()), "short");
    }
}
