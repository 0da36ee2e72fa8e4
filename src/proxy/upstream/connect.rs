//! A connection to an address, whatever carries it.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use crate::live::Address;
use crate::proxy::wire::Stream;

/// Between two looks at a full queue of a socket in the file system, of which nobody is told when it has room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// It begins with a header of the PROXY protocol, if there is one.
pub(super) async fn connect(address: &Address, header: Option<Vec<u8>>) -> io::Result<Stream> {
    let mut stream = match address {
        Address::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
        Address::Unix(path) => Stream::Unix(unix(path).await?),
    };
    if let Some(header) = header {
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

/// Whether it is this machine, and not the endpoint, that has nothing left for one more connection.
pub(in crate::proxy) fn is_exhausted(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| ours.contains(&code))
}

/// Waits for room in the queue, as TCP does by itself.
async fn unix(path: &str) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(LOOK_AGAIN).await,
            connected => return connected,
        }
    }
}
