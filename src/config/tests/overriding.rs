//! Each rule for who may choose a version.

use super::{LEAST, faults};
use crate::config::{Environment, parse};
use std::path::Path;

fn check(keys: &str, expected: &[&str]) {
    assert_eq!(faults(&format!("{LEAST}override: {{ {keys} }}")), expected, "{keys}");
}

#[test]
fn there_is_something_to_choose_with_and_somebody_who_may() {
    check("header: x-version, from: [10.0.0.0/8]", &[]);
    check("cookie: version, from: [10.0.0.0/8], streak: true, triggers: true", &[]);
    check(
        "from: [10.0.0.0/8]",
        &["5:11 override: says neither `header` nor `cookie` | write one, like `header: x-portcullis-version`"],
    );
    check(
        "header: x-version",
        &["5:11 override: lets nobody choose | write `from`, networks that may, or `secret`, for signed values"],
    );
}

#[test]
fn a_name_is_one_that_requests_can_do_without() {
    check(
        "header: \"x version\", from: [10.0.0.0/8]",
        &[
            "5:21 override.header: `x version` is not the name of a header | letters, digits and `-` or `_`, at most 100",
        ],
    );
    check(
        "header: Cookie, from: [10.0.0.0/8]",
        &["5:21 override.header: `Cookie` says something else | choose a name of its own, like `x-portcullis-version`"],
    );
    check(
        "cookie: \"a=b\", from: [10.0.0.0/8]",
        &["5:21 override.cookie: `a=b` is not the name of a cookie | letters, digits and `-` or `_`, at most 100"],
    );
}

#[test]
fn a_secret_is_long_and_stands_elsewhere() {
    let faults = |secret: &str| -> Vec<String> {
        let variables = [("LONG", "0123456789abcdef"), ("SHORT", "0123456789abcde")];
        let environment: Environment = variables.into_iter().collect();
        let text = format!("{LEAST}override: {{ header: x-version, secret: {secret} }}");
        match parse(&text, "portcullis.yaml", Path::new(""), &environment) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(super::told).collect(),
        }
    };
    assert_eq!(faults("env:LONG"), Vec::<String>::new());
    assert_eq!(
        faults("env:SHORT"),
        [
            "5:40 override.secret: is too short to be a secret | at least 16 characters; `openssl rand -hex 32` makes one"
        ]
    );
    assert_eq!(
        faults("0123456789abcdef0"),
        ["5:40 override.secret: is written out, and is a secret | write `env:NAME` or `file:PATH`"]
    );
}

#[test]
fn to_let_everybody_choose_is_a_warning() {
    let text = format!("{LEAST}override: {{ header: x-version, from: [0.0.0.0/0] }}");
    let warnings = super::loaded(&text).warnings;
    let told: Vec<&str> = warnings.iter().map(crate::config::Fault::message).collect();
    assert_eq!(told, ["override.from: has a network of all addresses"]);
}
