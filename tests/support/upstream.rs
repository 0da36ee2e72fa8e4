//! An endpoint that does what a test's script says, and keeps every byte that it got.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::DEADLINE;
use super::client::{self, Cut, End};
use super::message::{self, Request, Source};

/// Listens on a port of its own until it is dropped.
pub struct Upstream {
    pub address: SocketAddr,
    log: Arc<Log>,
    stopped: Arc<AtomicBool>,
}

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub bytes: Vec<u8>,
    /// Those that were read whole by the script.
    pub requests: Vec<Request>,
    /// How the proxy ended it; None while it is open, or when the script ended it.
    pub end: Option<End>,
}

#[derive(Default)]
struct Log {
    connections: Mutex<Connections>,
    changed: Condvar,
}

#[derive(Default)]
struct Connections {
    seen: Vec<Seen>,
    /// To end them with; None once a script has reset its own.
    streams: Vec<Option<Arc<TcpStream>>>,
}

/// One connection, in the hands of the script.
pub struct Connection {
    /// Counted from 0.
    pub number: usize,
    /// None after a reset.
    stream: Option<Arc<TcpStream>>,
    buffer: Vec<u8>,
    log: Arc<Log>,
}

impl Upstream {
    /// Runs `script` on a thread of its own for each connection, which is closed when it returns.
    pub fn scripted(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Upstream {
        Upstream::listening(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"), script)
    }

    pub fn listening(listener: TcpListener, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Upstream {
        let address = listener.local_addr().expect("a bound socket");
        let (log, stopped) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let upstream = Upstream { address, log: Arc::clone(&log), stopped: Arc::clone(&stopped) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let mut connection = log.add(stream);
                let script = Arc::clone(&script);
                std::thread::spawn(move || {
                    script(&mut connection);
                    connection.close();
                });
            }
        });
        upstream
    }

    /// Gives every request the same answer, on connections that are kept alive.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Upstream {
        let answer = answer.into();
        Upstream::scripted(move |connection| {
            while connection.request().is_some() {
                connection.send(&answer);
            }
        })
    }

    /// Answers each request with as many bytes as its target says, which is `/` and a number.
    pub fn of_the_length_asked_for() -> Upstream {
        Upstream::scripted(|connection| {
            while let Some(request) = connection.request() {
                let length: usize = request.target[1..].parse().expect("a number");
                connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "a".repeat(length)));
            }
        })
    }

    /// Answers every request with 200 and its own method and target.
    pub fn ok() -> Upstream {
        Upstream::scripted(|connection| {
            while let Some(request) = connection.request() {
                let body = format!("{} {}", request.method, request.target);
                let length = body.len();
                let body = if request.method == "HEAD" { String::new() } else { body };
                connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"));
            }
        })
    }

    /// A part of an answer to the first request of a connection, and no more of it.
    pub fn endless() -> Upstream {
        Upstream::scripted(|connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
            connection.drain();
        })
    }

    /// Reads the first request of a connection, and says nothing to it.
    pub fn silent() -> Upstream {
        Upstream::scripted(|connection| {
            connection.request();
            connection.drain();
        })
    }

    /// Ends every connection.
    pub fn end_all(&self) {
        for stream in self.log.lock().streams.iter().flatten() {
            // An error means that it has ended already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// How many connections have been made.
    pub fn connections(&self) -> usize {
        self.log.lock().seen.len()
    }

    /// How many requests were read whole.
    pub fn count(&self) -> usize {
        self.log.lock().seen.iter().map(|seen| seen.requests.len()).sum()
    }

    /// Every request that was read whole, connection by connection.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().seen.iter().flat_map(|seen| seen.requests.clone()).collect()
    }

    /// What each connection brought.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().seen.clone()
    }

    /// The only request that there was.
    #[track_caller]
    pub fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// Waits until what was seen is as `wanted`.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut wanted: impl FnMut(&[Seen]) -> Option<T>) -> T {
        let mut found = None;
        let connections = self.log.lock();
        let waited = self.log.changed.wait_timeout_while(connections, DEADLINE, |connections| {
            found = wanted(&connections.seen);
            found.is_none()
        });
        drop(waited);
        found.unwrap_or_else(|| panic!("not within {} s: {what}; seen: {:?}", DEADLINE.as_secs(), self.seen()))
    }

    /// Waits until the proxy has ended connection `number`, and says how.
    #[track_caller]
    pub fn until_ended(&self, number: usize) -> End {
        self.until("the end of the connection", |seen| seen.get(number)?.end)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; an error means that nobody accepts any more.
        TcpStream::connect(self.address).ok();
        for stream in self.log.lock().streams.iter().flatten() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().expect("no test panics with the lock held")
    }

    fn add(self: &Arc<Log>, stream: TcpStream) -> Connection {
        stream.set_nodelay(true).expect("a socket");
        let mut connections = self.lock();
        let number = connections.seen.len();
        let stream = Some(Arc::new(stream));
        connections.seen.push(Seen::default());
        connections.streams.push(stream.clone());
        self.changed.notify_all();
        Connection { number, stream, buffer: Vec::new(), log: Arc::clone(self) }
    }
}

impl Connection {
    /// The next whole request; none when the proxy has ended the connection.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        message::read_request_body(self, &mut request).ok()?;
        self.note(|seen| seen.requests.push(request.clone()));
        Some(request)
    }

    /// How many requests this connection has brought.
    pub fn seen(&self) -> usize {
        self.log.lock().seen[self.number].requests.len()
    }

    /// The head of the next request, whose body stays unread.
    pub fn head(&mut self) -> Option<Request> {
        message::read_request_head(self).ok()?
    }

    /// Reads the body of a request whose head has been read.
    pub fn body(&mut self, mut request: Request) -> Option<Request> {
        message::read_request_body(self, &mut request).ok()?;
        self.note(|seen| seen.requests.push(request.clone()));
        Some(request)
    }

    /// Sends; whether the proxy took it is for the test to see.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.offer(bytes.as_ref());
    }

    /// Sends as much as the proxy takes, and says whether it took all.
    pub fn offer(&mut self, bytes: &[u8]) -> bool {
        self.stream.as_deref().is_some_and(|mut stream| stream.write_all(bytes).is_ok())
    }

    /// As [`super::send_until_held_back`].
    pub fn send_until_held_back(&mut self, length: usize, for_so_long: Duration) -> usize {
        self.stream.as_deref().map_or(0, |stream| super::send_until_held_back(stream, length, for_so_long))
    }

    /// Reads `length` bytes and keeps none; returns how many came.
    pub fn discard(&mut self, length: usize) -> usize {
        let mut bytes = vec![0; 64 * 1024];
        let mut read = self.buffer.len();
        self.buffer.clear();
        while let Some(mut stream) = self.stream.as_deref().filter(|_| read < length) {
            match stream.read(&mut bytes) {
                Ok(more) if more > 0 => read += more,
                Ok(_) | Err(_) => break,
            }
        }
        read
    }

    /// Whether nothing comes for so long.
    pub fn is_silent(&mut self, for_so_long: Duration) -> bool {
        let Some(stream) = self.stream.clone() else { return true };
        stream.set_read_timeout(Some(for_so_long)).expect("a socket");
        let silent = self.buffer.is_empty() && self.more().is_err_and(|error| client::cut(&error) == Cut::Silence);
        stream.set_read_timeout(None).expect("a socket");
        silent
    }

    /// Reads `length` raw bytes; fewer when the connection ends first.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            match self.more() {
                Ok(Some(more)) => self.buffer.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// Reads and keeps whatever comes until the proxy ends the connection.
    pub fn drain(&mut self) {
        while let Ok(Some(_)) = self.more() {}
    }

    /// Ends the connection.
    pub fn close(&mut self) {
        if let Some(stream) = &self.stream {
            // An error means that it has ended already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Ends the connection by a reset.
    pub fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            let linger = Some(Duration::ZERO);
            socket2::SockRef::from(&*stream).set_linger(linger).expect("a socket");
            // With the other copy gone, dropping this one closes the socket.
            self.log.lock().streams[self.number] = None;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.log.lock().seen[self.number]);
        self.log.changed.notify_all();
    }
}

impl Source for Connection {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 64 * 1024];
        let Some(mut stream) = self.stream.as_deref() else { return Ok(None) };
        match stream.read(&mut bytes) {
            Ok(0) => {
                self.note(|seen| seen.end = Some(End::Clean));
                Ok(None)
            }
            Ok(read) => {
                bytes.truncate(read);
                self.note(|seen| seen.bytes.extend(&bytes));
                Ok(Some(bytes))
            }
            Err(error) => {
                if client::cut(&error) == Cut::Reset {
                    self.note(|seen| seen.end = Some(End::Reset));
                }
                Err(error)
            }
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

/// An address where every connection is refused for as long as the socket lives.
pub fn refusing() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket");
    (address, socket)
}

/// A socket whose queue is full: the next connection to it hangs.
pub fn unreachable() -> (SocketAddr, Socket, TcpStream) {
    unreachable_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// As [`unreachable`], at this address.
pub fn unreachable_at(address: SocketAddr) -> (SocketAddr, Socket, TcpStream) {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(0).expect("a bound socket");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket");
    let queued = TcpStream::connect(address).expect("the queue holds one");
    let full = TcpStream::connect_timeout(&address, Duration::from_millis(50));
    assert!(full.is_err(), "the queue holds more than one");
    (address, socket, queued)
}
