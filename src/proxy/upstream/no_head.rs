//! Why a request that was handed to a connection got no response head.

use http::Request;

use crate::proxy::wire::{Interrupt, RequestBody};

pub(in crate::proxy) enum NoHead {
    /// It was never written: it may be sent elsewhere.
    NotSent(Box<Request<RequestBody>>),
    /// It was written, and the endpoint says that it has done nothing with it.
    Unprocessed(Box<Request<RequestBody>>),
    /// Its Host field is none that HTTP/2 has a word for.
    BadHost,
    /// The connection ended after some of it may have been written.
    Lost,
    /// The endpoint answered with something that is no HTTP, or more than we take.
    Invalid(hyper::Error),
    /// The same by HTTP/2.
    Malformed(h2::Error),
    Interrupted(Interrupt),
}

impl From<hyper::Error> for NoHead {
    fn from(error: hyper::Error) -> NoHead {
        if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
            NoHead::Invalid(error)
        } else {
            NoHead::Lost
        }
    }
}
