//! An endpoint for load: it answers as it is told at the moment, and counts instead of keeping.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::message::find;

/// Listens on a port of its own until it is dropped. Its requests have no body.
pub struct Backend {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    status: AtomicU16,
    /// Of requests whose target begins with [`LATE`].
    late_status: AtomicU16,
    moments: Mutex<Moments>,
    delay_micros: AtomicU64,
    requests: AtomicU64,
    /// Of requests whose target begins with [`LATE`].
    late: AtomicU64,
    stopped: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// When requests were read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// The first whose target begins with [`LATE`].
    pub first_late: Option<Instant>,
    /// The last of all.
    pub last: Option<Instant>,
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
            late_status: AtomicU16::new(status),
            moments: Mutex::default(),
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
        self.answer_late(status);
    }

    /// Every answer from here on to a request whose target begins with [`LATE`] has this status.
    pub fn answer_late(&self, status: u16) {
        self.inner.late_status.store(status, Ordering::SeqCst);
    }

    /// Those since this was asked.
    pub fn moments(&self) -> Moments {
        std::mem::take(&mut *self.inner.moments.lock().expect("no test panics with the lock held"))
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

    fn note(&self, is_late: bool) {
        let now = Instant::now();
        let mut moments = self.moments.lock().expect("no test panics with the lock held");
        moments.last = Some(now);
        if is_late {
            moments.first_late.get_or_insert(now);
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            while let Some(end) = find(&head, b"\r\n\r\n") {
                let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                let is_late = target.starts_with(LATE.as_bytes());
                if is_late {
                    self.late.fetch_add(1, Ordering::SeqCst);
                }
                self.note(is_late);
                self.requests.fetch_add(1, Ordering::SeqCst);
                head.drain(..end + 4);
                let delay = self.delay_micros.load(Ordering::SeqCst);
                if delay > 0 {
                    std::thread::sleep(Duration::from_micros(delay));
                }
                let status = if is_late { &self.late_status } else { &self.status }.load(Ordering::SeqCst);
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
