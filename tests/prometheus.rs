//! What a real Prometheus makes of `/metrics`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::support::{Backend, Client, DEADLINE, Proxy, config, eventually, have};

/// Two versions with latencies of their own, and green at half of the traffic.
fn proxy(blue: &Backend, green: &Backend) -> Proxy {
    // What Prometheus sees holds the warm-up too.
    let rest = "workers: 2\ngate: { warmUp: { time: 0s, requests: 0 }, compare: { enabled: false } }";
    let proxy = Proxy::start(&config(&[blue.address], &[green.address], rest));
    proxy.set_weight(50.0);
    proxy
}

/// Sends `requests` on one connection while the versions take as long as `delays` (blue, green) says.
fn requests(client: &mut Client, versions: [&Backend; 2], delays: [Duration; 2], requests: usize) {
    for (version, delay) in versions.into_iter().zip(delays) {
        version.take(delay);
    }
    (0..requests).for_each(|_| assert_eq!(client.get("/").status, 200));
}

#[test]
fn promtool_finds_nothing_to_say_against_the_metrics() {
    if !have("promtool") {
        return;
    }
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let proxy = proxy(&blue, &green);
    let mut client = proxy.client();
    requests(&mut client, [&blue, &green], [Duration::ZERO; 2], 50);
    let served = green.count();
    green.answer(500);
    (0..100).for_each(|_| _ = client.get("/"));
    client.send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").response();
    proxy.until(|status| status["state"] == "rolledBack");
    proxy.until_outcome("refused_by_us", 1);
    let metrics = proxy.metrics();
    let failed = green.count() - served;
    let failures =
        format!("portcullis_requests_total{{version=\"green\",outcome=\"server_error\",code=\"500\"}} {failed}\n");
    for series in [
        failures.as_str(),
        "portcullis_weight_ratio{version=\"green\"} 0\n",
        "portcullis_release_state{state=\"rolledBack\"} 1\n",
        "portcullis_verdict{kind=\"fail\"} 1\n",
        "portcullis_rollback_reaction_seconds_count 1\n",
        "portcullis_connections{side=\"client\"} 1\n",
    ] {
        assert!(metrics.contains(series), "no {series} in {metrics}");
    }
    let mut promtool = Command::new("promtool");
    let promtool =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("it is installed");
    promtool.stdin.take().expect("it was piped").write_all(metrics.as_bytes()).expect("promtool reads");
    let said = promtool.wait_with_output().expect("a child of ours");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.is_empty(), "{text}");
}

/// A Prometheus that scrapes one proxy, until it is dropped.
struct Prometheus {
    address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Prometheus {
    fn scraping(proxy: &Proxy) -> Prometheus {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-prometheus", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the target folder can be written");
        let file = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs: [{{ job_name: portcullis, static_configs: [{{ targets: [\"{}\"] }}] }}]\n",
            proxy.admin
        );
        std::fs::write(&file, text).expect("the target folder can be written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is installed");
        let log = BufReader::new(child.stderr.take().expect("it was piped"));
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                // The address of the socket, which the one that was asked for does not tell.
                if let Some((_, rest)) = line.split_once("msg=\"Listening on\" address=") {
                    // An error means that the test has given up waiting.
                    found.send(rest.trim().parse::<SocketAddr>()).ok();
                }
            }
        });
        let address = address.recv_timeout(DEADLINE).expect("it says where it listens").expect("an address");
        Prometheus { address, child, folder }
    }

    /// The value of an instant query with one result, if it has one by now.
    fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query
            .bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect();
        let response = Client::connect(self.address).get(&format!("/api/v1/query?query={encoded}"));
        let answer: Value = serde_json::from_slice(&response.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Errors mean that it has ended, or that there is nothing to remove.
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// The upper edges of the buckets of a histogram, as they are scraped.
fn edges(metrics: &str, histogram: &str) -> Vec<f64> {
    let prefix = format!("{histogram}_bucket{{version=\"green\",le=\"");
    let of_histogram = metrics.lines().filter_map(|line| line.strip_prefix(&prefix));
    of_histogram.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
}

#[test]
fn the_quantiles_of_a_real_prometheus_agree_with_the_proxys_own_within_one_bucket() {
    if !have("prometheus") {
        return;
    }
    let (blue, green) = (Backend::answering(200), Backend::answering(200));
    let versions = [&blue, &green];
    let proxy = proxy(&blue, &green);
    let prometheus = Prometheus::scraping(&proxy);
    let millis = Duration::from_millis;
    let mut client = proxy.client();
    requests(&mut client, versions, [millis(3), millis(12)], 180);
    requests(&mut client, versions, [millis(35), millis(120)], 16);
    requests(&mut client, versions, [millis(220), millis(600)], 4);
    let status = proxy.until(|status| {
        status["blue"]["requests"].as_u64().zip(status["green"]["requests"].as_u64()) == Some((100, 100))
    });

    let histogram = "portcullis_response_head_seconds";
    let metrics = proxy.metrics();
    let edges = edges(&metrics, histogram);
    assert!(edges.len() > 20 && edges.is_sorted() && edges.ends_with(&[f64::INFINITY]), "{edges:?}");
    let bucket = |seconds: f64| edges.iter().position(|edge| seconds <= *edge).expect("the last edge is infinite");
    for version in ["blue", "green"] {
        eventually("a scrape that saw everything", || {
            let all = prometheus.query(&format!("{histogram}_count{{version=\"{version}\"}}"));
            (all == Some(100.0)).then_some(())
        });
        // The scripted latencies are the least that each quantile can be.
        let scripted = if version == "blue" { [0.003, 0.035, 0.220] } else { [0.012, 0.120, 0.600] };
        for ((quantile, name), at_least) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")].into_iter().zip(scripted) {
            let query = format!("histogram_quantile({quantile}, {histogram}_bucket{{version=\"{version}\"}})");
            let theirs = prometheus.query(&query).expect("a value");
            let ours = status[version][name].as_f64().expect("milliseconds") / 1e3;
            let told = format!("{version} {name}: {ours} s by the proxy, {theirs} s by Prometheus");
            assert!(bucket(ours).abs_diff(bucket(theirs)) <= 1, "{told}; edges {edges:?}");
            assert!(ours >= at_least && bucket(theirs) + 1 >= bucket(at_least), "{told}; scripted {at_least}");
        }
        let counted = prometheus.query(&format!("sum(portcullis_requests_total{{version=\"{version}\"}})"));
        assert_eq!(counted, Some(100.0));
    }
    assert_eq!(prometheus.query("up"), Some(1.0));
    assert_eq!(prometheus.query("portcullis_weight_ratio{version=\"green\"}"), Some(0.5));
}
