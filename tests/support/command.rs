//! The built program as a command.

use std::process::{Child, Command, Output};

/// A program that runs until this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn portcullis(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_remove("PORTCULLIS_ADMIN").env_remove("PORTCULLIS_TOKEN");
    command.args(arguments).envs(environment.iter().copied()).output().expect("the binary is built")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What a command printed that went well.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert_eq!((output.status.code(), stderr(output).as_str()), (Some(0), ""), "{}", stdout(output));
    stdout(output)
}

/// What a command printed that did not; nothing of it is on standard output.
#[track_caller]
pub fn refused(output: &Output, code: i32) -> String {
    assert_eq!((output.status.code(), stdout(output).as_str()), (Some(code), ""), "{}", stderr(output));
    stderr(output)
}
