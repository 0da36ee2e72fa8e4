//! What keeps a client on one version.

use std::time::Duration;

use super::settings::check;
use super::{LEAST, loaded};
use crate::config::{ClientKey, IssuedCookie, Sticky};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_client_is_kept_by_a_cookie_a_header_or_its_address() {
    check(
        "sticky: {}",
        &["5:9 sticky: says none of `cookie`, `header` and `address` | write one, like `cookie: session`"],
    );
    check(
        "sticky: { cookie: a, header: b }",
        &["5:22 sticky.header: a second key beside `cookie`: a client has one | remove one of them"],
    );
    check(
        "sticky: { cookie: a b }",
        &["5:19 sticky.cookie: `a b` is not the name of a cookie | letters, digits and `-` or `_`, at most 100"],
    );
    check(
        r#"sticky: { header: "x:" }"#,
        &["5:19 sticky.header: `x:` is not the name of a header | letters, digits and `-` or `_`, at most 100"],
    );
    check(
        r#"sticky: { header: "" }"#,
        &["5:19 sticky.header: `` is not the name of a header | letters, digits and `-` or `_`, at most 100"],
    );
    check("sticky: { coookie: a }", &["5:11 unknown key `sticky.coookie` | did you mean `cookie`?"]);
    check(
        "sticky: { header: a, address: true }",
        &["5:22 sticky.address: a second key beside `header`: a client has one | remove one of them"],
    );
    check(
        "sticky: { address: false }",
        &["5:20 sticky.address: `false` names no key | write `true`, or another key, like `cookie: session`"],
    );
    check(
        "sticky: { address: 10.0.0.1 }",
        &["5:20 sticky.address: expected `true` or `false`, found the text `10.0.0.1` | expected `true` or `false`"],
    );
}

#[test]
fn only_a_cookie_is_issued() {
    check(
        "sticky: { address: true, issue: true }",
        &[
            "5:26 sticky.issue: needs a `cookie` | only a cookie can be issued: write `cookie: portcullis`, or remove this",
        ],
    );
    check(
        "sticky: { issue: { maxAge: 30d } }",
        &["5:9 sticky: says none of `cookie`, `header` and `address` | write one, like `cookie: session`"],
    );
    check(
        "sticky: { cookie: a, issue: { maxAge: 500d } }",
        &["5:39 sticky.issue.maxAge: `500d` is above 400d | from 1m to 400d"],
    );
    check(
        "sticky: { cookie: a, issue: { maxage: 1h } }",
        &["5:31 unknown key `sticky.issue.maxage` | did you mean `maxAge`?"],
    );
    let sticky = |issue: &str| loaded(&format!("{LEAST}sticky: {{ cookie: a, issue: {issue} }}")).sticky;
    let issued = |max_age| Some(Sticky::Issued(IssuedCookie { name: "a".to_owned(), max_age }));
    assert_eq!(sticky("false"), Some(Sticky::Own(ClientKey::Cookie("a".to_owned()))));
    assert_eq!(sticky("true"), issued(HOUR * 24 * 30));
    assert_eq!(sticky("{ maxAge: 1h }"), issued(HOUR));
}
