//! The status codes of gRPC (its statuscodes.md).

use std::fmt;

/// What a call came to, as its server says. The names are the values of the metric label `grpc_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcStatus {
    Ok,
    Cancelled,
    /// What is no code of the list counts as this one, too.
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
    /// An answer without a code, which no client takes for a success.
    Missing,
}

/// A set of codes, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GrpcStatuses(u32);

impl GrpcStatus {
    /// Each at the place of its number.
    pub const CODES: [GrpcStatus; 17] = [
        GrpcStatus::Ok,
        GrpcStatus::Cancelled,
        GrpcStatus::Unknown,
        GrpcStatus::InvalidArgument,
        GrpcStatus::DeadlineExceeded,
        GrpcStatus::NotFound,
        GrpcStatus::AlreadyExists,
        GrpcStatus::PermissionDenied,
        GrpcStatus::ResourceExhausted,
        GrpcStatus::FailedPrecondition,
        GrpcStatus::Aborted,
        GrpcStatus::OutOfRange,
        GrpcStatus::Unimplemented,
        GrpcStatus::Internal,
        GrpcStatus::Unavailable,
        GrpcStatus::DataLoss,
        GrpcStatus::Unauthenticated,
    ];

    /// The value of a field `grpc-status`.
    pub fn of_field(value: &[u8]) -> GrpcStatus {
        let value = value.trim_ascii();
        // A sign parses as well.
        let digits = std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| digits.parse::<usize>().ok());
        number.and_then(|number| GrpcStatus::CODES.get(number)).copied().unwrap_or(GrpcStatus::Unknown)
    }

    /// What a client takes an HTTP status for that comes without a code (its http-grpc-status-mapping.md).
    pub const fn of_http(status: u16) -> GrpcStatus {
        match status {
            400 => GrpcStatus::Internal,
            401 => GrpcStatus::Unauthenticated,
            403 => GrpcStatus::PermissionDenied,
            404 => GrpcStatus::Unimplemented,
            429 | 502 | 503 | 504 => GrpcStatus::Unavailable,
            _ => GrpcStatus::Unknown,
        }
    }

    /// None of [`GrpcStatus::Missing`].
    pub fn number(self) -> Option<u16> {
        GrpcStatus::CODES.contains(&self).then_some(self as u16)
    }

    pub const fn name(self) -> &'static str {
        match self {
            GrpcStatus::Ok => "OK",
            GrpcStatus::Cancelled => "CANCELLED",
            GrpcStatus::Unknown => "UNKNOWN",
            GrpcStatus::InvalidArgument => "INVALID_ARGUMENT",
            GrpcStatus::DeadlineExceeded => "DEADLINE_EXCEEDED",
            GrpcStatus::NotFound => "NOT_FOUND",
            GrpcStatus::AlreadyExists => "ALREADY_EXISTS",
            GrpcStatus::PermissionDenied => "PERMISSION_DENIED",
            GrpcStatus::ResourceExhausted => "RESOURCE_EXHAUSTED",
            GrpcStatus::FailedPrecondition => "FAILED_PRECONDITION",
            GrpcStatus::Aborted => "ABORTED",
            GrpcStatus::OutOfRange => "OUT_OF_RANGE",
            GrpcStatus::Unimplemented => "UNIMPLEMENTED",
            GrpcStatus::Internal => "INTERNAL",
            GrpcStatus::Unavailable => "UNAVAILABLE",
            GrpcStatus::DataLoss => "DATA_LOSS",
            GrpcStatus::Unauthenticated => "UNAUTHENTICATED",
            GrpcStatus::Missing => "none",
        }
    }
}

/// Those that tell of the server and not of the call. An answer without a code is always one of them.
impl Default for GrpcStatuses {
    fn default() -> Self {
        use GrpcStatus::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
        [Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss].into_iter().collect()
    }
}

impl FromIterator<GrpcStatus> for GrpcStatuses {
    fn from_iter<I: IntoIterator<Item = GrpcStatus>>(statuses: I) -> GrpcStatuses {
        let missing = 1 << GrpcStatus::Missing as u8;
        GrpcStatuses(statuses.into_iter().fold(missing, |set, status| set | 1 << status as u8))
    }
}

impl GrpcStatuses {
    pub const fn contains(self, status: GrpcStatus) -> bool {
        self.0 & 1 << status as u8 != 0
    }
}

impl fmt::Debug for GrpcStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = GrpcStatus::CODES.into_iter().filter(|status| self.contains(*status)).map(GrpcStatus::name);
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_code_by_its_number_and_anything_else_is_unknown() {
        for (number, status) in GrpcStatus::CODES.into_iter().enumerate() {
            assert_eq!(GrpcStatus::of_field(number.to_string().as_bytes()), status);
            assert_eq!(status.number().map(usize::from), Some(number));
        }
        assert_eq!(GrpcStatus::of_field(b" 14 "), GrpcStatus::Unavailable);
        for field in [&b""[..], b"17", b"-1", b"+1", b"UNAVAILABLE", b"1 4", b"\xff", b"99999999999999999999"] {
            assert_eq!(GrpcStatus::of_field(field), GrpcStatus::Unknown, "{}", field.escape_ascii());
        }
        assert_eq!(GrpcStatus::Missing.number(), None);
    }

    /// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
    #[test]
    fn a_status_of_http_is_mapped_as_clients_of_grpc_do() {
        let mapped = [400, 401, 403, 404, 405, 408, 413, 429, 500, 502, 503, 504].map(|status| {
            let name = GrpcStatus::of_http(status).name();
            format!("{status} {name}")
        });
        assert_eq!(
            mapped.join(", "),
            "400 INTERNAL, 401 UNAUTHENTICATED, 403 PERMISSION_DENIED, 404 UNIMPLEMENTED, 405 UNKNOWN, 408 UNKNOWN, \
             413 UNKNOWN, 429 UNAVAILABLE, 500 UNKNOWN, 502 UNAVAILABLE, 503 UNAVAILABLE, 504 UNAVAILABLE"
        );
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_always_a_missing_code() {
        let names = |set: GrpcStatuses| format!("{set:?}");
        assert_eq!(
            names(GrpcStatuses::default()),
            r#"{"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}"#
        );
        let none = GrpcStatuses::from_iter([]);
        assert_eq!((names(none).as_str(), none.contains(GrpcStatus::Missing)), ("{}", true));
    }
}
