//! What lies between a replica and its API server, and can be cut.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Passes every byte on while it is whole. Cut, it holds them back and nobody is told, as a broken cable does.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    Gone,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        Relay::at(Ipv4Addr::LOCALHOST.into(), server)
    }

    pub fn at(address: IpAddr, server: SocketAddr) -> Relay {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared =
            Arc::new(Shared { state: Mutex::new(State::Whole), changed: Condvar::new(), streams: Mutex::default() });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.is_gone() {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    // Who connects while it is cut waits.
                    thread::spawn(move || shared.until_whole().then(|| shared.join(stream, server)));
                }
            }
        });
        Relay { address, shared }
    }

    pub fn cut(&self) {
        self.shared.set(State::Cut);
    }

    pub fn mend(&self) {
        self.shared.set(State::Whole);
    }
}

impl Shared {
    fn set(&self, state: State) {
        *self.state.lock().expect("nobody panics with the lock held") = state;
        self.changed.notify_all();
    }

    fn is_gone(&self) -> bool {
        *self.state.lock().expect("nobody panics with the lock held") == State::Gone
    }

    /// Whether there will be anything to pass on.
    fn until_whole(&self) -> bool {
        let state = self.state.lock().expect("nobody panics with the lock held");
        *self.changed.wait_while(state, |state| *state == State::Cut).expect("nobody panics") == State::Whole
    }

    fn join(self: &Arc<Shared>, client: TcpStream, server: SocketAddr) {
        // An error means that the API server is stopped.
        let Ok(server) = TcpStream::connect(server) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("a socket");
        }
        let twin = |stream: &TcpStream| stream.try_clone().expect("a file descriptor");
        self.streams.lock().expect("nobody panics with the lock held").extend([twin(&client), twin(&server)]);
        for (from, to) in [(twin(&client), twin(&server)), (server, client)] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pass(from, to));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut bytes).unwrap_or(0);
            if !self.until_whole() || read == 0 || to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        // Errors mean that the other end was faster.
        to.shutdown(Shutdown::Both).ok();
        from.shutdown(Shutdown::Both).ok();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.set(State::Gone);
        TcpStream::connect(self.address).ok();
        for stream in &*self.shared.streams.lock().expect("nobody panics with the lock held") {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
