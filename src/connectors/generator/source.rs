//! The generator source.

use super::pacer::{Due, Pacer};
use super::rows::RowsGenerator;
use crate::connectors::splits::{SPLITS_MAX, SplitRange, Splits};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, EventTime, Row, SharedClock};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};

/// How many rows a batch holds at most, unless it is set.
pub(super) const BATCH_ROWS_DEFAULT: usize = 1024;

/// Makes records from their places, a batch at a time.
pub trait GenerateRows {
    /// Makes the records of `range`. The same range must give the same records, whenever it is asked for.
    ///
    /// # Errors
    /// Fails the job.
    fn generate(&mut self, range: SplitRange) -> Result<Batch>;
}

/// A source whose records follow from their indexes.
///
/// The indexes are dealt out to a fixed number of splits, index `i` to split `i % splits`, and the splits to the
/// subtasks. A split's records come in order and from one subtask, so what is made with one key in one split only is in
/// order for that key, at any parallelism. The position is a counter for each split.
///
/// ```
/// use floodmark::connectors::GeneratorSource;
///
/// // A million rows in 8 splits; every key belongs to one split.
/// let source = GeneratorSource::from_fn(Some(1_000_000), 8, |split, index| {
///     let key = index / 8 % 1000 * 8 + u64::from(split);
///     (key, 1_i64)
/// })?;
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct GeneratorSource<G> {
    generator: G,
    rows: Option<u64>,
    splits_count: u32,
    batch_rows: usize,
    rate: Option<u64>,
    event_time: Option<Box<dyn Fn(u64) -> EventTime>>,
    opened: Option<Opened>,
}

struct Opened {
    splits: Splits,
    pacing: Option<(Pacer, SharedClock)>,
}

impl<T, F> GeneratorSource<RowsGenerator<F>>
where
    T: Row,
    F: FnMut(u32, u64) -> T,
{
    /// A source of `rows` typed rows, or of rows without end. `make` is called with the split and the index of each.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a number of splits that is 0 or above 128.
    pub fn from_fn(rows: Option<u64>, splits: u32, make: F) -> Result<Self> {
        Self::new(rows, splits, RowsGenerator(make))
    }
}

impl<G: GenerateRows> GeneratorSource<G> {
    /// A source of `rows` records, or of records without end, that `generator` makes.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a number of splits that is 0 or above 128.
    pub fn new(rows: Option<u64>, splits: u32, generator: G) -> Result<Self> {
        if !(1..=SPLITS_MAX).contains(&splits) {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("splits: must be from 1 to {SPLITS_MAX}, and is {splits}"),
            ));
        }
        Ok(Self {
            generator,
            rows,
            splits_count: splits,
            batch_rows: BATCH_ROWS_DEFAULT,
            rate: None,
            event_time: None,
            opened: None,
        })
    }

    /// Gives out `rows_per_second`, at least 1, over all subtasks together.
    #[must_use]
    pub fn with_rate(mut self, rows_per_second: u64) -> Self {
        self.rate = Some(rows_per_second.max(1));
        self
    }

    /// Puts up to `rows`, at least 1, into a batch; 1024 unless set.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Emits watermarks: `event_time` is the time of the record with an index, and must not fall as the index grows.
    #[must_use]
    pub fn with_event_time(mut self, event_time: impl Fn(u64) -> EventTime + 'static) -> Self {
        self.event_time = Some(Box::new(event_time));
        self
    }
}

impl<G: GenerateRows> Source for GeneratorSource<G> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let splits = Splits::assign(
            self.splits_count,
            self.rows,
            context.subtask,
            context.parallelism,
            context.restored,
        )?;
        let pacing = self.rate.map(|rate| {
            let clock = context.clock.clone();
            let share = rate as f64 * splits.share();
            (Pacer::new(share, clock.elapsed()), clock)
        });
        self.opened = Some(Opened { splits, pacing });
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let Opened { splits, pacing } = opened(&mut self.opened)?;
        if splits.next_index().is_none() {
            return Ok(SourceStatus::Finished);
        }
        let mut count_max = rows_max.min(self.batch_rows);
        if let Some((pacer, clock)) = pacing {
            match pacer.due(clock.elapsed(), count_max) {
                Due::Rows(rows) => count_max = rows,
                Due::Nothing(wait) => return Ok(SourceStatus::Wait(wait)),
            }
        }
        if let Some(range) = splits.take(count_max) {
            output.emit(self.generator.generate(range)?);
            if let Some((pacer, _)) = pacing {
                pacer.give(range.count);
            }
        }
        let Some(next) = splits.next_index() else {
            return Ok(SourceStatus::Finished);
        };
        if let Some(event_time) = &self.event_time {
            output.emit_watermark(event_time(next));
        }
        Ok(SourceStatus::Ready)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot {
            items: opened(&mut self.opened)?.splits.items()?,
            background: Vec::new(),
        })
    }
}

fn opened(opened: &mut Option<Opened>) -> Result<&mut Opened> {
    opened
        .as_mut()
        .ok_or_else(|| Error::new(ErrorKind::Bug, "the source was used before it was opened"))
}

#[cfg(test)]
mod tests;
