//! Accepting, until another process does: so many at a time, by TLS where that is configured, and nobody for longer than it takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::Context;
use crate::proxy::{Lifecycle, Phase};

/// People, pipelines and dashboards: a few dozen. More wait in the listener's queue.
pub(super) const CONNECTIONS: usize = 256;

/// Longer is no head of this API.
const HEAD_BYTES: usize = 32 * 1024;

/// When there are no file descriptors, none come back sooner.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until another process does, and goes on with what was accepted.
pub(super) async fn serve(listener: std::net::TcpListener, context: Context, router: Router) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut lifecycle = context.lifecycle.clone();
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            match listener.accept().await {
                Ok((stream, _)) => _ = tokio::spawn(attend(stream, context.clone(), router.clone(), place)),
                Err(error) => {
                    tracing::debug!(%error, "a connection to the admin API was not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = lifecycle.wait_for(|phase| *phase == Phase::Relieved) => {}
    }
    drop(listener);
    std::future::pending().await
}

/// One connection, which has a place among those that there may be.
async fn attend(stream: TcpStream, context: Context, router: Router, _place: OwnedSemaphorePermit) {
    let (longest, tls) = {
        let settings = context.settings();
        (settings.deadline, settings.tls.as_ref().map(|tls| Arc::clone(tls.server())))
    };
    // A client that does not read is cut off by the kernel. An error means that it has gone.
    SockRef::from(&stream).set_tcp_user_timeout(Some(longest)).ok();
    stream.set_nodelay(true).ok();
    let Some(tls) = tls else { return speak(stream, longest, context.lifecycle, router).await };
    match tokio::time::timeout(longest, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, longest, context.lifecycle, router).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the admin API failed"),
        Err(_) => tracing::debug!("a TLS handshake with the admin API took too long"),
    }
}

/// A head has to come within `longest`, also the first byte of the next one.
async fn speak<S>(stream: S, longest: Duration, lifecycle: Lifecycle, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| router.clone().oneshot(request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(longest).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = idle_ones_go(lifecycle) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin API ended");
    }
}

/// Returns when connections on which nothing comes are to be closed: what has been accepted last was read long ago.
async fn idle_ones_go(mut lifecycle: Lifecycle) {
    for phase in [Phase::Relieved, Phase::Closing] {
        if lifecycle.wait_for(|is| *is == phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
