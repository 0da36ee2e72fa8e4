//! Replicas that tell each other what they count: real proxies in this process, each with the thread that asks the others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use portcullis::admin::Hop;
use portcullis::config::{self, Config, Environment, Secret};
use portcullis::control::command::{Again, Candidate, Change, NewRelease};
use portcullis::control::event::Event;
use portcullis::control::status::Status;
use portcullis::control::together::Place;
use portcullis::kubernetes::peers::{self, Among, Asking, Peer};
use portcullis::release::{Acknowledged, Input, Kind, Terms, Weight};
use portcullis::running::{self, Origin, Running};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, watch};

use crate::support::{Authority, Client, Signed, Upstream, config as text, eventually};

struct Replica {
    running: Option<Running>,
    among: Option<watch::Sender<Among>>,
    events: broadcast::Receiver<Event>,
    asks: Option<JoinHandle<()>>,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn parsed(text: &str, folder: &Path) -> Config {
    config::parse(text, "test", folder, &Environment::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

impl Replica {
    fn start(config: &Config, token: Option<Secret>) -> Replica {
        let running = running::start(config, None, Origin::Configuration).expect("free ports");
        let (among, followed) = watch::channel(Among { place: Place::Follows, others: Arc::default() });
        let link = running.replicas.clone();
        let asking = Asking { hop: Hop::of(&running.reloading), token };
        let asks = std::thread::spawn(move || runtime().block_on(peers::follow(followed, asking, link)));
        let events = running.events.listen();
        Replica { running: Some(running), among: Some(among), events, asks: Some(asks) }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn peer(&self, name: &str) -> Peer {
        Peer { name: name.to_owned(), admin: format!("http://{}", self.running().admin) }
    }

    fn is(&self, place: Place, others: &[Peer]) {
        self.among.as_ref().expect("it runs").send_replace(Among { place, others: others.into() });
    }

    fn set_weight(&self, percent: f64) {
        let weight = Weight::from_percent(percent).expect("in range");
        self.change(Change::Operator(Input::SetWeight { weight, actor: "alice".to_owned(), reason: String::new() }));
    }

    #[track_caller]
    fn change(&self, change: Change) {
        runtime().block_on(self.running().commands.send(change)).expect("nothing speaks against it");
    }

    fn status(&self) -> Arc<Status> {
        self.running().status.borrow().clone()
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut wanted: impl FnMut(&Status) -> Option<T>) -> T {
        eventually(what, || wanted(&self.status()))
    }

    /// The next event of this kind.
    #[track_caller]
    fn until_told(&mut self, kind: Kind) -> Event {
        eventually("an event", || self.events.try_recv().ok().filter(|event| event.kind == kind))
    }

    fn ask(&self, target: &str) -> (u16, Value) {
        let admin = self.running().admin;
        let response =
            Client::connect(admin).send(format!("GET {target} HTTP/1.1\r\nHost: {admin}\r\n\r\n")).response();
        (response.status, serde_json::from_slice(&response.body).expect("JSON"))
    }

    fn send(&self, requests: usize) {
        let mut client = Client::connect(self.running().listen);
        for _ in 0..requests {
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").response();
        }
    }

    /// The process ends.
    fn end(&mut self) {
        drop(self.among.take());
        if let Some(running) = self.running.take() {
            runtime().block_on(running.drain());
        }
        if let Some(asks) = self.asks.take() {
            asks.join().expect("it has not panicked");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

fn in_front(blue: SocketAddr, green: SocketAddr, rest: &str) -> Config {
    parsed(&text(&[blue], &[green], rest), Path::new(""))
}

fn fleet<const MANY: usize>(config: &Config, percent: f64) -> [Replica; MANY] {
    let replicas: [Replica; MANY] = std::array::from_fn(|_| Replica::start(config, None));
    lead(&replicas, percent);
    replicas
}

/// The first leads, and all have green at the same weight.
fn lead(replicas: &[Replica], percent: f64) {
    replicas.iter().for_each(|replica| replica.set_weight(percent));
    let others: Vec<Peer> =
        replicas.iter().enumerate().skip(1).map(|(number, replica)| replica.peer(&format!("proxy-{number}"))).collect();
    for (number, replica) in replicas.iter().enumerate() {
        replica.is(if number == 0 { Place::Leads } else { Place::Follows }, &others);
    }
    replicas[0].until("the others are counted", |status| {
        let counted = status.replicas.iter().filter(|other| other.counted).count();
        (counted + 1 == replicas.len()).then_some(())
    });
}

#[test]
fn the_leader_counts_every_request_of_every_replica_once() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let [leader, one, other] = fleet(&in_front(blue.address, green.address, ""), 50.0);
    leader.send(20);
    one.send(30);
    other.send(40);
    leader.until("all are counted", |status| (all(status) >= 90).then_some(()));
    let status = leader.status();
    assert_eq!(all(&status), 90);
    assert_eq!(status.green.counted.requests, green.count() as u64);
    assert!(status.green.counted.p99.is_some() && status.blue.counted.p50.is_some());
    let (code, evidence) = leader.ask("/v1/evidence");
    let green_of = |window: &Value| window["green"]["requests"].as_u64();
    assert_eq!(
        (code, evidence["windows"].as_array().and_then(|all| green_of(&all[0]))),
        (200, Some(green.count() as u64))
    );
    one.until("its own", |status| (all(status) == 30).then_some(()));
    assert!(one.status().replicas.is_empty(), "who follows adds nobody up");
}

#[test]
fn the_leader_convicts_green_of_what_others_alone_have_seen() {
    let green = Upstream::answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let blue = Upstream::ok();
    let compares = |enabled: bool| {
        let rest = format!(
            "gate: {{ compare: {{ enabled: {enabled} }}, triggers: [{{ name: slow, metric: latency, quantile: 0.99, above: 20s }}] }}"
        );
        in_front(blue.address, green.address, &rest)
    };
    // Whatever the followers see, they convict nobody.
    let replicas = [compares(true), compares(false), compares(false)].map(|config| Replica::start(&config, None));
    lead(&replicas, 10.0);
    let [mut leader, one, other] = replicas;
    eventually("the leader's conviction", || {
        one.send(5);
        other.send(5);
        (leader.status().state == "rolledBack").then_some(())
    });
    let told = leader.until_told(Kind::RolledBack);
    assert_eq!(
        leader.status().rollback.as_ref().map(|rollback| rollback.trigger.as_str()),
        Some("comparison"),
        "{told:?}"
    );
    assert!([&one, &other].iter().all(|follower| follower.status().state != "rolledBack"));
}

#[test]
fn a_replica_that_does_not_answer_is_left_out_and_told_and_counted_again_when_it_does() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let config = in_front(blue.address, green.address, "");
    let [mut leader, mut one] = fleet(&config, 50.0);
    let admin = one.running().admin;
    one.end();
    let told = leader.until_told(Kind::ReplicaLeftOut);
    assert!(told.sentence.starts_with("what replica proxy-1 counts is left out"), "{}", told.sentence);
    let status = leader.status();
    assert!(!status.replicas[0].counted && status.replicas[0].why.is_some(), "{:?}", status.replicas);
    // Another process at the same address, whose numbers begin anew.
    let config = Config { admin: config::Admin { listen: admin, ..config.admin.clone() }, ..config };
    let again = Replica::start(&config, None);
    again.set_weight(50.0);
    again.is(Place::Follows, &[]);
    leader.until("it is counted again", |status| status.replicas[0].counted.then_some(()));
    again.send(10);
    leader.until("what it counts", |status| (all(status) == 10).then_some(()));
}

#[test]
fn what_was_counted_in_another_epoch_is_dropped_and_told() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let [leader, one] = fleet(&in_front(blue.address, green.address, ""), 50.0);
    let withdraw = Input::Withdraw { actor: "alice".to_owned(), reason: String::new(), acknowledged: Acknowledged::No };
    leader.change(Change::Operator(withdraw));
    let endpoint = config::endpoint(&green.address.to_string()).expect("an address");
    let again = NewRelease {
        green: Some(Candidate { version: "v3".to_owned(), endpoints: vec![endpoint], again: Again::No }),
        terms: Terms::default(),
        actor: "alice".to_owned(),
        reason: String::new(),
    };
    leader.change(Change::Release(again));
    assert_ne!(leader.status().epoch, one.status().epoch);
    one.send(10);
    one.until("its own", |status| (all(status) == 10).then_some(()));
    leader.until("they are dropped", |status| (status.replicas[0].dropped > 10).then_some(()));
    assert_eq!(all(&leader.status()), 0);
}

#[test]
fn replicas_are_asked_with_a_token_and_a_proxy_that_is_alone_tells_nothing() {
    let (blue, green) = (Upstream::ok(), Upstream::ok());
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it is written");
    write("secret", "let-me-look");
    write("tokens.yaml", "tokens:\n- { name: replicas, role: viewer, token: \"file:secret\" }\n");
    let rest = "admin: { listen: \"127.0.0.1:0\", tokens: tokens.yaml }";
    let text = text(&[blue.address], &[green.address], rest).replace("admin: { listen: 127.0.0.1:0 }\n", "");
    let config = parsed(&text, folder.path());
    let token = || config::secret(&format!("file:{}", folder.path().join("secret").display())).expect("it is there");
    let told = Replica::start(&config, Some(token()));
    let mut leader = Replica::start(&config, None);
    told.is(Place::Follows, &[leader.peer("leader")]);
    leader.is(Place::Leads, &[told.peer("told")]);
    let sentence = leader.until_told(Kind::ReplicaLeftOut).sentence;
    assert!(sentence.ends_with("it answered 401 Unauthorized: a bearer token is needed"), "{sentence}");

    let leader = Replica::start(&config, Some(token()));
    leader.is(Place::Leads, &[told.peer("told")]);
    leader.until("it is counted", |status| status.replicas.first().filter(|other| other.counted).map(drop));

    let alone = running::start(&in_front(blue.address, green.address, ""), None, Origin::Configuration).expect("ports");
    let request = format!("GET /v1/replica/evidence HTTP/1.1\r\nHost: {}\r\n\r\n", alone.admin);
    let response = Client::connect(alone.admin).send(request).response();
    assert_eq!(response.status, 409, "{}", response.text());
    runtime().block_on(alone.drain());
}

#[test]
fn replicas_whose_admin_api_is_over_tls_are_known_by_their_certificates_and_others_are_shown_nothing() {
    let (blue, green, folder) = (Upstream::ok(), Upstream::ok(), tempfile::tempdir().expect("a folder"));
    let (ours, theirs) = (Authority::new(), Authority::new());
    std::fs::write(folder.path().join("ca.pem"), &ours.pem).expect("it is written");
    let of = |name: &str, signed: &Signed| {
        let pair = signed.write(folder.path(), name);
        let admin = format!("admin: {{ listen: 127.0.0.1:0, tls: {{ certificates: [{pair}], clientCa: ca.pem }} }}");
        let text = text(&[blue.address], &[green.address], "");
        Replica::start(&parsed(&text.replace("admin: { listen: 127.0.0.1:0 }", &admin), folder.path()), None)
    };
    // For no address: none of them is known by that.
    let shown = ours.sign(&["proxy.shop"]);
    let leader = of("leader", &shown);
    let known = [("same", shown), ("renewed", ours.sign(&["proxy.shop"]))];
    let unknown = [("other-name", ours.sign(&["blue.shop"])), ("other-authority", theirs.sign(&["proxy.shop"]))];
    let bare = Replica::start(&in_front(blue.address, green.address, ""), None);
    let secured: Vec<(&str, Replica)> =
        known.iter().chain(&unknown).map(|(name, signed)| (*name, of(name, signed))).collect();
    let at = |(name, replica): &(&str, Replica)| {
        let admin = format!("https://{}", replica.running().admin);
        Peer { name: (*name).to_owned(), admin }
    };
    let mut others: Vec<Peer> = secured.iter().map(at).collect();
    others.push(bare.peer("bare"));
    secured.iter().for_each(|(_, replica)| replica.is(Place::Follows, &[leader.peer("leader")]));
    bare.is(Place::Follows, &[leader.peer("leader")]);
    leader.is(Place::Leads, &others);
    let replicas = leader.until("each is counted or left out", |status| {
        (status.replicas.len() == others.len()).then(|| status.replicas.clone())
    });
    for replica in replicas {
        let why = replica.why.unwrap_or_default();
        match replica.replica.as_str() {
            "same" | "renewed" => assert!(replica.counted, "{}: {why}", replica.replica),
            "bare" => assert!(why.contains("is without TLS, which this one's admin API has"), "{why}"),
            name => assert!(!replica.counted && why.contains("certificate"), "{name}: {why}"),
        }
    }
}

fn all(status: &Status) -> u64 {
    status.blue.counted.requests + status.green.counted.requests
}
