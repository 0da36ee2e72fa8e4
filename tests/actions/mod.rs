//! What is done about releases outside of the proxy, against a server that records what comes.

mod cluster;
mod configuration;
mod crash;
mod kinds;
mod outbox;
mod reach;
mod secrets;
mod telling;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Proxy, Request, Upstream, config};

pub const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
pub const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\noops!";

/// Takes every message, once it has given the answers that it was told.
pub struct Recorder {
    upstream: Upstream,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder::answering(&[])
    }

    pub fn answering(answers: &[&str]) -> Recorder {
        let answers: VecDeque<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let answers = Arc::new(Mutex::new(answers));
        Recorder::of(Upstream::scripted(move |connection| {
            while connection.request().is_some() {
                let answer = answers.lock().expect("no panic with it").pop_front();
                connection.send(answer.as_deref().unwrap_or(DONE));
            }
        }))
    }

    pub fn of(upstream: Upstream) -> Recorder {
        Recorder { upstream }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.upstream.address)
    }

    /// Waits for so many messages, and returns all that have come.
    #[track_caller]
    pub fn until(&self, count: usize) -> Vec<Request> {
        self.upstream.until("the messages", |seen| {
            let requests: Vec<Request> = seen.iter().flat_map(|seen| seen.requests.clone()).collect();
            (requests.len() >= count).then_some(requests)
        })
    }

    pub fn count(&self) -> usize {
        self.upstream.count()
    }
}

/// A proxy's configuration with a runbook that may speak to loopback.
pub fn with_runbook(blue: &Upstream, runbook: &str) -> String {
    let runbook = format!("runbook:\n  allow: [127.0.0.1]\n{runbook}");
    config(&[blue.address], &[blue.address], &runbook)
}

/// One value of a message's head.
pub fn header(request: &Request, name: &str) -> Option<String> {
    let mut fields = request.head.fields.iter();
    let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

pub fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// Starts a release and rolls it back.
#[track_caller]
pub fn roll_back(proxy: &Proxy) {
    start(proxy);
    let answer = proxy.post("/v1/release/rollback", &json!({ "reason": "checkout fails" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
pub fn start(proxy: &Proxy) {
    let answer = proxy.post("/v1/release", &json!({ "reason": "a test" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The actions of the newest release, from the journal.
#[track_caller]
pub fn recorded(proxy: &Proxy) -> Vec<Value> {
    let releases: Value = serde_json::from_slice(&proxy.call("GET", "/v1/releases", &Value::Null).body).expect("JSON");
    let id = releases[0]["id"].as_str().expect("a release").to_owned();
    let document = proxy.call("GET", &format!("/v1/releases/{id}"), &Value::Null).body;
    let document: Value = serde_json::from_slice(&document).expect("JSON");
    document["actions"].as_array().expect("actions").clone()
}

/// Waits until the newest release has so many actions that have ended, and returns all of them.
#[track_caller]
pub fn until_ended(proxy: &Proxy, count: usize) -> Vec<Value> {
    crate::support::eventually("the ends of the actions", || {
        let actions = recorded(proxy);
        let ended = actions.iter().filter(|action| action["result"] != "pending").count();
        (ended >= count).then_some(actions)
    })
}
