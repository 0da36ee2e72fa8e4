//! A mail server that keeps what it is given, and takes or refuses it as it is told.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::eventually;

/// Listens on a port of its own for as long as the test runs.
pub struct MailServer {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

/// When it speaks TLS.
pub enum Secures {
    Never,
    /// After `STARTTLS`, which it offers.
    WhenAsked(Arc<ServerConfig>),
    /// From the first byte on.
    AtOnce(Arc<ServerConfig>),
}

#[derive(Clone, Debug)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Its lines end with `\n`.
    pub text: String,
    /// Whether the connection was secured.
    pub secured: bool,
    /// What came with `AUTH`, as it came.
    pub login: Option<String>,
}

#[derive(Default)]
struct Log {
    mails: Vec<Mail>,
    /// Every line that was not part of a mail.
    commands: Vec<String>,
    answers: Vec<String>,
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl MailServer {
    pub fn new(secures: Secures) -> MailServer {
        MailServer::answering(secures, &[])
    }

    /// Gives the mails these answers one after the other, and takes every one after them.
    pub fn answering(secures: Secures, answers: &[&str]) -> MailServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let answers = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
        let log = Arc::new(Mutex::new(Log { answers, ..Log::default() }));
        let server = MailServer { address, log: Arc::clone(&log) };
        let secures = Arc::new(secures);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, secures) = (Arc::clone(&log), Arc::clone(&secures));
                // A client that goes away in the middle has said what it had to say.
                std::thread::spawn(move || serve(stream, &secures, &log).ok());
            }
        });
        server
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.log.lock().expect("no panic with it").mails.clone()
    }

    pub fn commands(&self) -> Vec<String> {
        self.log.lock().expect("no panic with it").commands.clone()
    }

    #[track_caller]
    pub fn until_mails(&self, count: usize) -> Vec<Mail> {
        eventually("the mails", || Some(self.mails()).filter(|mails| mails.len() >= count))
    }
}

impl Mail {
    /// The value of a field, unfolded.
    pub fn field(&self, name: &str) -> Option<String> {
        let head = self.text.split("\n\n").next()?.replace("\n ", " ").replace("\n\t", " ");
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\n\n").map_or("", |(_, body)| body)
    }
}

fn serve(stream: TcpStream, secures: &Secures, log: &Mutex<Log>) -> io::Result<()> {
    let mut stream = match secures {
        Secures::AtOnce(config) => secured(stream, config)?,
        Secures::Never | Secures::WhenAsked(_) => Stream::Plain(stream),
    };
    stream.say("220 mail.example ready")?;
    let (mut from, mut to, mut login) = (String::new(), Vec::new(), None);
    loop {
        let line = stream.line()?;
        log.lock().expect("no panic with it").commands.push(line.clone());
        let mut words = line.splitn(2, ' ');
        let (command, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match command.to_uppercase().as_str() {
            "EHLO" => match (&stream, secures) {
                (Stream::Plain(_), Secures::WhenAsked(_)) => stream.say("250-mail.example\r\n250 STARTTLS")?,
                _ => stream.say("250-mail.example\r\n250 AUTH PLAIN")?,
            },
            "STARTTLS" => match (stream, secures) {
                (Stream::Plain(mut plain), Secures::WhenAsked(config)) => {
                    plain.write_all(b"220 go ahead\r\n")?;
                    stream = secured(plain, config)?;
                }
                (other, _) => {
                    stream = other;
                    stream.say("502 no")?;
                }
            },
            "AUTH" => {
                login = Some(rest.to_owned());
                stream.say("235 welcome")?;
            }
            "MAIL" => {
                (from, to) = (address(rest), Vec::new());
                stream.say("250 ok")?;
            }
            "RCPT" => {
                to.push(address(rest));
                stream.say("250 ok")?;
            }
            "DATA" => {
                stream.say("354 go on")?;
                let mut text = String::new();
                loop {
                    let line = stream.line()?;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                let secured = matches!(stream, Stream::Secured(_));
                let answer = {
                    let mut log = log.lock().expect("no panic with it");
                    let answer = log.answers.pop().unwrap_or_else(|| "250 taken".to_owned());
                    if answer.starts_with("250") {
                        log.mails.push(Mail {
                            from: from.clone(),
                            to: to.clone(),
                            text,
                            secured,
                            login: login.clone(),
                        });
                    }
                    answer
                };
                stream.say(&answer)?;
            }
            "QUIT" => return stream.say("221 bye"),
            _ => stream.say("250 ok")?,
        }
    }
}

/// What stands between `<` and `>`.
fn address(text: &str) -> String {
    text.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn secured(mut stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Stream> {
    let mut session = ServerConnection::new(Arc::clone(config)).expect("a session");
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(Stream::Secured(Box::new(StreamOwned::new(session, stream))))
}

impl Stream {
    fn say(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\r\n");
        match self {
            Stream::Plain(stream) => stream.write_all(line.as_bytes()),
            Stream::Secured(stream) => stream.write_all(line.as_bytes()).and_then(|()| stream.flush()),
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            match self {
                Stream::Plain(stream) => stream.read_exact(&mut byte)?,
                Stream::Secured(stream) => stream.read_exact(&mut byte)?,
            }
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}
