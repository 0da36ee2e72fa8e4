//! Why a request that was handed to a connection got no response head.

use http::Request;

use super::http1::Broken;
use crate::proxy::wire::{Interrupt, RequestBody};

pub(in crate::proxy) enum NoHead {
    /// The endpoint says that it has done nothing with it.
    Unprocessed(Box<Request<RequestBody>>),
    /// Its Host field is none that HTTP/2 has a word for.
    BadHost,
    /// The connection ended after some of it may have been written.
    Lost,
    /// The endpoint answered with something that is no HTTP.
    Invalid(Broken),
    /// The same by HTTP/2.
    Malformed(h2::Error),
    /// The head of its answer is larger than it may be.
    LargeHead,
    Interrupted(Interrupt),
}

impl From<Broken> for NoHead {
    fn from(broken: Broken) -> NoHead {
        match broken {
            Broken::LargeHead => NoHead::LargeHead,
            Broken::Head(_) | Broken::Framing | Broken::Body | Broken::Http2(_) => NoHead::Invalid(broken),
            Broken::Ended | Broken::Io(_) | Broken::Request => NoHead::Lost,
        }
    }
}
