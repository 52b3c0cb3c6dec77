//! A state that is large enough for its touches not to be marked: logged, or not noted at all, and every barrier right.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::chain::Chain;
use super::subject::{Subject, all_groups, open};
use crate::state::{KeyedStateBackend, SealedState, ValueState};

type Numbers = ValueState<u64, i64>;

/// Takes more than a mebibyte.
const KEYS: u64 = 80_000;

/// What a record takes in a delta.
const RECORD_BYTES: u64 = 16;

/// A state, the map that it must equal, and what its barriers gave.
struct Run {
    backend: KeyedStateBackend,
    state: Numbers,
    expected: BTreeMap<u64, i64>,
    chain: Chain,
    random: Rng,
    folder: tempfile::TempDir,
}

impl Run {
    /// All keys are there, barriers have given them, and touches are marked.
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (backend, state) = open(&folder.path().join("live"), all_groups(), None).unwrap();
        let mut run = Self {
            backend,
            state,
            expected: BTreeMap::new(),
            chain: Chain::default(),
            random: Rng::with_seed(seed),
            folder,
        };
        run.add(0..KEYS);
        run.barrier();
        // After an epoch in which nothing is touched, touches are marked again.
        run.barrier();
        run
    }

    fn add(&mut self, keys: impl IntoIterator<Item = u64>) {
        let keys: Vec<u64> = keys.into_iter().collect();
        self.state
            .update_batch(&keys, |_| 0, |_, value| *value.unseal() += 1)
            .unwrap();
        for key in keys {
            *self.expected.entry(key).or_insert(0) += 1;
        }
    }

    /// So many touches, of keys that are there and of a few that are not.
    fn touch(&mut self, touches: usize) {
        for _ in 0..touches.div_ceil(500) {
            let keys: Vec<u64> = (0..500)
                .map(|_| self.random.u64(..KEYS + KEYS / 50))
                .collect();
            self.add(keys);
            self.backend.copy_base_slice(20_000).unwrap();
        }
        let key = self.random.u64(..KEYS);
        self.state.put(&key, &-1).unwrap();
        self.expected.insert(key, -1);
    }

    fn remove(&mut self, key: u64) {
        let removed = self.state.remove(&key).unwrap();
        assert_eq!(removed, self.expected.remove(&key).is_some());
    }

    /// A barrier, whose records are gathered between further touches.
    fn barrier_with_touches(&mut self) -> SealedState {
        self.backend.end_epoch().unwrap();
        let ended = self.expected.clone();
        let mut sealed = None;
        while sealed.is_none() {
            self.touch(1);
            sealed = self.backend.gather(100_000).unwrap();
        }
        self.check(sealed.unwrap().remove(0), &ended)
    }

    fn barrier(&mut self) -> SealedState {
        let sealed = self.backend.seal().unwrap().remove(0);
        let ended = self.expected.clone();
        self.check(sealed, &ended)
    }

    /// What is restored from all barriers so far must equal `ended`.
    fn check(&mut self, sealed: SealedState, ended: &BTreeMap<u64, i64>) -> SealedState {
        self.chain.add(sealed.clone());
        let restored = (
            self.chain.descriptor.clone().unwrap(),
            vec![self.chain.part(all_groups())],
        );
        let directory = self.folder.path().join("restored");
        let (_backend, restored) =
            open::<Numbers>(&directory, all_groups(), Some(restored)).unwrap();
        let records: BTreeMap<u64, i64> = restored.records().unwrap().into_iter().collect();
        assert!(records == *ended, "epoch {:?}", sealed.epoch);
        sealed
    }
}

/// Whether a barrier gave all there is, and nothing else.
fn is_whole(sealed: &SealedState, records: usize) -> bool {
    const FOOTER_BYTES: u64 = 40;
    let base = sealed.base.as_ref().map_or(0, |base| base.content.len());
    sealed.delta.is_empty() && base == records as u64 * RECORD_BYTES + FOOTER_BYTES
}

#[test]
fn spread_touches_are_logged_and_each_barrier_gives_them_all() {
    let mut run = Run::new(1);
    run.touch(3_000);
    run.barrier();
    run.touch(3_000);
    let sealed = run.barrier_with_touches();
    // One record for each touch: nothing was marked and gathered.
    assert!(
        sealed.delta.len() >= 3_001 * RECORD_BYTES,
        "{}",
        sealed.delta.len()
    );
    run.touch(100);
    run.barrier();
    let idle = run.barrier();
    assert!(idle.delta.is_empty() && idle.base.is_none());
}

#[test]
fn a_key_that_is_logged_and_then_removed_does_not_come_back() {
    let mut run = Run::new(2);
    run.touch(3_000);
    run.barrier();
    run.add([7, 8, 9]);
    run.remove(8);
    run.add([7]);
    let sealed = run.barrier();
    assert!(is_whole(&sealed, run.expected.len()));
    run.add([8]);
    run.remove(9);
    let sealed = run.barrier();
    assert!(sealed.base.is_none() && sealed.delta.len() < 200);
}

#[test]
fn a_log_that_grows_beyond_half_of_the_state_makes_the_barrier_give_all() {
    let mut run = Run::new(3);
    run.touch(3_000);
    run.barrier();
    run.touch(60_000);
    let records = run.expected.len();
    let sealed = run.barrier_with_touches();
    assert!(is_whole(&sealed, records));
}

#[test]
fn touches_of_most_records_make_each_barrier_give_all_until_they_end() {
    let mut run = Run::new(4);
    for _ in 0..3 {
        run.touch(150_000);
        let records = run.expected.len();
        let sealed = run.barrier_with_touches();
        assert!(is_whole(&sealed, records));
        run.remove(5);
        run.add([5]);
    }
    // Few touches, which nothing noted: all once more, and then only what is touched.
    run.barrier();
    run.add([1, 2, 3]);
    run.remove(2);
    run.barrier();
    run.add([1]);
    run.remove(3);
    let sealed = run.barrier();
    assert!(sealed.base.is_none() && sealed.delta.len() < 200);
}

#[test]
fn a_single_touch_that_nothing_noted_makes_the_barrier_give_all() {
    let mut run = Run::new(5);
    run.touch(150_000);
    run.barrier();
    run.add([1]);
    let sealed = run.barrier();
    assert!(is_whole(&sealed, run.expected.len()));
}

#[test]
fn any_order_of_epochs_of_all_kinds_restores_to_what_was() {
    for seed in 10..13 {
        let mut run = Run::new(seed);
        for _ in 0..10 {
            match run.random.u8(..6) {
                0 => run.touch(150_000),
                1 => (0..20).for_each(|_| {
                    let key = run.random.u64(..KEYS);
                    run.remove(key);
                }),
                2 => {}
                3 => run.touch(30_000),
                _ => run.touch(2_000),
            }
            if run.random.bool() {
                run.barrier();
            } else {
                run.barrier_with_touches();
            }
        }
    }
}
