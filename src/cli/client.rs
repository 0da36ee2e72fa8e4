//! Talks to a running proxy's admin API.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config;

/// Which proxy to talk to
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "they are named as the flags are")]
pub(super) struct Admin {
    /// The admin address of the proxy
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: Uri,
    /// A bearer token, where the proxy asks for one
    #[arg(long, env = "PORTCULLIS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Who signs the proxy's certificate, as a PEM file; those that the system trusts unless said
    #[arg(long, env = "PORTCULLIS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that the proxy is shown, as a PEM file
    #[arg(long, env = "PORTCULLIS_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, as a PEM file
    #[arg(long, env = "PORTCULLIS_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// The API's refusal of a request.
#[derive(Debug, thiserror::Error)]
#[error("{detail} ({status})")]
pub(super) struct Refused {
    pub status: StatusCode,
    pub detail: String,
}

/// No answer of the API is longer: a release with all the decisions that are kept of it.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// No line of a stream is longer: one input with full histograms.
const LINE_BYTES: usize = 4 * 1024 * 1024;

/// For the whole exchange: a change is in force within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream that brings nothing for so long has ended; events come with a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

impl Admin {
    /// A proxy that asks for no token.
    pub(super) fn at(address: SocketAddr) -> anyhow::Result<Admin> {
        Ok(Admin { admin: format!("http://{address}").parse()?, token: None, ca: None, cert: None, key: None })
    }

    /// [`Admin::send`], for commands that have no runtime.
    pub(super) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        runtime()?.block_on(self.send(method, path, body))
    }

    /// Sends one request and returns the JSON of the answer. A problem document becomes the error, a
    /// [`Refused`].
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.send_within(TIMEOUT, method, path, body).await
    }

    /// [`Admin::send`], for an answer that may take its time.
    pub(super) async fn send_within(
        &self,
        longest: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let exchange = async {
            let bytes = self.whole(self.open(method, path, body).await?).await?;
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} answered with something that is not JSON", self.admin))
        };
        tokio::time::timeout(longest, exchange).await.map_err(|_| self.silent(longest))?
    }

    /// One page of a list, and where the next one is.
    pub(super) async fn page(&self, path: &str) -> anyhow::Result<(Vec<Value>, Option<String>)> {
        let exchange = async {
            let response = self.open(Method::GET, path, None).await?;
            let next = response.headers().get(header::LINK).and_then(|link| next_of(link.to_str().ok()?));
            let page = serde_json::from_slice(&self.whole(response).await?);
            Ok((page.with_context(|| format!("{} answered with something that is no list", self.admin))?, next))
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| self.silent(TIMEOUT))?
    }

    /// A document that is no JSON.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let exchange = async {
            let bytes = self.whole(self.open(Method::GET, path, None).await?).await?;
            Ok(String::from_utf8(bytes.to_vec())?)
        };
        let answered = async { tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| self.silent(TIMEOUT))? };
        runtime()?.block_on(answered)
    }

    /// Reads a stream line by line, until it ends or `each` breaks off.
    pub(super) async fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        let opened = tokio::time::timeout(TIMEOUT, self.open(Method::GET, path, None)).await;
        let mut body = opened.map_err(|_| self.silent(TIMEOUT))??.into_body();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| self.silent(SILENCE))? {
            let frame = frame.with_context(|| format!("{} broke off its answer", self.admin))?;
            let Ok(data) = frame.into_data() else { continue };
            let mut parts = data.split(|byte| *byte == b'\n');
            rest.extend_from_slice(parts.next().unwrap_or_default());
            for part in parts {
                if each(&rest)?.is_break() {
                    return Ok(());
                }
                rest.clear();
                rest.extend_from_slice(part);
            }
            if rest.len() > LINE_BYTES {
                bail!("{} answered with a line of more than {LINE_BYTES} bytes", self.admin);
            }
        }
        Ok(())
    }

    /// Whether the URL can be that of an admin API at all.
    pub(super) fn authority(&self) -> anyhow::Result<&Authority> {
        let authority = self.admin.authority().with_context(|| format!("{} names no host", self.admin))?;
        if self.admin.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            bail!("{}: the admin API speaks http and https only", self.admin);
        }
        Ok(authority)
    }

    fn silent(&self, longest: Duration) -> anyhow::Error {
        anyhow!("{} did not answer within {} s", self.admin, longest.as_secs())
    }

    /// Sends one request; what is not a success becomes a [`Refused`].
    async fn open(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response<Incoming>> {
        let authority = self.authority()?;
        let mut sender = self.connect(authority).await?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, authority.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Full::new(Bytes::from(serde_json::to_vec(body)?))
            }
            None => Full::default(),
        };
        let response = sender.send_request(request.body(body)?).await;
        let response = response.with_context(|| format!("{} gave no answer", self.admin))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.whole(response).await?;
        let problem: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} answered {status} with something that is not JSON", self.admin))?;
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or("no detail was given").to_owned();
        Err(Refused { status, detail }.into())
    }

    /// A connection of its own, secured where the URL says so.
    async fn connect(&self, authority: &Authority) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let is_secured = self.admin.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_secured { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((host, port)).await.with_context(|| format!("no proxy answers at {}", self.admin))?;
        if !is_secured {
            return speak(stream).await;
        }
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        let transport = config::of_client(self.ca.as_deref(), identity).map_err(|why| anyhow!(why))?;
        let name = config::server_name(host).with_context(|| format!("{host} is no name of a server"))?;
        let stream = TlsConnector::from(Arc::new(transport.client_of_http1())).connect(name, stream).await;
        speak(stream.with_context(|| format!("no proxy that is to be trusted answers at {}", self.admin))?).await
    }

    async fn whole(&self, response: Response<Incoming>) -> anyhow::Result<Bytes> {
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|error| anyhow!(error));
        Ok(bytes.with_context(|| format!("{} broke off its answer", self.admin))?.to_bytes())
    }
}

async fn speak<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the admin API ended");
        }
    });
    Ok(sender)
}

/// The path of the next page (RFC 8288).
fn next_of(link: &str) -> Option<String> {
    let (path, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
    (relation.contains("rel=\"next\"") && path.starts_with('/')).then(|| path.to_owned())
}

/// For commands that wait for one thing at a time.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
