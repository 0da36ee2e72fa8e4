//! A connection to a name that has addresses of both families: when one cannot be made soon, an attempt in the other family begins
//! beside it, and the first that stands serves the request (RFC 8305, section 5).
//!
//! Absent: a third attempt beside two. Whoever has only addresses of one family that hang waits for each.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::observe::Exchange;
use super::respond::Refusal;
use super::service::Service;
use crate::gate::Outcome;
use crate::proxy::upstream::{Carrier, Endpoint, NoConnection, Terms, Told, twin};

/// The Connection Attempt Delay that RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

struct Attempt {
    endpoint: Rc<Endpoint>,
    made: Pin<Box<dyn Future<Output = Result<Carrier, NoConnection>>>>,
    /// When it has failed.
    until: Instant,
}

/// A connection to `endpoint`, or to a twin of it. `exchange` is at the one that serves, or else failed last; the others that
/// failed are in `tried`.
pub(super) async fn connect(
    service: &Rc<Service>,
    exchange: &mut Exchange,
    endpoint: &Rc<Endpoint>,
    (terms, told): (Terms, Option<Told>),
    tried: &mut Vec<Rc<Endpoint>>,
) -> Result<Carrier, NoConnection> {
    let mut first = Attempt::new(service, terms, endpoint, told.clone());
    if let Ok(made) = tokio::time::timeout(ATTEMPT_DELAY, &mut first.made).await {
        return made;
    }
    let endpoints = exchange.serving.endpoints.of(exchange.section);
    let Some(other) = twin(endpoints, endpoint, tried, &mut service.random.borrow_mut()) else {
        return first.made.await;
    };
    let mut second = Attempt::new(service, terms, &other, told);
    tokio::select! {
        made = &mut first.made => match made {
            Ok(upstream) => {
                second.go_on(exchange);
                Ok(upstream)
            }
            Err(error) => {
                tracing::debug!(%error, endpoint = %first.endpoint.known, "no connection");
                tried.extend(exchange.endpoint_failed(Refusal::from(&error).outcome()));
                exchange.at(&other, None);
                second.made.await
            }
        },
        made = &mut second.made => match made {
            Ok(upstream) => {
                tracing::debug!(endpoint = %first.endpoint.known, by = %other.known, "connection attempt overtaken");
                exchange.at(&other, None);
                first.go_on(exchange);
                Ok(upstream)
            }
            Err(error) => {
                tracing::debug!(%error, endpoint = %other.known, "no connection");
                exchange.report(&other, Refusal::from(&error).outcome().charge());
                tried.push(other);
                first.made.await
            }
        },
    }
}

impl Attempt {
    fn new(service: &Rc<Service>, terms: Terms, endpoint: &Rc<Endpoint>, told: Option<Told>) -> Attempt {
        let until = Instant::now() + terms.within;
        let (service, endpoint) = (Rc::clone(service), Rc::clone(endpoint));
        let made = {
            let endpoint = Rc::clone(&endpoint);
            Box::pin(async move { Carrier::connect(&service.dialer, &endpoint, &terms, told).await })
        };
        Attempt { endpoint, made, until }
    }

    /// Nobody waits for it any more. What it comes to is known all the same: a connection rests, a failure counts against the
    /// endpoint.
    fn go_on(self, exchange: &Exchange) {
        let Attempt { endpoint, made, until } = self;
        let (serving, section, version) = (Rc::clone(&exchange.serving), exchange.section, exchange.version);
        tokio::task::spawn_local(async move {
            match tokio::time::timeout_at(until, made).await {
                Ok(Ok(upstream)) => upstream.release(Instant::now()),
                Ok(Err(error)) if error.is_exhausted() => {}
                Ok(Err(_)) | Err(_) => {
                    let among = serving.among(section, version);
                    endpoint.report(Outcome::ConnectError.charge(), &serving.settings().ejection, among);
                }
            }
        });
    }
}
