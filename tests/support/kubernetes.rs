//! An API server over loopback: objects by their path, with versions, conflicts and watches, as far as a client of it can see.
//! What a real one makes of schemas, rights and defaults is not in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::message::Request;
use super::{Connection, DEADLINE, Upstream, folder};

/// Serves until it is dropped.
pub struct ApiServer {
    upstream: Upstream,
    state: Arc<State>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    /// The version of the last change.
    version: u64,
    /// Changes up to this version are forgotten: a watch from before gets 410.
    forgotten: u64,
    /// By collection, then by name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    changes: Vec<Change>,
    is_down: bool,
    /// Rises when every watch is to end.
    watches: u64,
    /// So many of the next writes are answered with 409.
    conflicts: usize,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Change {
    version: u64,
    collection: String,
    kind: &'static str,
    object: Value,
}

/// What a target names.
struct Target {
    collection: String,
    name: Option<String>,
    is_status: bool,
    query: BTreeMap<String, String>,
}

impl ApiServer {
    pub fn start() -> ApiServer {
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        let upstream = Upstream::scripted(move |connection| {
            while !serving.known().is_down
                && let Some(request) = connection.request()
                && !serving.known().is_down
            {
                serving.answer(connection, &request);
            }
        });
        let folder = folder();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{}", upstream.address) } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "shop" } }],
        });
        let server = ApiServer { upstream, state, folder };
        std::fs::write(server.kubeconfig(), text.to_string()).expect("a folder can be written");
        server
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Makes or replaces an object; its status stays where it is not said.
    pub fn put(&self, collection: &str, object: Value) {
        let mut known = self.state.known();
        let name = object["metadata"]["name"].as_str().expect("an object has a name").to_owned();
        let before = known.objects.get(collection).and_then(|all| all.get(&name)).cloned();
        let mut object = object;
        if let (Some(before), None) = (&before, object.get("status")) {
            object["status"] = before["status"].clone();
        }
        known.write(collection, &name, before, object);
        self.state.changed.notify_all();
    }

    /// Merges a patch into an object, as `kubectl patch` does.
    pub fn patch(&self, collection: &str, name: &str, patch: &Value) {
        let mut known = self.state.known();
        let before = known.objects[collection][name].clone();
        let mut object = before.clone();
        merge(&mut object, patch);
        known.write(collection, name, Some(before), object);
        self.state.changed.notify_all();
    }

    pub fn delete(&self, collection: &str, name: &str) {
        self.state.known().delete(collection, name);
        self.state.changed.notify_all();
    }

    pub fn get(&self, collection: &str, name: &str) -> Option<Value> {
        self.state.known().objects.get(collection)?.get(name).cloned()
    }

    pub fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    /// What an object has been, in every version that is not forgotten.
    pub fn history(&self, collection: &str, name: &str) -> Vec<Value> {
        let known = self.state.known();
        let is_of = |change: &&Change| change.collection == collection && change.object["metadata"]["name"] == name;
        known.changes.iter().filter(is_of).map(|change| change.object.clone()).collect()
    }

    pub fn all(&self, collection: &str) -> Vec<Value> {
        self.state.known().objects.get(collection).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Waits for an object as `wanted`.
    #[track_caller]
    pub fn until(&self, what: &str, collection: &str, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        let mut known = self.state.known();
        loop {
            let object = known.objects.get(collection).and_then(|all| all.get(name));
            if let Some(object) = object.filter(|object| wanted(object)) {
                return object.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {} s: {what}: {object:#?}", DEADLINE.as_secs());
            known = self.state.changed.wait_timeout(known, left).expect("no test panics with the lock held").0;
        }
    }

    /// Waits until the objects of a collection are as `wanted`.
    #[track_caller]
    pub fn until_there(&self, what: &str, collection: &str, wanted: impl Fn(&[Value]) -> bool) {
        super::eventually(what, || wanted(&self.all(collection)).then_some(()));
    }

    /// From here on every connection ends, until [`ApiServer::up`].
    pub fn down(&self) {
        self.state.known().is_down = true;
        self.state.changed.notify_all();
        self.upstream.end_all();
    }

    pub fn up(&self) {
        self.state.known().is_down = false;
    }

    /// Ends every watch; they may go on from where they were.
    pub fn end_watches(&self) {
        self.state.known().watches += 1;
        self.state.changed.notify_all();
    }

    /// Forgets every change so far, as a compaction does, and ends every watch: who goes on gets 410 and has to list anew.
    pub fn forget(&self) {
        let mut known = self.state.known();
        known.version += 1;
        known.forgotten = known.version;
        known.changes.clear();
        known.watches += 1;
        self.state.changed.notify_all();
    }

    /// Answers so many of the next writes with 409.
    pub fn conflict(&self, writes: usize) {
        self.state.known().conflicts = writes;
    }

    /// `METHOD TARGET` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.known().requests.clone()
    }

    #[track_caller]
    pub fn until_requested(&self, what: &str, mut wanted: impl FnMut(&[String]) -> bool) {
        super::eventually(what, || wanted(&self.state.known().requests).then_some(()));
    }
}

impl State {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no test panics with the lock held")
    }

    fn answer(&self, connection: &mut Connection, request: &Request) {
        self.known().requests.push(format!("{} {}", request.method, request.target));
        let target = Target::of(&request.target);
        let is_watch = target.query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        if request.method == "GET" && is_watch {
            self.watch(connection, &target);
            return;
        }
        let (status, body) = self.known().carry_out(request, &target);
        self.changed.notify_all();
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.send(head + &body);
    }

    fn watch(&self, connection: &mut Connection, target: &Target) {
        let from =
            target.query.get("resourceVersion").and_then(|version| version.parse::<u64>().ok()).unwrap_or_default();
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut send = |kind: &str, object: &Value| {
            let line = format!("{}\n", json!({ "type": kind, "object": object }));
            connection.offer(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
        };
        let seconds = target.query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut told = from;
        let mut known = self.known();
        let watches = known.watches;
        let mut is_taken = true;
        while is_taken && !known.is_down && known.watches == watches && Instant::now() < deadline {
            if told < known.forgotten {
                send("ERROR", &problem(410, "Expired", "too old resource version"));
                break;
            }
            let news: Vec<Change> = known.changes.iter().filter(|change| change.version > told).cloned().collect();
            told = known.version;
            if news.is_empty() {
                let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
                known = self.changed.wait_timeout(known, left).expect("no test panics with the lock held").0;
                continue;
            }
            drop(known);
            for Change { kind, object, .. } in news.iter().filter(|change| target.selects(change)) {
                is_taken = is_taken && send(kind, object);
            }
            known = self.known();
        }
        let is_down = known.is_down;
        drop(known);
        if is_down {
            connection.close();
        } else {
            connection.send("0\r\n\r\n");
        }
    }
}

impl Known {
    fn carry_out(&mut self, request: &Request, target: &Target) -> (u16, Value) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let collection = target.collection.as_str();
        let Some(name) = &target.name else {
            return match request.method.as_str() {
                "GET" => (200, self.list(target)),
                "POST" => {
                    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    if self.objects.get(collection).is_some_and(|all| all.contains_key(&name)) {
                        return (409, problem(409, "AlreadyExists", &format!("{name} already exists")));
                    }
                    (201, self.write(collection, &name, None, body))
                }
                _ => (405, problem(405, "MethodNotAllowed", "no such method")),
            };
        };
        let Some(before) = self.objects.get(collection).and_then(|all| all.get(name)).cloned() else {
            return (404, problem(404, "NotFound", &format!("{name} not found")));
        };
        let is_write = matches!(request.method.as_str(), "PUT" | "PATCH");
        let expected = body["metadata"]["resourceVersion"].as_str();
        let is_stale =
            expected.is_some_and(|expected| Some(expected) != before["metadata"]["resourceVersion"].as_str());
        if is_write && (is_stale || self.conflicts > 0) {
            self.conflicts = self.conflicts.saturating_sub(1);
            return (409, problem(409, "Conflict", "the object has been modified"));
        }
        let mut object = before.clone();
        match request.method.as_str() {
            "GET" => return (200, before),
            "DELETE" => return (200, self.delete(collection, name).unwrap_or_default()),
            "PUT" => object = body,
            "PATCH" => merge(&mut object, &body),
            _ => return (405, problem(405, "MethodNotAllowed", "no such method")),
        }
        // Each of the two changes its own part, where there are two.
        let has_status = collection.ends_with("/gatedrollouts") || collection.ends_with("/deployments");
        if has_status && target.is_status {
            object = Value::Object(
                before.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
            )
            .with("status", object["status"].clone());
        } else if has_status {
            object = object.with("status", before["status"].clone());
        }
        (200, self.write(collection, name, Some(before), object))
    }

    fn list(&self, target: &Target) -> Value {
        let all = self.objects.get(&target.collection).into_iter().flat_map(BTreeMap::values);
        let items: Vec<&Value> = all.filter(|object| target.selects_object(object)).collect();
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": self.version.to_string() }, "items": items })
    }

    fn write(&mut self, collection: &str, name: &str, before: Option<Value>, mut object: Value) -> Value {
        let is_new = before.is_none();
        let before = before.unwrap_or_default();
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        for (key, first) in
            [("uid", json!(format!("uid-{name}"))), ("creationTimestamp", json!("2026-01-01T00:00:00Z"))]
        {
            let known = &before["metadata"][key];
            metadata[key] = if known.is_null() { first } else { known.clone() };
        }
        let generation = before["metadata"]["generation"].as_u64().unwrap_or_default();
        let is_other = is_new || object["spec"] != before["spec"];
        object["metadata"]["generation"] = (generation + u64::from(is_other)).into();
        // What changes nothing makes no version.
        if object == before {
            return object;
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let kind = if is_new { "ADDED" } else { "MODIFIED" };
        self.objects.entry(collection.to_owned()).or_default().insert(name.to_owned(), object.clone());
        self.changed(collection, kind, object.clone());
        object
    }

    fn delete(&mut self, collection: &str, name: &str) -> Option<Value> {
        let mut object = self.objects.get_mut(collection)?.remove(name)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.changed(collection, "DELETED", object.clone());
        Some(object)
    }

    fn changed(&mut self, collection: &str, kind: &'static str, object: Value) {
        self.changes.push(Change { version: self.version, collection: collection.to_owned(), kind, object });
    }
}

impl Target {
    /// `/apis/GROUP/VERSION/namespaces/NAMESPACE/COLLECTION[/NAME[/status]]?QUERY`, or `/api/v1/…`.
    fn of(target: &str) -> Target {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let start = if parts[0] == "api" { 5 } else { 6 };
        let text =
            |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Target {
            collection: format!("/{}", parts[..start.min(parts.len())].join("/")),
            name: parts.get(start).map(|name| text(name)),
            is_status: parts.get(start + 1) == Some(&"status"),
            query: pairs.map(|(key, value)| (text(key), text(value))).collect(),
        }
    }

    fn selects(&self, change: &Change) -> bool {
        change.collection == self.collection && self.selects_object(&change.object)
    }

    fn selects_object(&self, object: &Value) -> bool {
        let by = |selector: &str, of: &dyn Fn(&str) -> Value| {
            let pairs = self.query.get(selector).map(String::as_str).unwrap_or_default();
            let mut pairs = pairs.split(',').filter(|pair| !pair.is_empty());
            pairs.all(|pair| pair.split_once('=').is_some_and(|(key, value)| of(key) == value.trim_start_matches('=')))
        };
        by("labelSelector", &|key| object["metadata"]["labels"][key].clone())
            && by("fieldSelector", &|key| {
                if key == "metadata.name" { object["metadata"]["name"].clone() } else { Value::Null }
            })
    }
}

trait With {
    fn with(self, key: &str, value: Value) -> Self;
}

impl With for Value {
    fn with(mut self, key: &str, value: Value) -> Value {
        match value {
            Value::Null => _ = self.as_object_mut().and_then(|object| object.remove(key)),
            value => self[key] = value,
        }
        self
    }
}

/// RFC 7396.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let object = object.as_object_mut().expect("it is one by now");
    for (key, value) in patch {
        match value {
            Value::Null => _ = object.remove(key),
            value => merge(object.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

fn problem(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message })
}
