//! Endpoints that are sockets in the file system.

use super::settings::check;
use crate::config::endpoint;

#[test]
fn a_socket_is_named_by_its_absolute_path_and_a_wrong_one_is_refused_with_what_would_be_right() {
    let check = |endpoint: &str, expected: &str| {
        let line = format!("blue: {{ version: v1, endpoints: [\"{endpoint}\"] }}");
        check(&line, &[&format!("3:34 blue.endpoints[0]: `{endpoint}` {expected}")]);
    };
    let whole = "write the whole path of a socket, like `unix:/run/app.sock`";
    for relative in ["unix:run/app.sock", "unix:./app.sock", "unix:", "unix:@app", "unix:~/app.sock"] {
        check(relative, &format!("has no absolute path | {whole}"));
    }
    check("unix:///run/app.sock", "has more than one slash | write `unix:/run/app.sock`");
    check("unix:/run/", &format!("names a folder | {whole}"));
    let long = format!("/{}", "a".repeat(107));
    let wrong = endpoint(&format!("unix:{long}")).expect_err("it is too long");
    let said = "has a path of 108 bytes: the path of a socket has at most 107; a symbolic link may be shorter";
    assert!(wrong.ends_with(said), "{wrong}");
    assert_eq!(endpoint(&format!("unix:{}", &long[..107])).map(|endpoint| endpoint.to_string().len()), Ok(112));
}

#[test]
fn a_socket_is_one_endpoint_and_stands_unquoted_and_a_host_may_be_called_unix() {
    check("blue: { version: v1, endpoints: [unix:/run/app@1.sock, unix:8080] }", &[]);
    check(
        "blue: { version: v1, endpoints: [unix:/run/a, unix:/run/a] }",
        &["3:47 blue.endpoints[1]: `unix:/run/a` is in the list already | remove it"],
    );
}
