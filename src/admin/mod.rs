//! The admin API, on its own listener and its own thread.
//!
//! [`api`] holds the endpoints that show and change the release of the moment, [`fate`] the one that pipelines wait at,
//! [`versions`] those that change the versions, [`signals`] what others tell, [`releases`] what is recorded, [`reports`] how
//! a release is told, [`dashboard`] the page for a browser; [`listen`] is where they are connected to, [`access`] who may use
//! them, [`problem`] turns every error into a problem document.

mod access;
mod api;
mod dashboard;
mod fate;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod listen;
mod problem;
mod releases;
mod reports;
mod signals;
mod versions;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post, put};
use http::{HeaderValue, header};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::control::command::Commands;
use crate::control::event::Events;
use crate::control::series::Series;
use crate::control::status::Status;
use crate::journal::Archive;
use crate::proxy::{Lifecycle, Phase};
use crate::reload::{AdminSettings, Reloading};
use crate::resolve::Lookups;
use crate::telemetry::Exposition;
pub use dashboard::Past;
use listen::{Door, idle_ones_go};

/// What the endpoints read and where they send changes.
#[derive(Clone)]
pub struct Context {
    pub commands: Commands,
    pub lookups: Lookups,
    pub events: Events,
    pub series: Series,
    pub past: Past,
    pub status: watch::Receiver<Arc<Status>>,
    pub lifecycle: Lifecycle,
    pub exposition: Exposition,
    pub reloading: Reloading,
    /// What was recorded; none without a journal.
    pub archive: Option<Archive>,
}

/// Serves on a thread of its own until the process ends, or another one has the listener.
pub fn spawn(listener: TcpListener, context: Context) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name("portcullis-admin".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let door = Door::new(listener, context.lifecycle.clone())?;
            let leave = idle_ones_go(context.lifecycle.clone());
            tokio::spawn(dashboard::follow(context.clone()));
            axum::serve(door, router(context)).with_graceful_shutdown(leave).await
        })
    })
}

/// Binds the admin listener; port 0 picks one.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn router(context: Context) -> Router {
    let authorised = Router::new()
        .route("/v1/status", get(api::status))
        .route("/v1/evidence", get(api::evidence))
        .route("/v1/events", get(api::events))
        .route("/v1/live", get(dashboard::live))
        .route("/v1/series", get(dashboard::series))
        .route("/v1/weight", put(api::weight))
        .route("/v1/release", post(versions::start))
        .route("/v1/release/pause", post(api::pause))
        .route("/v1/release/resume", post(api::resume))
        .route("/v1/release/approve", post(api::approve))
        .route("/v1/release/promote", post(api::promote))
        .route("/v1/release/rollback", post(api::roll_back))
        .route("/v1/versions/{version}/endpoints", put(versions::set_endpoints))
        .route("/v1/config/reload", post(versions::reload))
        .route("/v1/signals/{name}", post(signals::post))
        .route("/v1/gate", get(fate::gate))
        .route("/v1/releases", get(releases::list))
        .route("/v1/releases/{id}", get(releases::one))
        .route("/v1/releases/{id}/report", get(reports::report))
        .route("/v1/releases/{id}/evidence", get(releases::evidence))
        .route_layer(from_fn_with_state(context.clone(), access::authorise));
    let page = Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{name}", get(dashboard::asset))
        .route_layer(from_fn(dashboard::guarded));
    let open = Router::new()
        .route("/metrics", get(api::metrics))
        .route("/healthz", get(api::healthy))
        .route("/readyz", get(api::ready));
    let stack = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(context.clone(), farewell))
        .layer(from_fn_with_state(context.clone(), access::same_site))
        .layer(from_fn(problem::documented));
    authorised.merge(open).merge(page).layer(stack).with_state(context)
}

/// Asks clients to connect anew, once another process answers.
async fn farewell(State(context): State<Context>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if *context.lifecycle.borrow() == Phase::Relieved {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Context {
    /// What the configuration says as of now.
    fn settings(&self) -> Arc<AdminSettings> {
        self.reloading.admin.load_full()
    }

    /// Whoever asks a process that was relieved, on a connection of before, means the one that relieved it.
    fn is_serving(&self) -> bool {
        matches!(*self.lifecycle.borrow(), Phase::Serving | Phase::Relieved)
    }
}
