//! The operators of a random job. What they emit depends on which records they are given, not on the order.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, EventTime};
use crate::operator::{
    FinishStatus, Operator, OperatorContext, Output, ProcessContext, ProcessFunction,
};
use crate::state::{EntryState, OperatorListState, Timer};

/// What travels through a random job: a key, an event time and a value.
pub(super) type Record = (u64, i64, u64);

/// Mixes the bits of a number, so that keys and values look like nothing.
pub(super) fn mix(number: u64, salt: u64) -> u64 {
    let mut mixed = (number ^ salt.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 32)
}

/// The end of the window of this length that a time lies in.
pub(super) fn window_end(time: i64, length: i64) -> i64 {
    time.div_euclid(length) * length + length
}

/// Keeps each batch in list state until the next one comes, and emits the last one at the end.
#[derive(Default)]
pub(super) struct Delay {
    waiting: Option<OperatorListState<Record>>,
}

impl Delay {
    fn waiting(&self) -> Result<&OperatorListState<Record>> {
        self.waiting.as_ref().ok_or_else(not_open)
    }
}

impl Operator for Delay {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.waiting = Some(context.operator_state.list_state("waiting")?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let waiting = self.waiting()?;
        output.emit(Batch::from_rows(waiting.get().to_vec()));
        waiting.update(batch.into_rows::<Record>()?)
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        let waiting = self.waiting()?;
        output.emit(Batch::from_rows(waiting.get().to_vec()));
        waiting.clear()?;
        Ok(FinishStatus::Done)
    }
}

/// Adds up the values of a key in windows of event time, and emits each sum when its window is over.
pub(super) struct Windows {
    length: i64,
    sums: Option<EntryState<u64, i64, u64>>,
}

impl Windows {
    pub(super) fn of(length: i64) -> Self {
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

fn not_open() -> Error {
    Error::new(ErrorKind::Bug, "the operator is not open")
}
