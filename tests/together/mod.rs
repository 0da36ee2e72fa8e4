//! Replicas that act as one (CHECKLIST rows 88 and 89): three of the real binary in front of an API server of the test's own.

mod actions;
mod forwarding;
mod relay;

use serde_json::{Value, json};

use crate::support::{ApiServer, Proxy, Upstream, eventually};
use relay::Relay;

const ROLLOUTS: &str = "/apis/portcullis.dev/v1alpha1/namespaces/shop/gatedrollouts";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases";
const NAME: &str = "checkout";

/// Short, so that another replica leads soon; the machine may be slow.
const LEASE: &str = "3s";

/// The replicas with their ways to the API server, which is the last to go.
struct Team {
    replicas: Vec<Option<Proxy>>,
    relays: Vec<Relay>,
    _endpoints: [Upstream; 2],
    server: ApiServer,
}

/// Answers every request with this status.
fn answering(status: u16, name: &'static str) -> Upstream {
    Upstream::scripted(move |connection| {
        while connection.request().is_some() {
            connection.send(format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
        }
    })
}

/// Half of the traffic for an hour.
fn half() -> Value {
    json!({ "steps": [{ "weight": "50%", "bake": "1h" }, { "weight": "100%", "bake": "1h" }] })
}

impl Team {
    /// Three replicas, whose green answers with this status.
    fn of_three(release: Value, green: u16) -> Team {
        Team::with(release, green, &json!({}), &[])
    }

    /// With these keys beside or instead of the usual ones, and these arguments.
    fn with(release: Value, green: u16, keys: &Value, arguments: &[&str]) -> Team {
        let server = ApiServer::start();
        let endpoints = [answering(200, "blue"), answering(green, "green")];
        let [blue, green] = [0, 1].map(|number| endpoints[number].address.to_string());
        let mut spec = json!({
            "listen": "127.0.0.1:0", "admin": { "listen": "127.0.0.1:0" }, "workers": 1, "shield": false,
            "blue": { "version": "v1", "endpoints": [blue] }, "green": { "version": "v2", "endpoints": [green] },
            "release": release,
            "gate": { "minimumRequests": 10, "triggers": [{ "name": "meltdown", "metric": "errorRate", "above": "10%" }] },
        });
        spec.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        server.put(
            ROLLOUTS,
            json!({
                "apiVersion": "portcullis.dev/v1alpha1", "kind": "GatedRollout",
                "metadata": { "name": NAME, "namespace": "shop" }, "spec": spec,
            }),
        );
        let relays: Vec<Relay> = (0..3).map(|_| Relay::to(server.address())).collect();
        let start = |(number, relay): (usize, &Relay)| {
            let name = format!("r{number}");
            let arguments = [&["--replica", &name, "--lease", LEASE], arguments].concat();
            Some(Proxy::start_by_kubeconfig(&relay.kubeconfig(), NAME, &arguments))
        };
        let replicas = relays.iter().enumerate().map(start).collect();
        Team { replicas, relays, _endpoints: endpoints, server }
    }

    fn replica(&self, number: usize) -> &Proxy {
        self.replicas[number].as_ref().expect("it was not killed")
    }

    fn living(&self) -> impl Iterator<Item = &Proxy> {
        self.replicas.iter().flatten()
    }

    fn until_all(&self, wanted: impl Fn(&Value) -> bool) {
        self.living().for_each(|replica| _ = replica.until(&wanted));
    }

    /// The number of the replica that the resource names as its leader.
    fn leader(&self) -> usize {
        let resource =
            self.server.until("one leads", ROLLOUTS, NAME, |resource| resource["status"]["leader"].is_string());
        number_of(&resource["status"]["leader"])
    }

    fn follower(&self) -> usize {
        (self.leader() + 1) % 3
    }

    /// What the resource's status has been, of each turn once.
    fn turns(&self) -> Vec<Value> {
        let mut turns: Vec<Value> = Vec::new();
        for resource in self.server.history(ROLLOUTS, NAME) {
            let status = &resource["status"];
            let is_news = turns.last().is_none_or(|last| last["turn"] != status["turn"]);
            if status["turn"].is_u64() && is_news {
                turns.push(status.clone());
            }
        }
        turns
    }
}

fn number_of(leader: &Value) -> usize {
    leader.as_str().and_then(|name| name.strip_prefix('r')?.parse().ok()).expect("one of the three")
}

fn serves(replica: &Proxy) -> String {
    replica.get("/").text()
}

fn is_half(status: &Value) -> bool {
    status["weight"] == 50.0
}

fn is_rolled_back(status: &Value) -> bool {
    status["state"] == "rolledBack" && status["weight"] == 0.0
}

#[test]
fn row_88_when_the_leader_dies_in_a_step_another_goes_on_and_no_step_is_skipped_or_taken_twice() {
    let step = |weight: &str, bake: &str| json!({ "weight": weight, "bake": bake });
    let steps = json!([step("10%", "1s"), step("20%", "1s"), step("40%", "1s"), step("60%", "1h"), step("100%", "1h")]);
    let mut team = Team::of_three(json!({ "steps": steps, "onLowTraffic": "pass" }), 200);
    let resource =
        team.server.until("the second step", ROLLOUTS, NAME, |resource| resource["status"]["weight"] == 20.0);
    let leader = number_of(&resource["status"]["leader"]);
    team.replicas[leader].take().expect("it lives").crash();
    team.until_all(|status| status["weight"] == 60.0);
    let mut weights: Vec<f64> = team.turns().iter().map(|turn| turn["weight"].as_f64().expect("a number")).collect();
    weights.dedup();
    assert_eq!(weights, [0.0, 10.0, 20.0, 40.0, 60.0]);
    let numbers: Vec<u64> = team.turns().iter().map(|turn| turn["turn"].as_u64().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_ne!(team.leader(), leader);
}

#[test]
fn row_88_a_leader_that_stood_still_while_another_led_rolls_back_with_the_rest() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let stopped = team.leader();
    team.replica(stopped).signal("STOP");
    let other = (stopped + 1) % 3;
    let rolled_back = team.replica(other).post("/v1/release/rollback", &json!({ "reason": "a test" }));
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    let leads_anew = |resource: &Value| {
        let lease = resource["spec"]["holderIdentity"].as_str().unwrap_or_default();
        !lease.is_empty() && lease != format!("r{stopped}")
    };
    team.server.until("another leads", LEASES, NAME, leads_anew);
    team.replica(stopped).signal("CONT");
    team.until_all(is_rolled_back);
    assert_eq!(serves(team.replica(stopped)), "blue");
    let latched = team.turns().iter().map(|turn| turn["latch"].is_object()).collect::<Vec<bool>>();
    assert!(latched.is_sorted(), "no latch was written over: {latched:?}");
}

#[test]
fn row_88_a_rollback_at_any_replica_is_that_of_all() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let follower = team.follower();
    let rolled_back = team.replica(follower).post("/v1/release/rollback", &json!({ "reason": "a test" }));
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    assert_eq!(serves(team.replica(follower)), "blue", "at home at once");
    team.until_all(is_rolled_back);
    let told = team.server.until("it is written", ROLLOUTS, NAME, |resource| resource["status"]["latch"].is_object());
    assert_eq!(told["status"]["latch"]["reason"], "rolled back by local: a test");
    // Whoever writes it is no leader by that.
    let leader = team.leader();
    assert_ne!(leader, follower);
    assert!(told["status"]["by"].as_str().is_some_and(|by| by.starts_with(&format!("r{follower}/"))), "{told:#}");
}

#[test]
fn row_89_a_replica_that_was_cut_off_while_the_others_rolled_back_serves_blue_once_it_is_back() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let cut = team.follower();
    team.relays[cut].cut();
    let other = (cut + 1) % 3;
    assert_eq!(team.replica(other).post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    for replica in (0..3).filter(|number| *number != cut) {
        team.replica(replica).until(is_rolled_back);
    }
    assert!(is_half(&team.replica(cut).status()), "it goes on with its last weight");
    team.relays[cut].mend();
    team.until_all(is_rolled_back);
    assert_eq!((0..20).map(|_| serves(team.replica(cut))).filter(|served| served == "blue").count(), 20);
}

/// Cut off from the API server alone: the leader still asks it what it counts, and may find the same.
#[test]
fn row_89_a_replica_that_is_cut_off_rolls_back_by_itself() {
    let team = Team::of_three(half(), 500);
    team.until_all(is_half);
    let cut = team.follower();
    team.relays[cut].cut();
    let alone = team.replica(cut);
    eventually("it rolls back by what it sees", || {
        serves(alone);
        is_rolled_back(&alone.status()).then_some(())
    });
    team.relays[cut].mend();
    team.until_all(is_rolled_back);
    let told = team.server.until("it is written", ROLLOUTS, NAME, |resource| resource["status"]["latch"].is_object());
    assert_eq!(told["status"]["latch"]["trigger"], "meltdown");
}

#[test]
fn row_89_what_was_rolled_back_at_a_replica_that_is_cut_off_is_for_all_when_it_is_back() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let cut = team.follower();
    team.relays[cut].cut();
    assert_eq!(team.replica(cut).post("/v1/release/rollback", &json!({ "reason": "a test" })).status, 200);
    assert_eq!(serves(team.replica(cut)), "blue");
    for replica in (0..3).filter(|number| *number != cut) {
        assert!(is_half(&team.replica(replica).status()), "they have heard nothing");
    }
    team.relays[cut].mend();
    team.until_all(is_rolled_back);
    let told = team.server.until("it is written", ROLLOUTS, NAME, |resource| resource["status"]["latch"].is_object());
    assert_eq!(told["status"]["latch"]["trigger"], "operator");
}

#[test]
fn row_89_a_replica_that_starts_reads_of_a_latch_before_green_gets_anything() {
    let mut team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let follower = team.follower();
    assert_eq!(team.replica(follower).post("/v1/release/rollback", &json!({})).status, 200);
    team.until_all(is_rolled_back);
    team.replicas[follower].take().expect("it lives").crash();
    let arguments = ["--replica", "again", "--lease", LEASE];
    let again = Proxy::start_by_kubeconfig(&team.relays[follower].kubeconfig(), NAME, &arguments);
    assert_eq!((0..20).map(|_| serves(&again)).filter(|served| served == "blue").count(), 20);
    again.until(is_rolled_back);
}

#[test]
fn row_87_what_is_annotated_is_carried_out_and_told_once_whoever_sees_it() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let events = || team.server.all("/apis/events.k8s.io/v1/namespaces/shop/events");
    let times = |reason: &str| events().iter().filter(|event| event["reason"] == reason).count();
    for percent in [40.0, 30.0, 20.0, 10.0] {
        let value = format!("{percent}");
        let annotation = json!({ "metadata": { "annotations": { "portcullis.dev/weight": value } } });
        team.server.patch(ROLLOUTS, NAME, &annotation);
        let told = team
            .server
            .until("it is carried out", ROLLOUTS, NAME, |resource| resource["status"]["command"]["value"] == value);
        assert!(told["status"]["command"]["refused"].is_null(), "{told:#}");
        team.until_all(|status| status["weight"] == percent);
    }
    team.server.patch(
        ROLLOUTS,
        NAME,
        &json!({ "metadata": { "annotations": { "portcullis.dev/rollback": "enough" } } }),
    );
    team.until_all(is_rolled_back);
    eventually("all is told", || (times("RolledBack") > 0).then_some(()));
    assert_eq!([times("Started"), times("WeightSet"), times("RolledBack")], [1, 4, 1]);
    assert_eq!([times("CommandRefused"), times("ReleaseNotStarted")], [0, 0]);
}

#[test]
fn a_change_at_a_follower_is_the_leaders_and_without_a_leader_nobody_takes_it() {
    let team = Team::of_three(half(), 200);
    team.until_all(is_half);
    let follower = team.replica(team.follower());
    let mut asked = 29.0;
    eventually("it knows where the leader is, and the leader who else is there", || {
        asked += 1.0;
        let changed = follower.call("PUT", "/v1/weight", &json!({ "weight": asked, "reason": "a test" }));
        let replicas = team.server.get(ROLLOUTS, NAME).map(|resource| resource["status"]["replicas"].clone());
        (changed.status == 200 && replicas == Some(json!(3))).then_some(())
    });
    team.until_all(|status| status["weight"] == asked);
    team.server.down();
    let refused = eventually("nobody leads", || {
        let answered = follower.call("PUT", "/v1/weight", &json!({ "weight": 60 }));
        (answered.status == 503).then(|| answered.text())
    });
    assert!(refused.contains("lead"), "{refused}");
    assert_eq!(follower.status()["weight"], asked);
    assert_eq!(follower.post("/v1/release/rollback", &json!({})).status, 200, "a rollback waits for nobody");
    assert!(is_rolled_back(&follower.status()));
    team.server.up();
    team.until_all(is_rolled_back);
}
