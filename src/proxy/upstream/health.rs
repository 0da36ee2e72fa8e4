//! Active health checks of every endpoint, on a thread of their own: no slow answer keeps a worker from a request. What they find is no evidence; it decides which endpoints are chosen, and feeds the rules that the
//! policy has about health.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connect::{Alpn, NoConnection, Security, connect, speaks_http2};
use crate::config::{HealthCheck, Probe, Speaks, Transport};
use crate::gate::Version;
use crate::live::{Known, Live};
use crate::proxy::lifecycle::{Lifecycle, Phase};
use crate::proxy::wire::Stream;
use crate::proxy::wire::proxy_protocol::{self, Proxied};
use crate::routing::{Roles, Routing};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no connection: {0}")]
    Connect(#[from] NoConnection),
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

/// How soon the checks follow a change of the endpoints.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Checks come at the interval give or take a tenth, so that those of many proxies do not meet.
const JITTER: f64 = 0.1;

/// Starts the thread that checks what `routing` serves by, until the proxy closes.
pub fn check(routing: Arc<Routing<Live>>, mut lifecycle: Lifecycle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("portcullis-health".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut checks = Checks::default();
            let mut look = tokio::time::interval(LOOK_EVERY);
            loop {
                tokio::select! {
                    _ = look.tick() => checks.follow(&routing.live(), routing.table().roles),
                    // An error means that the proxy is gone, which ends the checks as well.
                    _ = lifecycle.wait_for(|phase| *phase == Phase::Closing) => break,
                }
            }
        });
    })?;
    Ok(())
}

/// The checks that run.
#[derive(Default)]
struct Checks {
    live: Option<Arc<Live>>,
    running: Vec<Running>,
}

/// Those of one endpoint; they end when this is dropped.
struct Running {
    known: Arc<Known>,
    check: HealthCheck,
    transport: Transport,
    task: JoinHandle<()>,
}

impl Checks {
    /// Checks the endpoints of `live` and no others.
    fn follow(&mut self, live: &Arc<Live>, roles: Roles) {
        if self.live.as_ref().is_some_and(|known| Arc::ptr_eq(known, live)) {
            return;
        }
        let mut before = std::mem::take(&mut self.running);
        for section in Version::BOTH {
            let Some(check) = live.health_checks.of(section) else { continue };
            let transport = live.transports.of(section);
            for known in live.upstreams.of(section) {
                let same = |running: &Running| {
                    Arc::ptr_eq(&running.known, known) && running.check == *check && running.transport == *transport
                };
                let running = match before.iter().position(same) {
                    Some(at) => before.swap_remove(at),
                    None => Running::start(roles.section(section), known, check, transport),
                };
                self.running.push(running);
            }
        }
        for Running { known, .. } in &before {
            if !self.running.iter().any(|running| Arc::ptr_eq(&running.known, known)) {
                known.unchecked();
            }
        }
        self.live = Some(Arc::clone(live));
    }
}

impl Running {
    fn start(version: Version, known: &Arc<Known>, check: &HealthCheck, transport: &Transport) -> Running {
        let security = Security::of(known, transport);
        let task = tokio::spawn(watch(version, Arc::clone(known), check.clone(), security, transport.clone()));
        Running { known: Arc::clone(known), check: check.clone(), transport: transport.clone(), task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    version: Version,
    known: Arc<Known>,
    check: HealthCheck,
    security: Option<Security>,
    transport: Transport,
) {
    let endpoint = &*known;
    let mut standing = Standing { healthy: true, passed_in_a_row: 0, failed_in_a_row: 0 };
    loop {
        let started = Instant::now();
        let probe = probe(endpoint, &check.probe, security.as_ref(), &transport);
        let checked = tokio::time::timeout(check.timeout, probe).await;
        let checked = checked.unwrap_or(Err(Failure::Timeout(check.timeout)));
        let jitter = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
        let next = started + check.interval.mul_f64(jitter);
        if let Err(Failure::Connect(error)) = &checked
            && error.is_exhausted()
        {
            tracing::debug!(version = version.name(), %endpoint, %error, "no check");
            tokio::time::sleep_until(next).await;
            continue;
        }
        let changed = standing.take(checked.is_ok(), &check);
        known.checked(standing.failed_in_a_row, standing.healthy);
        match checked {
            Err(failure) if changed => tracing::warn!(
                version = version.name(),
                %endpoint,
                failed = standing.failed_in_a_row,
                %failure,
                "endpoint unhealthy"
            ),
            Err(failure) => tracing::debug!(version = version.name(), %endpoint, %failure, "check failed"),
            Ok(()) if changed => tracing::info!(version = version.name(), %endpoint, "endpoint healthy again"),
            Ok(()) => {}
        }
        tokio::time::sleep_until(next).await;
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

/// One check on a connection of its own.
async fn probe(
    endpoint: &Known,
    probe: &Probe,
    security: Option<&Security>,
    transport: &Transport,
) -> Result<(), Failure> {
    let told = transport.proxy_protocol;
    let header = told.map(|version| proxy_protocol::written(version, Proxied::Local));
    // As the requests are.
    let alpn = if told.is_some() { Alpn::OnlyHttp1 } else { Alpn::AsConfigured };
    let stream = connect(&endpoint.address, header, security, alpn).await?;
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { path } => match get(stream, endpoint, path, security, transport.speaks).await? {
            status if status.is_success() || status.is_redirection() => Ok(()),
            status => Err(Failure::Status(status)),
        },
    }
}

async fn get(
    stream: Stream,
    endpoint: &Known,
    path: &PathAndQuery,
    security: Option<&Security>,
    speaks: Speaks,
) -> Result<StatusCode, Failure> {
    let host = HeaderValue::from_str(&endpoint.declared.host()).expect("a validated host is a header value");
    let mut request = Request::new(Empty::<Bytes>::new());
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    if speaks_http2(&stream, security, speaks)? {
        let uri = Uri::builder().scheme(if security.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        let uri = uri.authority(host.as_bytes()).path_and_query(path.clone()).build();
        *request.uri_mut() = uri.expect("a validated host is an authority");
        let http = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = http?;
        return answered(sender.send_request(request), connection).await;
    }
    *request.uri_mut() = path.clone().into();
    let fields = [(header::HOST, host), (header::CONNECTION, HeaderValue::from_static("close"))];
    request.headers_mut().extend(fields);
    let http = http1::Builder::new().max_buf_size(MOST_HEAD_BYTES).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = http?;
    answered(sender.send_request(request), connection).await
}

async fn answered(
    answer: impl Future<Output = Result<Response<Incoming>, hyper::Error>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<StatusCode, Failure> {
    let driven = async {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "the connection of a check broke");
        }
        // Whatever ended it, the answer says so.
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => Ok(answer?.status()),
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
