//! How the touches of an epoch are noted, so that its barrier gives what was touched and the writer has the least to do.

/// A smaller state is always marked: it fits into a cache, where nothing is gained.
const UNMARKED_BYTES_MIN: u64 = 1 << 20;

/// After so many epochs without marks one has them again, to see whether the touches still fall on as many records.
const UNMARKED_EPOCHS_MAX: u32 = 64;

/// How touches are noted once everything of the epoch before is gathered. Until then they are marked in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Noting {
    /// In the record's bucket: the delta is gathered after the barrier, each record once.
    #[default]
    Marks,
    /// Every value is appended to the delta when it is written. Where hardly any record is touched twice, that is less
    /// than to go and find them all again.
    Log,
    /// Not at all: the barrier gives all there is. Where most records are touched, that is what it would give anyway.
    Nothing,
}

/// What was seen of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// How often a record was touched.
    pub(super) touches: u64,
    /// How many records were deleted.
    pub(super) deletions: u64,
    /// How many buckets have a mark.
    pub(super) marked: u64,
    /// Whether these are most of all buckets.
    pub(super) mostly_marked: bool,
    /// What all records take.
    pub(super) live_bytes: u64,
    /// How many records there are.
    pub(super) records: u64,
}

/// Chooses how touches are noted, from one epoch to the next.
pub(super) struct Choice {
    noting: Noting,
    /// Whether values can be logged.
    logs: bool,
    /// How many epochs were not marked, one after the other.
    unmarked: u32,
}

impl Choice {
    /// The first epoch has marks.
    pub(super) fn new(logs: bool) -> Self {
        Self {
            noting: Noting::Marks,
            logs,
            unmarked: 0,
        }
    }

    /// For the epoch at hand.
    #[inline(always)]
    pub(super) fn noting(&self) -> Noting {
        self.noting
    }

    /// The rest of the epoch goes unnoted.
    pub(super) fn give_up(&mut self) {
        self.noting = Noting::Nothing;
    }

    /// The epoch ends: chooses for the next one.
    pub(super) fn on_barrier(&mut self, seen: Seen) {
        self.noting = self.next(seen);
        self.unmarked = match self.noting {
            Noting::Marks => 0,
            Noting::Log | Noting::Nothing => self.unmarked + 1,
        };
    }

    fn next(&self, seen: Seen) -> Noting {
        if seen.live_bytes < UNMARKED_BYTES_MIN || self.unmarked >= UNMARKED_EPOCHS_MAX {
            return Noting::Marks;
        }
        let is_much = seen.touches > seen.records / 2;
        // Records that come and go would void the log.
        let can_log = self.logs && seen.deletions == 0 && !is_much;
        match self.noting {
            Noting::Marks if is_much && seen.mostly_marked => Noting::Nothing,
            Noting::Marks if can_log && is_spread(&seen) => Noting::Log,
            Noting::Log if can_log => Noting::Log,
            Noting::Log | Noting::Nothing if is_much => Noting::Nothing,
            _ => Noting::Marks,
        }
    }
}

/// Whether touches fell on about as many records. Evenly spread ones that mark half of all buckets are 1.4 for each
/// marked one.
fn is_spread(seen: &Seen) -> bool {
    seen.touches > 0 && seen.touches <= seen.marked * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: u64 = 1_000_000;

    /// Of 500,000 buckets.
    fn seen(touches: u64, marked: u64) -> Seen {
        Seen {
            touches,
            deletions: 0,
            marked,
            mostly_marked: marked > 250_000,
            live_bytes: RECORDS * 16,
            records: RECORDS,
        }
    }

    /// What is chosen after these epochs.
    fn after(epochs: &[Seen]) -> Noting {
        let mut choice = Choice::new(true);
        for seen in epochs {
            choice.on_barrier(*seen);
        }
        choice.noting()
    }

    #[test]
    fn the_first_epoch_and_those_of_a_small_state_have_marks() {
        let small = Seen {
            live_bytes: UNMARKED_BYTES_MIN - 1,
            ..seen(2_000_000, 490_000)
        };
        assert_eq!(after(&[]), Noting::Marks);
        assert_eq!(after(&[small]), Noting::Marks);
    }

    #[test]
    fn touches_of_most_records_go_unnoted() {
        let most = seen(2_000_000, 490_000);
        assert_eq!(after(&[most]), Noting::Nothing);
        assert_eq!(after(&[most, most]), Noting::Nothing);
        assert_eq!(after(&[most, seen(100_000, 0)]), Noting::Marks);
    }

    #[test]
    fn touches_that_are_spread_are_logged_until_they_are_many() {
        let few = seen(100_000, 90_000);
        assert_eq!(after(&[few]), Noting::Log);
        assert_eq!(after(&[few, seen(300_000, 0)]), Noting::Log);
        assert_eq!(after(&[few, seen(0, 0)]), Noting::Log);
        assert_eq!(after(&[few, seen(600_000, 0)]), Noting::Nothing);
    }

    #[test]
    fn touches_of_few_records_over_and_over_are_marked() {
        assert_eq!(after(&[seen(2_000_000, 50_000)]), Noting::Marks);
        assert_eq!(after(&[seen(100_000, 10_000)]), Noting::Marks);
    }

    #[test]
    fn where_records_are_deleted_nothing_is_logged() {
        let few = seen(100_000, 90_000);
        let deleting = Seen {
            deletions: 1,
            ..few
        };
        assert_eq!(after(&[deleting]), Noting::Marks);
        let mut choice = Choice::new(true);
        choice.on_barrier(few);
        choice.give_up();
        assert_eq!(choice.noting(), Noting::Nothing);
        choice.on_barrier(few);
        assert_eq!(choice.noting(), Noting::Marks);
    }

    #[test]
    fn what_cannot_be_logged_is_marked() {
        let mut choice = Choice::new(false);
        choice.on_barrier(seen(100_000, 90_000));
        assert_eq!(choice.noting(), Noting::Marks);
    }

    #[test]
    fn marks_come_back_from_time_to_time() {
        for epoch in [seen(2_000_000, 490_000), seen(100_000, 90_000)] {
            let mut choice = Choice::new(true);
            let mut unmarked = 0;
            choice.on_barrier(epoch);
            while choice.noting() != Noting::Marks {
                unmarked += 1;
                choice.on_barrier(epoch);
            }
            assert_eq!(unmarked, UNMARKED_EPOCHS_MAX);
        }
    }
}
