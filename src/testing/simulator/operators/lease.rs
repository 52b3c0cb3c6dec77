//! Timers of processing time.

use std::sync::Arc;

use super::super::witness::Testimony;
use super::{Record, not_open};
use crate::error::{Error, ErrorKind, Result};
use crate::model::EventTime;
use crate::operator::{OperatorContext, ProcessContext, ProcessFunction};
use crate::state::{ListState, Timer, ValueState};

/// Holds the records of a key for a time by the clock, from the first one on, or until the input ends.
pub(in super::super) struct Lease {
    millis: i64,
    testimony: Arc<Testimony>,
    states: Option<States>,
}

struct States {
    /// The records of a key.
    held: ListState<u64, Record>,
    /// Until when they are held.
    due: ValueState<u64, i64>,
}

impl Lease {
    pub(in super::super) fn of(millis: i64, testimony: Arc<Testimony>) -> Self {
        Self {
            millis,
            testimony,
            states: None,
        }
    }

    fn states(&self) -> Result<&States> {
        self.states.as_ref().ok_or_else(not_open)
    }
}

impl ProcessFunction for Lease {
    type In = Record;
    type Key = u64;
    type Out = Record;

    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.states = Some(States {
            held: context.keyed_state.list_state("held")?,
            due: context.keyed_state.value_state("due")?,
        });
        Ok(())
    }

    fn process(
        &mut self,
        key: &u64,
        record: Record,
        context: &mut ProcessContext<'_, u64, Record>,
    ) -> Result<()> {
        let States { held, due } = self.states()?;
        held.add(key, &record)?;
        let now = context.processing_time();
        match due.get(key)? {
            // What is due comes before any record.
            Some(due) if due <= now => self.testimony.blame(format!(
                "a timer of key {key} was due at {due} and has not fired at {now}"
            )),
            Some(_) => {}
            None => {
                let until = now + self.millis;
                due.put(key, &until)?;
                context.register_processing_time(until)?;
                context.register_event_time(EventTime::MAX)?;
            }
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Record>,
    ) -> Result<()> {
        let States { held, due } = self.states()?;
        let not_due = || Error::new(ErrorKind::Bug, format!("key {key} has no timer {timer:?}"));
        let until = due.get(key)?.ok_or_else(not_due)?;
        context.delete_processing_time(until)?;
        context.delete_event_time(EventTime::MAX)?;
        for record in held.get(key)? {
            context.emit(record);
        }
        held.clear(key)?;
        due.remove(key)?;
        Ok(())
    }
}
