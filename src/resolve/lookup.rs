//! One lookup: `/etc/hosts`, else the name servers, for both address families.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// At least one, in order, each once.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) time_to_live: Duration,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0} cannot be used: {1}")]
    System(&'static str, NetError),
    #[error("it is no name: {0}")]
    Name(#[from] ProtoError),
    #[error(transparent)]
    Answer(#[from] NetError),
    #[error("nothing within {0:?}")]
    Timeout(Duration),
    #[error("it has no address")]
    NoAddress,
}

/// Who is asked.
pub(super) struct Source {
    pub(super) nameservers: Vec<SocketAddr>,
    read: RefCell<Option<Read>>,
    at_a_time: Semaphore,
}

/// What the files of the system say.
struct Read {
    at: Instant,
    texts: [Vec<u8>; 2],
    hosts: Hosts,
    resolver: TokioResolver,
}

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How often the files of the system are read while there are lookups, and so what an address of `/etc/hosts` lives.
const READ_EVERY: Duration = Duration::from_secs(1);

/// resolv.conf(5): "If no nameserver entries are present, the default is to use the name server on the local machine."
const NAMESERVER_AT_LEAST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Of one attempt, where resolv.conf(5) grants five seconds: a datagram that is lost must not cost the whole of
/// [`super::FIRST`].
const LONGEST_ATTEMPT: Duration = Duration::from_secs(1);

/// With all its attempts, servers and search domains. Nobody waits for it but the next lookup of the same name.
const LONGEST_LOOKUP: Duration = Duration::from_secs(5);

/// Each holds a socket or two, and thousands of names would otherwise meet at the start.
const AT_A_TIME: usize = 64;

/// No name stands for more endpoints. As many fit into one answer of 4 KiB.
const MOST_ADDRESSES: usize = 256;

impl Source {
    pub(super) fn new(nameservers: Vec<SocketAddr>) -> Source {
        Source { nameservers, read: RefCell::default(), at_a_time: Semaphore::new(AT_A_TIME) }
    }

    /// Looks `name` up. Of a family whose own lookup fails the addresses that are `known` hold.
    pub(super) async fn look_up(&self, name: &str, known: &[IpAddr]) -> Result<Answer, Failure> {
        let name = Name::from_ascii(name)?;
        let (listed, resolver) = self.read(&name)?;
        let (addresses, time_to_live) = match listed {
            listed if !listed.is_empty() => (listed, READ_EVERY),
            _ => {
                let _turn = self.at_a_time.acquire().await.expect("nobody closes it");
                let asked = timeout(LONGEST_LOOKUP, ask(&resolver, name, known)).await;
                asked.map_err(|_| Failure::Timeout(LONGEST_LOOKUP))??
            }
        };
        let addresses = usable(addresses);
        if addresses.is_empty() { Err(Failure::NoAddress) } else { Ok(Answer { addresses, time_to_live }) }
    }

    /// What `/etc/hosts` says of `name`, and whom to ask where that is nothing.
    fn read(&self, name: &Name) -> Result<(Vec<IpAddr>, TokioResolver), Failure> {
        let mut slot = self.read.borrow_mut();
        let before = match slot.take() {
            Some(read) if read.at.elapsed() < READ_EVERY => read,
            before => {
                // A file that is missing says nothing.
                let texts = [HOSTS, RESOLV_CONF].map(|path| std::fs::read(path).unwrap_or_default());
                match before {
                    Some(read) if read.texts == texts => Read { at: Instant::now(), ..read },
                    _ => Read::new(texts, &self.nameservers)?,
                }
            }
        };
        let read = slot.insert(before);
        Ok((read.listed(name), read.resolver.clone()))
    }
}

impl Read {
    fn new(texts: [Vec<u8>; 2], nameservers: &[SocketAddr]) -> Result<Read, Failure> {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(texts[0].as_slice()).map_err(|error| Failure::System(HOSTS, error.into()))?;
        let (config, options) = read_system_conf().unwrap_or_else(|error| {
            tracing::debug!(%error, file = RESOLV_CONF, "it names nobody to ask");
            let local = NameServerConfig::udp_and_tcp(NAMESERVER_AT_LEAST);
            (ResolverConfig::from_parts(None, Vec::new(), vec![local]), ResolverOpts::default())
        });
        let resolver = resolver(config, options, nameservers).map_err(|error| Failure::System(RESOLV_CONF, error))?;
        Ok(Read { at: Instant::now(), texts, hosts, resolver })
    }

    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let of = |family| self.hosts.lookup_static_host(&Query::query(name.clone(), family));
        let both = [of(RecordType::A), of(RecordType::AAAA)];
        let records = both.iter().flatten().flat_map(Lookup::answers);
        records.filter_map(|record| record.data.ip_addr()).collect()
    }
}

fn resolver(
    config: ResolverConfig,
    system: ResolverOpts,
    nameservers: &[SocketAddr],
) -> Result<TokioResolver, NetError> {
    // The domain of this host counts only where no search list says otherwise.
    let domain = config.domain().filter(|_| config.search().is_empty()).cloned();
    let servers = match nameservers {
        [] => config.name_servers().to_vec(),
        given => given.iter().map(nameserver).collect(),
    };
    let config = ResolverConfig::from_parts(domain, config.search().to_vec(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    *options = system;
    options.timeout = options.timeout.min(LONGEST_ATTEMPT);
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    // An answer is asked for again only when its time to live has passed.
    options.cache_size = 0;
    // It is read above, and again when it changes.
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

fn nameserver(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

/// The addresses of both families, and for how long they hold.
async fn ask(resolver: &TokioResolver, name: Name, known: &[IpAddr]) -> Result<(Vec<IpAddr>, Duration), Failure> {
    let found = match resolver.lookup_ip(name).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() => return Err(Failure::NoAddress),
        Err(error) => return Err(error.into()),
    };
    let mut addresses: Vec<IpAddr> = found.iter().collect();
    let time_to_live = Instant::from_std(found.valid_until()) - Instant::now();
    for (family, is_of) in
        [(RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (RecordType::AAAA, IpAddr::is_ipv6)]
    {
        if addresses.iter().any(is_of) || !known.iter().any(is_of) {
            continue;
        }
        // There were some: have they gone, or is it only that nobody could say?
        match resolver.lookup(found.query().name().clone(), family).await {
            Ok(again) => addresses.extend(again.answers().iter().filter_map(|record| record.data.ip_addr())),
            Err(error) if error.is_no_records_found() => {}
            Err(_) => addresses.extend(known.iter().copied().filter(is_of)),
        }
    }
    Ok((addresses, time_to_live))
}

/// In order and each once, without those that have no route from here, where others have one (RFC 6724, section 5, rule 1).
///
/// Of a service with both families on a host with one, half of the endpoints would be down for ever otherwise.
fn usable(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6) {
        let routed: Vec<IpAddr> = addresses.iter().copied().filter(|address| has_route(*address)).collect();
        if !routed.is_empty() {
            addresses = routed;
        }
    }
    addresses.truncate(MOST_ADDRESSES);
    addresses
}

/// Whether a packet would be sent there; none is.
fn has_route(address: IpAddr) -> bool {
    const DISCARD: u16 = 9;
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, DISCARD))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_name_in_the_hosts_file_is_asked_of_nobody_in_either_family() {
        let hosts =
            b"127.0.0.1 localhost\n10.0.0.1 Shop.test shop # ours\nnonsense\n::5 six\n10.0.0.2 shop.test\n".to_vec();
        let read =
            Read::new([hosts, Vec::new()], &["127.0.0.1:1".parse().expect("an address")]).expect("both are read");
        let source = Source::new(Vec::new());
        *source.read.borrow_mut() = Some(read);
        let look_up = async |name: &str| Source::look_up(&source, name, &[]).await.map(|answer| answer.addresses).ok();
        assert_eq!(look_up("shop.test").await, Some(vec![ip("10.0.0.1"), ip("10.0.0.2")]));
        assert_eq!(look_up("shop.test.").await, Some(vec![ip("10.0.0.1"), ip("10.0.0.2")]));
        assert_eq!(look_up("shop").await, Some(vec![ip("10.0.0.1")]));
        assert_eq!(look_up("six").await, Some(vec![ip("::5")]));
        assert_eq!(look_up("nonsense.invalid").await, None);
    }

    #[test]
    fn addresses_come_once_each_and_in_order_and_an_answer_is_never_longer_than_its_bound() {
        let (first, second) = (ip("10.0.0.1"), ip("10.0.0.2"));
        assert_eq!(usable(vec![second, first, second]), [first, second]);
        let many = (0..1_000).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number).into());
        assert_eq!(usable(many.collect()).len(), MOST_ADDRESSES);
    }

    #[test]
    fn an_address_without_a_route_is_left_out_where_another_family_has_one_and_only_there() {
        // To all hosts at once only a socket may send that was allowed to.
        let (nowhere, here) = (ip("255.255.255.255"), ip("::1"));
        assert_eq!(usable(vec![nowhere, here]), [here]);
        assert_eq!(usable(vec![nowhere]), [nowhere]);
    }
}
