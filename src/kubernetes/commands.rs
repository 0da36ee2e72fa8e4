//! Annotations of the resource as commands: `kubectl annotate gro shop portcullis.dev/approve="looks good"`.
//!
//! Each is carried out once and taken away, with a test of the resourceVersion. What is safe to do twice is done first: a
//! rollback waits for nobody. The others are taken away first, so that none is done again by the next leader.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::Patch;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::conditions::{self, Acceptance};
use super::fields;
use super::place::by;
use super::resource::{CarriedOut, GatedRollout};
use super::telling::{self, REFUSED, Tone};
use super::{Cluster, PROXY, Proxy};
use crate::control::command::{Change, NewRelease};
use crate::release::{Acknowledged, Input, Terms, Weight};

/// What every annotation of ours begins with.
pub const PREFIX: &str = "portcullis.dev/";

/// What an annotation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Command {
    Rollback,
    RollbackIrreversible,
    Pause,
    Resume,
    Approve,
    Promote,
    Weight,
    Start,
}

/// In which they are carried out that are there at once.
const ORDER: [Command; 8] = [
    Command::Rollback,
    Command::RollbackIrreversible,
    Command::Pause,
    Command::Weight,
    Command::Resume,
    Command::Approve,
    Command::Promote,
    Command::Start,
];

/// A command as it stands there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    command: Command,
    value: String,
}

/// What was done and stands there still, with why it was refused.
type Done = BTreeMap<Written, Option<String>>;

/// After an annotation that could not be taken away.
const RETRY: Duration = Duration::from_secs(1);

impl Command {
    /// Without the prefix.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Command::Rollback => "rollback",
            Command::RollbackIrreversible => "rollback-irreversible",
            Command::Pause => "pause",
            Command::Resume => "resume",
            Command::Approve => "approve",
            Command::Promote => "promote",
            Command::Weight => "weight",
            Command::Start => "start",
        }
    }

    const fn is_safe_twice(self) -> bool {
        match self {
            Command::Rollback | Command::RollbackIrreversible | Command::Pause => true,
            Command::Resume | Command::Approve | Command::Promote | Command::Weight | Command::Start => false,
        }
    }

    /// Whether any replica does it, and not the leader alone.
    const fn is_for_all(self) -> bool {
        matches!(self, Command::Rollback | Command::RollbackIrreversible)
    }

    fn change(self, value: &str, actor: String) -> Result<Change, String> {
        let reason = value.to_owned();
        Ok(Change::Operator(match self {
            Command::Rollback => Input::Withdraw { actor, reason, acknowledged: Acknowledged::No },
            Command::RollbackIrreversible => Input::Withdraw { actor, reason, acknowledged: Acknowledged::Yes },
            Command::Pause => Input::Pause { actor, reason },
            Command::Resume => Input::Resume { actor, reason },
            Command::Approve => Input::Approve { actor, reason },
            Command::Promote => Input::Promote { actor, reason },
            Command::Weight => Input::SetWeight { weight: weight(value)?, actor, reason: String::new() },
            Command::Start => {
                return Ok(Change::Release(NewRelease { green: None, terms: Terms::Configured, actor, reason }));
            }
        }))
    }
}

fn weight(value: &str) -> Result<Weight, String> {
    let wrong = || format!("weight: `{value}` is no weight; write a percentage from 0 to 100, like `25`");
    let number: f64 = value.trim().trim_end_matches('%').trim_end().parse().map_err(|_| wrong())?;
    Weight::from_percent(number).map_err(|_| wrong())
}

/// The commands that stand there, in their order.
fn written(resource: &GatedRollout) -> Vec<Written> {
    let value = |command: Command| resource.annotations().get(&format!("{PREFIX}{}", command.name()));
    let known = |command: Command| Some(Written { command, value: value(command)?.clone() });
    ORDER.into_iter().filter_map(known).collect()
}

/// Carries out what is written from here on.
pub(super) async fn follow(cluster: &Cluster, proxy: &Proxy, accepted: &watch::Receiver<Acceptance>) {
    let (mut seen, mut leads) = (cluster.seen.clone(), cluster.leading.clone());
    let mut done = Done::new();
    loop {
        let resource = seen.borrow_and_update().clone();
        let all = resource.as_deref().map(written).unwrap_or_default();
        done.retain(|known, _| all.contains(known));
        let next = all.into_iter().find(|next| next.command.is_for_all() || cluster.leads());
        let stands = next.is_some();
        if let (Some(resource), Some(next)) = (&resource, next)
            && let Some(carried_out) = obey(cluster, proxy, resource, next, &mut done).await
        {
            // Whoever waits for the command finds there what it has come to.
            let (acceptance, status) = (accepted.borrow().clone(), proxy.status.borrow().clone());
            conditions::write(cluster, &acceptance, Some(&status)).await;
            record(cluster, carried_out).await;
        }
        let changed = tokio::select! {
            changed = seen.changed() => changed,
            changed = leads.changed() => changed,
            () = sleep(RETRY), if stands => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// None where it is not done, or has to be taken away still.
async fn obey(
    cluster: &Cluster,
    proxy: &Proxy,
    resource: &GatedRollout,
    next: Written,
    done: &mut Done,
) -> Option<CarriedOut> {
    let Written { command, value } = next.clone();
    let key = format!("{PREFIX}{}", command.name());
    let actor = fields::writer(resource.meta(), &["metadata", "annotations", &key]);
    let refused = if command.is_safe_twice() {
        let refused = match done.get(&next) {
            Some(refused) => refused.clone(),
            None => send(proxy, command, &value, &actor).await,
        };
        done.insert(next, refused.clone());
        if refused.is_some() && !cluster.leads() {
            // The leader knows better, and says why.
            return None;
        }
        if !take_away(cluster, resource, &key).await {
            return None;
        }
        refused
    } else {
        if !take_away(cluster, resource, &key).await {
            return None;
        }
        send(proxy, command, &value, &actor).await
    };
    Some(CarriedOut { name: command.name().to_owned(), value, actor, at: jiff::Timestamp::now(), refused })
}

/// Why it was not done.
async fn send(proxy: &Proxy, command: Command, value: &str, actor: &str) -> Option<String> {
    match command.change(value, actor.to_owned()) {
        Ok(change) => proxy.commands.send(change).await.err().map(|failed| failed.to_string()),
        Err(wrong) => Some(wrong),
    }
}

/// False where it stands there still, in another version of the resource: that is seen next.
async fn take_away(cluster: &Cluster, resource: &GatedRollout, key: &str) -> bool {
    let version = resource.resource_version();
    let patch = json!({ "metadata": { "resourceVersion": version, "annotations": { (key): null } } });
    match cluster.api.patch(&cluster.name, &by(PROXY), &Patch::Merge(&patch)).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(key, %error, "an annotation was not taken away");
            false
        }
    }
}

/// Tells those who wrote it what became of it.
async fn record(cluster: &Cluster, command: CarriedOut) {
    if let Some(refused) = &command.refused {
        let note = format!("{PREFIX}{} by {}: {refused}", command.name, command.actor);
        telling::tell(cluster, Tone::Warning, REFUSED, &note).await;
    }
    tracing::info!(command = command.name, actor = command.actor, refused = command.refused, "annotation");
    let mut patch = json!({ "status": { "command": command } });
    if command.refused.is_none() {
        // A merge leaves what it does not name, here of the command before.
        patch["status"]["command"]["refused"] = Value::Null;
    }
    cluster.patch_status(&patch).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(annotations: &[(&str, &str)]) -> GatedRollout {
        let mut resource = GatedRollout::new("shop", super::super::resource::GatedRolloutSpec::default());
        resource.annotations_mut().extend(annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        resource
    }

    #[test]
    fn commands_are_read_in_an_order_that_rolls_back_first_and_nothing_else_is_one() {
        let annotations = [
            ("portcullis.dev/approve", "fine"),
            ("portcullis.dev/rollback", "no"),
            ("portcullis.dev/other", ""),
            ("approve", ""),
        ];
        let found = written(&resource(&annotations));
        let names: Vec<&str> = found.iter().map(|known| known.command.name()).collect();
        assert_eq!(names, ["rollback", "approve"]);
        assert_eq!(found[1].value, "fine");
    }

    #[test]
    fn a_weight_is_a_percentage_with_or_without_its_sign() {
        let percent = |text: &str| weight(text).map(Weight::percent);
        assert_eq!([percent("25"), percent(" 2.5 % ")], [Ok(25.0), Ok(2.5)]);
        for wrong in ["", "abc", "-1", "101", "NaN", "1e309"] {
            assert!(percent(wrong).is_err_and(|why| why.contains("from 0 to 100")), "{wrong}");
        }
    }
    #[test]
    fn each_annotation_is_the_input_of_its_name_with_its_value_as_the_reason() {
        let (actor, reason) = ("kubectl".to_owned(), "7".to_owned());
        let with = |input: fn(String, String) -> Input| input(actor.clone(), reason.clone());
        let withdraw =
            |acknowledged: Acknowledged| Input::Withdraw { actor: actor.clone(), reason: reason.clone(), acknowledged };
        let weight = Weight::from_percent(7.0).expect("a weight");
        for (command, expected) in [
            (Command::Rollback, withdraw(Acknowledged::No)),
            (Command::RollbackIrreversible, withdraw(Acknowledged::Yes)),
            (Command::Pause, with(|actor, reason| Input::Pause { actor, reason })),
            (Command::Resume, with(|actor, reason| Input::Resume { actor, reason })),
            (Command::Approve, with(|actor, reason| Input::Approve { actor, reason })),
            (Command::Promote, with(|actor, reason| Input::Promote { actor, reason })),
            (Command::Weight, Input::SetWeight { weight, actor: actor.clone(), reason: String::new() }),
        ] {
            let Ok(Change::Operator(input)) = command.change("7", "kubectl".to_owned()) else {
                panic!("{command:?} is an operator's");
            };
            assert_eq!(input, expected);
        }
        let Ok(Change::Release(begun)) = Command::Start.change("7", "kubectl".to_owned()) else {
            panic!("a start is a release");
        };
        assert_eq!((begun.green, begun.actor, begun.reason), (None, actor, reason));
    }

    #[test]
    fn any_replica_rolls_back_and_everything_else_is_the_leaders() {
        let for_all: Vec<&str> = ORDER.into_iter().filter(|command| command.is_for_all()).map(Command::name).collect();
        assert_eq!(for_all, ["rollback", "rollback-irreversible"]);
        let safe: Vec<&str> = ORDER.into_iter().filter(|command| command.is_safe_twice()).map(Command::name).collect();
        assert_eq!(safe, ["rollback", "rollback-irreversible", "pause"]);
    }
}
