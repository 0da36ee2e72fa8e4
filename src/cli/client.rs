//! Talks to a running proxy's admin API.

use std::net::SocketAddr;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Which proxy to talk to
#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    /// The admin address of the proxy
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: Uri,
    /// A bearer token, where the proxy asks for one
    #[arg(long, env = "PORTCULLIS_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// The API's refusal of a request.
#[derive(Debug, thiserror::Error)]
#[error("{detail} ({status})")]
pub(super) struct Refused {
    pub status: StatusCode,
    pub detail: String,
}

/// No answer of the API is longer.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// For the whole exchange: a change is in force within milliseconds.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

impl Admin {
    /// A proxy that asks for no token.
    pub(super) fn at(address: SocketAddr) -> anyhow::Result<Admin> {
        Ok(Admin { admin: format!("http://{address}").parse()?, token: None })
    }

    /// [`Admin::send`], for commands that have no runtime.
    pub(super) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.send(method, path, body))
    }

    /// Sends one request and returns the JSON of the answer. A problem document becomes the error, a
    /// [`Refused`].
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        tokio::time::timeout(TIMEOUT, self.exchange(method, path, body))
            .await
            .map_err(|_| anyhow!("{} did not answer within {} s", self.admin, TIMEOUT.as_secs()))?
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let authority = self.admin.authority().with_context(|| format!("{} names no host", self.admin))?;
        if self.admin.scheme_str().is_some_and(|scheme| scheme != "http") {
            bail!("{}: the admin API speaks http only", self.admin);
        }
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((host, port)).await.with_context(|| format!("no proxy answers at {}", self.admin))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
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
        let answered = async {
            let response = sender.send_request(request.body(body)?).await?;
            let status = response.status();
            let bytes = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|e| anyhow!(e))?;
            anyhow::Ok((status, bytes.to_bytes()))
        };
        tokio::pin!(answered);
        let (status, bytes) = tokio::select! {
            answered = &mut answered => answered?,
            ended = connection => {
                ended?;
                answered.await?
            }
        };
        let answer: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} answered {status} with something that is not JSON", self.admin))?;
        if !status.is_success() {
            let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no detail was given").to_owned();
            return Err(Refused { status, detail }.into());
        }
        Ok(answer)
    }
}
