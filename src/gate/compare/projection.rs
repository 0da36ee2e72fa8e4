//! The null hypothesis, and the point of it that explains a block best when an alternative is true.

/// "Green is acceptable": green's rate is at most `ratio` times blue's, plus `margin`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Null {
    pub ratio: f64,
    pub margin: f64,
}

/// A pair of rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub green: f64,
    pub blue: f64,
}

/// Newton's method ends after about six steps; bisection, which it falls back to, after about sixty.
const STEPS: u32 = 100;

/// Two neighbouring candidates closer than this, relative to their size, are the same.
const PRECISION: f64 = 4.0 * f64::EPSILON;

impl Null {
    /// "Green's rate is at most blue's."
    pub const EQUAL: Null = Null { ratio: 1.0, margin: 0.0 };

    /// The highest rate of green that is acceptable beside `blue`.
    pub fn allowed(&self, blue: f64) -> f64 {
        self.ratio * blue + self.margin
    }

    /// The pair of rates on the null's boundary with the least Kullback-Leibler divergence from `alternative`, for a
    /// block of which `share` (strictly between 0 and 1) are green's: the reverse information projection, as in Turner,
    /// Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests" (2024). An alternative that the null
    /// itself holds is its own projection.
    pub fn project(&self, alternative: Rates, share: f64) -> Rates {
        if alternative.green <= self.allowed(alternative.blue) {
            return alternative;
        }
        if *self == Null::EQUAL {
            let common = share * alternative.green + (1.0 - share) * alternative.blue;
            return Rates { green: common, blue: common };
        }
        let blue = self.boundary(alternative, share);
        Rates { green: self.allowed(blue), blue }
    }

    /// The root between the bracket's ends of
    /// `w·r·(g−θ1)/(g(1−g)) + (1−w)·(m−θ̂)/(m(1−m))` with `g = r·m + δ`, multiplied by its denominators: a cubic.
    fn boundary(&self, alternative: Rates, share: f64) -> f64 {
        let Null { ratio, .. } = *self;
        let (mut low, mut high) = (alternative.blue, (alternative.green - self.margin) / ratio);
        let mut blue = 0.5 * (low + high);
        let mut before = high - low;
        for _ in 0..STEPS {
            let green = self.allowed(blue);
            let (spread_blue, spread_green) = (blue * (1.0 - blue), green * (1.0 - green));
            let (over, under) = (blue - alternative.blue, green - alternative.green);
            let (of_green, of_blue) = (share * ratio, 1.0 - share);
            let value = of_green * under * spread_blue + of_blue * over * spread_green;
            if value == 0.0 {
                break;
            }
            if value < 0.0 {
                low = blue;
            } else {
                high = blue;
            }
            let slope = of_green * (ratio * spread_blue + under * (1.0 - 2.0 * blue))
                + of_blue * (spread_green + over * ratio * (1.0 - 2.0 * green));
            let newton = blue - value / slope;
            // Written so that a slope of nothing, which gives no number, bisects as well.
            let helps = newton > low && newton < high && (newton - blue).abs() < 0.5 * before;
            let next = if helps { newton } else { 0.5 * (low + high) };
            before = (next - blue).abs();
            blue = next;
            if before <= PRECISION * blue {
                break;
            }
        }
        blue
    }
}
