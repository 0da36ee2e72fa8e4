//! Blue and green: two small services on ports of their own, of which green can be made bad.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::fault::Fault;

/// One version's service. It ends when this is dropped.
pub(super) struct Backend {
    pub address: SocketAddr,
    service: Rc<Service>,
    accepting: JoinSet<()>,
}

struct Service {
    version: &'static str,
    fault: Cell<Fault>,
    /// The path whose requests are counted, and how many have arrived.
    counted: &'static str,
    arrived: Cell<u64>,
}

/// Says which version an answer is from.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-version");

/// How late green answers with [`Fault::Latency`]: well over the bound of the trigger, well under the proxy's limit.
pub(super) const LATE: Duration = Duration::from_millis(800);

impl Backend {
    /// Serves `version` on a free port of loopback and counts the requests for the path `counted`.
    pub(super) async fn start(version: &'static str, counted: &'static str) -> io::Result<Backend> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let service = Rc::new(Service { version, fault: Cell::new(Fault::None), counted, arrived: Cell::new(0) });
        let mut accepting = JoinSet::new();
        accepting.spawn_local(accept(listener, Rc::clone(&service)));
        Ok(Backend { address, service, accepting })
    }

    /// Makes it bad, for this and every later request.
    pub(super) fn turn(&mut self, fault: Fault) {
        self.service.fault.set(fault);
        if fault == Fault::Refuse {
            self.accepting.abort_all();
        }
    }

    /// Requests for the counted path that have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.service.arrived.get()
    }
}

/// Owns the listener and every connection, so that all are closed when this is aborted.
async fn accept(listener: TcpListener, service: Rc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn_local(serve(stream, Rc::clone(&service)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, service: Rc<Service>) {
    // Closing without lingering resets the connection, as a process that is killed under load does.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.set_zero_linger());
    if prepared.is_ok() {
        let answer = service_fn(|request| answer(request, Rc::clone(&service)));
        // It ends in an error when the proxy closes it first, which is the proxy's right.
        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
    }
}

async fn answer(request: Request<Incoming>, service: Rc<Service>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == service.counted {
        service.arrived.set(service.arrived.get() + 1);
    }
    let fault = service.fault.get();
    match fault {
        Fault::Latency => tokio::time::sleep(LATE).await,
        Fault::Hang => pending().await,
        Fault::Errors | Fault::Refuse | Fault::None => {}
    }
    let (status, text) = match fault {
        Fault::Errors => (StatusCode::INTERNAL_SERVER_ERROR, "is broken"),
        Fault::Latency | Fault::Hang | Fault::Refuse | Fault::None => (StatusCode::OK, "is well"),
    };
    let mut response = Response::new(Full::from(format!("{} {text}\n", service.version)));
    *response.status_mut() = status;
    response.headers_mut().insert(VERSION, HeaderValue::from_static(service.version));
    Ok(response)
}
