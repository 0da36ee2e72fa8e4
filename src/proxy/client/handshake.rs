//! What comes before HTTP where the listener speaks TLS.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::live::Settings;
use crate::measure::Handshake;
use crate::proxy::request::Service;
use crate::proxy::wire::{Channel, Owned};

/// By what a connection that is accepted as of now is secured; none when it is not.
pub(super) fn config(settings: &Settings) -> Option<Arc<ServerConfig>> {
    settings.tls.as_ref().map(|tls| Arc::clone(tls.server()))
}

/// Agrees with the client on keys within the time for a request head. None when that fails; what TLS has to say of it waits
/// to be sent.
pub(super) async fn accept(service: &Service, socket: &Owned, config: Arc<ServerConfig>) -> Option<Channel> {
    let longest = service.serving().settings().timeouts.request_head;
    let agreed = tokio::time::timeout(longest, TlsAcceptor::from(config).accept(socket.share())).await;
    let (handshake, channel) = match agreed {
        Ok(Ok(stream)) => (Handshake::Success, Some(Channel::secured(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            (Handshake::Failure, None)
        }
        Err(_) => (Handshake::Timeout, None),
    };
    service.records.shook_hands(handshake);
    channel
}
