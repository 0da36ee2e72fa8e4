//! The other two proxies, set up as they usually are in front of a service of HTTP/1.1 with connections that are kept.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use super::play::Candidate;
use crate::support::{Running, Upstream, eventually, folder, have};

pub struct Peer {
    pub version: String,
    pub candidate: Candidate,
}

/// What a program says of its version in front of `end`, behind `begin`.
fn version(program: &str, begin: &str) -> String {
    let output = Command::new(program).arg("-v").output().expect("it is installed");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let version = said.split_once(begin).and_then(|(_, rest)| rest.split_whitespace().next());
    version.unwrap_or_else(|| panic!("no version: {said}")).to_owned()
}

/// A port that nobody gets for as long as the socket lives, but who asks for it by its number and may share it.
fn reserved() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket");
    (address, socket)
}

/// Starts a program with the configuration that `text` makes of where it listens for HTTP/1 and for HTTP/2, its endpoint and a
/// folder.
fn start(program: &[&str], text: impl FnOnce([SocketAddr; 2], SocketAddr, &str) -> String) -> Candidate {
    let (upstream, folder) = (Upstream::ok(), folder());
    let reserved = [(); 2].map(|()| reserved());
    let addresses = reserved.each_ref().map(|(address, _)| *address);
    let file = folder.path().join("configuration");
    let at = folder.path().to_str().expect("a name of our own");
    std::fs::write(&file, text(addresses, upstream.address, at)).expect("the folder is writable");
    let child = Command::new(program[0]).args(&program[1..]).arg(&file).spawn().expect("it is installed");
    let running = Running(child);
    for address in addresses {
        eventually("a peer to listen", || TcpStream::connect(address).ok());
    }
    Candidate::new(addresses, upstream, (running, folder, reserved))
}

pub fn nginx() -> Option<Peer> {
    if !have("nginx") {
        return None;
    }
    let candidate = start(&["nginx", "-e", "stderr", "-c"], |[http1, http2], upstream, at| {
        format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr emerg;\nevents {{}}\n\
             http {{\n  access_log off; client_body_temp_path {at}/bodies; proxy_temp_path {at}/answers;\n\
             upstream service {{ server {upstream}; keepalive 8; }}\n\
             server {{\n    listen {http1} reuseport; listen {http2} reuseport http2; proxy_ignore_client_abort on;\n\
             location / {{\n      proxy_pass http://service; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_set_header Host $host;\n    }}\n  }}\n}}\n"
        )
    });
    Some(Peer { version: version("nginx", "nginx/"), candidate })
}

pub fn haproxy() -> Option<Peer> {
    if !have("haproxy") {
        return None;
    }
    let candidate = start(&["haproxy", "-db", "-f"], |[http1, http2], upstream, _| {
        format!(
            "defaults\n  mode http\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n  http-reuse always\n\
             frontend in\n  bind {http1}\n  bind {http2} proto h2\n  default_backend out\nbackend out\n  server s {upstream}\n"
        )
    });
    Some(Peer { version: version("haproxy", "HAProxy version "), candidate })
}
