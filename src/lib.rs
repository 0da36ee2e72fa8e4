//! Portcullis: a reverse proxy in front of two versions of one service that measures both on every request and sends
//! everything back to blue the moment green is bad.

#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod gate;
pub mod measure;
pub mod proxy;
pub mod release;
pub mod routing;
pub mod running;
pub mod telemetry;
