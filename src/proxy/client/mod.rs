//! What faces the client. [`listen`] accepts on every worker, [`connections`] counts and wakes what is open,
//! [`connection`] is one of them from accept to close, [`proxied`] what it begins with where somebody else makes it for the
//! client, [`handshake`] where it is TLS, [`drive`] runs hyper on it and watches its deadlines, [`http2`] is the same where it speaks
//! that, [`interim`] writes what comes before an answer, [`opening`] finds out, [`request_line`] sees what hyper does not tell, [`park`] says which idle ones keep their buffers, [`tunnel`] joins both sides after an upgrade,
//! [`websocket`] finds the ends of frames there.

mod connection;
mod connections;
mod drive;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod handshake;
mod http2;
mod interim;
mod listen;
mod opening;
mod park;
mod proxied;
mod request_line;
mod tunnel;
mod websocket;

pub(in crate::proxy) use connections::{CALLED_WITHIN, Connections};
pub(in crate::proxy) use listen::accept;
pub use listen::{Sockets, bind};
