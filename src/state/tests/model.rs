//! Random operations on a state and on a plain map, with barriers and base slices in between, and restores compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::chain::Chain;
use super::outlet::TestOutlet;
use super::subject::{Reading, Subject, TestValue, all_groups, open, open_with};
use crate::state::{BaseOutlet, EntryState, KeyedStateBackend, ValueState};

/// A state, the map that it must equal, and what its barriers gave.
struct Model<S: Subject> {
    random: Rng,
    keys: u64,
    backend: KeyedStateBackend,
    state: S,
    expected: BTreeMap<S::Key, S::Value>,
    /// What the map was at the last barrier, as long as that is still being gathered.
    ended: Option<BTreeMap<S::Key, S::Value>>,
    chain: Chain,
    outlet: TestOutlet,
    /// How many barriers gave all there was, and how many what was touched.
    gave: [usize; 2],
    folder: tempfile::TempDir,
    context: String,
}

impl<S: Subject> Model<S> {
    fn new(seed: u64, keys: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outlet = TestOutlet::new(seed);
        let way: Arc<dyn BaseOutlet> = Arc::new(outlet.clone());
        let live = folder.path().join("live");
        let (backend, state) = open_with(&live, all_groups(), None, Some(way)).unwrap();
        Self {
            random: Rng::with_seed(seed),
            keys,
            backend,
            state,
            expected: BTreeMap::new(),
            ended: None,
            chain: Chain::default(),
            outlet,
            gave: [0; 2],
            folder,
            context: format!("seed {seed}"),
        }
    }

    fn step(&mut self) {
        let key = S::random_key(&mut self.random, self.keys);
        match self.random.u8(..14) {
            0 | 1 => {
                let value = S::Value::random(&mut self.random);
                self.state.put(&key, &value).unwrap();
                self.expected.insert(key, value);
            }
            2 => {
                let value = S::Value::random(&mut self.random);
                self.state.upsert(&key, value.clone()).unwrap();
                self.expected.insert(key, value);
            }
            3 | 4 => {
                let removed = self.state.remove(&key).unwrap();
                let expected = self.expected.remove(&key).is_some();
                assert_eq!(removed, expected, "{} {key:?}", self.context);
            }
            5 => {
                let found = self.state.get(&key).unwrap();
                assert_eq!(
                    found.as_ref(),
                    self.expected.get(&key),
                    "{} {key:?}",
                    self.context
                );
            }
            6 => self.copy_slice(),
            7 => {
                if self.random.u8(..4) == 0 {
                    self.barrier();
                }
            }
            8 | 9 => {
                let bytes_max = self.random.usize(..10_000);
                self.gather(bytes_max);
            }
            _ => self.change_batch(),
        }
    }

    fn change_batch(&mut self) {
        let count = self.random.usize(..150);
        let keys: Vec<_> = (0..count)
            .map(|_| S::random_key(&mut self.random, self.keys))
            .collect();
        let initial: Vec<_> = (0..count)
            .map(|_| S::Value::random(&mut self.random))
            .collect();
        let by = self.random.u8(..);
        self.state.change_batch(&keys, &initial, by).unwrap();
        for (key, initial) in keys.into_iter().zip(initial) {
            self.expected.entry(key).or_insert(initial).change(by);
        }
    }

    fn copy_slice(&mut self) {
        let bytes_max = self.random.usize(..30_000);
        self.backend.copy_base_slice(bytes_max).unwrap();
    }

    fn barrier(&mut self) {
        self.gather(usize::MAX);
        self.backend.end_epoch().unwrap();
        self.ended = Some(self.expected.clone());
    }

    /// Goes on gathering. What is complete is what the map was at the barrier, whatever was done since.
    fn gather(&mut self, bytes_max: usize) {
        let Some(mut sealed) = self.backend.gather(bytes_max).unwrap() else {
            return;
        };
        assert_eq!(sealed.len(), 1, "{}", self.context);
        self.gave[usize::from(!sealed[0].delta.is_empty())] += 1;
        self.outlet.resolve(&mut sealed[0]);
        self.chain.add(sealed.remove(0));
        let ended = self.ended.take().unwrap();
        if self.random.u8(..8) == 0 {
            self.check_restored(&ended);
        }
    }

    /// The live state, and one restored from all barriers so far, equal the map.
    fn compare(&mut self) {
        self.barrier();
        self.check(&self.state, &self.expected, "live");
        self.gather(usize::MAX);
        self.check_restored(&self.expected);
    }

    fn check_restored(&self, expected: &BTreeMap<S::Key, S::Value>) {
        let directory = self.folder.path().join("restored");
        let descriptor = self.chain.descriptor.clone().unwrap();
        let parts = vec![self.chain.part(all_groups())];
        let (mut backend, restored) =
            open::<S>(&directory, all_groups(), Some((descriptor, parts))).unwrap();
        self.check(&restored, expected, "restored");
        let delta = &backend.seal().unwrap()[0].delta;
        assert!(
            delta.is_empty(),
            "{}: what was restored is not touched",
            self.context
        );
    }

    fn check(&self, state: &S, expected: &BTreeMap<S::Key, S::Value>, which: &str) {
        let records = state.records().unwrap();
        assert_eq!(records.len(), expected.len(), "{} {which}", self.context);
        let records: BTreeMap<_, _> = records.into_iter().collect();
        assert!(records == *expected, "{} {which}", self.context);
        for (key, value) in expected {
            let found = state.get(key).unwrap();
            assert_eq!(
                found.as_ref(),
                Some(value),
                "{} {which} {key:?}",
                self.context
            );
        }
    }
}

/// Gives the number of bases that the barriers gave.
fn check<S: Subject>(seed: u64, keys: u64, steps: usize) -> usize {
    let mut model = Model::<S>::new(seed, keys);
    for step in 1..=steps {
        model.step();
        if step.is_multiple_of(steps / 8) {
            model.compare();
        }
    }
    model.chain.bases
}

fn check_with_bases<S: Subject>(seed: u64, keys: u64, steps: usize) {
    let bases = check::<S>(seed, keys, steps);
    assert!(bases > 0, "seed {seed}: no base was ever due");
}

/// Epochs in which more and more is touched, until barriers give all there is; the table grows and changes while that is
/// gathered.
fn check_churn<S: Subject>(seed: u64, keys: u64) {
    let mut model = Model::<S>::new(seed, keys);
    for round in 1..=12 {
        for _ in 0..round * keys / 750 {
            model.change_batch();
        }
        model.barrier();
        model.keys = keys + round * keys / 10;
        while model.ended.is_some() {
            model.step();
            model.gather(3_000);
        }
    }
    model.compare();
    let [all, touched] = model.gave;
    let context = &model.context;
    assert!(all > 2 && touched > 2, "{context}: {all} and {touched}");
}

/// Many epochs in which little is touched, so that bases are copied in slices and go out meanwhile, or fail to.
fn check_outlet<S: Subject>(seed: u64, keys: u64) {
    let mut model = Model::<S>::new(seed, keys);
    for _ in 0..keys / 20 {
        model.change_batch();
    }
    for round in 1..=1_200 {
        model.change_batch();
        model.copy_slice();
        model.copy_slice();
        model.barrier();
        if round % 200 == 0 {
            model.compare();
        }
    }
    model.compare();
    let ([streamed, failed], context) = (model.outlet.outcomes(), &model.context);
    assert!(
        streamed > 2 && failed > 0,
        "{context}: {streamed} bases came through and {failed} failed"
    );
}

#[test]
fn a_base_that_goes_out_while_it_is_copied_or_fails_to_loses_nothing() {
    check_outlet::<ValueState<u64, i64>>(14, 9_000);
    check_outlet::<ValueState<String, String>>(15, 3_000);
}

#[test]
fn what_is_touched_while_all_there_is_is_gathered_does_not_show() {
    check_churn::<ValueState<u64, i64>>(11, 9_000);
    check_churn::<EntryState<u64, u64, i64>>(12, 7_000);
    check_churn::<ValueState<u64, String>>(13, 3_000);
}

#[test]
fn a_value_state_of_numbers_equals_a_map_after_every_restore() {
    check_with_bases::<ValueState<u64, i64>>(1, 3_000, 6_000);
    check::<ValueState<u64, i64>>(2, 40, 4_000);
    check::<ValueState<u64, i64>>(3, 200_000, 3_000);
}

#[test]
fn a_value_state_with_text_keys_equals_a_map_after_every_restore() {
    check_with_bases::<ValueState<String, i64>>(4, 3_000, 3_000);
}

#[test]
fn a_value_state_of_text_equals_a_map_after_every_restore() {
    check_with_bases::<ValueState<String, String>>(5, 3_000, 3_000);
    check::<ValueState<u64, String>>(6, 50, 3_000);
}

#[test]
fn a_value_state_with_compound_types_equals_a_map_after_every_restore() {
    check_with_bases::<ValueState<(String, String), Reading>>(7, 1_000, 3_000);
}

#[test]
fn a_entry_state_of_numbers_equals_a_map_after_every_restore() {
    check_with_bases::<EntryState<u64, u64, i64>>(8, 3_000, 6_000);
}

#[test]
fn a_entry_state_of_text_equals_a_map_after_every_restore() {
    check_with_bases::<EntryState<String, String, i64>>(9, 3_000, 3_000);
    check::<EntryState<u64, String, Reading>>(10, 500, 2_000);
}
