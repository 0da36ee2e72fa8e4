//! What the admin API tells to who listens, with the moment of each event.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use serde_json::Value;

use super::DEADLINE;

#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
    pub at: Instant,
}

/// Hears every event from the moment that it was made.
pub struct Listener(mpsc::Receiver<Event>);

impl Listener {
    pub fn new(admin: SocketAddr) -> Listener {
        Listener::on(admin, "/v1/events", "")
    }

    /// Hears every event after the one that has this id.
    pub fn since(admin: SocketAddr, id: &str) -> Listener {
        Listener::on(admin, "/v1/events", &format!("Last-Event-ID: {id}\r\n"))
    }

    /// On the stream at `path`, asked for with these fields, each with the end of its line.
    pub fn on(admin: SocketAddr, path: &str, fields: &str) -> Listener {
        let mut stream = TcpStream::connect(admin).expect("the admin API listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\n{fields}\r\n").expect("the admin API reads");
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        // The subscription is made before the head is sent.
        let status = lines.next();
        assert_eq!(status.as_deref(), Some("HTTP/1.1 200 OK"));
        lines.by_ref().find(String::is_empty).expect("the head ends");
        let (heard, events) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut id, mut kind) = (String::new(), String::new());
            // Sizes of chunks and empty lines stand between the fields of the events.
            for line in lines {
                if let Some(said) = line.strip_prefix("id: ") {
                    id = said.to_owned();
                } else if let Some(name) = line.strip_prefix("event: ") {
                    kind = name.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    // Cut off, when the proxy was killed as it wrote this.
                    let Ok(data) = serde_json::from_str(data) else { return };
                    // An error means that the test has heard enough.
                    heard.send(Event { id: id.clone(), kind: kind.clone(), data, at: Instant::now() }).ok();
                }
            }
        });
        Listener(events)
    }

    /// The next event.
    #[track_caller]
    pub fn next(&self) -> Event {
        self.0.recv_timeout(DEADLINE).expect("an event")
    }

    /// The next event of this kind, past all others.
    #[track_caller]
    pub fn until(&self, kind: &str) -> Event {
        loop {
            let event = self.next();
            if event.kind == kind {
                return event;
            }
        }
    }

    /// Everything that still comes until the proxy ends.
    pub fn rest(self) -> Vec<Event> {
        self.0.iter().collect()
    }

    /// What has been heard and not yet been taken.
    pub fn heard(&self) -> Vec<Event> {
        self.0.try_iter().collect()
    }
}
