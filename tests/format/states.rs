//! The states that the checkpoint holds, and what changes in them from epoch to epoch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use floodmark::model::{KeyGroup, KeyGroupRange, hash_key};
use floodmark::snapshot::SealedOperator;
use floodmark::state::{EntryState, KeyedStateBackend, RestoredState, StateSettings, ValueState};
use rkyv::{Archive, Deserialize, Serialize};

use crate::kinds::{Kinds, StoppedClock};
use crate::{MAX_PARALLELISM, OPERATOR};

/// How many keys each state has at most.
const KEYS: u64 = 40;

floodmark::state_schema! {
    /// A value with parts of all sorts.
    #[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Reading {
        pub(crate) sensor: (u16, char),
        pub(crate) label: String,
        pub(crate) values: Vec<Option<f64>>,
        pub(crate) quality: Quality,
    }

    /// How good a reading is.
    #[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) enum Quality {
        Good,
        Doubtful { reason: String },
        Bad(u8, bool),
    }
}

/// What the states hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) totals: BTreeMap<u64, i64>,
    pub(crate) readings: BTreeMap<String, Reading>,
    pub(crate) steps: BTreeMap<(u64, String), u32>,
    pub(crate) slots: BTreeMap<(u32, u32), i64>,
    pub(crate) prices: BTreeMap<(u64, String), f64>,
    pub(crate) waiting: BTreeMap<u64, Vec<i64>>,
    pub(crate) sessions: BTreeMap<u64, i64>,
}

/// The states of one subtask: fixed and variable, of all sorts of keys and values.
pub(crate) struct States {
    backend: KeyedStateBackend,
    own: KeyGroupRange,
    totals: ValueState<u64, i64>,
    readings: ValueState<String, Reading>,
    steps: EntryState<u64, String, u32>,
    slots: EntryState<u32, u32, i64>,
    kinds: Kinds,
}

impl States {
    pub(crate) fn open(directory: &Path, own: KeyGroupRange, restored: Vec<RestoredState>) -> Self {
        let settings = StateSettings {
            directory: Some(directory.to_path_buf()),
            max_parallelism: MAX_PARALLELISM,
            key_groups: own,
            incremental: true,
            local_recovery: None,
            clock: Arc::new(StoppedClock),
        };
        let mut backend = KeyedStateBackend::new(settings, restored);
        Self {
            own,
            totals: backend.value_state("totals").unwrap(),
            readings: backend.value_state("readings").unwrap(),
            steps: backend.entry_state("steps").unwrap(),
            slots: backend.entry_state("slots").unwrap(),
            kinds: Kinds::open(&mut backend),
            backend,
        }
    }

    fn owns(&self, archive: &[u8]) -> bool {
        let group = KeyGroup::of_hash(hash_key(archive), MAX_PARALLELISM);
        self.own.contains(group)
    }

    /// Changes what is this subtask's of the keys that an epoch touches.
    fn change(&self, epoch: u64, content: &mut Content) {
        self.kinds.change(epoch, |key| self.owns(key), content);
        for key in (0..KEYS).filter(|key| (key + epoch).is_multiple_of(5)) {
            let is_deletion = (key + epoch).is_multiple_of(7);
            if self.owns(&key.to_le_bytes()) {
                self.change_numbers(key, epoch, is_deletion, content);
            }
            let slot = key as u32 / 4;
            if self.owns(&slot.to_le_bytes()) {
                self.change_slot((slot, key as u32), epoch, is_deletion, content);
            }
            let text = format!("sensor number {key}");
            let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&text).unwrap();
            if self.owns(&archive) {
                self.change_reading(text, key, epoch, is_deletion, content);
            }
        }
    }

    fn change_numbers(&self, key: u64, epoch: u64, is_deletion: bool, content: &mut Content) {
        let entry = (key, format!("step {}", epoch % 3));
        if is_deletion {
            self.totals.remove(&key).unwrap();
            content.totals.remove(&key);
            self.steps.remove(&entry.0, &entry.1).unwrap();
            content.steps.remove(&entry);
            return;
        }
        let total = -((key * 1_000_003 + epoch) as i64);
        self.totals.put(&key, &total).unwrap();
        content.totals.insert(key, total);
        let step = (key * epoch) as u32;
        self.steps.put(&entry.0, &entry.1, &step).unwrap();
        content.steps.insert(entry, step);
    }

    fn change_slot(&self, entry: (u32, u32), epoch: u64, is_deletion: bool, content: &mut Content) {
        if is_deletion {
            self.slots.remove(&entry.0, &entry.1).unwrap();
            content.slots.remove(&entry);
        } else {
            let value = i64::from(entry.1) << (epoch % 40);
            self.slots.put(&entry.0, &entry.1, &value).unwrap();
            content.slots.insert(entry, value);
        }
    }

    fn change_reading(
        &self,
        sensor: String,
        key: u64,
        epoch: u64,
        is_deletion: bool,
        content: &mut Content,
    ) {
        if is_deletion {
            self.readings.remove(&sensor).unwrap();
            content.readings.remove(&sensor);
        } else {
            let reading = reading(key, epoch);
            self.readings.put(&sensor, &reading).unwrap();
            content.readings.insert(sensor, reading);
        }
    }

    /// Changes the states and seals them, with a base for each that is due for one.
    pub(crate) fn next_epoch(&mut self, epoch: u64, content: &mut Content) -> SealedOperator {
        self.change(epoch, content);
        while self.backend.copy_base_slice(1 << 20).unwrap() {}
        SealedOperator {
            in_flight: Vec::new(),
            operator: OPERATOR.into(),
            finished: false,
            items: Vec::new(),
            operator_state: Vec::new(),
            local: None,
            states: self.backend.seal().unwrap(),
        }
    }

    pub(crate) fn have_bases(&self) -> bool {
        let figures = self.backend.statistics();
        figures.iter().all(|state| state.last_base_bytes > 0)
    }

    /// Adds what this subtask holds.
    pub(crate) fn collect(&self, content: &mut Content) {
        self.kinds.collect(|key| self.owns(key), content);
        let mut numbers = Vec::new();
        self.totals
            .for_each(|key, value| {
                numbers.push((key.to_native(), value.to_native()));
                Ok(())
            })
            .unwrap();
        content.totals.extend(numbers);
        self.readings
            .for_each(|key, value| {
                let value = rkyv::deserialize::<Reading, rkyv::rancor::Error>(value).unwrap();
                content.readings.insert(key.to_string(), value);
                Ok(())
            })
            .unwrap();
        self.steps
            .for_each(|key, step, value| {
                let entry = (key.to_native(), step.to_string());
                content.steps.insert(entry, value.to_native());
                Ok(())
            })
            .unwrap();
        self.slots
            .for_each(|key, slot, value| {
                let entry = (key.to_native(), slot.to_native());
                content.slots.insert(entry, value.to_native());
                Ok(())
            })
            .unwrap();
    }
}

fn reading(key: u64, epoch: u64) -> Reading {
    let number = key + epoch;
    Reading {
        sensor: (key as u16, char::from(b'a' + (key % 26) as u8)),
        label: "long enough to lie outside the string ".repeat((number % 3) as usize),
        values: (0..number % 4)
            .map(|index| (index != 1).then_some(number as f64 / 8.0))
            .collect(),
        quality: match number % 3 {
            0 => Quality::Good,
            1 => Quality::Doubtful {
                reason: format!("epoch {epoch}"),
            },
            _ => Quality::Bad(key as u8, epoch.is_multiple_of(2)),
        },
    }
}
