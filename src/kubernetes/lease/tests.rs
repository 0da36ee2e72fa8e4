//! Elections in front of an API server that is a function.

use std::io;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::super::conditions;
use super::*;

/// What is asked of it, and how it is at the moment.
#[derive(Clone, Default)]
struct Server(std::sync::Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    version: u64,
    leases: BTreeMap<String, Value>,
    is: Is,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Is {
    #[default]
    There,
    Away,
    /// It takes so long for an answer.
    Slow(Duration),
    /// Somebody else is always quicker.
    Taken,
}

impl Server {
    fn replica(&self, name: &str, seconds: u64) -> Leases {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Leases {
            api: Api::namespaced(Client::new(service, "shop"), "shop"),
            rollout: "checkout".to_owned(),
            replica: name.to_owned(),
            authority: format!("{name}:9090"),
            hop: Hop::by(&conditions::tests::config()),
            lasts: Duration::from_secs(seconds),
        }
    }

    async fn is(&self, is: Is) {
        self.0.lock().await.is = is;
    }

    async fn lease(&self, name: &str) -> Option<Value> {
        self.0.lock().await.leases.get(name).cloned()
    }

    async fn answer(self, request: Request<Body>) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(io::Error::other)?;
        match self.0.lock().await.is {
            Is::Away => return Err(io::Error::other("nobody is there")),
            Is::Slow(time) => tokio::time::sleep(time).await,
            Is::There | Is::Taken => {}
        }
        let name = head.uri.path().split("/leases/").nth(1).map(str::to_owned);
        let (status, answer) = self.0.lock().await.carry_out(&head.method, name, head.uri.query(), &body);
        Ok(Response::builder().status(status).body(answer.to_string().into()).expect("an answer"))
    }
}

impl Known {
    fn carry_out(&mut self, method: &Method, name: Option<String>, query: Option<&str>, body: &[u8]) -> (u16, Value) {
        let failed = |code: u16| {
            let reason = if code == CONFLICT { "Conflict" } else { "NotFound" };
            (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "" }))
        };
        let mut said: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = name.or_else(|| said["metadata"]["name"].as_str().map(str::to_owned));
        match (method.as_str(), name) {
            ("GET", None) => {
                let wanted = |lease: &&Value| {
                    let label = lease["metadata"]["labels"][ROLLOUT].as_str().unwrap_or_default();
                    query.is_none_or(|query| {
                        !query.contains("labelSelector") || query.ends_with(label) && !label.is_empty()
                    })
                };
                let items: Vec<&Value> = self.leases.values().filter(wanted).collect();
                (200, json!({ "kind": "LeaseList", "apiVersion": "v1", "metadata": {}, "items": items }))
            }
            ("GET", Some(name)) => self.leases.get(&name).map_or_else(|| failed(404), |lease| (200, lease.clone())),
            ("DELETE", Some(name)) => self.leases.remove(&name).map_or_else(|| failed(404), |lease| (200, lease)),
            ("POST" | "PUT", Some(name)) => {
                let known = self.leases.get(&name).map(|lease| lease["metadata"]["resourceVersion"].clone());
                if self.is == Is::Taken || known.is_some_and(|known| known != said["metadata"]["resourceVersion"]) {
                    return failed(CONFLICT);
                }
                self.version += 1;
                said["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.leases.insert(name, said.clone());
                (200, said)
            }
            _ => failed(405),
        }
    }
}

fn other(holder: &str) -> Elected {
    Elected::Other { holder: Some(holder.to_owned()) }
}

fn leads(elected: &Elected) -> bool {
    matches!(elected, Elected::This { .. })
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_is_its_holders_and_one_that_is_not_is_taken_when_its_own_time_is_over() {
    let server = Server::default();
    let (a, b) = (server.replica("a", 15), server.replica("b", 3));
    let (mut of_a, mut of_b) = (Election::default(), Election::default());
    for _ in 0..20 {
        assert!(leads(&a.elect(&mut of_a).await));
        assert_eq!(b.elect(&mut of_b).await, other("a"));
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    // It has seen the last renewal two seconds ago.
    tokio::time::advance(Duration::from_millis(12_900)).await;
    assert_eq!(b.elect(&mut of_b).await, other("a"), "as long as a says, not as b would");
    tokio::time::advance(Duration::from_millis(200)).await;
    assert!(leads(&b.elect(&mut of_b).await));
    assert_eq!(a.elect(&mut of_a).await, other("b"));
    let lease = server.lease("checkout").await.expect("it was made");
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&json!("b"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn the_holder_relies_on_it_for_two_thirds_of_its_time_from_before_it_asked() {
    let server = Server::default();
    let a = server.replica("a", 15);
    let asked = Instant::now();
    server.is(Is::Slow(Duration::from_secs(2))).await;
    let elected = a.elect(&mut Election::default()).await;
    assert!(asked.elapsed() >= Duration::from_secs(4), "for a question and a write");
    assert_eq!(elected, Elected::This { until: asked + Duration::from_secs(10) });
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_not_answered_leads_until_it_can_rely_on_it_no_longer() {
    let server = Server::default();
    let (a, mut election) = (server.replica("a", 15), Election::default());
    let until = Instant::now() + Duration::from_secs(10);
    assert_eq!(a.elect(&mut election).await, Elected::This { until });
    server.is(Is::Away).await;
    tokio::time::advance(Duration::from_millis(9_900)).await;
    assert_eq!(a.elect(&mut election).await, Elected::This { until });
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(a.elect(&mut election).await, Elected::Other { holder: None });
}

#[tokio::test(start_paused = true)]
async fn whoever_was_quicker_leads_and_what_was_relied_on_before_is_over() {
    let server = Server::default();
    let (a, mut election) = (server.replica("a", 15), Election::default());
    assert!(leads(&a.elect(&mut election).await));
    server.is(Is::Taken).await;
    assert!(!leads(&a.elect(&mut election).await), "somebody else has written it");
    server.is(Is::Away).await;
    assert_eq!(a.elect(&mut election).await, Elected::Other { holder: None });
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_gives_the_lease_back_unless_it_is_anothers_and_takes_its_own_away() {
    let server = Server::default();
    let (a, b) = (server.replica("a", 15), server.replica("b", 15));
    a.show().await.expect("it is there");
    assert!(leads(&a.elect(&mut Election::default()).await));
    b.resign(true).await;
    let holder = async || server.lease("checkout").await.map(|lease| lease["spec"]["holderIdentity"].clone());
    assert_eq!(holder().await, Some(json!("a")), "b only thought that it leads");
    a.resign(false).await;
    assert_eq!((holder().await, server.lease("checkout-a").await), (Some(json!("a")), None));
    a.resign(true).await;
    assert_eq!(holder().await, Some(Value::Null));
    assert!(leads(&b.elect(&mut Election::default()).await), "nobody has to wait");
}

#[tokio::test(start_paused = true)]
async fn replicas_find_each_other_where_they_are_now_and_neither_themselves_nor_those_of_another_resource() {
    let server = Server::default();
    let (a, b) = (server.replica("a", 15), server.replica("b", 15));
    let elsewhere = Leases { rollout: "cart".to_owned(), ..server.replica("c", 15) };
    for replica in [&a, &b, &elsewhere] {
        replica.show().await.expect("it is there");
    }
    let peer = |name: &str, admin: &str| Peer { name: name.to_owned(), admin: admin.to_owned() };
    assert_eq!(a.others().await.expect("it is there"), [peer("b", "http://b:9090")]);
    // It started anew, at another port.
    let again = Leases { authority: "b:7070".to_owned(), ..b };
    again.show().await.expect("it is there");
    assert_eq!(a.others().await.expect("it is there"), [peer("b", "http://b:7070")]);
    let mut known = server.0.lock().await;
    known.leases.get_mut("checkout-b").expect("it is shown")["spec"]["renewTime"] =
        json!("2026-01-01T00:00:00.000000Z");
    drop(known);
    assert_eq!(a.others().await.expect("it is there"), [], "it has not been heard of for long");
}
