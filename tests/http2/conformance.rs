//! What h2spec says; the step `h2spec` of tests/run brings it along.

use std::net::SocketAddr;
use std::process::Command;

use super::*;

/// By RFC 9113, section 3.4, the connection must end, and GOAWAY may be left out. The listener speaks HTTP/1 as well, by which
/// an invalid preface is a bad request, and says so before it ends the connection. h2spec takes the answer for a frame.
const IN_CLEAR_TEXT: &[&str] = &["× 2: Sends invalid connection preface"];

/// The cases that fail.
#[track_caller]
fn failures(h2spec: &str, listener: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(h2spec);
    command.args(["--host", "127.0.0.1", "--port", &listener.port().to_string(), "--timeout", "10"]);
    let output = command.args(arguments).args(["generic", "http2", "hpack"]).output().expect("h2spec is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = said.lines().last().unwrap_or_default();
    assert!(summary.contains(" tests, ") && !summary.starts_with("0 tests"), "{said}");
    println!("{arguments:?}: {summary}");
    let failed = said.split_once("Failures:").map_or("", |(_, failed)| failed);
    failed.lines().map(str::trim).filter(|line| line.starts_with('×')).map(str::to_owned).collect()
}

#[test]
fn row_54_h2spec_finds_nothing_but_what_is_explained() {
    let Ok(h2spec) = std::env::var("PORTCULLIS_H2SPEC") else { return };
    let (blue, authority, folder) = (Upstream::ok(), Authority::new(), folder());
    let clear = Proxy::before(&blue);
    let pair = authority.sign(&["localhost"]).write(folder.path(), "first");
    let secured = Proxy::before_with(&blue, &format!("tls: {{ certificates: [{pair}] }}"));
    for strict in [&[][..], &["--strict"]] {
        assert_eq!(failures(&h2spec, clear.listen, strict), IN_CLEAR_TEXT, "{strict:?}");
        let over_tls = [strict, &["--tls", "--insecure"]].concat();
        assert_eq!(failures(&h2spec, secured.listen, &over_tls), [""; 0], "{over_tls:?}");
    }
}
