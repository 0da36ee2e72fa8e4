//! One listening socket for each worker on the same port, and the accept loop.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::connections::{Connections, NoPlace};
use super::{connection, handshake};
use crate::live::Settings;
use crate::proxy::lifecycle::{Lifecycle, Phase};
use crate::proxy::request::{OVERLOAD, refuse_connection};

/// The sockets of all workers and the address they share.
pub struct Sockets {
    pub address: SocketAddr,
    pub listeners: Vec<TcpListener>,
}

const BACKLOG: i32 = 4096;

/// Before those that are there already are served.
const ACCEPTED_AT_ONCE: usize = 64;

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_RESTS: Duration = Duration::from_millis(100);

/// Whether accepting rests, which is told once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rests {
    No,
    Told,
}

impl Rests {
    async fn rest(&mut self, why: &dyn std::fmt::Display) {
        if std::mem::replace(self, Rests::Told) == Rests::No {
            tracing::warn!(%why, "accepting rests");
        }
        tokio::time::sleep(ACCEPT_RESTS).await;
    }

    fn end(&mut self) {
        if std::mem::replace(self, Rests::No) == Rests::Told {
            tracing::info!("accepting goes on");
        }
    }
}

/// Binds one socket for each worker. Port 0 picks one port for all.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Sockets> {
    // Workers share the port, and the kernel would let another proxy share it as well and take half of the connections.
    socket_for(address)?.bind(&address.into())?;
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(address)?);
    }
    Ok(Sockets { address, listeners })
}

fn socket_for(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Inherited by every connection that is accepted.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the phase is [`Phase::Closing`], and then whatever the kernel has queued already; or until it is
/// [`Phase::Relieved`], when the queue is another process's as well.
pub(in crate::proxy) async fn accept(
    connections: Rc<Connections>,
    listener: AsyncFd<TcpListener>,
    mut lifecycle: Lifecycle,
) {
    let mut rests = Rests::No;
    loop {
        let mut ready = tokio::select! {
            ready = listener.readable() => match ready {
                Ok(ready) => ready,
                Err(error) => {
                    rests.rest(&error).await;
                    continue;
                }
            },
            phase = lifecycle.wait_for(|phase| matches!(phase, Phase::Relieved | Phase::Closing)) => match phase.as_deref() {
                Ok(Phase::Relieved) => return,
                _ => break,
            },
        };
        let mut accepted = 0;
        let mut serving = connections.service.serving();
        loop {
            if !connections.has_room(serving.settings()) {
                rests.rest(&"connections have as many descriptors as they may").await;
                break;
            }
            match ready.try_io(|listener| accept_one(listener.get_ref())) {
                Ok(Ok((stream, peer))) => {
                    rests.end();
                    take(&connections, serving.settings(), stream, peer);
                }
                Ok(Err(error)) if is_of_one_connection(&error) => {}
                Ok(Err(error)) => {
                    rests.rest(&error).await;
                    break;
                }
                // Nobody is left.
                Err(_) => break,
            }
            accepted += 1;
            if accepted % ACCEPTED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
                serving = connections.service.serving();
            }
        }
    }
    while let Ok((stream, peer)) = accept_one(listener.get_ref()) {
        take(&connections, connections.service.serving().settings(), stream, peer);
    }
}

/// The next connection, if one waits. It does not block, as the listener does not.
fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((stream.into(), peer.try_into()?))
}

fn take(connections: &Rc<Connections>, settings: &Settings, mut stream: TcpStream, peer: SocketAddr) {
    let answer = match connections.admit(settings) {
        Ok(place) => {
            // On the heap, or the task would be moved around whole.
            tokio::task::spawn_local(Box::pin(connection::serve(Rc::clone(connections), place, stream, peer)));
            return;
        }
        // TLS has no word for it that is dearer than to end the connection.
        Err(_) if handshake::config(settings).is_some() => return,
        Err(NoPlace::Full) => refuse_connection(&connections.service),
        Err(NoPlace::NoMemory) => OVERLOAD,
    };
    if let Err(error) = stream.write(answer) {
        tracing::debug!(%error, "a connection over the bound was closed without an answer");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
