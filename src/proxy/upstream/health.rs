//! Active health checks of every endpoint, on a thread of their own: no slow lookup and no slow answer keeps a worker
//! from a request. What they find is no evidence; it decides which endpoints are chosen, and feeds the rules that the
//! policy has about health.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::upstreams::Upstreams;
use crate::config::{Authority, HealthCheck, Probe};
use crate::gate::{ByVersion, Version};
use crate::proxy::lifecycle::{Lifecycle, Phase};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("no valid answer: {0}")]
    Answer(#[from] hyper::Error),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("nothing within {0:?}")]
    Timeout(Duration),
}

/// How an endpoint stands by its own checks alone.
#[derive(Debug)]
struct Standing {
    healthy: bool,
    passed_in_a_row: u32,
    failed_in_a_row: u32,
}

const USER_AGENT: HeaderValue = HeaderValue::from_static("portcullis-health");

/// Of an answer; its body is not read.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// Checks come at the interval give or take a tenth, so that those of many proxies do not meet.
const JITTER: f64 = 0.1;

/// Starts the thread that checks until the proxy closes; none when nothing is to be checked.
pub fn check(
    checks: ByVersion<Option<HealthCheck>>,
    upstreams: Arc<Upstreams>,
    mut lifecycle: Lifecycle,
) -> io::Result<()> {
    if checks.blue.is_none() && checks.green.is_none() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("portcullis-health".to_owned()).spawn(move || {
        runtime.block_on(async {
            for version in Version::BOTH {
                let Some(check) = checks.of(version) else { continue };
                for (index, authority) in upstreams.authorities(version).enumerate() {
                    let (upstreams, authority, check) = (Arc::clone(&upstreams), authority.clone(), check.clone());
                    tokio::spawn(watch(upstreams, version, index, authority, check));
                }
            }
            // An error means that the proxy is gone, which ends the checks as well.
            lifecycle.wait_for(|phase| *phase == Phase::Closing).await.map(drop).ok();
        });
        // A lookup that hangs is left to end by itself.
        runtime.shutdown_background();
    })?;
    Ok(())
}

async fn watch(upstreams: Arc<Upstreams>, version: Version, index: usize, authority: Authority, check: HealthCheck) {
    let mut standing = Standing { healthy: true, passed_in_a_row: 0, failed_in_a_row: 0 };
    loop {
        let started = Instant::now();
        let checked = tokio::time::timeout(check.timeout, probe(&authority, &check.probe)).await;
        let checked = checked.unwrap_or(Err(Failure::Timeout(check.timeout)));
        let changed = standing.take(checked.is_ok(), &check);
        upstreams.checked(version, index, standing.failed_in_a_row, standing.healthy);
        match checked {
            Err(failure) if changed => tracing::warn!(
                version = version.name(),
                endpoint = %authority,
                failed = standing.failed_in_a_row,
                %failure,
                "endpoint unhealthy"
            ),
            Err(failure) => tracing::debug!(version = version.name(), endpoint = %authority, %failure, "check failed"),
            Ok(()) if changed => {
                tracing::info!(version = version.name(), endpoint = %authority, "endpoint healthy again");
            }
            Ok(()) => {}
        }
        let jitter = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
        tokio::time::sleep_until(started + check.interval.mul_f64(jitter)).await;
    }
}

impl Standing {
    /// Takes in one check; true when it has changed how the endpoint stands.
    fn take(&mut self, passed: bool, check: &HealthCheck) -> bool {
        if passed {
            self.failed_in_a_row = 0;
            self.passed_in_a_row = self.passed_in_a_row.saturating_add(1);
        } else {
            self.passed_in_a_row = 0;
            self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        }
        let was = self.healthy;
        self.healthy = if was {
            self.failed_in_a_row < check.unhealthy_after
        } else {
            self.passed_in_a_row >= check.healthy_after
        };
        self.healthy != was
    }
}

/// One check on a connection of its own. The name is looked up every time.
async fn probe(authority: &Authority, probe: &Probe) -> Result<(), Failure> {
    let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path } => match get(stream, authority, path).await? {
            status if status.is_success() || status.is_redirection() => Ok(()),
            status => Err(Failure::Status(status)),
        },
    }
}

async fn get(stream: TcpStream, authority: &Authority, path: &PathAndQuery) -> Result<StatusCode, hyper::Error> {
    let host = HeaderValue::from_str(&authority.to_string()).expect("a validated authority is a header value");
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.clone().into();
    request.headers_mut().extend([
        (header::HOST, host),
        (header::USER_AGENT, USER_AGENT),
        (header::CONNECTION, HeaderValue::from_static("close")),
    ]);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MOST_HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    let driven = async {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "the connection of a check broke");
        }
        // Whatever ended it, the answer says so.
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = sender.send_request(request) => answer.map(|answer| answer.status()),
        never = driven => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p` a check that passed, `f` one that failed. Returns how the endpoint stood after each, `u` for unhealthy.
    fn play(checks: &str) -> String {
        let (healthy_after, unhealthy_after) = (2, 3);
        let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(1));
        let check = HealthCheck { probe: Probe::Tcp, interval, timeout, healthy_after, unhealthy_after };
        let mut standing = Standing { healthy: true, passed_in_a_row: 0, failed_in_a_row: 0 };
        let mut stood = String::new();
        for checked in checks.chars() {
            let was = standing.healthy;
            let changed = standing.take(checked == 'p', &check);
            assert_eq!(changed, was != standing.healthy);
            stood.push(if standing.healthy { 'h' } else { 'u' });
        }
        stood
    }

    #[test]
    fn an_endpoint_is_unhealthy_after_three_failures_in_a_row_and_healthy_after_two_passes() {
        for (checks, expected) in [
            ("ffffpp", "hhuuuh"),
            ("ffpffp", "hhhhhh"),
            ("fffpfpp", "hhuuuuh"),
            ("fffppff", "hhuuhhh"),
            ("fffppfff", "hhuuhhhu"),
        ] {
            assert_eq!(play(checks), expected, "{checks}");
        }
    }
}
