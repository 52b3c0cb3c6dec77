//! Scans: visiting all records of a state in portions.

use super::archive::{RecordKey, StateValue};
use super::cell::StateCell;
use super::table::Cursor;
use crate::error::Result;
use rkyv::Archived;

/// How far a scan has come. It starts at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCursor(Cursor);

/// Visits sub-tables until at least `records_max` records were visited; says whether there are more.
pub(super) fn scan<R: RecordKey, V: StateValue>(
    cell: &StateCell<R, V>,
    cursor: &mut ScanCursor,
    records_max: usize,
    mut visit: impl FnMut(R::View<'_>, &Archived<V>) -> Result<()>,
) -> Result<bool> {
    let store = cell.store()?;
    let mut visited = 0;
    while visited < records_max {
        let more = store.visit_next(&mut cursor.0, |key, value| {
            visited += 1;
            visit(key, value)
        })?;
        if !more {
            return Ok(false);
        }
    }
    Ok(true)
}
