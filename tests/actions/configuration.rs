//! What `portcullis check` and `portcullis runbook test` say of a runbook.

use std::fs;

use super::{Recorder, body, header};
use crate::support::{folder, portcullis, stderr, stdout};

const REST: &str = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\nservice: checkout\n\
                    blue: { version: v1, endpoints: [\"127.0.0.1:9001\"] }\ngreen: { version: v2, endpoints: [\"127.0.0.1:9002\"] }\n";

fn check(runbook: &str) -> (Option<i32>, String) {
    let folder = folder();
    let file = folder.path().join("portcullis.yaml");
    fs::write(&file, format!("{REST}{runbook}")).expect("a folder");
    let output = portcullis(&["check", &file.display().to_string()], &[]);
    (output.status.code(), stderr(&output))
}

#[test]
fn every_fault_of_a_runbook_is_told_at_once_with_its_place() {
    let (code, faults) = check(
        "runbook:
  allow: [\"http://x\"]
  rolledBack:
  - http: { url: \"https://flags/{{ servce }}\", json: { a: \"{{ green }\" } }
  - { name: two, http: { url: ftp://x }, exec: { command: [a] } }
  - { name: two, exec: { command: [], env: { A-B: x } } }
  - { http: { url: \"https://x\", bearer: hunter2, expect: [302], method: SHOUT } }
  - { when: \"resolvd\", every: 1ms, atMost: 0, timeout: 5, nextDay: \"25:00\", onFailure: panic, manual: { txt: x } }
  - { name: nothing }
  promoted:
  - { every: 5m, manual: { text: \"{{ actions.three.key }} {{ measured.green.requets }}\" } }
  beforeStep:
  - { after: 5m, smoke: { checks: [{ path: healthz }] } }
  wrong: []
",
    );
    assert_eq!(code, Some(1), "{faults}");
    for expected in [
        "runbook.allow[0]: `http://x` is not a host",
        ":9:36",
        "`servce` is not a fact of a release",
        "did you mean `service`?",
        "runbook.rolledBack[0].http.json.a: syntax error",
        "runbook.rolledBack[1].exec: is written beside `http`",
        "runbook.rolledBack[2].name: `two` is an action already",
        "runbook.rolledBack[2].exec.command: names no program",
        "runbook.rolledBack[2].exec.env.A-B: `A-B` is not the name of a variable",
        "runbook.rolledBack[3].http.bearer: is written out, and is a secret",
        "runbook.rolledBack[3].http.expect[0]: is a redirect",
        "runbook.rolledBack[3].http.method: `SHOUT` is not a method",
        "runbook.rolledBack[4].when: `resolvd` is not a fact of a release",
        "runbook.rolledBack[4].every",
        "runbook.rolledBack[4].atMost",
        "runbook.rolledBack[4].timeout: `5` has no unit",
        "runbook.rolledBack[4].nextDay: `25:00` is not a time of the day",
        "runbook.rolledBack[4].onFailure: `panic` is not what a failure means",
        "unknown key `runbook.rolledBack[4].manual.txt`",
        "runbook.rolledBack[5]: does nothing",
        "runbook.promoted[0].every: means nothing in `promoted`",
        "`actions.three.key` is not an action of the runbook",
        "runbook.beforeStep[0].after: means nothing in `beforeStep`",
        "runbook.beforeStep[0].smoke.checks[0].path: `healthz` is not a path",
        "unknown key `runbook.wrong`",
    ] {
        assert!(faults.contains(expected), "{expected}\n{faults}");
    }
}

#[test]
fn an_action_cannot_ask_for_an_answer_that_comes_after_it() {
    let (code, faults) = check(
        "runbook:
  rolledBack:
  - { name: chat, http: { url: \"https://chat\", body: \"{{ actions.ticket.key }}\" } }
  - { name: ticket, http: { url: \"https://tickets\", json: {} } }
",
    );
    assert_eq!(code, Some(1));
    assert!(faults.contains("runbook.rolledBack[0]: names what `ticket` answers, which comes after it"), "{faults}");
}

#[test]
fn a_dry_run_shows_what_would_be_sent_and_with_send_sends_it_marked_as_a_test() {
    let (folder, receiver) = (folder(), Recorder::new());
    let file = folder.path().join("portcullis.yaml");
    let runbook = format!(
        "runbook:\n  allow: [127.0.0.1]\n  rolledBack:\n  - {{ name: flag-off, http: {{ method: PATCH, url: \"{0}/{{{{ service }}}}\", \
         json: {{ green: \"{{{{ green }}}}\", test: \"{{{{ test }}}}\" }} }} }}\n  promoted:\n  - {{ name: other, http: {{ url: \"{0}\" }} }}\n",
        receiver.url()
    );
    fs::write(&file, format!("{REST}{runbook}")).expect("a folder");
    let run = |more: &[&str]| {
        let file = file.display().to_string();
        let output = portcullis(&[&["runbook", "test", &file][..], more].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let shown = run(&[]);
    assert!(shown.contains("== rolledBack: flag-off (http)") && shown.contains("== promoted: other (http)"), "{shown}");
    assert!(shown.contains(&format!("PATCH {}/checkout", receiver.url())), "{shown}");
    assert_eq!(receiver.count(), 0);
    let shown = run(&["--moment", "rolledBack", "--send"]);
    assert!(shown.contains("-> done: PATCH was answered 200 OK") && !shown.contains("other"), "{shown}");
    let request = receiver.until(1).remove(0);
    assert_eq!(header(&request, "portcullis-test").as_deref(), Some("true"));
    assert_eq!(body(&request)["test"], "true");
}
