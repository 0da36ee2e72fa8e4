//! An endpoint for load: it answers as it is told at the moment, and counts instead of keeping.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::message::find;

/// Listens on a port of its own until it is dropped. Its requests have no body.
pub struct Backend {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    status: AtomicU16,
    delay_micros: AtomicU64,
    requests: AtomicU64,
    /// Of requests whose target begins with [`LATE`].
    late: AtomicU64,
    stopped: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// How the target of a request begins that was started after the moment that a test marks.
pub const LATE: &str = "/late";

impl Backend {
    pub fn answering(status: u16) -> Backend {
        Backend::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), status)
    }

    /// At an address of its own, such as another one of loopback's.
    pub fn at(address: SocketAddr, status: u16) -> Backend {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let inner = Arc::new(Inner {
            status: AtomicU16::new(status),
            delay_micros: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            late: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        std::thread::spawn({
            let inner = Arc::clone(&inner);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if inner.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    stream.set_nodelay(true).expect("a socket");
                    inner.lock().push(stream.try_clone().expect("a file descriptor"));
                    let inner = Arc::clone(&inner);
                    std::thread::spawn(move || inner.serve(stream));
                }
            }
        });
        Backend { address, inner }
    }

    /// Every answer from here on has this status.
    pub fn answer(&self, status: u16) {
        self.inner.status.store(status, Ordering::SeqCst);
    }

    /// Every answer from here on takes this long.
    pub fn take(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).expect("a delay that a test waits for");
        self.inner.delay_micros.store(micros, Ordering::SeqCst);
    }

    /// Requests that have been read.
    pub fn count(&self) -> u64 {
        self.inner.requests.load(Ordering::SeqCst)
    }

    /// Requests that have been read and were started after the moment that the test marked.
    pub fn late(&self) -> u64 {
        self.inner.late.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; an error means that nobody accepts any more.
        TcpStream::connect(self.address).ok();
        for stream in &*self.inner.lock() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().expect("no test panics with the lock held")
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            while let Some(end) = find(&head, b"\r\n\r\n") {
                let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                if target.starts_with(LATE.as_bytes()) {
                    self.late.fetch_add(1, Ordering::SeqCst);
                }
                self.requests.fetch_add(1, Ordering::SeqCst);
                head.drain(..end + 4);
                let delay = self.delay_micros.load(Ordering::SeqCst);
                if delay > 0 {
                    std::thread::sleep(Duration::from_micros(delay));
                }
                let status = self.status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 2\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => head.extend(&bytes[..read]),
            }
        }
    }
}
