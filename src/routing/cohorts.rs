//! Which cohorts are on green.

/// By their places in the settings that are served with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohorts(u32);

impl Cohorts {
    pub const NONE: Cohorts = Cohorts(0);

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, place: usize) -> bool {
        place < u32::BITS as usize && self.0 >> place & 1 == 1
    }
}

impl FromIterator<usize> for Cohorts {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Cohorts {
        let bit = |place: usize| 1_u32.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0);
        Cohorts(places.into_iter().fold(0, |all, place| all | bit(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MOST_COHORTS;

    #[test]
    fn every_cohort_has_a_place() {
        let some: Cohorts = [0, 5, MOST_COHORTS - 1].into_iter().collect();
        let places: Vec<usize> = (0..2 * MOST_COHORTS).filter(|place| some.contains(*place)).collect();
        assert_eq!(places, [0, 5, MOST_COHORTS - 1]);
        assert!(!some.is_none() && Cohorts::from_iter([]).is_none());
    }
}
