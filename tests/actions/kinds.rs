//! Each kind of action, as its receiver sees it.

use std::path::Path;

use data_encoding::BASE64;
use ring::hmac;
use serde_json::json;

use super::{Recorder, body, header, recorded, roll_back, start, until_ended, with_runbook};
use crate::support::{Proxy, Upstream, config, eventually, folder, portcullis, stdout};

#[test]
fn a_feature_flag_is_switched_off_by_a_patch_with_a_bearer_token_and_everybody_can_read_that_it_was() {
    let (blue, flags, data) = (Upstream::ok(), Recorder::new(), folder());
    let token = data.path().join("token");
    std::fs::write(&token, "t0ken\n").expect("a folder");
    let runbook = format!(
        "  rolledBack:\n  - name: flag-off\n    http:\n      method: PATCH\n      url: {}/flags/{{{{ service }}}}\n      \
         bearer: file:{}\n      headers: {{ x-reason: \"{{{{ actor }}}}\" }}\n      \
         json: {{ on: false, why: \"{{{{ green }}}} \\\"{{{{ reason }}}}\\\"\" }}\n",
        flags.url(),
        token.display()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let [request] = &flags.until(1)[..] else { panic!("more than one") };
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PATCH", "/flags/default"));
    assert_eq!(header(request, "authorization").as_deref(), Some("Bearer t0ken"));
    assert_eq!(header(request, "content-type").as_deref(), Some("application/json"));
    let why = "v2 \"rolled back by anonymous: checkout fails\"";
    let said = body(request);
    assert_eq!(
        (&said["on"], said["why"].as_str().map(|said| said.contains("checkout fails\""))),
        (&json!(false), Some(true)),
        "{why}"
    );
    let key = header(request, "idempotency-key").expect("a key");
    let actions = until_ended(&proxy, 1);
    let [action] = &actions[..] else { panic!("{actions:#?}") };
    assert_eq!(
        (&action["name"], &action["kind"], &action["moment"]),
        (&json!("flag-off"), &json!("http"), &json!("rolledBack"))
    );
    assert_eq!((&action["result"], &action["attempts"], &action["key"]), (&json!("done"), &json!(1), &json!(key)));
    proxy.until_metric("portcullis_action_total", &["action=\"flag-off\"", "result=\"done\""], 1.0);
    assert!(!proxy.log().contains("t0ken"));
}

#[test]
fn a_webhook_can_be_verified_with_its_secret_alone() {
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let secret = data.path().join("secret");
    std::fs::write(&secret, format!("whsec_{}", BASE64.encode(&[7; 32]))).expect("a folder");
    let runbook = format!(
        "  rolledBack:\n  - webhook: {{ url: \"{}/hook\", secret: \"file:{}\" }}\n",
        receiver.url(),
        secret.display()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let request = receiver.until(1).remove(0);
    let [id, time, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| header(&request, name).expect("it is sent"));
    let signed = [format!("{id}.{time}.").as_bytes(), &request.body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &signed);
    assert_eq!(signature, format!("v1,{}", BASE64.encode(tag.as_ref())));
    let said = body(&request);
    assert_eq!((&said["type"], &said["data"]["green"]), (&json!("portcullis.release.rolledBack"), &json!("v2")));
    assert_eq!(said["data"]["key"], json!(id));
}

#[test]
fn a_program_gets_its_arguments_as_they_are_and_an_environment_of_its_own() {
    let (blue, data) = (Upstream::ok(), folder());
    let out = data.path().join("out");
    let runbook = format!(
        "  rolledBack:\n  - name: undo\n    exec:\n      command: [sh, -c, 'printf \"%s\\n\" \"$@\" > {0}.new; env >> {0}.new; mv {0}.new {0}; echo done it', \
         sh, \"{{{{ green }}}}; touch {0}.injected\", '$HOME']\n      env: {{ REASON: \"{{{{ reason }}}}\" }}\n",
        out.display()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let text = eventually("the program's output", || std::fs::read_to_string(&out).ok());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(&lines[..2], [format!("v2; touch {}.injected", out.display()), "$HOME".to_owned()]);
    let mut names: Vec<&str> = lines[2..].iter().filter_map(|line| line.split('=').next()).collect();
    names.retain(|name| !["_", "PWD", "SHLVL", "OLDPWD"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["PATH", "PORTCULLIS_IDEMPOTENCY_KEY", "REASON"]);
    assert!(!Path::new(&format!("{}.injected", out.display())).exists());
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!((&action["result"], &action["remembered"]["output"]), (&json!("done"), &json!("done it")));
}

#[test]
fn a_program_that_takes_too_long_is_ended_with_all_that_it_has_started() {
    let (blue, data) = (Upstream::ok(), folder());
    let pids = data.path().join("pids");
    let runbook = format!(
        "  rolledBack:\n  - timeout: 1s\n    retries: 0\n    exec: {{ command: [sh, -c, 'sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait'] }}\n",
        pids.display()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let text = eventually("its start", || std::fs::read_to_string(&pids).ok());
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!(action["result"], "failed");
    assert!(action["sentence"].as_str().is_some_and(|said| said.contains("nothing within 1 s")), "{action}");
    for pid in text.split_whitespace() {
        // A zombie that nobody has waited for is gone as well.
        eventually("the end of both", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            status.map_or(true, |status| status.contains(") Z ")).then_some(())
        });
    }
}

#[test]
fn a_program_that_fails_says_why_by_its_last_line() {
    let (blue, data) = (Upstream::ok(), folder());
    let runbook = "  rolledBack:\n  - retries: 0\n    exec: { command: [sh, -c, 'echo one >&2; echo no such release >&2; exit 3'] }\n  \
                   - retries: 0\n    exec: { command: [/does/not/exist] }\n";
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, runbook));
    roll_back(&proxy);
    let actions = until_ended(&proxy, 2);
    let said = |index: usize| actions[index]["sentence"].as_str().expect("a sentence").to_owned();
    assert!(said(0).contains("exit code 3: no such release"), "{}", said(0));
    assert!(said(1).contains("/does/not/exist cannot be started"), "{}", said(1));
    let failed = proxy.until(|status| status["actions"]["failed"].as_array().is_some_and(|failed| failed.len() == 2));
    assert_eq!(failed["actions"]["failed"][0]["name"], "exec");
}

#[test]
fn smoke_checks_ask_every_endpoint_of_blue_for_status_and_body() {
    let (blue, data) = (Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nall ok\n"), folder());
    let runbook = "  rolledBack:\n  - name: well\n    smoke: { times: 3, interval: 10ms, checks: [{ path: /healthz, status: 200, contains: all ok }] }\n  \
                   - name: not-well\n    retries: 0\n    smoke: { checks: [{ path: \"/cart?x=1\", contains: welcome }] }\n";
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, runbook));
    roll_back(&proxy);
    let actions = until_ended(&proxy, 2);
    assert_eq!((&actions[0]["result"], &actions[1]["result"]), (&json!("done"), &json!("failed")), "{actions:#?}");
    assert!(actions[1]["sentence"].as_str().is_some_and(|said| said.contains("/cart?x=1 of blue at")), "{actions:#?}");
    let asked: Vec<String> = blue.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked.iter().filter(|target| *target == "/healthz").count(), 3);
}

#[test]
fn promise_3_smoke_checks_pass_by_the_status_that_is_wanted_at_every_endpoint_and_where_there_is_one() {
    let well = || Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nall ok");
    let (blue, other, data) =
        (well(), Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"), folder());
    let runbook = "runbook:\n  rolledBack:\n  \
                   - { name: every, retries: 0, smoke: { checks: [{ path: /healthz, contains: ok }] } }\n  \
                   - { name: status, retries: 0, smoke: { checks: [{ path: /, status: 204 }] } }\n";
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address, other.address], &[blue.address], runbook));
    roll_back(&proxy);
    let actions = until_ended(&proxy, 2);
    let said = |index: usize| actions[index]["sentence"].as_str().expect("a sentence").to_owned();
    assert_eq!(said(0), format!("/healthz of blue at {}: the body has no \"ok\"", other.address));
    assert!(said(1).ends_with(": the answer was 200 OK, not 204 No Content"), "{}", said(1));

    let of_nobody = data.path().join("nobody.yaml");
    let runbook = "runbook: { beforeStart: [{ smoke: { checks: [{ path: / }] } }] }";
    std::fs::write(&of_nobody, config(&[blue.address], &[], runbook)).expect("a folder");
    let sent = stdout(&portcullis(&["runbook", "test", "--send", &of_nobody.display().to_string()], &[]));
    assert!(sent.contains("-> failed, and would be tried again: green has no endpoint"), "{sent}");
}

#[test]
fn a_program_runs_in_its_folder() {
    let (blue, data) = (Upstream::ok(), folder());
    let at = std::fs::canonicalize(data.path()).expect("a folder");
    let runbook = format!("  rolledBack:\n  - exec: {{ command: [pwd], folder: {} }}\n", at.display());
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    assert_eq!(until_ended(&proxy, 1)[0]["remembered"]["output"], at.display().to_string());
}

#[test]
fn an_answer_without_end_is_done_as_soon_as_enough_is_known_of_it_and_holds_up_nobody_else() {
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let endless = Upstream::scripted(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        while connection.offer(&[b'x'; 4096]) {}
    });
    let silent = Upstream::silent();
    let runbook = format!(
        "  rolledBack:\n  - {{ timeout: 1h, http: {{ url: \"http://{}/\" }} }}\n  - {{ timeout: 1h, http: {{ url: \"http://{}/\" }} }}\n  \
         - http: {{ url: \"{}\" }}\n",
        silent.address,
        endless.address,
        receiver.url()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let results: Vec<_> = until_ended(&proxy, 2).iter().map(|action| action["result"].clone()).collect();
    assert_eq!(results, ["pending", "done", "done"]);
}

#[test]
fn what_people_have_to_do_is_listed_with_its_steps() {
    let (blue, data) = (Upstream::ok(), folder());
    let runbook = "  rolledBack:\n  - name: database\n    manual: { text: \"Undo the migration of {{ green }}\", steps: [\"Call the owner\", \"Restore\"] }\n";
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, runbook));
    roll_back(&proxy);
    let status = proxy.until(|status| !status["actions"]["tasks"].as_array().is_none_or(Vec::is_empty));
    let task = &status["actions"]["tasks"][0];
    assert_eq!(
        (&task["name"], &task["sentence"]),
        (&json!("database"), &json!("Undo the migration of v2; 1. Call the owner; 2. Restore"))
    );
    assert_eq!(recorded(&proxy)[0]["result"], "task");
}

#[test]
fn later_actions_find_what_earlier_ones_were_answered() {
    let answer = "HTTP/1.1 201 Created\r\ncontent-length: 28\r\n\r\n{\"ticket\":{\"key\":\"SHOP-142\"}}";
    let answer = answer.replace("28", &answer.split("\r\n\r\n").nth(1).map_or(0, str::len).to_string());
    let (blue, tickets, chat, data) = (Upstream::ok(), Recorder::answering(&[&answer]), Recorder::new(), folder());
    let runbook = format!(
        "  started:\n  - name: ticket\n    http: {{ url: \"{}/issue\", json: {{}}, remember: {{ key: /ticket/key }} }}\n  \
         rolledBack:\n  - http: {{ url: \"{}/say\", body: \"see {{{{ actions.ticket.key }}}} ({{{{ actions.ticket.result }}}})\" }}\n",
        tickets.url(),
        chat.url()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    start(&proxy);
    until_ended(&proxy, 1);
    assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);
    let request = chat.until(1).remove(0);
    assert_eq!(String::from_utf8_lossy(&request.body), "see SHOP-142 (done)");
}
