//! The transactional ids of a sink: which there are, and which subtask looks after which.

use std::collections::BTreeSet;
use std::fmt;

use super::pending_transaction::PendingTransaction;

/// A producer's transactional id. The broker lets only the newest producer of an id write; all before it are fenced.
///
/// It is made of the job, the operator and the subtask, and so is the same in every attempt and at any parallelism.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TransactionalId {
    /// What all ids of a sink begin with.
    pub(super) base: String,
    /// The subtask that it was made for.
    pub(super) subtask: u32,
}

/// Which subtask of how many looks after an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) subtask: u32,
    pub(super) parallelism: u32,
}

impl fmt::Display for TransactionalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.base, self.subtask)
    }
}

impl Share {
    /// Whether the subtask looks after `id`: exactly one of them does.
    pub(super) fn has(self, id: &TransactionalId) -> bool {
        id.subtask % self.parallelism == self.subtask
    }

    /// The subtask's own id.
    pub(super) fn own(self, base: &str) -> TransactionalId {
        TransactionalId {
            base: base.to_owned(),
            subtask: self.subtask,
        }
    }

    /// The ids of others that the subtask has to fence before the job writes anything: those that subtasks had before the
    /// parallelism became smaller, and those of the transactions that were restored. `registered` is the highest
    /// parallelism that the sink is known to have had.
    pub(super) fn adopted(
        self,
        base: &str,
        registered: u32,
        restored: &[PendingTransaction],
    ) -> BTreeSet<TransactionalId> {
        let former = (self.parallelism..registered).map(|subtask| TransactionalId {
            base: base.to_owned(),
            subtask,
        });
        let of_restored = restored.iter().map(|pending| pending.id.clone());
        let own = self.own(base);
        former
            .chain(of_restored)
            .filter(|id| self.has(id) && *id != own)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending_transaction::tests::pending;
    use super::*;

    /// The subtasks whose ids each subtask adopts.
    fn check(parallelism: u32, registered: u32, restored: &[u32], expected: &[&[u32]]) {
        let restored: Vec<_> = restored
            .iter()
            .map(|subtask| pending(*subtask, 1, 1, &[]))
            .collect();
        let shares = (0..parallelism).map(|subtask| Share {
            subtask,
            parallelism,
        });
        let adopted: Vec<Vec<u32>> = shares
            .map(|share| {
                let ids = share.adopted("base", registered, &restored);
                ids.iter().map(|id| id.subtask).collect()
            })
            .collect();
        assert_eq!(adopted, expected);
    }

    #[test]
    fn each_id_that_a_subtask_had_before_has_one_subtask_that_looks_after_it() {
        check(1, 1, &[], &[&[]]);
        check(2, 5, &[], &[&[2, 4], &[3]]);
        // Ids below the parallelism are those of the subtasks themselves.
        check(2, 0, &[0, 1], &[&[], &[]]);
        check(2, 3, &[5, 5, 1], &[&[2], &[5]]);
    }

    #[test]
    fn a_restored_transaction_of_another_name_is_looked_after_too() {
        let mut other = pending(0, 1, 1, &[]);
        other.id.base = "former".to_owned();
        let share = Share {
            subtask: 0,
            parallelism: 2,
        };
        let ids = share.adopted("base", 2, &[other]);
        let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["former.0"]);
    }
}
