//! Flags, then one command. The allocator is chosen here because it is the process's.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Arguments::parse().run()
}
