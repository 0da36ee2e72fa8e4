//! What an outsider sees of the built proxy: real sockets, scripted endpoints, the admin API. One module per behaviour.

mod bodies;
mod clients;
mod endpoints;
mod failures;
mod fields;
mod framing;
mod life;
mod request_head;
mod support;
mod upgrades;
