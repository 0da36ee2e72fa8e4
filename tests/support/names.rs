//! A name server of the test's own: it says what the test wants of a name, and for how long.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// Answers on a port of its own until it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

/// What comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    #[default]
    Known,
    /// Those for IPv6 fail.
    KnownOnlyIpv4,
    Failing,
    /// There is no such name.
    Unknown,
    /// The name has no address.
    Empty,
    Nothing,
}

#[derive(Default)]
struct Inner {
    zone: Mutex<Zone>,
    asked: AtomicU64,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Zone {
    answers: Answers,
    names: HashMap<String, Vec<IpAddr>>,
}

/// Seconds.
pub const TIME_TO_LIVE: u32 = 1;

impl NameServer {
    /// Knows one name.
    pub fn knowing(name: &str, addresses: &[IpAddr]) -> NameServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let inner = Arc::new(Inner::default());
        std::thread::spawn({
            let inner = Arc::clone(&inner);
            move || inner.serve(&socket)
        });
        let server = NameServer { address, inner };
        server.set(name, addresses);
        server
    }

    /// What a name stands for from here on.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.inner.zone().names.insert(name.to_owned(), addresses.to_vec());
    }

    /// What comes back from here on.
    pub fn answer(&self, answers: Answers) {
        self.inner.zone().answers = answers;
    }

    /// Queries that have been read.
    pub fn asked(&self) -> u64 {
        self.inner.asked.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread; an error means that nobody listens any more.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(&[], self.address)).ok();
    }
}

impl Inner {
    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().expect("no test panics with the lock held")
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut bytes = [0; 2048];
        while let Ok((read, peer)) = socket.recv_from(&mut bytes) {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let query = Message::from_vec(&bytes[..read]).expect("the proxy asks well-formed questions");
            let answer = self.zone().answer(&query);
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = answer {
                socket.send_to(&answer.to_vec().expect("a small message"), peer).expect("an open socket");
            }
        }
    }
}

impl Zone {
    fn answer(&self, asked: &Message) -> Option<Message> {
        let query = asked.queries[0].clone();
        let (name, family) = (query.name().clone(), query.query_type());
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_available = true;
        answer.add_query(query);
        let addresses = self.names.get(name.to_ascii().trim_end_matches('.'));
        let is_asked = |address: &&IpAddr| address.is_ipv4() == (family == RecordType::A);
        match self.answers {
            Answers::Nothing => return None,
            Answers::Failing => answer.metadata.response_code = ResponseCode::ServFail,
            Answers::KnownOnlyIpv4 if family == RecordType::AAAA => {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            Answers::Empty => {}
            Answers::Known | Answers::KnownOnlyIpv4 if addresses.is_some() => {
                let addresses = addresses.into_iter().flatten().filter(is_asked);
                let record = |address: &IpAddr| Record::from_rdata(name.clone(), TIME_TO_LIVE, RData::from(*address));
                answer.add_answers(addresses.map(record));
            }
            Answers::Unknown | Answers::Known | Answers::KnownOnlyIpv4 => {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        Some(answer)
    }
}
