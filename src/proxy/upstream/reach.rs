//! How one worker reaches one endpoint: by what connections are made to it, and the one that is being made for many requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::carrier::Opening;
use super::connect::{Alpn, NoConnection, Security, connect, speaks_http2};
use super::own::Told;
use crate::config::{Speaks, Transport};
use crate::live::Known;
use crate::proxy::wire::Stream;

pub(super) struct Reach {
    by: RefCell<By>,
    /// Where the endpoint may choose, it chose HTTP/1 the last time.
    chose_http1: Cell<bool>,
    /// Of what connections are made by: one that was made by another carries no further request.
    generation: Cell<u32>,
    opening: RefCell<Option<Rc<Opening>>>,
}

struct By {
    transport: Transport,
    security: Option<Security>,
}

/// A test asks that a connection takes this many milliseconds, as one across zones with TLS does.
#[cfg(feature = "fault-injection")]
const DEAR: &str = "PORTCULLIS_FAULT_CONNECT_MS";

impl Reach {
    pub(super) fn new(known: &Known, transport: &Transport) -> Reach {
        Reach {
            by: RefCell::new(By::new(known, transport)),
            chose_http1: Cell::new(false),
            generation: Cell::new(0),
            opening: RefCell::default(),
        }
    }

    /// Connections are made by `transport` from here on. True if that is another than before.
    pub(super) fn go_by(&self, known: &Known, transport: &Transport) -> bool {
        let is_other = self.by.borrow().transport != *transport;
        if is_other {
            self.by.replace(By::new(known, transport));
            self.chose_http1.set(false);
            self.generation.set(self.generation.get().wrapping_add(1));
            self.opening.take();
        }
        is_other
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Which HTTP is to be expected of the next connection.
    pub(super) fn speaks(&self) -> Speaks {
        match &*self.by.borrow() {
            By { transport, security } if transport.speaks == Speaks::Either => {
                if security.is_none() || self.chose_http1.get() { Speaks::Http1 } else { Speaks::Either }
            }
            By { transport, .. } => transport.speaks,
        }
    }

    /// Whether HTTP/2 is to be spoken on a connection that was made.
    pub(super) fn chooses_http2(&self, stream: &Stream) -> Result<bool, NoConnection> {
        let By { transport, security } = &*self.by.borrow();
        let http2 = speaks_http2(stream, security.as_ref(), transport.speaks)?;
        self.chose_http1.set(!http2);
        Ok(http2)
    }

    pub(super) fn is_secured(&self) -> bool {
        self.by.borrow().security.is_some()
    }

    pub(super) async fn connect(&self, known: &Known, alpn: Alpn, told: Option<&Told>) -> Result<Stream, NoConnection> {
        #[cfg(feature = "fault-injection")]
        dear().await;
        let security = self.by.borrow().security.clone();
        connect(&known.address, told.map(Told::header), security.as_ref(), alpn).await
    }

    pub(super) fn opening(&self) -> Option<Rc<Opening>> {
        self.opening.borrow().clone()
    }

    pub(super) fn begin(&self, opening: &Rc<Opening>) {
        self.opening.replace(Some(Rc::clone(opening)));
    }

    /// It is made, or not.
    pub(super) fn end(&self, opening: &Rc<Opening>) {
        self.opening.borrow_mut().take_if(|current| Rc::ptr_eq(current, opening));
    }
}

impl By {
    fn new(known: &Known, transport: &Transport) -> By {
        By { transport: transport.clone(), security: Security::of(known, transport) }
    }
}

#[cfg(feature = "fault-injection")]
async fn dear() {
    if let Some(millis) = std::env::var(DEAR).ok().and_then(|millis| millis.parse().ok()) {
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    }
}
