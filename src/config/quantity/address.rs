//! Addresses from text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::quoted;
use crate::config::report::Wrong;
use crate::config::transport::server_name;
use crate::config::{Authority, Endpoint};

/// An address to listen on.
pub(in crate::config) fn socket(text: String) -> Result<SocketAddr, Wrong> {
    let text = text.as_str();
    text.parse().map_err(|_| {
        let (message, label) = if text.contains("://") {
            ("has a scheme", "write the address alone, like `127.0.0.1:8080`".to_owned())
        } else if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
            ("has no port", format!("write `{text}:8080`"))
        } else if text.parse::<IpAddr>().is_ok() {
            ("has no port", format!("write `[{text}]:8080`"))
        } else if let Some(port) = text.strip_prefix("localhost:") {
            ("is not an IP address with a port", format!("write `127.0.0.1:{port}`"))
        } else if let Ok(port) = text.trim_start_matches([':', '*']).parse::<u16>() {
            ("has no IP address", format!("write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for all interfaces"))
        } else {
            ("is not an IP address with a port", "write an address like `127.0.0.1:8080` or `[::1]:8080`".to_owned())
        };
        Wrong::new(format!("{} {message}", quoted(text)), label)
    })
}

/// Addresses of proxies.
pub(in crate::config) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = text.parse::<IpNet>().map_err(|_| {
        let label = match text.parse::<IpAddr>() {
            Ok(address) => format!("write `{}`", IpNet::from(address)),
            Err(_) => "write a network like `10.0.0.0/8`".to_owned(),
        };
        Wrong::new(format!("{} is not a network", quoted(text)), label)
    })?;
    if network.trunc() != network {
        let message = format!("{} has bits set beyond its prefix", quoted(text));
        return Err(Wrong::new(message, format!("write `{}`, or a longer prefix", network.trunc())));
    }
    Ok(network)
}

/// A name server; without a port it is at 53.
pub(in crate::config) fn nameserver(text: &str) -> Result<SocketAddr, Wrong> {
    const PORT: u16 = 53;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let wrong = |message: &str, label: &str| Wrong::new(format!("{} {message}", quoted(text)), label);
    const SHAPE: &str = "write an IP address like `10.0.0.53`, `10.0.0.53:5353` or `[fd00::53]:5353`";
    match address.or_else(|_| text.parse::<SocketAddr>()) {
        Ok(address) if address.port() == 0 => Err(wrong("has port 0", SHAPE)),
        Ok(address) => Ok(address),
        Err(_) => Err(wrong("is not the IP address of a name server", SHAPE)),
    }
}

const SHAPE: &str = "write `host:port`, the host a name or an IP address";

/// The port of `https://` where none is said.
const HTTPS: u16 = 443;

/// Of the path of a socket: `sun_path` of Linux has room for as many and a NUL.
const MOST_PATH_BYTES: usize = 107;

/// Where an endpoint is reached: `host:port`, the same as `http://host:port`, `https://host:port`, or `unix:/path`.
pub(in crate::config) fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    // A host may be called `unix`.
    match text.strip_prefix("unix:").filter(|rest| rest.parse::<u16>().is_err()) {
        Some(path) => unix(text, path).map(Endpoint::Unix),
        None => url(text),
    }
}

fn unix(text: &str, path: &str) -> Result<String, Wrong> {
    let wrong = |message: &str, label: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    const WHOLE: &str = "write the whole path of a socket, like `unix:/run/app.sock`";
    if !path.starts_with('/') {
        return wrong("has no absolute path", WHOLE);
    }
    if path.starts_with("//") {
        return wrong("has more than one slash", &format!("write `unix:/{}`", path.trim_start_matches('/')));
    }
    if path.ends_with('/') {
        return wrong("names a folder", WHOLE);
    }
    if path.contains(char::is_control) {
        return wrong("has control characters", WHOLE);
    }
    if path.len() > MOST_PATH_BYTES {
        let message = format!("has a path of {} bytes", path.len());
        let label = format!("the path of a socket has at most {MOST_PATH_BYTES}; a symbolic link may be shorter");
        return wrong(&message, &label);
    }
    Ok(path.to_owned())
}

fn url(text: &str) -> Result<Endpoint, Wrong> {
    if text.contains('@') {
        // Not shown, because a password may stand in it.
        let label = "an endpoint is `host:port` without a user name and a password";
        return Err(Wrong::new("has a user name", label));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return authority(text).map(Endpoint::At) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, after) = rest.split_at(end);
    let endpoint = match scheme.to_ascii_lowercase().as_str() {
        "http" => authority(host).map(Endpoint::At),
        "https" => secured(host),
        _ => {
            let message = format!("{} has a scheme that is neither `http` nor `https`", quoted(text));
            let label = authority(host).map_or(SHAPE.to_owned(), |authority| format!("write `{authority}` alone"));
            return Err(Wrong::new(message, label));
        }
    };
    let alone = endpoint.as_ref().map_or(SHAPE.to_owned(), |endpoint| format!("write `{endpoint}` alone"));
    let wrong = |message: &str| Err(Wrong::new(format!("{} {message}", quoted(text)), alone));
    match after.chars().next() {
        None => endpoint,
        Some('/') => wrong("has a path, and requests have their own"),
        Some('?') => wrong("has a query, and requests have their own"),
        Some(_) => wrong("has a fragment"),
    }
}

fn secured(text: &str) -> Result<Endpoint, Wrong> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let has_port = bare.is_none() && text.contains(':') && text.parse::<Ipv6Addr>().is_err();
    let authority = if has_port || text.is_empty() { authority(text) } else { authority(&format!("{text}:{HTTPS}")) }?;
    if server_name(&authority.host).is_none() {
        let message = format!("{} is a host that no certificate can be for", quoted(&authority.host));
        return Err(Wrong::new(message, "write the name that stands in the endpoint's certificate, or its address"));
    }
    Ok(Endpoint::Secured(authority))
}

fn authority(text: &str) -> Result<Authority, Wrong> {
    let wrong = |message: &str, label: String| Err(Wrong::new(format!("{} {message}", quoted(text)), label));
    if text.is_empty() {
        return wrong("is empty", SHAPE.to_owned());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return wrong("has no port", format!("an IPv6 address stands in brackets, write `[{text}]:8080`"));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return wrong("has no port", format!("write `{text}:8080`"));
    };
    let Ok(port) = port.parse::<u16>() else {
        return wrong("has no usable port", "write `host:port`, with a port from 1 to 65535".to_owned());
    };
    if port == 0 {
        return wrong("has port 0", "an endpoint has a port from 1 to 65535".to_owned());
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Authority { host: address.to_string(), port }),
            Err(_) => wrong("is not an IPv6 address in brackets", "write an address like `[::1]:8080`".to_owned()),
        };
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return wrong("is ambiguous", format!("an IPv6 address stands in brackets, write `[{host}]:{port}`"));
    }
    if host.parse::<Ipv4Addr>().is_err() && !is_domain_name(host) {
        return wrong("has no usable host", SHAPE.to_owned());
    }
    Ok(Authority { host: host.to_ascii_lowercase(), port })
}

/// RFC 1123 §2.1, with underscores, which cluster-internal names have. A last label of digits is a mistyped IPv4 address.
fn is_domain_name(host: &str) -> bool {
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253 && labels.iter().all(is_label) && !labels.last().is_some_and(is_number)
}
