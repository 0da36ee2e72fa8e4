//! Endpoints that are sockets in the file system, and those that speak TLS.

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
fn endpoints_may_have_clients_of_their_own_by_one_key() {
    let blue = |balance: &str| format!("blue: {{ version: v1, endpoints: [\"127.0.0.1:1\"], balance: {balance} }}");
    for (balance, wrong) in [
        ("{}", "3:59 blue.balance: says none of `cookie`, `header` and `address` | write one, like `cookie: session`"),
        (
            "{ cookie: a, address: true }",
            "3:72 blue.balance.address: a second key beside `cookie`: a client has one | remove one of them",
        ),
        ("{ header: a, uri: true }", "3:72 unknown key `blue.balance.uri` | not a key here"),
        ("leastRequests", "3:59 blue.balance: expected a mapping, found the text `leastRequests` | expected a mapping"),
    ] {
        check(&blue(balance), &[wrong]);
    }
    check(&blue("{ header: x-user }"), &[]);
}

#[test]
fn a_socket_is_one_endpoint_and_stands_unquoted_and_a_host_may_be_called_unix() {
    check("blue: { version: v1, endpoints: [unix:/run/app@1.sock, unix:8080] }", &[]);
    check(
        "blue: { version: v1, endpoints: [unix:/run/a, unix:/run/a] }",
        &["3:47 blue.endpoints[1]: `unix:/run/a` is in the list already | remove it"],
    );
}

#[test]
fn an_endpoint_by_https_is_at_port_443_where_none_is_said_and_another_than_the_same_without_tls() {
    for (text, shown, name) in [
        ("https://Shop.example", "https://shop.example:443", "shop.example"),
        ("https://shop.example.:8443", "https://shop.example.:8443", "shop.example"),
        ("https://[::1]", "https://[::1]:443", "::1"),
        ("https://10.0.0.9:1", "https://10.0.0.9:1", "10.0.0.9"),
        ("https://my_shop", "https://my_shop:443", "my_shop"),
    ] {
        let endpoint = endpoint(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
        let told = endpoint.server_name().map(|name| name.to_str().into_owned());
        assert_eq!((endpoint.to_string(), told.as_deref()), (shown.to_owned(), Some(name)), "{text}");
        assert_eq!(super::super::endpoint(shown).as_ref(), Ok(&endpoint), "the journal has it so");
    }
    let plain = endpoint("http://shop:1").expect("it is one");
    assert_eq!((plain.server_name(), plain.to_string().as_str()), (None, "shop:1"));
    assert_ne!(endpoint("https://shop:1"), Ok(plain));
}
