//! A Service of Kubernetes whose pods are the endpoints of a version.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A Service, or the part of one that has these labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// What it is called among endpoints.
    text: String,
    pub name: String,
    /// None: the only one that it has.
    pub port: Option<ServicePort>,
    /// Of the pods; without any, all of the Service's are meant.
    pub labels: BTreeMap<String, String>,
}

/// Which of a Service's ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePort {
    Named(String),
    /// The port of the pods, which the Service calls `targetPort`.
    Number(u16),
}

/// What a Service is written with among endpoints.
const SCHEME: &str = "service:";

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServicePort::Named(name) => name.fmt(f),
            ServicePort::Number(number) => number.fmt(f),
        }
    }
}

impl Service {
    pub fn new(name: String, port: Option<ServicePort>, labels: BTreeMap<String, String>) -> Service {
        let port_text = port.as_ref().map_or_else(String::new, |port| format!(":{port}"));
        let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join(",")) };
        Service { text: format!("{SCHEME}{name}{port_text}{query}"), name, port, labels }
    }

    /// `service:NAME:PORT?LABEL=VALUE,…`, which neither an endpoint of a file nor a name for DNS can be.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// What [`Service`] is shown as; nothing else.
impl FromStr for Service {
    type Err = ();

    fn from_str(text: &str) -> Result<Service, ()> {
        let rest = text.strip_prefix(SCHEME).ok_or(())?;
        let (place, labels) = rest.split_once('?').map_or((rest, None), |(place, labels)| (place, Some(labels)));
        let (name, port) = place.split_once(':').map_or((place, None), |(name, port)| (name, Some(port)));
        let label = |pair: &str| pair.split_once('=').map(|(label, value)| (label.to_owned(), value.to_owned()));
        let labels: Option<_> = labels.into_iter().flat_map(|labels| labels.split(',')).map(label).collect();
        Ok(Service::new(name.to_owned(), port.map(ServicePort::from), labels.ok_or(())?))
    }
}

/// A name has a letter (RFC 6335, section 5.1).
impl From<&str> for ServicePort {
    fn from(text: &str) -> ServicePort {
        text.parse().map_or_else(|_| ServicePort::Named(text.to_owned()), ServicePort::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read_as_it_is_shown() {
        for text in
            ["service:shop", "service:shop:http", "service:shop:8080?a/b=1,track=green", "service:shop?track=green"]
        {
            assert_eq!(text.parse::<Service>().map(|service| service.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("shop:80".parse::<Service>(), Err(()));
        assert_eq!("service:shop?track".parse::<Service>(), Err(()));
    }
}
