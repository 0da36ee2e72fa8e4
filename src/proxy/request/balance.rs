//! Which endpoints a request is for, where those of a version have clients of their own.

use http::HeaderMap;

use super::client::Client;
use super::client_key::KeySent;
use super::observe::Exchange;

impl Exchange {
    /// Keeps the request to the client's own endpoints, where the version's have clients of their own.
    pub(super) fn balance(&mut self, headers: &HeaderMap, client: &Client) {
        let Some(balance) = self.serving.balance(self.section) else { return };
        let sent = KeySent::in_request(&balance.key, headers, || self.serving.origin(headers, client));
        self.point = sent.map(|sent| balance.ring.start(sent.bytes()));
    }

    /// Their places, first the one that serves it best.
    pub(super) fn own_endpoints(&self) -> Option<impl Iterator<Item = usize> + Clone> {
        let balance = self.serving.balance(self.section);
        self.point.and_then(|point| Some(balance?.ring.from(point)))
    }
}
