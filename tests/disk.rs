//! What a bad disk may cost: never traffic, never a flip, and always an alarm.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Backend, Listener, Load, Proxy, config, eventually, folder};

const GATE: &str = "gate: { compare: { enabled: false }, \
                    triggers: [{ name: dead, metric: failureStreak, atLeast: 5, action: rollback }] }\n";

fn backends() -> (Backend, Backend, String) {
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let text = config(&[blue.address], &[green.address], GATE);
    (blue, green, text)
}

fn errors(proxy: &Proxy) -> f64 {
    proxy.metric("portcullis_journal_errors_total", &[])
}

/// Everything goes to blue, and everybody is told why.
#[track_caller]
fn assert_alarmed(proxy: &Proxy, green: &Backend, why: &str) -> Value {
    let status = proxy.status();
    let reason = status["rollback"]["reason"].as_str().unwrap_or_default();
    assert_eq!((&status["state"], &status["weight"]), (&json!("rolledBack"), &json!(0.0)), "{status:#}");
    assert!(reason.starts_with("the journal cannot be read") && reason.contains(why), "{why:?} in {reason:?}");
    assert_eq!(status["verdict"]["sentence"], reason);
    eventually("the reason in the log", || proxy.log().contains(reason).then_some(()));
    eventually("the alarm", || (errors(proxy) >= 1.0).then_some(()));
    for _ in 0..50 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!(green.count(), 0);
    status
}

/// A release goes its way and comes back at once.
#[track_caller]
fn assert_flips(proxy: &Proxy, green: &Backend) {
    assert_eq!(proxy.post("/v1/release", &json!({})).status, 200);
    proxy.set_weight(50.0);
    for _ in 0..50 {
        assert_eq!(proxy.get("/").status, 200);
    }
    let of_green = green.count();
    assert!(of_green > 0);
    assert_eq!(proxy.post("/v1/release/rollback", &json!({})).status, 200);
    for _ in 0..50 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert_eq!((green.count(), &proxy.status()["state"]), (of_green, &json!("rolledBack")));
}

#[test]
fn row_65_a_data_directory_that_cannot_be_made_is_an_alarm_and_traffic_and_flips_go_on() {
    let (_blue, green, text) = backends();
    let folder = folder();
    let file = folder.path().join("data");
    std::fs::write(&file, "no folder").expect("it can be written");
    let proxy = Proxy::start_in(&file, &text);
    assert_alarmed(&proxy, &green, "data directory");
    assert_flips(&proxy, &green);
}

/// Takes from root the right to write where permissions forbid it.
const OBEDIENT: &[&str] = &["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"];

/// How a program has to be started so that permissions bind it: as it is, unless the tests run as root. None where
/// that cannot be had, and said so.
fn bound_by_permissions() -> Option<&'static [&'static str]> {
    let runs = |program: &[&str], rest: &[&OsStr]| {
        let words: Vec<&OsStr> = program.iter().map(OsStr::new).chain(rest.iter().copied()).collect();
        let status = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let binds = |program: &&'static [&str]| {
        let folder = folder();
        permit(folder.path(), 0o500);
        let probe = folder.path().join("probe");
        runs(program, &["true".as_ref()]) && !runs(program, &["touch".as_ref(), probe.as_os_str()])
    };
    let found = [&[], OBEDIENT].into_iter().find(binds);
    if found.is_none() {
        let said = "skipped: a read-only data directory (permissions do not bind who runs the tests, and setpriv \
                    does not help)";
        writeln!(std::io::stderr(), "\n{said}").expect("stderr");
    }
    found
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn row_65_a_read_only_data_directory_is_an_alarm_and_traffic_and_flips_go_on() {
    let Some(program) = bound_by_permissions() else { return };
    let (_blue, green, text) = backends();
    let data = folder();
    permit(data.path(), 0o500);
    let proxy = Proxy::start_by(program, data.path(), &text);
    assert_alarmed(&proxy, &green, "must not be written");
    assert_flips(&proxy, &green);
}

#[test]
fn row_65_a_journal_that_has_become_read_only_is_an_alarm_and_half_open_before_is_all_blue_after() {
    let Some(program) = bound_by_permissions() else { return };
    let (_blue, green, text) = backends();
    let data = folder();
    let mut proxy = Proxy::start_in(data.path(), &text);
    proxy.set_weight(50.0);
    proxy.crash();
    for name in ["journal.redb", "journal.lock"] {
        permit(&data.path().join(name), 0o400);
    }
    permit(data.path(), 0o500);

    let proxy = Proxy::start_by(program, data.path(), &text);
    assert_alarmed(&proxy, &green, "must not be written");
    assert_flips(&proxy, &green);
}

#[test]
fn row_65_a_damaged_journal_is_set_aside_with_an_alarm_and_traffic_and_flips_go_on() {
    let (_blue, green, text) = backends();
    let data = folder();
    let mut proxy = Proxy::start_in(data.path(), &text);
    proxy.set_weight(50.0);
    proxy.crash();
    let file = data.path().join("journal.redb");
    let mut bytes = std::fs::read(&file).expect("there is a journal");
    bytes.iter_mut().skip(64).step_by(97).for_each(|byte| *byte = !*byte);
    std::fs::write(&file, bytes).expect("it can be written");

    let mut proxy = Proxy::start_in(data.path(), &text);
    assert_alarmed(&proxy, &green, "damaged");
    let aside = |name: &str| name.starts_with("journal.redb.corrupt-");
    let names = std::fs::read_dir(data.path()).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.filter(|name| name.to_str().is_some_and(aside)).count(), 1);
    assert_flips(&proxy, &green);

    // The new journal remembers.
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    let status = proxy.status();
    assert_eq!((&status["state"], &status["epoch"]), (&json!("rolledBack"), &json!(1)), "{status:#}");
    assert_eq!(errors(&proxy), 0.0);
}

/// Bounds the size of the files that the proxy may write, as a full disk does.
fn limit(proxy: &Proxy, size: &str) -> bool {
    let (pid, size) = (format!("--pid={}", proxy.pid()), format!("--fsize={size}:unlimited"));
    Command::new("prlimit").args([pid, size]).status().is_ok_and(|status| status.success())
}

#[test]
fn row_65_on_a_full_disk_a_rollback_flips_at_once_with_an_alarm_and_is_durable_once_there_is_room_again() {
    let (_blue, green, text) = backends();
    let data = folder();
    // What a full disk answers with an error, a bound answers with a signal as well.
    let deaf = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let mut proxy = Proxy::start_by(&deaf, data.path(), &text);
    if !limit(&proxy, "unlimited") {
        writeln!(std::io::stderr(), "\nskipped: a full disk (there is no prlimit)").expect("stderr");
        return;
    }
    proxy.set_weight(50.0);
    let events = Listener::new(proxy.admin);
    let load = Load::start(proxy.listen, 4);
    load.until_more(100);
    assert_eq!(errors(&proxy), 0.0);

    assert!(limit(&proxy, "1"));
    green.answer(500);
    events.until("rolledBack");
    load.mark();
    load.until_late(200);
    assert_eq!(green.late(), 0, "what starts after the rollback goes to blue");
    eventually("the alarm", || (errors(&proxy) >= 1.0).then_some(()));
    let status = proxy.status();
    assert_eq!(
        (&status["state"], &status["rollback"]["trigger"]),
        (&json!("rolledBack"), &json!("dead")),
        "{status:#}"
    );
    assert!(Path::new(data.path()).join("journal.redb").exists());

    assert!(limit(&proxy, "unlimited"));
    proxy.until_logged("the journal is written again");
    assert_eq!(load.stop().lost, Vec::<String>::new());
    proxy.crash();
    let proxy = Proxy::start_in(data.path(), &text);
    let status = proxy.status();
    assert_eq!((&status["state"], &status["weight"]), (&json!("rolledBack"), &json!(0.0)), "{status:#}");
}
