//! What the scrape says of each metric.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::{
    ACTIONS, BUDGET, BUILD, COHORT_REQUESTS, CONNECT_SECONDS, CONNECTIONS, EVIDENCE, GRPC_REQUESTS, HANDSHAKES, HARMED,
    HEAD_SECONDS, IN_FLIGHT, JOURNAL_ERRORS, LAST_RELOAD, MEMORY, MEMORY_BOUND, MIRROR_COMPARED, MIRROR_HEAD_SECONDS,
    MIRRORED, NOTIFICATIONS, OVERLOAD, OVERRIDES, PANICS, PROXY_HEADERS, REACTION_SECONDS, RELOADS, REQUEST_SECONDS,
    REQUESTS, ROLLBACKS, SHED, SHIELDED, SPANS, STATE, STEP, STEPS, TAKEN_BACK, UNSHIELDED, VERDICT, WEIGHT,
};

pub(super) fn describe() {
    describe_counter!(
        REQUESTS,
        "Requests by the version that they were sent to, what they came to there and the status"
    );
    describe_counter!(GRPC_REQUESTS, "Requests of gRPC by the version that served them and the status that it said");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From the request head read to the end of the answer, as clients saw it"
    );
    describe_histogram!(
        HEAD_SECONDS,
        Unit::Seconds,
        "From the request head read to the response head received, as clients saw it"
    );
    describe_histogram!(CONNECT_SECONDS, Unit::Seconds, "To connect to an endpoint; part of no verdict");
    describe_gauge!(WEIGHT, "Share of new requests that each version gets");
    describe_gauge!(STATE, "1 for the state that the release is in");
    describe_gauge!(STEP, "The step of the plan that the release is in, from 1; 0 in none");
    describe_gauge!(STEPS, "The steps of the plan, the one at 100 % among them; 0 without a plan");
    describe_gauge!(VERDICT, "1 for the present verdict");
    describe_gauge!(
        EVIDENCE,
        "Natural logarithm of the evidence that green is worse than acceptable, by test; `all` convicts, `aa` is blue against itself"
    );
    describe_gauge!(
        HARMED,
        "Requests that green has harmed in the release that is open, where it has an exposure budget; else 0"
    );
    describe_gauge!(BUDGET, "The exposure budget of the release that is open; 0 where there is none");
    describe_gauge!(TAKEN_BACK, "1 for a route that goes to blue although the release goes on");
    describe_counter!(ROLLBACKS, "Rollbacks by the trigger that caused them");
    describe_histogram!(REACTION_SECONDS, Unit::Seconds, "From the verdict to the replaced routing table");
    describe_counter!(NOTIFICATIONS, "Times that a trigger with the action notify has fired");
    describe_counter!(ACTIONS, "Actions of the runbook, by how they ended");
    describe_gauge!(IN_FLIGHT, "Requests that a version is working on");
    describe_gauge!(CONNECTIONS, "Open connections");
    describe_counter!(RELOADS, "Times that the configuration was read again, by what came of it");
    describe_gauge!(LAST_RELOAD, "When the configuration was last loaded");
    describe_counter!(HANDSHAKES, "TLS handshakes with clients, by how they ended");
    describe_counter!(
        PROXY_HEADERS,
        "Headers of the PROXY protocol from senders that have to send one, by how they ended"
    );
    describe_counter!(SPANS, "Spans of sampled requests, by what became of them");
    describe_gauge!(MEMORY, "Memory of the process itself, without what is mapped from files");
    describe_gauge!(MEMORY_BOUND, "What it may have before requests are shed; +Inf without a bound");
    describe_gauge!(OVERLOAD, "1 for the stage of overload that the process is in");
    describe_counter!(SHED, "Requests and connections that were refused for want of memory");
    describe_counter!(SHIELDED, "Requests that green failed, and is charged with, and that blue answered in its place");
    describe_counter!(
        UNSHIELDED,
        "Requests that green failed and that blue did not answer in its place, by the reason"
    );
    describe_counter!(MIRRORED, "Requests that were to be copied to green, by what became of the copies");
    describe_counter!(MIRROR_COMPARED, "Copied requests, by what green's answer has in common with blue's");
    describe_histogram!(
        MIRROR_HEAD_SECONDS,
        Unit::Seconds,
        "What green took for a copy, to the response head; part of no verdict but a mirror's"
    );
    describe_counter!(
        COHORT_REQUESTS,
        "Requests that green had because they are of a cohort, by whom they are charged to: served, failed or nobody"
    );
    describe_counter!(OVERRIDES, "Requests that ask for a version, by whether they may");
    describe_counter!(PANICS, "Requests that ended in a panic");
    describe_counter!(JOURNAL_ERRORS, "Times that the journal could not be opened or written");
    describe_gauge!(BUILD, "The version of Portcullis that runs");
}
