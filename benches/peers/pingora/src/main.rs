//! The least pingora-proxy that does what `benches/peers/run` asks of every peer: one request in ten
//! to green, `X-Forwarded-For` added, connections kept on both sides, nothing logged.
//!
//! Usage: `portcullis-peer-pingora LISTEN BLUE GREEN`, each `host:port`.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GREEN_EVERY: u32 = 10;
/// More than the clients of the benchmark, so that no upstream connection is closed for want of room.
const KEPT_CONNECTIONS: usize = 128;

struct Split {
    blue: HttpPeer,
    green: HttpPeer,
    served: AtomicU32,
}

#[async_trait]
impl ProxyHttp for Split {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let turn = self.served.fetch_add(1, Ordering::Relaxed);
        let peer = if turn.is_multiple_of(GREEN_EVERY) {
            &self.green
        } else {
            &self.blue
        };
        Ok(Box::new(peer.clone()))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            upstream_request.append_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, blue, green] = arguments.as_slice() else {
        eprintln!("usage: portcullis-peer-pingora LISTEN BLUE GREEN");
        std::process::exit(2);
    };
    let configuration = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let split = Split {
        blue: HttpPeer::new(blue, false, String::new()),
        green: HttpPeer::new(green, false, String::new()),
        served: AtomicU32::new(0),
    };
    let mut service = http_proxy_service(&server.configuration, split);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
