//! A mixed load for a while, with everything that operators and endpoints do to a proxy: weights, releases, rollbacks by hand and by
//! failures, reloads, new binaries, endpoints that die and return. Every request that fails has a reason that `ledger` knows,
//! descriptors return to where they were, and memory stays where it was after the warm-up.
//!
//! In clear text and HTTP/1 to the endpoints, and over TLS and HTTP/2 on both sides, which gRPC takes; side by side.
//! `PORTCULLIS_SOAK=15m` asks for so long (also `90s`), with 200 weights, 20 rollbacks, 20 reloads and 5 new binaries of each:
//! PORTCULLIS_SOAK=15m cargo test --profile quick --all-features --test portcullis -- soak:: --nocapture

mod clients;
mod endpoints;
mod ledger;
mod load;
mod samples;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::clients::World;
use self::endpoints::Site;
use self::ledger::{Ledger, WAIT};
use self::samples::{Process, Sampler, descriptors};
use crate::support::{Authority, Proxy, Shows, Signed, config, eventually, eventually_within, folder};

const LENGTH: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 4;
const LONG_ROUNDS: u32 = 20;
/// Of each round.
const WEIGHTS: [f64; 10] = [5.0, 10.0, 25.0, 50.0, 40.0, 75.0, 100.0, 60.0, 30.0, 50.0];
/// A new binary comes in each of so many rounds at the beginning: the last process lives long enough to show what it keeps.
const TAKEOVERS: u32 = 1;
const LONG_TAKEOVERS: u32 = 5;
/// Of each version, so that one that is dead is a minority.
const ENDPOINTS: usize = 3;

/// What a process may grow by in a minute after its warm-up. Asked of those that were looked at for long enough to tell a slope
/// from what comes and goes.
const MOST_GROWTH: f64 = 0.03;
const LONG_ENOUGH: f64 = 150.0;

const SETTINGS: &str = "workers: 2\nejection: { duration: 1s }\n";

struct Plan {
    length: Duration,
    rounds: u32,
    takeovers: u32,
}

impl Plan {
    fn chosen() -> Plan {
        let Ok(chosen) = std::env::var("PORTCULLIS_SOAK") else {
            return Plan { length: LENGTH, rounds: ROUNDS, takeovers: TAKEOVERS };
        };
        let seconds = |text: &str| text.parse::<u64>().ok();
        let minutes = chosen.strip_suffix('m').and_then(seconds).map(|minutes| 60 * minutes);
        let seconds = minutes.or_else(|| chosen.strip_suffix('s').and_then(seconds));
        let seconds = seconds.unwrap_or_else(|| panic!("PORTCULLIS_SOAK is like 15m or 90s, not `{chosen}`"));
        Plan { length: Duration::from_secs(seconds), rounds: LONG_ROUNDS, takeovers: LONG_TAKEOVERS }
    }

    fn pause(&self) -> Duration {
        self.length / self.rounds / (WEIGHTS.len() as u32 + 1)
    }
}

/// What the clients' side and the endpoints' side speak.
enum Speaks {
    Clear,
    Tls { authority: Arc<Authority>, signed: Signed },
}

impl Speaks {
    fn name(&self) -> &'static str {
        match self {
            Speaks::Clear => "in clear text",
            Speaks::Tls { .. } => "over TLS and HTTP/2",
        }
    }
}

struct Soak {
    speaks: Speaks,
    data: tempfile::TempDir,
    blue: Vec<Site>,
    green: Vec<Site>,
    broken: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
    proxy: Proxy,
    /// Those that have been relieved.
    old: Vec<Proxy>,
    sampler: Sampler,
}

impl Soak {
    fn begin(net: u8, speaks: Speaks) -> Soak {
        let (ledger, broken) = (Arc::<Ledger>::default(), Arc::<AtomicBool>::default());
        let shows = match &speaks {
            Speaks::Clear => None,
            Speaks::Tls { signed, .. } => Some(Shows { alpn: &["h2", "http/1.1"], ..Shows::new(signed) }.config()),
        };
        let sites = |of_green: bool| -> Vec<Site> {
            let well = Arc::default();
            let broken = if of_green { &broken } else { &well };
            let start = |_| Site::start([127, 0, 77, net], of_green, shows.clone(), &ledger, broken);
            (0..ENDPOINTS).map(start).collect()
        };
        let (blue, green, data) = (sites(false), sites(true), folder());
        let text = text(&speaks, data.path(), [&blue, &green], 0);
        let proxy = Proxy::start_in(data.path(), &text);
        let sampler = Sampler::start();
        sampler.follow(proxy.pid());
        Soak { speaks, data, blue, green, broken, ledger, proxy, old: Vec::new(), sampler }
    }

    /// Another one in every round, so that a reload has something to do.
    fn text(&self, round: u32) -> String {
        text(&self.speaks, self.data.path(), [&self.blue, &self.green], round)
    }

    fn take_over(&mut self, round: u32) {
        self.ledger.takes_over();
        let next = Proxy::take_over(self.data.path(), &self.text(round));
        assert_eq!(next.listen, self.proxy.listen);
        self.sampler.follow(next.pid());
        self.old.push(std::mem::replace(&mut self.proxy, next));
    }

    /// Asks once more where a process that has just been relieved has accepted the connection.
    #[track_caller]
    fn operate(&self, method: &str, path: &str, body: &Value) {
        let response = eventually("an answer of who decides", || {
            Some(self.proxy.call(method, path, body)).filter(|response| {
                self.old.is_empty() || response.status != 503 || !response.text().contains("the proxy is shutting down")
            })
        });
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }

    fn reload(&self, round: u32) {
        std::fs::write(self.proxy.file(), self.text(round)).expect("the file can be written");
        self.operate("POST", "/v1/config/reload", &Value::Null);
    }

    /// By hand and by green's failures in turn.
    fn roll_back(&self, round: u32) {
        self.ledger.rolls_back();
        if round.is_multiple_of(2) {
            self.operate("POST", "/v1/release/rollback", &json!({ "reason": "a test" }));
            return;
        }
        self.broken.store(true, Ordering::SeqCst);
        self.proxy.until(|status| status["state"] == "rolledBack");
        self.broken.store(false, Ordering::SeqCst);
    }

    /// A release from its start to its rollback.
    fn round(&mut self, round: u32, plan: &Plan) {
        let pause = plan.pause();
        self.operate("POST", "/v1/release", &json!({ "reason": "a test", "again": true }));
        for (number, weight) in WEIGHTS.into_iter().enumerate() {
            // It is refused where anything but the test has rolled green back.
            self.operate("PUT", "/v1/weight", &json!({ "weight": weight, "reason": "a test" }));
            std::thread::sleep(pause);
            self.look_after_the_old();
            match number {
                1 => self.blue[0].kill(),
                3 => self.blue[0].revive(),
                4 if round < plan.takeovers => self.take_over(round),
                5 => self.green[0].kill(),
                7 => self.green[0].revive(),
                8 => self.reload(round + 1),
                _ => {}
            }
        }
        self.roll_back(round);
        std::thread::sleep(pause);
    }

    fn look_after_the_old(&self) {
        let drained = |process: &Proxy| !process.logged("drained").is_empty();
        let numbered = self.old.iter().enumerate().filter(|(_, process)| drained(process));
        numbered.for_each(|(number, _)| self.ledger.has_drained(number));
    }

    /// With no client and no endpoint left.
    fn end(mut self, before: usize) -> Vec<Process> {
        for process in &mut self.old {
            assert_eq!(process.wait_exit().code(), Some(0));
            if process.logged("drained").is_empty() {
                println!("process {} drained to its deadline, though no client lost anything by it", process.pid());
            }
        }
        self.blue.iter_mut().chain(&mut self.green).for_each(Site::kill);
        let pid = self.proxy.pid();
        let mut now = 0;
        // Longer than a connection rests that nobody uses.
        eventually_within(Duration::from_secs(60), &format!("{before} descriptors, as before"), || {
            now = descriptors(pid).expect("it runs");
            (now <= before).then_some(())
        });
        println!("{now} descriptors after the load, {before} before");
        self.sampler.stop()
    }
}

/// How many descriptors a process has that nobody uses: some of its threads begin after it serves.
fn settled(pid: u32) -> usize {
    let mut seen = (0, Instant::now());
    eventually("descriptors that stay", || {
        let now = descriptors(pid).expect("it runs");
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        (seen.1.elapsed() > Duration::from_secs(1)).then_some(now)
    })
}

fn text(speaks: &Speaks, data: &Path, sites: [&[Site]; 2], round: u32) -> String {
    let wait = WAIT.as_secs();
    let rest =
        format!("{SETTINGS}drain: {{ wait: {wait}s, deadline: 10s }}\ntimeouts: {{ bodyIdle: {}s }}\n", 60 + round);
    match speaks {
        Speaks::Clear => {
            let [blue, green] = sites.map(|sites| sites.iter().map(|site| site.address).collect::<Vec<_>>());
            config(&blue, &green, &rest)
        }
        Speaks::Tls { authority, signed } => {
            let (pair, ca) = (signed.write(data, "proxy"), data.join("ca.pem"));
            std::fs::write(&ca, &authority.pem).expect("the folder is writable");
            let [blue, green] = sites.map(|sites| {
                let urls: Vec<_> = sites.iter().map(|site| format!("\"https://{}\"", site.address)).collect();
                format!("endpoints: [{}], protocol: auto, tls: {{ ca: {} }}", urls.join(", "), ca.display())
            });
            let text = config(&[], &[], &format!("{rest}tls: {{ certificates: [{pair}] }}"));
            text.replacen("endpoints: []", &blue, 1).replacen("endpoints: []", &green, 1)
        }
    }
}

/// Endpoints are at an address of `net`'s own.
fn soak(net: u8, speaks: Speaks) {
    let plan = Plan::chosen();
    let authority = match &speaks {
        Speaks::Clear => None,
        Speaks::Tls { authority, .. } => Some(Arc::clone(authority)),
    };
    let mut soak = Soak::begin(net, speaks);
    let before = settled(soak.proxy.pid());
    let world =
        World { listen: soak.proxy.listen, authority, ledger: Arc::clone(&soak.ledger), stop: AtomicBool::new(false) };
    let (world, began) = (Arc::new(world), Instant::now());
    let load = std::thread::spawn({
        let world = Arc::clone(&world);
        move || load::run(&world)
    });
    (0..plan.rounds).for_each(|round| soak.round(round, &plan));
    world.stop.store(true, Ordering::SeqCst);
    load.join().expect("no client panics");
    println!("{}, {:.0} s, {} rounds", soak.speaks.name(), began.elapsed().as_secs_f64(), plan.rounds);
    let tally = soak.ledger.tally();
    tally.print();
    let growths: Vec<_> = soak.end(before).iter().filter_map(Process::growth).collect();
    growths.iter().for_each(|growth| growth.print());
    tally.assert_explained();
    for growth in growths.iter().filter(|growth| growth.seconds >= LONG_ENOUGH) {
        for (what, (mean, a_minute)) in [("memory", growth.anonymous_kib), ("descriptors", growth.descriptors)] {
            assert!(a_minute < MOST_GROWTH * mean, "{what}: {a_minute:+.1} a minute, of {mean:.1}");
        }
    }
}

#[test]
fn a_mixed_load_in_clear_text_fails_only_where_there_is_a_reason_and_descriptors_return_to_where_they_were() {
    soak(1, Speaks::Clear);
}

#[test]
fn a_mixed_load_over_tls_and_http_2_fails_only_where_there_is_a_reason_and_descriptors_return_to_where_they_were() {
    let authority = Authority::new();
    let signed = authority.sign(&["localhost", "127.0.77.2"]);
    soak(2, Speaks::Tls { authority: Arc::new(authority), signed });
}
