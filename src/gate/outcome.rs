//! What one request came to, and who is charged for it.

use super::grpc::GrpcStatus;

/// What one request came to, for the version that served it. The names are the values of the metric label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A whole answer with a status below 400.
    Success,
    /// A whole answer with a 4xx status, or with one of gRPC that tells of the call and not of the server.
    ClientError,
    /// A whole answer with a 5xx status.
    ServerError,
    /// No connection could be made.
    ConnectError,
    /// No connection, no response head or no body byte within the configured time.
    Timeout,
    /// The connection died, or spoke no HTTP, before the response head.
    Reset,
    /// The connection died after the response head and before the end of the body.
    Truncated,
    /// A whole answer with a status of gRPC that tells of the server, or with none.
    GrpcFailure,
    /// The client went away before the answer was whole.
    ClientCancelled,
    /// We refused the request ourselves, or cut it off: a bound, a malformed head, an endpoint that has left.
    RefusedByUs,
}

/// To whom an outcome counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// A failure of the version.
    Failed,
    /// A request that the version served.
    Served,
    /// Nobody: neither a failure nor a unit of the rates.
    Nobody,
}

impl Outcome {
    pub const ALL: [Outcome; 10] = [
        Outcome::Success,
        Outcome::ClientError,
        Outcome::ServerError,
        Outcome::ConnectError,
        Outcome::Timeout,
        Outcome::Reset,
        Outcome::Truncated,
        Outcome::GrpcFailure,
        Outcome::ClientCancelled,
        Outcome::RefusedByUs,
    ];

    /// The outcome of an answer that arrived whole with `status`.
    pub const fn of_status(status: u16) -> Outcome {
        match status {
            500.. => Outcome::ServerError,
            400..500 => Outcome::ClientError,
            _ => Outcome::Success,
        }
    }

    /// The outcome of an answer of gRPC that arrived whole.
    pub const fn of_grpc(status: GrpcStatus) -> Outcome {
        match status {
            GrpcStatus::Ok => Outcome::Success,
            GrpcStatus::Unknown
            | GrpcStatus::DeadlineExceeded
            | GrpcStatus::Internal
            | GrpcStatus::Unavailable
            | GrpcStatus::DataLoss
            | GrpcStatus::Missing => Outcome::GrpcFailure,
            GrpcStatus::Cancelled
            | GrpcStatus::InvalidArgument
            | GrpcStatus::NotFound
            | GrpcStatus::AlreadyExists
            | GrpcStatus::PermissionDenied
            | GrpcStatus::ResourceExhausted
            | GrpcStatus::FailedPrecondition
            | GrpcStatus::Aborted
            | GrpcStatus::OutOfRange
            | GrpcStatus::Unimplemented
            | GrpcStatus::Unauthenticated => Outcome::ClientError,
        }
    }

    /// Promise 4: green pays for what green did, and for nothing else.
    pub const fn charge(self) -> Charge {
        match self {
            Outcome::Success | Outcome::ClientError => Charge::Served,
            Outcome::ServerError
            | Outcome::ConnectError
            | Outcome::Timeout
            | Outcome::Reset
            | Outcome::Truncated
            | Outcome::GrpcFailure => Charge::Failed,
            Outcome::ClientCancelled | Outcome::RefusedByUs => Charge::Nobody,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::ClientError => "client_error",
            Outcome::ServerError => "server_error",
            Outcome::ConnectError => "connect_error",
            Outcome::Timeout => "timeout",
            Outcome::Reset => "reset",
            Outcome::Truncated => "truncated",
            Outcome::GrpcFailure => "grpc_failure",
            Outcome::ClientCancelled => "client_cancelled",
            Outcome::RefusedByUs => "refused_by_us",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_4_green_pays_for_what_green_did_and_for_nothing_else() {
        let charged: Vec<&str> =
            Outcome::ALL.into_iter().filter(|o| o.charge() == Charge::Failed).map(Outcome::name).collect();
        assert_eq!(charged, ["server_error", "connect_error", "timeout", "reset", "truncated", "grpc_failure"]);
        let nobody: Vec<&str> =
            Outcome::ALL.into_iter().filter(|o| o.charge() == Charge::Nobody).map(Outcome::name).collect();
        assert_eq!(nobody, ["client_cancelled", "refused_by_us"]);
    }

    #[test]
    fn only_5xx_is_a_server_error() {
        for (status, expected) in [
            (200, Outcome::Success),
            (304, Outcome::Success),
            (399, Outcome::Success),
            (400, Outcome::ClientError),
            (499, Outcome::ClientError),
            (500, Outcome::ServerError),
            (599, Outcome::ServerError),
        ] {
            assert_eq!(Outcome::of_status(status), expected, "{status}");
        }
    }
}
