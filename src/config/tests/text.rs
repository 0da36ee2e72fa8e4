//! Texts that are no configuration, or hardly YAML.

use super::faults;

fn check(text: &str, expected: &[&str]) {
    assert_eq!(faults(text), expected, "{text}");
}

#[test]
fn each_text_has_these_faults() {
    check("", &["file the file is empty | "]);
    check("# nothing", &["file the file is empty | "]);
    check("- a", &["1:1 the file is not a mapping | write `key: value` lines"]);
    check("text", &["1:1 the file is not a mapping | write `key: value` lines"]);
    check(
        "{}",
        &[
            "1:1 missing key `listen` | has no `listen`",
            "1:1 missing key `admin` | has no `admin`",
            "1:1 missing key `blue` | has no `blue`",
            "1:1 missing key `green` | has no `green`",
        ],
    );
    check("listen: [1", &["1:11 this is not YAML: while parsing a flow sequence, expected ',' or ']' | "]);
    check("listen: \"a", &["1:9 this is not YAML: while scanning a quoted scalar, found unexpected end of stream | "]);
    check("a: 1\n b: 2", &["2:3 this is not YAML: mapping values are not allowed in this context | "]);
    check("a: *b", &["1:4 this is not YAML: while parsing node, found unknown anchor | "]);
    check("a: &a [*a]", &["1:8 an alias inside of what it stands for | "]);
    check(
        "1: x",
        &[
            "1:1 a key that is not text | put it in quotes",
            "1:1 missing key `listen` | has no `listen`",
            "1:1 missing key `admin` | has no `admin`",
            "1:1 missing key `blue` | has no `blue`",
            "1:1 missing key `green` | has no `green`",
        ],
    );
    check(
        "? [a]\n: b",
        &[
            "1:1 missing key `listen` | has no `listen`",
            "1:1 missing key `admin` | has no `admin`",
            "1:1 missing key `blue` | has no `blue`",
            "1:1 missing key `green` | has no `green`",
            "1:3 a key that is not text | put it in quotes",
        ],
    );
    check("a: !env B", &["1:4 the tag does not fit | write the value without a tag"]);
    check("a: !env [B]", &["1:4 the tag does not fit | write the value without a tag"]);
    check(
        "listen: 127.0.0.1:1\n---\na: b",
        &["2:1 the file holds a second document | only one is read, remove this `---`"],
    );
    check(
        "# ü\r\nlisten: \"ü\"\r\nübel: 1\r\n",
        &[
            "2:1 missing key `admin` | has no `admin`",
            "2:1 missing key `blue` | has no `blue`",
            "2:1 missing key `green` | has no `green`",
            "2:9 listen: `ü` is not an IP address with a port | write an address like `127.0.0.1:8080` or `[::1]:8080`",
            "3:1 unknown key `übel` | not a key here",
        ],
    );
    check(
        "blue: { version: v, version: w }",
        &[
            "1:1 missing key `listen` | has no `listen`",
            "1:1 missing key `admin` | has no `admin`",
            "1:1 missing key `blue.endpoints` | has no `endpoints`",
            "1:1 missing key `green` | has no `green`",
            "1:21 duplicate key `blue.version` | already on line 1",
        ],
    );
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let levels =
        (1..9).map(|level| format!("b{level}: &b{level} [{}]\n", vec![format!("*b{}", level - 1); 9].join(",")));
    let text = format!("b0: &b0 [x]\n{}", levels.collect::<String>());
    check(&text, &["5:30 the aliases stand for more than 10000 values | "]);
}

#[test]
fn depth_is_bounded_also_when_aliases_add_to_it() {
    check(&"[".repeat(200), &["1:33 the file is nested deeper than 32 levels | "]);
    check(&"- ".repeat(200), &["1:65 the file is nested deeper than 32 levels | "]);
    let levels = (1..40).map(|level| format!("b{level}: &b{level} [*b{}]\n", level - 1));
    let text = format!("b0: &b0 [x]\n{}", levels.collect::<String>());
    check(&text, &["32:12 the file is nested deeper than 32 levels | "]);
}

#[test]
fn an_alias_stands_for_its_value() {
    let text =
        super::LEAST.replace("[\"127.0.0.1:9001\"]", "&e [\"127.0.0.1:9001\"]").replace("[\"127.0.0.1:9002\"]", "*e");
    check(&text, &[]);
    check(
        &text.replace("9001", "0"),
        &[
            "3:37 blue.endpoints[0]: `127.0.0.1:0` has port 0 | an endpoint has a port from 1 to 65535",
            "3:37 green.endpoints[0]: `127.0.0.1:0` has port 0 | an endpoint has a port from 1 to 65535",
        ],
    );
}

#[test]
fn faults_beyond_what_is_read_or_shown_are_counted() {
    let unknown: String = (0..150).map(|key| format!("k{key}: 1\n")).collect();
    let faults = super::refused(&format!("{}{unknown}", super::LEAST)).to_string();
    assert!(faults.ends_with("error: 150 faults in portcullis.yaml, the first 100 are shown"), "{faults}");
    let mistyped = format!("{}trustedProxies: [{}]", super::LEAST, "[],".repeat(150));
    assert!(self::faults(&mistyped).iter().any(|fault| fault.contains("the rest of the file was not looked at")));
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let text = "listen:\n- a\n- b\nworkers: 0\n";
    assert_eq!(super::refused(&text.replace('\n', "\r\n")).to_string(), super::refused(text).to_string());
}

#[test]
fn two_ports_that_the_system_chooses_do_not_collide() {
    check(&super::LEAST.replace(":8080", ":0").replace(":9090", ":0"), &[]);
}
