//! The connection to a collector, which is kept as long as it lasts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::message;
use crate::config::{Endpoint, Otlp};
use crate::resolve::Lookups;

pub(super) struct Collector {
    lookups: Lookups,
    connection: Option<Connection>,
    /// Where the collector was last, for when nobody looks names up any more.
    known: Vec<SocketAddr>,
}

struct Connection {
    /// What it was made by.
    otlp: Arc<Otlp>,
    sender: SendRequest<Full<Bytes>>,
}

/// What a collector says to a message.
pub(super) enum Answer {
    Taken {
        rejected: u64,
        why: String,
    },
    /// The same message may be sent again, after this time where it says one.
    Later {
        status: StatusCode,
        after: Option<Duration>,
    },
    Refused(StatusCode),
}

/// Why there is no answer. The message may be sent again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("its name has no address")]
    NoAddress,
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
}

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

/// Of an answer: it holds a number and a sentence.
const MOST_ANSWER_BYTES: usize = 64 * 1024;

impl Collector {
    pub(super) fn new(lookups: Lookups) -> Collector {
        Collector { lookups, connection: None, known: Vec::new() }
    }

    /// Sends a message. Where this is dropped its connection is not used again.
    pub(super) async fn post(&mut self, otlp: &Arc<Otlp>, body: Bytes) -> Result<Answer, Failure> {
        let kept = self.connection.take().filter(|kept| kept.otlp == *otlp && !kept.sender.is_closed());
        let mut request = request(otlp, body);
        if let Some(mut kept) = kept {
            match kept.sender.try_send_request(request).await {
                Ok(response) => return self.read(kept, response).await,
                // It has ended while it rested.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut new = self.connect(otlp).await?;
        let response = new.sender.send_request(request).await?;
        self.read(new, response).await
    }

    async fn read(
        &mut self,
        connection: Connection,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        // One that is longer, or breaks off, says nothing, and its connection is not used again.
        let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await.ok().map(http_body_util::Collected::to_bytes);
        if body.is_some() {
            self.connection = Some(connection);
        }
        Ok(match head.status {
            status if status.is_success() => {
                let (rejected, why) = message::answer(body.unwrap_or_default());
                Answer::Taken { rejected, why }
            }
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Answer::Later { status, after: retry_after(&head.headers) },
            status => Answer::Refused(status),
        })
    }

    async fn connect(&mut self, otlp: &Arc<Otlp>) -> Result<Connection, Failure> {
        let addresses = self.addresses(&otlp.collector).await;
        let mut failure = Failure::NoAddress;
        for address in addresses {
            let stream = match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            };
            stream.set_nodelay(true)?;
            let sender = match otlp.collector.server_name() {
                None => speak(stream).await?,
                Some(name) => {
                    let client = Arc::new(otlp.transport.client_of_http1());
                    speak(TlsConnector::from(client).connect(name, stream).await?).await?
                }
            };
            return Ok(Connection { otlp: Arc::clone(otlp), sender });
        }
        Err(failure)
    }

    async fn addresses(&mut self, collector: &Endpoint) -> Vec<SocketAddr> {
        let authority = collector.authority().expect("a validated collector is a host");
        let addresses = match authority.ip() {
            Some(address) => vec![address],
            None => self
                .lookups
                .of([collector])
                .await
                .of(&authority.host)
                .unwrap_or_default()
                .iter()
                .map(|place| place.ip)
                .collect(),
        };
        if !addresses.is_empty() {
            self.known = addresses.into_iter().map(|address| SocketAddr::new(address, authority.port)).collect();
        }
        self.known.clone()
    }
}

fn request(otlp: &Otlp, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::post(otlp.path.as_str()).body(Full::new(body)).expect("a validated path is a target");
    let host = HeaderValue::try_from(otlp.collector.host()).expect("a host and a port are a value");
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(USER_AGENT, AGENT);
    headers.extend(otlp.headers.clone());
    request
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the collector broke");
        }
    });
    Ok(sender)
}

/// In seconds, or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(value).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_says_when_to_come_again_in_seconds_or_by_a_date() {
        let said = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]));
        assert_eq!(said("7"), Some(Duration::from_secs(7)));
        assert_eq!(said("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "it has passed");
        assert!(said("Fri, 31 Dec 2100 23:59:59 GMT") > Some(Duration::from_secs(86_400)));
        assert_eq!((said("soon"), said("-1")), (None, None));
    }
}
