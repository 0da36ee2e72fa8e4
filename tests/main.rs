//! What an outsider sees of the built proxy: real sockets, scripted endpoints, the admin API. One module per behaviour.

mod support;

mod request_head;
mod simulation;
