//! The tests of the comparison whose evidence is shown.

use crate::gate::compare::Summary;

/// A test whose evidence is shown.
#[derive(Clone, Copy)]
pub(super) enum Test {
    Errors,
    P99,
    P50,
    /// The three together, which convict.
    All,
    /// Blue against itself.
    Arm,
}

impl Test {
    pub(super) const ALL: [Test; 5] = [Test::Errors, Test::P99, Test::P50, Test::All, Test::Arm];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Test::Errors => "errors",
            Test::P99 => "p99",
            Test::P50 => "p50",
            Test::All => "all",
            Test::Arm => "aa",
        }
    }

    pub(super) const fn ln_evidence(self, summary: &Summary) -> f64 {
        match self {
            Test::Errors => summary.errors.ln_evidence,
            Test::P99 => summary.p99.ln_evidence,
            Test::P50 => summary.p50.ln_evidence,
            Test::All => summary.ln_evidence,
            Test::Arm => summary.ln_arm,
        }
    }
}
