//! A machine of its own for a replica, as far as the network goes: a namespace with two cables, one to the API server and one for
//! everything else.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Removed when it is dropped, and its cables with it.
pub struct Machine {
    name: String,
    number: u8,
}

/// What a cable is for.
#[derive(Clone, Copy)]
pub enum Cable {
    Server = 0,
    Traffic = 1,
}

impl Machine {
    /// None where this process may not make one.
    pub fn new() -> Option<Machine> {
        static MADE: AtomicU8 = AtomicU8::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let machine = Machine { name: format!("pc{}-{number}", std::process::id()), number };
        run(&["netns", "add", &machine.name])?;
        for cable in [Cable::Server, Cable::Traffic] {
            let (ours, theirs) = (machine.end(cable), format!("e{}", cable as u8));
            run(&["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &machine.name])?;
            run(&["address", "add", &format!("{}/30", machine.outside(cable)), "dev", &ours])?;
            run(&["link", "set", &ours, "up"])?;
            let inside = format!("{}/30", machine.inside(cable));
            machine.run(&["address", "add", &inside, "dev", &theirs])?;
            machine.run(&["link", "set", &theirs, "up"])?;
        }
        machine.run(&["link", "set", "lo", "up"])?;
        Some(machine)
    }

    /// What a program is started by that runs on it.
    pub fn program(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// The address of its own end.
    pub fn inside(&self, cable: Cable) -> IpAddr {
        self.address(cable, 2)
    }

    /// The address of our end.
    pub fn outside(&self, cable: Cable) -> IpAddr {
        self.address(cable, 1)
    }

    pub fn cut(&self, cable: Cable) {
        run(&["link", "set", &self.end(cable), "down"]).expect("it is our cable");
    }

    pub fn mend(&self, cable: Cable) {
        run(&["link", "set", &self.end(cable), "up"]).expect("it is our cable");
    }

    fn address(&self, cable: Cable, host: u8) -> IpAddr {
        // Of those for benchmarks (RFC 2544), which no network uses.
        Ipv4Addr::new(198, 18 + cable as u8, self.number, host).into()
    }

    fn end(&self, cable: Cable) -> String {
        format!("p{}-{}-{}", std::process::id() % 1_000_000, self.number, cable as u8)
    }

    fn run(&self, arguments: &[&str]) -> Option<()> {
        run(&[&["-netns", &self.name], arguments].concat())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        run(&["netns", "delete", &self.name]);
    }
}

fn run(arguments: &[&str]) -> Option<()> {
    let output = Command::new("ip").args(arguments).output().ok()?;
    if !output.status.success() {
        println!("ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success().then_some(())
}
