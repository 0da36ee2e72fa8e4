//! What active health checks say of one version.

/// The endpoints of one version, as their checks see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub endpoints: usize,
    /// The least number of checks in a row that an endpoint has failed: 0 when any passes, or none is checked.
    pub failing_for: u32,
}
