//! Secrets of actions (CHECKLIST row 90).

use serde_json::{Value, json};

use super::{Recorder, roll_back, until_ended, with_runbook};
use crate::support::{Proxy, Upstream, folder, portcullis, stdout};

const SECRET: &str = "s3cr\"et-t0ken";

#[test]
fn row_90_no_secret_of_an_action_is_in_logs_status_journal_reports_or_a_dry_run() {
    let echo = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\nno {SECRET}!", SECRET.len() + 4);
    let said = json!({ "got": SECRET }).to_string();
    let told = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len());
    let (blue, receiver, data) = (Upstream::ok(), Recorder::answering(&[&echo, &echo, &echo]), folder());
    let telling = Recorder::answering(&[&told]);
    let file = |name: &str, text: &str| {
        let path = data.path().join(name);
        std::fs::write(&path, text).expect("a folder");
        format!("file:{}", path.display())
    };
    let (token, url) = (file("token", SECRET), file("url", &format!("{}/hooks/{}", receiver.url(), "p4th-secret")));
    let runbook = format!(
        "  rolledBack:\n  - http: {{ url: \"{0}\", bearer: \"{token}\", json: {{}} }}\n  \
         - http: {{ url: \"{url}\", headers: {{ x-key: \"{token}\" }}, json: {{}} }}\n  \
         - retries: 0\n    exec: {{ command: [sh, -c, 'echo \"no $KEY\" >&2; exit 1'], env: {{ KEY: \"{token}\" }} }}\n  \
         - http: {{ url: \"{1}\", bearer: \"{token}\", json: {{}}, remember: {{ got: /got }} }}\n  \
         - exec: {{ command: [sh, -c, 'echo \"is $KEY\"'], env: {{ KEY: \"{token}\" }} }}\n",
        receiver.url(),
        telling.url()
    );
    let text = with_runbook(&blue, &runbook);
    let proxy = Proxy::start_in(data.path(), &text);
    roll_back(&proxy);
    let actions = until_ended(&proxy, 5);
    let sent = receiver.until(2);
    assert!(sent.iter().any(|request| String::from_utf8_lossy(&request.head.raw).contains(SECRET)), "it is sent");
    assert!(sent.iter().any(|request| request.target == "/hooks/p4th-secret"), "it is sent");
    assert!(actions[0]["sentence"].as_str().is_some_and(|said| said.contains("no ***!")), "{actions:#?}");
    let remembered = (&actions[3]["remembered"]["got"], &actions[4]["remembered"]["output"]);
    assert_eq!(remembered, (&json!("***"), &json!("is ***")), "{actions:#?}");

    let dry = stdout(&portcullis(&["runbook", "test", &proxy.file().display().to_string()], &[]));
    assert!(dry.contains("authorization: Bearer ***") && dry.contains("x-key: ***"), "{dry}");
    let releases = proxy.call("GET", "/v1/releases", &Value::Null).text();
    let id = serde_json::from_str::<Value>(&releases).expect("JSON")[0]["id"].as_str().expect("an id").to_owned();
    let mut places = vec![("the log", proxy.log()), ("the dry run", dry), ("the status", proxy.status().to_string())];
    for path in [String::new(), "/report".to_owned()] {
        places.push(("a release", proxy.call("GET", &format!("/v1/releases/{id}{path}"), &Value::Null).text()));
    }
    drop(proxy);
    let journal = std::fs::read(data.path().join("journal.redb")).expect("a journal");
    places.push(("the journal", String::from_utf8_lossy(&journal).into_owned()));
    for (place, text) in places {
        for secret in [SECRET, "s3cr\\\"et-t0ken", "p4th-secret"] {
            assert!(!text.contains(secret), "{place} has {secret}");
        }
    }
}
