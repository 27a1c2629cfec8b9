//! Repeated measurements: the median, and how far they scatter.

/// Measurements of one thing, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Adds a measurement.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle one; not a number if there is none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Half the distance between the quartiles, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| sorted.get(sorted.len().saturating_sub(1) * quarter / 4).copied();
        match (at(1), at(3)) {
            (Some(low), Some(high)) => (high - low) / 2.0 / self.median(),
            _ => f64::NAN,
        }
    }

    /// The median of the ratios to measurements of another thing, each to the one made beside it.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        self.0
            .iter()
            .zip(&other.0)
            .map(|(own, other)| own / other)
            .collect::<Self>()
            .median()
    }

    /// Every measurement.
    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
