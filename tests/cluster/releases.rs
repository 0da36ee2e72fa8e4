//! A release from kubectl to its end: who takes its steps, and how often.

use std::thread;

use serde_json::{Value, json};

use super::super::support::cluster::Cluster;
use super::{NAME, Replica, Rollout};

/// Every step waits for a person.
fn by_hand() -> Value {
    let step = |weight: &str| json!({ "weight": weight, "bake": "100ms", "approval": true });
    json!({ "steps": [step("10%"), step("30%"), step("60%")], "monitoring": "1h" })
}

fn awaits_approval(status: &Value, weight: f64) -> bool {
    status["state"] == "paused" && status["weight"] == weight
}

#[test]
fn row_88_three_replicas_take_each_step_once_and_are_at_the_same_weight() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, by_hand());
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    for weight in [10.0, 30.0, 60.0] {
        rollout.until("the approval to be asked for", |status| awaits_approval(status, weight));
        replicas.iter().for_each(|replica| drop(replica.until_weight(weight)));
        rollout.annotate("approve", "a test");
    }
    assert_eq!(rollout.until_state("promoted")["step"], 4);
    replicas.iter().for_each(|replica| drop(replica.until_weight(100.0)));
    rollout.annotate("promote", "a test");
    rollout.until_state("completed");
    for replica in &mut replicas {
        replica.proxy.until(|status| status["state"] == "completed" && status["blue"]["version"] == "v2");
        replica.calm();
    }
    assert_eq!(rollout.history.places(), [(1, 10.0), (1, 30.0), (1, 60.0), (1, 100.0)]);
}

#[test]
fn row_88_a_plan_without_people_takes_each_step_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let step = |weight: &str| json!({ "weight": weight, "bake": "500ms" });
    let plan = json!({ "steps": [step("10%"), step("30%"), step("60%")], "monitoring": "500ms" });
    let rollout = Rollout::with_plan(cluster, plan);
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    rollout.until_state("completed");
    assert_eq!(rollout.history.places(), [(1, 10.0), (1, 30.0), (1, 60.0), (1, 100.0)]);
    // What is promoted stays where it is when the next release begins.
    rollout.release("v3");
    rollout.until("the second to complete", |status| status["state"] == "completed" && status["epoch"] == 2);
    assert_eq!(rollout.history.places()[4..], [(2, 10.0), (2, 30.0), (2, 60.0), (2, 100.0)]);
    replicas.iter_mut().for_each(Replica::calm);
}

#[test]
fn row_88_a_leader_that_is_killed_in_a_step_is_followed_by_one_that_goes_on_with_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, by_hand());
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    let mut leaders = Vec::new();
    for weight in [10.0, 30.0] {
        let status = rollout.until("the approval to be asked for", |status| awaits_approval(status, weight));
        let leader = status["leader"].as_str().expect("somebody leads").to_owned();
        let place = replicas.iter().position(|replica| replica.name == leader).expect("one that lives");
        let mut killed = replicas.remove(place);
        killed.proxy.crash();
        leaders.push(leader);
        rollout.annotate("approve", "a test");
    }
    let last = rollout.until("the last step", |status| awaits_approval(status, 60.0));
    assert_eq!(last["leader"], replicas[0].name, "those before it were {leaders:?}");
    replicas[0].until_weight(60.0);
    replicas[0].calm();
    assert_eq!(rollout.history.places(), [(1, 10.0), (1, 30.0), (1, 60.0)]);
}

#[test]
fn row_83_operators_who_race_are_heard_once_or_refused() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, by_hand());
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    rollout.until("the approval to be asked for", |status| awaits_approval(status, 10.0));
    replicas.iter().for_each(|replica| drop(replica.until_weight(10.0)));

    // By the admin API of every replica at once. Whoever comes after the step approves the next one, or is told that there is nothing
    // to approve.
    let answers = thread::scope(|scope| {
        let approve = |replica| {
            let replica: &Replica = replica;
            scope.spawn(move || replica.proxy.post("/v1/release/approve", &json!({ "reason": "a test" })))
        };
        let asked: Vec<_> = replicas.iter().map(approve).collect();
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect::<Vec<_>>()
    });
    assert!(answers.iter().any(|answer| answer.status == 200));
    for answer in &answers {
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
    }
    rollout.until("the second step", |status| status["weight"].as_f64() > Some(10.0));

    // By kubectl, both from what they have seen: of one version of the resource one annotation is made.
    let seen = rollout.namespace.json(&["get", "gro", NAME])["metadata"]["resourceVersion"].clone();
    let version = format!("--resource-version={}", seen.as_str().expect("a version"));
    let made = thread::scope(|scope| {
        let annotate = |reason: &'static str| {
            let (namespace, version) = (&rollout.namespace, &version);
            let annotation = format!("portcullis.dev/approve={reason}");
            scope.spawn(move || {
                namespace.run(&["annotate", "gro", NAME, "--overwrite", version, &annotation], "").status.success()
            })
        };
        let asked = ["first", "second"].map(annotate);
        asked.map(|asked| asked.join().expect("it ends")).into_iter().filter(|made| *made).count()
    });
    assert!(made <= 1, "{made} of one version");
    rollout.history.until("the annotations to be removed", |seen| annotations(&seen.resource).is_empty());

    // A promotion and a rollback at once: whichever is first, the rollback wins.
    thread::scope(|scope| {
        scope.spawn(|| rollout.annotate("promote", "a test"));
        scope.spawn(|| replicas[1].proxy.post("/v1/release/rollback", &json!({ "reason": "a test" })));
    });
    rollout.until_state("rolledBack");
    for replica in &mut replicas {
        assert_eq!(replica.until_state("rolledBack")["weight"], 0.0);
        replica.calm();
    }
    let places = rollout.history.places();
    assert_eq!(places, [(1, 10.0), (1, 30.0), (1, 60.0), (1, 100.0)][..places.len()]);
    rollout.history.until("the annotations to be removed", |seen| annotations(&seen.resource).is_empty());
    assert_eq!(rollout.history.all().last().expect("it is there").resource["status"]["state"], "rolledBack");
}

/// The commands that nobody has carried out yet.
fn annotations(resource: &Value) -> Vec<&str> {
    let annotations = resource["metadata"]["annotations"].as_object();
    let all = annotations.into_iter().flat_map(|all| all.keys());
    all.filter_map(|key| key.strip_prefix("portcullis.dev/")).collect()
}

#[test]
fn kubectl_edit_begins_a_release_and_get_shows_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, by_hand());
    let mut replica = rollout.replica("a");
    // kubectl gives the file to an editor, which is one here that names a green.
    let mut edit = cluster.kubectl();
    edit.args(["--namespace", &rollout.namespace.name, "edit", "gro", NAME]);
    let change = format!(
        "/^  green:/,/version:/{{s/version: none/version: v2/;s/endpoints: \\[\\]/endpoints: [\"{}\"]/}}",
        rollout.green.address
    );
    let edited = edit.env("KUBE_EDITOR", format!("sed -i '{change}'")).output();
    let edited = edited.expect("kubectl is built");
    assert!(edited.status.success(), "{edited:?}");
    rollout.until("the approval to be asked for", |status| awaits_approval(status, 10.0));
    let shown = rollout.namespace.done(&["get", "gro", NAME], "");
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "STATE", "WEIGHT", "STEP", "BLUE", "GREEN", "VERDICT", "AGE"]);
    assert_eq!(lines[1][..6], [NAME, "paused", "10", "1", "v1", "v2"], "{shown}");
    replica.calm();
}
