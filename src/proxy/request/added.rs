//! Fields that a client gets with the answer, whoever gives it.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use super::ids::X_REQUEST_ID;

/// On the heap, because few requests have any.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub request_id: Option<HeaderValue>,
    /// One to be set.
    pub cookie: Option<HeaderValue>,
}

impl Added {
    pub(super) fn to(self, headers: &mut HeaderMap) {
        if let Some(id) = self.request_id {
            headers.insert(X_REQUEST_ID, id);
        }
        if let Some(cookie) = self.cookie {
            headers.append(SET_COOKIE, cookie);
        }
    }
}
