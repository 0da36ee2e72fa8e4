//! One request. [`stack`] is its way, outermost first; [`service`] is what a worker answers requests with, [`client`] what
//! is known of who sent it. [`http2`] makes what came by HTTP/2 like the rest, [`headers`] rewrites the fields that belong to
//! one hop, [`grpc`] knows those of gRPC, [`choose`] picks the version, by
//! [`sticky`] for some clients, which [`client_key`] tells apart, or as [`overriding`] lets them, or by the rules of [`cohorts`], and by [`client_share`] whether the request is evidence, [`forward`] sends it by its [`way`] and waits for
//! the head, [`shield`] has blue answer within a [`budget`] what green fails, [`in_place`] is what is charged then, [`balance`] keeps a client to endpoints of its own, [`race`] connects where a name has both address families, [`body`] streams the answer, [`observe`] sees to one
//! outcome of each, [`records`] counts them, [`ending`] names how each ended and [`access`] writes it down, [`span`] is the
//! same for a collector of traces, [`ids`] are the names that it has elsewhere, [`mirror`] copies some for green, of which [`copies`] are under way and each is compared as a [`pair`], [`respond`] turns our own refusals into
//! answers, [`added`] are fields that any answer gets, and [`unread`] refuses what has not become a request. [`via`] tells one that has been here before. [`tunnel`] is what a request is after an upgrade, [`websocket`] how one is agreed on where only one side speaks
//! HTTP/2.

mod access;
mod added;
mod balance;
mod body;
mod budget;
mod choose;
mod client;
mod client_key;
mod client_share;
mod cohorts;
mod copies;
mod ending;
mod forward;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod grpc;
mod headers;
mod http2;
mod ids;
mod in_place;
mod mirror;
mod observe;
mod overriding;
mod pair;
mod race;
mod records;
mod respond;
mod service;
mod shield;
mod span;
mod stack;
mod sticky;
mod tunnel;
mod unread;
mod via;
mod way;
mod websocket;

pub use choose::Draw;
pub(in crate::proxy) use client::{Client, Connection, Scheme};
pub use client_share::ClientShare;
pub(in crate::proxy) use headers::interim as strip_interim;
pub(in crate::proxy) use http2::{AnswerBody, answer as answer_http2};
pub(in crate::proxy) use respond::OVERLOAD;
pub(in crate::proxy) use service::Service;
pub(in crate::proxy) use stack::answer;
pub use sticky::Lot;
pub(in crate::proxy) use tunnel::Tunnel;
pub(in crate::proxy) use unread::{Unread, refuse_connection, refuse_unread};
