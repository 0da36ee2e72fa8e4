//! What both sides of the proxy are made of. [`stream`] is a connection, by TCP or a
//! socket in the file system, [`secured`] TLS on one to an endpoint, [`lazy`] when the reactor is told of it, [`socket`] how
//! bytes are sent on it, [`channel`] what may be between it and a client's HTTP,
//! [`progress`] what one connection waits for and until when, [`received`] a body as it comes in, [`body`] a request's on its way, [`kept`] one that may have to be sent again,
//! [`pipe`] one as it goes out by HTTP/2, [`interim`] answers before the answer, [`side`] one side of a
//! tunnel, [`proxy_protocol`] what a connection may begin with.

mod body;
mod channel;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod interim;
mod kept;
mod lazy;
mod pipe;
mod progress;
pub(in crate::proxy) mod proxy_protocol;
mod received;
mod secured;
mod side;
mod socket;
mod stream;

use std::cell::Cell;
use std::rc::Rc;

pub(in crate::proxy) use body::{Bounds, Lender, LentBody, RequestBody};
pub(in crate::proxy) use channel::Channel;
pub(in crate::proxy) use kept::Kept;
pub(in crate::proxy) use lazy::Lazy;
pub(in crate::proxy) use pipe::Pipe;
pub(in crate::proxy) use progress::{BodyFailure, Interrupt, PARK_AFTER, Phase, Progress};
pub(in crate::proxy) use received::{Broken, Received};
pub(in crate::proxy) use secured::Secured;
pub(in crate::proxy) use side::Side;
pub(in crate::proxy) use socket::{Heard, Owned, Sends, Socket};
pub(in crate::proxy) use stream::Stream;

/// What a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Protocol {
    WebSocket,
    Other,
}

/// One more in a count for as long as it lives.
pub(in crate::proxy) struct Counted(Rc<Cell<u32>>);

impl Counted {
    pub(in crate::proxy) fn new(count: &Rc<Cell<u32>>) -> Counted {
        count.set(count.get() + 1);
        Counted(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
