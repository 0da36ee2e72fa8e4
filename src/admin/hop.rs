//! The way to the admin API of another replica, which has the same configuration as this one: so it is over TLS where this
//! one's own is.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Uri;
use http::uri::Authority;
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config;
use crate::reload::{AdminSettings, Reloading};

/// How this replica reaches others, as of the moment.
#[derive(Clone)]
pub struct Hop(Arc<ArcSwap<AdminSettings>>);

/// Why one is not reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    #[error("`{0}` is no URL of an admin API")]
    Url(String),
    #[error("`{0}` is without TLS, which this one's admin API has: nobody is shown a token there")]
    Bare(String),
    #[error("it cannot be connected to: {0}")]
    Connect(#[from] io::Error),
    #[error("it gave no answer: {0}")]
    Http(#[from] hyper::Error),
}

impl Hop {
    pub fn of(reloading: &Reloading) -> Hop {
        Hop(Arc::clone(&reloading.admin))
    }

    #[cfg(test)]
    pub(crate) fn by(config: &config::Config) -> Hop {
        Hop(Arc::new(ArcSwap::from_pointee(AdminSettings::new(config))))
    }

    /// Where others reach this one, by its address.
    pub fn url(&self, authority: &str) -> String {
        let scheme = if self.0.load().tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{authority}")
    }

    /// A connection to the one at this URL, and what it is called there.
    pub async fn connect<B>(&self, url: &str) -> Result<(SendRequest<B>, Authority), Unreachable>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let unfit = || Unreachable::Url(url.to_owned());
        let at: Uri = url.parse().map_err(|_| unfit())?;
        let authority = at.authority().cloned().ok_or_else(unfit)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let own = self.0.load().tls.clone();
        let tls = match (at.scheme_str(), own) {
            (Some("http"), None) => None,
            (Some("http"), Some(_)) => return Err(Unreachable::Bare(url.to_owned())),
            (Some("https"), Some(own)) => Some(own.client()),
            (Some("https"), None) => {
                let transport = config::of_client(None, None).map_err(io::Error::other)?;
                Some(Arc::new(transport.client_of_http1()))
            }
            (Some(_) | None, _) => return Err(unfit()),
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let sender = match tls {
            None => speak(stream).await?,
            Some(tls) => {
                let name = config::server_name(host).ok_or_else(unfit)?;
                speak(TlsConnector::from(tls).connect(name, stream).await?).await?
            }
        };
        Ok((sender, authority))
    }
}

async fn speak<S, B>(stream: S) -> Result<SendRequest<B>, Unreachable>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to a replica ended");
        }
    });
    Ok(sender)
}
