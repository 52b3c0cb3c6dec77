//! The marker: what a committed transaction leaves behind in the broker, so that it can be known from one that was lost.

use std::fmt;
use std::str::FromStr;

use super::pending_transaction::PendingTransaction;
use crate::error::{Error, ErrorKind};
use crate::model::CheckpointId;

/// How many attempts a marker remembers. Each takes at most 38 bytes, and a broker takes 4,096 of metadata unless it is set
/// otherwise.
const ATTEMPTS_MAX: usize = 64;

const PREFIX: &str = "floodmark-1";

/// How far each attempt at the job has come under one transactional id, those that committed last at the end.
///
/// It is the metadata of an offset that is committed in the same transaction as the records, for a group that has the
/// transactional id as its name. One checkpoint id alone would not do: it can be that of another attempt, which went on
/// from an older savepoint, or began anew in another store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    attempts: Vec<(u64, CheckpointId)>,
}

/// What a marker says about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is committed.
    Committed,
    /// It is not, and never will be unless it is written again.
    Missing,
    /// Its attempt has been forgotten, because so many others have committed something since.
    Forgotten,
}

impl Marker {
    /// What has become of a transaction. Transactions of an attempt are committed in the order of their checkpoints.
    pub(super) fn verdict(&self, pending: &PendingTransaction) -> Verdict {
        let found = self
            .attempts
            .iter()
            .find(|(attempt, _)| *attempt == pending.attempt);
        match found {
            Some((_, checkpoint)) if *checkpoint >= pending.checkpoint => Verdict::Committed,
            None if self.attempts.len() == ATTEMPTS_MAX => Verdict::Forgotten,
            _ => Verdict::Missing,
        }
    }

    /// The marker that is committed together with a transaction.
    #[must_use]
    pub(super) fn with(&self, pending: &PendingTransaction) -> Self {
        let others = self
            .attempts
            .iter()
            .filter(|(attempt, _)| *attempt != pending.attempt);
        let mut attempts: Vec<_> = others.copied().collect();
        attempts.push((pending.attempt, pending.checkpoint));
        if attempts.len() > ATTEMPTS_MAX {
            attempts.remove(0);
        }
        Self { attempts }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        for (attempt, checkpoint) in &self.attempts {
            write!(formatter, " {attempt:x}:{checkpoint}")?;
        }
        Ok(())
    }
}

impl FromStr for Marker {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let mut words = text.split(' ');
            (words.next()? == PREFIX).then_some(())?;
            let attempt = |word: &str| {
                let (attempt, checkpoint) = word.split_once(':')?;
                let attempt = u64::from_str_radix(attempt, 16).ok()?;
                Some((attempt, CheckpointId(checkpoint.parse().ok()?)))
            };
            let attempts = words.map(attempt).collect::<Option<Vec<_>>>()?;
            (attempts.len() <= ATTEMPTS_MAX).then_some(Self { attempts })
        };
        read().ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "\"{text}\" is not a marker of this sink: somebody else commits offsets under its transactional id; set \
                     another transactional_id_prefix"
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending_transaction::tests::pending;
    use super::*;

    fn marker(attempts: &[(u64, u64)]) -> Marker {
        let attempts = attempts.iter();
        let begun = Marker::default();
        attempts.fold(begun, |marker, (attempt, checkpoint)| {
            marker.with(&pending(0, *attempt, *checkpoint, &[]))
        })
    }

    #[test]
    fn a_marker_knows_what_each_attempt_has_committed() {
        let marker = marker(&[(1, 5), (1, 6), (2, 3)]);
        let check = |attempt, checkpoint, expected| {
            let verdict = marker.verdict(&pending(0, attempt, checkpoint, &[]));
            assert_eq!(verdict, expected, "{attempt} {checkpoint}");
        };
        check(1, 5, Verdict::Committed);
        check(1, 6, Verdict::Committed);
        check(1, 7, Verdict::Missing);
        // The same checkpoint of another attempt holds other records.
        check(2, 3, Verdict::Committed);
        check(2, 5, Verdict::Missing);
        check(3, 1, Verdict::Missing);
    }

    #[test]
    fn the_attempt_that_committed_longest_ago_is_forgotten_first() {
        let many: Vec<_> = (0..64).map(|attempt| (attempt, 1)).collect();
        let full = marker(&many);
        assert_eq!(full.verdict(&pending(0, 0, 1, &[])), Verdict::Committed);
        // Attempt 0 is heard of again, so it is attempt 1 that goes.
        let next = full
            .with(&pending(0, 0, 2, &[]))
            .with(&pending(0, 99, 1, &[]));
        assert_eq!(next.verdict(&pending(0, 0, 2, &[])), Verdict::Committed);
        assert_eq!(next.verdict(&pending(0, 1, 1, &[])), Verdict::Forgotten);
        assert_eq!(next.verdict(&pending(0, 99, 2, &[])), Verdict::Missing);
    }

    #[test]
    fn a_marker_comes_back_from_its_text_and_the_longest_fits_a_broker() {
        let longest: Vec<_> = (0..64).map(|n| (u64::MAX - n, u64::MAX)).collect();
        for marker in [Marker::default(), marker(&[(10, 7)]), marker(&longest)] {
            let text = marker.to_string();
            assert!(text.len() <= 4096, "{}", text.len());
            assert_eq!(text.parse::<Marker>().unwrap(), marker);
        }
        for text in ["", "floodmark-2", "floodmark-1 x:1", "floodmark-1 1"] {
            let error = text.parse::<Marker>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{text}");
        }
    }
}
