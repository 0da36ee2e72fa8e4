//! What schemathesis makes of the document of the admin API; the step `schemathesis` of tests/run brings it along.

use std::path::Path;
use std::process::Command;

use super::support::bench::{GATE, folder};
use super::support::{Backend, Proxy, config, number, portcullis, stderr, stdout};

/// Requests to each endpoint; `PORTCULLIS_SCHEMATHESIS_EXAMPLES=1000` for more.
const EXAMPLES: u64 = 15;

/// Their streams have no end.
const LEFT_OUT: [&str; 2] = ["events", "live"];

fn made(role: &str, folder: &Path) -> (String, String) {
    let output = portcullis(&["token", "--role", role, "--name", role], &[]);
    assert!(output.status.success() && folder.exists(), "{}", stderr(&output));
    (stderr(&output).trim_start_matches("token: ").trim().to_owned(), stdout(&output))
}

#[test]
fn every_answer_is_as_the_document_says_with_the_tokens_of_both_roles() {
    let Some(schemathesis) = std::env::var_os("PORTCULLIS_SCHEMATHESIS") else { return };
    let (backend, folder) = (Backend::answering(200), folder());
    let [viewer, operator] = ["viewer", "operator"].map(|role| made(role, folder.path()));
    let tokens = folder.path().join("tokens.yaml");
    std::fs::write(&tokens, format!("tokens:\n{}{}", viewer.1, operator.1)).expect("the folder is writable");
    let text = config(&[backend.address], &[backend.address], GATE);
    let open = "admin: { listen: 127.0.0.1:0";
    let text = text.replace(open, &format!("{open}, tokens: {:?}", tokens.display().to_string()));
    let proxy = Proxy::start_in(&folder.path().join("data"), &text);
    // What is told of a release is looked at as well.
    let bearer = format!("Authorization: Bearer {}", operator.0);
    let begun = proxy.ask("POST", "/v1/release", &["Host: 127.0.0.1", &bearer], "");
    assert_eq!(begun.status, 200, "{}", begun.text());
    let examples = number("PORTCULLIS_SCHEMATHESIS_EXAMPLES").unwrap_or(EXAMPLES).to_string();
    let url = format!("http://{}/openapi.json", proxy.admin);
    for (token, _) in [&viewer, &operator] {
        let mut command = Command::new(&schemathesis);
        command.arg("--config-file").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml"));
        command.args(["run", &url, "--no-color"]);
        LEFT_OUT.iter().for_each(|id| _ = command.args(["--exclude-operation-id", id]));
        command.args(["--max-examples", &examples, "--continue-on-failure", "--warnings", "off"]);
        command.args(["--generation-database", "none", "--request-timeout", "10"]);
        command.arg("--header").arg(format!("Authorization: Bearer {token}"));
        let output = command.current_dir(folder.path()).output().expect("schemathesis is there");
        let said = stdout(&output);
        println!("{said}");
        assert!(output.status.success(), "{said}{}", stderr(&output));
    }
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}
