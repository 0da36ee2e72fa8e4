//! The admin API, on its own listener and its own thread.
//!
//! [`endpoints`] is the table of all of them, and [`openapi`] what is told of it. [`api`] holds those that show and change the
//! release of the moment, [`fate`] the one that pipelines wait at, [`versions`] those that change the versions, [`signals`] what
//! others tell, [`events`] what happens, [`releases`] what is recorded, [`reports`] how a release is told, [`replica`] what others add up, [`forward`] what is for the leader, [`hop`] the way to it, [`dashboard`] the page
//! for a browser. [`listen`] is where they are connected to, [`access`] who
//! may use them, [`changes`] what every change has in common, [`once`] what was sent before; [`body`] and [`query`] read what is
//! sent, [`words`] says what is wrong with it, [`problem`] turns every error into a problem document.

mod access;
mod api;
mod body;
mod changes;
mod dashboard;
mod endpoints;
mod events;
mod fate;
mod forward;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hop;
mod listen;
mod once;
pub mod openapi;
mod problem;
mod query;
mod releases;
mod replica;
mod reports;
mod signals;
mod versions;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, header};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::control::command::Commands;
use crate::control::event::Events;
use crate::control::replicas::published::Published;
use crate::control::series::Series;
use crate::control::status::Status;
use crate::journal::Archive;
use crate::proxy::{Lifecycle, Phase};
use crate::reload::{AdminSettings, Reloading};
use crate::resolve::Lookups;
use crate::telemetry::Exposition;
pub use dashboard::Past;
use endpoints::{Body, Endpoint, Needs, Whose};
pub use forward::Leader;
pub use hop::{Hop, Unreachable};
use once::Once;
use problem::Problem;

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
    /// What this proxy has counted, for the one that adds up.
    pub counted: Published,
    pub shared: Shared,
    /// Who takes the steps of the release.
    pub leader: watch::Receiver<Leader>,
}

/// A dashboard or a pipeline each. Half of the connections, so that whoever only waits for something keeps out nobody who has
/// something to do.
const SEATS: usize = listen::CONNECTIONS / 2;

/// What requests know of each other.
#[derive(Clone)]
pub struct Shared {
    once: Once,
    /// Room for those who wait for what happens.
    seats: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { once: Once::default(), seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

/// Serves on a thread of its own until the process ends, or another one has the listener.
pub fn spawn(listener: TcpListener, context: Context) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name("portcullis-admin".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            tokio::spawn(dashboard::follow(context.clone()));
            let router = router(context.clone());
            listen::serve(listener, context, router).await
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
    let mut router = Router::new();
    for Endpoint { path, method, needs, body, handler, whose, .. } in endpoints::all() {
        let most = match body {
            // Where none is needed it is not looked at.
            Body::None => api::BODY_BYTES,
            Body::Perhaps(_, most) | Body::Needed(_, most) => most,
        };
        let mut handler = handler;
        if !method.is_safe() {
            handler = handler.route_layer(from_fn_with_state((context.clone(), most), changes::receive));
            if whose == Whose::Leader {
                handler = handler.route_layer(from_fn_with_state(context.clone(), forward::to_leader));
            }
        }
        if needs == Needs::Token {
            handler = handler.route_layer(from_fn_with_state(context.clone(), access::authorise));
        }
        router = router.route(path, handler);
    }
    let stack = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(context.clone(), farewell))
        .layer(from_fn_with_state(context.clone(), access::same_site))
        .layer(from_fn(problem::documented));
    let page = Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{name}", get(dashboard::asset))
        .route_layer(from_fn(dashboard::guarded));
    router.merge(page).layer(stack).with_state(context)
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
    /// For as long as somebody waits for what happens.
    fn seat(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.shared.seats).try_acquire_owned().map_err(|_| Problem::TooMany)
    }

    /// What the configuration says as of now.
    fn settings(&self) -> Arc<AdminSettings> {
        self.reloading.admin.load_full()
    }

    /// Whoever asks a process that was relieved, on a connection of before, means the one that relieved it.
    fn is_serving(&self) -> bool {
        matches!(*self.lifecycle.borrow(), Phase::Serving | Phase::Relieved)
    }
}
