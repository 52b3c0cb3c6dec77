//! Every metric's name, in one place.

use crate::model::OperatorId;

/// A figure that Floodmark reports through the `metrics` crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Rows that a source or an operator took in (counter).
    RecordsIn,
    /// Rows that a source or an operator gave out (counter).
    RecordsOut,
    /// Rows that a source could not read and passed over (counter).
    RecordsSkipped,
    /// Rows that a source could not read and wrote to its dead-letter file (counter).
    RecordsDeadLettered,
}

impl Metric {
    /// All metrics, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::RecordsIn,
        Self::RecordsOut,
        Self::RecordsSkipped,
        Self::RecordsDeadLettered,
    ];

    /// The name that the `metrics` crate is given.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordsIn => "floodmark_records_in_total",
            Self::RecordsOut => "floodmark_records_out_total",
            Self::RecordsSkipped => "floodmark_records_skipped_total",
            Self::RecordsDeadLettered => "floodmark_records_dead_lettered_total",
        }
    }
}

/// Adds to a counter of one operator subtask. Call it once a batch, not once a record.
#[expect(clippy::disallowed_macros, reason = "the one place that counts")]
pub fn count(metric: Metric, operator: &OperatorId, subtask: usize, amount: u64) {
    metrics::counter!(
        metric.name(),
        "operator" => operator.to_string(),
        "subtask" => subtask.to_string()
    )
    .increment(amount);
}
