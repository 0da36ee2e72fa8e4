//! What is done about a rollback by replicas that cannot reach the API server.

use serde_json::{Value, json};

use super::super::actions::Recorder;
use super::super::support::cluster::Cluster;
use super::super::support::{Backend, Request};
use super::relay::Relay;
use super::rollback::half;
use super::rollout::spec;
use super::{Replica, Rollout};

#[test]
fn row_89_a_replica_that_is_cut_off_tells_people_of_its_rollback_and_changes_nothing_before_it_is_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let recorder = Recorder::new();
    let [blue, green] = [(); 2].map(|()| Backend::answering(200));
    let endpoints = json!({ "version": "v1", "endpoints": [blue.address] });
    let mut spec = spec(endpoints, json!({ "version": "none", "endpoints": [] }), half());
    let to = |path: &str| format!("{}{path}", recorder.url());
    spec["runbook"] = json!({
        "allow": ["127.0.0.1"],
        "rolledBack": [
            { "name": "tell", "webhook": { "url": to("/tell") } },
            { "name": "flag", "http": { "url": to("/flag"), "body": "{{ reason }}" } },
        ],
    });
    let rollout = Rollout::between(cluster, "standalone", blue, green, spec);
    let relay = Relay::to(cluster.address());
    let mut replicas = [rollout.replica("a"), rollout.replica("b"), rollout.replica_by(&[], "c", relay.address)];
    rollout.release("v2");
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));

    relay.cut();
    let rolled_back = replicas[2].proxy.post("/v1/release/rollback", &json!({ "reason": "a test" }));
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    let told = recorder.until(1);
    assert_eq!(told[0].target, "/tell");
    assert_eq!(replicas[0].proxy.status()["weight"], 50.0, "nobody has told the others");

    relay.mend();
    replicas.iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    rollout.until("all actions to end", |status: &Value| status["actions"]["left"] == json!([]));
    let all = recorder.until(2);
    let [tell, flag] = ["/tell", "/flag"].map(|target| bodies(&all, target));
    assert_eq!((tell.len(), flag.len()), (1, 1));
    assert!(tell[0].contains("the others may go on"), "{tell:?}");
    assert_eq!(flag[0], "rolled back by local: a test", "what the others still need is as it was");
    replicas.iter_mut().for_each(Replica::calm);
}

fn bodies(requests: &[Request], target: &str) -> Vec<String> {
    let of = requests.iter().filter(|request| request.target == target);
    of.map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}
