//! The commands that check a configuration and operate a running proxy: what they print, and how they exit.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Backend, Proxy, config, portcullis, printed, refused, stderr, stdout};

struct Running {
    proxy: Proxy,
    url: String,
    _backend: Backend,
}

fn running() -> Running {
    let backend = Backend::answering(200);
    let proxy = Proxy::start(&config(&[backend.address], &[backend.address], "service: checkout"));
    Running { url: format!("http://{}", proxy.admin), proxy, _backend: backend }
}

#[test]
fn a_release_is_operated_from_the_command_line() {
    let Running { proxy, url, .. } = &running();
    let go = |arguments: &[&str]| portcullis(arguments, &[("PORTCULLIS_ADMIN", url)]);
    let shown = printed(&go(&["status"]));
    assert!(shown.starts_with("checkout: idle, green at 0 % (epoch 0)\n"), "{shown}");

    let shown = printed(&go(&["release", "start", "--reason", "v2 is here"]));
    assert!(shown.starts_with("checkout: stepping, green at 0 % (epoch 1)\n"), "{shown}");
    let shown = printed(&go(&["weight", "12.34", "--reason", "a first look"]));
    assert!(shown.starts_with("checkout: stepping, green at 12.34 % (epoch 1)\n"), "{shown}");
    assert_eq!(proxy.status()["weight"], 12.34);
    let shown = printed(&go(&["weight", "50"]));
    assert!(shown.contains("green at 50 %"), "{shown}");
    for line in ["blue  v1: 0 requests, 0 failed (0.00 %)", "green v2: ", "1 of 1 endpoints healthy", "wait: "] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }

    let shown = printed(&go(&["release", "rollback", "--reason", "enough"]));
    assert!(shown.starts_with("checkout: rolledBack, green at 0 % (epoch 1)\n"), "{shown}");
    assert!(shown.contains("rolled back by local: enough"), "{shown}");
    let said = refused(&go(&["weight", "50"]), 1);
    assert!(said.starts_with("error: epoch 1 was rolled back (rolled back by local: enough)"), "{said}");
    assert!(said.contains("POST /v1/release") && said.contains("409"), "{said}");
    assert_eq!(proxy.status()["weight"], 0.0);
    printed(&go(&["release", "start"]));
    let said = refused(&go(&["release", "start"]), 1);
    assert!(said.starts_with("error: release 2 is open"), "{said}");
    assert_eq!(proxy.status()["epoch"], 2);
}

#[test]
fn with_json_every_command_that_shows_the_state_prints_the_status() {
    let Running { proxy, url, .. } = &running();
    for (arguments, state, weight) in [
        (&["status"] as &[&str], "idle", 0.0),
        (&["release", "start"], "stepping", 0.0),
        (&["weight", "25"], "stepping", 25.0),
        (&["status"], "stepping", 25.0),
        (&["release", "rollback"], "rolledBack", 0.0),
    ] {
        let shown = printed(&portcullis(&[arguments, &["--json", "--admin", url]].concat(), &[]));
        let status: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!((&status["state"], &status["weight"]), (&json!(state), &json!(weight)), "{arguments:?}");
        let fields = |status: &Value| status.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
        assert_eq!(fields(&status), fields(&proxy.status()), "the same as GET /v1/status");
    }
}

#[test]
fn a_weight_that_is_none_is_refused_by_the_command_or_by_the_proxy() {
    let Running { proxy, url, .. } = &running();
    for (weight, code, sentence) in [
        ("abc", 2, "invalid value 'abc'"),
        ("-1", 1, "-1 is too low"),
        ("101", 1, "101 is too high"),
        ("33.333", 1, "33.333 is too fine"),
        ("NaN", 1, "weight"),
        ("inf", 1, "weight"),
        ("1e309", 1, "weight"),
    ] {
        let said = refused(&portcullis(&["weight", weight, "--admin", url], &[]), code);
        assert!(said.starts_with("error: ") && said.contains(sentence), "{weight}: {said}");
    }
    let status = proxy.status();
    assert_eq!((&status["state"], &status["epoch"]), (&json!("idle"), &json!(0)));
}

#[test]
fn the_address_and_the_token_come_from_the_flag_or_else_from_the_environment() {
    let token = "a-token-for-commands";
    let digest: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = written("tokens", &format!("tokens: [{{ name: otto, role: operator, sha256: \"{digest}\" }}]"));
    let backend = Backend::answering(200);
    let text = config(&[backend.address], &[backend.address], "")
        .replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: 127.0.0.1:0, tokens: {file:?} }}"));
    let proxy = Proxy::start(&text);
    std::fs::remove_file(&file).expect("it was written");
    let url = format!("http://{}", proxy.admin);
    let (nowhere, wrong) = ("http://127.0.0.1:1", "a-wrong-token");

    let said = refused(&portcullis(&["status", "--admin", &url], &[]), 1);
    assert_eq!(said, "error: a bearer token is needed (401 Unauthorized)\n");
    let said = refused(&portcullis(&["status", "--admin", &url, "--token", wrong], &[]), 1);
    assert_eq!(said, "error: the bearer token is not known (401 Unauthorized)\n");
    printed(&portcullis(&["status", "--admin", &url, "--token", token], &[]));
    printed(&portcullis(&["status"], &[("PORTCULLIS_ADMIN", &url), ("PORTCULLIS_TOKEN", token)]));
    let environment = [("PORTCULLIS_ADMIN", nowhere), ("PORTCULLIS_TOKEN", wrong)];
    let shown = printed(&portcullis(&["weight", "5", "--admin", &url, "--token", token], &environment));
    assert!(shown.contains("green at 5 %"), "{shown}");
    refused(&portcullis(&["status", "--admin", &url], &environment), 1);

    let help = stdout(&portcullis(&["status", "--help"], &[("PORTCULLIS_TOKEN", token)]));
    assert!(help.contains("PORTCULLIS_TOKEN") && !help.contains(token), "{help}");
}

#[test]
fn an_address_where_no_proxy_answers_is_named_in_the_error() {
    for (url, sentence) in [
        ("http://127.0.0.1:1", "no proxy answers at http://127.0.0.1:1"),
        ("ftp://127.0.0.1:1", "http and https only"),
        ("/status", "names no host"),
    ] {
        for arguments in [&["status"] as &[&str], &["weight", "5"], &["release", "start"], &["release", "rollback"]] {
            let said = refused(&portcullis(&[arguments, &["--admin", url]].concat(), &[]), 1);
            assert!(said.starts_with("error: ") && said.contains(sentence), "{arguments:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
    let other = Backend::answering(200);
    let said = refused(&portcullis(&["status", "--admin", &format!("http://{}", other.address)], &[]), 1);
    assert!(said.contains("not JSON"), "{said}");
}

/// Writes a file of the test's own.
fn written(name: &str, text: &str) -> PathBuf {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}-{number}.yaml", std::process::id()));
    std::fs::write(&file, text).expect("the target folder can be written");
    file
}

#[test]
fn check_shows_every_fault_with_line_and_column() {
    let address = "127.0.0.1:1".parse().expect("an address");
    let other = "127.0.0.1:2".parse().expect("an address");
    let good = written("good", &config(&[address], &[other], ""));
    let name = good.to_str().expect("text");
    assert_eq!(printed(&portcullis(&["check", name], &[])), format!("{name}: no faults\n"));
    let shown: Value = serde_json::from_str(&printed(&portcullis(&["check", name, "--json"], &[]))).expect("JSON");
    assert_eq!((&shown["faults"], &shown["warnings"]), (&json!([]), &json!([])));
    std::fs::remove_file(&good).expect("it was written");

    let text = "listen: 127.0.0.1:8080\nadmin: { listen: 0.0.0.0:9090 }\nworkers: none\n\
                blue: { version: v1, endpoints: [] }\ngreen: { version: v2, endpoints: [\"a:1\"] }\nlisen: 1\n";
    let bad = written("bad", text);
    let name = bad.to_str().expect("text");
    let said = refused(&portcullis(&["check", name], &[]), 1);
    let positions = ["2:18", "3:10", "4:33", "6:1"];
    for position in positions {
        assert!(said.contains(&format!("{name}:{position}\n")), "no {position} in {said}");
    }
    let output = portcullis(&["check", "--json", name], &[]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""));
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let found: Vec<String> = shown["faults"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|fault| format!("{}:{}", fault["line"], fault["column"]))
        .collect();
    assert_eq!(found, positions);
    let said = refused(&portcullis(&["run", "--config", name], &[]), 1);
    assert!(said.contains("admin.listen") && said.contains("is not usable"), "{said}");
    std::fs::remove_file(&bad).expect("it was written");

    let said = refused(&portcullis(&["check", name], &[]), 2);
    assert!(said.contains(name) && said.contains("cannot be read"), "{said}");
}

#[test]
fn levels_of_the_log_that_are_none_are_refused_with_what_would_be() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let nobody = "127.0.0.1:1".parse().expect("an address");
    // So that it ends also where the levels are taken.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("bound").to_string();
    let text = config(&[nobody], &[nobody], "").replacen("127.0.0.1:0", &listen, 1);
    std::fs::write(file.path(), text).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let said = refused(&portcullis(&["run", "--config", path], &[("RUST_LOG", "info,portcullis=loud")]), 1);
    assert!(
        said.contains("RUST_LOG") && said.contains("info,portcullis=loud") && said.contains("as `debug`"),
        "{said}"
    );
}

/// `run` does not start with `listen` or `admin.listen` at `address`, and says which, and what would help.
#[track_caller]
fn check_unbound(key: &str, address: SocketAddr, why: &str, remedy: &str) {
    let free = "127.0.0.1:0".parse().expect("an address");
    let (listen, admin) = if key == "listen" { (address, free) } else { (free, address) };
    let [blue, green] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let text = config(&[blue], &[green], "").replace(
        "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }",
        &format!("listen: {listen}\nadmin: {{ listen: {admin} }}"),
    );
    let file = written("unbound", &text);
    let said = refused(&portcullis(&["run", "--config", file.to_str().expect("text")], &[]), 1);
    std::fs::remove_file(&file).expect("it was written");
    let start = format!("error: the proxy could not start: `{key}`: {address} cannot be listened on: {why}");
    assert!(said.starts_with(&start) && said.ends_with(&format!("; {remedy}\n")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_address_where_another_process_listens_is_named_with_its_key() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let foreign = listener.local_addr().expect("a bound socket");
    let Running { proxy, .. } = &running();
    let taken =
        [("listen", foreign), ("admin.listen", foreign), ("listen", proxy.listen), ("admin.listen", proxy.admin)];
    for (key, address) in taken {
        let remedy = "another process listens there: stop it, or choose another port";
        check_unbound(key, address, "Address already in use", remedy);
    }
}

#[test]
fn an_address_that_this_machine_does_not_have_is_named_with_its_key() {
    // Reserved for documentation (RFC 5737).
    let nowhere = "192.0.2.1:8080".parse().expect("an address");
    let remedy = "this machine has no such address: choose one that it has, or 0.0.0.0 for all";
    check_unbound("listen", nowhere, "Cannot assign requested address", remedy);
}

#[test]
fn check_and_run_resolve_variables_and_check_lists_those_that_are_not_set() {
    let backend = Backend::answering(200);
    let text = config(&[backend.address], &[backend.address], "")
        .replace("workers: 1", "workers: ${WORKERS}\nservice: ${SERVICE}-${STAGE:-test}");
    let file = written("variables", &text);
    let name = file.to_str().expect("text");
    let said = refused(&portcullis(&["check", name], &[("STAGE", "staging")]), 1);
    for (variable, position) in [("WORKERS", "3:10"), ("SERVICE", "4:10")] {
        assert!(said.contains(&format!("the variable `{variable}` is not set\n --> {name}:{position}\n")), "{said}");
    }
    assert!(said.contains("2 faults in "), "{said}");
    let environment = [("WORKERS", "1"), ("SERVICE", "checkout")];
    assert_eq!(portcullis(&["check", name], &environment).status.code(), Some(0));
    std::fs::remove_file(&file).expect("it was written");

    let data = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start_by(&["env", "WORKERS=1", "SERVICE=checkout"], data.path(), &text);
    assert_eq!(proxy.status()["service"], "checkout-test");
}

#[test]
fn one_endpoint_in_both_versions_is_warned_of_by_check_and_when_the_proxy_starts() {
    let backend = Backend::answering(200);
    let text = config(&[backend.address], &[backend.address], "");
    let file = written("shared", &text);
    let name = file.to_str().expect("text");
    let message = format!("green.endpoints[0]: `{}` is an endpoint of blue too on line 4", backend.address);
    let output = portcullis(&["check", name], &[]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), format!("{name}: no faults\n")));
    let said = stderr(&output);
    assert!(said.starts_with(&format!("warning: {message}\n --> {name}:5:35\n")), "{said}");
    assert!(said.ends_with(&format!("warning: 1 warning in {name}\n")), "{said}");
    let shown: Value = serde_json::from_str(&printed(&portcullis(&["check", "--json", name], &[]))).expect("JSON");
    let warning = &shown["warnings"][0];
    assert_eq!((&warning["line"], &warning["column"], &warning["message"]), (&json!(5), &json!(35), &json!(message)));
    std::fs::remove_file(&file).expect("it was written");

    let logged = Proxy::start(&text).until_logged(&message);
    assert_eq!((&logged["level"], &logged["line"], &logged["column"]), (&json!("WARN"), &json!(5), &json!(35)));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&portcullis(&["completions", shell], &[]));
        for word in [
            "portcullis",
            "status",
            "watch",
            "weight",
            "pause",
            "resume",
            "approve",
            "promote",
            "rollback",
            "irreversible",
            "gate",
            "history",
            "report",
            "replay",
            "policy",
            "completions",
        ] {
            assert!(script.contains(word), "no {word} for {shell}");
        }
    }
    refused(&portcullis(&["completions", "csh"], &[]), 2);
    let checked = Command::new("bash").arg("-n").arg("/dev/stdin").stdin(std::process::Stdio::piped()).spawn();
    let mut checked = checked.expect("bash is there");
    let script = portcullis(&["completions", "bash"], &[]).stdout;
    std::io::Write::write_all(&mut checked.stdin.take().expect("it was piped"), &script).expect("bash reads");
    assert!(checked.wait().expect("a child of ours").success(), "bash can read the script");
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let out = folder.path().join("man1");
    let first = printed(&portcullis(&["man", "--out", out.to_str().expect("text")], &[]));
    assert_eq!(first, format!("{}\n", out.join("portcullis.1").display()));
    let page = |name: &str| std::fs::read_to_string(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let help = printed(&portcullis(&["--help"], &[]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What does not fit is continued further in.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 12 && commands.contains(&"watch"), "{help}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let page = page(&format!("portcullis-{command}.1"));
        assert!(page.contains(&format!(".TH portcullis-{command} 1")) && page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(page("portcullis-release-rollback.1").contains("\\-\\-reason"));
    assert!(page("portcullis.1").contains("portcullis\\-watch(1)"), "{}", page("portcullis.1"));
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "").expect("writable");
    let said = refused(&portcullis(&["man", "--out", in_the_way.to_str().expect("text")], &[]), 1);
    assert!(said.contains("could not be written to"), "{said}");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask_for_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("faulty.yaml");
    std::fs::write(&file, "listen: 7\n").expect("writable");
    let name = file.to_str().expect("text");
    let is_coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        let said = refused(&portcullis(&[&["check", name], arguments].concat(), environment), 1);
        said.contains('\x1b')
    };
    assert!(
        !is_coloured(&[], &[]) && !is_coloured(&["--color", "auto"], &[]) && !is_coloured(&["--color", "never"], &[])
    );
    assert!(is_coloured(&["--color", "always"], &[]) && is_coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    refused(&portcullis(&["--color", "green", "check", name], &[]), 2);
}

#[test]
fn the_form_of_what_is_printed_is_chosen_the_same_way_everywhere() {
    let Running { url, .. } = &running();
    for command in [&["status"] as &[&str], &["weight", "10"], &["release", "rollback"]] {
        let call = |way: &[&str]| portcullis(&[command, way].concat(), &[("PORTCULLIS_ADMIN", url)]);
        for way in [&["--json"] as &[&str], &["-o", "json"], &["--output", "json"], &["-ojson"]] {
            let status: Value = serde_json::from_str(&printed(&call(way))).expect("JSON");
            assert_eq!(status["service"], "checkout", "{command:?} {way:?}");
            if command == ["release", "rollback"] {
                break;
            }
        }
        refused(&call(&["-o", "yaml"]), 2);
        refused(&call(&["-o", "text", "--json"]), 2);
    }
    let call = |way: &[&str]| printed(&portcullis(&[&["status", "--admin", url], way].concat(), &[]));
    assert_eq!(call(&["-o", "text"]), call(&[]));
}

#[test]
fn a_command_that_is_not_there_is_an_error_of_usage() {
    for arguments in [&[] as &[&str], &["wait"], &["release"], &["release", "undo"], &["weight"], &["run"]] {
        let said = refused(&portcullis(arguments, &[]), 2);
        assert!(said.contains("Usage: portcullis"), "{arguments:?}: {said}");
    }
    let version = printed(&portcullis(&["--version"], &[]));
    assert_eq!(version, format!("portcullis {}\n", env!("CARGO_PKG_VERSION")));
}
