//! Sums in windows, by timers of event time.

use super::{Record, not_open};
use crate::error::{Error, ErrorKind, Result};
use crate::model::EventTime;
use crate::operator::{OperatorContext, ProcessContext, ProcessFunction};
use crate::state::{EntryState, Timer};

/// The end of the window of this length that a time lies in.
pub(in super::super) fn window_end(time: i64, length: i64) -> i64 {
    time.div_euclid(length) * length + length
}

/// Adds up the values of a key in windows of event time, and emits each sum when its window is over.
pub(in super::super) struct Windows {
    length: i64,
    sums: Option<EntryState<u64, i64, u64>>,
}

impl Windows {
    pub(in super::super) fn of(length: i64) -> Self {
        Self { length, sums: None }
    }
}

impl ProcessFunction for Windows {
    type In = Record;
    type Key = u64;
    type Out = Record;

    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.sums = Some(context.keyed_state.entry_state("sums")?);
        Ok(())
    }

    fn process(
        &mut self,
        key: &u64,
        (_, time, value): Record,
        context: &mut ProcessContext<'_, u64, Record>,
    ) -> Result<()> {
        let end = window_end(time, self.length);
        let sums = self.sums.as_ref().ok_or_else(not_open)?;
        sums.upsert_with(key, &end, |sum| sum.unwrap_or_default().wrapping_add(value))?;
        context.register_event_time(EventTime(end))
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Record>,
    ) -> Result<()> {
        let Timer::EventTime(EventTime(end)) = timer else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{timer:?} was never set"),
            ));
        };
        let sums = self.sums.as_ref().ok_or_else(not_open)?;
        let no_sum = || Error::new(ErrorKind::Bug, format!("a window of {key} fires twice"));
        let sum = sums.get(key, &end)?.ok_or_else(no_sum)?;
        sums.remove(key, &end)?;
        context.emit((*key, end - 1, sum));
        Ok(())
    }
}
