//! The sweep: removing records whose time is over, in slices between batches.

use std::cell::Cell;

use super::archive::StateValue;
use super::key_parts::KeyParts;
use super::records::ExpiringRecords;
use super::scan::{ScanCursor, scan};
use crate::error::Result;

/// A slice looks at this many records at least, and goes on to the end of a sub-table. In the fixed layout the records of
/// a sub-table lie one after the other; in the variable one each is a cache line from elsewhere, and so it is this that
/// the number keeps small.
const VISITS_MIN: u64 = 512;

/// And at so many more for each record that was added since the slice before: a whole sweep is over before the state has
/// grown by a quarter.
const VISITS_PER_ADDED: u64 = 4;

/// A slice removes up to this many records.
const REMOVALS_MIN: u64 = 64;

/// And so many more for each record that was added: removing keeps ahead of adding.
const REMOVALS_PER_ADDED: u64 = 2;

/// What removes the records of a state whose time is over, whatever the state's types.
pub(super) trait Sweeper {
    /// The state's name.
    fn name(&self) -> &str;

    /// Goes on with the sweep, or begins one when it is due.
    ///
    /// # Errors
    /// Those of the state.
    fn sweep_slice(&self) -> Result<()>;
}

/// The sweeps of one state, one after the other.
pub(super) struct Sweep<R: KeyParts, V: StateValue, F> {
    records: ExpiringRecords<R, V>,
    /// Removes a record, and what the state keeps beside it.
    remove: F,
    progress: Cell<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// How far the sweep under way has come; nothing while the state rests.
    cursor: Option<ScanCursor>,
    /// When the next sweep may begin.
    due_unix_millis: i64,
    /// How many records the last slice left.
    records: u64,
}

/// What one slice may do, and has done.
struct Slice {
    visits_left: u64,
    removals_left: u64,
}

impl<R: KeyParts, V: StateValue, F: Fn(&R::Owned) -> Result<()>> Sweep<R, V, F> {
    /// Sweeps `records`, and removes by `remove` what it finds.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Operator`] when the state is in use.
    pub(super) fn new(records: ExpiringRecords<R, V>, remove: F) -> Result<Self> {
        let sweep = Self {
            records,
            remove,
            progress: Cell::default(),
        };
        // What was restored was not added: else the first slice would sweep all of it.
        sweep.progress.set(Progress {
            records: sweep.count()?,
            ..Progress::default()
        });
        Ok(sweep)
    }

    /// Looks at the next sub-table. What it holds beyond the slice's bounds is left for the next slice. Says how the sweep
    /// goes on: with a cursor, or not at all when it is over.
    fn sweep_sub_table(&self, slice: &mut Slice, from: ScanCursor) -> Result<Option<ScanCursor>> {
        let now = self.records.now.get();
        let mut cursor = from;
        let mut expired = Vec::new();
        let mut is_left = false;
        let more = scan(&self.records.cell, &mut cursor, 1, |key, record| {
            slice.visits_left = slice.visits_left.saturating_sub(1);
            if record.is_over(now) {
                if slice.removals_left > 0 {
                    slice.removals_left -= 1;
                    expired.push(R::to_owned(key)?);
                } else {
                    is_left = true;
                }
            }
            Ok(())
        })?;
        for key in &expired {
            (self.remove)(key)?;
        }
        Ok(match (is_left, more) {
            (true, _) => Some(from),
            (false, true) => Some(cursor),
            (false, false) => None,
        })
    }
}

impl<R: KeyParts, V: StateValue, F: Fn(&R::Owned) -> Result<()>> Sweeper for Sweep<R, V, F> {
    fn name(&self) -> &str {
        &self.records.cell.name
    }

    fn sweep_slice(&self) -> Result<()> {
        let now = self.records.now.get();
        let mut progress = self.progress.get();
        let added = self.count()?.saturating_sub(progress.records);
        if progress.cursor.is_none() && progress.due_unix_millis <= now {
            progress.cursor = Some(ScanCursor::default());
            progress.due_unix_millis = self.records.lifetime.next_sweep(now);
        }
        let mut slice = Slice {
            visits_left: VISITS_MIN + VISITS_PER_ADDED * added,
            removals_left: REMOVALS_MIN + REMOVALS_PER_ADDED * added,
        };
        while let Some(cursor) = progress.cursor
            && slice.visits_left > 0
            && slice.removals_left > 0
        {
            progress.cursor = self.sweep_sub_table(&mut slice, cursor)?;
        }
        progress.records = self.count()?;
        self.progress.set(progress);
        Ok(())
    }
}

impl<R: KeyParts, V: StateValue, F> Sweep<R, V, F> {
    fn count(&self) -> Result<u64> {
        Ok(self.records.cell.store()?.records())
    }
}
