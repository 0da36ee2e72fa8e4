//! What people see on a terminal, through tmux: pictures that follow a release, fit, and go away as they came.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::{Bench, eventually, have};

const SLOW: &str = "{ steps: [{ weight: 20%, bake: 1h }, { weight: 50%, bake: 1h }], monitoring: 1h }";

/// A shell on a terminal of its own.
struct Terminal {
    server: String,
}

static TERMINALS: AtomicU32 = AtomicU32::new(0);

impl Terminal {
    /// None where there is no tmux, which is said.
    fn open(columns: u16, rows: u16) -> Option<Terminal> {
        if !have("tmux") {
            return None;
        }
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { server: format!("portcullis-test-{}-{number}", std::process::id()) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", &rows, "env PS1='$ ' sh"]);
        terminal.enter("echo be\"\"fore");
        terminal.until("the shell", |screen| screen.contains("before"));
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.server, "-f", "/dev/null"]).args(arguments);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        let Output { status, stdout, stderr } = command.output().expect("tmux was there a moment ago");
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("text")
    }

    fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Runs a command of ours, after which its exit code is shown.
    fn run(&self, command: &str, bench: &Bench) {
        let program = env!("CARGO_BIN_EXE_portcullis");
        self.enter(&format!("PORTCULLIS_ADMIN={} {program} {command}; echo ex\"\"it $?", bench.url()));
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        eventually(what, || Some(self.screen()).filter(|screen| is(screen)))
    }

    /// Whether a cursor is shown, and whether on another screen than the shell's.
    fn modes(&self) -> String {
        self.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(Command::new("tmux").args(["-L", &self.server, "kill-server"]).output());
    }
}

fn widest(screen: &str) -> usize {
    screen.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

#[test]
fn watch_shows_a_release_from_step_to_rollback_at_any_size_and_gives_the_screen_back() {
    let Some(terminal) = Terminal::open(100, 40) else { return };
    let bench = Bench::with_plan(SLOW);
    bench.operate("start");
    bench.events.until("stepped");
    terminal.run("watch", &bench);
    let screen = terminal.until("the picture", |screen| {
        screen.contains("STEPPING  green at 20 %, epoch 1") && screen.contains("pass: ")
    });
    for part in
        ["20 %        ░", " left", "blue v1", "green v2", "error rate  0.0 %", "P99 ", "spike ", "stepped by plan"]
    {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains("before") && terminal.modes() == "0 1\n", "{screen}");

    bench.operate("pause");
    terminal.until("the pause", |screen| screen.contains("PAUSED") && screen.contains("paused by local: a test"));
    terminal.tmux(&["resize-window", "-x", "40", "-y", "24"]);
    let narrow = terminal.until("the narrow picture", |screen| {
        screen.contains("green v2") && screen.contains("PAUSED") && !screen.contains("STEPPING")
    });
    assert!(widest(&narrow) <= 40 && narrow.contains("error rate"), "both versions have room: {narrow}");
    terminal.tmux(&["resize-window", "-x", "120", "-y", "50"]);
    terminal.until("the wide picture", |screen| screen.contains("PAUSED  green at 20 %") && widest(screen) > 80);
    bench.operate("resume");

    bench.green.answer(500);
    let screen = terminal.until("the end", |screen| screen.contains("exit 0"));
    assert!(screen.contains("before") && screen.contains("rolledBack, green at 0 %: green failed"), "{screen}");
    assert!(screen.contains("default: rolledBack, green at 0 % (epoch 1)"), "{screen}");
    assert_eq!(terminal.modes(), "1 0\n");
    terminal.run("status", &bench);
    let screen = terminal.until("the status", |screen| screen.matches("exit 0").count() == 2);
    assert!(screen.matches("default: rolledBack, green at 0 % (epoch 1)").count() == 2, "{screen}");
}

#[test]
fn watch_says_that_the_connection_is_lost_goes_on_when_it_is_back_and_ends_at_ctrl_c() {
    let Some(terminal) = Terminal::open(90, 30) else { return };
    let mut bench = Bench::with_plan(SLOW);
    // Where it is to come back.
    let listen = format!("admin: {{ listen: {} }}", bench.proxy.admin);
    let text = bench.text.replace("admin: { listen: 127.0.0.1:0 }", &listen);
    bench.operate("start");
    bench.events.until("stepped");
    terminal.run("watch", &bench);
    terminal.until("the picture", |screen| screen.contains("STEPPING"));
    bench.proxy.crash();
    let lost = terminal.until("the loss", |screen| screen.contains("CONNECTION LOST for "));
    assert!(lost.contains("STEPPING") && lost.contains("trying again: "), "what was seen last stays: {lost}");
    bench.crash_and_start(&text);
    terminal.until("the return", |screen| screen.contains("STEPPING") && !screen.contains("CONNECTION"));
    bench.operate("pause");
    terminal.until("what is so since", |screen| screen.contains("PAUSED"));
    terminal.tmux(&["send-keys", "C-c"]);
    let screen = terminal.until("the end", |screen| screen.contains("exit 130"));
    assert!(screen.contains("before") && terminal.modes() == "1 0\n", "{screen}");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask_for_them() {
    let Some(terminal) = Terminal::open(100, 30) else { return };
    let program = env!("CARGO_BIN_EXE_portcullis");
    terminal.enter("printf 'listen: 7\\n' > \"${TMPDIR:-/tmp}/$$.yaml\"");
    for (number, (before, arguments, expected)) in (1..).zip([
        ("", "", true),
        ("NO_COLOR=1 ", "", false),
        ("", "--color never ", false),
        ("NO_COLOR=1 ", "--color always ", true),
    ]) {
        terminal.enter("clear");
        terminal.enter(&format!(
            "{before}{program} {arguments}check \"${{TMPDIR:-/tmp}}/$$.yaml\"; echo ex\"\"it $? {number}"
        ));
        terminal.until("the faults", |screen| screen.contains(&format!("exit 1 {number}")));
        let escapes = terminal.tmux(&["capture-pane", "-p", "-e"]);
        assert_eq!(escapes.contains('\x1b'), expected, "{before}{arguments}: {escapes:?}");
    }
    terminal.enter("rm \"${TMPDIR:-/tmp}/$$.yaml\"");
}
