//! What kosoku, which plays Autobahn's cases, says of an echo server; the step `websockets` of tests/run brings both along.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Authority, Hello, Proxy, Running, config, folder};

/// Left out unless `PORTCULLIS_WEBSOCKETS=long`, which takes minutes: large messages and compression.
const LONG: [&str; 3] = ["9.*", "12.*", "13.*"];

/// Played of them in any case.
const SAMPLES: [&str; 3] = ["9.1.1", "12.1.1", "13.1.1"];

/// The echo server of the Python that kosoku runs with.
fn echo(kosoku: &Path) -> (SocketAddr, Running) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/websockets/echo.py");
    let mut command = Command::new(kosoku.with_file_name("python"));
    let mut running = Running(command.arg(script).stdout(Stdio::piped()).spawn().expect("it stands beside kosoku"));
    let mut port = String::new();
    BufReader::new(running.0.stdout.take().expect("it was piped")).read_line(&mut port).expect("a line");
    (SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim().parse().expect("a port"))), running)
}

/// Case by case, what became of it and of its end.
fn verdicts(kosoku: &Path, server: SocketAddr, choice: &[&str]) -> BTreeMap<String, [String; 2]> {
    let reports = folder();
    let mut command = Command::new(kosoku);
    command.args(["--parallelism", "16", "--outdir"]).arg(reports.path()).args(choice).arg(server.to_string());
    let output = command.output().expect("kosoku is there");
    let index = std::fs::read(reports.path().join("index.json")).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&index).expect("JSON");
    // What passes by the letter or beside it is a matter of how the bytes were cut.
    let said = |verdict: &Value| {
        ["behavior", "behaviorClose"].map(|what| verdict[what].to_string().replace("NON-STRICT", "OK"))
    };
    index.into_values().flatten().map(|(case, verdict)| (case, said(&verdict))).collect()
}

/// Speaks TLS to `proxy` for clients that have none.
fn securing(proxy: SocketAddr, authority: &Authority) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let connector = TlsConnector::from(Arc::new(Hello::new(authority).config()));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a socket");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok((mut client, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let stream = TcpStream::connect(proxy).await?;
                    let name = "localhost".try_into().expect("a name");
                    let mut secured = connector.connect(name, stream).await?;
                    // Its error is how the connection ended, which the client sees.
                    tokio::io::copy_bidirectional(&mut client, &mut secured).await
                });
            }
        });
    });
    address
}

#[test]
fn row_24_kosoku_says_the_same_through_the_proxy_as_without_it() {
    let Some(kosoku) = std::env::var_os("PORTCULLIS_KOSOKU") else { return };
    let kosoku = Path::new(&kosoku);
    let mut choices = vec![LONG.iter().flat_map(|cases| ["--exclude", *cases]).collect::<Vec<&str>>()];
    choices.push(SAMPLES.iter().flat_map(|cases| ["--include", *cases]).collect());
    if std::env::var("PORTCULLIS_WEBSOCKETS").is_ok_and(|form| form == "long") {
        choices = vec![Vec::new()];
    }
    let (server, _echo) = echo(kosoku);
    let (authority, folder) = (Authority::new(), folder());
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let clear = Proxy::start(&config(&[server], &[nowhere], ""));
    let pair = authority.sign(&["localhost"]).write(folder.path(), "first");
    let secured = Proxy::start(&config(&[server], &[nowhere], &format!("tls: {{ certificates: [{pair}] }}")));
    let through = [("in clear text", clear.listen), ("over TLS", securing(secured.listen, &authority))];
    for choice in choices {
        let direct = verdicts(kosoku, server, &choice);
        println!("{} cases of {choice:?}", direct.len());
        assert!(!direct.is_empty(), "{choice:?}");
        for (how, proxy) in through {
            let verdicts = verdicts(kosoku, proxy, &choice);
            let others: Vec<_> = direct.iter().filter(|(case, said)| verdicts.get(*case) != Some(said)).collect();
            assert!(others.is_empty(), "{how}, without the proxy: {others:?}, with it: {verdicts:?}");
            assert_eq!(verdicts.len(), direct.len());
        }
    }
}
