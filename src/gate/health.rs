//! What the active health checks say of one version.

/// How the checked endpoints of one version stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many have been checked at least once; 0 where the version has no health check.
    pub endpoints: u32,
    /// The least number of checks that any endpoint has failed in a row: 0 as soon as one of them passes, and when none
    /// has been checked.
    pub failing_for: u32,
}

impl Health {
    /// `failures` holds for each checked endpoint how many checks it has failed in a row.
    pub fn of(failures: impl IntoIterator<Item = u32>) -> Health {
        failures.into_iter().fold(Health::default(), |Health { endpoints, failing_for }, failures| Health {
            endpoints: endpoints + 1,
            failing_for: if endpoints == 0 { failures } else { failing_for.min(failures) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fails_for_as_long_as_the_endpoint_that_has_failed_the_fewest_checks() {
        for (failures, expected) in [
            (vec![], Health { endpoints: 0, failing_for: 0 }),
            (vec![3], Health { endpoints: 1, failing_for: 3 }),
            (vec![5, 2, 9], Health { endpoints: 3, failing_for: 2 }),
            (vec![5, 0, 9], Health { endpoints: 3, failing_for: 0 }),
            (vec![0, 7], Health { endpoints: 2, failing_for: 0 }),
        ] {
            assert_eq!(Health::of(failures.clone()), expected, "{failures:?}");
        }
    }
}
