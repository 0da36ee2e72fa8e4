//! Replicas that cannot reach the API server, or do not run for a while.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::support::cluster::Cluster;
use super::super::support::{Backend, Load, eventually, eventually_within, number};
use super::cable::{Cable, Machine};
use super::relay::Relay;
use super::rollback::half;
use super::rollout::spec;
use super::{LEASE, Replica, Rollout};

/// For so long a replica is away: longer than a Lease. A minute by hand: `PORTCULLIS_APART=60`.
fn away() -> Duration {
    number("PORTCULLIS_APART").map_or(LEASE * 2, Duration::from_secs)
}

/// What `replica` gives to green from here on, of so many requests.
fn green_gets(rollout: &Rollout<'_>, replica: &Replica, requests: u64) -> u64 {
    green_gets_by(rollout, replica.proxy.listen, requests)
}

fn green_gets_by(rollout: &Rollout<'_>, listen: SocketAddr, requests: u64) -> u64 {
    let before = rollout.green.late();
    let load = Load::start(listen, 2);
    load.mark();
    load.until_late(requests);
    load.stop();
    rollout.green.late() - before
}

#[test]
fn row_87_an_api_server_that_is_away_moves_no_traffic_and_what_was_seen_meanwhile_holds_when_it_is_back() {
    let Some(cluster) = Cluster::own() else { return };
    let rollout = Rollout::with_plan(&cluster, half());
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));
    let step = rollout.until("the step", |status| status["weight"] == 50.0)["step"].clone();
    assert_eq!(step, 1);

    cluster.stop_api_server();
    let ends = Instant::now() + away();
    while Instant::now() < ends {
        for replica in &replicas {
            let status = replica.proxy.status();
            assert_eq!((&status["weight"], &status["step"]), (&json!(50.0), &step), "{}", replica.name);
        }
        replicas[0].load.as_ref().expect("under load").until_more(20);
    }
    assert!(green_gets(&rollout, &replicas[2], 200) > 0, "the last weight holds");

    // What one sees goes to the others when there is somebody to tell.
    rollout.green.answer_late(500);
    let bad = Load::start(replicas[1].proxy.listen, 2);
    bad.mark();
    replicas[1].until_state("rolledBack");
    rollout.green.answer(200);
    bad.stop();
    assert_eq!(green_gets(&rollout, &replicas[1], 200), 0, "it judges by itself");
    cluster.start_api_server();
    replicas.iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    for replica in &mut replicas {
        assert_eq!(green_gets(&rollout, replica, 200), 0, "{}", replica.name);
        replica.calm();
    }
    let status = rollout.namespace.json(&["get", "gro", super::NAME])["status"].clone();
    assert_eq!((&status["state"], &status["latch"]["epoch"]), (&json!("rolledBack"), &json!(1)), "{status:#}");
}

#[test]
fn row_87_a_plan_goes_on_after_the_api_server_was_away_and_after_watches_are_gone() {
    let Some(cluster) = Cluster::own() else { return };
    let step = |weight: &str| json!({ "weight": weight, "bake": "100ms", "approval": true });
    let rollout = Rollout::with_plan(&cluster, json!({ "steps": [step("10%"), step("30%")], "monitoring": "1h" }));
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    let asked = |status: &Value, weight: f64| status["state"] == "paused" && status["weight"] == weight;
    rollout.until("the approval to be asked for", |status| asked(status, 10.0));
    cluster.stop_api_server();
    cluster.start_api_server();
    // It remembers nothing from before its start: whoever goes on from there is told that it is gone (410).
    rollout.annotate("approve", "a test");
    replicas.iter().for_each(|replica| drop(replica.until_weight(30.0)));
    let status = || rollout.namespace.json(&["get", "gro", super::NAME])["status"].clone();
    eventually_within(LEASE * 10, "the approval to be asked for", || asked(&status(), 30.0).then_some(()));
    assert_eq!(status()["epoch"], 1);
    replicas.iter_mut().for_each(Replica::calm);
}

#[test]
fn row_89_a_replica_that_is_cut_off_judges_by_itself_and_is_on_blue_when_it_is_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, half());
    let relay = Relay::to(cluster.address());
    let mut replicas = vec![rollout.replica("a"), rollout.replica("b"), rollout.replica_by(&[], "c", relay.address)];
    rollout.release("v2");
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));

    relay.cut();
    rollout.annotate("rollback", "a test");
    replicas[..2].iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    thread::sleep(away());
    let status = replicas[2].proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("stepping"), &json!(50.0)), "nobody has told it");
    relay.mend();
    let mended = Instant::now();
    replicas[2].until_state("rolledBack");
    println!("cut off for {:?}: back on blue {:?} after it was mended", away(), mended.elapsed());
    for replica in &mut replicas {
        assert_eq!(green_gets(&rollout, replica, 200), 0, "{}", replica.name);
    }

    // The next one it convicts alone.
    rollout.release("v3");
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));
    relay.cut();
    rollout.green.answer_late(500);
    let bad = Load::start(replicas[2].proxy.listen, 2);
    bad.mark();
    replicas[2].until_state("rolledBack");
    bad.stop();
    rollout.green.answer(200);
    assert_eq!(green_gets(&rollout, &replicas[2], 200), 0, "it judges by itself");
    assert_eq!(replicas[0].proxy.status()["weight"], 50.0, "nobody has told the others");
    relay.mend();
    replicas.iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    rollout.until("the latch", |status| status["latch"]["epoch"] == 2);
    replicas.iter_mut().for_each(Replica::calm);
}

#[test]
fn row_89_a_replica_whose_cable_to_the_api_server_is_cut_is_on_blue_when_it_is_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let Some(machine) = Machine::new() else {
        println!("skipped: a replica in a network of its own (no network namespace is to be had)");
        return;
    };
    let relay = Relay::at(machine.outside(Cable::Server), cluster.address());
    let [blue, green] = [200; 2].map(|status| Backend::at((machine.outside(Cable::Traffic), 0).into(), status));
    let endpoints = json!({ "version": "v1", "endpoints": [blue.address] });
    let mut spec = spec(endpoints, json!({ "version": "none", "endpoints": [] }), half());
    // Whose address differs from machine to machine.
    spec["listen"] = "0.0.0.0:0".into();
    let rollout = Rollout::between(cluster, "standalone", blue, green, spec);
    let other = rollout.replica("a");
    let alone = rollout.replica_without_load_by(&machine.program(), "b", relay.address);
    let listen = SocketAddr::new(machine.inside(Cable::Traffic), alone.proxy.listen.port());
    let until_on_green = |on_green: bool| {
        eventually("requests to green, or none", || {
            ((green_gets_by(&rollout, listen, 50) > 0) == on_green).then_some(())
        });
    };
    rollout.release("v2");
    other.until_weight(50.0);
    until_on_green(true);

    machine.cut(Cable::Server);
    rollout.annotate("rollback", "a test");
    other.until_state("rolledBack");
    thread::sleep(away());
    assert!(green_gets_by(&rollout, listen, 100) > 0, "nobody has told it");
    machine.mend(Cable::Server);
    let mended = Instant::now();
    until_on_green(false);
    println!("a cable cut for {:?}: back on blue {:?} after it was mended", away(), mended.elapsed());
    assert_eq!(green_gets_by(&rollout, listen, 200), 0);

    rollout.release("v3");
    other.until_weight(50.0);
    until_on_green(true);
    machine.cut(Cable::Server);
    rollout.green.answer(500);
    until_on_green(false);
    machine.mend(Cable::Server);
    other.until_state("rolledBack");
}

#[test]
fn row_89_a_cut_off_leader_takes_no_step_and_another_one_goes_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let step = |weight: &str| json!({ "weight": weight, "bake": "100ms", "approval": true });
    let rollout = Rollout::with_plan(cluster, json!({ "steps": [step("10%"), step("30%")], "monitoring": "1h" }));
    let relay = Relay::to(cluster.address());
    let mut replicas = vec![rollout.replica_by(&[], "a", relay.address)];
    rollout.until("the first to lead", |status| status["leader"] == "a");
    replicas.extend(["b", "c"].map(|name| rollout.replica(name)));
    rollout.release("v2");
    rollout.until("the approval to be asked for", |status| status["state"] == "paused" && status["weight"] == 10.0);
    relay.cut();
    rollout.annotate("approve", "a test");
    rollout.until("another leader's step", |status| status["weight"] == 30.0 && status["leader"] != "a");
    let old = replicas[0].proxy.status();
    assert_eq!((&old["weight"], &old["step"]), (&json!(10.0), &json!(1)), "{old:#}");
    // What it is asked for itself it does not do either.
    let answer = replicas[0].proxy.post("/v1/release/approve", &json!({ "reason": "a test" }));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(replicas[0].proxy.status()["weight"], 10.0);
    relay.mend();
    replicas[0].until_weight(30.0);
    assert_eq!(rollout.history.places(), [(1, 10.0), (1, 30.0)]);
    replicas.iter_mut().for_each(Replica::calm);
}

#[test]
fn row_89_a_replica_that_was_stopped_is_on_blue_soon_after_it_goes_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let rollout = Rollout::with_plan(cluster, half());
    let mut replicas = rollout.replicas();
    rollout.release("v2");
    replicas.iter().for_each(|replica| drop(replica.until_weight(50.0)));
    let leader = rollout.until("the step", |status| status["weight"] == 50.0)["leader"].clone();
    // The leader, which believes that it leads when it goes on.
    replicas.sort_by_key(|replica| leader == replica.name);
    replicas[2].calm();
    replicas[2].proxy.signal("STOP");
    rollout.annotate("rollback", "a test");
    replicas[..2].iter().for_each(|replica| drop(replica.until_state("rolledBack")));
    thread::sleep(away());
    // What is sent to it waits in its sockets.
    replicas[2].load = Some(Load::start(replicas[2].proxy.listen, 8));
    let before = rollout.green.count();
    let goes_on = Instant::now();
    replicas[2].proxy.signal("CONT");
    replicas[2].until_state("rolledBack");
    let took = goes_on.elapsed();
    println!(
        "stopped for {:?}: back on blue within {took:?}, {} requests to green",
        away(),
        rollout.green.count() - before
    );
    assert_eq!(green_gets(&rollout, &replicas[2], 200), 0);
    replicas.iter_mut().for_each(Replica::calm);
    assert!(
        rollout
            .history
            .all()
            .iter()
            .all(|seen| seen.resource["status"]["latch"].is_null() || seen.resource["status"]["state"] == "rolledBack")
    );
}
