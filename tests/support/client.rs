//! A client that sends exactly what it is told and says exactly how a connection ended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::DEADLINE;
use super::message::{self, Response, Source};

pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    Reset,
}

/// Why there was no whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The connection ended cleanly before the message did.
    Short,
    Reset,
    /// Nothing came within the deadline.
    Silence,
    Malformed,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the proxy listens");
        Client::new(stream)
    }

    /// From an address of loopback's.
    pub fn from(source: [u8; 4], address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("all of 127.0.0.0/8 is ours");
        socket.connect(&address.into()).expect("it listens");
        Client::new(socket.into())
    }

    /// With small segments and a small buffer, so that the kernel holds little of what it does not read.
    pub fn narrow(address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(8 * 1024).expect("a socket");
        socket.set_tcp_mss(536).expect("a socket");
        socket.connect(&address.into()).expect("the proxy listens");
        Client::new(socket.into())
    }

    pub fn new(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
        Client { stream, buffer: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// Sends what the proxy may refuse to read to its end.
    pub fn offer(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// As [`super::send_until_held_back`].
    pub fn send_until_held_back(&mut self, length: usize, for_so_long: Duration) -> usize {
        super::send_until_held_back(&self.stream, length, for_so_long)
    }

    /// Sends a GET and reads its response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")).response()
    }

    /// Reads exactly one response.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|cut| panic!("no whole response: {cut:?}"))
    }

    /// Reads the response to a HEAD.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        message::read_response(self, "HEAD").expect("a response")
    }

    pub fn try_response(&mut self) -> Result<Response, Cut> {
        message::read_response(self, "").map_err(|error| cut(&error))
    }

    /// Reads up to and with the end of a response head, and leaves the body.
    #[track_caller]
    pub fn response_head(&mut self) -> String {
        let head = message::read_head(self).expect("a response head").expect("no end before the head");
        String::from_utf8_lossy(&head.1.raw).into_owned()
    }

    /// Reads `length` bytes.
    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        message::read_bytes(self, length)
    }

    /// Reads whatever still comes, to the end of the connection.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = std::mem::take(&mut self.buffer);
        loop {
            match self.more() {
                Ok(Some(more)) => bytes.extend(more),
                Ok(None) => return (bytes, End::Clean),
                Err(error) if cut(&error) == Cut::Reset => return (bytes, End::Reset),
                Err(error) => panic!("no end of the connection: {error}; {}", String::from_utf8_lossy(&bytes)),
            }
        }
    }

    /// Nothing more comes before the connection ends cleanly.
    #[track_caller]
    pub fn ends(&mut self) {
        let (bytes, end) = self.rest();
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), end), ("", End::Clean));
    }

    /// Takes nothing for so long.
    pub fn pause(&self, for_so_long: Duration) {
        std::thread::sleep(for_so_long);
    }

    /// Ends our side and goes on reading.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open socket");
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        reset(self.stream);
    }
}

/// Closes a socket so that its peer sees a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
}

pub fn cut(error: &io::Error) -> Cut {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cut::Short,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Cut::Reset,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cut::Silence,
        _ => {
            println!("{error}");
            Cut::Malformed
        }
    }
}

impl Source for Client {
    fn more(&mut self) -> io::Result<Option<Vec<u8>>> {
        more(&mut self.stream)
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

pub fn more(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 64 * 1024];
    let read = loop {
        match stream.read(&mut bytes) {
            // A read with a deadline is not begun again by itself after a signal.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(read);
    Ok((read > 0).then_some(bytes))
}
