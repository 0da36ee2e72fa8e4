//! Plays one case through one proxy, and says what came of it on both sides.

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::Case;
use crate::support::client::{self, Cut};
use crate::support::http2::{DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM};
use crate::support::message::{self, Field, Request, Response, Source, Whole};
use crate::support::{Client, DEADLINE, Frames, Proxy, Upstream};

/// A proxy with an endpoint of its own.
pub struct Candidate {
    http1: SocketAddr,
    http2: SocketAddr,
    upstream: Upstream,
    /// How much of each connection of the endpoint has been accounted for.
    accounted: Vec<usize>,
    _running: Box<dyn Any + Send>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client got and what reached the endpoint, as the table shows it.
    pub cell: String,
    /// What must not be, whatever was sent.
    pub faults: Vec<String>,
}

/// What a client got.
#[derive(Default)]
struct Answers {
    shown: Vec<String>,
    /// Of those with 200, which the endpoint makes of the method and target that it saw.
    bodies: Vec<String>,
}

/// What stands behind each request of HTTP/1, to show whether its end was seen where it is. Who serves it closes then.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Who still waits for more of a request after this time is told that nothing comes.
const PATIENCE: Duration = Duration::from_secs(1);

/// What another client asks for after each case, by whatever connection the case has left behind.
const CANARY: &str = "/canary";

/// What proxies add, and what frames a message, which has been judged by then.
const LEFT_OUT: &[&str] = &[
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
];

impl Candidate {
    pub fn new([http1, http2]: [SocketAddr; 2], upstream: Upstream, running: impl Any + Send) -> Candidate {
        Candidate { http1, http2, upstream, accounted: Vec::new(), _running: Box::new(running) }
    }

    pub fn portcullis() -> Candidate {
        let upstream = Upstream::ok();
        let proxy = Proxy::before(&upstream);
        Candidate::new([proxy.listen; 2], upstream, proxy)
    }

    /// A case of HTTP/1.
    pub fn request(&mut self, case: &Case) -> Outcome {
        let mut client = Client::connect(self.http1);
        // An error means that the proxy has ended the connection before all was sent, which it may.
        client.offer([&case.sent, NEXT.as_bytes()].concat()).ok();
        let first = if case.sent.starts_with(b"HEAD ") { "HEAD" } else { "" };
        let came = to_the_end(&mut client);
        self.outcome(case, answers(came, first))
    }

    /// A case of HTTP/2.
    pub fn stream(&mut self, case: &Case) -> Outcome {
        let mut frames = Frames::connect(self.http2);
        // As above.
        frames.client.offer(&case.sent).ok();
        self.outcome(case, fate(&mut frames))
    }

    fn outcome(&mut self, case: &Case, answers: Answers) -> Outcome {
        let mut faults = Vec::new();
        let canary = Client::connect(self.http1).send(request_for(CANARY)).try_response();
        if !canary.as_ref().is_ok_and(|canary| canary.status == 200 && canary.text() == format!("GET {CANARY}")) {
            faults.push(format!("another client got {canary:?}"));
        }
        let (mut requests, malformed) = self.arrived();
        faults.extend(malformed.iter().map(|why| format!("the endpoint saw what is no request: {why}")));
        faults.extend(requests.iter().filter_map(|request| Some(format!("{}: {request:?}", lax(request)?))));
        match requests.iter().filter(|request| request.target == CANARY).count() {
            1 => {}
            other => faults.push(format!("another client's request has come {other} times")),
        }
        requests.retain(|request| request.target != CANARY);
        let own = requests.iter().filter(|request| request.target != "/next").count();
        if own > case.most {
            faults.push(format!("{own} requests: {requests:?}"));
        }
        let mut echoes: Vec<String> =
            requests.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
        for body in answers.bodies {
            match echoes.iter().position(|echo| *echo == body) {
                Some(at) => _ = echoes.remove(at),
                None => faults.push(format!("an answer to what nobody asked for: {body:?}")),
            }
        }
        // Which of the endpoint's connections comes first is chance.
        requests.sort_by_key(|request| (request.target == "/next", request.target.clone()));
        let came = requests.iter().map(shown).chain(malformed.iter().map(|why| format!("**malformed**: {why}")));
        let came: Vec<String> = came.collect();
        let came = if came.is_empty() { "nothing".to_owned() } else { came.join(", ") };
        let got = if answers.shown.is_empty() { "closed".to_owned() } else { answers.shown.join(" ") };
        let cell = format!("{got} → {came}").replace(&self.upstream.address.to_string(), "ENDPOINT");
        Outcome { cell, faults }
    }

    /// What has reached the endpoint since the last time, once none of its connections is in the middle of a request: the
    /// requests that are whole, and why what is none is none. What was broken off is neither.
    fn arrived(&mut self) -> (Vec<Request>, Vec<String>) {
        let accounted = &self.accounted;
        let parsed = self.upstream.until("all connections to be between two requests, or ended", |seen| {
            let parsed = seen.iter().enumerate().map(|(number, connection)| {
                let from = accounted.get(number).copied().unwrap_or_default();
                let (requests, error) = parse(&connection.bytes[from..]);
                let settled = match &error {
                    Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => connection.end.is_some(),
                    Some(_) | None => true,
                };
                settled.then_some((connection.bytes.len(), requests, error))
            });
            parsed.collect::<Option<Vec<_>>>()
        });
        self.accounted = parsed.iter().map(|(length, ..)| *length).collect();
        let (mut requests, mut malformed) = (Vec::new(), Vec::new());
        for (_, whole, error) in parsed {
            requests.extend(whole);
            malformed.extend(
                error.filter(|error| error.kind() == io::ErrorKind::InvalidData).map(|error| error.to_string()),
            );
        }
        (requests, malformed)
    }
}

fn to_the_end(client: &mut Client) -> Vec<u8> {
    let mut came = Vec::new();
    client.stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    loop {
        match client.more() {
            Ok(Some(bytes)) => came.extend(bytes),
            Err(error) if client::cut(&error) == Cut::Silence => break,
            Ok(None) | Err(_) => return came,
        }
    }
    client.stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    // An error means that it has been closed meanwhile.
    client.stream.shutdown(Shutdown::Write).ok();
    came.extend(client.rest().0);
    came
}

fn request_for(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// All whole requests, and why what follows them is none.
fn parse(bytes: &[u8]) -> (Vec<Request>, Option<io::Error>) {
    let mut source = Whole(bytes.to_vec());
    let mut requests = Vec::new();
    loop {
        let next = message::read_request_head(&mut source).and_then(|head| {
            let Some(mut request) = head else { return Ok(None) };
            message::read_request_body(&mut source, &mut request).map(|()| Some(request))
        });
        match next {
            Ok(Some(request)) => requests.push(request),
            Ok(None) => return (requests, None),
            Err(error) => return (requests, Some(error)),
        }
    }
}

/// What of a request is no HTTP, though its lines and its length are.
fn lax(request: &Request) -> Option<String> {
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let value = |value: &[u8]| value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    let fields = || request.head.fields.iter().chain(&request.trailers);
    let hosts = request.head.all("host");
    let lax = [
        (!token(&request.method), "the method is no token"),
        (
            !request.target.bytes().all(|byte| byte.is_ascii_graphic() || byte >= 0x80),
            "the target has control bytes or spaces",
        ),
        (hosts.len() != 1, "there is not one Host"),
        (hosts.iter().any(|host| host.contains(['@', '/', ' ', ','])), "Host is no host"),
        (!fields().all(|(name, _)| token(name)), "a name is no token"),
        (!fields().all(|(_, content)| value(content)), "a value has control bytes"),
    ];
    lax.iter().find(|(is, _)| *is).map(|(_, what)| (*what).to_owned())
}

/// A request as the table has it.
fn shown(request: &Request) -> String {
    if request.target == "/next" {
        return "next".to_owned();
    }
    let list = |fields: &mut dyn Iterator<Item = &Field>| -> Vec<String> {
        fields.map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect()
    };
    let usual = |(name, value): &&Field| {
        let name = name.to_ascii_lowercase();
        LEFT_OUT.contains(&name.as_str()) || name == "host" && value == b"test"
    };
    let mut parts = vec![format!("{} {}", request.method, request.target.escape_default())];
    parts.extend(list(&mut request.head.fields.iter().filter(|field| !usual(field))));
    if !request.body.is_empty() {
        parts.push(format!("{:?}", String::from_utf8_lossy(&request.body)));
    }
    parts.extend(list(&mut request.trailers.iter()).iter().map(|trailer| format!("trailer {trailer}")));
    format!("`{}`", parts.join("; "))
}

/// What a client of HTTP/1 read to the end of its connection.
fn answers(bytes: Vec<u8>, first: &str) -> Answers {
    let (mut source, mut answers) = (Whole(bytes), Answers::default());
    let mut to = first;
    while !source.0.is_empty() {
        let left = source.0.clone();
        match message::read_response(&mut source, to) {
            Ok(Response { status, body, .. }) => {
                answers.shown.push(status.to_string());
                if status == 200 && to != "HEAD" {
                    answers.bodies.push(String::from_utf8_lossy(&body).into_owned());
                }
                to = if status < 200 { to } else { "" };
            }
            Err(_) => {
                answers.shown.push(format!("`{}`", left[..left.len().min(40)].escape_ascii()));
                break;
            }
        }
    }
    answers
}

/// What became of stream 1.
fn fate(frames: &mut Frames) -> Answers {
    let (mut answers, mut body) = (Answers::default(), Vec::new());
    let mut last = String::new();
    while let Some(frame) = frames.next() {
        let of_it = frame.stream == 1;
        match frame.kind {
            GOAWAY if frame.code() != h2::Reason::NO_ERROR => answers.shown.push(format!("GOAWAY {:?}", frame.code())),
            // An answer was whole before.
            RST_STREAM if of_it && last.is_empty() => answers.shown.push(format!("RST_STREAM {:?}", frame.code())),
            RST_STREAM if of_it => {}
            HEADERS if of_it && last.is_empty() => {
                let status = status(&frame.payload);
                answers.shown.push(status.clone());
                if !status.starts_with('1') {
                    last = status;
                }
                if frame.flags & END_STREAM == 0 {
                    continue;
                }
            }
            DATA if of_it => {
                body.extend(&frame.payload);
                if frame.flags & END_STREAM == 0 {
                    continue;
                }
            }
            HEADERS if of_it => {}
            _ => continue,
        }
        break;
    }
    if last == "200" && !body.is_empty() {
        answers.bodies.push(String::from_utf8_lossy(&body).into_owned());
    }
    answers
}

/// The status, which is the first field of a block (RFC 7541: 6.1 and 6.2, and appendix A for the indices).
fn status(block: &[u8]) -> String {
    const INDEXED: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    // A change of the table's size may come before.
    let block = &block[block.iter().position(|byte| byte >> 5 != 1).unwrap_or_default()..];
    match *block {
        [index @ 0x88..=0x8e, ..] => INDEXED[usize::from(index - 0x88)].to_owned(),
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => String::from_utf8_lossy(&[a, b, c]).into_owned(),
        [0x08 | 0x18 | 0x48, length, ref rest @ ..] if length & 0x80 != 0 => {
            digits(&rest[..usize::from(length & 0x7f)])
        }
        _ => panic!("no status: {block:?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, 3 to 9 have six.
fn digits(bytes: &[u8]) -> String {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    let mut take = |count| (0..count).fold(0, |value, _| value << 1 | bits.next().expect("three digits"));
    let digits = (0..3).map(|_| match take(5) {
        short @ 0..=2 => short,
        // 3 is 0x19.
        long => ((long << 1) | take(1)) - 0x16,
    });
    digits.map(|digit| digit.to_string()).collect()
}
