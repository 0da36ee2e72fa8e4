//! A tunnel: after an upgrade both sockets are joined, byte for byte, until one side ends or nothing moves for long.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes held in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// One end of a tunnel, with what was read from it before it was one.
pub struct End {
    pub stream: TcpStream,
    pub early: Bytes,
}

/// Joins both ends. Returns when both directions have ended, on the first error, or when nothing moved for `idle`.
pub async fn join(mut client: End, mut upstream: End, idle: Duration) -> io::Result<()> {
    upstream.stream.write_all(&client.early).await?;
    client.stream.write_all(&upstream.early).await?;
    let moved = std::cell::Cell::new(Instant::now());
    let (client_read, client_write) = client.stream.split();
    let (upstream_read, upstream_write) = upstream.stream.split();
    let both = async {
        tokio::try_join!(copy(client_read, upstream_write, &moved), copy(upstream_read, client_write, &moved))
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = idle_for(idle, &moved) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &std::cell::Cell<Instant>,
) -> io::Result<()> {
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

async fn idle_for(idle: Duration, moved: &std::cell::Cell<Instant>) {
    while moved.get().elapsed() < idle {
        tokio::time::sleep_until(moved.get() + idle).await;
    }
}
