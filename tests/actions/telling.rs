//! The kinds that tell others of a release, on the wire: what comes again, what does not, and what goes where the first went.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BROKEN, DONE, Recorder, body, header, roll_back, start, until_ended, with_runbook};
use crate::support::mail::{MailServer, Secures};
use crate::support::{Authority, Proxy, Request, Shows, Upstream, folder};

/// The kinds that are requests, with the answers by which they are done; `URL` is where they go.
const KINDS: [(&str, &str, &[&str]); 8] = [
    ("slack", "slack: { url: URL }", &["ok"]),
    ("channel", "slack: { api: URL, token: TOKEN, channel: \"#a\" }", &[r#"{"ok":true,"ts":"1.1"}"#]),
    ("teams", "teams: { url: URL }", &[""]),
    ("pagerduty", "pagerduty: { url: URL, routingKey: TOKEN }", &[r#"{"status":"success"}"#]),
    ("cloudevents", "cloudevents: { url: URL }", &[""]),
    ("jira", "jira: { url: URL, token: TOKEN, project: OPS }", &[r#"{"issues":[]}"#, r#"{"key":"OPS-1"}"#]),
    ("github", "github: { api: URL, token: TOKEN, repository: a/b }", &[r#"[{"id":4}]"#, "{}"]),
    ("grafana", "grafana: { url: URL, token: TOKEN }", &[r#"{"id":5}"#]),
];

fn body_text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A rollback told by every kind to a server of its own, which answers so first.
struct Told {
    proxy: Proxy,
    servers: Vec<Recorder>,
    _data: tempfile::TempDir,
}

fn told(first: &[&str]) -> Told {
    let (blue, data) = (Upstream::ok(), folder());
    let token = data.path().join("token");
    std::fs::write(&token, "t0ken").expect("a folder");
    let mut runbook = "  rolledBack:\n".to_owned();
    let mut servers = Vec::new();
    for (name, entry, answers) in KINDS {
        let answers: Vec<String> = answers.iter().map(|body| answer(body)).collect();
        let answers: Vec<&str> = first.iter().copied().chain(answers.iter().map(String::as_str)).collect();
        let server = Recorder::answering(&answers);
        let entry = entry.replace("URL", &format!("\"{}\"", server.url()));
        let entry = entry.replace("TOKEN", &format!("\"file:{}\"", token.display()));
        runbook += &format!("  - {{ name: {name}, {entry} }}\n");
        servers.push(server);
    }
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    Told { proxy, servers, _data: data }
}

#[test]
fn every_kind_comes_again_after_a_500_with_the_same_key() {
    let told = told(&[BROKEN]);
    for action in until_ended(&told.proxy, KINDS.len()) {
        assert_eq!((&action["result"], &action["attempts"]), (&json!("done"), &json!(2)), "{action:#}");
    }
    for ((name, ..), server) in KINDS.iter().zip(&told.servers) {
        let requests = server.until(2);
        let keys: Vec<String> = requests.iter().filter_map(|request| header(request, "idempotency-key")).collect();
        assert!(keys.len() == requests.len() && keys.iter().all(|key| *key == keys[0]), "{name}: {keys:?}");
        assert_eq!(body_text(&requests[0]), body_text(&requests[1]), "{name}");
    }
    assert!(!told.proxy.log().contains("t0ken"));
}

#[test]
fn no_kind_follows_a_redirect_or_comes_again_after_a_404() {
    let elsewhere = Recorder::new();
    let redirect =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    for refused in [redirect.as_str(), "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"] {
        let told = told(&[refused]);
        for action in until_ended(&told.proxy, KINDS.len()) {
            assert_eq!((&action["result"], &action["attempts"]), (&json!("failed"), &json!(1)), "{action:#}");
        }
        assert!(told.servers.iter().all(|server| server.count() == 1));
    }
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn who_says_when_to_come_again_is_not_asked_before() {
    let (blue, data) = (Upstream::ok(), folder());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let server = Upstream::scripted({
        let asked = Arc::clone(&asked);
        move |connection| {
            while connection.request().is_some() {
                let mut asked = asked.lock().expect("no panic with it");
                asked.push(Instant::now());
                let limited = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n";
                connection.send(if asked.len() == 1 { limited } else { DONE });
            }
        }
    });
    let runbook = format!("  rolledBack:\n  - slack: {{ url: \"http://{}/\" }}\n", server.address);
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    assert_eq!(until_ended(&proxy, 1)[0]["result"], "done");
    let asked = asked.lock().expect("no panic with it");
    assert!(asked.len() == 2 && asked[1] - asked[0] >= Duration::from_secs(3), "{asked:?}");
}

#[test]
fn a_server_that_says_nothing_is_asked_again() {
    let (blue, data) = (Upstream::ok(), folder());
    let server = Recorder::of(Upstream::scripted(|connection| {
        while connection.request().is_some() {
            if connection.number == 0 {
                connection.drain();
                return;
            }
            connection.send(DONE);
        }
    }));
    let runbook = format!("  rolledBack:\n  - {{ timeout: 300ms, teams: {{ url: \"{}\" }} }}\n", server.url());
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let action = &until_ended(&proxy, 1)[0];
    assert_eq!(action["result"], "done", "{action:#}");
    assert!(action["attempts"].as_u64() >= Some(2), "{action:#}");
}

/// What comes first in a release, and what comes after it.
#[test]
fn what_is_said_later_goes_where_the_first_went() {
    let (blue, data) = (Upstream::ok(), folder());
    let token = data.path().join("token");
    std::fs::write(&token, "t0ken").expect("a folder");
    let posted = [r#"{"ok":true,"ts":"1.1"}"#, r#"{"ok":true,"ts":"2.2"}"#].map(answer);
    let found = [r#"{"issues":[]}"#, r#"{"key":"OPS-1"}"#, r#"{"id":"1"}"#].map(answer);
    let [slack, jira] = [&posted[..], &found]
        .map(|answers| Recorder::answering(&answers.iter().map(String::as_str).collect::<Vec<_>>()));
    let pager = Recorder::new();
    let each = format!(
        "  - slack: {{ api: \"{}\", token: \"file:{token}\", channel: \"#a\" }}\n  \
         - jira: {{ url: \"{}\", token: \"file:{token}\", project: OPS }}\n",
        slack.url(),
        jira.url(),
        token = token.display()
    );
    let page = |event: &str| {
        format!("pagerduty: {{ url: \"{}\", routingKey: \"file:{}\", event: {event} }}", pager.url(), token.display())
    };
    let runbook = format!(
        "  started:\n{each}  - {{ {} }}\n  rolledBack:\n{each}  - {{ {} }}\n",
        page("trigger"),
        page("resolve")
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    start(&proxy);
    until_ended(&proxy, 3);
    let rolled_back = proxy.post("/v1/release/rollback", &json!({ "reason": "checkout fails" }));
    assert_eq!(rolled_back.status, 200);
    assert!(until_ended(&proxy, 6).iter().all(|action| action["result"] == "done"));
    let messages: Vec<Value> = slack.until(2).iter().map(body).collect();
    assert_eq!((messages[0].get("thread_ts"), messages[1].get("thread_ts")), (None, Some(&json!("1.1"))));
    let lines: Vec<String> =
        jira.until(3).iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(lines[1..], ["POST /rest/api/3/issue", "POST /rest/api/3/issue/OPS-1/comment"]);
    let events: Vec<Value> = pager.until(2).iter().map(body).collect();
    assert_eq!((&events[0]["event_action"], &events[1]["event_action"]), (&json!("trigger"), &json!("resolve")));
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
}

/// The one action of a rollback that is told by mail, once it has ended.
#[track_caller]
fn mailed(server: &MailServer, more: &str) -> Value {
    let (blue, data) = (Upstream::ok(), folder());
    let password = data.path().join("password");
    std::fs::write(&password, "p455w0rd").expect("a folder");
    let more = more.replace("PASSWORD", &format!("\"file:{}\"", password.display()));
    let runbook = format!(
        "  rolledBack:\n  - retries: 1\n    email: {{ server: \"{}\", from: a@example.com, to: [b@example.com, c@example.com], {more} }}\n",
        server.address
    );
    let proxy = Proxy::start_in(data.path(), &with_runbook(&blue, &runbook));
    roll_back(&proxy);
    let action = until_ended(&proxy, 1).remove(0);
    assert!(!proxy.log().contains("p455w0rd"));
    action
}

#[test]
fn a_mail_comes_again_after_4xx_and_not_after_5xx() {
    let later = MailServer::answering(Secures::Never, &["451 not now"]);
    let action = mailed(&later, "tls: none");
    assert_eq!((&action["result"], &action["attempts"]), (&json!("done"), &json!(2)), "{action:#}");
    let [mail] = &later.mails()[..] else { panic!("more than one") };
    assert_eq!((mail.from.as_str(), mail.to.len(), mail.secured), ("a@example.com", 2, false));
    assert_eq!(mail.field("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(mail.body().contains("checkout fails"), "{}", mail.text);
    let never = MailServer::answering(Secures::Never, &["554 never"]);
    let action = mailed(&never, "tls: none");
    assert_eq!((&action["result"], &action["attempts"]), (&json!("failed"), &json!(1)), "{action:#}");
    assert!(action["sentence"].as_str().is_some_and(|said| said.contains("554")), "{action:#}");
}

#[test]
fn a_mail_and_its_password_are_given_to_nobody_but_the_server() {
    let (ours, others, data) = (Authority::new(), Authority::new(), folder());
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, &ours.pem).expect("a folder");
    let signed = |authority: &Authority| Shows::new(&authority.sign(&["127.0.0.1"])).config();
    let login = format!("user: bot, password: PASSWORD, ca: \"{}\"", ca.display());
    for (secures, more) in [(Secures::WhenAsked(signed(&ours)), ""), (Secures::AtOnce(signed(&ours)), ", tls: tls")] {
        let server = MailServer::new(secures);
        assert_eq!(mailed(&server, &format!("{login}{more}"))["result"], "done");
        let [mail] = &server.mails()[..] else { panic!("more than one") };
        // \0bot\0p455w0rd
        assert_eq!((mail.secured, mail.login.as_deref()), (true, Some("PLAIN AGJvdABwNDU1dzByZA==")));
    }
    for secures in [
        Secures::Never,
        Secures::WhenAsked(signed(&others)),
        Secures::WhenAsked(Shows::new(&ours.sign(&["mail.example"])).config()),
    ] {
        let server = MailServer::new(secures);
        assert_eq!(mailed(&server, &login)["result"], "failed");
        let said = server.commands();
        assert!(said.iter().all(|said| !said.starts_with("AUTH") && !said.starts_with("MAIL")), "{said:?}");
    }
}
