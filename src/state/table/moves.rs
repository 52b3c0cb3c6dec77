//! How many records may be moved for the sake of growth, so that not all sub-tables make one batch wait.
//!
//! Hashes are spread evenly, so all sub-tables of a table come to be full at about the same time. A large one is
//! therefore split somewhat earlier or later than the others: from the first share of taken slots on when insertions have
//! earned it, and at the second in any case. Between the two a table grows by a quarter, so four moves for each insertion are
//! enough to split all of it.

use super::index::Description;
use super::sub_table::SUB_TABLE_BYTES_MAX;

/// What each insertion earns.
const MOVES_PER_INSERTION: u32 = 4;

/// What is earned beyond this is lost, so that a pause in growth is not followed by much of it at once. One sub-table has
/// fewer records.
const MOVES_MAX: u32 = 4096;

/// What is to be done with a sub-table before another record comes into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is full: to be doubled or split.
    Growth,
    /// So many records were removed that what overflowed is to be forgotten.
    Rebuilding,
}

/// How many records may be moved.
#[derive(Default)]
pub(super) struct MoveAllowance {
    moves: u32,
}

impl MoveAllowance {
    /// A record was inserted.
    #[inline(always)]
    pub(super) fn earn(&mut self) {
        self.moves = (self.moves + MOVES_PER_INSERTION).min(MOVES_MAX);
    }

    /// So many records were moved.
    pub(super) fn spend(&mut self, records: u32) {
        self.moves = self.moves.saturating_sub(records);
    }

    /// What is to be done with a sub-table now.
    #[inline(always)]
    pub(super) fn due<K, V>(&self, description: &Description<K, V>) -> Option<Due> {
        let slots = description.sub_table.slots();
        if !may_be_split(description.records, slots) && description.removed <= slots {
            return None;
        }
        let is_small = description.sub_table.bytes() < SUB_TABLE_BYTES_MAX;
        self.due_when_nearly_full(slots, is_small, description.records, description.removed)
    }

    #[cold]
    fn due_when_nearly_full(
        &self,
        slots: u32,
        is_small: bool,
        records: u32,
        removed: u32,
    ) -> Option<Due> {
        let is_affordable = self.moves >= records;
        let is_full = if is_small {
            records * 3 >= slots * 2
        } else {
            records * 5 >= slots * 4 || is_affordable && may_be_split(records, slots)
        };
        if is_full {
            Some(Due::Growth)
        } else if removed > slots && (is_affordable || removed > 2 * slots) {
            Some(Due::Rebuilding)
        } else {
            None
        }
    }
}

/// Whether enough of a large sub-table is taken for it to be split if that is affordable.
#[inline(always)]
fn may_be_split(records: u32, slots: u32) -> bool {
    records * 8 >= slots * 5
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 1533;

    fn earned(insertions: u32) -> MoveAllowance {
        let mut moves = MoveAllowance::default();
        for _ in 0..insertions {
            moves.earn();
        }
        moves
    }

    fn check(insertions: u32, is_small: bool, records: u32, removed: u32, expected: Option<Due>) {
        let due = earned(insertions).due_when_nearly_full(SLOTS, is_small, records, removed);
        assert_eq!(
            due, expected,
            "{insertions} insertions, small {is_small}, {records} records, {removed} removed"
        );
    }

    #[test]
    fn a_large_sub_table_is_split_early_when_that_is_earned_and_late_in_any_case() {
        check(0, false, 1000, 0, None);
        check(249, false, 1000, 0, None);
        check(250, false, 1000, 0, Some(Due::Growth));
        check(5000, false, 958, 0, None);
        check(5000, false, 959, 0, Some(Due::Growth));
        check(0, false, 1226, 0, None);
        check(0, false, 1227, 0, Some(Due::Growth));
    }

    #[test]
    fn a_small_sub_table_is_doubled_at_two_thirds() {
        check(5000, true, 1021, 0, None);
        check(0, true, 1022, 0, Some(Due::Growth));
    }

    #[test]
    fn what_was_removed_often_is_rebuilt_when_that_is_earned_and_at_twice_as_much_in_any_case() {
        check(0, false, 100, SLOTS + 1, None);
        check(24, false, 100, SLOTS + 1, None);
        check(25, false, 100, SLOTS + 1, Some(Due::Rebuilding));
        check(25, false, 100, SLOTS, None);
        check(0, false, 100, 2 * SLOTS + 1, Some(Due::Rebuilding));
    }

    #[test]
    fn a_pause_earns_no_more_than_the_bound_and_moves_are_paid_for() {
        let mut moves = earned(100_000);
        assert_eq!(moves.moves, MOVES_MAX);
        moves.spend(1000);
        assert_eq!(moves.moves, MOVES_MAX - 1000);
        moves.spend(MOVES_MAX);
        assert_eq!(moves.moves, 0);
    }
}
