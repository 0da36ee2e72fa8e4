//! The wall clock jumps, and nothing that is decided does.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::support::{Backend, Listener, Proxy, config, folder};

/// Put before the C library: the wall clock is off by as many seconds as a file says, whenever that changes.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *off;

__attribute__((constructor)) static void look(void) {
    const char *path = getenv("PORTCULLIS_TEST_CLOCK");
    void *page = mmap(0, sizeof *off, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0);
    if (page != MAP_FAILED) off = page;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && off && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *off;
    return failed;
}
"#;

/// Long enough for a busy machine to come from the first failure to the jump, and half as long as a test waits.
const SUSTAINED: Duration = Duration::from_secs(8);

/// The wall clock of one process.
struct Clock {
    file: File,
    variables: [String; 2],
}

impl Clock {
    fn new(folder: &Path) -> Clock {
        let [source, library, path] = ["shim.c", "shim.so", "off"].map(|name| folder.join(name));
        std::fs::write(&source, SHIM).expect("a writable folder");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(compiled.expect("a C compiler, which the build needs too").success());
        let file = OpenOptions::new().create_new(true).write(true).open(&path).expect("a writable folder");
        let named = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let clock = Clock { file, variables: [named("LD_PRELOAD", library), named("PORTCULLIS_TEST_CLOCK", path)] };
        clock.jump(0);
        clock
    }

    fn jump(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).expect("an open file");
    }
}

#[test]
fn row_63_windows_and_sustained_times_do_not_move_when_the_wall_clock_jumps_an_hour_forward() {
    check_jump(3600);
}

#[test]
fn row_63_windows_and_sustained_times_do_not_move_when_the_wall_clock_jumps_an_hour_back() {
    check_jump(-3600);
}

#[track_caller]
fn check_jump(seconds: i64) {
    let (tools, data) = (folder(), folder());
    let clock = Clock::new(tools.path());
    let (blue, green) = (Backend::answering(200), Backend::answering(500));
    let sustained = SUSTAINED.as_secs();
    let gate = format!(
        "gate: {{ minimumRequests: 5, compare: {{ enabled: false }}, \
         triggers: [{{ name: rate, metric: errorRate, above: 10%, window: 10m, sustained: {sustained}s }}] }}"
    );
    let text = config(&[blue.address], &[green.address], &gate);
    let program = [&["env"][..], &clock.variables.each_ref().map(String::as_str)].concat();
    let proxy = Proxy::start_by(&program, data.path(), &text);
    let events = Listener::new(proxy.admin);
    proxy.set_weight(50.0);
    let mut client = proxy.client();
    let began = Instant::now();
    (0..20).for_each(|_| _ = client.get("/"));
    proxy.until(|status| status["green"]["requests"] == 10 && status["blue"]["requests"] == 10);

    clock.jump(seconds);
    // What comes after the jump is counted with what came before.
    (0..20).for_each(|_| _ = client.get("/"));
    let status = proxy.until(|status| status["green"]["requests"] == 20 && status["blue"]["requests"] == 20);
    assert_eq!((&status["green"]["failures"], &status["state"]), (&20.into(), &"stepping".into()), "{status:#}");
    let rolled_back = events.until("rolledBack");
    assert!(rolled_back.at - began >= SUSTAINED, "{:?}", rolled_back.at - began);
    let at: Timestamp = rolled_back.data["at"].as_str().expect("a time").parse().expect("as RFC 3339 says");
    let off = at.duration_since(Timestamp::now()) - SignedDuration::from_secs(seconds);
    assert!(off.abs() < SignedDuration::from_mins(5), "the proxy's clock did not jump: {at}");
}
