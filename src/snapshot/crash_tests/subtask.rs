//! A made-up subtask: it holds numbers, and what it seals is text.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::model::KeyGroupRange;
use crate::snapshot::test_support::{sealed_operator, sealed_state};
use crate::snapshot::{SealedOperator, SnapshotWriter};
use crate::state::RestoredState;

use super::ledger::Numbers;

/// The distance between two keys.
const KEY_STEP: usize = 9;

/// One subtask: what it holds, and its writer.
pub(super) struct TestSubtask {
    pub(super) writer: SnapshotWriter,
    pub(super) numbers: Numbers,
    key_groups: KeyGroupRange,
    touched: BTreeSet<u16>,
    epoch: u64,
    /// A base that is being copied: its first epoch, and what was there when it began.
    copying: Option<(u64, Numbers)>,
}

impl TestSubtask {
    pub(super) fn new(writer: SnapshotWriter, key_groups: KeyGroupRange, numbers: Numbers) -> Self {
        Self {
            writer,
            numbers,
            key_groups,
            touched: BTreeSet::new(),
            epoch: 0,
            copying: None,
        }
    }

    /// Gives a few keys new numbers, all of them greater than `last_number`.
    pub(super) fn work(&mut self, rng: &mut Rng, last_number: &mut u64) {
        if self.copying.is_none() && rng.u8(0..3) == 0 {
            self.copying = Some((self.epoch + 1, self.numbers.clone()));
        }
        let groups = self.key_groups.start..self.key_groups.end;
        for key in groups.step_by(KEY_STEP) {
            if rng.u8(0..4) == 0 {
                *last_number += 1;
                self.numbers.insert(key, *last_number);
                self.touched.insert(key);
            }
        }
    }

    /// What a barrier seals.
    pub(super) fn seal(&mut self, rng: &mut Rng) -> SealedOperator {
        self.epoch += 1;
        let delta = encode(self.touched.iter().map(|key| (key, &self.numbers[key])));
        self.touched.clear();
        // A base takes a few epochs, or none.
        let copied = match rng.bool() {
            true => self.copying.take(),
            false => None,
        };
        let base = copied.map(|(first_epoch, numbers)| (first_epoch, encode(&numbers)));
        let base = base
            .as_ref()
            .map(|(first_epoch, text)| (*first_epoch, text.as_str()));
        let state = sealed_state("numbers", self.epoch, &delta, base);
        sealed_operator("sum", vec![state])
    }
}

/// The numbers in what a subtask was given back.
pub(super) fn decode(states: &[RestoredState]) -> Numbers {
    let mut numbers = Numbers::new();
    for part in states.iter().flat_map(|state| state.parts.fetch().unwrap()) {
        for piece in part.base.iter().chain(&part.deltas) {
            let text = std::str::from_utf8(piece).unwrap();
            let records = text.lines().map(|line| line.split_once(' ').unwrap());
            let records =
                records.map(|(key, number)| (key.parse().unwrap(), number.parse().unwrap()));
            let groups = part.key_groups.start..part.key_groups.end;
            numbers.extend(records.filter(|(key, _)| groups.contains(key)));
        }
    }
    numbers
}

fn encode<'a>(numbers: impl IntoIterator<Item = (&'a u16, &'a u64)>) -> String {
    let line = |(key, number): (&u16, &u64)| format!("{key} {number}\n");
    numbers.into_iter().map(line).collect()
}
