//! What the active health checks say of one version.

/// How the checked endpoints of one version stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many have been checked at least once; 0 where the version has no health check.
    pub endpoints: u32,
    /// The least number of checks that any endpoint has failed in a row: 0 as soon as one of them passes, and when none
    /// has been checked.
    pub failing_for: u32,
    /// How many have failed so many checks that they get no requests.
    pub unhealthy: u32,
}

impl Health {
    /// `checked` holds for each checked endpoint how many checks it has failed in a row, and whether it gets requests.
    pub fn of(checked: impl IntoIterator<Item = (u32, bool)>) -> Health {
        checked.into_iter().fold(Health::default(), |health, (failures, gets_requests)| Health {
            endpoints: health.endpoints + 1,
            failing_for: if health.endpoints == 0 { failures } else { health.failing_for.min(failures) },
            unhealthy: health.unhealthy + u32::from(!gets_requests),
        })
    }

    /// Whether no endpoint gets requests.
    pub const fn is_down(self) -> bool {
        self.endpoints > 0 && self.unhealthy == self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fails_for_as_long_as_the_endpoint_that_has_failed_the_fewest_checks() {
        for (failures, expected) in [
            (vec![], (0, 0, 0)),
            (vec![3], (1, 3, 1)),
            (vec![5, 2, 9], (3, 2, 2)),
            (vec![5, 0, 9], (3, 0, 2)),
            (vec![0, 7], (2, 0, 1)),
        ] {
            let checked = failures.iter().map(|failures| (*failures, *failures < 3));
            let (endpoints, failing_for, unhealthy) = expected;
            assert_eq!(Health::of(checked), Health { endpoints, failing_for, unhealthy }, "{failures:?}");
        }
    }
}
