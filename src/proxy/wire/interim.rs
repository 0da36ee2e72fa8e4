//! Interim answers of an endpoint (1xx) on their way to the client.

use std::cell::{Cell, RefCell};

use http::Response;

/// Those to one request. What there is beyond is dropped, as all are where the client takes nothing.
#[derive(Default)]
pub(in crate::proxy) struct Interims {
    heads: RefCell<Vec<Response<()>>>,
    /// The same as bytes of HTTP/1, of which some have gone.
    bytes: RefCell<Vec<u8>>,
    any: Cell<bool>,
    passed: Cell<usize>,
}

/// Each may be as large as a head. Endpoints send one or two: hints, a sign of life every few seconds.
const MOST: usize = 32;

impl Interims {
    /// A request begins.
    pub(in crate::proxy) fn begin(&self) {
        self.passed.set(0);
    }

    pub(in crate::proxy) fn push(&self, head: Response<()>) {
        if self.passed.get() < MOST {
            self.passed.set(self.passed.get() + 1);
            self.heads.borrow_mut().push(head);
            self.any.set(true);
        }
    }

    /// Whether the client may have had one.
    pub(in crate::proxy) fn has_passed(&self) -> bool {
        self.passed.get() > 0
    }

    /// Whether some wait.
    pub(in crate::proxy) fn any(&self) -> bool {
        self.any.get()
    }

    /// Those that wait, as heads.
    #[cold]
    pub(in crate::proxy) fn take(&self) -> Vec<Response<()>> {
        self.any.set(false);
        self.heads.take()
    }

    /// Lets `send` have the bytes, beginning with those that wait from before and going on with what `write` makes of each
    /// head, and takes out as many as it says have gone.
    #[cold]
    pub(in crate::proxy) fn send<E>(
        &self,
        write: impl Fn(Response<()>, &mut Vec<u8>),
        mut send: impl FnMut(&[u8]) -> std::task::Poll<Result<usize, E>>,
    ) -> std::task::Poll<Result<(), E>> {
        let mut bytes = self.bytes.borrow_mut();
        self.heads.take().into_iter().for_each(|head| write(head, &mut bytes));
        while !bytes.is_empty() {
            let sent = std::task::ready!(send(&bytes))?;
            bytes.drain(..sent);
        }
        self.any.set(false);
        std::task::Poll::Ready(Ok(()))
    }
}
