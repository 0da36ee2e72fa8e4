//! What an outsider sees of the built proxy: real sockets, scripted endpoints, the admin API. One module per behaviour.

#![allow(clippy::disallowed_types, reason = "tests are plain threads on the wall clock")]
#![allow(unreachable_pub, clippy::pedantic, reason = "one binary: nothing is public, and plainness comes first")]

mod access_log;
mod admin;
mod approvals;
mod blame;
mod bodies;
mod clients;
mod clock;
mod commands;
mod crash;
mod descriptors;
mod differential;
mod disk;
mod dns;
mod endpoints;
mod evidence;
mod extended_connect;
mod failures;
mod fields;
mod flip;
mod framing;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod gate;
mod gate_wait;
mod gone;
mod grpc;
mod grpc_streams;
mod health;
mod http2;
mod interim;
mod latency;
mod leaving;
mod life;
mod live;
mod mirror;
mod overload;
mod overrides;
mod policies;
mod prometheus;
mod protection;
mod proxy_protocol;
mod proxy_status;
mod race;
mod records;
mod releases;
mod request_head;
mod reuse;
mod signals;
mod simulation;
mod slow;
mod soak;
mod statistics;
mod sticky;
mod support;
mod systemd;
mod takeover;
mod tls;
mod tracing;
mod unix;
mod upgrades;
mod upstream_http2;
mod upstream_tls;
mod websockets;
