//! `${NAME}` in the values of a file: what is put in its place, what is wrong with it, and what is kept of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::*;
use crate::config::source::{Document, Excerpts, Source};

const VARIABLES: [(&str, &str); 12] = [
    ("HOST", "green.example"),
    ("PORT", "9002"),
    ("LISTEN", "127.0.0.1:8080"),
    ("COUNT", "7"),
    ("SHARE", "12.5%"),
    ("TIME", "90s"),
    ("YES", "true"),
    ("DECIMAL", "1.10"),
    ("EMPTY", ""),
    ("SPACED", " 7\n"),
    ("REFERENCE", "${HOST} $$ $HOST"),
    ("KEYS", "a: 1, b: [2] # c\nd: 3"),
];

fn environment() -> Environment {
    let not_text = OsStr::from_bytes(b"\xff").to_owned();
    VARIABLES.iter().map(|(name, value)| (*name, value.into())).chain([("NOT_TEXT", not_text)]).collect()
}

fn document(text: &str, references: References<'_>) -> (Option<Document>, Vec<String>) {
    let source = Source::new("portcullis.yaml".to_owned(), text.to_owned(), Excerpts::Shown);
    let (document, faults) = source::parse(Arc::new(source), references);
    (document, faults.iter().map(told).collect())
}

/// What the text is without references, as JSON.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (document, faults) = document(text, References::To(&environment()));
    assert_eq!((document.map(|document| document.value.to_string()), faults), (Some(expected.to_owned()), vec![]));
}

#[track_caller]
fn refuse(text: &str, expected: &[&str]) {
    let (_, faults) = document(text, References::To(&environment()));
    assert_eq!(faults, expected, "{text}");
}

fn parsed(text: &str) -> Result<Config, Faults> {
    parse(text, "portcullis.yaml", Path::new(""), &environment())
}

#[test]
fn a_value_is_put_in_place_of_each_reference_and_is_of_the_kind_that_it_would_be_if_it_stood_there() {
    check("a: ${HOST}", r#"{"a":"green.example"}"#);
    check("a: http://${HOST}:${PORT}/x", r#"{"a":"http://green.example:9002/x"}"#);
    check("a: ${COUNT}", r#"{"a":7}"#);
    check("a: 1${COUNT}", r#"{"a":17}"#);
    check("a: \"${COUNT}\"", r#"{"a":"7"}"#);
    check("a: '${COUNT}'", r#"{"a":"7"}"#);
    check("a: ${DECIMAL}", r#"{"a":1.1}"#);
    check("a: '${DECIMAL}'", r#"{"a":"1.10"}"#);
    check("a: ${YES}", r#"{"a":true}"#);
    check("a: ${SPACED}", r#"{"a":7}"#);
    check("a: |\n  ${HOST}\n  $$\n", r#"{"a":"green.example\n$\n"}"#);
    check("a: >-\n  one\n  ${HOST}\n", r#"{"a":"one green.example"}"#);
    check("a: !!str ${COUNT}", r#"{"a":"7"}"#);
    check("a: &x ${COUNT}\nb: *x", r#"{"a":7,"b":7}"#);
}

#[test]
fn a_reference_needs_no_quotes_inside_of_braces_and_brackets() {
    check(
        "a: { b: ${HOST}, c: [${COUNT}, ${HOST}:${PORT}, '${YES}'] }",
        r#"{"a":{"b":"green.example","c":[7,"green.example:9002","true"]}}"#,
    );
    check("{ a: ${NONE:-[x, y]: {z # !}, b: 1 }", r#"{"a":"[x, y]: {z # !","b":1}"#);
    check("{ a: $${HOST}, b: [$$${PORT}] }", r#"{"a":"${HOST}","b":["$9002"]}"#);
    check("a: \u{fdd0} ${HOST}", "{\"a\":\"\u{fdd0} green.example\"}");
}

#[test]
fn a_default_is_for_a_variable_that_is_unset_or_empty() {
    check("a: ${NONE:-8}", r#"{"a":8}"#);
    check("a: ${EMPTY:-8}", r#"{"a":8}"#);
    check("a: ${COUNT:-8}", r#"{"a":7}"#);
    check("a: ${NONE:-127.0.0.1:8080}", r#"{"a":"127.0.0.1:8080"}"#);
    check("a: ${NONE:-a:-b}", r#"{"a":"a:-b"}"#);
    check("a: x${NONE:-}", r#"{"a":"x"}"#);
    check("a: '${EMPTY}'", r#"{"a":""}"#);
    check("a: ${NONE:-5 $$}", r#"{"a":"5 $"}"#);
}

#[test]
fn only_two_dollar_signs_and_one_before_a_brace_mean_something() {
    check("a: $HOST", r#"{"a":"$HOST"}"#);
    check("a: /odata/$metadata$", r#"{"a":"/odata/$metadata$"}"#);
    check("a: $${HOST}", r#"{"a":"${HOST}"}"#);
    check("a: $$${HOST}", r#"{"a":"$green.example"}"#);
    check("a: $$HOST", r#"{"a":"$HOST"}"#);
    check("a: $ {HOST}", r#"{"a":"$ {HOST}"}"#);
}

#[test]
fn keys_and_comments_have_no_references() {
    check("${HOST}: 1 # ${NONE}\n# ${NONE\n", r#"{"${HOST}":1}"#);
    check("{ ${HOST}: 1 }", r#"{"${HOST}":1}"#);
}

#[test]
fn what_a_variable_holds_is_no_yaml_and_has_no_references() {
    check("a: ${KEYS}\nb: 1", r#"{"a":"a: 1, b: [2] # c\nd: 3","b":1}"#);
    check("{ a: ${KEYS}, b: 1 }", r#"{"a":"a: 1, b: [2] # c\nd: 3","b":1}"#);
    check("a: ${REFERENCE}", r#"{"a":"${HOST} $$ $HOST"}"#);
}

#[test]
fn each_reference_that_cannot_be_resolved_is_a_fault_of_its_own_with_its_place() {
    let name = "what stands in `${…}` is not the name of a variable";
    let shape = "write `${NAME}` or `${NAME:-default}`";
    refuse(
        "a: x ${NONE} ${NONE} ${NOT_TEXT}\nb: [1, '${OTHER}']\n",
        &[
            "1:6 a: the variable `NONE` is not set | set it, or write `${NONE:-default}`",
            "1:14 a: the variable `NONE` is not set | set it, or write `${NONE:-default}`",
            "1:22 a: the variable `NOT_TEXT` is not UTF-8 | ",
            "2:9 b[1]: the variable `OTHER` is not set | set it, or write `${OTHER:-default}`",
        ],
    );
    refuse("a: x ${HOST", &[&format!("1:6 a: `${{` without its `}}` | {shape}")]);
    for inner in ["", " HOST", "1A", "HO-ST", "HOST-x", "HOST:?x", "env:HOST", "Ä"] {
        refuse(&format!("a: x ${{{inner}}}"), &[&format!("1:6 a: {name} | {shape}")]);
    }
    refuse("a: ${NONE:-${HOST}}", &["1:4 a: a reference inside of a default | write the default as text"]);
    refuse("a: ${EMPTY}", &["1:4 a: comes out empty | write a default, like `${NAME:-default}`"]);
    refuse(
        "a: |\n  one\n  ${NONE}\n",
        &["3:3 a: the variable `NONE` is not set | set it, or write `${NONE:-default}`"],
    );
    refuse("a: \"\\x24{NONE}\"", &["1:4 a: the variable `NONE` is not set | set it, or write `${NONE:-default}`"]);
    refuse("a: !!int ${HOST}", &["1:4 the tag does not fit | write the value without a tag"]);
    refuse("${NONE}", &["1:1 the variable `NONE` is not set | set it, or write `${NONE:-default}`"]);
    refuse(
        "{ a: ${HO-ST} }",
        &[&format!("1:7 this is not YAML: while parsing a flow mapping, did not find expected ',' or '}}' | {shape}")],
    );
}

#[test]
fn what_references_bring_in_is_bounded() {
    let large: Environment = [("LARGE", "x".repeat(100_000))].into_iter().collect();
    let text = format!("a: [{}]", "'${LARGE}', ".repeat(11));
    let (_, faults) = document(&text, References::To(&large));
    assert_eq!(faults, ["1:125 the values with references are longer than 1048576 bytes together | "]);
}

const REFERRING: &str = r#"
service: ${NAME:-checkout} in ${HOST}
listen: ${LISTEN}
workers: ${COUNT}
admin: { listen: 127.0.0.1:${ADMIN:-9090} }
blue: { version: "${DECIMAL}", endpoints: ["127.0.0.1:${BLUE:-9001}"] }
green: { version: v2, endpoints: [${HOST}:${PORT}, "http://${HOST}:9003"] }
accessLog: ${YES}
timeouts: { connect: ${TIME} }
release: { steps: [{ weight: ${SHARE}, bake: ${TIME}, approval: ${YES} }], irreversible: costs $$5 ${REFERENCE} }
gate:
  minimumRequests: ${COUNT}
  failureStatuses: [5xx, ${STATUS:-429}]
  triggers: [{ name: spike, metric: errorRate, above: ${SHARE} }]
"#;

#[test]
fn values_of_every_kind_may_be_references() {
    let config = parsed(REFERRING).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.service.as_str(), config.workers.get()), ("checkout in green.example", 7));
    assert_eq!((config.listen.to_string(), config.admin.listen.port()), ("127.0.0.1:8080".to_owned(), 9090));
    assert_eq!((config.versions.blue.version.as_str(), config.access_log), ("1.10", AccessLog::On(LineFormat::Json)));
    let endpoints: Vec<String> = config.versions.green.endpoints.iter().map(Endpoint::to_string).collect();
    assert_eq!(endpoints, ["green.example:9002", "green.example:9003"]);
    assert_eq!(config.timeouts.connect, Duration::from_secs(90));
    let plan = config.plan.expect("a plan is written");
    assert_eq!((plan.steps[0].weight.percent(), plan.steps[0].approval), (12.5, Approval::Operator));
    assert_eq!(plan.irreversible.as_deref(), Some("costs $5 ${HOST} $$ $HOST"));
    assert!(config.policy.counting.failures.contains(429));
}

#[test]
fn unset_variables_are_listed_with_all_other_faults_and_once_each() {
    let text = r#"
listen: ${LISTEN}
workers: ${WORKERS}
admin: { listen: ${ADMIN} }
blue: { version: v1, endpoints: [${BLUE_HOST}:9001, "a:0"] }
green: { version: ${GREEN}, endpoints: ${GREEN_ENDPOINTS} }
accessLog: ${LOG}
release: { steps: [{ weight: ${FIRST}, bake: 5m }] }
gate: { triggers: [{ name: slow, metric: ${METRIC}, above: 1% }], minimumReqests: ${COUNT} }
drain:
"#;
    let faults = parsed(text).map(|_| ()).expect_err("nine of them");
    let unset = |place: &str, path: &str, name: &str| {
        format!("{place} {path}: the variable `{name}` is not set | set it, or write `${{{name}:-default}}`")
    };
    assert_eq!(
        faults.iter().map(told).collect::<Vec<_>>(),
        [
            &unset("3:10", "workers", "WORKERS"),
            &unset("4:18", "admin.listen", "ADMIN"),
            &unset("5:34", "blue.endpoints[0]", "BLUE_HOST"),
            "5:53 blue.endpoints[1]: `a:0` has port 0 | an endpoint has a port from 1 to 65535",
            &unset("6:19", "green.version", "GREEN"),
            &unset("6:40", "green.endpoints", "GREEN_ENDPOINTS"),
            &unset("7:12", "accessLog", "LOG"),
            &unset("8:30", "release.steps[0].weight", "FIRST"),
            &unset("9:42", "gate.triggers[0].metric", "METRIC"),
            "9:67 unknown key `gate.minimumReqests` | did you mean `minimumRequests`?",
            "10:1 drain: has no value | give it a value, or remove it",
        ]
    );
    let shown = faults.to_string();
    assert!(shown.contains("3 | workers: ${WORKERS}\n  |          ^^^^^^^^^^ set it, or write"), "{shown}");
    assert!(shown.contains("for the text itself write `$${WORKERS}`"), "{shown}");
}

#[test]
fn a_value_that_is_wrong_is_shown_where_its_reference_stands() {
    let text = LEAST.replace("version: v2", "version: ${DECIMAL}") + "workers: ${HOST}\n";
    let faults = parsed(&text).expect_err("two are wrong");
    assert_eq!(
        faults.iter().map(told).collect::<Vec<_>>(),
        [
            "4:19 green.version: expected a string, found the number 1.1 | text that looks like something else stands \
             in quotes, write `\"${DECIMAL}\"`",
            "5:10 workers: expected a whole number, found the text `green.example` | expected a whole number",
        ]
    );
}

#[test]
fn the_kept_text_gives_the_same_policy_where_no_variable_is_set() {
    let config = parsed(REFERRING).unwrap_or_else(|faults| panic!("{faults}"));
    let rules = parse_rules(&config.text, "kept", References::Text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((Some(rules.policy), rules.plan), (Some(config.policy), config.plan));
    let other: Environment = VARIABLES.into_iter().chain([("COUNT", "8")]).collect();
    let changed =
        parse(REFERRING, "portcullis.yaml", Path::new(""), &other).unwrap_or_else(|faults| panic!("{faults}"));
    assert_ne!(changed.text, config.text, "another value is another configuration");
}

#[test]
fn a_text_without_references_is_kept_as_it_is() {
    let text = format!("# ${{NONE}}, and a price of $5\n{FULLER}");
    assert_eq!(&*parsed(&text).unwrap_or_else(|faults| panic!("{faults}")).text, text);
}

proptest! {
    #[test]
    fn no_value_adds_a_key_and_every_kept_text_holds_the_same_values(
        value in "([a-z0-9.~]{1,4}|[:,#{}\\[\\]&*!|>'\"%@`$\\\\ \n\r\t-]|true|[^\u{0}]){0,8}",
    ) {
        let set: Environment = [("V", value)].into_iter().collect();
        let text = "a: ${V}\nb: \"x${V}\"\nc: { d: ${V:-e}, f: [ '${V}', $$ ] }\ng: |\n  ${V}\n  $$\n";
        let (document, faults) = document(text, References::To(&set));
        let document = document.expect("the text is a mapping");
        let keys: Vec<&String> = document.value.as_object().expect("a mapping").keys().collect();
        prop_assert_eq!(keys, ["a", "b", "c", "g"]);
        let (again, _) = self::document(&document.resolved(), References::Text);
        prop_assert_eq!(again.map(|again| again.value), Some(document.value), "{:?}", faults);
    }

    #[test]
    fn no_reference_panics(text in "([a-c]|\\$|\\$\\{|\\}|:-|HOST|[\n\"'|,:#\u{fdd0}\u{fdd1} ]|[\\[\\]{}]|: |- |ü){0,40}") {
        if let Err(faults) = parsed(&text) {
            assert!(!faults.to_string().is_empty());
        }
    }
}
