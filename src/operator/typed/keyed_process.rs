//! Any state and timers by key.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, EventTime, SharedClock};
use crate::operator::contract::{FinishStatus, Operator, OperatorContext, Output};
use crate::state::{StateKey, Timer, Timers};

use super::process_function::{Collector, Now, ProcessContext, ProcessFunction};

/// The name of the operator's timers.
const TIMERS: &str = "timers";

/// How many timers fire in one portion at most.
const PORTION_TIMERS_MAX: usize = 1024;

/// How many rows one portion of timers emits, beyond what the last of them does.
const PORTION_ROWS: usize = 4096;

/// Calls a [`ProcessFunction`] with each row and its key, and at the times that it has registered for keys.
///
/// Its timers are states named `timers.event_time` and `timers.processing_time`; the function must leave these names
/// free. The input must be partitioned by the same key. The builder of typed jobs has an example, at its `process`.
pub struct KeyedProcess<F: ProcessFunction, KeyOf> {
    function: F,
    key_of: KeyOf,
    opened: Option<Opened<F>>,
    watermark: EventTime,
    rows: Collector<F::Out>,
}

struct Opened<F: ProcessFunction> {
    timers: Timers<F::Key>,
    clock: SharedClock,
}

impl<F: ProcessFunction, KeyOf: FnMut(&F::In) -> F::Key> KeyedProcess<F, KeyOf> {
    /// An operator that calls `function`, with the key that `key_of` makes of each row.
    pub fn new(function: F, key_of: KeyOf) -> Self {
        Self {
            function,
            key_of,
            opened: None,
            watermark: EventTime::MIN,
            rows: Collector::default(),
        }
    }

    /// Fires the timers that are not later than `until`, up to a portion. Says whether there may be more.
    fn fire(&mut self, until: Timer, output: &mut Output) -> Result<FinishStatus> {
        let Opened { timers, clock } = opened(&mut self.opened)?;
        let now = Now {
            watermark: self.watermark,
            processing_time: clock.unix_millis(),
        };
        let mut fired = 0;
        let mut status = FinishStatus::More;
        while fired < PORTION_TIMERS_MAX && output.rows() < PORTION_ROWS {
            let Some((key, timer)) = pop_due(timers, until)? else {
                status = FinishStatus::Done;
                break;
            };
            let mut context = ProcessContext {
                key: &key,
                timers,
                rows: &mut self.rows,
                output,
                now,
            };
            self.function.on_timer(&key, timer, &mut context)?;
            fired += 1;
        }
        self.rows.flush(output);
        Ok(status)
    }
}

impl<F, KeyOf> Operator for KeyedProcess<F, KeyOf>
where
    F: ProcessFunction,
    KeyOf: FnMut(&F::In) -> F::Key,
{
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.opened = Some(Opened {
            timers: context.keyed_state.timers(TIMERS)?,
            clock: SharedClock::clone(context.clock),
        });
        self.function.open(context)
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let Opened { timers, clock } = opened(&mut self.opened)?;
        let now = Now {
            watermark: self.watermark,
            processing_time: clock.unix_millis(),
        };
        for row in batch.into_rows::<F::In>()? {
            let key = (self.key_of)(&row);
            let mut context = ProcessContext {
                key: &key,
                timers,
                rows: &mut self.rows,
                output,
                now,
            };
            self.function.process(&key, row, &mut context)?;
        }
        self.rows.flush(output);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, output: &mut Output) -> Result<FinishStatus> {
        self.watermark = watermark;
        let status = self.fire(Timer::EventTime(watermark), output)?;
        if status == FinishStatus::Done {
            output.emit_watermark(watermark);
        }
        Ok(status)
    }

    /// Records that an operator before this one emits at its own end come behind the last watermark.
    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        self.fire(Timer::EventTime(EventTime::MAX), output)
    }

    fn next_processing_time(&self) -> Option<i64> {
        self.opened.as_ref()?.timers.next_processing_time()
    }

    fn on_processing_time(&mut self, now_unix_millis: i64, output: &mut Output) -> Result<()> {
        self.fire(Timer::ProcessingTime(now_unix_millis), output)?;
        Ok(())
    }
}

/// Takes out the earliest timer of the domain of `until`, if it is not later.
fn pop_due<K: StateKey + Ord + Clone>(
    timers: &mut Timers<K>,
    until: Timer,
) -> Result<Option<(K, Timer)>> {
    Ok(match until {
        Timer::EventTime(watermark) => {
            let due = timers.pop_due_event_time(watermark)?;
            due.map(|(key, time)| (key, Timer::EventTime(time)))
        }
        Timer::ProcessingTime(now_unix_millis) => {
            let due = timers.pop_due_processing_time(now_unix_millis)?;
            due.map(|(key, unix_millis)| (key, Timer::ProcessingTime(unix_millis)))
        }
    })
}

fn opened<F: ProcessFunction>(opened: &mut Option<Opened<F>>) -> Result<&mut Opened<F>> {
    opened.as_mut().ok_or_else(|| {
        let message = "a process function was used before it was opened";
        Error::new(ErrorKind::Bug, message)
    })
}

#[cfg(test)]
mod tests;
