//! Receivers that are slow, down or elsewhere (CHECKLIST row 85).

use std::net::{Ipv6Addr, TcpListener};

use serde_json::json;

use super::{BROKEN, DONE, Recorder, header, roll_back, until_ended, with_runbook};
use crate::support::{Load, Proxy, Upstream, config, eventually, folder};

fn said(action: &serde_json::Value) -> &str {
    action["sentence"].as_str().expect("a sentence")
}

#[test]
fn row_85_what_fails_for_now_is_tried_again_with_the_same_key_and_what_fails_for_good_is_not() {
    let again = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let (blue, data) = (Upstream::ok(), folder());
    let (shaky, refusing) = (
        Recorder::answering(&[BROKEN, again, DONE]),
        Recorder::answering(&["HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nbad token"]),
    );
    let runbook = format!(
        "  rolledBack:\n  - name: shaky\n    http: {{ url: \"{}\", json: {{}} }}\n  - name: refusing\n    http: {{ url: \"{}\", json: {{}} }}\n",
        shaky.url(),
        refusing.url()
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let keys: Vec<_> = shaky.until(3).iter().map(|request| header(request, "idempotency-key")).collect();
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let actions = until_ended(&proxy, 2);
    assert_eq!((&actions[0]["result"], &actions[0]["attempts"]), (&json!("done"), &json!(3)));
    assert_eq!((&actions[1]["result"], &actions[1]["attempts"]), (&json!("failed"), &json!(1)));
    assert!(said(&actions[1]).contains("403 Forbidden: bad token"), "{actions:#?}");
    assert_eq!(refusing.count(), 1);
}

#[test]
fn row_85_what_says_when_to_come_again_is_not_asked_before() {
    let again = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n";
    let (blue, busy, data) = (Upstream::ok(), Recorder::answering(&[again]), folder());
    let runbook = format!("  rolledBack:\n  - http: {{ url: \"{}\", json: {{}} }}\n", busy.url());
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    busy.until(1);
    let status = proxy.until(|status| status["actions"]["pending"][0]["attempts"] == 1);
    let due: jiff::Timestamp =
        status["actions"]["pending"][0]["due"].as_str().expect("a time").parse().expect("a time");
    assert!(due.duration_since(jiff::Timestamp::now()).as_secs() > 3000, "{status:#}");
}

#[test]
fn row_85_a_redirect_is_not_followed_and_told() {
    let elsewhere = Recorder::new();
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: {}/x\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let (blue, redirecting, data) = (Upstream::ok(), Recorder::answering(&[&moved]), folder());
    let runbook = format!("  rolledBack:\n  - http: {{ url: \"{}\", json: {{}} }}\n", redirecting.url());
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!(action["result"], "failed");
    assert!(said(action).contains("redirected (302 Found), which is not followed"), "{action}");
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn row_85_addresses_that_belong_to_nobody_outside_are_refused_unless_they_are_allowed_by_name() {
    let (blue, receiver, data) = (Upstream::ok(), Recorder::new(), folder());
    let port = receiver.url().rsplit(':').next().expect("a port").to_owned();
    let hosts = [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::127.0.0.1]", "loopback"),
        ("[64:ff9b::7f00:1]", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("169.254.1.1", "link-local"),
        ("[fe80::1]", "link-local"),
        ("169.254.169.254", "a cloud's metadata"),
        ("[::ffff:169.254.169.254]", "a cloud's metadata"),
        ("[2002:a9fe:a9fe::]", "a cloud's metadata"),
        ("[fd00:ec2::254]", "a cloud's metadata"),
        ("224.0.0.1", "multicast"),
    ];
    let actions: String =
        hosts.iter().map(|(host, _)| format!("  - http: {{ url: \"http://{host}:{port}/\", json: {{}} }}\n")).collect();
    let runbook = format!("runbook:\n  rolledBack:\n{actions}");
    let proxy = Proxy::start_in(data.path(), &config(&[blue.address], &[blue.address], &runbook));
    roll_back(&proxy);
    let actions = until_ended(&proxy, hosts.len());
    for ((host, what), action) in hosts.iter().zip(&actions) {
        assert_eq!((&action["result"], &action["attempts"]), (&json!("failed"), &json!(1)), "{host}: {action}");
        assert!(said(action).contains(what) && said(action).contains("runbook.allow"), "{host}: {action}");
    }
    assert_eq!(receiver.count(), 0);

    let allowed = format!(
        "runbook:\n  allow: [localhost]\n  rolledBack:\n  - http: {{ url: \"http://localhost:{port}/\", json: {{}} }}\n"
    );
    let other = folder();
    let proxy = Proxy::start_in(other.path(), &config(&[blue.address], &[blue.address], &allowed));
    roll_back(&proxy);
    assert_eq!(until_ended(&proxy, 1)[0]["result"], "done");
    assert_eq!(receiver.count(), 1);
}

#[test]
fn promise_1_row_85_flips_wait_for_no_receiver_that_is_slow_or_down() {
    let (blue, data) = (Upstream::ok(), folder());
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent_url = format!("http://{}", silent.local_addr().expect("a socket"));
    let closed = format!("http://127.0.0.1:{}", Ipv6Addr::LOCALHOST.segments()[7]);
    let many: String = (0..30)
        .map(|number| {
            let url = if number % 3 == 0 { &closed } else { &silent_url };
            format!("  - timeout: 1h\n    http: {{ url: \"{url}\", json: {{}} }}\n")
        })
        .collect();
    let runbook = format!(
        "  rolledBack:\n{many}  started:\n  - timeout: 1h\n    http: {{ url: \"{silent_url}\", json: {{}} }}\n"
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    let load = Load::start(proxy.listen, 2);
    for _ in 0..5 {
        roll_back(&proxy);
        let status = proxy.status();
        assert_eq!((&status["state"], &status["weight"]), (&json!("rolledBack"), &json!(0.0)), "{status:#}");
        let reaction = status["rollback"]["reactionMicros"].as_f64().expect("it was seen");
        // An attempt lasts an hour: whatever waited for one would not come here.
        assert!(reaction < 1e6, "{reaction} µs");
        load.until_more(20);
    }
    let status = proxy.until(|status| status["actions"]["pending"].as_array().is_some_and(|all| all.len() == 50));
    assert_eq!(status["state"], "rolledBack");
    drop(load);
    eventually("another release", || (proxy.post("/v1/release", &json!({})).status == 200).then_some(()));
}

#[test]
fn an_answer_without_end_is_read_up_to_a_bound() {
    let (blue, data) = (Upstream::ok(), folder());
    let endless = Recorder::of(Upstream::scripted(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n");
            while connection.offer(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes()) {}
        }
    }));
    let runbook = format!("  rolledBack:\n  - timeout: 1h\n    http: {{ url: \"{}\", json: {{}} }}\n", endless.url());
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let action = &until_ended(&proxy, 1)[0];
    assert!(said(action).len() < 300 && said(action).contains("400 Bad Request: xxx"), "{action}");
}
