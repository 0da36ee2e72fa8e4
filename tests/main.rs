//! What an outsider sees of the built proxy: real sockets, scripted endpoints, the admin API. One module per behaviour.

#![allow(clippy::disallowed_types, reason = "tests are plain threads on the wall clock")]

mod admin;
mod commands;
mod flip;
mod gate;
mod prometheus;
mod request_head;
mod support;
