//! A way to the API server that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::support::folder;

/// Passes bytes on, both ways, until the process ends.
pub struct Relay {
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (state, folder) = (Arc::new(Mutex::new(State::default())), folder());
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = serving.lock().expect("no thread panics with the lock held");
                let Ok(server) = TcpStream::connect(server) else { continue };
                if state.is_cut {
                    continue;
                }
                let ends = [client, server];
                let again = || ends.iter().map(|end| end.try_clone().expect("a descriptor"));
                state.open.extend(again());
                let [mut to_server, mut to_client]: [[TcpStream; 2]; 2] =
                    [again().collect::<Vec<_>>(), again().rev().collect()].map(|both| both.try_into().expect("two"));
                std::thread::spawn(move || pass(&mut to_server));
                std::thread::spawn(move || pass(&mut to_client));
            }
        });
        let relay = Relay { state, folder };
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "test", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "shop" } }],
        });
        std::fs::write(relay.kubeconfig(), text.to_string()).expect("a folder can be written");
        relay
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Ends every connection, and takes none until [`Relay::mend`].
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("no thread panics with the lock held");
        state.is_cut = true;
        for stream in state.open.drain(..) {
            // One that has ended already is cut as well.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub fn mend(&self) {
        self.state.lock().expect("no thread panics with the lock held").is_cut = false;
    }
}

fn pass([from, to]: &mut [TcpStream; 2]) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        end.shutdown(Shutdown::Both).ok();
    }
}
