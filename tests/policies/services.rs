//! What the runbooks call, as one server on loopback that writes down every request, a mail server, and programs that write
//! down how they were called.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::mail::{MailServer, Secures};
use crate::support::{Authority, Request, Shows, Upstream, eventually, folder};

pub struct Services {
    upstream: Upstream,
    pub mail: MailServer,
    folder: TempDir,
}

/// One request to a service.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method, host and path.
    pub line: String,
    pub body: Value,
    request: Request,
}

/// What stands in the variables that the files name.
pub const SECRETS: [(&str, &str); 9] = [
    ("SLACK_TOKEN", "xoxb-5a1c"),
    ("STATUSPAGE_TOKEN", "OAuth 57a7"),
    ("JIRA_TOKEN", "j12a-77"),
    ("PAGERDUTY_KEY", "r0ut1ng"),
    ("GRAFANA_TOKEN", "glsa_91"),
    ("GITHUB_TOKEN", "ghp_44"),
    ("FLAGS_TOKEN", "fl4g5"),
    ("CONFIG_TOKEN", "c0nf1g"),
    ("EVENTS_TOKEN", "Bearer 3v3nt5"),
];

/// More of them, of which tests know no value.
pub const HIDDEN: [(&str, &str); 4] = [
    ("MAIL_PASSWORD", "p455w0rd"),
    ("GITOPS_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU"),
    ("SLACK_URL", "https://hooks.slack.com/services/T0/B0/x"),
    ("TEAMS_URL", "https://example.webhook.office.com/workflows/x"),
];

const PROGRAMS: [&str; 3] = ["kubectl", "helm", "docker"];

impl Services {
    pub fn start() -> Services {
        let made = Arc::new(AtomicU64::new(0));
        let upstream = Upstream::scripted(move |connection| {
            while let Some(request) = connection.request() {
                let body = answer(&request, &made).to_string();
                let length = body.len();
                connection.send(format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                ));
            }
        });
        let folder = folder();
        let authority = Authority::new();
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("the folder is writable");
        let signed = authority.sign(&["localhost", "127.0.0.1"]);
        let mail = MailServer::new(Secures::WhenAsked(Shows::new(&signed).config()));
        let services = Services { upstream, mail, folder };
        for program in PROGRAMS {
            let path = services.program(program);
            let script =
                format!("#!/bin/sh\necho {program} \"$@\" \"$GREEN_VERSION\" >> {}\n", services.log().display());
            std::fs::write(&path, script).expect("the folder is writable");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        services
    }

    /// The file's text with these services in the place of those of the field, and minutes that take a second.
    pub fn in_place(&self, text: &str) -> String {
        let at = |host: &str| format!("\"http://{}/{host}\"", self.upstream.address);
        let mut text = text.replace("\nrunbook:\n", "\nrunbook:\n  allow: [\"127.0.0.1\"]\n");
        let mail =
            format!("server: \"{}\"\n      ca: {}", self.mail.address, self.folder.path().join("ca.pem").display());
        text = text.replace("server: mail.example.com", &mail);
        for host in [
            "api.statuspage.io",
            "grafana.example.com",
            "example.atlassian.net",
            "pipelines.example.com",
            "events.example.com",
            "flags.example.com",
            "config.example.com",
        ] {
            text = text.replace(&format!("https://{host}"), &format!("http://{}/{host}", self.upstream.address));
        }
        text = text
            .replace("{ token: env:SLACK_TOKEN", &format!("{{ api: {}, token: env:SLACK_TOKEN", at("slack.com/api")));
        text = text.replace(
            "{ token: env:GITHUB_TOKEN",
            &format!("{{ api: {}, token: env:GITHUB_TOKEN", at("api.github.com")),
        );
        let events = at("events.pagerduty.com/v2/enqueue");
        text = text.replace("{ routingKey:", &format!("{{ url: {events}, routingKey:"));
        text = text.replace("      routingKey:", &format!("      url: {events}\n      routingKey:"));
        for program in PROGRAMS {
            text = text.replace(&format!("[{program},"), &format!("[{},", self.program(program).display()));
        }
        for minutes in ["5m", "15m", "30m", "60m"] {
            text = text.replace(&format!("after: {minutes}\n"), "after: 1s\n");
        }
        text.replace("every: 15m", "every: 1s").replace("nextDay: \"09:00\"", "after: 1s")
    }

    /// How `env` sets the variables that the files name.
    pub fn environment(&self) -> Vec<String> {
        let hooks = [("SLACK_URL", "hooks.slack.com"), ("TEAMS_URL", "example.webhook.office.com")];
        let hooks = hooks.map(|(name, host)| format!("{name}=http://{}/{host}/x", self.upstream.address));
        let plain = SECRETS.iter().chain(&HIDDEN[..2]).map(|(name, value)| format!("{name}={value}"));
        plain.chain(hooks).collect()
    }

    pub fn calls(&self) -> Vec<Call> {
        let call = |request: Request| Call {
            line: format!("{} {}", request.method, request.target.split('?').next().unwrap_or_default()),
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
            request,
        };
        self.upstream.requests().into_iter().map(call).collect()
    }

    /// The first request that is made of this method, host and path and that a test wants.
    #[track_caller]
    pub fn until(&self, line: &str, mut wanted: impl FnMut(&Call) -> bool) -> Call {
        eventually(line, || self.calls().into_iter().find(|call| call.line == line && wanted(call)))
    }

    /// Waits until a program was called so.
    #[track_caller]
    pub fn until_called(&self, command: &str) {
        let called = || std::fs::read_to_string(self.log()).unwrap_or_default();
        eventually(command, || called().lines().any(|line| line.trim_end() == command).then_some(()));
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> PathBuf {
        let folder: &Path = self.folder.path();
        folder.join("called")
    }
}

impl Call {
    pub fn header(&self, name: &str) -> String {
        self.request.head.all(name).concat()
    }
}

/// What each service answers, as far as somebody reads it.
fn answer(request: &Request, made: &AtomicU64) -> Value {
    let number = made.fetch_add(1, Ordering::SeqCst) + 1;
    let path = request.target.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path) {
        ("POST", "/slack.com/api/chat.postMessage") => json!({ "ok": true, "ts": format!("1700000000.{number:06}") }),
        ("GET", "/example.atlassian.net/rest/api/3/search/jql") => json!({ "issues": [] }),
        ("POST", "/example.atlassian.net/rest/api/3/issue") => json!({ "key": format!("OPS-{number}") }),
        ("GET", path) if path.ends_with("/transitions") => json!({ "transitions": [{ "id": "31", "name": "Done" }] }),
        ("GET", "/api.github.com/repos/example/checkout/deployments") => json!([]),
        ("POST", "/api.github.com/repos/example/checkout/deployments") => json!({ "id": 42 }),
        ("POST", "/api.statuspage.io/v1/pages/PAGE/incidents") => json!({ "id": "p31zjtct2jer" }),
        ("POST", "/grafana.example.com/api/annotations") => json!({ "id": 5 }),
        _ => json!({}),
    }
}
