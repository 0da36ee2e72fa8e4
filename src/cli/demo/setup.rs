//! The ports and the configuration of the demo's proxy.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::config::{self, Config, Environment, Faults};
use crate::gate::ByVersion;

/// Blue's version.
pub(super) const BLUE: &str = "v1";

/// Green's version.
pub(super) const GREEN: &str = "v2";

/// The bound of the trigger `slow`.
pub(super) const LATENCY_BOUND: Duration = Duration::from_millis(200);

pub(super) const PROXY_PORT: u16 = 8080;
pub(super) const ADMIN_PORT: u16 = 9090;

/// A port for one of the proxy's listeners.
pub(super) struct Claim {
    pub address: SocketAddr,
    _held: Option<UdpSocket>,
}

impl Claim {
    /// `port` of loopback if nobody has it, else any.
    pub(super) fn new(port: u16) -> Claim {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // The proxy's listeners share their port with whoever asks for that too, as a second demo does. The UDP port of
        // the same number is held to keep the two apart also when both begin at once.
        let held = UdpSocket::bind(address).ok().filter(|_| TcpListener::bind(address).is_ok());
        match held {
            Some(held) => Claim { address, _held: Some(held) },
            None => Claim { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), _held: None },
        }
    }
}

/// The plan and what the gate is told, as a user would write it. Blue, green and the clients share one machine, and when that stalls
/// every request under way is slow: so the latency trigger looks at a lower quantile than a service of its own would.
/// Green is the same program as blue and needs no time to warm up. A hanging one is given up well before the clients' patience ends.
pub(super) const POLICY: &str = "\
shield: { after: 1s }
release:
  steps:
  - { weight: 2%, bake: 3s }
  - { weight: 10%, bake: 3s }
  - { weight: 25%, bake: 3s }
  - { weight: 50%, bake: 3s }
  - { weight: 100%, bake: 3s }
gate:
  minimumRequests: 80
  warmUp: { time: 0s, requests: 0 }
  triggers:
  - { name: dead, metric: failureStreak, atLeast: 5 }
  - { name: meltdown, metric: errorRate, above: 10%, window: 10s }
  - { name: slow, metric: latency, quantile: 0.75, above: 200ms, window: 5s }
";

/// The configuration with these addresses.
pub(super) fn configuration(
    listen: SocketAddr,
    admin: SocketAddr,
    versions: ByVersion<SocketAddr>,
) -> Result<Config, Faults> {
    let ByVersion { blue, green } = versions;
    let text = format!(
        "\
service: demo
listen: {listen}
workers: 2
admin: {{ listen: {admin} }}
blue: {{ version: {BLUE}, endpoints: [\"{blue}\"] }}
green: {{ version: {GREEN}, endpoints: [\"{green}\"] }}
timeouts: {{ connect: 4s, responseHead: 4s }}
drain: {{ wait: 0s, deadline: 5s }}
{POLICY}"
    );
    config::parse(&text, "the demo's configuration", Path::new(""), &Environment::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::backend::LATE;
    use crate::cli::demo::fault::Fault;
    use crate::cli::demo::load::CLIENTS;
    use crate::gate::trigger::Condition;
    use crate::release::input::COMPARISON;

    fn parsed() -> Config {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let versions = ByVersion { blue: address(1), green: address(2) };
        configuration(address(0), address(0), versions).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn the_triggers_that_a_fault_should_fire_are_in_the_configuration() {
        let policy = parsed().policy;
        assert!(policy.compare.is_some());
        let names: Vec<&str> = policy.actions().map(|(name, _)| name).chain([COMPARISON]).collect();
        for fault in [Fault::Errors, Fault::Latency, Fault::Hang, Fault::Refuse] {
            assert!(fault.triggers().iter().all(|name| names.contains(name)), "{fault:?} among {names:?}");
        }
    }

    #[test]
    fn late_answers_cross_the_latency_bound_and_run_into_no_timeout() {
        let config = parsed();
        let bounds: Vec<Duration> = (config.policy.triggers.iter())
            .filter_map(|trigger| match trigger.condition {
                Condition::LatencyAbove { bound, .. } => Some(bound),
                _ => None,
            })
            .collect();
        assert_eq!(bounds, [LATENCY_BOUND]);
        assert!(LATENCY_BOUND * 2 < LATE && LATE * 2 < config.timeouts.response_head);
    }

    #[test]
    fn a_stall_that_slows_every_client_once_crosses_no_latency_bound() {
        for trigger in parsed().policy.triggers {
            if let Condition::LatencyAbove { quantile, .. } = trigger.condition {
                assert!(!quantile.tail().exceeded_by(CLIENTS.into(), trigger.minimum_requests), "{}", trigger.name);
            }
        }
    }

    #[test]
    fn of_two_demos_that_begin_at_once_only_one_gets_the_port() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a port").port();
        let first = Claim::new(port);
        let second = Claim::new(port);
        assert_eq!((first.address.port(), second.address.port()), (port, 0));
        drop(first);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free again");
        assert_eq!(Claim::new(port).address.port(), 0);
        drop(listener);
    }
}
