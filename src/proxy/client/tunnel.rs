//! A tunnel: after an upgrade both sockets are joined, byte for byte, until one side ends or nothing moves for long.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::proxy::wire::{End, Socket};

/// Bytes held in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins both ends. Returns when both directions have ended, on the first error, or when nothing moved for `idle`.
pub(super) async fn join(client: End, upstream: End, idle: Duration) -> io::Result<()> {
    upstream.socket.share().write_all(&client.early).await?;
    client.socket.share().write_all(&upstream.early).await?;
    let moved = Cell::new(Instant::now());
    let both = async {
        tokio::try_join!(
            copy(client.socket.share(), upstream.socket.share(), &moved),
            copy(upstream.socket.share(), client.socket.share(), &moved)
        )
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = idle_for(idle, &moved) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn copy(mut from: Socket, mut to: Socket, moved: &Cell<Instant>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        moved.set(Instant::now());
    }
}

async fn idle_for(idle: Duration, moved: &Cell<Instant>) {
    while moved.get().elapsed() < idle {
        tokio::time::sleep_until(moved.get() + idle).await;
    }
}
