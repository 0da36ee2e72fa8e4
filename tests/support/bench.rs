//! A release on the real proxy: two backends that answer as they are told, load on them, and a journal.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Backend, Listener, Load, Proxy, Response, config};

/// A gate that passes after a few good requests of green, and steps that take a moment.
pub const GATE: &str = "gate: { minimumRequests: 5, warmUp: { time: 0s, requests: 0 }, compare: { enabled: false }, \
                        triggers: [{ name: spike, metric: errorRate, above: 50%, window: 10s }, \
                        { name: alerts, metric: external }] }\n";

pub struct Bench {
    pub blue: Backend,
    pub green: Backend,
    pub text: String,
    pub data: TempDir,
    pub proxy: Proxy,
    pub events: Listener,
    pub load: Load,
}

impl Bench {
    /// With this plan, as the value of `release`.
    pub fn with_plan(plan: &str) -> Bench {
        Bench::with(&format!("release: {plan}\n{GATE}"))
    }

    pub fn with(rest: &str) -> Bench {
        let (blue, green) = (Backend::answering(200), Backend::answering(200));
        let text = config(&[blue.address], &[green.address], rest);
        let data = folder();
        let proxy = Proxy::start_in(data.path(), &text);
        let events = Listener::new(proxy.admin);
        let load = Load::start(proxy.listen, 2);
        Bench { blue, green, text, data, proxy, events, load }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.proxy.admin)
    }

    /// An operator's request that is granted, and the status that it is answered with.
    #[track_caller]
    pub fn operate(&self, operation: &str) -> Value {
        let response = self.post(operation);
        assert_eq!(response.status, 200, "{operation}: {}", response.text());
        serde_json::from_slice(&response.body).expect("a status")
    }

    /// An operator's request that is refused, and why.
    #[track_caller]
    pub fn conflict(&self, operation: &str) -> String {
        let response = self.post(operation);
        assert_eq!(response.status, 409, "{operation}: {}", response.text());
        let problem: Value = serde_json::from_slice(&response.body).expect("a problem document");
        problem["detail"].as_str().expect("a detail").to_owned()
    }

    fn post(&self, operation: &str) -> Response {
        let path = match operation {
            "start" => "/v1/release".to_owned(),
            other => format!("/v1/release/{other}"),
        };
        self.proxy.post(&path, &json!({ "reason": "a test" }))
    }

    /// Ends the process as a crash does, and starts it anew with this configuration and the same journal.
    pub fn crash_and_start(&mut self, text: &str) {
        self.proxy.crash();
        self.start_again(text);
    }

    fn start_again(&mut self, text: &str) {
        let data: &Path = self.data.path();
        self.proxy = Proxy::start_in(data, text);
        self.events = Listener::new(self.proxy.admin);
        self.load = Load::start(self.proxy.listen, 2);
    }

    #[track_caller]
    pub fn until_state(&self, state: &str) -> Value {
        self.proxy.until(|status| status["state"] == state)
    }

    /// No request that begins from here on may come to this backend.
    #[track_caller]
    pub fn assert_all_to(&self, all: &Backend, none: &Backend) {
        let (before, at_none) = (all.count(), none.count());
        for _ in 0..50 {
            assert_eq!(self.proxy.get("/").status, 200);
        }
        assert!(all.count() >= before + 50);
        assert!(none.count() <= at_none + IN_FLIGHT, "{} since", none.count() - at_none);
    }
}

/// Requests of the load that may have been under way.
const IN_FLIGHT: u64 = 2;

/// A folder of its own, in memory where that can be had: a disk that other work keeps busy may not answer for seconds.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made")
}
