//! Welch's t-test: do two samples of different variance have the same mean?

/// The statistics of a sample that the test needs.
pub(crate) struct Sample {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    variance: f64,
}

impl Sample {
    /// Welford's method, which avoids small differences of large numbers.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values {
            count += 1.0;
            let before = value - mean;
            mean += before / count;
            squares += before * (value - mean);
        }
        Sample { count, mean, variance: squares / (count - 1.0) }
    }

    /// The difference of the means in units of its standard error; 0 for a sample and itself.
    pub(crate) fn t(&self, other: &Sample) -> f64 {
        (self.mean - other.mean) / (self.variance / self.count + other.variance / other.count).sqrt()
    }
}
