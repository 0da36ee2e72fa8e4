//! From whom headers of the PROXY protocol come, and to whom they go.

use super::settings::check;
use super::{LEAST, faults, loaded, told};

#[test]
fn the_senders_are_networks_and_there_are_some() {
    check("proxyProtocol: { from: [10.0.0.0/8, \"fd00::/8\"] }", &[]);
    check("proxyProtocol: {}", &["5:1 missing key `proxyProtocol.from` | has no `from`"]);
    check(
        "proxyProtocol: { from: [] }",
        &["5:24 proxyProtocol.from: is empty | name the networks of the senders, or leave `proxyProtocol` out"],
    );
    check(
        "proxyProtocol: { from: [10.0.0.1, 10.0.0.1/8] }",
        &[
            "5:25 proxyProtocol.from[0]: `10.0.0.1` is not a network | write `10.0.0.1/32`",
            "5:35 proxyProtocol.from[1]: `10.0.0.1/8` has bits set beyond its prefix | write `10.0.0.0/8`, or a longer prefix",
        ],
    );
    check("proxyProtocol: v2", &["5:16 proxyProtocol: expected a mapping, found the text `v2` | expected a mapping"]);
    check("proxyProtocol: { form: [] }", &["5:18 unknown key `proxyProtocol.form` | did you mean `from`?"]);
}

#[test]
fn to_believe_everybody_is_a_warning() {
    for network in ["0.0.0.0/0", "::/0"] {
        let config = loaded(&format!("{LEAST}proxyProtocol: {{ from: [\"{network}\"] }}"));
        assert_eq!(
            config.warnings.iter().map(told).collect::<Vec<_>>(),
            [
                "5:24 proxyProtocol.from: has a network of all addresses | whoever can connect is believed to be any other"
            ]
        );
    }
}

#[test]
fn endpoints_are_told_by_a_version_that_there_is() {
    let with = |version: &str| faults(&LEAST.replace("v1,", &format!("v1, proxyProtocol: {version},")));
    assert_eq!([with("v1"), with("v2")], [const { Vec::<String>::new() }; 2]);
    assert_eq!(with("v3"), ["3:37 blue.proxyProtocol: `v3` is no version of it | write `v1` or `v2`"]);
    assert_eq!(with("2"), ["3:37 blue.proxyProtocol: expected a string, found the number 2 | expected a string"]);
    assert_eq!(
        with("v1, protocol: http2"),
        [
            "3:37 blue.proxyProtocol: is for connections of one client | a connection by HTTP/2 carries the requests of many clients"
        ]
    );
    assert_eq!(with("v1, protocol: auto"), Vec::<String>::new());
}
