//! What is done in a cluster, against a server that answers as an API server does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::{Recorder, body, header, recorded, roll_back, until_ended, with_runbook};
use crate::support::{Proxy, Upstream, folder};

/// Who leads to the server of a recorder, with a token.
fn kubeconfig(folder: &Path, server: &str) -> PathBuf {
    let file = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{ name: here, cluster: {{ server: \"{server}\" }} }}]\n\
         users: [{{ name: me, user: {{ token: t0ken }} }}]\n\
         contexts: [{{ name: here, context: {{ cluster: here, user: me, namespace: shop }} }}]\n"
    );
    std::fs::write(&file, text).expect("a folder");
    file
}

fn object(status: &str, value: &Value) -> String {
    let body = value.to_string();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn start(data: &Path, kubeconfig: &Path, text: &str) -> Proxy {
    Proxy::start_by(&["env", &format!("KUBECONFIG={}", kubeconfig.display())], data, text)
}

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "green" } }, "spec": { "containers": [{ "name": "app", "image": image }] } })
}

fn deployment(annotations: &Value) -> String {
    object(
        "200 OK",
        &json!({
            "metadata": { "name": "green", "uid": "d-1", "resourceVersion": "7", "annotations": annotations },
            "spec": { "selector": { "matchLabels": { "app": "green" } }, "template": template("shop:v2") },
        }),
    )
}

/// Longer than what is read of the answers of anybody else.
fn sets() -> String {
    let set = |revision: &str, image: &str| {
        json!({
            "metadata": {
                "annotations": { "deployment.kubernetes.io/revision": revision, "notes": "x".repeat(60_000) },
                "ownerReferences": [{ "controller": true, "uid": "d-1" }],
            },
            "spec": { "template": template(image) },
        })
    };
    object("200 OK", &json!({ "items": [set("1", "shop:v1"), set("2", "shop:v2")] }))
}

const UNDO: &str = "  rolledBack:\n  - kubernetes: { undo: green }\n";

#[test]
fn a_rollback_undoes_greens_deployment_with_what_a_kubeconfig_says() {
    let data = folder();
    let blue = Upstream::ok();
    let server =
        Recorder::answering(&[&deployment(&json!({})), &sets(), &object("200 OK", &json!({ "kind": "Deployment" }))]);
    let proxy = start(data.path(), &kubeconfig(data.path(), &server.url()), &with_runbook(&blue, UNDO));
    roll_back(&proxy);
    let [found, sets, patch] = &server.until(3)[..] else { panic!("more than three") };
    assert_eq!(found.target, "/apis/apps/v1/namespaces/shop/deployments/green");
    assert_eq!(sets.target, "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dgreen");
    let undone = format!("{}?fieldManager=portcullis", found.target);
    assert_eq!((patch.method.as_str(), &patch.target), ("PATCH", &undone));
    assert_eq!(header(patch, "authorization").as_deref(), Some("Bearer t0ken"));
    assert_eq!(header(patch, "content-type").as_deref(), Some("application/json-patch+json"));
    let said = body(patch);
    assert_eq!(said[2]["value"], template("shop:v1"));
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!(said[1]["value"]["portcullis.dev/undone-by"], action["key"]);
    assert_eq!(
        (&action["result"], &action["sentence"]),
        (&json!("done"), &json!("deployment green was undone to revision 1"))
    );
    assert!(!proxy.log().contains("t0ken"));
}

#[test]
fn row_86_an_undo_whose_answer_got_lost_is_not_undone_again() {
    let data = folder();
    let blue = Upstream::ok();
    // The patch is carried out, and nobody hears of it.
    let undone_by = Mutex::new(Value::Null);
    let server = Recorder::of(Upstream::scripted(move |connection| {
        while let Some(request) = connection.request() {
            let mut undone_by = undone_by.lock().expect("no panic with it");
            let answer = match (request.method.as_str(), &*undone_by) {
                ("PATCH", _) => {
                    *undone_by = body(&request)[1]["value"]["portcullis.dev/undone-by"].clone();
                    object("503 Service Unavailable", &json!({ "message": "etcdserver: request timed out" }))
                }
                (_, Value::Null) if request.target.contains("replicasets") => sets(),
                (_, Value::Null) => deployment(&json!({})),
                (_, key) => deployment(&json!({ "portcullis.dev/undone-by": key })),
            };
            connection.send(answer);
        }
    }));
    let proxy = start(data.path(), &kubeconfig(data.path(), &server.url()), &with_runbook(&blue, UNDO));
    roll_back(&proxy);
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!((&action["sentence"], &action["attempts"]), (&json!("deployment green was undone already"), &json!(2)));
    assert_eq!(server.until(4).iter().filter(|request| request.method == "PATCH").count(), 1);
}

#[test]
fn without_a_cluster_an_action_fails_at_once_and_says_what_there_is_not() {
    let data = folder();
    let blue = Upstream::ok();
    let nowhere = data.path().join("none");
    let proxy = Proxy::start_by(
        &[
            "env",
            "-u",
            "KUBERNETES_SERVICE_HOST",
            &format!("HOME={}", data.path().display()),
            &format!("KUBECONFIG={}", nowhere.display()),
        ],
        data.path(),
        &with_runbook(&blue, UNDO),
    );
    roll_back(&proxy);
    until_ended(&proxy, 1);
    let action = &recorded(&proxy)[0];
    assert_eq!((&action["result"], &action["attempts"]), (&json!("failed"), &json!(1)));
    let sentence = action["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("there is no cluster: neither a kubeconfig"), "{sentence}");
}

#[test]
fn a_trial_of_a_runbook_shows_what_would_be_done_and_asks_the_cluster_for_a_dry_run() {
    let data = folder();
    let blue = Upstream::ok();
    let server = Recorder::answering(&[&object("200 OK", &json!({ "kind": "Scale" }))]);
    let kubeconfig = kubeconfig(data.path(), &server.url());
    let file = data.path().join("portcullis.yaml");
    let runbook = "  rolledBack:\n  - { after: 30s, kubernetes: { scale: green, namespace: other } }\n";
    std::fs::write(&file, with_runbook(&blue, runbook)).expect("a folder");
    let test = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(["runbook", "test"]).arg(&file).args(more).env("KUBECONFIG", &kubeconfig).output();
        let output = output.expect("the binary is built");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let shown = test(&[]);
    assert!(
        shown.contains(
            "PATCH /apis/apps/v1/namespaces/other/deployments/green/scale?fieldManager=portcullis&dryRun=All"
        ),
        "{shown}"
    );
    assert_eq!(server.count(), 0);
    let sent = test(&["--send"]);
    assert!(sent.contains("deployment green was scaled to 0"), "{sent}");
    assert_eq!(
        server.until(1)[0].target,
        "/apis/apps/v1/namespaces/other/deployments/green/scale?fieldManager=portcullis&dryRun=All"
    );
}
