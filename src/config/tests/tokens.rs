//! The tokens file: read beside the configuration, its faults shown in it, its secrets never.

use std::fs;

use super::{LEAST, told};
use crate::config::{Access, Environment, Faults, Role, Token, load};

const DIGEST: &str = "00FF00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ab";

fn read(tokens: &str) -> Result<Vec<Token>, Faults> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = folder.path().join("portcullis.yaml");
    let admin = "admin: { listen: 0.0.0.0:9090, tokens: tokens.yaml }";
    fs::write(&config, LEAST.replace("admin: { listen: 127.0.0.1:9090 }", admin)).expect("the folder is writable");
    fs::write(folder.path().join("tokens.yaml"), tokens).expect("the folder is writable");
    load(&config, &Environment::default()).map(|config| match config.admin.access {
        Access::Tokens(tokens) => tokens,
        Access::Loopback => panic!("a tokens file is named"),
    })
}

fn check(tokens: &str, expected: &[&str]) {
    let faults = read(tokens).expect_err("the tokens are faulty");
    assert_eq!(faults.iter().map(told).collect::<Vec<_>>(), expected, "{tokens}");
    assert!(faults.iter().all(|fault| fault.file.name.ends_with("tokens.yaml")), "{faults}");
}

#[test]
fn tokens_are_read_beside_the_configuration() {
    let text = format!("tokens:\n- {{ name: alice, role: operator, sha256: \"{DIGEST}\" }}\n");
    let tokens = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((tokens.len(), tokens[0].name.as_str(), tokens[0].role), (1, "alice", Role::Operator));
    assert_eq!((tokens[0].sha256[1], tokens[0].sha256[31]), (0xff, 0xab));
}

#[test]
fn each_rule_for_tokens() {
    let sha256 = "is not 64 hexadecimal digits | write the token's SHA-256 digest";
    let with = |inner: &str| format!("tokens: [{{ {} }}]", inner.replace("DIGEST", DIGEST));
    check("tokens: []", &["1:9 tokens: is empty | without a token nobody could use the admin API"]);
    check("", &["file the file is empty | "]);
    check("token: []", &["1:1 unknown key `token` | did you mean `tokens`?"]);
    check(
        &with(""),
        &[
            "1:10 missing key `tokens[0].name` | has no `name`",
            "1:10 missing key `tokens[0].role` | has no `role`",
            "1:10 missing key `tokens[0].sha256` | has no `sha256`",
        ],
    );
    check(&with("name: '', role: viewer, sha256: DIGEST"), &["1:18 tokens[0].name: is empty | write a name"]);
    check(
        &with("name: a, role: operatr, sha256: DIGEST"),
        &["1:27 tokens[0].role: is not a role | did you mean `operator`?"],
    );
    check(
        &with("name: a, role: root, sha256: DIGEST"),
        &["1:27 tokens[0].role: is not a role | write `viewer` or `operator`"],
    );
    check(&with("name: a, role: viewer, sha256: abc"), &[&format!("1:43 tokens[0].sha256: {sha256}")]);
    check(&with("name: a, role: viewer, sha256: DIGEST0"), &[&format!("1:43 tokens[0].sha256: {sha256}")]);
    check(
        &with("name: a, role: viewer, sha256: DIGEST").replace("00FF", "00FG"),
        &[&format!("1:43 tokens[0].sha256: {sha256}")],
    );
    let twice = with("name: a, role: viewer, sha256: DIGEST }, { name: a, role: viewer, sha256: DIGEST");
    check(&twice, &["1:119 tokens[1].name: `a` is in the list already | choose another name"]);
}

#[test]
fn no_secret_of_a_tokens_file_is_shown() {
    for text in [
        "tokens: [{ name: a, role: viewer, sha256: hunter2 }]",
        "tokens: [{ name: a, role: viewer, sha256: [hunter2] }]",
        "tokens: [{ name: a, role: hunter2, sha256: 5 }]",
        "tokens: [{ name: a, role: viewer, sah256: hunter2 }]",
        "tokens: [hunter2]",
        "tokens: hunter2",
        "tokens: { hunter2: viewer }",
        "hunter2: viewer",
        "hunter2: { hunter2: 1, hunter2: 2 }",
        "hunter2: 1\nhunter2: 2",
        "hunter2",
        "hunter2:",
        "hunter2: { a: &x [*x] }",
        "tokens: [{ sha256: \"hunter2 }]",
        "tokens: [{ sha256: *hunter2 }]",
        "tokens: [{ sha256: !hunter2 x }]",
        "tokens: [{ ? [hunter2] : hunter2 }]",
    ] {
        let faults = read(text).expect_err("the tokens are faulty");
        let json = serde_json::to_string(&faults).expect("faults are plain data");
        let shown = format!("{faults}\n{}\n{json}\n{faults:?}", faults.styled());
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}

#[test]
fn faults_of_both_files_are_listed_in_the_order_of_the_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = folder.path().join("portcullis.yaml");
    let admin = "admin: { listen: 127.0.0.1:9090, tokens: tokens.yaml }\nworkers: 0";
    fs::write(&config, LEAST.replace("admin: { listen: 127.0.0.1:9090 }", admin)).expect("the folder is writable");
    fs::write(folder.path().join("tokens.yaml"), "tokens: []").expect("the folder is writable");
    let faults = load(&config, &Environment::default()).expect_err("both files are faulty");
    let files: Vec<&str> = faults.iter().filter_map(|fault| fault.file.name.rsplit('/').next()).collect();
    assert_eq!(files, ["portcullis.yaml", "tokens.yaml"]);
    assert!(faults.to_string().contains("error: 2 faults in "));
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_fault() {
    let faults = load(std::path::Path::new("no-such-folder/portcullis.yaml"), &Environment::default())
        .expect_err("there is no such file");
    assert!(faults.to_string().starts_with("error: the configuration cannot be read: No such file"), "{faults}");
}
